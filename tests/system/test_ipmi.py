# SPDX-License-Identifier: Apache-2.0
"""Node power by IPMI, against a simulated BMC (bmc.py): the real ipmitool, ipmi-dcmi and ipmiutil print what our parsers read, and carnotd and carnot
read /dev/ipmi0 with the code that ships. Simulated power, real programs."""
import json
import shutil
import subprocess

import pytest

from agent import BUILD, Agent
from bmc import PASSWORD, TEXT_PROBE, USER, Bmc
from waiting import wait_for

CARNOT = BUILD / "src" / "cli" / "carnot"
POWER = {"watts": 250, "minimum": 90, "maximum": 400, "average": 245, "period": 1000}
ONLY_IPMI = ("--collector.enable", "ipmi")

IN_BAND = {
    "ipmitool": ["ipmitool", "dcmi", "power", "reading"],
    "ipmi-dcmi": ["ipmi-dcmi", "--driver-type=OPENIPMI", "--get-system-power-statistics"],
    "ipmiutil": ["ipmiutil", "dcmi", "power"],
}


def over_lan(program, bmc):
    port = str(bmc.lan_port)
    return {
        "ipmitool": ["ipmitool", "-I", "lanplus", "-H", "127.0.0.1", "-p", port, "-C", "3", "-U", USER, "-f", str(bmc.password_path), "dcmi", "power", "reading"],
        "ipmi-dcmi": ["ipmi-dcmi", "-h", f"127.0.0.1:{port}", "-u", USER, "-p", PASSWORD, "-l", "ADMIN", "-D", "LAN_2_0", "-W", "opensesspriv",
                      "--get-system-power-statistics"],
        "ipmiutil": ["ipmiutil", "dcmi", "power", "-N", "127.0.0.1", "-p", port, "-U", USER, "-P", PASSWORD, "-F", "lan", "-V", "4"],
    }[program]


def parsed(program, argv, env=None):
    """What our parser makes of what the program prints."""
    if not shutil.which(argv[0]):
        pytest.skip(f"{argv[0]} is not installed")
    said = subprocess.run(argv, env=env, stdin=subprocess.DEVNULL, capture_output=True, timeout=60)
    probe = subprocess.run([TEXT_PROBE, program], input=said.stdout, capture_output=True, timeout=20, check=True)
    return probe.stdout.decode().strip()


@pytest.mark.parametrize("program", IN_BAND)
def test_programs_print_what_we_parse(program):
    expected = "250000000 90000000 400000000 245000000 1000"
    with Bmc(POWER) as bmc:
        assert parsed(program, IN_BAND[program], bmc.device_env()) == expected
        assert parsed(program, over_lan(program, bmc)) == expected
        bmc.say(watts=0, state=0)  # not measuring: ENODATA
        assert parsed(program, IN_BAND[program], bmc.device_env()) == "-61"
        assert parsed(program, over_lan(program, bmc)) == "-61"
        bmc.say(**POWER, state=0)
        assert parsed(program, IN_BAND[program], bmc.device_env()) == "-61"
        bmc.say(completion=0xC1)  # no power is printed: EPROTO
        assert parsed(program, IN_BAND[program], bmc.device_env()) == "-71"


def host(agent):
    return next(d for d in agent.snapshot(kinds=["user"])["domains"] if d["kind"] in ("host", "other"))


def window_watts(agent):
    snapshot = agent.snapshot(kinds=["user"])
    energy_uj = next(d for d in snapshot["domains"] if d["kind"] == "host")["window_uj"]
    return energy_uj / snapshot["window_ns"] * 1000 if snapshot["window_ns"] else 0


def arrives(agent, watts):
    """Windows and readings do not begin together, so one window may hold a little more or less than a second."""
    wait_for(lambda: abs(window_watts(agent) - watts) < watts / 4, what=lambda: f"{watts} W, got {window_watts(agent)}")


def test_power_by_dcmi_arrives():
    with Bmc(POWER) as bmc, Agent(*ONLY_IPMI, env=bmc.device_env()) as agent:
        arrives(agent, 250)
        domain = host(agent)
        assert (domain["name"], domain["source"], domain["quality"], domain["in_total"]) == ("host-ipmi", "ipmi", "derived", True)
        bmc.say(**{**POWER, "watts": 800})
        arrives(agent, 800)
        assert agent.value("carnot_conservation_error_joules") == 0


def energy_uj(agent):
    return host(agent)["energy_uj"]


