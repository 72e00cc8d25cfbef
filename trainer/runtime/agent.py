"""The supervisor on the training machine: run the trainer, keep what it makes, power off.

Standard library of Python 3.9 and the aws CLI, nothing else. docs/contracts.md names what it
reads (run.json) and what it leaves (outcome.json). Every way out of `main` ends in power-off.
"""

from __future__ import annotations

import contextlib
import fcntl
import http.client
import json
import math
import os
import queue
import re
import resource
import select
import signal
import stat
import subprocess
import sys
import tempfile
import termios
import threading
import time
import urllib.request
from collections.abc import Iterator
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, NamedTuple, Union

RESERVE_SECONDS = 30
"""Kept before the deadline for the last upload, beside the trainer's own grace."""
LAST_MOMENT_SECONDS = 3
"""For a trainer to end by itself when the machine is told to stop: it may have said `poweroff`."""
DRAIN_SECONDS = 5
"""For a slow disk to take what the trainer printed last: its pipe holds up to 1 MiB."""
SHUTDOWN_GRACE_SECONDS = 60
"""The most grace when the machine is told to stop: systemd waits for us for 300 s in all
(TimeoutStopSec in user-data.sh), and the upload is to come."""
END_SECONDS = 120
"""The most between the trainer's end and power-off while nothing gets through to AWS, and how far
past its deadline an upload that works may go on. The next five share it out: `Store.finish` tries
for RETRY_SECONDS, then the log has 5 s more, the outcome OUTCOME_SECONDS, and the power-off
ORDERLY_SECONDS. What is left is for slow disks and the starts of processes."""
RETRY_SECONDS = 60
STREAM_SECONDS = 40
OUTCOME_SECONDS = 30
ORDERLY_SECONDS = 15
HUNG_SECONDS = 50
"""How long a call of the aws CLI takes at most to see that nobody answers: CALL_ATTEMPTS times
READ_SECONDS, and the pauses between."""
CONNECT_SECONDS, READ_SECONDS, CALL_ATTEMPTS = 10, 15, 3
OUTCOME_PAUSES = (1, 3, 9, 0)
"""Seconds after each attempt to store the outcome."""
CONTROL_SECONDS = 15
"""How often the receipt is read again: a stop, another deadline or a price may have come."""
SPOT_SECONDS = 5
"""How often EC2 is asked for a notice, as its user guide says ("Spot Instance interruption
notices"); only a spot machine asks."""
LAST_READ_SECONDS = 1
"""The most that a price is waited for once all else is stored."""
NOLOGIN_MINUTES = 5
"""How long before a power-off logins are refused (shutdown(8))."""
NOLOGIN = Path("/run/nologin")
LEAST_BILLED_SECONDS = 60
"""EC2 bills Linux by the second from here on (EC2 user guide, "On-Demand Instances")."""

# CloudWatch Logs API reference, PutLogEvents: 1 MiB a batch, 26 bytes counted for each event on
# top, 10,000 events a batch, 256 KB an event.
EVENT_OVERHEAD_BYTES = 26
MAX_MESSAGE_BYTES = 250_000
BACKLOG_BYTES = 1_000_000
BACKLOG_EVENTS = 9_999
"""Log waiting to be streamed is at most one batch, with room for one line of ours."""
FIRST_PAUSE, LONGEST_PAUSE, FAILURE_PAUSE = 0.5, 4.0, 15.0
"""Seconds that lines are gathered for: each call of the aws CLI costs most of a CPU second."""

TICK_SECONDS = 2
"""The coarsest clock of a file system: two writes within it may bear one time (FAT's)."""

FOLDERS = ("output", "checkpoints")
LOG = "log.txt"
TOLD = "outcome-stored"
"""A file that is there once the outcome is in S3."""


