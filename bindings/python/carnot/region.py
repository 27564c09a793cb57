# SPDX-License-Identifier: Apache-2.0
"""Handles and regions: libcarnot's, as context managers. What their figures mean is told in carnot_region_begin(3)."""
import functools
import json
import os
import threading
from typing import NamedTuple, Optional

from ._lib import COMPLETE, GAP, NO_BOUND, check, ffi, lib

READ_SECONDS = 5.0  # a slot is 1 s; the agent may be late by another


class Domain(NamedTuple):
    name: str
    kind: str
    energy_uj: int
    quality: str
    in_total: bool


class Result(NamedTuple):
    """Energy in microjoules, times in nanoseconds. `high_uj` is None where there is no upper bound."""

    energy_uj: int
    low_uj: int
    high_uj: Optional[int]
    duration_ns: int
    cpu_ns: int
    covered_ns: int
    quality: str
    complete: bool
    gap: bool

    @property
    def energy_j(self):
        return self.energy_uj / 1e6


class Carnot:
    """A way to the agent (None: CARNOT_SOCKET or the default socket). One per process is enough; Region() makes it."""

    def __init__(self, socket_path=None):
        out, error = ffi.new("struct carnot **"), ffi.new("struct carnot_error *")
        socket_path = socket_path or os.environ.get("CARNOT_SOCKET")
        path = ffi.NULL if socket_path is None else os.fsencode(socket_path)
        check(lib().carnot_open(path, out, error), error)
        self.pid = os.getpid()
        self._handle = out[0]

    @property
    def handle(self):
        if self._handle is None:
            raise ValueError("this way to the agent is closed")
        return self._handle

    def close(self):
        """Ends every region of it too."""
        if self._handle is not None:
            handle, self._handle = self._handle, None
            lib().carnot_close(handle)

    def ask(self, timeout=READ_SECONDS, **request):
        """The agent's answer to one request of its protocol, as a dict."""
        out, error = ffi.new("char **"), ffi.new("struct carnot_error *")
        line = json.dumps({"v": 1, **request}).encode()
        check(lib().carnot_request(self.handle, line, round(timeout * 1000), out, error), error)
        try:
            return json.loads(ffi.string(out[0]))
        finally:
            lib().free(out[0])

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


_default = None
_default_lock = threading.Lock()


def default():
    """The process's own handle; a child of a fork gets a new one."""
    global _default
    with _default_lock:
        if _default is None or _default.pid != os.getpid():
            _default = Carnot()
        return _default


class Region:
    """A piece of the program's run: `with Region("solve") as r: ...`, then r.result(). `thread=True`: of the calling thread alone."""

    def __init__(self, name="", carnot=None, thread=False):
        self.name = name
        self._thread = thread
        self._carnot = carnot
        self._region = None

    def begin(self):
        if self._region is not None:
            raise ValueError("a region begins once")
        self._carnot = self._carnot or default()
        out = ffi.new("struct carnot_region **")
        start = lib().carnot_region_begin_thread if self._thread else lib().carnot_region_begin
        check(start(self._carnot.handle, self.name.encode(), out))
        self._region = out[0]
        return self

    def _own(self):
        if self._region is None:
            raise ValueError("the region has not begun, or is freed")
        self._carnot.handle  # raises when closed: its regions went with it
        return self._region

    def end(self):
        check(lib().carnot_region_end(self._own(), ffi.NULL))

    def result(self, timeout=READ_SECONDS):
        """Waits for the figures of the slot in which it ended; what came until then if that is too long."""
        out, error = ffi.new("struct carnot_result *"), ffi.new("struct carnot_error *")
        out.size = ffi.sizeof("struct carnot_result")
        check(lib().carnot_region_read(self._own(), round(timeout * 1000), out, error), error)
        quality = ffi.string(lib().carnot_quality_name(out.quality)).decode()
        high = None if out.energy_high_uj == NO_BOUND else out.energy_high_uj
        return Result(out.energy_uj, out.energy_low_uj, high, out.duration_ns, out.cpu_ns, out.covered_ns, quality,
                      bool(out.flags & COMPLETE), bool(out.flags & GAP))

    def domains(self):
        region, size = self._own(), ffi.sizeof("struct carnot_domain")
        n = check(lib().carnot_region_domains(region, ffi.NULL, 0, size))
        out = ffi.new("struct carnot_domain[]", n)
        n = min(n, check(lib().carnot_region_domains(region, out, n, size)))
        return [Domain(ffi.string(d.name).decode(), ffi.string(d.kind).decode(), d.energy_uj,
                       ffi.string(lib().carnot_quality_name(d.quality)).decode(), bool(d.in_total)) for d in out[0:n]]

    def free(self):
        region, self._region = self._region, None
        if region is not None and self._carnot._handle is not None:
            lib().carnot_region_free(region)

    def __del__(self):
        if getattr(self, "_region", None) is not None:
            self.free()

    def __enter__(self):
        return self.begin()

    def __exit__(self, *_):
        self.end()


def measured(function=None, *, name=None, carnot=None, thread=False, report=None):
    """Decorator: every call is a region. `report(region)` is called after each; without it the region is kept as
    `function.last_region`."""

    def wrap(inner):
        @functools.wraps(inner)
        def wrapper(*args, **kwargs):
            region = Region(name or inner.__qualname__, carnot, thread)
            with region:
                value = inner(*args, **kwargs)
            if report is None:
                wrapper.last_region = region
            else:
                report(region)
            return value

        wrapper.last_region = None
        return wrapper

    return wrap if function is None else wrap(function)
