# SPDX-License-Identifier: Apache-2.0
"""carnot calibrate on the simulated machine: the watts that the script gave it, and those that this machine's own load gives a live one,
are found within what the twin's own ledger allows; and they are used. Simulated energy, real time and real load."""
import json
import os
import pathlib
import pty
import re
import signal
import subprocess
import threading
import time
from typing import NamedTuple

import pytest

from agent import BUILD, Agent
from sim import Sim
from waiting import wait_for

CARNOT = BUILD / "src" / "cli" / "carnot"
SHORT = ("--idle-time", "2s", "--load-time", "2s", "--drop-time", "1s")
ANY_LOAD = ("--busy-limit", "100")  # others may be at work on the machine that runs this
N_CPUS = len(os.sched_getaffinity(0))


def argv(sim, *more):
    return [str(CARNOT), "calibrate", "--path.sysfs", str(sim.sys), *map(str, more)]


def calibrate(sim, *more, **popen):
    return subprocess.run(argv(sim, *more), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, check=False, timeout=240, **popen)


class Entry(NamedTuple):
    before_ns: int
    after_ns: int
    uj: dict  # alias of the zone -> true energy, at some time between the two


class Ledger:
    """What the twin truly used, written down again and again with the time: energy between two moments lies within bounds that follow
    from it alone. Energy never falls, so that the entries before and after a moment hold it."""

    def __init__(self, sim):
        self.sim = sim
        self.entries = []
        self.stop = threading.Event()
        self.thread = threading.Thread(target=self._write)

    def _entry(self):
        before = time.monotonic_ns()
        truth = {alias: t.uj for alias, t in self.sim.truth().items()}
        self.entries.append(Entry(before, time.monotonic_ns(), truth))

    def _write(self):
        while not self.stop.wait(0.01):  # bounds the rate; a late entry only widens the bounds
            self._entry()

    def __enter__(self):
        self._entry()
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.stop.set()
        self.thread.join()
        self._entry()

    def at(self, zone, early_ns, late_ns):
        """Least and most energy that a reading taken between the two times can have seen."""
        least = max(e.uj[zone] for e in self.entries if e.after_ns <= early_ns)
        # late_ns is the slower of two readings: the program may have ended before that, and the last entry is of later still
        most = min((e.uj[zone] for e in self.entries if e.before_ns >= late_ns), default=self.entries[-1].uj[zone])
        return least, most

    def check(self, zone, figure):
        """A figure of calibrate --json: its energy is the truth between its two readings."""
        late = figure["late_ns"]
        begin_least, begin_most = self.at(zone, figure["begin_mono_ns"], figure["begin_mono_ns"] + late)
        end_least, end_most = self.at(zone, figure["end_mono_ns"], figure["end_mono_ns"] + late)
        assert end_least - begin_most <= figure["energy_uj"] <= end_most - begin_least
        if figure["power_uw"] is not None:
            assert figure["power_uw"] == figure["energy_uj"] * 10**9 // (figure["end_mono_ns"] - figure["begin_mono_ns"])


def power_bounds(figure):
    """Watts that a constant power may have had: the readings may lie late_ns apart from the times they carry."""
    ns = figure["end_mono_ns"] - figure["begin_mono_ns"]
    return (figure["energy_uj"] - 1) * 1e3 / (ns + figure["late_ns"]), (figure["energy_uj"] + 1) * 1e3 / (ns - figure["late_ns"])


def domains_of(report):
    return {d["name"]: d for d in report["domains"]}


