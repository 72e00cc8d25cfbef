"""What runs for a person on the machine: a process group, its output, how it ended."""

from __future__ import annotations

import contextlib
import fcntl
import os
import select
import signal
import subprocess
import termios
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Callable

from parris.contract import EndedBy, State

from .container import NOT_RUN, Container
from .limits import DRAIN_SECONDS
from .log import MAX_MESSAGE_BYTES, LogStreamer
from .script import NAMES_POWER_OFF, TOO_MANY, trainer_command
from .store import LOG
from .words import UNKNOWN, Ending, Events, RunError


def oom_kills() -> int:
    """Return how many processes the kernel has killed for want of memory (/proc/vmstat)."""
    with contextlib.suppress(OSError), open("/proc/vmstat") as lines:  # noqa: PTH123
        return next((int(line.split()[1]) for line in lines if line.startswith("oom_kill ")), 0)
    return 0


def living(group: int) -> Iterator[Path]:
    """Yield the processes of a group that are alive (proc(5): state and pgrp after the name)."""
    for path in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            state, _, of = path.read_text(errors="replace").rpartition(")")[2].split()[:3]
            if int(of) == group and state not in "ZX":
                yield path.parent


class Process:
    """A command of a person's, in a process group of its own, its output in log.txt."""

    def __init__(self, home: Path, name: str, called: str, events: Events) -> None:
        """Make ready to start it.

        Args:
            name: of the script, or of what else a reason says that it ended.
            called: what it is called while it runs.
        """
        self._home, self._events = home, events
        self.name, self.called = name, called
        self._container: Container | None = None
        self.ended = threading.Event()
        self.warnings: list[str] = []
        self.started: float | None = None
        self.finished: float | None = None
        self.seconds: float | None = None
        """By a clock that nobody sets: that of a fresh machine may be, while the trainer runs."""
        self._began = 0.0
        self.exit_status: int | None = None
        self.peak_memory: int | None = None
        self.last_line = self.log_error = ""
        self._oom_kills = oom_kills()
        self.names_power_off = False
        self._group: int | None = None  # of processes, once it has begun
        self._reader: threading.Thread | None = None
        self._reading, self._pipe = False, -1
        self.asked: Callable[[float], None] = lambda _grace: None
        """What else is done when it is asked to end."""

    def note(self, text: str, streamer: LogStreamer) -> None:
        """Put a line of ours into the log, behind those of earlier attempts.

        Raises:
            OSError: if log.txt cannot be made.
        """
        with (self._home / LOG).open("ab+") as log:
            if log.tell():  # what an earlier attempt printed last may have been cut short
                log.seek(-1, os.SEEK_END)
                log.write(b"" if log.read() == b"\n" else b"\n")
            log.write(text.encode() + b"\n")
        streamer.add([text.encode()])

    def start_script(
        self,
        folder: Path,
        variables: Mapping[str, str],
        streamer: LogStreamer,
        container: Container | None = None,
    ) -> None:
        """Start the script of this name in `folder`.

        Args:
            variables: of its environment, beside the machine's own.
            container: that it runs in; on the machine itself without one.

        Raises:
            RunError: if it cannot be started.
            OSError: if log.txt cannot be made.
        """
        command, self.warnings = trainer_command(folder, self.name)
        self.names_power_off = bool(NAMES_POWER_OFF.search((folder / self.name).read_bytes()))
        environ = {**os.environ, **variables}
        if container is not None:
            self._container = container
            command = container.command(command, folder, variables)
        self.start(command, folder, environ, streamer)

    def start(
        self, command: Sequence[str], cwd: Path, environ: Mapping[str, str], streamer: LogStreamer
    ) -> None:
        """Start it.

        Args:
            environ: all of its environment.

        Raises:
            RunError: if it cannot be started.
            OSError: if log.txt cannot be made.
        """
        log = (self._home / LOG).open("ab", buffering=0)  # the reader closes it
        self._began = time.monotonic()
        try:
            process = subprocess.Popen(
                command,
                cwd=cwd,
                env=environ,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        except OSError as error:
            hint = "; does the image have the interpreter its first line names?"
            raise RunError(f"{self.name} cannot be started: {error.strerror}{hint}") from error
        self.started, self._group = time.time(), process.pid
        self._pipe = pipe = process.stdout.fileno()  # type: ignore[union-attr] # as asked for above
        with contextlib.suppress(OSError):  # 1 MiB, Linux's limit, so that it never waits for us
            fcntl.fcntl(pipe, getattr(fcntl, "F_SETPIPE_SZ", 1031), 1 << 20)
        arguments = (process, pipe, log, streamer)
        self._reader = threading.Thread(target=self._read, args=arguments, daemon=True)
        self._reader.start()
        threading.Thread(target=self._wait, args=(process,), daemon=True).start()

    @property
    def group(self) -> int:
        """The id of its process group; 0 before it has begun."""
        return self._group or 0

    def stop(self, grace: float) -> bool:
        """End everything in its group: SIGTERM, `grace` seconds, SIGKILL.

        Returns:
            Whether something of it was left to kill, which may have been writing.
        """
        if self._group is None:
            return False
        if grace > 0:
            self.asked(grace)
            self._signal(signal.SIGTERM)
            # The group and not its leader: bash dies at once, while its child saves its work.
            until = time.monotonic() + grace
            while time.monotonic() < until and not (self.ended.is_set() and self._is_empty()):
                time.sleep(0.1)
        killed = not self._is_empty()
        self._signal(signal.SIGKILL)
        self.ended.wait(10)
        if self._container is not None:
            self._container.remove()
        return killed

    def drain(self) -> None:
        """Take what is left in the pipe; whoever left the group and holds it is not waited for."""
        until = time.monotonic() + DRAIN_SECONDS
        while self._reader and self._reader.is_alive() and time.monotonic() < until:
            self._reader.join(timeout=0.1)
            if not self._is_waiting() and not self._reading:  # in this order: see _read
                return

    def _is_waiting(self) -> bool:
        """Return whether there is something in the pipe (FIONREAD, ioctl_tty(2))."""
        with contextlib.suppress(OSError):  # the reader has closed it
            return any(fcntl.ioctl(self._pipe, termios.FIONREAD, bytes(4)))
        return False

    def judge(self) -> Ending:
        """Return how it ended by itself."""
        script, status = self.name, self.exit_status or 0
        if status == 1 and self.last_line == TOO_MANY and self.names_power_off:
            reason = f"{script} exited with status 1, as systemd refused its own power-off"
            return Ending(State.INTERRUPTED, f"{reason} ({TOO_MANY}): {UNKNOWN}", EndedBy.TRAINER)
        if status == 0:
            return Ending(State.SUCCEEDED, f"{script} exited with status 0", EndedBy.TRAINER)
        how = f"was ended by signal {-status}" if status < 0 else f"exited with status {status}"
        if status == NOT_RUN and self._container is not None:
            engine, image = self._container.engine, self._container.image
            how += f", with which {engine} says that it could not start {image}"
        if status in (-signal.SIGKILL, 128 + signal.SIGKILL) and oom_kills() > self._oom_kills:
            how += ": the machine ran out of memory, choose a larger instance-type"
        last = f"; its last line: {self.last_line}" if self.last_line else ""
        return Ending(State.FAILED, f"{script} {how}{last}", EndedBy.TRAINER)

    def _signal(self, number: int) -> None:
        # Neither error matters: the group is gone, or holds only what changed its user.
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._group or 0, number)

    def _is_empty(self) -> bool:
        """Return whether nothing of the group is alive."""
        return not any(living(self._group or 0))

    def _read(
        self, process: subprocess.Popen[bytes], pipe: int, log: Any, streamer: LogStreamer
    ) -> None:
        rest, is_cut = b"", False
        while True:
            select.select([pipe], [], [])
            self._reading = True  # before the pipe is empty, so that `drain` misses nothing
            chunk = os.read(pipe, 1 << 18)
            if not chunk:
                break
            self._keep(log, chunk)
            *lines, rest = (rest + chunk).split(b"\n")
            if lines:
                # Of a line that was cut just before its end, nothing is left to tell.
                lines, is_cut = lines[1:] if is_cut and not lines[0] else lines, False
            if len(rest) > MAX_MESSAGE_BYTES:  # binary, or a line without end
                lines, rest, is_cut = [*lines, rest], b"", True
            self._tell(lines, streamer)
            self._reading = False
        self._tell([rest] if rest else [], streamer)
        log.close()
        process.stdout.close()  # type: ignore[union-attr]

    def _keep(self, log: Any, chunk: bytes) -> None:
        view = memoryview(chunk)
        try:
            while view and not self.log_error:
                view = view[log.write(view) :]
        except OSError as error:
            # The reader goes on: a full pipe would stop the trainer instead of ending it.
            self.log_error = f"log.txt cannot be written: {error.strerror}"
            self._events.put("log-lost")

    def _tell(self, lines: list[bytes], streamer: LogStreamer) -> None:
        if lines:
            streamer.add(lines)
        text = next((line for line in reversed(lines) if line.strip()), b"")
        if text:  # of a progress bar, which goes back with \r, the last state
            last = text[-4096:].strip().rsplit(b"\r", 1)[-1]
            self.last_line = last.decode(errors="replace")[:300]

    def _wait(self, process: subprocess.Popen[bytes]) -> None:
        # wait4 and not Popen.wait: it alone says what this child and its children used.
        _, status, usage = os.wait4(process.pid, 0)
        self.finished, self.seconds = time.time(), time.monotonic() - self._began
        process.returncode = (
            -os.WTERMSIG(status) if os.WIFSIGNALED(status) else os.WEXITSTATUS(status)
        )
        self.exit_status = process.returncode
        # KiB on Linux (getrusage(2)); at least what this agent held when it started the child.
        self.peak_memory = None if self._container else usage.ru_maxrss * 1024
        self.ended.set()
        self._events.put("exit")
