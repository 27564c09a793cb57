# SPDX-License-Identifier: Apache-2.0
"""The program carnot on this machine: what it passes through, what it tells, with an agent, without one, without rights."""
import csv
import io
import json
import os
import pathlib
import pty
import re
import shutil
import signal
import subprocess
import sys
import tempfile

import pytest

from agent import BUILD, Agent, wait_for

CARNOT = BUILD / "src" / "cli" / "carnot"
ROOT = os.geteuid() == 0
needs_root = pytest.mark.skipif(not ROOT, reason="needs root: to be another user, or BPF")
NOBODY = 65534

# Uses so much CPU time, then says how much it was.
SPIN = """
import sys, time
while time.process_time() < float(sys.argv[1]):
    pass
print(time.process_time())
"""


def clean_env(**more):
    env = {k: v for k, v in os.environ.items() if k not in ("CARNOT_SOCKET", "COLUMNS", "NO_COLOR")}
    return {**env, "LC_ALL": "C.UTF-8", **more}


def carnot(*argv, program=CARNOT, env=None, **more):
    return subprocess.run([str(program), *map(str, argv)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, check=False,
                          timeout=120, env=env or clean_env(), **more)


def run_json(*argv, **more):
    """carnot run --json: (the object on stderr, stdout, status)"""
    done = carnot("run", "--json", *argv, **more)
    return json.loads(done.stderr), done.stdout, done.returncode


def sh(script):
    return ["--", "sh", "-c", script]


# --- what passes through ---


@pytest.mark.parametrize("script,status", [("exit 0", 0), ("exit 1", 1), ("exit 42", 42), ("exit 255", 255), ("kill -TERM $$", 143),
                                           ("kill -KILL $$", 137), ("kill -INT $$", 130)])
def test_exit_status_is_the_commands(script, status):
    report, _, got = run_json("--agent=never", *sh(script))
    assert got == status
    assert report["exit_status"] == status
    assert report["repeats"][0]["signal"] == (status - 128 if script.startswith("kill") else 0)


def test_commands_that_cannot_start(tmp_path):
    done = carnot("run", "--agent=never", "--", "no-such-command-anywhere")
    assert done.returncode == 127 and b"command not found" in done.stderr and done.stdout == b""
    script = tmp_path / "plain"
    script.write_text("not executable")
    done = carnot("run", "--agent=never", "--", script)
    assert done.returncode == 126 and b"plain" in done.stderr


def test_stdin_and_stdout_are_untouched():
    data = bytes(range(256)) * 4096
    done = carnot("run", "--agent=never", "--", "cat", input=data)
    assert done.returncode == 0
    assert done.stdout == data
    assert b"carnot: cat" in done.stderr


def test_options_of_the_command_are_its_own():
    done = carnot("run", "--agent=never", "--quiet", "echo", "--json", "-r", "3", "--help")
    assert done.stdout == b"--json -r 3 --help\n" and done.stderr == b""


CATCH = """
import os, signal, sys
caught = []
for sig in map(int, sys.argv[1:]):
    signal.signal(sig, lambda s, f: caught.append(s))
print("ready", flush=True)
while not caught:
    signal.pause()
print(caught[0], flush=True)
sys.exit(7)
"""


@pytest.mark.parametrize("sig", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT, signal.SIGQUIT, signal.SIGUSR1, signal.SIGUSR2, signal.SIGWINCH])
def test_signals_are_handed_on(sig):
    process = subprocess.Popen([str(CARNOT), "run", "--agent=never", "--json", "--", sys.executable, "-c", CATCH, str(int(sig))],
                               stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=clean_env())
    assert process.stdout.readline() == b"ready\n"
    process.send_signal(sig)
    out, err = process.communicate(timeout=60)
    assert out == b"%d\n" % sig
    assert process.returncode == 7
    assert json.loads(err)["exit_status"] == 7


