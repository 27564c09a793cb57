# SPDX-License-Identifier: Apache-2.0
"""Starts a real carnotd on loopback with its own socket, and speaks to it. Ends only what it started."""
import http.client
import json
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import tempfile

from waiting import wait_for

BUILD = pathlib.Path(os.environ.get("CARNOT_BUILD", "build")).resolve()
CARNOTD = BUILD / "src" / "agent" / "carnotd"


class Agent:
    """One carnotd. Options are flags; the HTTP port is chosen by the kernel and read from the log."""

    def __init__(self, *options, wait=True, env=None, user=None):
        # Short: a Unix socket's path has at most 107 bytes.
        self.dir = tempfile.TemporaryDirectory(prefix="carnotd-")
        self.socket_path = f"{self.dir.name}/carnot.sock"
        self.log_path = pathlib.Path(self.dir.name) / "log"
        os.chmod(self.dir.name, 0o755)
        if user is not None:
            os.chown(self.dir.name, user, -1)
        program = self._readable_copy() if user is not None else str(CARNOTD)
        argv = [program, "--web.listen-address", "127.0.0.1:0", "--socket.path", self.socket_path, "--state.file", "none", *options]
        self.log = self.log_path.open("wb")
        self.process = subprocess.Popen(argv, stderr=self.log, stdout=self.log, stdin=subprocess.DEVNULL, env=env, user=user)
        self.port = None
        if wait:
            self.port = wait_for(self._find_port, what="the HTTP port")
            wait_for(lambda: self.get("/-/ready")[0] == 200, what="readiness")

    def _readable_copy(self):
        """The build directory may be closed to other users."""
        copy = f"{self.dir.name}/carnotd"
        shutil.copy(CARNOTD, copy)
        return copy

    def _find_port(self):
        if self.process.poll() is not None:
            raise AssertionError(f"carnotd ended with {self.process.returncode}: {self.log_text()}")
        for line in self.log_text().splitlines():
            if ", port " in line:
                return int(line.split(", port ")[1].split(",")[0])
        return None

    def log_text(self):
        return self.log_path.read_text(errors="replace")

    def get(self, path, headers=None, method="GET"):
        """(status, headers, body) of one request."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        try:
            connection.request(method, path, headers=headers or {})
            response = connection.getresponse()
            return response.status, {k.lower(): v for k, v in response.getheaders()}, response.read()
        finally:
            connection.close()

    def metrics(self):
        """{(name, frozenset of labels): value}"""
        status, _, body = self.get("/metrics")
        assert status == 200, body
        return parse_metrics(body.decode())

    def value(self, name, **labels):
        """The one series of that name with at least these labels."""
        found = [v for (n, l), v in self.metrics().items() if n == name and labels.items() <= dict(l).items()]
        assert len(found) == 1, f"{len(found)} series {name} {labels}"
        return found[0]

    def connect(self):
        s = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        s.settimeout(20)
        s.connect(self.socket_path)
        return s

    def ask(self, request, connection=None):
        s = connection or self.connect()
        try:
            s.sendall(json.dumps(request).encode() + b"\n")
            return json.loads(read_line(s))
        finally:
            if connection is None:
                s.close()

    def snapshot(self, **more):
        return self.ask({"v": 1, "op": "snapshot", **more})

    def next_snapshot(self, after, **more):
        return wait_for(lambda: (lambda s: s if s["seq"] > after else None)(self.snapshot(**more)), what=f"window {after + 1}")

    def stop(self, expect=0):
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        status = self.process.wait(timeout=30)
        self.log.close()
        text = self.log_text()
        self.dir.cleanup()
        if expect is not None:
            assert status == expect, f"carnotd ended with {status}: {text}"
        return text

    def __enter__(self):
        return self

    def __exit__(self, kind, value, trace):
        if kind and self.process.poll() is None:
            print(self.log_text())
        self.stop(expect=None if kind else 0)


def read_line(s):
    data = b""
    while not data.endswith(b"\n"):
        piece = s.recv(65536)
        if not piece:
            raise AssertionError(f"connection closed after {data[:200]!r}")
        data += piece
    return data


def parse_metrics(text):
    series = {}
    for line in text.splitlines():
        if not line or line.startswith("#"):
            continue
        head, value = line.rsplit(" ", 1)
        name, labels = head, {}
        if "{" in head:
            name, rest = head.split("{", 1)
            rest = rest[:-1]
            while rest:
                key, rest = rest.split('="', 1)
                out, i = "", 0
                while rest[i] != '"':
                    if rest[i] == "\\":
                        i += 1
                        out += "\n" if rest[i] == "n" else rest[i]
                    else:
                        out += rest[i]
                    i += 1
                labels[key] = out
                rest = rest[i + 1:].lstrip(",")
        key = (name, frozenset(labels.items()))
        assert key not in series, f"series twice: {line}"
        series[key] = float(value)
    return series


def cgroup_mounts():
    """Directories of the hierarchies in which tests may make cgroups: {"v2": path, "v1": path}, those that exist."""
    found = {}
    for line in open("/proc/self/mountinfo"):
        fields, after = line.split(" - ")
        point, kind, options = fields.split()[4], after.split()[0], after.split()[2]
        if kind == "cgroup2":
            found["v2"] = point
        elif kind == "cgroup" and "cpuacct" in options.split(","):
            found["v1"] = point
    return {k: v for k, v in found.items() if os.access(v, os.W_OK)}


class Cgroup:
    """A cgroup of one test in one hierarchy."""

    def __init__(self, hierarchy, name):
        self.path = f"/{name}-{os.getpid()}"
        self.directory = cgroup_mounts()[hierarchy] + self.path
        os.mkdir(self.directory)

    def enter(self):
        """For preexec_fn: puts the calling process into the cgroup."""
        fd = os.open(f"{self.directory}/cgroup.procs", os.O_WRONLY)
        os.write(fd, str(os.getpid()).encode())
        os.close(fd)

    def usage_ns(self):
        try:
            return int(pathlib.Path(f"{self.directory}/cpuacct.usage").read_text())
        except FileNotFoundError:
            text = pathlib.Path(f"{self.directory}/cpu.stat").read_text()
            return 1000 * int(text.split("usage_usec ")[1].split()[0])

    def empty(self):
        return not pathlib.Path(f"{self.directory}/cgroup.procs").read_text()

    def remove(self):
        wait_for(self.empty, what=f"{self.directory} to be empty")
        os.rmdir(self.directory)
