"""The log, streamed to CloudWatch Logs while the trainer runs."""

from __future__ import annotations

import json
import tempfile
import threading
import time
from collections.abc import Iterator
from typing import Any

from .aws import Answer, Aws
from .limits import FAILURE_PAUSE, FIRST_PAUSE, LONGEST_PAUSE
from .ranks import log_stream

# CloudWatch Logs API reference, PutLogEvents: 1 MiB a batch, 26 bytes counted for each event on
# top, 10,000 events a batch, 256 KB an event.
EVENT_OVERHEAD_BYTES = 26
MAX_MESSAGE_BYTES = 250_000
BACKLOG_BYTES = 1_000_000
BACKLOG_EVENTS = 9_999
"""Log waiting to be streamed is at most one batch, with room for one line of ours."""


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
        self._stream = log_stream()
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
        pause, took = FIRST_PAUSE, 0.0
        while not self._ending.is_set():
            if not self._wake.wait(LONGEST_PAUSE):
                pause, took = FIRST_PAUSE, 0.0  # after a silence the next line is sent at once
                continue
            # A line that came while the last batch was sent has waited that long already.
            self._ending.wait(max(0.0, pause - took))
            self._wake.clear()
            began = time.monotonic()
            sent = self._send()
            took = time.monotonic() - began if sent else 0.0
            pause = min(2 * pause, LONGEST_PAUSE) if sent else FAILURE_PAUSE
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
