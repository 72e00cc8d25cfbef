"""What a run begins with that goes on from another one: the checkpoints of that."""

from __future__ import annotations

import threading
import time
from pathlib import Path
from typing import Any

from .aws import Aws
from .limits import RESTORE_ATTEMPTS, RESTORE_PAUSE_SECONDS
from .words import Events, disk_reason, say

RESTORED = "restored"
"""The event that the fetch is over."""


class Restore:
    """The fetch of a run's checkpoints, beside whatever may end the run meanwhile.

    The aws CLI fetches files side by side, each under another name until it is whole, and what a
    try before has fetched it does not fetch again.
    """

    def __init__(self, aws: Aws, home: Path, uri: str, receipt: dict[str, Any]) -> None:
        self._aws, self._folder = aws, home / "checkpoints"
        bucket = uri.split("/", 3)[2]
        self._run, self._source = receipt["resumes"], f"s3://{bucket}/{receipt['restore']}"
        self._given_up = threading.Event()
        self.problem = ""
        """Why it failed; "" if it did not."""
        self.told = ""
        """What was fetched."""
        self._thread: threading.Thread | None = None

    def start(self, events: Events) -> None:
        """Begin to fetch; RESTORED comes when that is over."""

        def fetch() -> None:
            try:
                self._fetch()
            except OSError as error:
                self.problem = disk_reason(str(error))
            events.put(RESTORED)

        self._thread = threading.Thread(target=fetch, daemon=True, name="restore")
        self._thread.start()

    def give_up(self) -> None:
        """Fetch no more, and leave nothing: half of them must not be stored as if it were all."""
        self._given_up.set()
        if self._thread is not None:
            self._thread.join()
        for path in sorted(self._folder.rglob("*"), reverse=True):
            path.rmdir() if path.is_dir() and not path.is_symlink() else path.unlink()

    def _fetch(self) -> None:
        began = time.monotonic()
        call = ("s3", "sync", "--only-show-errors", self._source, str(self._folder))
        for attempt in range(1, RESTORE_ATTEMPTS + 1):
            answer = self._aws.call(*call, timeout=float("inf"), given_up=self._given_up)
            if answer.status == 0 or self._given_up.is_set():
                break
            say(f"could not fetch all checkpoints: {answer.said}")
            self.problem = disk_reason(answer.said)
            if attempt == RESTORE_ATTEMPTS or self.problem != answer.said:
                return
            self._given_up.wait(RESTORE_PAUSE_SECONDS)
        files = [path for path in self._folder.rglob("*") if path.is_file()]
        size, took = sum(path.stat().st_size for path in files), time.monotonic() - began
        self.problem = "" if files else "there are none any more"
        self.told = (
            f"this run goes on from run {self._run}: {len(files)} checkpoint files, {size:,} "
            f"bytes, fetched in {took:.1f} s"
        )
