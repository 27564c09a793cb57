# SPDX-License-Identifier: Apache-2.0
"""The powercap reader on the simulated machine: what it counts is the truth to the microjoule, over wraps, errors,
zones that vanish, and resets."""
import errno
import os
import subprocess
import time

import pytest

from sim import CARNOT_SIM, Probe, Sim

MANUAL = ("--clock", "manual")
ZONES = ("--packages", "2", "--core", "--uncore", "--dram", "--psys", "--mmio")
DOMAINS = ["package-0", "core-0", "uncore-0", "dram-0", "package-1", "core-1", "uncore-1", "dram-1", "psys",
           "package-0-mmio", "package-1-mmio"]


def test_shape():
    with Sim(*MANUAL, *ZONES, "--max-power-uw", "150000000", "--start-uj", "package-1=7") as sim:
        powercap = sim.sys / "class" / "powercap"
        names = sorted(p.name for p in powercap.iterdir())
        assert names == sorted(["intel-rapl", "intel-rapl-mmio", "intel-rapl:0", "intel-rapl:0:0", "intel-rapl:0:1",
                                "intel-rapl:0:2", "intel-rapl:1", "intel-rapl:1:0", "intel-rapl:1:1", "intel-rapl:1:2",
                                "intel-rapl:2", "intel-rapl-mmio:0", "intel-rapl-mmio:1"])
        zone = powercap / "intel-rapl:1"
        assert zone.is_symlink()
        assert (zone / "name").read_text() == "package-1\n"
        assert (zone / "energy_uj").read_text() == "7\n"
        assert (zone / "max_energy_range_uj").read_text() == "262143328850\n"
        assert (zone / "intel-rapl:1:2" / "name").read_text() == "dram\n"
        assert (zone / "intel-rapl:1:2" / "max_energy_range_uj").read_text() == "65712999613\n"
        assert (zone / "constraint_0_max_power_uw").read_text() == "150000000\n"
        assert (zone / "enabled").read_text() == "0\n"
        with pytest.raises(OSError):
            (zone / "energy_uj").write_text("1")


def test_passthrough():
    with Sim(*MANUAL) as sim:
        cpu = sim.sys / "devices" / "system" / "cpu"
        assert (cpu / "online").read_text() == open("/sys/devices/system/cpu/online").read()
        assert sorted(os.listdir(cpu)) == sorted(os.listdir("/sys/devices/system/cpu"))
        assert sorted(os.listdir(sim.sys / "devices" / "system")) == ["cpu", "node"]
        assert not (sim.sys / "kernel").exists()
        with pytest.raises(OSError):
            (cpu / "cpu1" / "online").write_text("1")
    with Sim(*MANUAL, "--passthrough", "") as sim:
        assert set(os.listdir("/sys")) <= set(os.listdir(sim.sys))
        assert (sim.sys / "kernel" / "mm").is_dir()
        assert (sim.sys / "class" / "powercap" / "intel-rapl:0" / "name").read_text() == "package-0\n"


def test_exact_over_many_steps():
    powers = {"package-0": "12.345678W", "core-0": "7uW", "dram-1": "999mW", "psys": "120W"}
    options = [word for zone, power in powers.items() for word in ("--power", f"{zone}={power}")]
    with Sim(*MANUAL, *ZONES, *options) as sim, Probe(sim) as probe:
        assert list(probe.read(0)) == DOMAINS
        now_ns = 0
        for step in range(200):
            ns = 1 + step * 7919917
            now_ns += ns
            sim.tell(f"advance {ns}ns")
            if step == 100:
                sim.tell("power package-1 33.3W")
            readings, truth = probe.read(now_ns / 1e9), sim.truth()
            for name in DOMAINS:
                assert readings[name].total_uj == truth[name].uj, (step, name)
                assert readings[name].kind == "forward"
        assert truth["package-0"].uj == 12345678 * now_ns // 10**9
        assert truth["dram-1"].uj == 999000 * now_ns // 10**9
        assert truth["package-0-mmio"].uj == truth["package-0"].uj
        assert truth["package-1"].uj > 0 and truth["uncore-0"].uj == 0


