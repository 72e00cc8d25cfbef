"""One virtual machine: a QEMU process, its console, and what can be done to it."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.boot.image import Image
from tests.boot.tools import Tools

MEMORY_MIB = 1024
PROCESSORS = 2
PROBE_SECONDS = 10
LOOK_SECONDS = 0.1
_APPEND = (
    "root=/dev/vda rw console=ttyS0 edd=off net.ifnames=0 systemd.show_status=1 panic=5"
    # What only costs time here.
    " modprobe.blacklist=kvm,kvm_amd,kvm_intel,aesni_intel,powernow_k8"
    " mitigations=off audit=0 apparmor=0 nokaslr nowatchdog ipv6.disable=1 random.trust_cpu=on"
)
_UUID = "ec2a7b3c-1111-4222-8333-444455556666"
"""By which cloud-init knows EC2: it begins so, and is the serial number too (DataSourceEc2.py)."""


class Broken(RuntimeError):
    """The virtual machine itself failed, whatever ran on it."""


@dataclass
class Machine:
    """A machine that runs.

    Attributes:
        seen: seconds after which a text was on the console.
        waited: seconds for which it has waited for the host's processors.
        waits: the same when a text came to the console.
    """

    process: subprocess.Popen[bytes]
    console: Path
    monitor: Path
    began: float
    seen: dict[str, float] = field(default_factory=dict)
    waited: float = 0.0
    waits: dict[str, float] = field(default_factory=dict)

    @property
    def seconds(self) -> float:
        """How long it has run."""
        return time.monotonic() - self.began

    @property
    def seconds_run(self) -> float:
        """The same without what a processor of it waited for one of the host's."""
        return self.seconds - self.waited / PROCESSORS

    def text(self) -> str:
        """Return what the console has shown."""
        return self.console.read_text(errors="replace") if self.console.exists() else ""

    def look(self, marks: Sequence[str]) -> bool:
        """Note which of `marks` the console has come to show; return whether the machine runs.

        Raises:
            Broken: if QEMU has failed.
        """
        running = self.process.poll() is None
        if self.process.returncode:
            said = self.monitor.with_name("qemu.log").read_text(errors="replace")
            raise Broken(f"QEMU ended with status {self.process.returncode}: {said.strip()}")
        self.waited = max(self.waited, seconds_waited(self.process.pid))
        text = self.text()
        for mark in marks:
            if mark not in self.seen and mark in text:
                self.seen[mark], self.waits[mark] = self.seconds, self.waited
        return running

    def command(self, name: str, /, **arguments: Any) -> None:
        """Give QEMU a command of its machine protocol, QMP; one that is off takes none."""
        with contextlib.suppress(ConnectionError), socket.socket(socket.AF_UNIX) as monitor:
            # A path may be too long for a socket's address, a descriptor's never is.
            folder = os.open(self.monitor.parent, os.O_RDONLY | os.O_DIRECTORY)
            try:
                monitor.connect(f"/proc/self/fd/{folder}/{self.monitor.name}")
            finally:
                os.close(folder)
            stream = monitor.makefile("rw")
            stream.readline()
            for request in ({"execute": "qmp_capabilities"}, _request(name, arguments)):
                stream.write(json.dumps(request) + "\n")
                stream.flush()
                while "return" not in (answer := json.loads(stream.readline() or "{}")):
                    if "error" in answer or not answer:
                        raise RuntimeError(f"QEMU refused {name}: {answer}")

    def kill(self) -> None:
        """End it, if it still runs."""
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()


def seconds_waited(pid: int) -> float:
    """Return how long a process's threads have waited for a processor, all together, in seconds.

    That is the second number of their schedstat (the kernel's "Scheduler Statistics"); 0 where the
    kernel does not tell.
    """
    nanoseconds = 0
    for path in Path("/proc", str(pid), "task").glob("*/schedstat"):
        with contextlib.suppress(OSError, ValueError, IndexError):  # a thread has ended meanwhile
            nanoseconds += int(path.read_text().split()[1])
    return nanoseconds / 1e9


