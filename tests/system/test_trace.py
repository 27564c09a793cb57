# SPDX-License-Identifier: Apache-2.0
"""carnot trace and carnot aliasing-demo on the simulated machine: the energy of a trace is the machine's own, to the microjoule, over
wraps; what the command does passes through; no trace that could not be written is called one."""
import csv
import json
import math
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import tempfile
import xml.etree.ElementTree as ElementTree

import pytest

from agent import BUILD
from sim import Sim
from waiting import wait_for

CARNOT = BUILD / "src" / "cli" / "carnot"
ROOT = os.geteuid() == 0
needs_root = pytest.mark.skipif(not ROOT, reason="needs root: counters are for root alone, as in the kernel")
NOBODY = 65534
MANUAL = ("--clock", "manual")
ZONES = ("--core", "--dram")
POWERS = ("--power", "package-0=25W", "--power", "core-0=15W", "--power", "dram-0=3W")
NAMES = ("package-0", "core-0", "dram-0")
# The package begins 1 J below its wrap (max_energy_range_uj 262143328850), or at the beginning.
STARTS = ("262142328850", "1000")


def clean_env(**more):
    return {**{k: v for k, v in os.environ.items() if k not in ("CARNOT_SOCKET", "COLUMNS", "NO_COLOR")}, "LC_ALL": "C.UTF-8", **more}


