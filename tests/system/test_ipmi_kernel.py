# SPDX-License-Identifier: Apache-2.0
"""Node power through the real IPMI driver of a Linux kernel: a virtual machine (QEMU, emulated, no KVM needed) has a KCS interface to a BMC that is
ipmi_sim outside, and one process (tests/sim/ipmi/vm_init.c) that loads the driver and reads with the code that ships. Needs qemu-system-x86_64 and, in
$CARNOT_TEST_KERNEL, a kernel with its modules: a Debian package linux-image-*-amd64 unpacked by `dpkg -x`. Skips without."""
import os
import pathlib
import shutil
import subprocess

import pytest

from bmc import PARTS, Bmc

MODULES = ("ipmi_msghandler", "ipmi_si", "ipmi_devintf")
POWER = {"watts": 250, "minimum": 90, "maximum": 400, "average": 245, "period": 1000}


def kernel():
    """(the kernel, its modules by name)"""
    root = os.environ.get("CARNOT_TEST_KERNEL")
    if not root:
        pytest.skip("CARNOT_TEST_KERNEL names no unpacked kernel package")
    if not shutil.which("qemu-system-x86_64"):
        pytest.skip("qemu-system-x86_64 is not installed (Debian: qemu-system-x86)")
    images = sorted(pathlib.Path(root).glob("boot/vmlinuz-*"))
    found = {name: sorted(pathlib.Path(root).glob(f"**/modules/*/kernel/drivers/char/ipmi/{name}.ko")) for name in MODULES}
    if not images or not all(found.values()):
        pytest.skip(f"no kernel with IPMI modules below {root}")
    return images[0], {name: paths[0] for name, paths in found.items()}


def entry(name, mode, data=b""):
    """One file of a cpio archive ("newc")."""
    fields = (0, mode, 0, 0, 1, 0, len(data), 0, 0, 0, 0, len(name) + 1, 0)
    head = b"070701" + b"".join(b"%08x" % field for field in fields) + name.encode() + b"\0"
    head += b"\0" * (-len(head) % 4)
    return head + data + b"\0" * (-len(data) % 4)


def archive(program, modules):
    """The first file system: the program as /init, the libraries that it is linked with, the modules."""
    said = subprocess.run(["ldd", program], capture_output=True, text=True, check=True).stdout
    libraries = [word for line in said.splitlines() for word in line.split() if word.startswith("/")]
    files = {"init": program, **{path.lstrip("/"): path for path in libraries}, **{f"{name}.ko": path for name, path in modules.items()}}
    directories = {"dev"} | {str(parent) for name in files for parent in pathlib.PurePath(name).parents if str(parent) != "."}
    out = b"".join(entry(name, 0o40755) for name in sorted(directories))
    out += b"".join(entry(name, 0o100755, pathlib.Path(path).read_bytes()) for name, path in files.items())
    return out + entry("TRAILER!!!", 0)


def test_power_through_the_real_driver(tmp_path):
    image, modules = kernel()
    initrd, console = tmp_path / "initrd", tmp_path / "console"
    initrd.write_bytes(archive(PARTS / "ipmi-vm-init", modules))
    with Bmc(POWER, sensors=[(1, "Sys Power", 7, 96)]) as bmc:
        # "reconnect": the simulator speaks first, which QEMU does not survive before the machine runs.
        subprocess.run(["qemu-system-x86_64", "-accel", "tcg", "-m", "512", "-display", "none", "-no-reboot", "-serial", f"file:{console}",
                        "-kernel", image, "-initrd", initrd, "-append", "console=ttyS0 panic=-1 loglevel=4",
                        "-chardev", f"socket,id=bmc,host=127.0.0.1,port={bmc.device_port},reconnect=1",
                        "-device", "ipmi-bmc-extern,chardev=bmc,id=bmc0", "-device", "isa-ipmi-kcs,bmc=bmc0"],
                       stdin=subprocess.DEVNULL, timeout=240, check=True)
    text = console.read_text(errors="replace")
    lines = [line.strip() for line in text.splitlines() if line.split(" ")[0].strip() in ("fault", "refused", "describe", "watts", "failed", "end")]
    assert len(lines) == 8, text
    assert lines[0].startswith("refused no /dev/ipmi0, though the firmware tells of a BMC") and "modprobe ipmi_devintf" in lines[0]
    assert 'sensor "Sys Power"' in lines[1]
    assert lines[2] == "watts 192"
    assert "DCMI 1.5 power reading" in lines[3]
    assert lines[4] == "watts 250"
    assert lines[5].startswith("failed -19 /dev/ipmi0 is gone")
    assert lines[6] == "watts 250"
    assert lines[7] == "end"
