# SPDX-License-Identifier: Apache-2.0
"""A real carnotd on this machine: what it serves, to whom, and what it survives."""
import gzip
import json
import os
import pathlib
import re
import shutil
import signal
import socket
import subprocess
import sys
import time

import pytest

from agent import CARNOTD, Agent, Cgroup, cgroup_mounts, parse_metrics, read_line, wait_for

ROOT = os.geteuid() == 0
needs_root = pytest.mark.skipif(not ROOT, reason="needs root: BPF and control groups")

# Spins for so much CPU time per 30 ms period, for so many seconds of CPU time in all.
SPIN = """
import sys, time
duty, total = float(sys.argv[1]), float(sys.argv[2])
period, begin = 0.030, time.monotonic()
turn = 0
while time.thread_time() < total:
    turn += 1
    while time.thread_time() < turn * period * duty:
        pass
    rest = begin + turn * period - time.monotonic()
    if rest > 0:
        time.sleep(rest)
"""


@pytest.fixture(scope="module")
def agent():
    with Agent() as a:
        yield a


def test_pages(agent):
    status, headers, body = agent.get("/")
    assert status == 200 and headers["content-type"].startswith("text/html")
    for path in (b"/metrics", b"/-/healthy", b"/-/ready"):
        assert path in body
    assert agent.get("/-/healthy")[0] == 200
    assert agent.get("/-/ready")[0] == 200
    assert agent.get("/nowhere")[0] == 404
    assert agent.get("/metrics", method="POST")[0] == 405
    status, headers, body = agent.get("/metrics", method="HEAD")
    assert status == 200 and body == b""


def test_negotiation(agent):
    _, headers, text = agent.get("/metrics")
    assert headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    assert b"# EOF" not in text
    _, headers, text = agent.get("/metrics", {"Accept": "application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5"})
    assert headers["content-type"] == "application/openmetrics-text; version=1.0.0; charset=utf-8"
    assert text.endswith(b"# EOF\n")
    _, headers, packed = agent.get("/metrics", {"Accept-Encoding": "gzip"})
    assert headers["content-encoding"] == "gzip"
    assert b"carnot_build_info" in gzip.decompress(packed)