def carnot(*argv, program=CARNOT, env=None, **more):
    return subprocess.run([str(program), *map(str, argv)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, check=False, timeout=120,
                          env=env or clean_env(), **more)


def start(*argv, **more):
    return subprocess.Popen([str(CARNOT), *map(str, argv)], stderr=subprocess.PIPE, env=clean_env(), **more)


@pytest.fixture
def machine():
    with Sim(*MANUAL, *ZONES, *POWERS) as sim:
        yield sim


def rows_of(path):
    lines = [line for line in path.read_text().splitlines() if not line.startswith("#")]
    return list(csv.DictReader(lines))


def domains_of(trace):
    return {d["name"]: d for d in trace["summary"]["domains"]}


def advance_script(sim, step, times):
    """A command during which so much simulated time passes."""
    return f"i=0; while [ $i -lt {times} ]; do echo 'advance {step}' > {sim.sys}/.control; i=$((i+1)); done"


# --- energy ---


@needs_root
@pytest.mark.parametrize("start_uj", STARTS)
def test_the_energy_is_the_machines_own(tmp_path, start_uj):
    with Sim(*MANUAL, *ZONES, *POWERS, "--start-uj", f"package-0={start_uj}") as sim:
        sim.tell("advance 7ms")
        before = sim.truth()
        done = carnot("trace", "--path.sysfs", sim.sys, "-o", tmp_path / "t.json", "--", "sh", "-c", advance_script(sim, "37ms", 60) + "; exit 7")
        after = sim.truth()
    assert done.returncode == 7, done.stderr
    trace = json.loads((tmp_path / "t.json").read_text())
    domains = domains_of(trace)
    for name in NAMES:
        true_uj = after[name].uj - before[name].uj
        assert domains[name]["energy_uj"] == domains[name]["command_energy_uj"] == true_uj > 0
        assert domains[name]["wraps"] == after[name].wraps - before[name].wraps
        assert domains[name]["resets"] == domains[name]["gaps"] == domains[name]["absurd"] == domains[name]["failed"] == 0
        assert 1 <= domains[name]["changes"] <= 60
    assert domains["package-0"]["wraps"] == (1 if start_uj == STARTS[0] else 0)
    summary = trace["summary"]
    assert summary["exit_status"] == 7 and summary["overruns"] == 0 and not summary["cut"]
    assert summary["rows"] == len(trace["samples"]) == summary["samples"]
    last = dict(zip(trace["columns"], trace["samples"][-1]))
    assert all(last[f"{name}_energy_uj"] == domains[name]["energy_uj"] for name in NAMES)
    assert b"exit 7" in done.stderr


@needs_root
def test_rows_between_two_updates_are_marked(machine, tmp_path):
    path = tmp_path / "t.csv"
    carnot("trace", "--path.sysfs", machine.sys, "--span", "0s", "-o", path, "--", "sh", "-c", advance_script(machine, "10ms", 20))
    rows = rows_of(path)
    last_uj, seen = 0, 0
    for row in rows:
        uj = int(row["package-0_energy_uj"])
        assert row["package-0_new"] == ("1" if uj > last_uj else "0")
        seen += uj > last_uj
        assert bool(row["package-0_power_w"]) == (uj > last_uj and seen > 1)  # a power takes two changes, and none is 0 W
        if row["package-0_power_w"]:
            assert float(row["package-0_power_w"]) > 0
        last_uj = uj
    assert last_uj == 20 * 250000 and 2 <= seen <= 20
    times = [float(row["time_s"]) for row in rows]
    assert times == sorted(set(times)) and times[0] == 0


@needs_root
def test_the_energy_on_a_running_clock(tmp_path):
    """More than what the command saw from inside, less than what was seen from outside."""
    with Sim(*ZONES, *POWERS, "--live", "10") as sim:
        inside = f"cat {sim.sys}/.truth > {tmp_path}/a; i=0; while [ $i -lt 200000 ]; do i=$((i+1)); done; cat {sim.sys}/.truth > {tmp_path}/b"
        before = sim.truth()
        done = carnot("trace", "--path.sysfs", sim.sys, "-o", tmp_path / "t.json", "--", "sh", "-c", inside)
        after = sim.truth()
    assert done.returncode == 0, done.stderr
    domains = domains_of(json.loads((tmp_path / "t.json").read_text()))

    def inner(name, file):
        return next(int(line.split()[2]) for line in (tmp_path / file).read_text().splitlines() if line.split()[1] == name)
    for name in NAMES:
        assert 0 < inner(name, "b") - inner(name, "a") <= domains[name]["energy_uj"] <= after[name].uj - before[name].uj


@needs_root
def test_a_counter_that_cannot_be_read_for_a_while(machine, tmp_path):
    script = f"echo 'fail dram-0 EIO' > {machine.sys}/.control; {advance_script(machine, '20ms', 20)}; echo 'fail dram-0 ok' > {machine.sys}/.control"
    done = carnot("trace", "--path.sysfs", machine.sys, "-o", tmp_path / "t.json", "--", "sh", "-c", script)
    trace = json.loads((tmp_path / "t.json").read_text())
    domains = domains_of(trace)
    assert domains["dram-0"]["energy_uj"] == machine.truth()["dram-0"].uj == 1200000
    assert domains["dram-0"]["failed"] > 0 and domains["package-0"]["failed"] == 0
    column = trace["columns"].index("dram-0_energy_uj")
    assert sum(row[column] is None for row in trace["samples"]) == domains["dram-0"]["failed"]
    assert b"readings failed" in done.stderr and b"energy_uj" in done.stderr


# --- the command ---


@needs_root
@pytest.mark.parametrize("script,status", [("exit 0", 0), ("exit 42", 42), ("kill -TERM $$", 143), ("kill -KILL $$", 137)])
def test_exit_status_is_the_commands(machine, tmp_path, script, status):
    done = carnot("trace", "--path.sysfs", machine.sys, "--quiet", "-o", tmp_path / "t.json", "--", "sh", "-c", script)
    assert done.returncode == status and done.stderr == b"" and done.stdout == b""
    assert json.loads((tmp_path / "t.json").read_text())["summary"]["exit_status"] == status


@needs_root
def test_commands_that_cannot_start(machine, tmp_path):
    done = carnot("trace", "--path.sysfs", machine.sys, "-o", tmp_path / "t", "--", "no-such-command-anywhere")
    assert done.returncode == 127 and b"command not found" in done.stderr
    script = tmp_path / "plain"
    script.write_text("not executable")
    assert carnot("trace", "--path.sysfs", machine.sys, "-o", tmp_path / "t", "--", script).returncode == 126


@needs_root
def test_stdin_and_stdout_are_the_commands(machine, tmp_path):
    done = carnot("trace", "--path.sysfs", machine.sys, "-o", tmp_path / "t", "cat", input=b"through\n")
    assert done.returncode == 0 and done.stdout == b"through\n"


@needs_root
def test_an_interrupt_is_for_the_command(machine, tmp_path):
    script = "trap 'exit 9' INT; echo ready; while :; do :; done"
    process = start("trace", "--path.sysfs", machine.sys, "-o", tmp_path / "t.json", "--", "sh", "-c", script, stdout=subprocess.PIPE)
    assert process.stdout.readline() == b"ready\n"
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=60)
    assert process.returncode == 9
    assert json.loads((tmp_path / "t.json").read_text())["summary"]["exit_status"] == 9


