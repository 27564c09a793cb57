# SPDX-License-Identifier: Apache-2.0
"""Node power by Redfish: a real carnotd and a real carnot against a simulated BMC over HTTPS. What the BMC does is told to it; its
figures are simulated."""
import json
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile

import pytest

from agent import BUILD, Agent
from waiting import wait_for

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "sim"))
from bmc import ROOT, Bmc, Rule, listen_all  # noqa: E402  (beside the digital twin)

SECRET = "not-to-be-seen"
HOST = "host-redfish"


@pytest.fixture
def rig():
    """A BMC with one chassis of 400 W, and the options that lead to it."""
    with tempfile.TemporaryDirectory(prefix="carnot-bmc-") as name:
        directory = pathlib.Path(name)
        bmc = Bmc()
        bmc.add_root()
        bmc.add_chassis("1", Power={"@odata.id": f"{ROOT}/Chassis/1/Power"},
                        Links={"ComputerSystems": [{"@odata.id": f"{ROOT}/Systems/1"}]})
        set_watts(bmc, 400)
        bmc.users = {"reader": SECRET}
        ports = listen_all(bmc, directory / "tls")
        password = directory / "password"
        password.write_text(SECRET + "\n")
        password.chmod(0o600)
        bmc.options = ["--redfish.url", f"https://localhost:{ports['https']}", "--redfish.user", "reader", "--redfish.password-file",
                       str(password), "--redfish.tls-ca-file", str(directory / "tls" / "ca.pem")]
        bmc.ports, bmc.password = ports, password
        try:
            yield bmc
        finally:
            bmc.stop()


def set_watts(bmc, watts):
    bmc.set(f"{ROOT}/Chassis/1/Power", {"PowerControl": [{"MemberId": "0", "PowerConsumedWatts": watts}]})


def watts(agent):
    """The last window's power, None before there is one."""
    values = [v for (n, l), v in agent.metrics().items() if n == "carnot_domain_power_watts" and dict(l)["domain"] == HOST]
    return values[0] if values else None


def source_up(agent):
    return agent.value("carnot_source_up", source="redfish") == 1


def wait_for_watts(agent, low, high):
    return wait_for(lambda: low < (watts(agent) or 0) < high, what=lambda: f"{low} to {high} W, not {watts(agent)}")


def test_power_of_the_node(rig):
    with Agent(*rig.options) as agent:
        wait_for_watts(agent, 390, 410)
        labels = [dict(l) for (n, l) in agent.metrics() if n == "carnot_domain_energy_joules_total" and dict(l)["domain"] == HOST]
        assert [(l["kind"], l["source"], l["quality"], l["in_total"]) for l in labels] == [("host", "redfish", "derived", "true")]
        set_watts(rig, 700)
        wait_for_watts(agent, 690, 710)
        assert len(rig.tokens) == 1
        log = agent.log_text()
        assert "source redfish: in use" in log and "chassis 1, RackMount, PowerControl" in log
    assert not rig.tokens  # logged out at its end
    assert all(entry["method"] != "POST" or SECRET in entry["body"] for entry in rig.log)
    assert SECRET not in log and "simulated-token" not in log


def test_the_bmc_restarts(rig):
    """Sessions end, it hangs, it is gone: no power meanwhile and none of 0 W, and it is taken up again."""
    with Agent(*rig.options) as agent:
        wait_for_watts(agent, 390, 410)
        rig.expire()
        rig.rules.append(Rule(f"{ROOT}/Chassis/1/Power", "hang_up"))
        wait_for(lambda: not source_up(agent), what="the failure to show")
        rig.rules.clear()
        wait_for(lambda: source_up(agent), what="the source to be well again")
        wait_for_watts(agent, 390, 410)
        assert SECRET not in agent.log_text()
    assert not rig.tokens


def test_not_there_at_the_start(rig):
    rig.rules.append(Rule(f"{ROOT}/", "status", status=503, Retry_After="1"))
    with Agent(*rig.options) as agent:
        assert not source_up(agent)
        rig.rules.clear()
        wait_for_watts(agent, 390, 410)


def doctor(*options, seconds="0s", program=BUILD / "src" / "cli" / "carnot", **more):
    done = subprocess.run([program, "doctor", "--json", "--agent=never", f"--duration={seconds}", *options],
                          capture_output=True, text=True, timeout=120, env={"PATH": os.environ["PATH"]}, check=False, **more)
    assert done.returncode in (0, 1), done.stderr
    assert SECRET not in done.stdout + done.stderr
    report = json.loads(done.stdout)
    return {check["subject"]: check for check in report["checks"]}, report


def test_doctor(rig):
    checks, _ = doctor()
    assert checks["redfish"]["state"] == "missing" and "--redfish.url" in checks["redfish"]["text"] and not checks["redfish"]["matters"]

    checks, report = doctor(*rig.options, seconds="2s")
    assert checks["redfish"]["state"] == "ok"
    assert "host-redfish: chassis 1" in json.dumps(report["description"])

    rig.password.chmod(0o644)
    checks, _ = doctor(*rig.options)
    assert checks["redfish"]["state"] == "missing" and checks["redfish"]["matters"] and "chmod 600" in checks["redfish"]["text"]


def test_wrong_certificate(rig):
    options = [option.replace(str(rig.ports["https"]), str(rig.ports["other_name"])) for option in rig.options]
    _, report = doctor(*options, seconds="1s")
    assert "its certificate is for another name" in json.dumps(report["description"])
    assert not rig.log  # nothing was asked, no password sent


@pytest.mark.skipif(os.geteuid() != 0 or not shutil.which("setcap"), reason="needs root and setcap")
def test_more_rights_than_its_user(rig):
    """With the right to read any file, a program must not read those that an ordinary user names and send them somewhere."""
    with tempfile.TemporaryDirectory(prefix="carnot-setcap-") as name:
        program = pathlib.Path(name) / "carnot"
        shutil.copy(BUILD / "src" / "cli" / "carnot", program)
        program.parent.chmod(0o755)
        if subprocess.run(["setcap", "cap_dac_read_search+ep", program], check=False).returncode != 0:
            pytest.skip("this file system keeps no capabilities")
        checks, _ = doctor(*rig.options, program=program, user=65534, group=65534, extra_groups=[], seconds="1s")
    assert checks["redfish"]["state"] == "denied" and "more rights than its user" in checks["redfish"]["text"]
    assert not rig.log
