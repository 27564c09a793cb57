# SPDX-License-Identifier: Apache-2.0
"""EnergyTracer: import-compatible with EnergAt's context manager, with carnotd's figures.

    with EnergyTracer(pid, output="x"):
        ...                                # writes x.csv

The file has EnergAt's 17 columns, a row per socket and slot. Differences, on purpose:
  * energy is Carnot's: it is conserved, no exponent is applied, wraps are counted right; each slot is written once;
  * num_proc and num_threads do not count the tracer;
  * pkg_credit_frac and dram_credit_frac are ascribed / (total - base), the share that was given;
  * base_* is the energy that the agent holds for idle, tracer_* that of the agent itself (entity monitor);
  * totals, base, tracer and the fractions are empty for ordinary users, to whom the agent does not tell them;
  * pkg_percent and dram_percent (utilisation per socket) are empty: the agent does not tell them;
  * a child that begins and ends between two slots is not in it (`carnot run` counts every descendant).
"""
import csv
import pathlib
import threading
import time

from ._lib import Error
from .region import Carnot, READ_SECONDS

COLUMNS = ["time", "socket", "duration_sec", "num_proc", "num_threads", "pkg_credit_frac", "dram_credit_frac",
           "total_pkg_joules", "total_dram_joules", "base_pkg_joules", "base_dram_joules", "ascribed_pkg_joules",
           "ascribed_dram_joules", "tracer_pkg_joules", "tracer_dram_joules", "pkg_percent", "dram_percent"]

PIDS_MAX = 256  # of one request


def _threads(pid):
    try:
        return [path.name for path in pathlib.Path(f"/proc/{pid}/task").iterdir()]
    except OSError:
        return []


def _tree(pid):
    """{pid: number of threads} of a process and its living descendants."""
    found, todo = {}, [pid]
    while todo and len(found) < PIDS_MAX:
        pid = todo.pop()
        threads = _threads(pid)
        if not threads or pid in found:
            continue
        found[pid] = len(threads)
        for thread in threads:
            try:
                todo += map(int, pathlib.Path(f"/proc/{pid}/task/{thread}/children").read_text().split())
            except OSError:
                pass  # it ended
    return found


def _by_socket(domains, values):
    """{(socket, "pkg" or "dram"): sum} of the domains that have a package; None values are skipped."""
    sums = {}
    for domain, value in zip(domains, values):
        what = {"package": "pkg", "dram": "dram"}.get(domain["kind"])
        if what and domain.get("package", -1) >= 0 and value is not None:
            key = (domain["package"], what)
            sums[key] = sums.get(key, 0) + value
    return sums


class EnergyTracer:
    def __init__(self, pid, output=None, carnot=None):
        self.pid = int(pid)
        self.path = pathlib.Path(f"{output or f'energat_traces_target-{self.pid}'}.csv")
        self.error = None  # why it stopped early, a carnot.Error
        self._given, self._carnot = carnot, carnot
        self._stop = threading.Event()
        self._thread = None
        self._units = {}  # unit id -> energies when last seen
        self._last = None

    def _ask(self):
        tree = _tree(self.pid)
        answer = self._carnot.ask(op="process", pids=list(tree) or [self.pid])
        if answer.get("status") != "ok" and answer.get("error") != "EAGAIN":
            raise Error(5, answer.get("message", "the agent refused"))
        return answer, tree

    def _take(self, answer, tree, writer):
        """Writes the rows of a slot that is new. True if it was."""
        last = self._last
        if answer.get("status") != "ok" or (last and last["epoch"] == answer["epoch"] and last["seq"] == answer["seq"]):
            return False
        if last and last["epoch"] != answer["epoch"]:
            self._units = {}
            last = None  # counters began anew: nothing can be compared
        domains = answer["domains"]
        ascribed = [0] * len(domains)
        for unit in answer["units"]:
            begun_meanwhile = last is not None and unit["start_real_ns"] >= last["end_real_ns"]
            before = self._units.get(unit["id"], [0] * len(domains) if begun_meanwhile else unit["energy_uj"])
            ascribed = [a + now - then for a, now, then in zip(ascribed, unit["energy_uj"], before)]
            self._units[unit["id"]] = unit["energy_uj"]
        if last and len(last["domains"]) == len(domains):
            self._write(answer, last, tree, _by_socket(domains, ascribed), writer)
        self._last = answer
        return True

    @staticmethod
    def _difference(answer, last, value):
        return _by_socket(answer["domains"], [value(now) - value(then) if "energy_uj" in now else None
                                              for now, then in zip(answer["domains"], last["domains"])])

    def _write(self, answer, last, tree, ascribed, writer):
        total = self._difference(answer, last, lambda d: d["energy_uj"])
        base = self._difference(answer, last, lambda d: d["entities"]["idle"]["energy_uj"])
        monitor = self._difference(answer, last, lambda d: d["entities"]["monitor"]["energy_uj"])
        for socket in sorted({socket for socket, _ in ascribed}):
            def joules(sums, what):
                return sums[(socket, what)] / 1e6 if (socket, what) in sums else ""

            def fraction(what):
                key = (socket, what)
                active = total.get(key, 0) - base.get(key, 0)
                return ascribed[key] / active if key in ascribed and active > 0 else ""

            writer.writerow([answer["end_real_ns"] / 1e9, socket, (answer["end_mono_ns"] - last["end_mono_ns"]) / 1e9,
                             len(tree), sum(tree.values()), fraction("pkg"), fraction("dram"),
                             joules(total, "pkg"), joules(total, "dram"), joules(base, "pkg"), joules(base, "dram"),
                             joules(ascribed, "pkg"), joules(ascribed, "dram"), joules(monitor, "pkg"), joules(monitor, "dram"), "", ""])

    def _run(self, file):
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(COLUMNS)
        stopping_until = None
        try:
            while True:
                answer, tree = self._ask()
                new = self._take(answer, tree, writer)
                file.flush()
                if stopping_until is not None and (new or time.monotonic() > stopping_until):
                    return
                if self._stop.wait(0 if stopping_until is not None else 0.25):
                    if stopping_until is None:
                        stopping_until = time.monotonic() + READ_SECONDS  # for the slot in which it was stopped
                    else:
                        threading.Event().wait(0.1)
        except (Error, OSError) as error:
            self.error = error

    def __enter__(self):
        if self._carnot is None:
            self._carnot = Carnot()
        file = self.path.open("w", newline="")

        def run():
            with file:
                self._run(file)

        self._thread = threading.Thread(target=run, name="carnot-tracer", daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._stop.set()
        self._thread.join()
        if self._given is None:
            self._carnot.close()
