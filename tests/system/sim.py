# SPDX-License-Identifier: Apache-2.0
"""Starts the simulated machine (carnot-sim) in a directory of its own, tells it what to do, asks it for the truth.
Ends only what it started."""
import os
import pathlib
import signal
import subprocess
import tempfile
from typing import NamedTuple

import pytest

from waiting import wait_for

BUILD = pathlib.Path(os.environ.get("CARNOT_BUILD", "build")).resolve()
CARNOT_SIM = BUILD / "tests" / "sim" / "carnot-sim"
SIM_PROBE = BUILD / "tests" / "sim" / "sim-probe"
SKIP_STATUS = 77


class Truth(NamedTuple):
    id: str
    uj: int
    wraps: int
    resets: int
    counter_uj: int


class Sim:
    """One mounted machine; a context manager. `sys` is what stands for /sys. Skips the test where FUSE is missing."""

    def __init__(self, *options):
        self.dir = tempfile.TemporaryDirectory(prefix="carnot-sim-")
        self.sys = pathlib.Path(self.dir.name) / "sys"
        self.sys.mkdir()
        self.log_path = pathlib.Path(self.dir.name) / "log"
        with self.log_path.open("wb") as log:
            self.process = subprocess.Popen([CARNOT_SIM, *options, self.sys], stdin=subprocess.DEVNULL, stdout=log,
                                            stderr=log)
        wait_for(self._is_up, what="the mount")

    def _is_up(self):
        status = self.process.poll()
        if status == SKIP_STATUS:
            self.dir.cleanup()
            pytest.skip(self.log_text().strip() if self.log_path.exists() else "FUSE is not available")
        if status is not None:
            raise AssertionError(f"carnot-sim ended with {status}: {self.log_text()}")
        return (self.sys / ".truth").exists()

    def log_text(self):
        return self.log_path.read_text(errors="replace")

    def tell(self, *commands):
        """Writes commands to .control; OSError when one is refused."""
        fd = os.open(self.sys / ".control", os.O_WRONLY)
        try:
            for command in commands:
                os.write(fd, (command + "\n").encode())
        finally:
            os.close(fd)

    def truth(self):
        """Alias of each zone ("dram-0") -> Truth."""
        rows = [line.split() for line in (self.sys / ".truth").read_text().splitlines()]
        return {row[1]: Truth(row[0], *map(int, row[2:])) for row in rows}

    def stop(self):
        """SIGTERM; the exit status. The mount is gone afterwards."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(20)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        if os.path.ismount(self.sys):  # it died without unmounting
            subprocess.run(["fusermount3", "-u", "-z", self.sys], check=False)
        return self.process.returncode

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()
        self.dir.cleanup()


class Reading(NamedTuple):
    status: int
    kind: str
    step_uj: int
    total_uj: int
    wraps: int
    resets: int
    gaps: int
    absurd: int


class Probe:
    """The reader and the delta on a machine, read on demand at times that the test chooses."""

    def __init__(self, sim):
        self.process = subprocess.Popen([SIM_PROBE, sim.sys], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                        stderr=subprocess.PIPE, text=True)
        self.error = ""

    def read(self, seconds):
        self.process.stdin.write(f"read {round(seconds * 1e9)}\n")
        self.process.stdin.flush()
        domains = {}
        self.error = ""
        for line in self.process.stdout:
            if line == ".\n":
                return domains
            if line.startswith("!"):
                self.error = line[2:].strip()
                continue
            name, status, kind, *numbers = line.split()
            domains[name] = Reading(int(status), kind, *map(int, numbers))
        self.process.wait()
        raise AssertionError(f"sim-probe ended with {self.process.returncode}: {self.process.stderr.read()}")

    def finish(self):
        """Exit status and what it said on standard error."""
        _, said = self.process.communicate(timeout=20)
        return self.process.returncode, said

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.process.stdin.close()
            self.process.wait(20)
        self.process.stdout.close()
        self.process.stderr.close()
