"""The init process of one instance: runs its user data, obeys its power commands, ends it.

Started by boot.py as ``python -m scripts.local.guest <directory> <instance id> [first-boot]``.
Its standard input is the machine: a line ``power-button <seconds>`` is an ACPI power-off with that
much patience, and the end of the stream means that the cloud itself is gone.

Stands in for systemd as far as a training run meets it: shutdown(8), the SIGTERM - wait - SIGKILL
of systemd.kill(5), TimeoutStopSec, KillMode, ExecStopPost and FailureAction of a transient service,
adoption of orphans, and for cloud-init's run of user data at the first boot only ("User data and
shell scripts", EC2 user guide: scripts begin with ``#!`` and run once).
"""

from __future__ import annotations

import contextlib
import ctypes
import gzip
import json
import os
import selectors
import shlex
import signal
import subprocess
import sys
import time
import uuid
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from scripts.local import processes

DEFAULT_STOP_SECONDS = 90.0
"""DefaultTimeoutStopSec of systemd-system.conf(5)."""

_PR_SET_CHILD_SUBREAPER = 36
_SPARED_AT_FIRST = ("mixed", "process")  # KillMode: only the main process gets SIGTERM


@dataclass
class Init:
    """One instance from boot to power-off."""

    directory: Path
    instance_id: str
    stop_seconds: float
    power_off_at: float | None = None  # armed by shutdown +N
    stopping_until: float | None = None  # power-off under way; then whoever is left is killed
    units: dict[int, dict[str, str]] = field(default_factory=dict)  # main process → properties
    environments: dict[int, dict[str, str]] = field(default_factory=dict)  # of the same
    last: dict[int, str] = field(default_factory=dict)  # ExecStopPost → what is done after it

    def __post_init__(self) -> None:
        self.environment = dict(os.environ)
        self.console = (self.directory / "console.log").open("ab", buffering=0)
        self.spared: set[int] = set()

    def say(self, text: str) -> None:
        """Write a line of init's own to the console."""
        self.console.write(f"[parris] {text}\n".encode())

    def spawn(
        self, argv: list[str], setenv: dict[str, str], directory: Path | None = None
    ) -> int | None:
        """Start a process in a session of its own; None if it cannot be executed."""
        try:
            process = subprocess.Popen(
                argv,
                stdin=subprocess.DEVNULL,
                stdout=self.console,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                cwd=directory or self.directory / "root",
                env=self.environment | setenv,
            )
        except OSError as error:
            self.say(f"cannot execute {argv[0]}: {error.strerror}")
            return None
        process.returncode = 0  # reaped here, with the orphans, and not by Popen
        return process.pid

    def run_user_data(self) -> None:
        """Run user data as cloud-init does at the first boot."""
        path = self.directory / "user-data"
        content = path.read_bytes()
        if content.startswith(b"\x1f\x8b"):
            content = gzip.decompress(content)
        if not content:
            return
        if not content.startswith(b"#!"):
            self.say("user data is no script (no #! line): not run")
            return
        script = self.directory / "user-data.part-001"
        script.write_bytes(content)
        script.chmod(0o700)
        self.spawn([str(script)], {})

    def obey(self, line: bytes) -> None:
        """Obey an order of a power command or systemd-run (see commands.py)."""
        try:
            order = json.loads(line)
        except ValueError:
            return self.say("initctl: not an order, ignored")
        if order["do"] == "cancel":
            self.power_off_at = None
        elif order["do"] == "schedule":
            self.power_off_at = time.monotonic() + order["seconds"]
            self.say(f"shutdown scheduled in {order['seconds']:.0f} s")
        elif order["do"] == "poweroff":
            self.power_off(0 if order.get("force") else None)
        elif order["do"] == "run" and self.stopping_until is None:
            self.run_unit(order)
        return None

    def run_unit(self, order: dict[str, Any]) -> None:
        """Start a transient service."""
        directory = order["properties"].get("WorkingDirectory")
        # systemd.exec(5): an id of its own for each start. Here it also stands for the control
        # group: whoever inherits it belongs to the unit, wherever it has detached itself to.
        invocation = {"INVOCATION_ID": uuid.uuid4().hex}
        environment = order["setenv"] | invocation
        pid = self.spawn(order["argv"], environment, Path(directory) if directory else None)
        if pid is not None:
            self.units[pid] = order["properties"] | invocation
            self.environments[pid] = environment
            self.say(f"started {order['unit']}")

    def power_off(self, patience: float | None = None) -> None:
        """Begin to power off: SIGTERM to all, then `patience` seconds (default: systemd's)."""
        members = self.members()
        if patience is None:
            patience = max([self.stop_seconds, *map(_stop_seconds, self.units.values())])
        until = time.monotonic() + patience
        if self.stopping_until is not None:  # already at it: only hurry
            self.stopping_until = min(self.stopping_until, until)
            return
        self.say("powering off")
        self.stopping_until = until
        if patience == 0:
            return  # forced: nobody is asked
        for main, properties in self.units.items():
            if properties.get("KillMode") in _SPARED_AT_FIRST:
                self.spared |= _group(properties) - {main}
        processes.send(members - self.spared, signal.SIGTERM)
        processes.send(members - self.spared, signal.SIGCONT)

    def members(self) -> set[int]:
        """Return the instance's processes, this one excepted."""
        return processes.of_instance(self.instance_id, os.getpid())

    def finished(self) -> bool:
        """Fire a due timer; return whether nothing is left to wait for."""
        now = time.monotonic()
        if self.stopping_until is None:
            if self.power_off_at is not None and now >= self.power_off_at:
                self.power_off()
            return False
        return now >= self.stopping_until or not self.members() - self.spared

    def reap(self) -> None:
        """Collect the dead, adopted ones included."""
        with contextlib.suppress(ChildProcessError):
            while (dead := os.waitpid(-1, os.WNOHANG))[0] != 0:
                unit = self.units.pop(dead[0], {})
                environment = self.environments.pop(dead[0], {})
                if unit.get("KillMode") == "mixed":
                    # With its main process gone a service is over (systemd.kill(5)).
                    processes.kill_until_gone(partial(_group, unit))
                action = unit.get("FailureAction", "") if _failed(dead[1]) else ""
                if "ExecStopPost" in unit:
                    result = _service_result(dead[1])
                    after = self.spawn(shlex.split(unit["ExecStopPost"]), environment | result)
                    if after is not None:
                        self.last[after] = action
                        continue
                self.act_on_failure(self.last.pop(dead[0], action))

    def act_on_failure(self, action: str) -> None:
        """Do what FailureAction of systemd.unit(5) says of a failed service; nothing for ""."""
        if action.startswith("poweroff") and self.stopping_until is None:
            self.say("a unit failed, and its FailureAction is poweroff")
            self.power_off(None if action == "poweroff" else 0)