@pytest.mark.parametrize("options, power_w", [
    ((), 400),
    (("--range-uj", "1000003", "--max-power-uw", "100000000"), 0.3),
    (("--range-uj", "65532610987", "--modulus-uj", "65532611002"), 500),  # 15258 nJ, AMD
])
def test_wraps_from_the_first_reading(options, power_w):
    """The counters start a hair below their modulus; then they wrap again and again."""
    with Sim(*MANUAL, "--dram", *options) as sim:
        modulus = {"package-0": 262143328911, "dram-0": 65712999628}
        if "--modulus-uj" in options:
            modulus = dict.fromkeys(modulus, 65532611002)
        elif options:
            modulus = dict.fromkeys(modulus, 1000003)
    start = [word for zone, m in modulus.items() for word in ("--start-uj", f"{zone}={m - 1}")]
    power = [word for zone in modulus for word in ("--power", f"{zone}={power_w}W")]
    with Sim(*MANUAL, "--dram", *options, *start, *power) as sim, Probe(sim) as probe:
        probe.read(0)
        sim.tell("advance 1ms")
        first = probe.read(0.001)
        assert {name: first[name].kind for name in first} == {"package-0": "wrapped", "dram-0": "wrapped"}
        seconds = min(modulus.values()) / power_w / 1e6 / 7  # seven readings a turn
        now = 0.001
        for _ in range(40):
            sim.tell(f"advance {round(seconds * 1e9)}ns")
            now += seconds
            readings, truth = probe.read(now), sim.truth()
            for name in modulus:
                assert readings[name].total_uj == truth[name].uj
                assert readings[name].wraps == truth[name].wraps
                assert readings[name].resets == readings[name].absurd == 0
        assert readings["dram-0"].wraps >= 6


def test_baseline_is_not_counted():
    """Energy before the first reading is nobody's."""
    with Sim(*MANUAL, "--power", "package-0=10W") as sim:
        sim.tell("advance 100s")
        with Probe(sim) as probe:
            assert probe.read(100)["package-0"].kind == "first"
            sim.tell("advance 1s")
            assert probe.read(101)["package-0"].total_uj == 10_000_000
            assert sim.truth()["package-0"].uj == 1_010_000_000


@pytest.mark.parametrize("code", ["EIO", "EINVAL", "ENODATA", "EACCES"])
def test_errors_lose_nothing(code):
    with Sim(*MANUAL, *ZONES, "--power", "package-0=50W", "--power", "dram-1=3W", "--start-uj",
             "package-0=262143328910") as sim, Probe(sim) as probe:
        probe.read(0)
        sim.tell("advance 1s", f"fail intel-rapl:0 {code}", "advance 1s")
        readings = probe.read(2)
        assert readings["package-0"].status == -getattr(errno, code)
        assert readings["package-0"].total_uj == 0
        assert "intel-rapl:0" in probe.error
        assert readings["dram-1"].total_uj == sim.truth()["dram-1"].uj == 6_000_000
        if code == "EACCES":
            assert "CAP_DAC_READ_SEARCH" in probe.error
        sim.tell("advance 1s", "fail package-0 ok", "advance 1s")
        readings = probe.read(4)
        assert readings["package-0"].status == 0
        assert readings["package-0"].kind == "wrapped"
        assert readings["package-0"].total_uj == sim.truth()["package-0"].uj == 200_000_000
        assert probe.error == ""


def test_no_right_at_all():
    with Sim(*MANUAL, "--packages", "2") as sim:
        sim.tell("fail intel-rapl:0 EACCES", "fail intel-rapl:1 EACCES")
        with Probe(sim) as probe:
            status, said = probe.finish()
        assert status == 77
        assert "intel-rapl:0/energy_uj" in said and "chmod a+r" in said


def test_zone_vanishes_and_comes_back():
    with Sim(*MANUAL, *ZONES, "--power", "package-0=20W", "--power", "core-0=5W", "--power", "psys=40W") as sim, \
            Probe(sim) as probe:
        probe.read(0)
        sim.tell("advance 1s")
        assert probe.read(1)["core-0"].total_uj == 5_000_000
        sim.tell("vanish intel-rapl:0", "advance 1s")
        assert not (sim.sys / "class" / "powercap" / "intel-rapl:0").exists()
        readings = probe.read(2)
        for name in ("package-0", "core-0", "uncore-0", "dram-0"):
            assert readings[name].status in (-errno.ENOENT, -errno.ENODEV)
        assert readings["psys"].total_uj == 80_000_000
        assert "vanished" in probe.error
        sim.tell("restore intel-rapl:0", "advance 1s")
        readings, truth = probe.read(3), sim.truth()
        for name in DOMAINS:
            assert readings[name].status == 0
            assert readings[name].total_uj == truth[name].uj
        # gone and back between two readings: the held descriptor is dead, the path is not
        sim.tell("advance 1s", "vanish intel-rapl:0", "restore intel-rapl:0", "advance 1s")
        readings, truth = probe.read(5), sim.truth()
        assert readings["package-0"].status == 0
        assert readings["package-0"].total_uj == truth["package-0"].uj == 100_000_000