@needs_root
def test_tracing_may_end_before_the_command(machine, tmp_path):
    mark = tmp_path / "go"
    process = start("trace", "--path.sysfs", machine.sys, "-d", "50ms", "-o", tmp_path / "t.json", "--", "sh", "-c",
                    f"while [ ! -e {mark} ]; do :; done; exit 3")
    sizes = []  # rows come, then no more

    def settled():
        sizes.append(os.path.getsize(tmp_path / "t.json") if (tmp_path / "t.json").exists() else 0)
        return len(sizes) > 20 and sizes[-1] == sizes[-20] > 0
    wait_for(settled, what="the trace to end")
    mark.touch()
    process.communicate(timeout=60)
    trace = json.loads((tmp_path / "t.json").read_text())
    assert process.returncode == 3 and trace["summary"]["cut"] and trace["summary"]["exit_status"] == 3
    assert trace["summary"]["wall_ns"] < trace["summary"]["command_ns"]


# --- without one ---


@needs_root
@pytest.mark.parametrize("sig", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_a_trace_well(machine, tmp_path, sig):
    path = tmp_path / "t.csv"
    process = start("trace", "--path.sysfs", machine.sys, "--rate", "500", "-o", path)
    wait_for(lambda: path.exists() and path.read_text().count("\n") > 30, what="rows")
    machine.tell("advance 100ms")
    process.send_signal(sig)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    assert b"carnot trace\n" in err and b"jitter" in err and b"at 500 a second" in err
    assert path.read_text().endswith("\n")
    assert int(rows_of(path)[-1]["package-0_energy_uj"]) == 2500000  # the last reading came after the signal
    assert path.stat().st_mode & 0o777 == 0o600


@needs_root
def test_duration_and_svg(tmp_path):
    path = tmp_path / "t.svg"
    with Sim(*ZONES, *POWERS) as sim:
        done = carnot("trace", "--path.sysfs", sim.sys, "-d", "300ms", "-o", path)
    assert done.returncode == 0, done.stderr
    names = {"svg": "http://www.w3.org/2000/svg"}
    root = ElementTree.parse(path).getroot()
    assert root.tag == "{http://www.w3.org/2000/svg}svg"
    paths = root.findall("svg:path", names)
    assert len(paths) == 3 and all(p.get("d", "").startswith("M") for p in paths)
    assert not [e for e in root.iter() if e.tag.endswith("script") or any("href" in a or a.startswith("on") for a in e.attrib)]
    words = [e.text for e in root.iter() if e.tag.endswith("text")]
    assert {"time, s", "power, W", *NAMES} <= set(words)


@needs_root
def test_to_stdout(machine):
    done = carnot("trace", "--path.sysfs", machine.sys, "-d", "30ms", "-q")
    assert done.returncode == 0 and done.stderr == b"" and done.stdout.startswith(b"# carnot trace, version 1\n")
    done = carnot("trace", "--path.sysfs", machine.sys, "-d", "30ms", "-q", "-o", "-", "--format", "json")
    assert json.loads(done.stdout)["rate_hz"] == 1000


# --- files that take nothing ---


@needs_root
def test_output_that_cannot_be_opened(machine, tmp_path):
    mark = tmp_path / "ran"
    for path, status in ((tmp_path / "no" / "such", 66), (tmp_path, 70)):
        done = carnot("trace", "--path.sysfs", machine.sys, "-o", path, "--", "touch", mark)
        assert done.returncode == status and b"--output: cannot write" in done.stderr
    assert not mark.exists()


@needs_root
def test_a_full_disk(machine, tmp_path):
    mark = tmp_path / "ran"
    for script, status in ((f"touch {mark}", 74), ("exit 5", 5)):
        done = carnot("trace", "--path.sysfs", machine.sys, "-o", "/dev/full", "--", "sh", "-c", script)
        assert done.returncode == status and b"not complete: cannot write /dev/full: No space left on device" in done.stderr
    assert mark.exists()
    # Without a command there is nothing to go on for.
    done = carnot("trace", "--path.sysfs", machine.sys, "-o", "/dev/full")
    assert done.returncode == 74 and b"No space left" in done.stderr


@needs_root
def test_a_reader_that_has_seen_enough(machine):
    process = start("trace", "--path.sysfs", machine.sys, "-q", stdout=subprocess.PIPE)
    assert process.stdout.readline() == b"# carnot trace, version 1\n"
    process.stdout.close()
    assert process.wait(60) == 0
    process.stderr.close()


@needs_root
def test_a_reader_that_does_not_read(machine):
    """The first signal ends the trace, which then cannot be written; the next one ends the waiting."""
    ours, theirs = os.pipe()
    other = os.open(f"/proc/self/fd/{theirs}", os.O_WRONLY | os.O_NONBLOCK)
    with pytest.raises(BlockingIOError):
        while True:
            os.write(other, b".")
    process = start("trace", "--path.sysfs", machine.sys, "--max-samples", "16", stdout=theirs)

    def has_threads():
        tasks = pathlib.Path(f"/proc/{process.pid}/task")
        return {"burst", "writer"} <= {(task / "comm").read_text().strip() for task in tasks.iterdir()}

    def has_ended():
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
        return process.poll() is not None
    wait_for(has_threads, what="its threads")
    wait_for(has_ended, what="the end")
    assert process.returncode == 128 + signal.SIGTERM
    assert b"it is not complete" in process.stderr.read()
    process.stderr.close()
    for fd in (other, theirs, ours):
        os.close(fd)


# --- what is refused ---


@needs_root
@pytest.mark.parametrize("options,status,sentence", [
    (("--rate", "0"), 64, "once a millisecond"),
    (("--rate", "1001"), 64, "once a millisecond"),
    (("--rate", "fast"), 64, "rate"),
    (("--span", "2s"), 64, "--span"),
    (("--max-samples", "1"), 64, "max-samples"),
    (("--agent", "required"), 64, "reads the counters itself"),
    (("--", "true"), 64, "--output FILE"),
])
def test_refusals(machine, options, status, sentence):
    done = carnot("trace", "--path.sysfs", machine.sys, "-d", "10ms", *options)
    assert done.returncode == status and sentence in done.stderr.decode() and done.stdout == b""


def test_no_fast_counter(tmp_path):
    (tmp_path / "sys").mkdir()
    done = carnot("trace", "--path.sysfs", tmp_path / "sys", "-d", "10ms")
    assert done.returncode == 69 and b"carnot doctor" in done.stderr and b"--model" in done.stderr
    done = carnot("trace", "--path.sysfs", tmp_path / "sys", "--model", "-d", "10ms")
    assert done.returncode == 0 and b"# rate_hz: 1\n" in done.stdout
    assert b"modelled" in done.stdout or b"default" in done.stdout
    assert b"(not 1000: " in done.stderr


def plain_tree(directory, mode):
    """Counters that stand still, in plain files."""
    zone = directory / "sys" / "class" / "powercap" / "intel-rapl:0"
    zone.mkdir(parents=True)
    for name, text in (("name", "package-0"), ("max_energy_range_uj", "262143328850"), ("energy_uj", "1000")):
        (zone / name).write_text(text + "\n")
    (zone / "energy_uj").chmod(mode)
    return directory / "sys"


@needs_root
def test_without_rights():
    with tempfile.TemporaryDirectory(prefix="carnot-") as directory:
        os.chmod(directory, 0o755)
        shutil.copy(CARNOT, f"{directory}/carnot")
        nobody = {"program": f"{directory}/carnot", "user": NOBODY, "group": NOBODY, "extra_groups": [], "cwd": "/"}
        closed, opened = pathlib.Path(directory, "closed"), pathlib.Path(directory, "open")
        done = carnot("trace", "-d", "10ms", "--path.sysfs", plain_tree(closed, 0o400), **nobody)
        assert done.returncode == 77 and b"cannot be read" in done.stderr
        done = carnot("trace", "-d", "50ms", "--path.sysfs", plain_tree(opened, 0o444), **nobody)
        assert done.returncode == 0 and b"ordinary priority" in done.stderr and b"the counter did not move" in done.stderr


# --- the demo of aliasing ---


def naive_loss(energy, modulus):
    turns, rest = divmod(energy, modulus)
    return (turns * modulus + rest * rest / modulus) / energy


def test_simulated_demo_against_the_formulas():
    done = carnot("aliasing-demo", "--simulate", "--json", "--duration", "12h")
    report = json.loads(done.stdout)
    assert done.returncode == 0 and report["simulated"] and report["poll_interval_ns"] == 15 * 10**9
    assert {c["modulus_uj"] for c in report["counters"]} == {65536 * 10**6, 262144 * 10**6, 2**32}
    assert {c["power_uw"] for c in report["counters"]} == {50 * 10**6, 150 * 10**6, 300 * 10**6, 600 * 10**6}
    for c in report["counters"]:
        energy, modulus = c["power_uw"] * 15, c["modulus_uj"]
        assert c["exact_uj"] == c["true_uj"] == c["power_uw"] * 43200
        assert c["wraps"] == c["true_uj"] // modulus
        assert c["naive_loss"] == pytest.approx(1 - c["naive_uj"] / c["true_uj"], abs=1e-12)
        assert c["expected_naive_loss"] == pytest.approx(naive_loss(energy, modulus), rel=1e-9)
        assert c["naive_loss"] == pytest.approx(naive_loss(energy, modulus), abs=1 / c["polls"])
        assert c["one_wrap_loss"] == pytest.approx(energy // modulus * modulus / energy, abs=1e-12)
    assert report["bursts"]["ours"] == {"lowest_uw": 50 * 10**6, "highest_uw": 600 * 10**6}
    assert report["bursts"]["poller"]["highest_uw"] < 150 * 10**6


def test_without_counters_it_is_simulated_and_says_so(tmp_path):
    (tmp_path / "sys").mkdir()
    done = carnot("aliasing-demo", "--path.sysfs", tmp_path / "sys", "--svg", tmp_path / "a.svg", env=clean_env(LC_ALL="C"))
    text = done.stdout.decode()
    assert done.returncode == 0 and text.isascii()
    assert "simulated instead" in text and "nothing of this was measured" in text
    assert ElementTree.parse(tmp_path / "a.svg").getroot().tag.endswith("svg")
    done = carnot("aliasing-demo", "--path.sysfs", tmp_path / "sys")
    assert "█" in done.stdout.decode()


@needs_root
def test_measured_demo():
    """A counter that wraps every 4 s: the poller's loss is what it dropped, one wrap mends it, ours is the machine's own."""
    with Sim("--range-uj", "400000000", "--max-power-uw", "100000000", "--power", "package-0=100W") as sim:
        done = carnot("aliasing-demo", "--path.sysfs", sim.sys, "--interval", "1s", "--duration", "9s", "--load", "0", "--json")
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    counter = report["counters"][0]
    assert not report["simulated"] and report["compared_ns"] >= 9 * 10**9 and counter["polls"] == 9
    # The reader takes the range told by this machine for the largest value, one unit below the modulus.
    assert counter["wraps"] == counter["dropped"] >= 2
    assert counter["one_wrap_uj"] == counter["exact_uj"]
    assert counter["naive_uj"] < counter["exact_uj"] and counter["naive_loss"] > 0
    assert counter["naive_loss"] == pytest.approx(1 - counter["naive_uj"] / counter["exact_uj"], abs=1e-12)
    assert math.isclose(counter["exact_uj"], report["compared_ns"] / 10, rel_tol=0.02)  # 100 W
    assert report["bursts"]["period_ns"] == 0


@needs_root
def test_measured_demo_without_a_counter_that_cannot_be_read():
    with Sim(*ZONES, *POWERS) as sim:
        sim.tell("fail dram-0 EIO")
        done = carnot("aliasing-demo", "--path.sysfs", sim.sys, "--interval", "1s", "--duration", "1s", "--json")
        report = json.loads(done.stdout)
        assert done.returncode == 0 and [c["name"] for c in report["counters"]] == ["package-0", "core-0"]
        assert report["bursts"]["burst_ns"] == 10**9 // 15
        for zone in NAMES:
            sim.tell(f"fail {zone} EIO")
        done = carnot("aliasing-demo", "--path.sysfs", sim.sys, "--interval", "1s", "--duration", "1s")
        assert done.returncode == 69 and b"did not answer" in done.stderr and done.stdout == b""


@pytest.mark.parametrize("options", [("--interval", "150ms"), ("--interval", "1050ms"), ("--svg", "/no/such/file", "--simulate")])
def test_demo_refusals(options):
    done = carnot("aliasing-demo", *options)
    assert done.returncode in (64, 66) and b"carnot aliasing-demo: " in done.stderr


if __name__ == "__main__":
    sys.exit(pytest.main([__file__]))