def stands_still(agent):
    """Two windows further on, no energy more."""
    before, seq = energy_uj(agent), agent.snapshot(kinds=["user"])["seq"]
    agent.next_snapshot(seq + 1)
    return energy_uj(agent) == before


def test_no_power_is_no_energy():
    """The last power counts for 20 s, then nothing does; it is told why meanwhile."""
    with Bmc(POWER) as bmc, Agent(*ONLY_IPMI, env=bmc.device_env()) as agent:
        arrives(agent, 250)
        bmc.say(**POWER, state=0)
        wait_for(lambda: stands_still(agent), seconds=60, what="the energy to stand still")
        assert host(agent)["energy_uj"] > 0
        bmc.say(**{**POWER, "watts": 600})
        wait_for(lambda: not stands_still(agent), what="the energy to go on")
        arrives(agent, 600)
        assert agent.value("carnot_domain_reading_events_total", domain="host-ipmi", event="gap") == 1


def test_device_that_goes_is_told():
    with Bmc(POWER) as bmc, Agent(*ONLY_IPMI, env=bmc.device_env()) as agent:
        arrives(agent, 250)
        assert agent.value("carnot_source_up", source="ipmi") == 1
        bmc.fault("gone")
        wait_for(lambda: agent.value("carnot_source_up", source="ipmi") == 0, what="the source to be down")
        assert agent.value("carnot_source_errors_total", source="ipmi") >= 1
        bmc.fault(None)
        wait_for(lambda: agent.value("carnot_source_up", source="ipmi") == 1, what="the source to be up again")
        arrives(agent, 250)


def doctor(bmc, *options):
    run = subprocess.run([CARNOT, "doctor", "--json", "--duration", "0s", *options], env=bmc.device_env(), stdin=subprocess.DEVNULL,
                         capture_output=True, timeout=60)
    found = [check for check in json.loads(run.stdout)["checks"] if check["subject"] == "ipmi"]
    assert len(found) == 1
    return found[0]


def test_sensors_where_there_is_no_dcmi():
    supplies = [(1, "PSU1_PIN", 10, 60), (2, "PSU2_PIN", 10, 65), (3, "PSU1_POUT", 10, 55), (4, "CPU1 Power", 3, 50)]
    with Bmc(sensors=supplies) as bmc:
        assert doctor(bmc)["state"] == "ok"
        with Agent(*ONLY_IPMI, env=bmc.device_env()) as agent:
            arrives(agent, (60 + 65) * 2)
    with Bmc(sensors=[*supplies, (5, "Sys Power", 7, 96)]) as bmc, Agent(*ONLY_IPMI, env=bmc.device_env()) as agent:
        arrives(agent, 96 * 2)


def test_doctor_says_what_is_missing():
    with Bmc(POWER) as bmc:
        assert doctor(bmc)["state"] == "ok"
        bmc.fault("denied")
        check = doctor(bmc)
        assert check["state"] == "denied" and "udev" in check["text"] and "/dev/ipmi0" in check["text"]
        bmc.fault("absent")
        check = doctor(bmc)
        assert check["state"] == "missing" and "no /dev/ipmi0" in check["text"]
        bmc.fault(None)
        bmc.say(completion=0xC1)
        check = doctor(bmc)
        assert check["state"] == "missing" and "0xC1" in check["text"] and "none of the 0 sensor data records" in check["text"]
        bmc.say(**POWER, length=7)  # an answer that ends in the middle
        assert "breaks the protocol (7 bytes)" in doctor(bmc, "--ipmi.way", "dcmi")["text"]


def test_silent_bmc_is_told_in_time():
    with Bmc(POWER) as bmc:
        bmc.fault("silent")
        assert "has not answered Get Device ID in time" in doctor(bmc)["text"]


def test_over_the_network():
    with Bmc(POWER) as bmc:
        lan = ("--ipmi.lan-host", "127.0.0.1", "--ipmi.lan-port", str(bmc.lan_port), "--ipmi.lan-user", USER, "--ipmi.lan-password-file",
               str(bmc.password_path), "--ipmi.lan-privilege", "administrator", "--ipmi.lan-cipher-suite", "3")
        with Agent(*ONLY_IPMI, *lan) as agent:
            arrives(agent, 250)
            bmc.say(**{**POWER, "watts": 700})
            arrives(agent, 700)
            assert "127.0.0.1" not in json.dumps(agent.snapshot())
        bmc.password_path.chmod(0o644)
        assert "chmod 600" in doctor(bmc, *lan)["text"]
        bmc.password_path.chmod(0o600)
