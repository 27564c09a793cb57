# SPDX-License-Identifier: Apache-2.0
"""carnotd and carnot with a source that runs a command: who runs it, with which rights, and what happens when one of
them is killed."""
import json
import os
import pathlib
import signal
import subprocess
import tempfile
import time

import pytest

import agent as agents
from agent import BUILD, Agent, wait_for

CARNOTD = BUILD / "tests" / "system" / "carnotd-commands"
CARNOT = BUILD / "tests" / "system" / "carnot-commands"
ROOT = os.geteuid() == 0
needs_root = pytest.mark.skipif(not ROOT, reason="needs root: rights to give up")
NOBODY = 65534


@pytest.fixture(autouse=True)
def programs(monkeypatch):
    monkeypatch.setattr(agents, "CARNOTD", CARNOTD)


@pytest.fixture
def place():
    """A directory of the test's own, which other users may enter: pytest's are closed to them."""
    with tempfile.TemporaryDirectory(prefix="carnot-commands-") as directory:
        os.chmod(directory, 0o755)
        yield pathlib.Path(directory)


@pytest.fixture
def counter(place):
    """A script that prints what stands in a file of its user alone, and the file."""
    value = place / "counter"
    value.write_text("1000000\n")
    value.chmod(0o600)
    return script(place, f"cat {value}"), value


def script(directory, body):
    path = directory / "script"
    path.write_text(f"#!/bin/sh\n{body}\n")
    path.chmod(0o755)
    return path


def is_gone(pid):
    try:
        return pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] in "ZX"
    except FileNotFoundError:
        return True


def status_of(pid):
    return dict(line.split(":\t", 1) for line in pathlib.Path(f"/proc/{pid}/status").read_text().splitlines() if ":\t" in line)


def helper_of(agent):
    return int(agent.log_text().split("other programs are run by process ")[1].split()[0])


def joules(agent):
    return agent.value("carnot_domain_energy_joules_total", domain="host-command")


def test_command_after_rights_were_given_up(counter):
    path, value = counter
    with Agent("--command.path", path) as agent:
        helper = helper_of(agent)
        wait_for(lambda: agent.value("carnot_source_up", source="command") == 1, what="the first reading")
        before = joules(agent)
        value.write_text("6000000\n")  # still 0600, and the agent's user's
        wait_for(lambda: joules(agent) > before, what="the energy that the command tells")
        assert joules(agent) == pytest.approx(before + 5)
        assert agent.value("carnot_conservation_error_joules") == 0
        mine, its = status_of(agent.process.pid), status_of(helper)
        assert its["Name"] == "carnotd-helper"
        assert int(its["CapPrm"], 16) == int(its["CapEff"], 16) == 0
        assert its["NoNewPrivs"] == mine["NoNewPrivs"] == "1"
        assert int(its["PPid"]) != agent.process.pid
        if ROOT:  # CAP_DAC_READ_SEARCH, CAP_PERFMON, CAP_BPF at most
            assert int(mine["CapEff"], 16) & ~(1 << 2 | 1 << 38 | 1 << 39) == 0
    wait_for(lambda: is_gone(helper), what="the helper's end")


@needs_root
def test_without_any_right(counter, place):
    path, value = counter
    for file in (path, value, place):
        os.chown(file, NOBODY, -1)
    with Agent("--command.path", path, user=NOBODY) as agent:
        wait_for(lambda: agent.value("carnot_source_up", source="command") == 1, what="the first reading")
        assert int(status_of(helper_of(agent))["Uid"].split()[0]) == NOBODY


@needs_root
def test_a_program_that_others_can_change_is_refused(counter):
    path, _ = counter
    path.chmod(0o777)
    agent = Agent("--command.path", path, wait=False)
    assert agent.process.wait(timeout=30) == 69
    agent.stop(expect=69)


def test_helper_killed(counter):
    path, _ = counter
    with Agent("--command.path", path) as agent:
        wait_for(lambda: agent.value("carnot_source_up", source="command") == 1, what="the first reading")
        os.kill(helper_of(agent), signal.SIGKILL)
        wait_for(lambda: agent.value("carnot_source_errors_total", source="command") > 0, what="the failure")
        assert agent.get("/-/healthy")[0] == 200
        seen = agent.snapshot()["seq"]
        assert agent.next_snapshot(seen)["seq"] > seen  # windows go on


def test_agent_killed_while_a_command_hangs(place, counter):
    path = script(place, f"echo $$ >{place}/pid.new; mv {place}/pid.new {place}/pid; sleep 1000")
    with Agent("--command.path", path) as agent:
        command = wait_for(lambda: (place / "pid").exists() and int((place / "pid").read_text()), what="the command")
        helper = helper_of(agent)
        assert not is_gone(helper) and not is_gone(command)
        agent.process.kill()
        wait_for(lambda: is_gone(helper) and is_gone(command), what="the end of helper and command")
        agent.stop(expect=-signal.SIGKILL)
        agent.stop = lambda expect: None


def test_stop_does_not_wait_for_a_command(place, counter):
    path = script(place, f"touch {place}/began; sleep 1000")
    with Agent("--command.path", path) as agent:
        wait_for((place / "began").exists, what="the command")
        helper, begin = helper_of(agent), time.monotonic()
        agent.process.send_signal(signal.SIGTERM)
        assert agent.process.wait(timeout=30) == 0
        assert time.monotonic() - begin < 20  # the command's limit is 60 s
        wait_for(lambda: is_gone(helper), what="the helper's end")


def test_the_whole_group_may_get_the_signal(counter):
    """As systemd stops a service: every process of it is told. The agent's end stays a clean one."""
    path, _ = counter
    with Agent("--command.path", path) as agent:
        helper = helper_of(agent)
        os.kill(helper, signal.SIGTERM)
        agent.process.send_signal(signal.SIGTERM)
        assert agent.process.wait(timeout=30) == 0
        wait_for(lambda: is_gone(helper), what="the helper's end")


def carnot(*argv):
    return subprocess.run([CARNOT, *map(str, argv)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, check=False, timeout=120,
                          env={**os.environ, "CARNOT_SOCKET": ""})


@pytest.mark.parametrize("reader", ["tree", pytest.param("bpf", marks=needs_root)])
def test_run_counts_its_own_command_only(place, counter, reader):
    """Neither the helper nor what it runs is a child of the measured command, or is waited for in its place."""
    path = script(place, "i=0; while [ $i -lt 1000000 ]; do i=$((i+1)); done; cat " + str(place / "counter"))
    done = carnot("run", "--agent=never", "--activity.reader", reader, "--json", f"--command.path={path}",
                  "--", "sh", "-c", "sleep 3")
    report = json.loads(done.stderr)
    assert done.returncode == 0
    assert report["left_running"] == 0, report
    # One run of the script alone takes longer than that.
    assert report["cpu_ns"] < 200_000_000 and report["repeats"][0]["session_cpu_ns"] < 200_000_000, report


def test_doctor_runs_it_too(counter):
    path, _ = counter
    done = carnot("doctor", "--json", "--agent=never", "--duration=1s", f"--command.path={path}")
    report = json.loads(done.stdout)
    assert [c["state"] for c in report["checks"] if c["subject"] == "command"] == ["ok"], report
