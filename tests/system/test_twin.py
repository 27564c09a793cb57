# SPDX-License-Identifier: Apache-2.0
"""carnotd on the simulated machine: its known energy arrives to the microjoule, through wraps, errors and vanished zones, and every microjoule
has an owner. Simulated energy, real CPU time: what ran is this machine's own load."""
import pytest

from agent import Agent
from sim import Sim
from waiting import wait_for

MANUAL = ("--clock", "manual")
ZONES = ("--packages", "1", "--core", "--dram", "--psys", "--mmio")
POWERS = ("--power", "package-0=25W", "--power", "core-0=15W", "--power", "dram-0=3W", "--power", "psys=40W", "--power", "package-0-mmio=25W")
NAMES = ("package-0", "core-0", "dram-0", "psys")


def energies(snapshot):
    return {d["name"]: d["energy_uj"] for d in snapshot["domains"]}


def settle(agent):
    """A snapshot whose window began after this call: it has read everything that was there."""
    return agent.next_snapshot(agent.snapshot(kinds=["user"])["seq"] + 1)


def check_owners(snapshot):
    for d, domain in enumerate(snapshot["domains"]):
        entities = sum(e["window_uj"] for e in domain["entities"].values())
        for kind in ("process", "cgroup", "user"):
            units = sum(u["window_uj"][d] for u in snapshot["units"] if u["kind"] == kind)
            assert units + entities == domain["window_uj"]


@pytest.fixture(params=["262143000000", "1000"])
def machine(request):
    """The package begins near its wrap (max_energy_range_uj 262143328850), so that the first difference already wraps."""
    with Sim(*MANUAL, *ZONES, *POWERS, "--start-uj", f"package-0={request.param}") as sim:
        start = {name: truth.uj for name, truth in sim.truth().items()}
        with Agent("--path.sysfs", str(sim.sys)) as agent:
            yield sim, agent, start


def arrived(sim, agent, start):
    """Every domain has exactly the true energy since the start."""
    truth = {name: sim.truth()[name].uj - start[name] for name in NAMES}
    wait_for(lambda: {n: energies(agent.snapshot(kinds=["user"]))[n] for n in NAMES} == truth or None, seconds=15,
             what=lambda: f"{truth}, got {energies(agent.snapshot(kinds=['user']))}")


def test_known_energy_arrives(machine):
    sim, agent, start = machine
    for step in range(12):
        sim.tell(f"advance {37 + 101 * step}ms")
        if step % 4 == 3:
            check_owners(settle(agent))
    arrived(sim, agent, start)
    snapshot = settle(agent)
    total = [d["name"] for d in snapshot["domains"] if d["in_total"]]
    assert sorted(total) == ["dram-0", "package-0"]
    assert all(d["quality"] == "measured" and d["source"] == "rapl_powercap" for d in snapshot["domains"])
    assert agent.value("carnot_conservation_error_joules") == 0
    assert agent.value("carnot_source_up", source="rapl_powercap") == 1


@pytest.mark.parametrize("error", ["EIO", "EACCES", "EINVAL"])
def test_a_zone_that_cannot_be_read_for_a_while(machine, error):
    sim, agent, start = machine
    sim.tell(f"fail package-0 {error}")
    sim.tell("advance 2s")
    snapshot = settle(agent)
    domain = next(d for d in snapshot["domains"] if d["name"] == "package-0")
    assert domain["status"] < 0 and domain["energy_uj"] == 0
    assert agent.value("carnot_source_up", source="rapl_powercap") == 0
    assert agent.value("carnot_source_errors_total", source="rapl_powercap") > 0
    assert energies(snapshot)["dram-0"] == sim.truth()["dram-0"].uj - start["dram-0"]
    sim.tell("fail package-0 ok")
    arrived(sim, agent, start)
    wait_for(lambda: agent.value("carnot_source_up", source="rapl_powercap") == 1, what="the source to be up")


def test_a_zone_that_vanishes_and_comes_back(machine):
    sim, agent, start = machine
    sim.tell("advance 1s", "vanish package-0")
    settle(agent)
    sim.tell("advance 1s")
    check_owners(settle(agent))
    sim.tell("restore package-0", "advance 1s")
    arrived(sim, agent, start)


def test_a_reset_is_flagged_and_invents_nothing(machine):
    sim, agent, start = machine
    sim.tell("advance 3s")
    before = energies(settle(agent))["dram-0"]
    sim.tell("reset dram-0")
    settle(agent)
    sim.tell("advance 1s")
    after = energies(settle(agent))["dram-0"]
    assert agent.value("carnot_domain_reading_events_total", domain="dram-0", event="reset") == 1
    assert before <= after <= before + 3000000
    assert agent.value("carnot_conservation_error_joules") == 0


def test_counters_that_may_not_be_read_fall_back_to_the_model():
    with Sim(*MANUAL, *ZONES, *POWERS) as sim:
        for zone in sim.truth():
            sim.tell(f"fail {zone} EACCES")
        with Agent("--path.sysfs", str(sim.sys)) as agent:
            snapshot = agent.snapshot()
            assert {d["source"] for d in snapshot["domains"]} == {"model_tdp"}
            assert "rapl_powercap: not used" in agent.log_text()
