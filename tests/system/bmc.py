# SPDX-License-Identifier: Apache-2.0
"""A simulated BMC: OpenIPMI's ipmi_sim on loopback, with DCMI by our module and two kinds of power sensors by its own means. Programs reach it over
the network (IPMI 2.0), or as /dev/ipmi0 with the library of tests/sim/ipmi in front. Ends only what it started."""
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import tempfile

import pytest

from waiting import wait_for

BUILD = pathlib.Path(os.environ.get("CARNOT_BUILD", "build")).resolve()
PARTS = BUILD / "tests" / "sim" / "ipmi"
DCMI_MODULE = PARTS / "ipmi-sim-dcmi.so"
DEVICE = PARTS / "ipmi-device.so"
TEXT_PROBE = PARTS / "ipmi-text-probe"

USER, PASSWORD = "carnot", "h7d-ks82"
WATTS_OF_A_STEP = 2


def free_port(kind):
    with socket.socket(socket.AF_INET, kind) as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def sensor(number, name, entity, raw):
    """The simulator's commands for an analogue sensor of 2 W a step, scanned, with its data record."""
    head = [0x00, 0x00, 0x51, 0x01, 0x00, 0x20, 0x00, number, entity, 0x01, 0x67, 0x48, 0x0B, 0x01] + [0] * 6
    units = [0x00, 0x06, 0x00, 0x00, WATTS_OF_A_STEP, 0x00] + [0] * 21
    record = head + units + [0xC0 | len(name)] + list(name.encode())
    record[4] = len(record) - 5
    no_events = " ".join(["0" * 15] * 4)
    return [f"sensor_add 0x20 0 {number} 0x0b 1",
            f"sensor_set_value 0x20 0 {number} {raw} 0",
            f"sensor_set_event_support 0x20 0 {number} enable scanning per-state {no_events}",
            "main_sdr_add 0x20 " + " ".join(f"0x{byte:02x}" for byte in record)]


class Bmc:
    """One ipmi_sim. `power` is what its DCMI says (None: it knows no DCMI), `sensors` (number, name, entity, raw)."""

    def __init__(self, power=None, sensors=()):
        program = shutil.which("ipmi_sim")
        if not program:
            pytest.skip("ipmi_sim is not installed (Debian: openipmi)")
        if power is not None and not DCMI_MODULE.exists():
            pytest.skip("no DCMI for ipmi_sim: built without OpenIPMI's headers (Debian: libopenipmi-dev)")
        self.dir = tempfile.TemporaryDirectory(prefix="carnot-bmc-")
        self.path = pathlib.Path(self.dir.name)
        self.lan_port = free_port(socket.SOCK_DGRAM)
        self.device_port = free_port(socket.SOCK_STREAM)
        self.fault_path = self.path / "fault"
        (self.path / "state").mkdir()
        self.password_path = self.path / "password"
        self.password_path.write_text(PASSWORD + "\n")
        self.password_path.chmod(0o600)
        self._write_configuration(power is not None, sensors)
        if power is not None:
            self.say(**power)
        with (self.path / "log").open("wb") as log:
            self.process = subprocess.Popen([program, "-n", "-c", self.path / "lan.conf", "-f", self.path / "bmc.emu", "-s",
                                             self.path / "state"], stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        wait_for(self._is_up, what="ipmi_sim")

    def _write_configuration(self, dcmi, sensors):
        auths = "\n".join(f"    allowed_auths_{level} none md2 md5 straight" for level in ("callback", "user", "operator", "admin"))
        module = f'loadlib "{DCMI_MODULE}" "{self.path / "dcmi"}"\n' if dcmi else ""
        (self.path / "lan.conf").write_text(f"""name "bmc"
set_working_mc 0x20
  startlan 1
    addr 127.0.0.1 {self.lan_port}
    priv_limit admin
{auths}
    guid a123456789abcdefa123456789abcdef
  endlan
  serial 15 127.0.0.1 {self.device_port} codec VM
  user 2 true "{USER}" "{PASSWORD}" admin 10 none md2 md5 straight
{module}""")
        commands = ["mc_setbmc 0x20", "mc_add 0x20 0 no-device-sdrs 0x23 9 8 0x9f 0x2a2 0x0001"]
        for one in sensors:
            commands += sensor(*one)
        (self.path / "bmc.emu").write_text("\n".join([*commands, "mc_enable 0x20", ""]))

    def _is_up(self):
        if self.process.poll() is not None:
            raise AssertionError(f"ipmi_sim ended with {self.process.returncode}: {(self.path / 'log').read_text()}")
        listening = f"0100007F:{self.device_port:04X} 00000000:0000 0A"
        return listening in pathlib.Path("/proc/net/tcp").read_text()

    def say(self, **values):
        """What its DCMI power reading says from now on (tests/sim/ipmi/dcmi_module.c names the keys)."""
        new = self.path / "dcmi.new"
        new.write_text("".join(f"{key} {value}\n" for key, value in values.items()))
        new.rename(self.path / "dcmi")

    def fault(self, word):
        """What the device does from now on (tests/sim/ipmi/ipmi_device.c); None: what it should."""
        new = self.path / "fault.new"
        new.write_text(f"{word or ''}\n")
        new.rename(self.fault_path)

    def device_env(self):
        """The environment of a program that finds the BMC at /dev/ipmi0."""
        return {**os.environ, "LD_PRELOAD": str(DEVICE), "CARNOT_SIM_IPMI": f"127.0.0.1:{self.device_port}",
                "CARNOT_SIM_IPMI_FAULT": str(self.fault_path), "ASAN_OPTIONS": "verify_asan_link_order=0"}

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(10)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        self.dir.cleanup()
