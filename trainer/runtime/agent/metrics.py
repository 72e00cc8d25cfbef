"""The last values in a trainer's metrics.jsonl, which anybody may write anything to."""

from __future__ import annotations

import json
import os
import stat
from pathlib import Path
from typing import Optional

from parris.contract import Metric, newest_metrics, read_metric

from .history import History

NAME = "metrics.jsonl"
MAX_READ = 4 << 20
"""Bytes read at a time: of what was written since the last time, the newest."""
MAX_LINE = 64 << 10
"""Bytes; a longer line says nothing."""
TIME = "time"
"""The key that says when a line was written, and is no metric."""


class Metrics:
    """Follows the file: one JSON object a line, of which each key is a metric.

    Whatever is no such line is left out. A file that was replaced or cut short is read anew.

    Attributes:
        values: the last value of each key, the one that was written last at the end.
        history: how one of them went, as far as it was read; None if nobody asks.
    """

    def __init__(self, path: Path, follows: object = None) -> None:
        """Begin.

        Args:
            follows: the metric whose history is kept, if it is one's name.
        """
        self._path = path
        self.values: dict[str, Metric] = {}
        named = isinstance(follows, str) and follows
        self.history: Optional[History] = History(str(follows)) if named else None
        self._inode, self._offset = -1, 0
        self._rest = b""  # of a line whose end has yet to be written
        self._in_line = False  # what comes first is the end of a line that is left out

    def follow(self, *, last: bool = False) -> None:
        """Take what was written since the last time.

        Args:
            last: nothing more comes, so that a line without an end is whole.
        """
        try:
            # A trainer may put a pipe there: to open one would wait for whoever writes to it.
            file = os.open(self._path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        except OSError:
            return
        try:
            about = os.fstat(file)
            if stat.S_ISREG(about.st_mode):
                self._read(file, about)
        except OSError:
            pass  # the disk's fault; the next time may do
        finally:
            os.close(file)
        if last and self._rest:
            self._take(self._rest)
            self._rest = b""

    def _read(self, file: int, about: os.stat_result) -> None:
        if about.st_ino != self._inode or about.st_size < self._offset:
            self._inode, self._offset, self._rest, self._in_line = about.st_ino, 0, b"", False
            self.history = self.history and History(self.history.metric)
        if about.st_size - self._offset > MAX_READ:
            self._offset, self._rest, self._in_line = about.st_size - MAX_READ, b"", True
        while self._offset < about.st_size:
            chunk = os.pread(file, min(MAX_LINE, about.st_size - self._offset), self._offset)
            if not chunk:
                return
            self._offset += len(chunk)
            *lines, self._rest = (self._rest + chunk).split(b"\n")
            for line in lines:
                if not self._in_line:
                    self._take(line)
                self._in_line = False
            if len(self._rest) > MAX_LINE:
                self._rest, self._in_line = b"", True

    def _take(self, line: bytes) -> None:
        try:
            given = json.loads(line) if len(line) <= MAX_LINE else None
        except (ValueError, RecursionError):
            return
        if not isinstance(given, dict):
            return
        read = (read_metric(name, value) for name, value in given.items() if name != TIME)
        row = dict(metric for metric in read if metric)
        for name, value in row.items():
            self.values.pop(name, None)  # what is written last stands last
            self.values[name] = value
        self.values = newest_metrics(self.values)
        if self.history is not None:
            self.history.take(row)