class Terminal:
    """A program on a pseudo terminal of its own."""

    def __init__(self, argv):
        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            os.execve(argv[0], argv, clean_env(TERM="xterm"))
        self.text = ""

    def expect(self, pattern):
        def found():
            return re.search(pattern, self.text) or self._read() or re.search(pattern, self.text)
        return wait_for(found, what=f"{pattern!r} in {self.text!r}")

    def _read(self):
        try:
            self.text += os.read(self.fd, 65536).decode(errors="replace")
        except OSError:  # the last program has closed the terminal
            pass

    def type(self, text):
        os.write(self.fd, text.encode())

    def end(self):
        status = os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])
        os.close(self.fd)
        return status


# Counts interrupts. The first makes it ask carnot to hand on a SIGUSR1: whatever carnot had to hand on before is here by then.
COUNT = """
import os, signal, sys
count = 0
def on_interrupt(s, f):
    global count
    count += 1
    if count == 1:
        os.kill(os.getppid(), signal.SIGUSR1)
def on_user(s, f):
    print("interrupts:", count, flush=True)
    sys.exit(3)
signal.signal(signal.SIGINT, on_interrupt)
signal.signal(signal.SIGUSR1, on_user)
print("ready", flush=True)
while True:
    signal.pause()
"""


def test_interrupt_from_the_terminal_comes_once():
    terminal = Terminal([str(CARNOT), "run", "--agent=never", "--quiet", "--", sys.executable, "-c", COUNT])
    terminal.expect("ready")
    terminal.type("\x03")
    assert terminal.expect(r"interrupts: (\d+)").group(1) == "1"
    assert terminal.end() == 3


def test_job_control():
    """^Z stops the command and carnot, the shell sees it; fg lets both go on."""
    if not shutil.which("bash"):
        pytest.skip("bash is not installed")
    script = f"""set -m
{CARNOT} run --agent=never --quiet -- sh -c 'echo ready; read word; exit ${{#word}}'
echo "stopped $?"
fg > /dev/null
echo "ended $?"
"""
    terminal = Terminal(["/bin/bash", "-c", script])
    terminal.expect("ready")
    terminal.type("\x1a")
    assert terminal.expect(r"stopped (\d+)").group(1) == str(128 + signal.SIGTSTP)
    terminal.type("seven77\n")
    assert terminal.expect(r"ended (\d+)").group(1) == "7"
    assert terminal.end() == 0


# --- what is told ---


def check_report(report, cpu_s):
    assert report["energy_uj"] > 0
    assert report["peak_uw"] >= report["mean_uw"] > 0
    assert report["emissions_ug"] == pytest.approx(report["energy_uj"] * report["intensity"]["mg_kwh"] / 3.6e9, abs=1)
    assert sum(d["energy_uj"] for d in report["domains"] if d["in_total"]) == pytest.approx(report["energy_uj"], abs=len(report["domains"]))
    assert report["cpu_ns"] >= cpu_s * 1e9
    assert report["wall_ns"] >= cpu_s * 1e9
    assert report["quality"] in ("measured", "derived", "modelled", "default")


def test_json_of_one_run():
    report, out, status = run_json("--agent=never", "--label", "spin", "--", sys.executable, "-c", SPIN, "0.7")
    assert status == 0 and report["runs"] == 1 and report["label"] == "spin" and report["way"] == "in process"
    check_report(report, float(out))
    assert report["coverage_ppm"] >= 985000
    assert report["machine_uj"] >= report["energy_uj"]


def test_repeats():
    report, out, status = run_json("--agent=never", "-r", "3", "--", sys.executable, "-c", SPIN, "0.1")
    assert status == 0 and len(out.split()) == 3
    assert report["runs"] == len(report["repeats"]) == 3 and not report["interrupted"]
    walls = [r["wall_ns"] for r in report["repeats"]]
    mean = sum(walls) / 3
    deviation = (sum((w - mean) ** 2 for w in walls) / 2) ** 0.5
    assert report["statistics"]["wall_ns"]["n"] == 3
    assert report["statistics"]["wall_ns"]["mean"] == pytest.approx(mean)
    assert report["statistics"]["wall_ns"]["stddev"] == pytest.approx(deviation)
    assert all(r["energy_uj"] > 0 for r in report["repeats"])


