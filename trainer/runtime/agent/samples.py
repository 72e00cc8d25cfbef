"""machine.jsonl: how busy the machine was, over the whole run, in a file that stays small."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path
from typing import Any

MACHINE = "machine.jsonl"
MAX_BYTES = 1 << 20
"""Of the file. Above it every other sample goes, and from then on every other one is kept: what is
left of a long run has as many samples as that of a short one, further apart."""
GROWTH = 32
"""The file is written anew when a part of it in so many is new. Each writing is an upload of the
whole, and an older version in S3: all of them together stay below 33 times the file."""


class Samples:
    """The samples of one run, in memory and in the file."""

    def __init__(self, home: Path) -> None:
        self._path = home / MACHINE
        self._lines: list[str] = []
        self._bytes = 0
        self._stride, self._skipped = 1, 0
        self._new = 0

    def add(self, sample: dict[str, Any]) -> None:
        """Keep a sample, and write the file if enough is new."""
        self._skipped += 1
        if self._skipped < self._stride:
            return
        self._skipped = 0
        self._lines.append(json.dumps(sample) + "\n")
        self._bytes += len(self._lines[-1])
        if self._bytes > MAX_BYTES:
            self._lines = self._lines[1::2]
            self._bytes = sum(map(len, self._lines))
            self._stride *= 2
        self._new += 1
        if self._new * GROWTH >= len(self._lines):
            self.write()

    def write(self) -> None:
        """Write the file, if there is anything new."""
        if not self._new:
            return
        new = self._path.with_suffix(".new")
        with contextlib.suppress(OSError):  # a full disk; the run's end says so
            new.write_text("".join(self._lines))
            new.replace(self._path)
            self._new = 0
