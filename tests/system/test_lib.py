# SPDX-License-Identifier: Apache-2.0
"""libcarnot and the Python package with a real carnotd: regions, threads, an agent that restarts, none, a rude one."""
import errno
import json
import os
import pathlib
import socket
import subprocess
import sys
import threading

import pytest

from agent import BUILD, Agent

REGIONS = BUILD / "tests" / "system" / "regions"
LIBRARY = BUILD / "src" / "lib" / "libcarnot.so.0"
PYTHON = pathlib.Path(__file__).resolve().parents[2] / "bindings" / "python"
COMPLETE, GAP = 1, 2
NO_BOUND = 2**64 - 1


@pytest.fixture(scope="module")
def agent():
    with Agent() as a:
        yield a


def regions(path, scenario):
    done = subprocess.run([REGIONS, path, scenario], stdout=subprocess.PIPE, check=True, timeout=60)
    results = [json.loads(line) for line in done.stdout.splitlines()]
    return {r.get("name", ""): r for r in results}


def check_complete(result):
    assert result["r"] == 1 and result["flags"] == COMPLETE, result
    assert 0 < result["energy_uj"] and result["low_uj"] <= result["energy_uj"] <= result["high_uj"] < NO_BOUND
    assert result["covered_ns"] == result["duration_ns"] and result["quality"] in ("measured", "derived", "modelled", "default")


def test_shows_its_own_names_only():
    out = subprocess.run(["nm", "-D", "--defined-only", LIBRARY], stdout=subprocess.PIPE, text=True, check=True).stdout
    names = [line.split()[-1] for line in out.splitlines()]
    assert "carnot_open@@CARNOT_0.1" in names
    assert all(name.startswith("carnot_") or name == "CARNOT_0.1" for name in names), names
    assert not [name for name in names if name.startswith("carnot_err")]


def test_nested(agent):
    got = regions(agent.socket_path, "nested")
    for result in got.values():
        check_complete(result)
    parts = got["inner"]["energy_uj"] + got["next"]["energy_uj"]
    assert parts <= got["outer"]["energy_uj"]
    # Two thirds of the CPU time, in slots whose energy follows CPU time.
    assert parts == pytest.approx(got["outer"]["energy_uj"] * 2 / 3, rel=0.15)


def test_threads(agent):
    got = regions(agent.socket_path, "threads")
    for result in got.values():
        check_complete(result)
    parts = got["long"]["energy_uj"] + got["short"]["energy_uj"]
    assert parts <= got["all"]["energy_uj"]
    assert parts == pytest.approx(got["all"]["energy_uj"], rel=0.1)
    assert got["long"]["cpu_ns"] == pytest.approx(1.2e9, rel=0.1)