def test_a_signal_ends_the_repeats():
    process = subprocess.Popen([str(CARNOT), "run", "--agent=never", "--json", "-r", "1000", "--", sys.executable, "-c", CATCH, str(int(signal.SIGTERM))],
                               stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=clean_env())
    assert process.stdout.readline() == b"ready\n"
    process.send_signal(signal.SIGTERM)
    _, err = process.communicate(timeout=60)
    report = json.loads(err)
    assert report["runs"] == 1 and report["interrupted"] and process.returncode == 7


def test_first_failure_is_the_status(tmp_path):
    count = tmp_path / "count"
    report, _, status = run_json("--agent=never", "-r", "3", *sh(f"echo >> {count}; exit $(wc -l < {count})"))
    assert status == 1 and [r["exit_status"] for r in report["repeats"]] == [1, 2, 3]


def test_csv_and_output(tmp_path):
    path = tmp_path / "report.csv"
    done = carnot("run", "--agent=never", "--csv", "--output", path, "-r", "2", "--label", 'a "b", c', *sh("true"))
    assert done.returncode == 0 and done.stderr == b"" and done.stdout == b""
    rows = list(csv.DictReader(io.StringIO(path.read_text())))
    assert [row["run"] for row in rows] == ["1", "2"]
    assert all(row["label"] == 'a "b", c' and row["exit_status"] == "0" and int(row["wall_ns"]) > 0 for row in rows)


def test_text_report_has_every_figure_with_its_quality():
    # Long enough for the model to see it: it knows the processor's use in ticks of 10 ms.
    done = carnot("run", "--agent=never", "--intensity.zone", "FR", *sh("i=0; while [ $i -lt 300000 ]; do i=$((i+1)); done"))
    text = done.stderr.decode()
    for word in ("time", "cpu", "energy", "Wh", "kWh", "power", "peak", "CO2e", "g/kWh", "FRA", "machine", "quality"):
        assert word in text
    assert "\x1b" not in text


def test_intensity_by_hand():
    report, _, _ = run_json("--agent=never", "--intensity.g-per-kwh", "123.5", *sh("true"))
    assert report["intensity"]["mg_kwh"] == 123500


def test_descendants_left_behind_are_told_not_waited_for():
    report, out, status = run_json("--agent=never", *sh("sleep 1000 > /dev/null 2>&1 & sleep 1000 > /dev/null 2>&1 & echo $!; jobs -p"))
    pids = [int(p) for p in out.split()]
    for pid in set(pids):
        os.kill(pid, signal.SIGKILL)
    assert status == 0 and len(set(pids)) == 2
    assert report["left_running"] == 2


def test_orphans_count(tmp_path):
    """A descendant whose parent has ended still belongs to the command."""
    fifo = tmp_path / "done"
    os.mkfifo(fifo)
    (tmp_path / "spin.py").write_text(SPIN)
    report, out, _ = run_json("--agent=never", *sh(f"(sh -c '{sys.executable} {tmp_path}/spin.py 0.5 > {fifo}' &) ; cat {fifo}"))
    assert report["repeats"][0]["session_cpu_ns"] >= 0.97e9 * float(out)


@pytest.fixture
def nobody():
    """How to run carnot as a user without rights, from a place where that user may read it."""
    with tempfile.TemporaryDirectory(prefix="carnot-") as directory:
        os.chmod(directory, 0o755)
        shutil.copy(CARNOT, f"{directory}/carnot")
        os.chmod(f"{directory}/carnot", 0o755)
        yield {"program": f"{directory}/carnot", "user": NOBODY, "group": NOBODY, "extra_groups": [], "cwd": "/"}


