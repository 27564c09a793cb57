# SPDX-License-Identifier: Apache-2.0
"""carnotd as a governor: clients of carbon-ops are answered every time, whatever others do beside them; totals outlive the agent, also when it is
killed; who may not read the machine's counters does not. Energies come from the simulated machine."""
import concurrent.futures
import grp
import json
import os
import pathlib
import select
import signal
import socket
import stat
import subprocess
import sys
import tempfile
import threading
import time
import zlib

import pytest

import governor_client
from agent import CARNOTD, Agent, read_line
from governor_client import MANNERS, Unavailable
from sim import Sim
from waiting import wait_for

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to be several users")

ROUNDS = 1000
NOBODY = 65534
MANUAL = ("--clock", "manual")
ZONES = ("--packages", "1", "--core", "--dram", "--psys", "--mmio")
POWERS = ("--power", "package-0=25W", "--power", "core-0=15W", "--power", "dram-0=3W", "--power", "psys=40W", "--power", "package-0-mmio=25W")
PACKAGE, CORE, DRAM = "package-0:intel-rapl:0", "core:intel-rapl:0:0", "dram:intel-rapl:0:1"
ALL_ZONES = {PACKAGE, CORE, DRAM, "psys:intel-rapl:1", "package-0:intel-rapl-mmio:0"}
MODULUS_UJ = 262143328911


@pytest.fixture
def place():
    """A short directory that others may pass, for sockets and states."""
    with tempfile.TemporaryDirectory(prefix="carnot-gov-") as directory:
        os.chmod(directory, 0o755)
        yield pathlib.Path(directory)


@pytest.fixture
def sim():
    with Sim(*MANUAL, *ZONES, *POWERS) as machine:
        yield machine


class Governor(Agent):
    """carnotd with the governor's socket in a place, and the state kept there."""

    def __init__(self, place, *options, sim=None, **more):
        self.path = str(place / "governor.sock")
        self.state = place / "state"
        machine = ("--path.sysfs", str(sim.sys)) if sim else ()
        super().__init__("--governor.path", self.path, "--state.file", str(self.state), "--state.interval", "1s", *machine, *options, **more)

    def totals(self):
        return governor_client.raw(self.path)["totals_uj"]

    def counters(self):
        """{name of the domain: its entry of our own answer}"""
        answer = self.ask({"v": 1, "op": "counters"})
        assert answer["status"] == "ok"
        return {d["name"]: d for d in answer["domains"]}

    def arrive(self, uj, domain=PACKAGE):
        """Waits for that total: the machine's clock stands still, so nothing may come beyond it."""
        wait_for(lambda: self.totals()[domain] == uj, what=lambda: f"{uj} uJ, got {self.totals()}")

    def saved(self):
        """Waits until a state of a window from now on is on the disk, by the agent's own word."""
        now = time.time()
        wait_for(lambda: self.metrics().get(("carnot_lifetime_saved_timestamp_seconds", frozenset()), 0) > now, what="a save")

    def kill(self):
        self.process.kill()
        self.stop(expect=-signal.SIGKILL)


def some_group():
    """A group of this machine that neither root nor nobody is in."""
    groups = [g for g in grp.getgrall() if g.gr_gid not in (0, NOBODY) and g.gr_name != "carnot"]
    if not groups:
        pytest.skip("no group besides root's")
    return groups[0]


def as_user(code, *args, groups=()):
    """Runs Python as an ordinary user; its standard output."""
    head = f"import os, sys\nos.setgroups({list(groups)!r}); os.setgid({NOBODY}); os.setuid({NOBODY})\n"
    # What it needs is imported before it loses its rights.
    imports = f"import sys\nsys.path.insert(0, {os.path.dirname(os.path.abspath(__file__))!r})\nimport governor_client, json, select, socket, threading, time\n"
    done = subprocess.run([sys.executable, "-c", imports + head + code, *args], stdout=subprocess.PIPE, check=True, timeout=120)
    return done.stdout.decode()


# --- the protocol ---------------------------------------------------------------------------------------------------