def test_agrees_with_the_agent(agent):
    """A region around all that a process does gets what the agent says the process got."""
    process = subprocess.Popen([REGIONS, agent.socket_path, "one"], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert process.stdout.readline() == b"begun\n"
    process.stdin.write(b"\n")
    process.stdin.flush()
    result = json.loads(process.stdout.readline())
    answer = agent.ask({"v": 1, "op": "process", "pids": [process.pid]})
    process.communicate(timeout=60)
    check_complete(result)
    (unit,) = answer["units"]
    total = sum(e for e, d in zip(unit["energy_uj"], answer["domains"]) if d["in_total"])
    # Starting the program and asking are the process's as well, and not in the region.
    assert result["energy_uj"] == pytest.approx(total, rel=0.05) and result["energy_uj"] <= total


def test_agent_restarts(tmp_path):
    path = f"/tmp/carnot-lib-{os.getpid()}.sock"
    with Agent("--socket.path", path):
        process = subprocess.Popen([REGIONS, path, "one"], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        assert process.stdout.readline() == b"begun\n"
    with Agent("--socket.path", path):
        process.stdin.write(b"\n")
        process.stdin.flush()
        result = json.loads(process.stdout.readline())
        process.communicate(timeout=60)
    assert result["r"] == 1 and result["flags"] == COMPLETE | GAP and result["high_uj"] == NO_BOUND
    assert result["energy_uj"] > 0


def test_no_agent(tmp_path):
    got = regions(f"{tmp_path}/nobody.sock", "nested")[""]
    assert got["r"] == -errno.ENOTCONN and "is carnotd running?" in got["message"]


@pytest.mark.parametrize("said", [b"\n", b"hello\n", b"[]\n", b'{"v":1,"status":"ok"}\n', b"x" * 3_000_000, b'{"status":"ok","op":"process","epoch":"a"}\n', b""],
                         ids=["empty", "word", "array", "bare", "endless", "half", "nothing"])
def test_rude_agent(tmp_path, said):
    path = f"{tmp_path}/rude.sock"
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(path)
        server.listen()

        def serve():
            peer, _ = server.accept()
            with peer:
                peer.recv(4096)
                try:
                    peer.sendall(said)
                except OSError:
                    pass  # it hung up on so much

        thread = threading.Thread(target=serve)
        thread.start()
        got = regions(path, "nested")[""]
        thread.join()
    assert got["r"] in (-errno.EPROTO, -errno.ENOTCONN) and got["message"]


def test_child_of_a_fork(agent):
    assert regions(agent.socket_path, "child")[""]["r"] == 0


def test_process_op(agent):
    ask = agent.ask({"v": 1, "op": "process", "pids": [os.getpid(), 2**31 - 1]})
    assert ask["op"] == "process" and all(u["pid"] == os.getpid() for u in ask["units"])
    for pids in ([], "1", [0], [-1], ["1"], [2**40], list(range(1, 258))):
        assert agent.ask({"v": 1, "op": "process", "pids": pids})["error"] == "EINVAL"
    assert all(u["kind"] == "process" for u in agent.ask({"v": 1, "op": "process"})["units"])


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to become another user")
def test_others_processes_are_not_there(agent):
    script = f"""
import json, os, socket
os.setgroups([]); os.setgid(65534); os.setuid(65534)
s = socket.socket(socket.AF_UNIX); s.connect({agent.socket_path!r})
s.sendall(b'{{"v":1,"op":"process","pids":[{agent.process.pid},{os.getpid()}]}}\\n')
print(s.makefile().readline())
"""
    done = subprocess.run([sys.executable, "-c", script], stdout=subprocess.PIPE, check=True, timeout=60)
    answer = json.loads(done.stdout)
    assert answer["status"] == "ok" and answer["view"] == "own" and answer["units"] == []


def python(agent, script):
    env = {**os.environ, "PYTHONPATH": str(PYTHON), "CARNOT_LIBRARY": str(LIBRARY), "CARNOT_SOCKET": agent.socket_path}
    if "ASAN_OPTIONS" in env:
        pytest.skip("an instrumented library cannot be loaded into Python")
    return subprocess.run([sys.executable, "-c", script], env=env, stdout=subprocess.PIPE, text=True, check=True, timeout=120).stdout


SPIN = """
import time
def spin(seconds):
    end = time.thread_time() + seconds
    while time.thread_time() < end: pass
"""


def test_python_regions(agent):
    pytest.importorskip("cffi")
    out = python(agent, SPIN + """
import carnot, json, os
@carnot.measured
def solve(): spin(0.4); return 7
with carnot.Region("outer") as outer:
    assert solve() == 7
    spin(0.4)
inner = solve.last_region
print(json.dumps([outer.result()._asdict(), inner.result()._asdict(), [d._asdict() for d in outer.domains()], inner.name]))
try:
    outer.end()
except carnot.Error as e:
    assert e.errno == 114, e
pid = os.fork()
if pid == 0:
    with carnot.Region("in the child") as region: pass
    os._exit(0 if region.result().complete else 1)
assert os.waitpid(pid, 0)[1] == 0
""")
    outer, inner, domains, name = json.loads(out)
    assert name == "solve" and outer["complete"] and inner["complete"] and not outer["gap"]
    assert 0 < inner["energy_uj"] < outer["energy_uj"] <= outer["high_uj"]
    assert sum(d["energy_uj"] for d in domains if d["in_total"]) == outer["energy_uj"]


def test_python_tracer(agent, tmp_path):
    pytest.importorskip("cffi")
    python(agent, SPIN + f"""
import carnot, os
with carnot.EnergyTracer(os.getpid(), output={str(tmp_path / "x")!r}) as tracer:
    spin(2.5)
assert tracer.error is None, tracer.error
""")
    rows = [line.split(",") for line in (tmp_path / "x.csv").read_text().splitlines()]
    assert len(rows[0]) == 17 and rows[0][0] == "time" and rows[0][-1] == "dram_percent"
    assert len(rows) >= 3 and all(len(row) == 17 for row in rows)
    table = [dict(zip(rows[0], row)) for row in rows[1:]]
    assert sum(float(row["ascribed_pkg_joules"]) for row in table) > 0
    for row in table:
        assert row["socket"].isdigit() and int(row["num_proc"]) >= 1 and int(row["num_threads"]) >= 1
        assert row["pkg_percent"] == row["dram_percent"] == ""
        if row["total_pkg_joules"]:
            assert float(row["ascribed_pkg_joules"]) <= float(row["total_pkg_joules"])


def test_python_says_that_there_is_no_agent(agent, tmp_path):
    pytest.importorskip("cffi")
    assert python(agent, f"""
import carnot
try:
    carnot.Carnot({str(tmp_path / "nobody")!r})
except carnot.Error as e:
    print(e.errno, e.strerror)
""").startswith(f"{errno.ENOTCONN} no agent answers")