@needs_root
def test_without_rights(nobody):
    report, out, status = run_json("--agent=never", *sh("id -u; i=0; while [ $i -lt 400000 ]; do i=$((i+1)); done; exit 9"), **nobody)
    assert out == b"%d\n" % NOBODY and status == 9
    assert report["activity"] == "tree" and report["energy_uj"] > 0 and report["coverage_ppm"] >= 985000
    done = carnot("top", "--once", "--agent=never", **nobody)
    assert done.returncode == 0 and b"[node]" in done.stdout
    done = carnot("doctor", "--json", "--duration=0s", "--agent=never", **nobody)
    checks = {c["subject"]: c for c in json.loads(done.stdout)["checks"]}
    assert done.returncode == 1
    assert checks["bpf"]["state"] == "denied" and "setcap" in checks["bpf"]["remedy"]


# --- with an agent ---


@pytest.fixture(scope="module")
def agent():
    with Agent() as a:
        yield a


def test_run_with_agent(agent):
    report, out, status = run_json("--socket", agent.socket_path, "--agent=required", "--", sys.executable, "-c", SPIN, "0.7")
    assert status == 0 and report["way"] == "agent"
    check_report(report, float(out))
    assert report["coverage_ppm"] >= 985000


def test_socket_from_environment(agent):
    done = carnot("run", "--agent=required", "--json", *sh("exit 5"), env=clean_env(CARNOT_SOCKET=agent.socket_path))
    assert done.returncode == 5 and json.loads(done.stderr)["way"] == "agent"


def test_intensity_option_counts_with_an_agent_too(agent):
    report, _, _ = run_json("--socket", agent.socket_path, "--agent=required", "--intensity.zone", "SE", *sh("true"))
    assert report["way"] == "agent" and report["intensity"]["zone"] == "SWE"
    done = carnot("top", "--once", "--socket", agent.socket_path, "--agent=required", "--intensity.g-per-kwh", "777")
    assert b"777 g/kWh" in done.stdout


@needs_root
def test_others_see_their_own_units_only(agent, nobody):
    report, _, status = run_json("--socket", agent.socket_path, "--agent=required",
                                 *sh("i=0; while [ $i -lt 400000 ]; do i=$((i+1)); done; exit 4"), **nobody)
    assert status == 4 and report["way"] == "agent" and report["quantum_uj"] > 1
    assert report["machine_uj"] is None
    done = carnot("top", "--once", "--socket", agent.socket_path, "--agent=required", **nobody)
    assert done.returncode == 0
    assert b"Only units of your own user are shown" in done.stdout
    assert b"[node]" not in done.stdout and b"root" not in done.stdout.split(b"NAME")[1].split(b"W: mean")[0]


def test_agent_lost_in_the_middle():
    lost = Agent()
    try:
        process = subprocess.Popen([str(CARNOT), "run", "--socket", lost.socket_path, "--agent=required", "--json", "--", sys.executable, "-c", CATCH,
                                    str(int(signal.SIGUSR1))], stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=clean_env())
        assert process.stdout.readline() == b"ready\n"
    finally:
        lost.stop()
    process.send_signal(signal.SIGUSR1)
    _, err = process.communicate(timeout=60)
    report = json.loads(err)
    assert process.returncode == 7 and report["energy_uj"] is None and report["why_no_energy"]
    assert report["wall_ns"] > 0


def test_no_agent_where_one_is_required():
    done = carnot("run", "--socket", "/nowhere/carnot.sock", "--agent=required", *sh("echo ran"))
    assert done.returncode == 69 and done.stdout == b""
    assert len(done.stderr.strip().splitlines()) == 1 and b"/nowhere/carnot.sock" in done.stderr


# --- top ---


def power_rows(text):
    """[(watts, name and the rest)] of a plain table"""
    lines = text.splitlines()
    start = next(i for i, line in enumerate(lines) if line.lstrip().startswith("W ") and "NAME" in line)
    rows = []
    for line in lines[start + 1:]:
        if not line.strip():
            break
        rows.append((float(line.split()[0]), line.split(maxsplit=1)[1]))
    return rows


