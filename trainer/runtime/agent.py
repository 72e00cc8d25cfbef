"""The supervisor on the training machine: run the trainer, keep what it makes, power off.

Standard library of Python 3.9 and the aws CLI, nothing else. docs/contracts.md names what it
reads (run.json) and what it leaves (outcome.json). Every way out of `main` ends in power-off.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import queue
import re
import resource
import signal
import stat
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

RESERVE_SECONDS = 30
"""Kept before the deadline for the last upload, beside the trainer's own grace."""
LAST_MOMENT_SECONDS = 3
"""What a trainer gets to end by itself when the machine is told to stop: its last line may have
been `poweroff`."""
UPLOAD_PATIENCE_SECONDS = 120
"""How long a lost S3 is tried for; the outcome is on the console by then."""

# CloudWatch Logs API reference, PutLogEvents.
MAX_BATCH_BYTES = 1_048_576
MAX_BATCH_EVENTS = 10_000
EVENT_OVERHEAD_BYTES = 26
MAX_EVENT_BYTES = 256 * 1024 - EVENT_OVERHEAD_BYTES
BACKLOG_BYTES = 900_000
"""Log waiting to be streamed: less than one batch, so that the end waits for one call at most."""
STREAM_SECONDS = 1.0


def iso(seconds: float) -> str:
    """Return a time.time() as ISO 8601 in UTC, to the second."""
    return datetime.fromtimestamp(seconds, timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")


def parse_iso(text: str) -> float:
    """Return an ISO 8601 time in UTC (``…Z``) as seconds since the epoch."""
    return datetime.strptime(text, "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=timezone.utc).timestamp()


def say(text: str) -> None:
    """Print to the console, which EC2 keeps when nothing else is left."""
    print(f"parris: {text}", flush=True)


class RunError(Exception):
    """The run cannot go on; the text is its reason."""


class Aws:
    """The aws CLI."""

    def __init__(self, log_group: str, log_stream: str, run_uri: str) -> None:
        self.log_group, self.log_stream, self.run_uri = log_group, log_stream, run_uri

    def start(self, *arguments: str) -> subprocess.Popen[bytes]:
        # A session of its own: a signal to our group must not cut off an upload.
        return subprocess.Popen(
            ["aws", *arguments],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )

    def call(self, *arguments: str, stdin: bytes | None = None) -> tuple[bool, str]:
        """Return whether the command succeeded, and the last line it printed."""
        try:
            result = subprocess.run(
                ["aws", *arguments],
                input=stdin if stdin is not None else b"",
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                timeout=UPLOAD_PATIENCE_SECONDS,
                check=False,
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            return False, str(error)
        lines = result.stdout.decode(errors="replace").strip().splitlines()
        return result.returncode == 0, lines[-1] if lines else f"status {result.returncode}"

    def upload(self, home: Path, name: str) -> list[str]:
        """Return the arguments that store the folder or file `name` of the run."""
        target = f"{self.run_uri}/{name}"
        verb = ["sync"] if (home / name).is_dir() else ["cp"]
        return ["s3", *verb, "--only-show-errors", str(home / name), target]


class LogStreamer(threading.Thread):
    """Sends lines to CloudWatch Logs; what does not fit is counted, never waited for."""

    def __init__(self, aws: Aws, home: Path) -> None:
        super().__init__(daemon=True, name="log-streamer")
        self._aws, self._file = aws, home / "log-events.json"
        self._lines: list[tuple[int, str]] = []
        self._bytes = 0
        self._lock = threading.Lock()
        self._wake, self._ending = threading.Event(), threading.Event()
        self._has_stream = False
        self.skipped = 0
        self.failure = ""

    def add(self, lines: list[bytes]) -> None:
        now = int(time.time() * 1000)
        with self._lock:
            for number, line in enumerate(lines):
                size = min(len(line), MAX_EVENT_BYTES) + EVENT_OVERHEAD_BYTES
                if self._bytes + size > BACKLOG_BYTES or len(self._lines) >= MAX_BATCH_EVENTS - 1:
                    self.skipped += len(lines) - number
                    break
                # An empty message is refused (PutLogEvents, InputLogEvent).
                text = line[:MAX_EVENT_BYTES].decode(errors="replace").rstrip("\r") or " "
                # U+FFFD is longer than the byte it stands for.
                self._bytes += max(size, len(text.encode()) + EVENT_OVERHEAD_BYTES)
                self._lines.append((now, text))
        self._wake.set()

    def run(self) -> None:
        while not self._ending.is_set():
            self._wake.wait()
            self._ending.wait(STREAM_SECONDS)
            self._wake.clear()
            self._send()
        self._send()

    def finish(self) -> None:
        """Send what is left and say what was skipped."""
        if self.skipped:
            with self._lock:
                note = (
                    f"… {self.skipped:,} lines not streamed; the whole log is "
                    f"{self._aws.run_uri}/log.txt"
                )
                self._lines.append((int(time.time() * 1000), note))
        self._ending.set()
        self._wake.set()
        self.join(timeout=UPLOAD_PATIENCE_SECONDS)

    def _send(self) -> None:
        with self._lock:
            lines, self._lines, self._bytes = self._lines, [], 0
        if not lines:
            return
        names = {"logGroupName": self._aws.log_group, "logStreamName": self._aws.log_stream}
        if not self._has_stream:
            made, said = self._aws.call(
                *("logs", "create-log-stream", "--log-group-name", self._aws.log_group),
                *("--log-stream-name", self._aws.log_stream),
            )
            self._has_stream = made or "ResourceAlreadyExists" in said
        events = [{"timestamp": when, "message": text} for when, text in lines]
        try:
            self._file.write_text(json.dumps({**names, "logEvents": events}))
        except OSError as error:
            self.failure, self.skipped = str(error), self.skipped + len(lines)
            return
        sent, said = self._aws.call(
            "logs", "put-log-events", "--cli-input-json", f"file://{self._file}"
        )
        if not sent:
            self.failure, self.skipped = said, self.skipped + len(lines)


class Trainer:
    """The person's script, in a process group of its own, its output in log.txt."""

    def __init__(self, home: Path, receipt: dict[str, Any], events: queue.SimpleQueue[str]) -> None:
        self._home, self._receipt, self._events = home, receipt, events
        self.warnings: list[str] = []
        self.started: float | None = None
        self.finished: float | None = None
        self.exit_status: int | None = None
        self.peak_memory: int | None = None
        self.last_line = ""
        self.log_error = ""
        self._process: subprocess.Popen[bytes] | None = None
        self._reader: threading.Thread | None = None

    def start(self, streamer: LogStreamer) -> None:
        """Start the script.

        Raises:
            RunError: if it is missing, lies outside the job's folder, or cannot be started.
        """
        command = self._command()
        log = (self._home / "log.txt").open("ab", buffering=0)  # the reader closes it
        try:
            self._process = subprocess.Popen(
                command,
                cwd=self._home / "source",
                env={**os.environ, **trainer_environment(self._home, self._receipt)},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        except OSError as error:
            raise RunError(f"{self._receipt['script']} cannot be started: {error}") from error
        self.started = time.time()
        arguments = (self._process, log, streamer)
        self._reader = threading.Thread(target=self._read, args=arguments, daemon=True)
        self._reader.start()
        threading.Thread(target=self._wait, args=(self._process,), daemon=True).start()

    def signal_group(self, number: int) -> None:
        """Send a signal to everything the trainer started and that did not leave its group."""
        if self._process is not None:
            # Neither error matters: the group is gone, or holds only what changed its user.
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self._process.pid, number)

    def drain(self) -> None:
        """Take what is left in the pipe; a survivor that holds it open is not waited for."""
        if self._reader is not None:
            self._reader.join(timeout=0.5)

    def _command(self) -> list[str]:
        folder = (self._home / "source").resolve()
        script = (folder / self._receipt["script"]).resolve()
        if folder not in script.parents:
            raise RunError(f"{self._receipt['script']} lies outside the job's folder")
        try:
            content = script.read_bytes()
        except OSError as error:
            raise RunError(f"{self._receipt['script']} cannot be read: {error.strerror}") from error
        if b"\r\n" in content:
            content = content.replace(b"\r\n", b"\n")
            script.write_bytes(content)
            self.warnings.append(
                f"{self._receipt['script']} had Windows line endings (CRLF); they were repaired "
                "for this run"
            )
        if not content.startswith(b"#!"):
            return ["bash", str(script)]
        script.chmod(script.stat().st_mode | stat.S_IXUSR)
        return [str(script)]

    def _read(self, process: subprocess.Popen[bytes], log: Any, streamer: LogStreamer) -> None:
        source = process.stdout.fileno()  # type: ignore[union-attr] # a pipe, as started
        rest = b""
        while True:
            chunk = os.read(source, 1 << 16)
            if not self.log_error:
                try:
                    log.write(chunk)
                except OSError as error:
                    # Keep reading: a full pipe would stop the trainer instead of ending it.
                    self.log_error = error.strerror or str(error)
                    self._events.put("disk-full" if error.errno == errno.ENOSPC else "log-lost")
            lines = (rest + chunk).split(b"\n")
            rest = lines.pop()
            if not chunk and rest:
                lines.append(rest)
            if lines:
                streamer.add(lines)
                self.last_line = next(
                    (x.decode(errors="replace") for x in reversed(lines) if x.strip()),
                    self.last_line,
                )[:300]
            if len(rest) > MAX_EVENT_BYTES:
                streamer.add([rest])
                rest = b""
            if not chunk:
                log.close()
                return

    def _wait(self, process: subprocess.Popen[bytes]) -> None:
        # wait4 and not Popen.wait: it alone says what this child and its children used.
        _, status, usage = os.wait4(process.pid, 0)
        self.finished = time.time()
        self.exit_status = (
            -os.WTERMSIG(status) if os.WIFSIGNALED(status) else os.WEXITSTATUS(status)
        )
        process.returncode = self.exit_status
        self.peak_memory = usage.ru_maxrss * 1024  # KiB on Linux (getrusage(2))
        self._events.put("exit")


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
        values["PARRIS_PARAM_" + re.sub(r"[^A-Z0-9]", "_", name.upper())] = value
    return values


def stop_times(now: float, deadline: float, grace: float) -> tuple[float, float]:
    """Return when to ask the trainer to stop, and the seconds it then has.

    A short run does not lose more than a quarter of itself to grace and upload.
    """
    margin = min(grace + RESERVE_SECONDS, max(deadline - now, 0.0) / 4)
    return deadline - margin, min(grace, margin * 2 / 3)


class Syncer(threading.Thread):
    """Stores output, checkpoints and log every so often while the trainer runs."""

    def __init__(self, aws: Aws, home: Path, interval: float) -> None:
        super().__init__(daemon=True, name="syncer")
        self._aws, self._home, self._interval = aws, home, interval
        self._ending = threading.Event()
        self._running: subprocess.Popen[bytes] | None = None
        self._stored_log = -1

    def run(self) -> None:
        while not self._ending.wait(self._interval):
            for name in stored_names(self._home):
                size = (self._home / name).stat().st_size if name == "log.txt" else -1
                if self._ending.is_set() or (name == "log.txt" and size == self._stored_log):
                    continue
                self._running = self._aws.start(*self._aws.upload(self._home, name))
                said = self._running.communicate()[0].decode(errors="replace").strip()
                if self._running.returncode == 0:
                    self._stored_log = size if name == "log.txt" else self._stored_log
                elif not self._ending.is_set():
                    say(f"{name} was not stored this time: {said.splitlines()[-1:]}")

    def finish(self) -> None:
        """Stop: an older copy must not arrive after the last one."""
        self._ending.set()
        if self._running is not None and self._running.poll() is None:
            self._running.kill()
        self.join(timeout=5)


def stored_names(home: Path) -> list[str]:
    """Return what of the run there is to store; an empty folder costs a call for nothing."""
    names = [name for name in ("output", "checkpoints") if any((home / name).rglob("*"))]
    return names + [name for name in ("log.txt",) if (home / name).exists()]


def stored_bytes(home: Path) -> int:
    """Return the size of what there is to store."""
    files = [home / "log.txt"]
    for name in ("output", "checkpoints"):
        files += (home / name).rglob("*")
    return sum(path.stat().st_size for path in files if path.is_file())


def read_identity(found: dict[str, str]) -> None:
    """Fill `found` with what IMDSv2 says of this machine (EC2 user guide, "Use IMDSv2")."""
    base = os.environ.get("AWS_EC2_METADATA_SERVICE_ENDPOINT", "http://169.254.169.254").rstrip("/")
    headers = {"X-aws-ec2-metadata-token-ttl-seconds": "300"}
    request = urllib.request.Request(f"{base}/latest/api/token", headers=headers, method="PUT")
    try:
        token = urllib.request.urlopen(request, timeout=2).read().decode()
        for key, path in (
            ("instance-id", "instance-id"),
            ("instance-type", "instance-type"),
            ("image", "ami-id"),
        ):
            request = urllib.request.Request(
                f"{base}/latest/meta-data/{path}", headers={"X-aws-ec2-metadata-token": token}
            )
            found[key] = urllib.request.urlopen(request, timeout=2).read().decode()
    except (OSError, urllib.error.URLError) as error:
        say(f"IMDS did not answer: {error}")


def supervise(
    trainer: Trainer, receipt: dict[str, Any], events: queue.SimpleQueue[str]
) -> tuple[str, str, str]:
    """Wait until the run is over; return its state, the reason, and what ended it."""
    deadline = parse_iso(receipt["deadline"])
    stop_at, grace = stop_times(time.time(), deadline, float(receipt["stop-grace-seconds"]))
    event = _next(events, stop_at)
    if event == "exit":
        return judge(trainer, receipt)
    if event == "signal":
        _next(events, time.time() + LAST_MOMENT_SECONDS, only="exit")
        if trainer.exit_status == 0:
            state, reason, by = judge(trainer, receipt)
            return state, f"{reason}; the machine was told to stop", by
    _stop(trainer, events, grace)
    if event == "disk-full":
        return "failed", f"the disk is full: {trainer.log_error}; raise volume-size-gb", "agent"
    if event == "log-lost":
        return "failed", f"log.txt cannot be written: {trainer.log_error}", "agent"
    if event == "signal" and time.time() < deadline - 60:
        return "interrupted", "the machine was told to stop while the trainer ran", "shutdown"
    return "timed-out", f"the trainer was still running near the deadline {iso(deadline)}", "agent"


def judge(trainer: Trainer, receipt: dict[str, Any]) -> tuple[str, str, str]:
    """Return state, reason and cause of a trainer that ended by itself."""
    script, status = receipt["script"], trainer.exit_status
    if status == 0:
        return "succeeded", f"{script} exited with status 0", "trainer"
    how = (
        f"was ended by signal {-status}"
        if status and status < 0
        else f"exited with status {status}"
    )
    trainer.drain()
    last = f"; its last line: {trainer.last_line}" if trainer.last_line else ""
    return "failed", f"{script} {how}{last}", "trainer"


def _next(events: queue.SimpleQueue[str], until: float, only: str = "") -> str:
    """Return the next event (or the next `only`), or "time" when it is `until`."""
    while True:
        try:
            event = events.get(timeout=max(0.0, min(until - time.time(), 60.0)))
        except queue.Empty:
            if time.time() >= until:
                return "time"
            continue  # in steps: the clock of a fresh machine may still be set
        if not only or event == only:
            return event


def _stop(trainer: Trainer, events: queue.SimpleQueue[str], grace: float) -> None:
    trainer.signal_group(signal.SIGTERM)
    if _next(events, time.time() + grace, only="exit") == "time":
        trainer.signal_group(signal.SIGKILL)
        _next(events, time.time() + 10, only="exit")


def store(aws: Aws, home: Path, streamer: LogStreamer) -> list[str]:
    """Store everything of the run, side by side; return what could not be stored."""

    def upload(name: str) -> str:
        give_up, pause = time.monotonic() + UPLOAD_PATIENCE_SECONDS, 1.0
        while True:
            done, said = aws.call(*aws.upload(home, name))
            if done:
                return ""
            say(f"{name} was not stored: {said}")
            if time.monotonic() + pause > give_up:
                return f"{name} was not stored: {said}"
            time.sleep(pause)
            pause = min(pause * 2, 20.0)

    with ThreadPoolExecutor(max_workers=4) as pool:
        streaming = pool.submit(streamer.finish)
        problems = [problem for problem in pool.map(upload, stored_names(home)) if problem]
        streaming.result()
    return problems


def power_off() -> None:
    """Power the machine off; its shutdown behaviour, terminate, does the rest."""
    for command in (["shutdown", "--poweroff", "now"], ["poweroff", "--force"]):
        try:
            if subprocess.run(command, check=False).returncode == 0:
                return
        except OSError as error:
            say(f"{command[0]}: {error}")


def run(home: Path) -> dict[str, Any]:
    """Run the trainer, store what it made, and return the outcome."""
    receipt: dict[str, Any] = json.loads((home / "run.json").read_text())
    events: queue.SimpleQueue[str] = queue.SimpleQueue()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: events.put("signal"))
    identity: dict[str, str] = {}
    threading.Thread(target=read_identity, args=(identity,), daemon=True).start()
    for name in ("output", "checkpoints"):
        (home / name).mkdir(exist_ok=True)

    aws = Aws(receipt["log-group"], receipt["log-stream"], os.environ["PARRIS_RUN_URI"])
    streamer = LogStreamer(aws, home)
    streamer.start()
    syncer = Syncer(aws, home, float(receipt["sync-interval-seconds"]))
    trainer = Trainer(home, receipt, events)
    try:
        trainer.start(streamer)
        syncer.start()
        state, reason, ended_by = supervise(trainer, receipt, events)
    except RunError as error:
        state, reason, ended_by = "failed", str(error), "agent"
    except OSError as error:
        full = "; raise volume-size-gb" if error.errno == errno.ENOSPC else ""
        state, reason, ended_by = "failed", f"{error}{full}", "agent"
    trainer.signal_group(signal.SIGKILL)  # what it left behind in its group
    trainer.drain()
    if syncer.ident is not None:
        syncer.finish()
    problems = store(aws, home, streamer)
    warnings = trainer.warnings + problems
    if streamer.skipped:
        why = f" ({streamer.failure})" if streamer.failure else ""
        warnings.append(f"{streamer.skipped:,} log lines were not streamed{why}; log.txt has all")
    lasted = (trainer.finished or 0) - (trainer.started or 0)
    return {
        "run-id": receipt["run-id"],
        "job": receipt["job"],
        "state": state,
        "reason": reason,
        "ended-by": ended_by,
        "exit-status": trainer.exit_status,
        **{key: identity.get(key) for key in ("instance-id", "instance-type", "image")},
        "booted": os.environ.get("PARRIS_BOOTED"),
        "started": iso(trainer.started) if trainer.started else None,
        "finished": iso(trainer.finished) if trainer.finished else None,
        "trainer-seconds": round(lasted, 3) if trainer.finished else None,
        "peak-memory-bytes": trainer.peak_memory,
        "bytes-stored": 0 if problems else stored_bytes(home),
        "warnings": warnings,
    }


def main(argv: list[str]) -> int:
    """Supervise the run in the folder argv[0]; the machine is powered off in any case."""
    try:
        try:
            outcome = run(Path(argv[0]))
        except (OSError, ValueError, KeyError, TypeError, RuntimeError) as error:
            outcome = {
                "run-id": os.environ.get("PARRIS_RUN_ID"),
                "job": os.environ.get("PARRIS_JOB"),
                "state": "failed",
                "reason": f"the supervisor failed: {type(error).__name__}: {error}",
                "ended-by": "agent",
                "exit-status": None,
                "bytes-stored": 0,
                "warnings": [],
            }
        text = json.dumps(outcome)
        print(f"parris outcome: {text}", flush=True)
        aws = Aws("", "", os.environ["PARRIS_RUN_URI"])
        # From memory: a full disk has no room even for this.
        target = f"{aws.run_uri}/outcome.json"
        for pause in (1, 3, 9, 0):
            stored, said = aws.call(
                "s3", "cp", "--only-show-errors", "-", target, stdin=text.encode()
            )
            if stored:
                break
            say(f"outcome.json was not stored: {said}")
            time.sleep(pause)
    finally:
        power_off()
    return 0


if __name__ == "__main__":
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # a core dump could fill the disk
    sys.exit(main(sys.argv[1:]))