def test_the_answer(place, sim):
    with Governor(place, sim=sim) as agent:
        sim.tell("advance 4s")
        agent.arrive(100_000_000)
        with socket.socket(socket.AF_UNIX) as s:
            s.settimeout(5)
            s.connect(agent.path)
            s.sendall(b"{}\n")
            line = read_line(s)
            assert s.recv(1) == b""  # the end, after one line
        text = line.decode()
        assert text.endswith("}\n") and ": " not in text and ", " not in text
        answer = json.loads(text)
        assert list(answer)[:6] == ["status", "timestamp", "deltas_uj", "totals_uj", "counters_uj", "package_total_uj"]
        assert answer["status"] == "ok"
        assert answer["totals_uj"] == {PACKAGE: 100_000_000, CORE: 60_000_000, DRAM: 12_000_000, "psys:intel-rapl:1": 160_000_000,
                                       "package-0:intel-rapl-mmio:0": 100_000_000}
        assert answer["deltas_uj"].keys() == ALL_ZONES
        # Its readers add these up: the package and its memory, nothing twice.
        assert answer["counters_uj"] == {PACKAGE: 100_000_000, DRAM: 12_000_000}
        assert answer["package_total_uj"] == 100_000_000 and answer["quality"] == "measured"
        stamp = text.split('"timestamp":')[1].split(",")[0]
        assert float(stamp) == answer["timestamp"] and repr(answer["timestamp"]) == stamp
        assert abs(answer["timestamp"] - time.time()) < 60


def test_deltas_are_of_the_last_sample(place):
    """Ten samples a second: their deltas make up the difference of totals, and the stamp is that of the sample."""
    with Sim("--packages", "1", "--power", "package-0=50W") as machine, Governor(place, sim=machine) as agent:
        seen = {}

        def collected():
            answer = governor_client.raw(agent.path)
            seen[answer["timestamp"]] = (answer["deltas_uj"][PACKAGE], answer["totals_uj"][PACKAGE])
            return len(seen) >= 12

        wait_for(collected, what="twelve samples", seconds=30)
        stamps = sorted(seen)
        assert stamps[-1] - stamps[0] < 20
        matched = 0
        for before, after in zip(stamps, stamps[1:]):
            delta, total = seen[after]
            assert total >= seen[before][1]
            matched += total - seen[before][1] == delta
        assert matched >= 6  # the others missed a sample in between


class Stalls:
    """Time in which the agent or this test wanted a CPU and got none: a machine that stands still is no failure of the agent. Seen by a thread that
    wakes every 5 ms, by the agent's time on the run queue, and by what the hypervisor took."""

    def __init__(self, pid):
        self.pid = pid
        self.lost = 0.0
        self.end = threading.Event()
        self.witness = threading.Thread(target=self._watch)

    def _watch(self):
        last = time.monotonic()
        while not self.end.is_set():
            select.select([], [], [], 0.005)
            now = time.monotonic()
            self.lost += max(0.0, now - last - 0.010)
            last = now

    def total(self):
        waited = int(pathlib.Path(f"/proc/{self.pid}/schedstat").read_text().split()[1]) / 1e9
        stolen = int(pathlib.Path("/proc/stat").read_text().split("\n", 1)[0].split()[8]) / os.sysconf("SC_CLK_TCK")
        return self.lost + waited + stolen

    def __enter__(self):
        self.witness.start()
        return self

    def __exit__(self, *_):
        self.end.set()
        self.witness.join()


def ask_patiently(agent, stalls, manners):
    """One request; a timeout is excused only where the machine stood still for most of it, and then asked again."""
    while True:
        before = stalls.total()
        try:
            stamp, counters = governor_client.snapshot(agent.path, manners)
            assert counters and stamp > 0
            return counters
        except Unavailable as error:
            stood_still = stalls.total() - before
            if not isinstance(error.__cause__, TimeoutError) or stood_still < governor_client.TIMEOUT_S / 3:
                raise
            print(f"asked again: {error}, but the machine stood still for {stood_still:.3f} s")