@pytest.mark.parametrize("by", ["process", "cgroup", "user"])
@pytest.mark.parametrize("tree", [False, True])
def test_plain_table_adds_up(agent, by, tree):
    done = carnot("top", "--once", "--socket", agent.socket_path, "--agent=required", "--by", by, "-n", "3", *(["--tree"] if tree else []))
    assert done.returncode == 0 and done.stderr == b""
    text = done.stdout.decode()
    assert "\x1b" not in text
    rows = power_rows(text)
    assert "[node]" in rows[-1][1]
    if not tree:
        # every row is rounded to a milliwatt
        assert sum(w for w, _ in rows[:-1]) == pytest.approx(rows[-1][0], abs=0.0005 * len(rows) + 1e-9)


def test_top_without_agent():
    done = carnot("top", "--agent=never", "--once")
    assert done.returncode == 0
    rows = power_rows(done.stdout.decode())
    assert sum(w for w, _ in rows[:-1]) == pytest.approx(rows[-1][0], abs=0.0005 * len(rows) + 1e-9)


def test_top_json_is_the_snapshot(agent):
    done = carnot("top", "--json", "-n", "0", "--batch", "2", "--socket", agent.socket_path, "--agent=required")
    snapshots = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(snapshots) == 2 and all(s["op"] == "snapshot" for s in snapshots)
    assert snapshots[1]["seq"] > snapshots[0]["seq"]


def test_filter(agent):
    done = carnot("top", "--once", "--by", "user", "--filter", "nobody has this name", "--socket", agent.socket_path, "--agent=required")
    rows = power_rows(done.stdout.decode())
    assert rows[0][1].endswith("[idle]")
    assert sum(w for w, _ in rows[:-1]) == pytest.approx(rows[-1][0], abs=0.0005 * len(rows) + 1e-9)


def test_a_closed_pipe_is_no_error():
    done = subprocess.run(f"{CARNOT} help run | true; echo ${{PIPESTATUS[0]}}", shell=True, executable="/bin/bash", stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, check=False, env=clean_env())
    assert done.stdout.strip() in (b"0", b"141") and done.stderr == b""


class Tmux:
    def __init__(self, directory, command, width=110, height=30):
        self.socket = str(directory / "tmux")
        self("new-session", "-d", "-x", str(width), "-y", str(height), command)

    def __call__(self, *argv):
        return subprocess.run(["tmux", "-S", self.socket, "-f", "/dev/null", *argv], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                              check=False, env=clean_env(TERM="xterm"))

    def text(self):
        return self("capture-pane", "-p").stdout.decode()

    def expect(self, *words):
        def there():
            text = self.text()
            return text if all(word in text for word in words) else None
        return wait_for(there, what=f"{words} on the screen, which has {self.text()}")

    def keys(self, *keys):
        self("send-keys", *keys)


@pytest.mark.skipif(not shutil.which("tmux"), reason="tmux is not installed")
def test_full_screen(tmp_path):
    screen = Tmux(tmp_path, f"{CARNOT} top --agent=never; echo status $? > {tmp_path}/status")
    try:
        screen.expect("node ", "[idle]", "[residual", "[node]", "PID", "by process", "q end")
        screen.keys("c")
        screen.expect("TYPE", "by cgroup")
        screen.keys("t")
        screen.expect("by cgroup (tree)", "a row includes")
        screen.keys("u")
        screen.expect("by user")
        screen.keys("p")
        screen.keys("s")
        screen.expect("sort energy")
        screen.keys("r")
        screen.expect("(reversed)")
        screen.keys("/")
        screen.keys("z", "z")
        screen.expect("filter: zz_")
        screen.keys("Enter")
        screen.expect('filter "zz"', "[idle]")
        screen.keys("Escape")
        screen.keys("+")
        screen.expect("every 2 s")
        screen.keys("Space")
        screen.expect("PAUSED")
        screen.keys("h")
        screen.expect("who uses how much energy", "Any key goes back")
        screen.keys("x")
        screen.expect("[node]")
        screen("resize-window", "-x", "80", "-y", "20")
        text = screen.expect("[node]", "by process")
        assert max(len(line) for line in text.splitlines()) <= 80
        screen.keys("q")
        wait_for((tmp_path / "status").exists, what="the end")
        wait_for(lambda: (tmp_path / "status").read_text(), what="the status")
        assert (tmp_path / "status").read_text() == "status 0\n"
    finally:
        screen("kill-server")