def test_promtool_finds_nothing(agent):
    if not shutil.which("promtool"):
        pytest.skip("promtool is not installed")
    _, _, text = agent.get("/metrics")
    done = subprocess.run(["promtool", "check", "metrics"], input=text, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
    assert done.returncode == 0, done.stdout.decode()


def test_every_window_conserves(agent):
    """The promise, checked from outside: parts add up to the measured energy in each domain and partition."""
    seen = 0
    for _ in range(3):
        snapshot = agent.next_snapshot(seen)
        seen = snapshot["seq"]
        for d, domain in enumerate(snapshot["domains"]):
            entities = sum(e["window_uj"] for e in domain["entities"].values())
            for kind in ("process", "cgroup", "user"):
                units = sum(u["window_uj"][d] for u in snapshot["units"] if u["kind"] == kind)
                assert units + entities == domain["window_uj"], (domain["name"], kind)
    assert agent.value("carnot_conservation_error_joules") == 0


def test_scrape_and_socket_agree(agent):
    """At the same batch the metrics and the socket give the same joules."""
    def both():
        first = agent.snapshot(kinds=["cgroup"])
        metrics = agent.metrics()
        second = agent.snapshot(kinds=["cgroup"])
        return (first, metrics) if first["seq"] == second["seq"] else None
    snapshot, metrics = wait_for(both, what="two answers from one window")
    names = [d["name"] for d in snapshot["domains"]]
    compared = 0
    for unit in snapshot["units"]:
        for name, energy_uj in zip(names, unit["energy_uj"]):
            found = [v for (n, l), v in metrics.items()
                     if n == "carnot_cgroup_energy_joules_total" and dict(l)["cgroup"] == unit["path"] and dict(l)["domain"] == name]
            assert found == [pytest.approx(energy_uj / 1e6, abs=1e-9)]
            compared += 1
    assert compared > 0


@needs_root
@pytest.mark.parametrize("reader", ["bpf", "procfs"])
def test_two_to_one(reader):
    """Two loops of 2:1 duty in two cgroups get energy 2:1 within 1 %."""
    hierarchy = sorted(cgroup_mounts())[-1]
    groups = [Cgroup(hierarchy, f"carnot-duty{i}") for i in (2, 1)]
    try:
        # A linear model: then a CPU second costs the same in every window, whatever else this machine does meanwhile.
        with Agent("--cgroup.hierarchy", hierarchy, "--activity.reader", reader, "--model.gamma", "1") as agent:
            loops = [subprocess.Popen([sys.executable, "-c", SPIN, str(duty), str(duty * 12)], preexec_fn=group.enter)
                     for group, duty in zip(groups, (0.6, 0.3))]
            for loop in loops:
                assert loop.wait() == 0
            truth = [g.usage_ns() for g in groups]
            seen = agent.snapshot()["seq"]
            snapshot = agent.next_snapshot(seen + 1, kinds=["cgroup"])
            energy = [sum(u["energy_uj"][d] for u in snapshot["units"] if u["path"] == g.path
                          for d, domain in enumerate(snapshot["domains"]) if domain["kind"] == "package") for g in groups]
            cpu = [sum(u["cpu_ns"] for u in snapshot["units"] if u["path"] == g.path) for g in groups]
            assert energy[0] / energy[1] == pytest.approx(truth[0] / truth[1], rel=0.01)
            assert energy[0] / energy[1] == pytest.approx(2, rel=0.01 + abs(truth[0] / truth[1] / 2 - 1))
            for ours, kernel in zip(cpu, truth):
                assert ours == pytest.approx(kernel, rel=0.005)
    finally:
        for group in groups:
            group.remove()


@needs_root
@pytest.mark.parametrize("reader,least", [("bpf", 99.5), ("procfs", 99.0)])
def test_fork_storm(reader, least):
    """20,000 short processes: their cgroup gets all of its CPU time, and nothing leaks."""
    hierarchy = sorted(cgroup_mounts())[-1]
    group = Cgroup(hierarchy, "carnot-storm")
    try:
        with Agent("--cgroup.hierarchy", hierarchy, "--activity.reader", reader) as agent:
            script = "i=0; while [ $i -lt 10000 ]; do /bin/true; i=$((i+1)); done"
            storms = [subprocess.Popen(["sh", "-c", script], preexec_fn=group.enter) for _ in range(2)]
            for storm in storms:
                assert storm.wait() == 0
            wait_for(group.empty, what="the storm's end")
            truth_ns = group.usage_ns()
            seen = agent.snapshot(kinds=["user"])["seq"]
            snapshot = agent.next_snapshot(seen + 1)
            ours_ns = sum(u["cpu_ns"] for u in snapshot["units"] if u["kind"] == "cgroup" and u["path"] == group.path)
            assert least <= 100 * ours_ns / truth_ns <= 100.5
            assert agent.value("carnot_conservation_error_joules") == 0
            if reader == "bpf":
                assert agent.value("carnot_activity_processes_total") >= 20000
            # Short-lived processes are one unit per name, not thousands.
            assert len([u for u in snapshot["units"] if u["kind"] == "process"]) < 2000
    finally:
        group.remove()


@needs_root
def test_an_ended_cgroup_is_kept_for_the_scrapers():
    hierarchy = sorted(cgroup_mounts())[-1]
    group = Cgroup(hierarchy, "carnot-ended")
    with Agent("--cgroup.hierarchy", hierarchy, "--attribution.keep-ended", "3s") as agent:
        subprocess.run([sys.executable, "-c", SPIN, "0.5", "0.2"], preexec_fn=group.enter, check=True)
        truth_ns = group.usage_ns()
        group.remove()

        def unit(snapshot):
            return next((u for u in snapshot["units"] if u["path"] == group.path), None)
        ended = wait_for(lambda: (lambda u: u if u and u["ended"] else None)(unit(agent.snapshot(kinds=["cgroup"]))), what="the cgroup's end")
        assert ended["cpu_ns"] == pytest.approx(truth_ns, rel=0.005)
        found = [v for (n, l), v in agent.metrics().items() if n == "carnot_cgroup_cpu_seconds_total" and dict(l)["cgroup"] == group.path]
        assert found and found[0] == pytest.approx(truth_ns / 1e9, rel=0.005)
        wait_for(lambda: unit(agent.snapshot(kinds=["cgroup"])) is None, what="the cgroup to be put away after the scrape")


@needs_root
def test_a_cgroup_made_again_goes_on(agent):
    """A service that restarts: one series, and it never goes back."""
    hierarchy = "v2" if "cgroup v2" in agent.log_text() else "v1"
    total_ns, last = 0, 0.0
    for _ in range(3):
        group = Cgroup(hierarchy, "carnot-again")
        subprocess.run([sys.executable, "-c", SPIN, "0.9", "0.1"], preexec_fn=group.enter, check=True)
        total_ns += group.usage_ns()
        group.remove()
        seen = agent.snapshot()["seq"]
        agent.next_snapshot(seen)
        found = [v for (n, l), v in agent.metrics().items() if n == "carnot_cgroup_cpu_seconds_total" and dict(l)["cgroup"] == group.path]
        assert len(found) == 1 and found[0] >= last
        last = found[0]
    assert last == pytest.approx(total_ns / 1e9, rel=0.01)


def test_sigstop_loses_nothing(agent):
    before = agent.snapshot()
    kernel_before = sum(os.times()[:2])
    agent.process.send_signal(signal.SIGSTOP)
    begin = time.monotonic()
    # Work that the stopped agent cannot see while it happens.
    while time.monotonic() - begin < 3:
        pass
    agent.process.send_signal(signal.SIGCONT)
    after = agent.next_snapshot(before["seq"] + 2)
    spun_ns = 1e9 * (sum(os.times()[:2]) - kernel_before)
    mine = [next((u["cpu_ns"] for u in s["units"] if u["kind"] == "process" and u["pid"] == os.getpid()), 0) for s in (before, after)]
    assert mine[1] - mine[0] >= 0.97 * spun_ns
    assert agent.value("carnot_missed_ticks_total") >= 2
    assert agent.value("carnot_conservation_error_joules") == 0


def test_slow_scraper_disturbs_nobody(agent):
    slow = socket.create_connection(("127.0.0.1", agent.port))
    slow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1024)
    slow.sendall(b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n")
    assert slow.recv(1) == b"H"
    windows = agent.value("carnot_windows_total")
    for _ in range(10):
        assert slow.recv(1)
        begin = time.monotonic()
        assert agent.get("/metrics")[0] == 200
        assert time.monotonic() - begin < 2
    wait_for(lambda: agent.value("carnot_windows_total") >= windows + 2, what="windows going on")
    slow.close()


@pytest.mark.parametrize("garbage", [b"\x00\xff\xfe" * 100, b"GET\r\n\r\n", b"GET / HTTP/9.9\r\n\r\n", b"A" * 70000, b"\r\n" * 1000,
                                     b"GET / HTTP/1.1\r\nContent-Length: 99999999999999999999\r\n\r\n"])
def test_http_garbage(agent, garbage):
    s = socket.create_connection(("127.0.0.1", agent.port))
    s.settimeout(10)
    try:
        s.sendall(garbage)
        s.shutdown(socket.SHUT_WR)
        while s.recv(4096):
            pass
    except OSError:
        pass  # being cut off is a fine answer to garbage
    s.close()
    assert agent.get("/-/healthy")[0] == 200


@pytest.mark.parametrize("garbage", [b"x\n", b"[]\n", b"null\n", b"{\"v\":1,\"op\":7}\n", b"{\"v\":1,\"op\":\"snapshot\",\"kinds\":[1]}\n",
                                     b"{\"v\":1,\"op\":\"snapshot\",\"limit\":-1}\n", b"{\"v\":1,\"op\":\"session.end\",\"session\":99}\n",
                                     b"\xff\xfe\n", b"{\"v\":1,\"v\":1,\"op\":\"info\"}\n", b"A" * 100000 + b"\n", b"[" * 3000 + b"\n"])
def test_socket_garbage(agent, garbage):
    s = agent.connect()
    try:
        s.sendall(garbage)
        answer = json.loads(read_line(s))
        assert answer["status"] == "error" and answer["message"]
    except (BrokenPipeError, ConnectionResetError):
        assert len(garbage) > 4096  # an endless line may be cut off before it is read
    s.close()
    assert agent.ask({"v": 1, "op": "info"})["status"] == "ok"


def test_full_socket(agent):
    """More clients than the agent takes: the late ones are told or closed, the agent goes on."""
    held = []
    try:
        for _ in range(200):
            s = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            s.settimeout(5)
            try:
                s.connect(agent.socket_path)
            except OSError:
                break
            held.append(s)
        assert agent.get("/-/healthy")[0] == 200
    finally:
        for s in held:
            s.close()
    wait_for(lambda: _answers(agent), what="the socket to answer again")


def _answers(agent):
    try:
        return agent.ask({"v": 1, "op": "info"})["status"] == "ok"
    except (OSError, AssertionError, ValueError):
        return False


def test_a_client_that_never_reads(agent):
    rude = agent.connect()
    rude.settimeout(1)
    try:
        for _ in range(2000):
            rude.sendall(b'{"v":1,"op":"snapshot"}\n')
    except OSError:
        pass
    windows = agent.value("carnot_windows_total")
    wait_for(lambda: agent.value("carnot_windows_total") >= windows + 2, what="windows going on")
    assert agent.ask({"v": 1, "op": "info"})["status"] == "ok"
    rude.close()


@needs_root
def test_others_see_only_their_own(agent):
    """An ordinary user gets own units only, no node totals, whole quanta, and one answer per slot."""
    script = f"""
import json, os, socket, time
os.setgroups([]); os.setgid(65534); os.setuid(65534)
end = time.thread_time() + 0.3
while time.thread_time() < end: pass
def ask():
    s = socket.socket(socket.AF_UNIX); s.connect({agent.socket_path!r})
    s.sendall(b'{{"v":1,"op":"snapshot"}}\\n')
    return json.loads(s.makefile().readline())
first = ask()
while True:
    now = ask()
    if any(u["kind"] == "process" and u["pid"] == os.getpid() for u in now["units"]): break
    time.sleep(0.05)
print(json.dumps(now))
"""
    done = subprocess.run([sys.executable, "-c", script], stdout=subprocess.PIPE, check=True, timeout=60)
    snapshot = json.loads(done.stdout)
    assert snapshot["view"] == "own" and snapshot["slot_ns"] >= 1_000_000_000 and snapshot["quantum_uj"] >= 1
    assert snapshot["units"] and all(u.get("uid") == 65534 for u in snapshot["units"])
    for domain in snapshot["domains"]:
        assert "energy_uj" not in domain and "entities" not in domain
    for unit in snapshot["units"]:
        for value in unit["energy_uj"] + unit["window_uj"]:
            assert value % snapshot["quantum_uj"] == 0


def test_session_over_the_socket(agent):
    s = agent.connect()
    begun = agent.ask({"v": 1, "op": "session.begin", "label": "test"}, s)
    assert begun["status"] == "ok"
    before = os.times()
    # A child and a grandchild that each use CPU.
    subprocess.run([sys.executable, "-c", "import os,time\npid=os.fork()\nend=time.thread_time()+0.3\nwhile time.thread_time()<end: pass\npid and os.waitpid(pid,0)"], check=True)
    after = os.times()
    truth_ns = 1e9 * (after[2] + after[3] - before[2] - before[3])
    ended = agent.ask({"v": 1, "op": "session.end", "session": begun["session"]}, s)
    assert ended["status"] == "ok" and ended["op"] == "session.end"
    assert sum(ended["energy_uj"]) > 0
    if begun["activity"] == "bpf":
        assert ended["cpu_ns"] == pytest.approx(truth_ns, rel=0.05, abs=2e7)
    assert agent.ask({"v": 1, "op": "session.read", "session": begun["session"]}, s)["status"] == "error"
    s.close()


def test_a_session_outlives_the_idle_timeout():
    """A command may run for hours without a word to the agent; a client without a session is closed meanwhile."""
    with Agent("--socket.timeout", "1s") as agent:
        s, idle = agent.connect(), agent.connect()
        begun = agent.ask({"v": 1, "op": "session.begin", "label": "long"}, s)
        assert agent.ask({"v": 1, "op": "info"}, idle)["status"] == "ok"
        assert idle.recv(1) == b""  # closed after a second of silence
        later = agent.snapshot(kinds=["user"])["seq"]
        agent.next_snapshot(later + 1)
        assert agent.ask({"v": 1, "op": "session.end", "session": begun["session"]}, s)["status"] == "ok"
        s.close()
        idle.close()


def run_to_end(*options):
    done = subprocess.run([str(CARNOTD), "--state.file", "none", *options], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, timeout=60, check=False)
    return done.returncode, done.stdout.decode()


def test_port_in_use(agent, tmp_path):
    sock = tmp_path / "s"
    status, text = run_to_end("--web.listen-address", f"127.0.0.1:{agent.port}", "--socket.path", str(sock))
    assert status == 69
    assert f"127.0.0.1:{agent.port}" in text and "in use" in text
    assert not sock.exists()


def test_socket_in_use(agent):
    status, text = run_to_end("--web.listen-address", "127.0.0.1:0", "--socket.path", agent.socket_path)
    assert status == 69 and agent.socket_path in text
    assert _answers(agent)


def test_stale_socket_is_replaced(tmp_path):
    path = str(tmp_path / "carnot.sock")
    first = Agent("--socket.path", path)
    first.process.kill()
    first.stop(expect=-signal.SIGKILL)
    assert os.path.exists(path)
    with Agent("--socket.path", path, wait=False) as again:
        again.socket_path = path
        wait_for(lambda: _answers(again), what="the new agent")


@pytest.mark.parametrize("options,word", [(["--no-such-flag"], "no-such-flag"), (["--sampling.interval", "soon"], "sampling.interval"),
                                          (["--intensity.zone", "ATLANTIS"], "ATLANTIS"), (["operand"], "operand"),
                                          (["--attribution.idle-policy", "magic"], "idle-policy")])
def test_bad_flag(options, word):
    status, text = run_to_end(*options)
    assert status == 64 and word in text and len(text.strip().splitlines()) == 1


@pytest.mark.parametrize("yaml,line,word", [("sampling:\n  interval: 100ms\n  rate: 5\n", 3, "rate"), ("web:\n  - x: [\n", 2, "web"), ("attribution:\n\tinterval: 1s\n", 2, ""),
                                            ("attribution:\n  idle-policy: magic\n", 2, "idle-policy")])
def test_bad_yaml_names_file_and_line(tmp_path, yaml, line, word):
    path = tmp_path / "carnotd.yaml"
    path.write_text(yaml)
    status, text = run_to_end("--config.file", str(path))
    assert status == 78
    assert re.search(rf"carnotd\.yaml:{line}\b", text) and word in text


def test_yaml_and_flags(tmp_path):
    path = tmp_path / "carnotd.yaml"
    path.write_text("intensity:\n  zone: SE\nattribution:\n  idle-policy: proportional\n")
    with Agent("--config.file", str(path), "--intensity.zone", "FR") as agent:
        snapshot = agent.snapshot()
        assert snapshot["intensity"]["zone"] == "FRA" and snapshot["idle_policy"] == "proportional"


def test_missing_config_file():
    status, text = run_to_end("--config.file", "/nowhere/carnotd.yaml")
    assert status == 66 and "/nowhere/carnotd.yaml" in text


def test_notify_and_clean_stop(tmp_path):
    path = str(tmp_path / "notify")
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    listener.bind(path)
    listener.settimeout(20)
    agent = Agent(env={**os.environ, "NOTIFY_SOCKET": path})
    assert b"READY=1" in listener.recv(4096)
    socket_path = pathlib.Path(agent.socket_path)
    assert socket_path.exists()
    agent.process.send_signal(signal.SIGTERM)
    agent.process.wait(timeout=20)
    assert not socket_path.exists()
    assert b"STOPPING=1" in listener.recv(4096)
    agent.stop()


@needs_root
def test_runs_with_few_capabilities(agent):
    text = pathlib.Path(f"/proc/{agent.process.pid}/status").read_text()
    effective = int(re.search(r"CapEff:\s*([0-9a-f]+)", text).group(1), 16)
    bounding = int(re.search(r"CapBnd:\s*([0-9a-f]+)", text).group(1), 16)
    allowed = 1 << 2 | 1 << 38 | 1 << 39  # CAP_DAC_READ_SEARCH, CAP_PERFMON, CAP_BPF
    assert effective & ~allowed == 0 and bounding & ~allowed == 0
    assert "NoNewPrivs:\t1" in text


@needs_root
def test_unprivileged_agent_says_what_it_cannot_see():
    with Agent(user=65534) as agent:
        text = agent.log_text()
        snapshot = agent.snapshot()
    assert snapshot["activity"] == "procfs"
    assert "not seen" in text


def test_prometheus_stores_what_the_socket_says(agent, tmp_path):
    """A real Prometheus server scrapes; its stored series are compared with the socket's answers of the same windows."""
    if not shutil.which("prometheus"):
        pytest.skip("prometheus is not installed")
    config = tmp_path / "prometheus.yml"
    config.write_text(f"global:\n  scrape_interval: 1s\nscrape_configs:\n- job_name: carnot\n  static_configs:\n  - targets: ['127.0.0.1:{agent.port}']\n")
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        port = s.getsockname()[1]
    server = subprocess.Popen(["prometheus", f"--config.file={config}", f"--storage.tsdb.path={tmp_path}/data", f"--web.listen-address=127.0.0.1:{port}"],
                              stdout=subprocess.DEVNULL, stderr=(tmp_path / "log").open("wb"))
    try:
        answers = {}

        def collected():
            snapshot = agent.snapshot(kinds=["user"])
            answers[round(snapshot["end_real_ns"] / 1e9, 3)] = snapshot
            return len(answers) >= 8
        wait_for(lambda: _prometheus(port, "up") == "up", what="Prometheus to start")
        wait_for(lambda: _query(port, "carnot_batch_timestamp_seconds"), what="the first scrape")
        wait_for(collected, what="eight windows")
        matched = 0
        stamps = _query_range(port, "carnot_batch_timestamp_seconds")
        energies = {}
        for series in _query_all(port, "carnot_user_energy_joules_total[1m]"):
            for when, value in series["values"]:
                energies[(when, series["metric"].get("uid", ""), series["metric"]["domain"])] = float(value)
        for when, stamp in stamps:
            snapshot = answers.get(round(float(stamp), 3))
            if not snapshot:
                continue
            names = [d["name"] for d in snapshot["domains"]]
            for unit in snapshot["units"]:
                uid = str(unit.get("uid", ""))
                for name, energy_uj in zip(names, unit["energy_uj"]):
                    assert energies[(when, uid, name)] == pytest.approx(energy_uj / 1e6, abs=1e-9)
                    matched += 1
        assert matched >= 3, f"{len(stamps)} scrapes, {len(answers)} answers, none of the same window"
    finally:
        server.terminate()
        server.wait()


def _http_json(port, path):
    import http.client
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    connection.request("GET", path)
    return json.loads(connection.getresponse().read())


def _prometheus(port, _):
    try:
        _http_json(port, "/api/v1/status/buildinfo")
        return "up"
    except (OSError, ValueError):
        return None


def _query(port, query):
    return _http_json(port, f"/api/v1/query?query={query}")["data"]["result"]


def _query_all(port, query):
    from urllib.parse import quote
    return _http_json(port, f"/api/v1/query?query={quote(query)}")["data"]["result"]


def _query_range(port, name):
    return [tuple(v) for v in _query_all(port, f"{name}[1m]")[0]["values"]]