@pytest.mark.parametrize("manners", MANNERS)
def test_a_thousand_times(place, manners):
    """Not one failure of a client that gives each operation 0.2 s."""
    with Governor(place) as agent, Stalls(agent.process.pid) as stalls:
        def ask(_):
            return ask_patiently(agent, stalls, manners)

        with concurrent.futures.ThreadPoolExecutor(8) as pool:
            answers = list(pool.map(ask, range(ROUNDS)))
        assert len(answers) == ROUNDS
        # The same domains each time, and none of them ever goes back in the order of asking by one client.
        one_by_one = [ask(0) for _ in range(50)]
        for before, after in zip(one_by_one, one_by_one[1:]):
            assert all(after[name] >= before[name] for name in before)
        assert agent.value("carnot_conservation_error_joules") == 0


# At the lowest priority and some thousand times a second: it is the agent's patience that is tried here, not the kernel's scheduler.
RUDE = """
os.nice(19)
path, seconds = sys.argv[1], float(sys.argv[2])
end = time.monotonic() + seconds
def loop(act):
    while time.monotonic() < end:
        try:
            s = socket.socket(socket.AF_UNIX); s.settimeout(1); s.connect(path); act(s); s.close()
        except OSError:
            pass
        select.select([], [], [], 0.001)
held = []
def hold(s):
    held.append(s.dup()); del held[:-30]
def flood(s):
    for _ in range(200): s.sendall(b"x" * 4000)
def lines(s):
    for _ in range(300): s.sendall(b"{}\\n")
def half(s):
    s.sendall(b'{"v":1,"op":'); select.select([], [], [], 0.2)
def typed(s):
    s.sendall(b'{"v":1,"op":"snapshot"}\\n' * 50)
threads = [threading.Thread(target=loop, args=(act,)) for act in (hold, flood, lines, half, typed)]
for t in threads: t.start()
print("started", flush=True)
for t in threads: t.join()
"""


@needs_root
def test_rude_clients_beside(place):
    """Members of the group who hold connections, flood, ask without reading and hang up: others notice nothing, and the windows go on."""
    group = some_group()
    with Governor(place, "--governor.group", group.gr_name) as agent:
        head = f"import os, sys\nimport select, socket, threading, time\nos.setgroups([{group.gr_gid}]); os.setgid({NOBODY}); os.setuid({NOBODY})\n"
        rude = subprocess.Popen([sys.executable, "-c", head + RUDE, agent.path, "30"], stdout=subprocess.PIPE)
        try:
            assert rude.stdout.readline() == b"started\n"
            windows = agent.value("carnot_windows_total")
            with Stalls(agent.process.pid) as stalls:
                for i in range(ROUNDS):
                    ask_patiently(agent, stalls, "asks late" if i % 20 == 0 else "asks")
            wait_for(lambda: agent.value("carnot_windows_total") >= windows + 2, what="windows going on")
        finally:
            rude.kill()
            rude.wait()
            rude.stdout.close()
        assert agent.ask({"v": 1, "op": "info"})["status"] == "ok"


def test_our_own_protocol_on_the_same_socket(place, sim):
    with Governor(place, sim=sim) as agent:
        own, agent.socket_path = agent.socket_path, agent.path
        with agent.connect() as s:
            assert agent.ask({"v": 1, "op": "info"}, s)["op"] == "info"
            assert agent.ask({"v": 1, "op": "snapshot", "kinds": ["user"]}, s)["op"] == "snapshot"
            begun = agent.ask({"v": 1, "op": "session.begin", "label": "x"}, s)
            assert begun["status"] == "ok"
            # Connections of the two sockets are numbered each for itself: the session is this one's alone.
            agent.socket_path = own
            for _ in range(3):
                assert agent.ask({"v": 1, "op": "session.read", "session": begun["session"]})["error"] == "ENOENT"
            assert agent.ask({"v": 1, "op": "session.end", "session": begun["session"]}, s)["status"] == "ok"
            assert agent.ask({"v": 2, "op": "info"}, s)["error"] == "EPROTO"