def test_scripted_watts(tmp_path):
    """Zones with a power that only the script moves: whoever else runs here changes nothing. When calibrate says that the CPUs are busy,
    the script raises the power, as a load would."""
    out = tmp_path / "c.json"
    zones = ("--packages", "1", "--core", "--dram", "--mmio", "--start-uj", f"package-0={262143328911 - 186_000_000}")  # wraps under load
    idle = {"package-0": 20, "core-0": 8, "dram-0": 3}
    loaded = {"package-0": 60, "core-0": 45, "dram-0": 4.5}
    powers = [word for zone, w in idle.items() for word in ("--power", f"{zone}={w}W")]
    with Sim(*zones, *powers) as sim, Ledger(sim) as ledger:
        with subprocess.Popen(argv(sim, *SHORT, *ANY_LOAD, "--json", "-o", out), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as p:
            for line in p.stderr:
                if "load: the first" in line:
                    sim.tell(*(f"power {zone} {w}W" for zone, w in loaded.items()))
                    told_ns = time.monotonic_ns()
            text = p.stdout.read()
        assert p.returncode == 0
        assert sim.truth()["package-0"].wraps == 1
    report = json.loads(text)
    domains = domains_of(report)
    assert set(domains) == set(idle)  # the package seen twice (mmio) is no domain of its own
    for name, d in domains.items():
        ledger.check(name, d["idle"])
        ledger.check(name, d["loaded"])
        low, high = power_bounds(d["idle"])
        assert low <= idle[name] <= high
        low, high = power_bounds(d["loaded"])
        assert told_ns > d["loaded"]["begin_mono_ns"] or low <= loaded[name] <= high
    assert report["idle_w"] == pytest.approx(sum(domains[n]["idle"]["power_uw"] for n in ("package-0", "dram-0")) / 1e6)
    assert report["loaded_w"] == pytest.approx(sum(domains[n]["loaded"]["power_uw"] for n in ("package-0", "dram-0")) / 1e6)

    written = json.loads(out.read_text())
    assert os.stat(out).st_mode & 0o7777 == 0o644
    assert written["carnot_calibration"] == 1 and written["method"] == "rapl" and written["threads"] == report["threads"]
    for d in written["domains"]:
        assert d["idle_uw"] == domains[d["name"]]["idle"]["power_uw"] and d["loaded_uw"] == domains[d["name"]]["loaded"]["power_uw"]
    assert os.listdir(tmp_path) == ["c.json"]


def test_live_watts(tmp_path):
    """Zones that draw more for each busy CPU of this machine. Idle is what the twin has without them and for whatever else runs here;
    loaded is the twin's idle watts and a full CPU's for each CPU."""
    base, per_cpu = 10, 25
    with Sim("--dram", "--power", f"package-0={base}W", "--power", "dram-0=2W", "--live", f"{per_cpu}W") as sim, Ledger(sim) as ledger:
        done = calibrate(sim, *SHORT, *ANY_LOAD, "--wait-time", "1m", "--json", "-o", tmp_path / "c.json")
    if done.returncode == 69:  # the load of others was never steady for two seconds
        assert "never got quiet" in done.stderr and not (tmp_path / "c.json").exists()
        pytest.skip("the load of others on this machine never stood still")
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    for name, d in domains_of(report).items():
        ledger.check(name, d["idle"])
        ledger.check(name, d["loaded"])
    package = domains_of(report)["package-0"]
    assert power_bounds(package["idle"])[1] >= base
    # /proc/stat counts in ticks of 10 ms: at each end of the phase a tick of each CPU may be counted late.
    seconds = (package["loaded"]["end_mono_ns"] - package["loaded"]["begin_mono_ns"]) / 1e9
    assert power_bounds(package["loaded"])[0] - 2 * 0.01 * N_CPUS * per_cpu / seconds <= base + per_cpu * N_CPUS
    if package["loaded"]["power_uw"]:
        assert report["loaded_w"] > report["idle_w"] and report["load_busy_ppm"] >= 900000
    else:  # others keep every CPU busy all the time: then there is nothing to be told apart, and it says so
        assert report["loaded_w"] is None and report["loaded_unknown_because"]


def test_a_counter_that_never_moves(tmp_path):
    """Memory that some processors count without ever counting: not known, not 0 W, and no reason to refuse the file; of a package it is an error."""
    with Sim("--dram", "--power", "package-0=20W") as sim:
        done = calibrate(sim, *SHORT, *ANY_LOAD, "--json", "-o", tmp_path / "c.json")
        assert done.returncode == 0, done.stderr
        report = json.loads(done.stdout)
        domains = domains_of(report)
        assert list(domains) == ["package-0", "dram-0"] and report["idle_w"] > 0
        assert not domains["dram-0"]["in_total"] and domains["dram-0"]["idle"]["power_uw"] is None
        top = subprocess.run([CARNOT, "top", "--once", "--agent=never", "--path.sysfs", sim.sys, "--calibration.file", tmp_path / "c.json"],
                             stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, check=False, timeout=120)
        assert top.returncode == 0, top.stderr
        sim.tell("power package-0 0W")
        done = calibrate(sim, *SHORT, *ANY_LOAD, "-o", tmp_path / "d.json")
        assert done.returncode in (69, 74) and not (tmp_path / "d.json").exists()


def test_the_other_forms(tmp_path):
    """EnergAt's four keys by socket, and Bio_pype's two figures, of two packages; EnergAt's flag for the time."""
    powers = {"package-0": 20, "dram-0": 3, "package-1": 30, "dram-1": 4}
    with Sim("--packages", "2", "--dram", *(w for z, p in powers.items() for w in ("--power", f"{z}={p}W"))) as sim:
        done = calibrate(sim, *SHORT[2:], *ANY_LOAD, "--base_period", "2", "--format", "energat", "--json", cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        report, baseline = json.loads(done.stdout), json.loads((tmp_path / "baseline_power.json").read_text())
        assert report["idle_ns"] < 6e9  # and not the usual ten seconds
        assert list(baseline) == ["pkg_base_w", "dram_base_w", "pkg_base_percents", "dram_base_percents"]
        for key, kind in (("pkg_base_w", "package"), ("dram_base_w", "dram")):
            assert baseline[key] == [domains_of(report)[f"{kind}-{n}"]["idle"]["power_uw"] / 1e6 for n in range(2)]
        assert all(len(v) == 2 and all(0 <= p <= 100 for p in v) for v in (baseline["pkg_base_percents"], baseline["dram_base_percents"]))
        # power that does not rise under load: loaded watts are not known, and Bio_pype's form cannot do without
        done = calibrate(sim, *SHORT, *ANY_LOAD, "--format", "bio_pype", cwd=tmp_path)
        if done.returncode == 0:  # a difference of microwatts, by the times of the readings
            assert json.loads((tmp_path / "power.json").read_text())["domains"] == list(powers)
        else:
            assert done.returncode == 64 and "loaded power of the node is not known" in done.stderr
            assert not (tmp_path / "power.json").exists()


def test_root_writes_where_the_meter_looks(tmp_path):
    if os.geteuid() != 0:
        pytest.skip("needs root: the machine's own file is root's")
    with Sim("--power", "package-0=20W", "--live", "20W") as sim:
        done = calibrate(sim, *SHORT, *ANY_LOAD, "--wait-time", "1m", "--path.rootfs", tmp_path, preexec_fn=lambda: os.umask(0o077))
        if done.returncode == 69:
            pytest.skip("the load of others on this machine never stood still")
        assert done.returncode == 0, done.stderr
        path = tmp_path / "var/lib/carnot/calibration.json"
        assert str(path) in done.stdout
        assert path.stat().st_mode & 0o777 == 0o644 and path.parent.stat().st_mode & 0o777 == 0o755
        assert re.search(r"^idle_w \d", done.stdout, re.M) and re.search(r"^loaded_w (\d|unknown)", done.stdout, re.M)
        doctor = subprocess.run([CARNOT, "doctor", "--json", "--duration=1s", "--path.sysfs", sim.sys, "--path.rootfs", tmp_path],
                                stdout=subprocess.PIPE, check=False, timeout=120)
        told = json.loads(doctor.stdout)
        check = next(c for c in told["checks"] if c["subject"] == "calibration")
        assert check["state"] == "ok" and str(path) in check["text"]
        assert f"calibration: {path} (rapl, " in told["description"] and "idle power of package-0 " in told["description"]


@pytest.fixture(name="calibration")
def fixture_calibration(tmp_path):
    """A file of this machine with 12 W idle, by hand: what it says of the machine is what calibrate would say."""
    with Sim("--power", "package-0=12W") as sim:
        done = calibrate(sim, *SHORT, *ANY_LOAD, "-o", tmp_path / "c.json")
    assert done.returncode == 0, done.stderr
    content = json.loads((tmp_path / "c.json").read_text())
    content["domains"][0]["idle_uw"] = 12_000_000
    content["domains"][0]["loaded_uw"] = None
    (tmp_path / "c.json").write_text(json.dumps(content))
    return tmp_path / "c.json"


def test_idle_power_is_used(calibration):
    """In every window 12 W of the 20 W are idle, whatever runs: not by utilisation."""
    with Sim("--power", "package-0=20W") as sim, Agent("--path.sysfs", str(sim.sys), "--calibration.file", str(calibration)) as agent:
        assert f"{calibration} (rapl" in agent.log_text() and "idle power of package-0 12 W" in agent.log_text()
        seq = agent.snapshot()["seq"]
        for _ in range(2):
            snapshot = agent.next_snapshot(seq + 1)  # a whole window after the first
            seq = snapshot["seq"]
            domain = next(d for d in snapshot["domains"] if d["name"] == "package-0")
            assert domain["entities"]["idle"]["window_uj"] == pytest.approx(12_000_000 * domain["span_ns"] / 1e9, abs=3)
        assert agent.value("carnot_conservation_error_joules") == 0


def test_a_file_of_another_machine(calibration, tmp_path):
    content = json.loads(calibration.read_text())
    other = tmp_path / "other.json"
    with Sim("--power", "package-0=20W") as sim:
        def doctor(*options):
            done = subprocess.run([CARNOT, "doctor", "--json", "--duration=1s", "--path.sysfs", sim.sys, *options], stdout=subprocess.PIPE,
                                  stderr=subprocess.PIPE, check=False, timeout=120)
            told = json.loads(done.stdout)
            return told, next(c for c in told["checks"] if c["subject"] == "calibration")

        for change, sentence in (({"cpu_model": "Another CPU"}, 'its processor is "Another CPU"'), ({"threads": 4000}, "4000 threads were online there"),
                                 ({"packages": 33}, "it has 33 packages"),
                                 ({"domains": [{**content["domains"][0], "name": "package-7", "package": 7}]}, "does not know package-0")):
            other.write_text(json.dumps({**content, **change}))
            run = subprocess.run([CARNOT, "top", "--once", "--agent=never", "--path.sysfs", sim.sys, "--calibration.file", other],
                                 stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, check=False, timeout=120)
            assert run.returncode == 64 and sentence in run.stderr and str(other) in run.stderr
            # the default file is left alone instead, and doctor says why
            root = tmp_path / "root"
            (root / "var/lib/carnot").mkdir(parents=True, exist_ok=True)
            (root / "var/lib/carnot/calibration.json").write_text(other.read_text())
            told, check = doctor("--path.rootfs", str(root))
            assert "calibration: not used: " in told["description"] and sentence in told["description"]
            assert told["measured"]["node_uj"] > 0
            if "domains" not in change:  # which counters there are, only measuring tells
                assert check["state"] == "missing" and check["matters"] and sentence in check["text"] and "carnot calibrate" in check["remedy"]
        _, check = doctor("--calibration.file", str(tmp_path / "absent"))
        assert check["state"] == "missing" and "absent" in check["text"]
        _, check = doctor("--calibration.file", "none")
        assert check["state"] == "unused"


def threads_of(process):
    return len(os.listdir(f"/proc/{process.pid}/task"))


@pytest.mark.parametrize("sig", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("phase", ["idle: measuring", "load: measuring"])
def test_interrupted(tmp_path, sig, phase):
    """No file, nothing half-written, no thread left."""
    out = tmp_path / "c.json"
    out.write_text("the old one")
    with Sim("--power", "package-0=20W") as sim:
        times = ("--idle-time", "60s" if "idle" in phase else "2s", "--load-time", "60s", "--drop-time", "1s")
        with subprocess.Popen(argv(sim, *times, *ANY_LOAD, "-o", out), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                              preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL)) as p:
            for line in p.stderr:
                if phase in line:
                    break
            assert threads_of(p) == (1 if "idle" in phase else 1 + N_CPUS)
            begin = time.monotonic()
            p.send_signal(sig)
            said = p.stderr.read()
            assert p.wait(60) == 128 + sig and p.stdout.read() == ""
            assert time.monotonic() - begin < 30  # at once, but this machine may be busy
        assert "interrupted; nothing was written" in said
    assert out.read_text() == "the old one" and os.listdir(tmp_path) == ["c.json"]


def test_a_machine_that_never_gets_quiet(tmp_path):
    """A busy loop beside it: refused in time, and named."""
    spinner = subprocess.Popen(["sh", "-c", "while :; do :; done"])
    try:
        with Sim("--power", "package-0=20W") as sim:
            done = calibrate(sim, *SHORT, "--wait-time", "1s", "--busy-limit", "0.5", "-o", tmp_path / "c.json")
    finally:
        spinner.kill()
        spinner.wait()
    assert done.returncode == 69 and done.stdout == ""
    assert "never got quiet" in done.stderr and "--busy-limit" in done.stderr and re.search(r"busiest was .+ \(pid \d+\) with \d+ % of a CPU", done.stderr)
    assert os.listdir(tmp_path) == []


def test_power_that_moves_is_not_idle(tmp_path):
    """A quarter more every second, by the script: no two seconds in a row are alike."""
    script = tmp_path / "script"
    script.write_text("".join(f"{t / 20} package-0 {10 * 1.25 ** (t / 20):.3f}W\n" for t in range(600)))
    with Sim("--script", str(script)) as sim:
        done = calibrate(sim, *SHORT, *ANY_LOAD, "--wait-time", "2s", "-o", tmp_path / "c.json")
    assert done.returncode == 69 and re.search(r"power was between [\d.]+ and [\d.]+ W", done.stderr)
    assert os.listdir(tmp_path) == ["script"]


def test_a_model_is_no_calibration(tmp_path):
    """Counters that may not be read, or none: nothing is written, but for Bio_pype's form, which says that it is a model's."""
    with Sim() as sim:
        sim.tell("fail package-0 EACCES")
        done = calibrate(sim, *SHORT, "-o", tmp_path / "c.json")
        assert done.returncode == 77 and "energy_uj" in done.stderr
        sim.tell("vanish package-0")
        done = calibrate(sim, *SHORT, "-o", tmp_path / "c.json")
        assert done.returncode == 69 and "is modelled" in done.stderr and "--format bio_pype" in done.stderr
        assert os.listdir(tmp_path) == []
        begin = time.monotonic()
        done = calibrate(sim, "--format", "bio_pype", "-o", tmp_path / "p.json")
        assert done.returncode == 0 and "Nothing was measured" in done.stdout
        assert time.monotonic() - begin < 30  # 33 s of measuring were not done
        power = json.loads((tmp_path / "p.json").read_text())
        assert power["method"] == "tdp" and power["quality"] in ("modelled", "default") and power["duration_s"] == 0
        assert 0 < power["idle_w"] < power["loaded_w"]
        top = subprocess.run([CARNOT, "top", "--once", "--agent=never", "--path.sysfs", sim.sys, "--calibration.file", tmp_path / "p.json"],
                             stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True, check=False, timeout=120)
        assert top.returncode == 64 and "figures of a model" in top.stderr


def test_refused_before_a_minute_is_spent(tmp_path):
    with Sim("--power", "package-0=20W") as sim:
        for output, status in ((tmp_path / "no" / "c.json", 66), (tmp_path, 64), ("/dev/null", 64)):
            done = calibrate(sim, "-o", output)  # of the usual length: it must not get so far
            assert done.returncode == status and "measuring" not in done.stderr, done.stderr
        for wrong in (("--idle-time", "1s"), ("--busy-limit", "101"), ("--format", "xml"), ("--idle-time", "4s", "--base_period", "3"), ("operand",)):
            assert calibrate(sim, *wrong).returncode == 64


def test_a_zone_that_breaks(tmp_path):
    with Sim("--power", "package-0=20W") as sim:
        with subprocess.Popen(argv(sim, *SHORT, *ANY_LOAD, "-o", tmp_path / "c.json"), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as p:
            for line in p.stderr:
                if "load: the first" in line:
                    sim.tell("reset package-0", "fail package-0 EIO")
                    break
            said = p.stderr.read()
            assert p.wait(120) == 74
    assert "package-0 cannot be read" in said and os.listdir(tmp_path) == []


def test_bar_on_a_terminal(tmp_path):
    with Sim("--power", "package-0=20W") as sim:
        command = argv(sim, *SHORT, *ANY_LOAD, "-o", tmp_path / "c.json")
        pid, fd = pty.fork()
        if pid == 0:
            os.execve(command[0], command, {**os.environ, "LC_ALL": "C.UTF-8", "TERM": "xterm", "COLUMNS": "100"})
        text = b""

        def ended():
            nonlocal text
            try:
                text += os.read(fd, 65536)
                return False
            except OSError:  # the terminal was closed
                return True
        wait_for(ended, seconds=120, what="the end of carnot calibrate")
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
        os.close(fd)
    shown = text.decode()
    assert re.search(r"\ridle +[█░]{24}  2 of 2 s  [\d.]+ W.*\x1b\[K", shown) and re.search(r"\rload +[█░]{24}  2 of 2 s", shown)
    assert "carnot calibrate:" not in shown and "idle_w " in shown


def test_completion_knows_it():
    text = pathlib.Path(__file__).parents[2].joinpath("packaging/completions/carnot.bash").read_text()
    assert text.count(" calibrate ") >= 2 and "carnot energat bio_pype" in text
