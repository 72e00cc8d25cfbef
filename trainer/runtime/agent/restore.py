"""What a run begins with that goes on from another, or from an earlier machine of its own."""

from __future__ import annotations

import json
import shutil
import string
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple, Optional

from . import alive
from .aws import Aws
from .limits import RESTORE_ATTEMPTS, RESTORE_PAUSE_SECONDS
from .mend import leave, mend, patterns, wanted
from .ranks import node_rank
from .store import FOLDERS, LOG
from .words import Events, disk_reason, say

RESTORED = "restored"
"""The event that a fetch is over, with whatever came of it."""
FETCHED = "fetched"
"""The folder beside the run's own ones in which all gathers until it is whole."""


class Source(NamedTuple):
    """Where what a run begins with lies in the results bucket."""

    folder: str
    """The prefix that is fetched, with its slash."""
    left_out: tuple[str, ...] = ()
    """What is not fetched of it, in the aws CLI's patterns."""
    below: str = ""
    """Where in a machine's folder it belongs."""
    run: str = ""
    """The other run whose checkpoints they are; "" for an earlier machine of this run."""

    @property
    def what(self) -> str:
        return (
            f"the checkpoints of run {self.run}" if self.run else "what an earlier attempt stored"
        )


def source_of(receipt: dict[str, Any]) -> Optional[Source]:
    """Return where what the run begins with lies; None if it begins with nothing."""
    earlier, restore = receipt.get("earlier-attempt"), receipt.get("restore")
    if earlier:
        return Source(earlier, ("output/*", LOG) if node_rank() else ())
    if not restore:
        return None
    folder, run = restore.removesuffix("checkpoints/"), receipt["resumes"]
    if "/machines/" in folder:
        return Source(folder, ("output/*", LOG), "", run)
    return Source(restore, (), "checkpoints", run)  # versions without machines' folders


class Restore:
    """The fetch of what a run begins with, beside whatever may end the run meanwhile.

    The aws CLI fetches files side by side, each under another name until it is whole, and what a
    try before has fetched it does not fetch again. None of it is in the run's folders before all
    is there: whatever ends the agent, half of it is never stored as if it were all.
    """

    def __init__(
        self, aws: Aws, home: Path, uri: str, receipt: dict[str, Any], source: Source
    ) -> None:
        self._aws, self._home, self._fetched = aws, home, home / FETCHED
        self._bucket, self._source = uri.split("/", 3)[2], source
        self._attempt = receipt.get("attempt", 1)
        self._given_up = threading.Event()
        self.what = source.what
        self.problem = ""
        """Why it failed; "" if it did not."""
        self.told = ""
        """What was fetched."""
        self.resumed = False
        """Whether there are checkpoints to go on from."""
        self._thread: threading.Thread | None = None

    @property
    def doing(self) -> str:
        return f"the fetch of {self.what}"

    def start(self, events: Events) -> None:
        """Begin to fetch; RESTORED comes when that is over."""

        def fetch() -> None:
            try:
                shutil.rmtree(self._fetched, ignore_errors=True)  # of the machine of its image
                self._fetch()
            except OSError as error:
                self.problem = disk_reason(str(error))
            events.put(RESTORED)

        self._thread = threading.Thread(target=fetch, daemon=True, name="restore")
        self._thread.start()

    def give_up(self) -> None:
        """Fetch no more, and leave nothing."""
        self._given_up.set()
        if self._thread is not None:
            self._thread.join()
        shutil.rmtree(self._fetched, ignore_errors=True)

    def put_in_place(self) -> None:
        """Let the run's own folders have what was fetched.

        Raises:
            OSError: if they are not empty.
        """
        for name in (*FOLDERS, LOG):
            if (self._fetched / name).exists():
                (self._fetched / name).replace(self._home / name)
        shutil.rmtree(self._fetched, ignore_errors=True)

    def _fetch(self) -> None:
        began = time.monotonic()
        if not self._sync():
            return
        uri = f"s3://{self._bucket}/{self._source.folder.rstrip('/')}"
        mended = mend(self._aws, uri, self._fetched, self._given_up)
        counts = {name: len(list(self._files(name))) for name in FOLDERS}
        size = sum(path.stat().st_size for name in FOLDERS for path in self._files(name))
        self.resumed = counts["checkpoints"] > 0
        fetched = f"{size:,} bytes, fetched in {time.monotonic() - began:.1f} s"
        if self._source.run:
            none = "none of them is whole" if mended.left_out else "there are none any more"
            self.problem = "" if self.resumed else none
            self.told = (
                f"this run goes on from run {self._source.run}: {counts['checkpoints']} checkpoint "
                f"files, {fetched}"
            )
        else:
            self.told = f"attempt {self._attempt} begins: {self._how(counts)}, {fetched}"
        self.told += f"; {mended}" if any(mended) else ""

    def _how(self, counts: dict[str, int]) -> str:
        earlier, output = self._earlier(), f"{counts['output']} output files"
        if self.resumed:
            return f"it goes on from {earlier}'s {counts['checkpoints']} checkpoint and {output}"
        return f"the training begins anew, since {earlier} left no checkpoint; {output}"

    def _earlier(self) -> str:
        """Return which attempt it was that the run goes on from, by its own word."""
        try:
            return (
                f"attempt {int(json.loads((self._fetched / alive.NAME).read_bytes())['attempt'])}"
            )
        except (OSError, ValueError, KeyError, TypeError):
            return "an earlier attempt"

    def _files(self, name: str) -> Iterator[Path]:
        return (path for path in (self._fetched / name).rglob("*") if path.is_file())

    def _sync(self) -> bool:
        """Fetch all there is, and return whether that is done; else `problem` says why."""
        folder = self._source.folder
        if self._source.below:
            return self._try(folder, self._source.below, [])
        left_out = ("checkpoints/*", *self._source.left_out)
        words = [word for pattern in left_out for word in ("--exclude", pattern)]
        if not self._try(folder, "", words):
            return False
        names = wanted(self._fetched)
        if names is not None and not names:
            return True
        only = None if names is None else patterns(names)
        done = self._try(f"{folder}checkpoints/", "checkpoints", only or [])
        if done and names is not None and only is None:
            leave(names, self._fetched)
        return done

    def _try(self, source: str, below: str, words: list[str]) -> bool:
        """Fetch a folder of the results bucket, again if that fails; return whether it is done.

        Args:
            below: where to below `fetched/`.
            words: options of `aws s3 sync`.
        """
        target = str(self._fetched / below)
        call = ("s3", "sync", "--only-show-errors", *words, f"s3://{self._bucket}/{source}", target)
        for attempt in range(1, RESTORE_ATTEMPTS + 1):
            answer = self._aws.call(*call, timeout=float("inf"), given_up=self._given_up)
            if answer.status == 0 or self._given_up.is_set():
                break
            if answer.status < 0:
                self._sweep_up()
            say(f"could not fetch all of {self.what}: {answer.said}")
            self.problem = disk_reason(answer.said)
            if attempt == RESTORE_ATTEMPTS or self.problem != answer.said:
                return False
            self._given_up.wait(RESTORE_PAUSE_SECONDS)
        self.problem = ""
        return not self._given_up.is_set()

    def _sweep_up(self) -> None:
        """Delete what an aws CLI that was killed has left of files that it was fetching.

        It calls them `<name>.<8 hexadecimal digits>`, and renames each when it is whole. Whole ones
        of such a name are fetched again.
        """
        for path in self._fetched.rglob("*.????????"):
            if path.is_file() and set(path.suffix[1:]) <= set(string.hexdigits):
                path.unlink()