def test_the_main_socket_answers_legacy_requests(place, sim):
    """Those who ask; a client of our own protocol may think before it does."""
    with Governor(place, sim=sim) as agent:
        thinking = agent.connect()
        answer = governor_client.raw(agent.socket_path)
        assert answer["status"] == "ok" and answer["totals_uj"].keys() == ALL_ZONES
        for request in (b'{"hello":1}\n', b"{ }\n"):
            with agent.connect() as s:
                s.sendall(request)
                assert json.loads(read_line(s))["status"] == "ok"
                assert s.recv(1) == b""
        with agent.connect() as s:
            s.sendall(b"what?\n")
            assert json.loads(read_line(s))["error"] == "EPROTO"
        assert agent.ask({"v": 1, "op": "info"}, thinking)["status"] == "ok"
        thinking.close()


@pytest.mark.parametrize("request_", [b"{}\n", b"what?\n", b"[]\n", b"\xff\xfe\n", b"{" * 200 + b"\n"])
def test_anything_asks_the_governor(place, request_):
    """The reference does not read requests at all."""
    with Governor(place) as agent, socket.socket(socket.AF_UNIX) as s:
        s.settimeout(5)
        s.connect(agent.path)
        s.sendall(request_)
        assert json.loads(read_line(s))["status"] == "ok"


def test_before_the_first_window(place):
    with Governor(place, "--attribution.interval", "10m", wait=False) as agent:
        wait_for(lambda: os.path.exists(agent.path), what="the socket")
        for manners in MANNERS:
            assert governor_client.raw(agent.path, manners) == {"status": "warming_up"}
        with pytest.raises(Unavailable, match="missing counters_uj"):
            governor_client.snapshot(agent.path)


# --- who may --------------------------------------------------------------------------------------------------------

ASK = "print(json.dumps(governor_client.raw(sys.argv[1])))"
TRY = """
try:
    governor_client.snapshot(sys.argv[1])
    print("answered")
except governor_client.Unavailable as error:
    print(error)
"""


@needs_root
def test_others_are_refused(place, sim):
    """The file's mode keeps them out; where it does not, they get a line that says why and no figure."""
    with Governor(place, sim=sim) as agent:
        mode = os.stat(agent.path).st_mode
        assert stat.S_ISSOCK(mode) and mode & 0o7777 == 0o660
        assert "Failed to communicate with governor" in as_user(TRY, agent.path) and "PermissionError" in as_user(TRY, agent.path)
        # The main socket is open to all, its node totals are not.
        assert os.stat(agent.socket_path).st_mode & 0o7777 == 0o666
        assert as_user(TRY, agent.socket_path).strip() == "Governor response missing counters_uj"
        answer = json.loads(as_user(ASK, agent.socket_path))
        assert answer["status"] == "error" and answer["error"] == "EACCES" and "group" in answer["message"]
        own = 's = socket.socket(socket.AF_UNIX); s.connect(sys.argv[1]); s.sendall(b\'{"v":1,"op":"counters"}\\n\'); print(s.makefile().readline())'
        assert json.loads(as_user(own, agent.socket_path))["error"] == "EACCES"
    with Governor(place, "--governor.mode", "0666", "--socket.mode", "0600", sim=sim) as agent:
        assert os.stat(agent.socket_path).st_mode & 0o7777 == 0o600
        for manners in MANNERS:
            answer = json.loads(as_user(f"print(json.dumps(governor_client.raw(sys.argv[1], {manners!r})))", agent.path))
            assert answer["error"] == "EACCES" and "uj" not in json.dumps(answer)


@needs_root
def test_members_of_the_group(place, sim):
    """They read the machine's counters; units of others only where the group is the agent's own."""
    group = some_group()
    typed = 's = socket.socket(socket.AF_UNIX); s.connect(sys.argv[1]); s.sendall(b\'{"v":1,"op":"snapshot"}\\n\'); print(s.makefile().readline())'
    with Governor(place, "--governor.group", group.gr_name, sim=sim) as agent:
        assert os.stat(agent.path).st_gid == group.gr_gid
        assert as_user(TRY, agent.path, groups=[group.gr_gid]).strip() == "answered"
        assert json.loads(as_user(typed, agent.path, groups=[group.gr_gid]))["view"] == "own"
        assert as_user(TRY, agent.socket_path, groups=[group.gr_gid]).strip() == "Governor response missing counters_uj"
    with Governor(place, "--governor.group", group.gr_name, "--socket.group", group.gr_name, sim=sim) as agent:
        assert json.loads(as_user(typed, agent.path, groups=[group.gr_gid]))["view"] == "all"
        assert as_user(TRY, agent.socket_path, groups=[group.gr_gid]).strip() == "answered"