# --- doctor and the rest ---


def test_doctor():
    done = carnot("doctor", "--json", "--duration=2s", "--agent=auto", "--socket", "/nowhere/carnot.sock")
    report = json.loads(done.stdout)
    assert done.returncode == (0 if report["well"] else 1) and done.stderr == b""
    assert all(c["state"] in ("ok", "missing", "denied", "unused") and c["text"] for c in report["checks"])
    assert all(c["remedy"] or not c["matters"] or c["state"] == "missing" for c in report["checks"])
    assert {"machine", "control groups", "agent", "intensity", "bpf", "node power", "conservation"} <= {c["subject"] for c in report["checks"]}
    assert report["measured"]["conservation_error_uj"] == 0 and report["measured"]["node_uj"] > 0


def test_doctor_text_wraps():
    done = carnot("doctor", "--duration=0s", env=clean_env(COLUMNS="80"))
    lines = done.stdout.decode().splitlines()
    assert any(line.startswith("  ok ") for line in lines)
    longest_word = max((len(w) for line in lines for w in line.split()), default=0)
    assert max(len(line) for line in lines) <= max(80, 40 + longest_word)


@pytest.mark.parametrize("argv,word", [(["rnu"], "run"), (["docter"], "doctor"), (["--versoin"], "option"), ([], "--help"), (["help", "xyz"], "xyz"),
                                       (["run"], "COMMAND"), (["run", "--no-such", "true"], "no-such"), (["top", "--sort", "colour"], "sort"),
                                       (["top", "--interval", "10ms"], "interval"), (["run", "-r", "0", "true"], "-r"),
                                       (["run", "--json", "--csv", "true"], "--csv"), (["top", "operand"], "operand"),
                                       (["run", "--agent=never", "--intensity.zone", "ATLANTIS", "true"], "ATLANTIS")])
def test_usage_errors(argv, word):
    done = carnot(*argv)
    assert done.returncode == 64 and done.stdout == b""
    assert len(done.stderr.strip().splitlines()) == 1 and word in done.stderr.decode()


def test_output_that_cannot_be_written():
    done = carnot("run", "--output", "/nowhere/report", *sh("echo ran"))
    assert done.returncode == 66 and done.stdout == b"" and b"/nowhere/report" in done.stderr


@pytest.mark.parametrize("argv", [["--help"], ["-h"], ["help"], ["--version"], ["version"], *[["help", v] for v in ("run", "top", "doctor", "version", "help")],
                                  *[[v, "--help"] for v in ("run", "top", "doctor")]])
def test_help_and_version(argv):
    done = carnot(*argv)
    assert done.returncode == 0 and done.stderr == b"" and b"carnot" in done.stdout


def test_completion_offers_verbs_and_options():
    script = pathlib.Path(__file__).resolve().parents[2] / "packaging" / "completions" / "carnot.bash"

    def complete(*words):
        line = " ".join(f"'{word}'" for word in words)
        code = f'source {script}; COMP_WORDS=({line}); COMP_CWORD={len(words) - 1}; _carnot; printf "%s\\n" "${{COMPREPLY[@]}}"'
        done = subprocess.run(["bash", "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, check=False,
                              env=clean_env(PATH=f"{CARNOT.parent}:{os.environ['PATH']}"))
        assert done.stderr == b""
        return done.stdout.decode().split()
    assert {"run", "top", "doctor", "help", "version"} <= set(complete("carnot", ""))
    assert complete("carnot", "do") == ["doctor"]
    assert "--intensity.zone" in complete("carnot", "run", "--int")
    assert complete("carnot", "top", "--bat") == ["--batch"]