def accelerator(tools: Tools, image: Image, folder: Path) -> str:
    """Return ``kvm`` if a guest really runs on it, else ``tcg``; tried once a boot of the host.

    A host may offer /dev/kvm and yet run no ordinary guest, as some virtual machines do.
    """
    boot = Path("/proc/sys/kernel/random/boot_id")
    stamp = folder / "accelerator.json"
    key = boot.read_text().strip() if boot.exists() else ""
    if stamp.exists() and (known := json.loads(stamp.read_text())).get("boot") == key:
        return str(known["accelerator"])
    found = "kvm" if os.access("/dev/kvm", os.W_OK) and _probe(tools, image, folder) else "tcg"
    stamp.write_text(json.dumps({"boot": key, "accelerator": found}))
    return found


def _probe(tools: Tools, image: Image, folder: Path) -> bool:
    console = folder / "probe.log"
    console.unlink(missing_ok=True)
    argv = [*_kernel(image, "kvm"), "-serial", f"file:{_escaped(console)}", "-no-reboot"]
    process = subprocess.Popen(
        argv, env=dict(tools.environment), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        until = time.monotonic() + PROBE_SECONDS
        while time.monotonic() < until and process.poll() is None:
            if console.exists() and b"Linux version" in console.read_bytes():
                return True
            time.sleep(LOOK_SECONDS)
        return False
    finally:
        process.kill()
        process.wait()


@contextlib.contextmanager
def running(
    tools: Tools, image: Image, folder: Path, console: Path, *, accelerator: str, network: str
) -> Iterator[Machine]:
    """Boot a machine on a fresh overlay of the image's disk; whatever happens, it ends.

    Args:
        folder: for the overlay and the monitor's socket; made, and removed afterwards.
        console: file for what the machine's first serial port says.
        network: QEMU's ``-netdev``.
    """
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    monitor = folder / "monitor"
    argv = [
        # Linux ends it with whoever started it, however that ends.
        *("setpriv", "--pdeathsig", "KILL"),
        *_kernel(image, accelerator),
        *("-append", _APPEND),
        *("-drive", f"file={_escaped(image.disk)},format=raw,if=virtio,snapshot=on"),
        *("-serial", f"file:{_escaped(console)}"),
        *("-qmp", f"unix:{monitor.name},server=on,wait=off"),
        *("-netdev", network, "-device", "virtio-net-pci,netdev=net,id=nic"),
        *("-device", "virtio-rng-pci"),
        *("-smbios", f"type=1,serial={_UUID},uuid={_UUID}"),
    ]
    with (folder / "qemu.log").open("wb") as log:
        process = subprocess.Popen(
            argv,
            cwd=folder,
            env={**tools.environment, "TMPDIR": str(folder)},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
        )
    machine = Machine(process, console, monitor, time.monotonic())
    try:
        yield machine
    finally:
        machine.kill()
        shutil.rmtree(folder, ignore_errors=True)


def _kernel(image: Image, accelerator: str) -> list[str]:
    # All that QEMU can emulate but what is slow to: page tables of five levels, and a check of
    # each access by the kernel to a process's memory.
    tcg = ["-accel", "tcg,thread=multi", "-cpu", "max,-la57,-smap,-smep"]
    return [
        "qemu-system-x86_64",
        *(["-accel", "kvm", "-cpu", "host"] if accelerator == "kvm" else tcg),
        *("-nodefaults", "-no-user-config", "-display", "none"),
        *("-machine", "pc,hpet=off"),
        *("-m", str(MEMORY_MIB), "-smp", str(PROCESSORS)),
        *("-kernel", str(image.kernel), "-initrd", str(image.initrd)),
    ]


def _request(name: str, arguments: dict[str, Any]) -> dict[str, Any]:
    return {"execute": name} | ({"arguments": arguments} if arguments else {})


def _escaped(path: Path) -> str:
    return str(path).replace(",", ",,")