def test_a_missing_group_is_a_warning(place):
    with Governor(place, "--governor.group", "no-such-group") as agent:
        assert "there is no group no-such-group" in agent.log_text()
        assert governor_client.snapshot(agent.path)


# --- the socket's path, and carbon-governor's flags -----------------------------------------------------------------


def test_a_socket_in_use_and_a_stale_one(place):
    with Governor(place, "--state.file", "none") as agent:
        done = subprocess.run([CARNOTD, "--web.listen-address", "none", "--socket.path", str(place / "other"), "--state.file", "none",
                               "--governor.path", agent.path], stderr=subprocess.PIPE, timeout=60, check=False)
        assert done.returncode == 69 and agent.path in done.stderr.decode()
        assert not (place / "other").exists()  # nothing is left behind
        assert governor_client.snapshot(agent.path)
    killed = Governor(place, "--state.file", "none")
    killed.kill()
    assert os.path.exists(killed.path)
    with Governor(place, "--state.file", "none") as again:
        assert governor_client.snapshot(again.path)
    assert not os.path.exists(killed.path)


def test_the_flags_of_carbon_governor(place, sim):
    path = str(place / "carbon-ops.sock")
    flags = ("--powercap-root", f"{sim.sys}/class/powercap", "--poll-interval", "0.05", "--socket-path", path, "--socket-group", "no-such-group",
             "--socket-mode", "0600", "--rapl-mode", "sysfs", "--msr-cpus", "0")
    with Agent(*flags) as agent:
        sim.tell("advance 1s")
        wait_for(lambda: governor_client.snapshot(path)[1].get(PACKAGE) == 25_000_000, what="25 J")
        assert os.stat(path).st_mode & 0o7777 == 0o600
        assert agent.value("carnot_source_up", source="rapl_powercap") == 1
    with Agent("--disable-ipc", "--socket-path", path, "--path.sysfs", str(sim.sys)) as agent:
        assert not os.path.exists(path) and not os.path.exists(agent.socket_path)


@pytest.mark.parametrize("flags,word", [(("--powercap-root", "/somewhere/else"), "--path.sysfs"), (("--poll-interval", "0"), "--poll-interval"),
                                        (("--poll-interval", "soon"), "--poll-interval"), (("--socket-mode", "rw"), "--socket-mode"),
                                        (("--socket-mode", "0999"), "octal"), (("--rapl-mode", "magic"), "--rapl-mode"),
                                        (("--socket.path", "/run/x", "--socket-path", "/run/x"), "are both /run/x")])
def test_wrong_flags_of_carbon_governor(flags, word):
    done = subprocess.run([CARNOTD, "--state.file", "none", *flags], stderr=subprocess.PIPE, timeout=60, check=False)
    assert done.returncode == 64 and word in done.stderr.decode()


# --- totals outlive the agent ---------------------------------------------------------------------------------------


def energy_of(agent):
    return {d["name"]: d["energy_uj"] for d in agent.snapshot(kinds=["user"])["domains"]}