def _group(unit: dict[str, str]) -> set[int]:
    """Return the live processes of a service's control group."""
    return processes.carrying(f"INVOCATION_ID={unit['INVOCATION_ID']}")


def _failed(status: int) -> bool:
    """Return whether a service that ended so has failed (SuccessExitStatus, systemd.service(5))."""
    clean = (0, -signal.SIGHUP, -signal.SIGINT, -signal.SIGTERM, -signal.SIGPIPE)
    return os.waitstatus_to_exitcode(status) not in clean


def _service_result(status: int) -> dict[str, str]:
    """Return what ExecStopPost finds in its environment (systemd.exec(5))."""
    code = os.waitstatus_to_exitcode(status)
    if code < 0:
        name = signal.Signals(-code).name.removeprefix("SIG")
        result = "success" if not _failed(status) else "signal"
        return {"SERVICE_RESULT": result, "EXIT_CODE": "killed", "EXIT_STATUS": name}
    result = "exit-code" if code else "success"
    return {"SERVICE_RESULT": result, "EXIT_CODE": "exited", "EXIT_STATUS": str(code)}


def _stop_seconds(properties: dict[str, str]) -> float:
    value = properties.get("TimeoutStopSec", "")
    minutes = value.endswith("min")
    digits = value.removesuffix("min").removesuffix("s")
    if value == "infinity":
        return float("inf")
    return float(digits) * (60 if minutes else 1) if digits.isdigit() else 0.0


def main(argv: list[str]) -> int:
    """Be an instance until it is powered off."""
    directory, instance_id, first_boot = Path(argv[0]), argv[1], "first-boot" in argv[2:]
    if sys.platform.startswith("linux"):
        ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    seconds = os.environ.get("PARRIS_LOCAL_STOP_SECONDS")
    init = Init(directory, instance_id, float(seconds) if seconds else DEFAULT_STOP_SECONDS)
    wake, waker = os.pipe()
    os.set_blocking(wake, False)
    os.set_blocking(waker, False)
    signal.set_wakeup_fd(waker)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.signal(signal.SIGTERM, lambda *_: None)
    initctl = os.open(directory / "initctl", os.O_RDWR | os.O_NONBLOCK)
    os.set_blocking(0, False)
    waiting = selectors.DefaultSelector()
    for descriptor in (0, initctl, wake):
        waiting.register(descriptor, selectors.EVENT_READ)
    received = {0: b"", initctl: b"", wake: b""}
    if first_boot:
        init.run_user_data()
    while not init.finished():
        pause = 0.1 if init.stopping_until is not None else None
        if pause is None and init.power_off_at is not None:
            pause = max(0.0, init.power_off_at - time.monotonic())
        for key, _ in waiting.select(pause):
            chunk = os.read(key.fd, 65536)
            if key.fd == 0 and not chunk:
                waiting.unregister(0)
                init.power_off(0)
            *lines, received[key.fd] = (received[key.fd] + chunk).split(b"\n")
            if key.fd == initctl:
                for line in lines:
                    init.obey(line)
            elif key.fd == 0:
                for line in lines:
                    init.power_off(float(line.split()[1]))
            elif signal.SIGTERM in chunk:
                init.power_off(0)
        init.reap()
    processes.kill_until_gone(init.members)
    init.say("power down")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