def iso(seconds: float) -> str:
    """Return a time.time() as ISO 8601 in UTC, to the second."""
    return datetime.fromtimestamp(seconds, timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")


def parse_iso(text: str) -> float:
    """Return an ISO 8601 time (``…Z``; UTC if it does not say) as seconds since the epoch."""
    moment = datetime.fromisoformat(text.replace("Z", "+00:00"))
    return moment.replace(tzinfo=moment.tzinfo or timezone.utc).timestamp()


def say(text: str) -> None:
    """Print to the console, which EC2 keeps when nothing else is left."""
    with contextlib.suppress(OSError):  # no console is no reason to stop
        print(f"parris {text}".encode("ascii", "backslashreplace").decode(), flush=True)


TOO_MANY = "Too many arguments."
"""What systemd says to `poweroff now`, with status 1 (systemctl-compat-halt.c)."""
UNKNOWN = (
    "whether the training succeeded is unknown: let the script end with the training's own exit "
    "status, and without a power-off, which is not needed"
)


class RunError(Exception):
    """The run cannot go on; the text is its reason."""


class Verdict(NamedTuple):
    """How a run ended: `state`, `reason` and `ended-by` of its outcome."""

    state: str
    reason: str
    ended_by: str


Event = Union[str, Verdict]
"""What ends a run or moves its end: exit, signal, log-lost, deadline, or the verdict of others."""
Events = queue.SimpleQueue[Event]


class Answer(NamedTuple):
    """What a call of the aws CLI came to: its exit status, the last line it printed, its output."""

    status: int
    said: str
    output: bytes = b""
    errors: str = ""

    @property
    def skipped_files(self) -> bool:
        """Whether all but some unreadable files were stored (AWS CLI user guide, "return codes":
        2 is also a usage error). They are not worth trying again for."""
        return self.status == 2 and "skipping" in self.said.lower()


class Aws:
    """The aws CLI; each call in a session of its own, so that no signal of ours cuts it off."""

    def call(self, *arguments: str, stdin: bytes = b"", timeout: float = HUNG_SECONDS) -> Answer:
        """Run one command.

        It ends by itself within HUNG_SECONDS when nobody answers, however long it may take when
        somebody does.

        Args:
            timeout: seconds; then it is killed.
        """
        limits = ("--cli-connect-timeout", str(CONNECT_SECONDS))
        try:
            process = subprocess.Popen(
                ["aws", *limits, "--cli-read-timeout", str(READ_SECONDS), *arguments],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                env={**os.environ, "AWS_MAX_ATTEMPTS": str(CALL_ATTEMPTS)},
                start_new_session=True,
            )
        except OSError as error:
            return Answer(127, str(error))
        try:
            output, errors = process.communicate(stdin, timeout=max(timeout, 1))
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            return Answer(-signal.SIGKILL, f"took longer than {timeout:.0f} s")
        lines = (output + errors).decode(errors="replace").strip().splitlines()
        said = lines[-1] if lines else f"status {process.returncode}"
        return Answer(process.returncode, said, output, errors.decode(errors="replace"))


def messages(line: bytes) -> Iterator[str]:
    """Cut one line of log into what PutLogEvents takes: not empty, not too long, UTF-8."""
    data = (line.decode(errors="replace").rstrip("\r") or " ").encode()
    for start in range(0, len(data), MAX_MESSAGE_BYTES):
        yield data[start : start + MAX_MESSAGE_BYTES].decode(errors="replace")


class LogStreamer(threading.Thread):
    """Sends lines to CloudWatch Logs; what does not fit is counted, never waited for."""

    def __init__(self, aws: Aws, receipt: dict[str, Any], whole_log: str) -> None:
        super().__init__(daemon=True, name="log-streamer")
        self._aws, self._whole_log = aws, whole_log
        self._group = receipt["log-group"]
        # Whoever knows a stream's name can write to it, so it is not in the receipt, which every
        # machine can read; those of runs before this version have it.
        self._stream = os.environ["PARRIS_LOG_STREAM"]
        self._events: list[dict[str, Any]] = []
        self._bytes, self._last_time, self._failures = 0, 0, 0
        self._created = False
        self._lock = threading.Lock()
        self._wake, self._ending = threading.Event(), threading.Event()
        self.skipped, self.failure = 0, ""

    def add(self, lines: list[bytes]) -> None:
        """Take lines to send; this never waits for the network."""
        with self._lock:
            for number, line in enumerate(lines):
                if self._bytes >= BACKLOG_BYTES or len(self._events) >= BACKLOG_EVENTS:
                    self.skipped += len(lines) - number
                    break
                parts = list(messages(line))
                size = sum(len(part.encode()) + EVENT_OVERHEAD_BYTES for part in parts)
                if self._bytes + size > BACKLOG_BYTES:
                    self.skipped += 1
                    continue
                self._bytes += size
                for part in parts:
                    self._append(part)
        self._wake.set()

    def end(self) -> None:
        """Begin to send what is left; `join` waits for it."""
        with self._lock:
            if self.skipped:
                note = f"… {self.skipped:,} lines not streamed; the whole log is in log.txt"
                self._append(f"{note} in {self._whole_log}")
        self._ending.set()
        self._wake.set()

    def run(self) -> None:
        self._create_stream()
        pause = FIRST_PAUSE
        while not self._ending.is_set():
            if not self._wake.wait(LONGEST_PAUSE):
                pause = FIRST_PAUSE  # after a silence the next line is sent at once
                continue
            self._ending.wait(pause)
            self._wake.clear()
            pause = min(2 * pause, LONGEST_PAUSE) if self._send() else FAILURE_PAUSE
            if self._failures:
                self._wake.set()
        if not self._send():
            self.skipped += len(self._events)

    def not_sent(self) -> int:
        """Return how many lines CloudWatch Logs lacks, those that are still on their way too."""
        with self._lock:
            return self.skipped + (len(self._events) if self.is_alive() else 0)

    def _append(self, message: str) -> None:
        # Chronological order is required, and the clock of a fresh machine may be set back.
        self._last_time = max(self._last_time, int(time.time() * 1000))
        self._events.append({"timestamp": self._last_time, "message": message})

    def _create_stream(self) -> Answer:
        names = ("--log-group-name", self._group, "--log-stream-name", self._stream)
        answer = self._aws.call("logs", "create-log-stream", *names)
        self._created = answer.status == 0 or "ResourceAlreadyExists" in answer.said
        return answer

    def _put(self, batch: list[dict[str, Any]]) -> Answer:
        if not self._created:
            answer = self._create_stream()
            if not self._created:
                return answer
        request = {"logGroupName": self._group, "logStreamName": self._stream, "logEvents": batch}
        # By a file: the aws CLI reads --cli-input-json twice, which a pipe does not bear.
        try:
            with tempfile.NamedTemporaryFile("w", suffix=".json") as file:
                json.dump(request, file)
                file.flush()
                call = ("logs", "put-log-events", "--cli-input-json", f"file://{file.name}")
                # A batch of a MiB may take minutes on a slow network; a silent one is soon over.
                return self._aws.call(*call, timeout=600)
        except OSError as error:
            return Answer(1, str(error))

    def _send(self) -> bool:
        """Send one batch; it leaves the backlog when it is stored, or has failed three times."""
        with self._lock:
            batch, size = list(self._events), self._bytes
        if not batch:
            return True
        answer = self._put(batch)
        sent = answer.status == 0
        self._failures = 0 if sent else self._failures + 1
        if not sent:
            self.failure = answer.said
            if "ResourceNotFound" in answer.said:
                self._created = False
        if sent or self._failures % 3 == 0:
            with self._lock:
                del self._events[: len(batch)]
                self._bytes -= size
                self.skipped += 0 if sent else len(batch)
        return sent


class FileState(NamedTuple):
    """What the file system says of a file; it differs when the file was written in between."""

    size: int
    modified_ns: int
    changed_ns: int
    inode: int

    @property
    def changed(self) -> float:
        """The time.time() at which it was changed last."""
        return self.changed_ns / 1e9


class Store:
    """The run's folders and its log, kept in S3.

    A call of the aws CLI sends what S3 may not have, and nothing else. What it surely has is judged
    by what we saw of a file just before it was sent, by the file system's word alone: the
    clocks of S3 and of the files' owners do not count, and a file's change time nobody can set.
    """

    def __init__(self, aws: Aws, home: Path, uri: str) -> None:
        self._aws, self._home, self._uri = aws, home, uri
        self._lock = threading.Lock()
        self._stored: dict[Path, FileState] = {}
        self._seen: dict[Path, tuple[FileState, float]] = {}
        self._bytes: dict[Path, int] = {}
        self._skipped = ""
        self._lost: float | None = None  # since when nothing got through, time.monotonic()
        self._end_began = math.inf
        self._ending = threading.Event()

    def start(self, interval: float) -> None:
        """Store what changed every `interval` seconds, until `finish`."""

        def sync() -> None:
            while not self._ending.wait(interval):
                answer = self._upload(3600)
                if answer.status and not answer.skipped_files:
                    say(f"could not store everything this time: {answer.said}")

        threading.Thread(target=sync, daemon=True, name="store").start()

    def finish(self, cut_off: float) -> list[str]:
        """Store what has changed, and return what could not be stored.

        Args:
            cut_off: time.time() at which even an upload that works is killed.
        """
        self._end_began = time.monotonic()
        self._ending.set()
        pause = 1.0
        while True:
            answer = self._upload(cut_off - time.time())
            if answer.status == 0 or answer.skipped_files:
                break
            say(f"not everything was stored: {answer.said}")
            if time.monotonic() + pause > self._give_up() or time.time() + pause > cut_off:
                return [f"not everything was stored: {answer.said}"]
            time.sleep(pause)
            pause = min(2 * pause, 20.0)
        strange = [f"{path.relative_to(self._home)} is no regular file" for path in self._walk()[1]]
        problems = [*strange, *([self._skipped] if self._skipped else [])]
        more = f" (and {len(problems) - 1} more)" if problems[1:] else ""
        return [f"not everything was stored: {problems[0]}{more}"] if problems else []

    def bytes_stored(self) -> int:
        """Return the size of what was stored."""
        return sum(self._bytes.values())

    def _give_up(self) -> float:
        """Return the time.monotonic() at which an S3 that is lost at the end is given up."""
        return math.inf if self._lost is None else max(self._lost, self._end_began) + RETRY_SECONDS

    def _upload(self, timeout: float) -> Answer:
        # One at a time: an older copy must not arrive after the last one.
        until = time.monotonic() + timeout
        if not self._lock.acquire(timeout=max(timeout, 1)):
            return Answer(1, "an upload did not end")
        with contextlib.ExitStack() as held:
            held.callback(self._lock.release)
            until = min(until, self._give_up())  # the one that was waited for may have failed
            before, began, moment = self._files(), time.time(), time.monotonic()
            changed = [path for path, state in before.items() if self._stored.get(path) != state]
            if not changed:
                return Answer(0, "")  # a call for nothing would cost most of a second
            for path in changed:
                if self._seen.get(path, (None,))[0] != before[path]:
                    self._seen[path] = before[path], moment
            answer = self._send(changed, until)
            if answer.status == 0 or answer.skipped_files:
                self._lost = None
            elif self._lost is None:  # it may have worked for long, and failed just now
                self._lost = max(moment, time.monotonic() - HUNG_SECONDS)
            if answer.skipped_files:
                self._skipped = answer.said
            failed = self._failed(answer, changed)
            for path in changed:
                if path in failed:
                    continue
                state = before[path]
                self._bytes[path] = state.size
                # Two writes within one tick of the file system's clock look the same ("racy git"),
                # so what was written just before it was sent is sent again. A clock that was set
                # back: what it wrote before is of a time yet to come.
                since = moment - self._seen[path][1]
                if state.changed >= began - TICK_SECONDS and since <= TICK_SECONDS:
                    continue
                self._stored[path] = state  # whatever is written from `began` on is another
            return answer

    def _send(self, paths: list[Path], until: float) -> Answer:
        """Send files in one call however many they are: as links, which the aws CLI follows."""
        memory = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None  # noqa: S108
        try:
            with tempfile.TemporaryDirectory(dir=memory) as folder:  # the disk may be full
                for path in paths:
                    link = Path(folder) / path.relative_to(self._home)
                    link.parent.mkdir(parents=True, exist_ok=True)
                    link.symlink_to(path.absolute())
                words = ("s3", "cp", "--only-show-errors", "--recursive", folder, self._uri)
                answer = self._aws.call(*words, timeout=until - time.monotonic())
                return answer._replace(said=answer.said.replace(f"{folder}/", ""))
        except OSError as error:
            return Answer(1, str(error))

    def _failed(self, answer: Answer, paths: list[Path]) -> set[Path]:
        """Return which of `paths` S3 may lack: those that a call names, or all of them.

        For each transfer that fails the aws CLI prints `upload failed: <file> to <URI> <why>` and
        goes on; its status is then 1 (AWS CLI user guide, "return codes").
        """
        if answer.status == 0 or answer.skipped_files:
            return set()
        named = {
            path
            for path in paths
            if f" to {self._uri}/{path.relative_to(self._home)} " in answer.errors
        }
        whole = answer.status == 1 and named and "fatal error" not in answer.errors
        return named if whole else set(paths)

    def _files(self) -> dict[Path, FileState]:
        return self._walk()[0]

    def _walk(self) -> tuple[dict[Path, FileState], list[Path]]:
        """Return the regular files, by links too, and what else there is, a dangling link say."""
        found: dict[Path, FileState] = {}
        strange: list[Path] = []

        def take(path: Path, above: tuple[tuple[int, int], ...]) -> None:
            try:
                about = path.stat()
                this = about.st_dev, about.st_ino
                if stat.S_ISDIR(about.st_mode) and this not in above:  # not round in circles
                    for entry in os.scandir(path):
                        take(Path(entry.path), (*above, this))
                elif stat.S_ISREG(about.st_mode):
                    times = about.st_mtime_ns, about.st_ctime_ns
                    found[path] = FileState(about.st_size, *times, about.st_ino)
                elif not stat.S_ISDIR(about.st_mode):
                    strange.append(path)
            except OSError:
                if path.is_symlink():
                    strange.append(path)  # else it went away meanwhile

        for name in (*FOLDERS, LOG):
            take(self._home / name, ())
        return found, strange


def trainer_environment(home: Path, receipt: dict[str, Any]) -> dict[str, str]:
    """Return what the trainer finds in its environment, beside the machine's own."""
    limit = receipt.get("time-limit-minutes")
    values = {
        "PARRIS_JOB": receipt["job"],
        "PARRIS_RUN_ID": receipt["run-id"],
        "PARRIS_OUTPUT_DIR": str(home / "output"),
        "PARRIS_CHECKPOINT_DIR": str(home / "checkpoints"),
        "PARRIS_DEADLINE": receipt["deadline"],
        "TERMINATION_TIME_LIMIT": "never" if limit is None else str(limit),
    }
    for name, value in receipt.get("parameters", {}).items():
        values["PARRIS_PARAM_" + re.sub(r"[^A-Z0-9]", "_", name.upper())] = str(value)
    return values


# Power-off now, as the last command of a line: with sudo or a path, options, and something thrown
# away behind it. systemctl-compat-halt.c and -shutdown.c of systemd take these.
POWER_OFF = re.compile(
    rb"""(?P<before>(?:.*?(?:;|&&?|\|\|))?[ \t]*)
    (?P<command>(?:sudo[ \t]+(?:-\S+[ \t]+)*)?(?:/\S*/)?
      (?:(?:poweroff|halt)
        |shutdown(?:[ \t]+-(?:h|P|H|hP|-poweroff|-halt|-no-wall))*[ \t]+(?:now|\+?0)
        |systemctl(?:[ \t]+-\S+)*[ \t]+(?:poweroff|halt)
        |(?:tel)?init[ \t]+0
      )(?![\w./=-])(?:[^;&|\#'"]|>&)*)
    (?P<behind>(?:;|&|\|\|[ \t]*true)?)[ \t]*(?:\#.*)?""",
    re.VERBOSE,
)
SHELL = re.compile(rb"#![ \t]*/\S*?(?:/env[ \t]+(?:-S[ \t]+)?|/)(?:ba|da|z|k|a)?sh(?:[ \t\r]|$)")


NAMES_POWER_OFF = re.compile(rb"\b(?:poweroff|halt|shutdown|(?:tel)?init[ \t]+0)\b")
"""What a script has that may turn its machine off, wherever in it."""


class PowerOff(NamedTuple):
    """A script's own power-off, where it is the last thing that the script does."""

    line: int
    command: str
    start: int
    """Where the command stands in the script, in bytes; `end` is behind what belongs to it."""
    end: int


def last_power_off(content: bytes) -> PowerOff | None:
    """Return the power-off in which a shell's script ends; None if it ends in something else."""
    lines = content.split(b"\n")
    if content.startswith(b"#!") and not SHELL.match(lines[0]):
        return None
    start = len(content) + 1
    for number in range(len(lines), 0, -1):
        line = lines[number - 1]
        start -= len(line) + 1
        if line.strip() and not line.lstrip().startswith(b"#"):
            found = POWER_OFF.fullmatch(line.rstrip())
            if not found:
                return None
            text = found["command"].decode(errors="replace").rstrip()
            return PowerOff(
                number, text, start + found.start("command"), start + found.end("behind")
            )
    return None


def trainer_command(folder: Path, script: str) -> tuple[list[str], list[str]]:
    """Return the command that runs the job's script, and warnings; repair what can be repaired.

    Raises:
        RunError: if it is missing, unreadable, or lies outside the job's folder.
    """
    warnings = []
    path = (folder / script).resolve()
    if folder.resolve() not in path.parents:
        raise RunError(f"{script} lies outside the job's folder")
    try:
        content = path.read_bytes()
        if b"\r\n" in content:
            content = content.replace(b"\r\n", b"\n")
            path.write_bytes(content)
            warnings.append(
                f"{script} had Windows line endings (CRLF); they were repaired for this run"
            )
        if found := last_power_off(content):
            # `exit` has the status of what came before (bash(1), "exit"): the training's own.
            content = content[: found.start] + b"exit" + content[found.end :]
            path.write_bytes(content)
            warnings.append(
                f"{script} ends in `{found.command}` (line {found.line}); it was left out of this "
                "run, since it hides how the training ended: the machine powers off by itself"
            )
        path.chmod(path.stat().st_mode | stat.S_IXUSR)
    except OSError as error:
        raise RunError(f"{script} cannot be read or repaired: {error.strerror}") from error
    return ([str(path)] if content.startswith(b"#!") else ["bash", str(path)]), warnings


def oom_kills() -> int:
    """Return how many processes the kernel has killed for want of memory (/proc/vmstat)."""
    with contextlib.suppress(OSError), open("/proc/vmstat") as lines:  # noqa: PTH123
        return next((int(line.split()[1]) for line in lines if line.startswith("oom_kill ")), 0)
    return 0


class Trainer:
    """The person's script, in a process group of its own, its output in log.txt."""

    def __init__(self, home: Path, receipt: dict[str, Any], events: Events) -> None:
        self._home, self._receipt, self._events = home, receipt, events
        self.ended = threading.Event()
        self.warnings: list[str] = []
        self.started: float | None = None
        self.finished: float | None = None
        self.exit_status: int | None = None
        self.peak_memory: int | None = None
        self.last_line = self.log_error = ""
        self._oom_kills = oom_kills()
        self.names_power_off = False
        self._group: int | None = None
        self._reader: threading.Thread | None = None
        self._reading, self._pipe = False, -1

    def start(self, streamer: LogStreamer) -> None:
        """Start the script.

        Raises:
            RunError: if it cannot be started.
            OSError: if log.txt cannot be made.
        """
        script = self._receipt["script"]
        command, self.warnings = trainer_command(self._home / "source", script)
        content = (self._home / "source" / script).read_bytes()
        self.names_power_off = bool(NAMES_POWER_OFF.search(content))
        log = (self._home / LOG).open("ab", buffering=0)  # the reader closes it
        try:
            process = subprocess.Popen(
                command,
                cwd=self._home / "source",
                env={**os.environ, **trainer_environment(self._home, self._receipt)},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        except OSError as error:
            hint = "; does the image have the interpreter its first line names?"
            raise RunError(f"{script} cannot be started: {error.strerror}{hint}") from error
        self.started, self._group = time.time(), process.pid
        self._pipe = pipe = process.stdout.fileno()  # type: ignore[union-attr] # as asked for above
        with contextlib.suppress(OSError):  # 1 MiB, Linux's limit, so that it never waits for us
            fcntl.fcntl(pipe, getattr(fcntl, "F_SETPIPE_SZ", 1031), 1 << 20)
        arguments = (process, pipe, log, streamer)
        self._reader = threading.Thread(target=self._read, args=arguments, daemon=True)
        self._reader.start()
        threading.Thread(target=self._wait, args=(process,), daemon=True).start()

    def stop(self, grace: float) -> None:
        """End everything in the trainer's group: SIGTERM, `grace` seconds, SIGKILL."""
        if self._group is None:
            return
        if grace > 0:
            self._signal(signal.SIGTERM)
            # The group and not its leader: bash dies at once, while its child saves its work.
            until = time.monotonic() + grace
            while time.monotonic() < until and not (self.ended.is_set() and self._is_empty()):
                time.sleep(0.1)
        self._signal(signal.SIGKILL)
        self.ended.wait(10)

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

    def judge(self) -> Verdict:
        """Return the verdict on a trainer that ended by itself."""
        script, status = self._receipt["script"], self.exit_status or 0
        if status == 1 and self.last_line == TOO_MANY and self.names_power_off:
            reason = f"{script} exited with status 1, as systemd refused its own power-off"
            return Verdict("interrupted", f"{reason} ({TOO_MANY}): {UNKNOWN}", "trainer")
        if status == 0:
            return Verdict("succeeded", f"{script} exited with status 0", "trainer")
        how = f"was ended by signal {-status}" if status < 0 else f"exited with status {status}"
        if status in (-signal.SIGKILL, 128 + signal.SIGKILL) and oom_kills() > self._oom_kills:
            how += ": the machine ran out of memory, choose a larger instance-type"
        last = f"; its last line: {self.last_line}" if self.last_line else ""
        return Verdict("failed", f"{script} {how}{last}", "trainer")

    def _signal(self, number: int) -> None:
        # Neither error matters: the group is gone, or holds only what changed its user.
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._group or 0, number)

    def _is_empty(self) -> bool:
        """Return whether nothing of the group is alive (proc(5): state and pgrp after the name)."""
        for path in Path("/proc").glob("[0-9]*/stat"):
            with contextlib.suppress(OSError):
                state, _, group = path.read_text(errors="replace").rpartition(")")[2].split()[:3]
                if int(group) == self._group and state not in "ZX":
                    return False
        return True

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
        self.finished = time.time()
        process.returncode = (
            -os.WTERMSIG(status) if os.WIFSIGNALED(status) else os.WEXITSTATUS(status)
        )
        self.exit_status = process.returncode
        # KiB on Linux (getrusage(2)); at least what this agent held when it started the child.
        self.peak_memory = usage.ru_maxrss * 1024
        self.ended.set()
        self._events.put("exit")


def grace_within(seconds: float, grace: float) -> float:
    """Return the trainer's share of the `seconds` that are left, at most `grace`.

    The upload has the rest: RESERVE_SECONDS, or a third if there are not so many.
    """
    return min(grace, max(seconds - RESERVE_SECONDS, seconds * 2 / 3))


def stop_times(now: float, deadline: float, grace: float) -> tuple[float, float]:
    """Return when to ask the trainer to stop, and the seconds it then has.

    A short run does not lose more than a quarter of itself to grace and upload.
    """
    margin = min(grace + RESERVE_SECONDS, max(deadline - now, 0.0) / 4)
    return deadline - margin, grace_within(margin, grace)


def read_metadata(path: str) -> str:
    """Return what IMDSv2 says of this machine (EC2 user guide, "Use IMDSv2").

    Each read has a token of its own, so that none expires on a long run.

    Raises:
        METADATA_ERRORS: if it cannot be read; a 404, urllib's HTTPError, is an OSError too.
    """
    base = os.environ.get("AWS_EC2_METADATA_SERVICE_ENDPOINT", "http://169.254.169.254").rstrip("/")
    no_proxy = urllib.request.build_opener(urllib.request.ProxyHandler({}))

    def ask(path: str, method: str, headers: dict[str, str]) -> str:
        request = urllib.request.Request(f"{base}/latest/{path}", headers=headers, method=method)
        with no_proxy.open(request, timeout=2) as response:
            text: str = response.read().decode()
        return text

    token = ask("api/token", "PUT", {"X-aws-ec2-metadata-token-ttl-seconds": "60"})
    return ask(f"meta-data/{path}", "GET", {"X-aws-ec2-metadata-token": token})


METADATA_ERRORS = (OSError, ValueError, http.client.HTTPException)


def read_identity(found: dict[str, str]) -> None:
    """Fill `found` with what EC2 calls this machine."""
    try:
        for key, path in (("instance-id",) * 2, ("instance-type",) * 2, ("image", "ami-id")):
            found[key] = read_metadata(path)
    except METADATA_ERRORS as error:
        say(f"could not read instance metadata: {error}")


def power_command(*command: str) -> bool:
    """Run shutdown(8) or poweroff(8), and return whether it accepted."""
    try:
        return subprocess.run(command, check=False, timeout=30).returncode == 0
    except (OSError, subprocess.TimeoutExpired) as error:
        say(f"{command[0]}: {error}")
        return False


def arm_timer(home: Path, minutes: int) -> bool:
    """Let the machine go off by itself in `minutes`, and return whether that is sure.

    shutdown(8) puts the new time in place of the old one. Where user-data.sh had to replace it,
    its waiting process reads the second of uptime to go off at from a file.
    """
    armed = power_command("shutdown", "--poweroff", f"+{minutes}")
    if armed and minutes > NOLOGIN_MINUTES:
        # The timer that it replaced may have shut logins out. A cancellation would let them in too,
        # and leave no timer at all should the next order be refused.
        with contextlib.suppress(OSError):
            NOLOGIN.unlink()
    power_off_at = home / "power-off-at"
    if power_off_at.exists():
        new = power_off_at.with_suffix(".new")
        try:
            new.write_text(f"{time.clock_gettime(time.CLOCK_BOOTTIME) + minutes * 60:.0f}\n")
            new.replace(power_off_at)  # at no moment is it missing or cut short
        except OSError as error:
            say(f"{power_off_at.name}: {error.strerror}")
            return False
        return True
    return armed


class Control:
    """What is asked of a run while it is under way: by its receipt in S3, and by EC2's notice.

    Attributes:
        deadline: time.time() at which the machine is to be off.
    """

    def __init__(
        self, aws: Aws, home: Path, uri: str, receipt: dict[str, Any], events: Events
    ) -> None:
        self._aws, self._home, self._uri, self._events = aws, home, uri, events
        self._receipt = receipt
        self.deadline = parse_iso(receipt["deadline"])
        self._hourly_usd: float | None = None
        self._over, self._lock = threading.Event(), threading.Lock()
        self._last_read: threading.Thread | None = None

    def start(self) -> None:
        """Obey the receipt, and then what becomes of it, until `end`."""
        self._obey(self._receipt)
        threading.Thread(target=self._poll, daemon=True, name="control").start()
        if self._receipt.get("market") == "spot":
            threading.Thread(target=self._watch_spot, daemon=True, name="spot").start()

    def end(self) -> None:
        """Obey nothing more; if the price is still unknown, begin to read it once again."""
        with self._lock:
            self._over.set()
        if self._hourly_usd is None:
            self._last_read = threading.Thread(target=self._read, daemon=True, name="last-read")
            self._last_read.start()

    def cost(self, booted: str | None) -> float | None:
        """Return what the machine has cost since it `booted`, in US dollars, if that is known."""
        if self._last_read is not None:
            self._last_read.join(LAST_READ_SECONDS)
        if self._hourly_usd is None or not booted:
            return None
        seconds = max(LEAST_BILLED_SECONDS, time.time() - parse_iso(booted))
        return round(self._hourly_usd * seconds / 3600, 4)

    def _poll(self) -> None:
        while not self._over.wait(CONTROL_SECONDS):
            self._obey(self._read())

    def _read(self) -> dict[str, Any]:
        """Return the receipt as it is now, its price taken; nothing if it cannot be read."""
        answer = self._aws.call("s3", "cp", "--only-show-errors", f"{self._uri}/run.json", "-")
        with contextlib.suppress(ValueError):
            receipt = json.loads(answer.output)
            if answer.status == 0 and isinstance(receipt, dict):
                self._take_price(receipt)
                return receipt
        return {}

    def _take_price(self, receipt: dict[str, Any]) -> None:
        with contextlib.suppress(KeyError, TypeError, ValueError):
            hourly_usd = float(receipt["price"]["hourly-usd"])
            if 0 <= hourly_usd < math.inf:
                self._hourly_usd = hourly_usd

    def _obey(self, receipt: dict[str, Any]) -> None:
        self._take_price(receipt)
        with self._lock:
            if self._over.is_set():
                return
            deadline, stop = self.deadline, receipt.get("stop")
            with contextlib.suppress(KeyError, ValueError, AttributeError):
                deadline = parse_iso(receipt["deadline"])
            if deadline != self.deadline:
                self._move(deadline)
            if isinstance(stop, dict):
                by = stop.get("by")
                how = f"by {by}" if by and isinstance(by, str) else "on request"
                self._end_run(Verdict("stopped", f"stopped {how}", "stop"))

    def _move(self, deadline: float) -> None:
        """Arm the machine's timer anew, and only then let the stop time follow.

        A timer that cannot be moved stands: then only an earlier deadline is safe to take.
        """
        news = f"warning: the deadline {iso(self.deadline)} was changed to {iso(deadline)}"
        minutes = max(1, math.ceil((deadline - time.time()) / 60))
        if arm_timer(self._home, minutes):
            say(f"{news}; the machine's timer now ends in {minutes} min")
        else:
            say(f"{news}, but the machine's timer could not be")
            if deadline > self.deadline:
                return  # it is tried again with the next receipt
        self.deadline = deadline
        self._events.put("deadline")

    def _watch_spot(self) -> None:
        while not self._over.wait(SPOT_SECONDS):
            with contextlib.suppress(*METADATA_ERRORS, KeyError, TypeError, AttributeError):
                notice = json.loads(read_metadata("spot/instance-action"))
                what, when = f"{notice['action']} at {notice['time']}", parse_iso(notice["time"])
                with self._lock:
                    if not self._over.is_set():
                        self.deadline = min(self.deadline, when)
                        reason = f"EC2's notice for this spot machine: {what}"
                        self._end_run(Verdict("interrupted", reason, "spot"))

    def _end_run(self, verdict: Verdict) -> None:
        say(f"warning: {verdict.reason}")
        self._over.set()
        self._events.put(verdict)


def next_event(events: Events, until: float) -> Event:
    """Return the next event, or "time" when it is `until`."""
    while time.time() < until:  # in steps: the clock of a fresh machine may still be set
        with contextlib.suppress(queue.Empty):
            return events.get(timeout=max(0.0, min(until - time.time(), 30.0)))
    return "time"


def supervise(trainer: Trainer, control: Control, most_grace: float, events: Events) -> Verdict:
    """Wait until the run is over, and return how it ended; nothing of the trainer is left."""
    event: Event = "deadline"
    while event == "deadline":
        stop_at, grace = stop_times(time.time(), control.deadline, most_grace)
        event = next_event(events, stop_at)
    deadline = control.deadline
    near_deadline = time.time() >= deadline - 60
    told_to_stop = event == "signal"
    if told_to_stop:
        trainer.ended.wait(LAST_MOMENT_SECONDS)
        grace = min(grace, SHUTDOWN_GRACE_SECONDS)
    elif isinstance(event, Verdict):
        grace = grace_within(deadline - time.time(), most_grace)
    ended_by_itself = trainer.ended.is_set()
    trainer.stop(0 if ended_by_itself else grace)
    trainer.drain()
    if trainer.log_error:
        return Verdict("failed", disk_reason(trainer.log_error), "agent")
    if ended_by_itself and not told_to_stop:
        # A script that names a power-off may have asked for one, and have ended before we heard.
        doubtful = trainer.exit_status == 0 and trainer.names_power_off
        if not doubtful or next_event(events, time.time() + LAST_MOMENT_SECONDS) != "signal":
            return trainer.judge()
    if isinstance(event, Verdict):
        return event
    if ended_by_itself and trainer.exit_status == 0:
        what = "restart" if is_restarting() else "power off"
        reason = f"the trainer exited with status 0 just after the machine was told to {what}"
        return Verdict("interrupted", f"{reason}; if it said so itself, {UNKNOWN}", "shutdown")
    if told_to_stop and not near_deadline:
        what = "restart, which ends a run," if is_restarting() else "power off"
        reason = f"the machine was told to {what} while the trainer ran"
        return Verdict("interrupted", reason, "shutdown")
    reason = f"the trainer was still running near its deadline, {iso(deadline)}"
    return Verdict("timed-out", reason, "shutdown" if told_to_stop else "agent")


def disk_reason(said: str) -> str:
    """Return `said`, with what to do about it if it is about a full disk."""
    if "No space left" in said:  # ENOSPC, errno(3)
        return f"the disk is full: {said}; raise volume-size-gb"
    return said


class Run:
    """One run from its receipt to its outcome."""

    def __init__(self, home: Path, events: Events) -> None:
        self._home, self._events = home, events
        self._uri = os.environ.get("PARRIS_RUN_URI", "")
        self._own_uri = os.environ["PARRIS_MACHINE_URI"]
        self._aws = Aws()
        self._store = Store(self._aws, home, self._own_uri)
        self._identity: dict[str, str] = {}
        self._control: Control | None = None
        self._trainer: Trainer | None = None
        self._streamer: LogStreamer | None = None
        self._verdict: Verdict | None = None

    def train(self) -> None:
        """Run the trainer until it is over."""
        threading.Thread(target=read_identity, args=(self._identity,), daemon=True).start()
        receipt = json.loads((self._home / "run.json").read_text())
        self._streamer = LogStreamer(self._aws, receipt, self._own_uri)
        self._streamer.start()
        self._control = Control(self._aws, self._home, self._uri, receipt, self._events)
        self._trainer = Trainer(self._home, receipt, self._events)
        try:
            for name in FOLDERS:
                (self._home / name).mkdir(exist_ok=True)
            self._trainer.start(self._streamer)
        except RunError as error:
            self._verdict = Verdict("failed", str(error), "agent")
        except OSError as error:
            self._verdict = Verdict("failed", disk_reason(str(error)), "agent")
        else:
            self._store.start(float(receipt["sync-interval-seconds"]))
            self._control.start()
            most_grace = float(receipt["stop-grace-seconds"])
            self._verdict = supervise(self._trainer, self._control, most_grace, self._events)

    def take_over(self, verdict: Verdict) -> None:
        """Let `keep` end a run that another process began."""
        self._verdict = verdict
        read_identity(self._identity)
        with contextlib.suppress(OSError, ValueError, KeyError):
            receipt = json.loads((self._home / "run.json").read_text())
            self._control = Control(self._aws, self._home, self._uri, receipt, self._events)

    def keep(self, error: BaseException | None) -> None:
        """Store everything, then the outcome: on the console first, then in S3."""
        verdict = self._verdict or Verdict(
            "failed", f"the supervisor failed: {type(error).__name__}: {error}", "agent"
        )
        if self._trainer is not None and self._verdict is None:
            self._trainer.stop(10)
            self._trainer.drain()
        if self._streamer is not None:
            self._streamer.end()
        now = deadline = time.time()
        if self._control is not None:
            self._control.end()
            deadline = self._control.deadline
        warnings = list(self._trainer.warnings) if self._trainer else []
        warnings += self._store.finish(max(now, deadline) + END_SECONDS)
        if self._streamer is not None:
            self._streamer.join(max(5.0, now + STREAM_SECONDS - time.time()))
            if skipped := self._streamer.not_sent():
                why = f" ({self._streamer.failure})" if self._streamer.failure else ""
                count = f"{skipped:,} log lines were not streamed{why}"
                warnings.append(f"{count}; log.txt has the whole log")
        text = json.dumps(self._outcome(verdict, warnings))
        say(f"outcome: {text}")
        target, until = f"{self._own_uri}/outcome.json", time.monotonic() + OUTCOME_SECONDS
        for pause in OUTCOME_PAUSES:
            # From memory: a full disk has no room even for this.
            call = ("s3", "cp", "--only-show-errors", "-", target)
            left = until - time.monotonic()
            answer = self._aws.call(*call, stdin=text.encode(), timeout=left)
            if answer.status == 0:
                with contextlib.suppress(OSError):
                    (self._home / TOLD).touch()
                break
            say(f"could not store outcome.json: {answer.said}")
            if time.monotonic() + pause > until:
                break
            time.sleep(pause)

    def _outcome(self, verdict: Verdict, warnings: list[str]) -> dict[str, Any]:
        trainer = self._trainer
        started = trainer.started if trainer else None
        finished = trainer.finished if trainer else None
        booted = os.environ.get("PARRIS_BOOTED")
        return {
            "run-id": os.environ.get("PARRIS_RUN_ID"),
            "job": os.environ.get("PARRIS_JOB"),
            "state": verdict.state,
            "reason": verdict.reason,
            "ended-by": verdict.ended_by,
            "exit-status": trainer.exit_status if trainer else None,
            **{key: self._identity.get(key) for key in ("instance-id", "instance-type", "image")},
            "booted": booted,
            "started": iso(started) if started else None,
            "finished": iso(finished) if finished else None,
            "trainer-seconds": round(finished - started, 3) if started and finished else None,
            "peak-memory-bytes": trainer.peak_memory if trainer else None,
            "cost-usd": self._control.cost(booted) if self._control else None,
            "bytes-stored": self._store.bytes_stored(),
            "warnings": warnings,
        }


def ask_systemd(*words: str) -> str:
    """Return what systemctl says, or nothing where there is none."""
    with contextlib.suppress(OSError, subprocess.TimeoutExpired):
        command = ["systemctl", *words]
        return subprocess.run(command, check=False, timeout=10, capture_output=True).stdout.decode()
    return ""


def is_restarting() -> bool:
    """Whether the machine is on its way down to come up again (systemd.special(7))."""
    return "reboot.target" in ask_systemd("list-jobs", "--full", "--no-legend")


def power_off() -> None:
    """Power the machine off; its shutdown behaviour, terminate, does the rest.

    All that is to be kept is stored. The orderly way has ORDERLY_SECONDS: systemd would wait 90 s
    for any process that ignores its SIGTERM.
    """
    force_later()
    # In a shutdown logind takes no order any more, and a restart would go its way.
    stopping = "stopping" in ask_systemd("is-system-running")
    if stopping or not power_command("shutdown", "--poweroff", "now"):
        power_command("poweroff", "--force")


def force_later() -> None:
    """Let a process that a shutdown spares force the power off in ORDERLY_SECONDS.

    Its unit conflicts with no target (systemd.unit(5), DefaultDependencies=), so it is not stopped.
    A process whose name begins with @ is left alone when all others are killed at last (systemd's
    "Storage Daemons for the Root File System"). bash waits by itself: sleep would be killed.
    """
    force = (
        f"exec {{silence}}<> <(:); read -r -t {ORDERLY_SECONDS} -u $silence; "
        "timeout 5 sync; exec poweroff --force --force"
    )
    unit = ("--unit=parris-force", "--property=DefaultDependencies=no")
    path = f"--setenv=PATH={os.environ.get('PATH', '')}"
    exec_as = 'exec -a "@parris-force" bash -c "$0"'
    with contextlib.suppress(OSError, subprocess.TimeoutExpired):
        command = ["systemd-run", "--quiet", *unit, path, "--", "bash", "-c", exec_as, force]
        subprocess.run(command, check=False, timeout=10, capture_output=True)


ENDS = {
    "restarted": Verdict(
        "interrupted", "the machine was restarted, and a run does not go on after that", "shutdown"
    ),
    "died": Verdict("failed", "the supervisor was killed, and the trainer with it", "agent"),
}
"""How a run ended whose supervisor could not say so, by who calls for it (user-data.sh)."""


def store_leftovers(home: Path, how: str) -> None:
    """Store what a run has left whose supervisor is no more, and its outcome if there is none."""
    if (home / TOLD).exists():
        return
    verdict = ENDS[how]
    if detail := os.environ.get("EXIT_STATUS"):  # systemd.exec(5): a signal's name, or a number
        verdict = verdict._replace(reason=f"{verdict.reason} ({detail})")
    say(f"warning: {verdict.reason}")
    run = Run(home, queue.SimpleQueue())
    run.take_over(verdict)
    run.keep(None)


def main(argv: list[str]) -> int:
    """Supervise the run in the folder argv[0]; the machine is powered off in any case.

    With a key of ENDS as argv[1], end a run whose supervisor is no more; who calls powers off.
    """
    if argv[1:]:
        store_leftovers(Path(argv[0]), argv[1])
        force_later()
        return 0
    events: Events = queue.SimpleQueue()
    for number in (signal.SIGTERM, signal.SIGINT):  # a second one does not end an upload either
        signal.signal(number, lambda *_: events.put("signal"))
    run = Run(Path(argv[0]), events)
    try:
        run.train()
    finally:  # an error of ours goes on to the console, after what is to be done anyway
        try:
            run.keep(sys.exc_info()[1])
        finally:
            power_off()
    return 0


if __name__ == "__main__":
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # a core dump could fill the disk
    sys.exit(main(sys.argv[1:]))