def test_totals_go_on_after_a_restart(place, sim):
    """Also what was used while the agent was down, which the counter proves; windows and units know nothing of it."""
    with Governor(place, sim=sim) as agent:
        assert stat.S_IMODE(os.stat(agent.state.parent).st_mode) == 0o755
        sim.tell("advance 4s")
        agent.arrive(100_000_000)
    assert stat.S_IMODE(os.stat(place / "state").st_mode) == 0o600
    sim.tell("advance 2s")
    with Governor(place, sim=sim) as agent:
        agent.arrive(150_000_000)
        package = agent.counters()["package-0"]
        assert package["bridged_uj"] == 50_000_000 and package["run_uj"] == 0 and package["gaps"] == 0 and package["lasting"]
        sim.tell("advance 1s")
        agent.arrive(175_000_000)
        agent.next_snapshot(agent.snapshot(kinds=["user"])["seq"] + 1)
        assert energy_of(agent)["package-0"] == 25_000_000
        assert agent.value("carnot_domain_energy_joules_total", domain="package-0") == 25
        assert agent.value("carnot_conservation_error_joules") == 0
    with Governor(place, sim=sim) as agent:
        agent.saved()
        assert agent.value("carnot_domain_lifetime_energy_joules_total", domain="package-0") == 175
        assert agent.value("carnot_domain_bridged_energy_joules_total", domain="package-0") == 50
        assert agent.totals()[DRAM] == 21_000_000


def test_a_wrap_while_the_agent_is_down(place):
    with Sim(*MANUAL, "--packages", "1", "--power", "package-0=25W", "--start-uj", f"package-0={MODULUS_UJ - 60_000_000}") as machine:
        with Governor(place, sim=machine) as agent:
            machine.tell("advance 2s")
            agent.arrive(50_000_000)
        machine.tell("advance 2s")
        assert machine.truth()["package-0"].wraps == 1
        with Governor(place, sim=machine) as agent:
            agent.arrive(100_000_000)


@pytest.mark.parametrize("interval", ["1s", "1h"])
def test_totals_after_a_kill(place, sim, interval):
    """The first window is saved at once; from there the counter of the hardware proves the rest, however long the interval."""
    agent = Governor(place, "--state.interval", interval, sim=sim)
    agent.saved() if interval == "1s" else wait_for(agent.state.exists, what="the first save")
    sim.tell("advance 4s")
    agent.arrive(100_000_000)
    agent.kill()
    sim.tell("advance 2s")
    with Governor(place, sim=sim) as again:
        again.arrive(150_000_000)
        assert again.counters()["package-0"]["gaps"] == 0


def test_kill_after_kill(place, sim):
    """Ten lives at random length: never back, never more than was used, and in the end all of it."""
    last = 0
    for life in range(10):
        agent = Governor(place, sim=sim)
        sim.tell(f"advance {100 * life + 37}ms")
        truth = sim.truth()["package-0"].uj
        wait_for(lambda: governor_client.raw(agent.path)["status"] == "ok", what="an answer")
        total = agent.totals()[PACKAGE]
        assert last <= total <= truth
        agent.arrive(truth)
        last = truth
        agent.kill()
    with Governor(place, sim=sim) as agent:
        agent.arrive(sim.truth()["package-0"].uj)


def rewrite(state, **fields):
    """Another boot or machine, with a right checksum."""
    lines = state.read_text().splitlines()[:-1]
    lines = [f"{line.split()[0]} {fields[line.split()[0]]}" if line.split()[0] in fields else line for line in lines]
    body = ("\n".join(lines) + "\n").encode()
    state.write_bytes(body + b"crc32 %08x\n" % zlib.crc32(body))


def test_totals_after_a_reboot(place, sim):
    """Nothing is invented for the time between two boots, nor taken away."""
    with Governor(place, sim=sim) as agent:
        sim.tell("advance 4s")
        agent.arrive(100_000_000)
    rewrite(place / "state", boot="11111111-2222-3333-4444-555555555555")
    sim.tell("advance 2s")
    with Governor(place, sim=sim) as agent:
        agent.arrive(100_000_000)
        sim.tell("advance 1s")
        agent.arrive(125_000_000)
        package = agent.counters()["package-0"]
        assert package["gaps"] == 1 and package["bridged_uj"] == 0


def spoil_cut(state):
    state.write_bytes(state.read_bytes()[:-5])