def test_reset_is_flagged_and_invents_nothing():
    with Sim(*MANUAL, "--dram", "--power", "package-0=100W", "--power", "dram-0=2W", "--start-uj",
             "package-0=100000000000", "--start-uj", "dram-0=10000000000") as sim, Probe(sim) as probe:
        probe.read(0)
        sim.tell("advance 1s")
        probe.read(1)
        sim.tell("advance 400ms", "reset package-0", "advance 600ms")
        readings, truth = probe.read(2), sim.truth()
        assert readings["package-0"].kind == "reset"
        assert readings["package-0"].resets == truth["package-0"].resets == 1
        assert readings["package-0"].step_uj == 0
        assert readings["dram-0"].total_uj == truth["dram-0"].uj == 4_000_000
        sim.tell("advance 1s")
        readings, truth = probe.read(3), sim.truth()
        # exactly the second with the reset is missing, and it is the flagged one
        assert truth["package-0"].uj - readings["package-0"].total_uj == 100_000_000


def test_long_silence_is_a_gap():
    with Sim(*MANUAL, "--max-power-uw", "250000000", "--power", "package-0=250W") as sim, Probe(sim) as probe:
        probe.read(0)
        sim.tell("advance 3000s")  # 750 kJ: nearly three turns of 262 kJ
        readings, truth = probe.read(3000), sim.truth()
        assert readings["package-0"].kind == "gap"
        assert readings["package-0"].gaps == 1
        assert readings["package-0"].total_uj == truth["package-0"].uj - 2 * 262143328911  # a lower bound


def test_script(tmp_path):
    script = tmp_path / "power"
    script.write_text("# t zone watts\n0 package-0 10\n1.5 package-0 2.5W\n0.000000001 dram-0 1\n3 package-0 0\n")
    with Sim(*MANUAL, "--dram", "--script", script) as sim:
        sim.tell("advance 1s")
        assert sim.truth()["package-0"].uj == 10_000_000
        sim.tell("advance 10s")
        assert sim.truth()["package-0"].uj == 15_000_000 + 3_750_000
        assert sim.truth()["dram-0"].uj == 10_999_999  # 11 s less a nanosecond, at 1 W, rounded down


@pytest.mark.parametrize("command", ["advance", "advance 1", "power package-0", "power nowhere 1W",
                                     "fail package-0 EWHAT", "dance package-0", "power package-0 1.2345678W"])
def test_refused_commands(command):
    with Sim(*MANUAL) as sim:
        with pytest.raises(OSError) as refused:
            sim.tell(command)
        assert refused.value.errno == errno.EINVAL
        assert command in sim.log_text()
        assert sim.truth()["package-0"].uj == 0


def test_real_clock_and_live():
    """Time passes by itself; this machine's own busy time adds power."""
    with Sim("--power", "package-0=1W", "--live", "50W") as sim:
        with pytest.raises(OSError):
            sim.tell("advance 1s")
        begin, first = time.monotonic(), sim.truth()["package-0"].uj
        while time.thread_time() < 0.3 or time.monotonic() < begin + 0.3:
            pass
        spent = time.monotonic() - begin
        gained = sim.truth()["package-0"].uj - first
        cpus = os.cpu_count()
        assert gained > 1e6 * 0.3  # the idle watt
        assert gained > 50e6 * 0.2  # and most of a CPU that was busy for 0.3 s, counted in ticks of 10 ms
        assert gained < (1 + 50 * cpus) * 1e6 * (spent + 0.1)


def test_two_readers_see_one_truth():
    with Sim(*MANUAL, "--power", "package-0=9W") as sim, Probe(sim) as one, Probe(sim) as two:
        one.read(0)
        two.read(0)
        sim.tell("advance 3s")
        assert one.read(3) == two.read(3)


def test_ends_cleanly():
    sim = Sim(*MANUAL)
    with sim:
        assert os.path.ismount(sim.sys)
        assert sim.stop() == 0
        assert not os.path.ismount(sim.sys)
        assert os.listdir(sim.sys) == []


def test_bad_arguments():
    for argv in (["--packages", "0", "/nowhere"], [], ["--power", "package-9=1W", "/nowhere"],
                 ["--clock", "x", "/nowhere"], ["--start-uj", "262143328911", "/nowhere"]):
        ended = subprocess.run([CARNOT_SIM, *argv], capture_output=True, text=True, check=False)
        assert ended.returncode not in (0, 77)
        assert ended.stderr.startswith("carnot-sim: ")
    assert subprocess.run([CARNOT_SIM, "--help"], capture_output=True, check=True).stdout.startswith(b"usage")