def spoil_byte(state):
    data = bytearray(state.read_bytes())
    data[len(data) // 2] ^= 1
    state.write_bytes(bytes(data))


def spoil_empty(state):
    state.write_bytes(b"")


def spoil_json(state):
    state.write_text('{"totals_uj":{"package-0":-5}}')


def spoil_large(state):
    state.write_bytes(b"carnot-state 1\n" * 100000)


def spoil_version(state):
    state.write_text("carnot-state 2\nnew things\n")


def spoil_machine(state):
    rewrite(state, machine="0" * 32)


def spoil_link(state):
    state.rename(state.with_name("elsewhere"))
    state.symlink_to("elsewhere")


@pytest.mark.parametrize("spoil,reason", [(spoil_cut, "checksum"), (spoil_byte, "checksum"), (spoil_empty, "no state of carnotd"), (spoil_json, "no state of carnotd"),
                                          (spoil_large, "no state of carnotd"), (spoil_version, "another version"),
                                          (spoil_machine, "another machine"), (spoil_link, "no state of carnotd")],
                         ids=lambda p: p.__name__ if callable(p) else "")
def test_a_state_that_is_refused(place, sim, spoil, reason):
    """One sentence, the file set aside, counting begins at 0: never a crash, never a step back."""
    if spoil is spoil_machine and not pathlib.Path("/etc/machine-id").exists():
        pytest.skip("this machine has no id")
    with Governor(place, sim=sim) as agent:
        sim.tell("advance 4s")
        agent.arrive(100_000_000)
    spoil(place / "state")
    spoilt = (place / "state").read_bytes()
    with Governor(place, sim=sim) as agent:
        warnings = [line for line in agent.log_text().splitlines() if str(agent.state) in line]
        assert len(warnings) == 1 and " warn: " in warnings[0] and reason in warnings[0] and ".refused" in warnings[0]
        assert pathlib.Path(f"{agent.state}.refused").read_bytes() == spoilt
        sim.tell("advance 1s")
        agent.arrive(25_000_000)
    with Governor(place, sim=sim) as agent:
        agent.arrive(25_000_000)


def test_one_agent_at_a_time_has_the_state(place, sim):
    with Governor(place, sim=sim) as agent:
        sim.tell("advance 4s")
        agent.arrive(100_000_000)
        with Agent("--path.sysfs", str(sim.sys), "--state.file", str(agent.state)) as second:
            assert "another program has" in second.log_text() and "will not be kept" in second.log_text()
            assert not [n for n, _ in second.metrics() if "lifetime" in n]
    with Governor(place, sim=sim) as agent:
        agent.arrive(100_000_000)


@needs_root
def test_a_state_that_cannot_be_written(place, sim):
    """Measuring goes on, the log says once what is lost, and the metric stands still instead of lying."""
    (place / "closed").mkdir()
    with Governor(place, "--state.file", str(place / "closed" / "state"), sim=sim) as agent:
        agent.saved()
        os.chown(place / "closed", NOBODY, NOBODY)  # carnotd has no right to override that
        os.chmod(place / "closed", 0o555)
        sim.tell("advance 4s")
        agent.arrive(100_000_000)
        wait_for(lambda: "energy totals were not saved" in agent.log_text(), what="a warning")
        assert agent.value("carnot_domain_lifetime_energy_joules_total", domain="package-0") == 0
        os.chown(place / "closed", 0, 0)
        os.chmod(place / "closed", 0o755)
        agent.saved()
        wait_for(lambda: agent.value("carnot_domain_lifetime_energy_joules_total", domain="package-0") == 100, what="the metric going on")
        assert agent.log_text().count("energy totals were not saved") == 1


def test_no_state_at_all(place, sim):
    with Governor(place, "--state.file", "none", sim=sim) as agent:
        sim.tell("advance 4s")
        agent.arrive(100_000_000)
        assert not [n for n, _ in agent.metrics() if "lifetime" in n]
    assert os.listdir(place) == []
    with Governor(place, "--state.file", str(place / "new" / "state"), sim=sim) as agent:  # the directory is made
        wait_for((place / "new" / "state").exists, what="the first save")
    with Governor(place, "--state.file", str(place / "a" / "b" / "state"), sim=sim) as agent:
        assert "cannot make the directory" in agent.log_text() and "--state.file" in agent.log_text()
        assert governor_client.snapshot(agent.path)
