"""The run's folders and its log, kept in S3."""

from __future__ import annotations

import contextlib
import math
import os
import tempfile
import threading
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Optional

from .alive import Alive
from .aws import Answer, Aws
from .files import FileState, walk
from .limits import HUNG_SECONDS, RETRY_SECONDS, TICK_SECONDS
from .samples import MACHINE
from .watch import LAST
from .whole import NAME as NOTED
from .whole import Whole
from .words import say

FOLDERS = ("output", "checkpoints")
LOG = "log.txt"
PACKAGES = "packages.txt"
OURS = (LAST, MACHINE, PACKAGES, NOTED)
"""What the agent itself says of the run."""


class Store:
    """The run's folders and its log, kept in S3.

    A call of the aws CLI sends what S3 may not have, and nothing else. What it surely has is judged
    by what we saw of a file just before it was sent, by the file system's word alone: the
    clocks of S3 and of the files' owners do not count, and a file's change time nobody can set.
    """

    def __init__(self, aws: Aws, home: Path, uri: str, own: tuple[str, ...] = FOLDERS) -> None:
        self._aws, self._home, self._uri, self._names = aws, home, uri, (*own, LOG, *OURS)
        self._lock = threading.Lock()
        self._stored: dict[Path, FileState] = {}
        self._seen: dict[Path, tuple[FileState, float]] = {}
        self._bytes: dict[Path, int] = {}
        self._present: set[Path] = set()
        self._skipped = ""
        self._lost: float | None = None  # since when nothing got through, time.monotonic()
        self._end_began = math.inf
        self._ending = threading.Event()
        self._wake, self._asked, self._synced = (threading.Event() for _ in range(3))
        self._given_up = threading.Event()  # any upload before the last one
        self._alive, self._whole = Alive(aws, uri), Whole(aws, uri)
        self._attempt: int | None = None  # none before the trainer runs
        self._owed: set[Path] = set()  # of what the run goes on from, what its folder lacks
        self._at_stop: Optional[dict[Path, FileState]] = None  # from then on all is in doubt

    def start(self, interval: float, attempt: int, restored: bool) -> None:
        """Store what changed every `interval` seconds, until `finish`.

        Args:
            attempt: which machine of the run this is.
            restored: the run goes on from what lies here. It is stored at once, since before that
                no other machine could go on from this one.
        """
        with contextlib.suppress(OSError):
            (self._home / NOTED).unlink()  # of the machine of its image
        self._owed = set(self._files()) if restored else set()
        self._attempt = attempt

        def sync() -> None:
            self._say_alive()
            # What is older than a tick is surely what was sent, and is not sent again.
            pause = TICK_SECONDS if restored else interval
            while True:
                self._wake.wait(pause)
                self._wake.clear()  # and only then see what for
                if self._ending.is_set() or self._given_up.is_set():
                    return
                asked = self._asked.is_set()
                answer = self._upload(3600, self._given_up)
                if answer.status and not answer.skipped_files:
                    say(f"could not store everything this time: {answer.said}")
                if asked:
                    self._synced.set()
                self._whole.note(self._wake)  # which is set before the last upload begins
                pause = interval

        threading.Thread(target=sync, daemon=True, name="store").start()

    def sync_now(self, wait: float, give_up: float) -> None:
        """Store what changed, while the trainer runs; return when that is done, or after `wait`.

        Before the trainer runs there is nothing new to store.

        Args:
            wait: seconds; the upload goes on behind them.
            give_up: seconds from now at which it is killed if it still goes on, since the last
                upload, of what is newer, is to have its time.
        """
        if self._attempt is None:
            return
        timer = threading.Timer(give_up, self._given_up.set)
        timer.daemon = True
        timer.start()
        self._asked.set()
        self._wake.set()
        self._synced.wait(wait)

    def doubt(self) -> None:
        """Take no checkpoint as whole that changes from now on: the trainer is about to be asked
        to end, and if it has to be killed, it may have been writing."""
        self._at_stop = self._files()

    def trust(self) -> None:
        """Doubt no more: nothing of the trainer was left to kill."""
        self._at_stop = None

    def _in_doubt(self, path: Path, state: FileState) -> bool:
        at_stop = self._at_stop
        return at_stop is not None and at_stop.get(path) != state

    def _say_alive(self) -> None:
        if self._attempt is not None and not self._owed:
            self._alive.begin(self._attempt)

    def finish(self, cut_off: float) -> list[str]:
        """Store what has changed, and return what could not be stored.

        Args:
            cut_off: time.time() at which even an upload that works is killed.
        """
        problems = self._store_last(cut_off)
        if self._lost is None:
            self._alive.end()
        return problems

    def _store_last(self, cut_off: float) -> list[str]:
        self._end_began = time.monotonic()
        self._ending.set()
        self._wake.set()
        if self._attempt is not None:  # else nothing is known of what was stored before
            files = self._files()
            in_doubt = self._checkpoints(p for p, s in files.items() if self._in_doubt(p, s))
            self._whole.end(self._checkpoints(files).values(), in_doubt.values(), self._home)
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
        """Return the size of what was stored of the run's own."""
        ours = {self._home / name for name in OURS}
        return sum(size for path, size in self._bytes.items() if path not in ours)

    def _give_up(self) -> float:
        """Return the time.monotonic() at which an S3 that is lost at the end is given up."""
        return math.inf if self._lost is None else max(self._lost, self._end_began) + RETRY_SECONDS

    def _upload(self, timeout: float, given_up: Optional[threading.Event] = None) -> Answer:
        # One at a time: an older copy must not arrive after the last one.
        until = time.monotonic() + timeout
        if not self._lock.acquire(timeout=max(timeout, 1)):
            return Answer(1, "an upload did not end")
        with contextlib.ExitStack() as held:
            held.callback(self._lock.release)
            until = min(until, self._give_up())  # the one that was waited for may have failed
            before, began, moment = self._files(), time.time(), time.monotonic()
            changed = [path for path, state in before.items() if self._stored.get(path) != state]
            self._owed &= before.keys()  # what the trainer has deleted is not owed
            if self._present != before.keys():
                self._present = set(before)
                self._whole.see(self._checkpoints(before).values())
            if not changed:
                self._say_alive()
                return Answer(0, "")  # a call for nothing would cost most of a second
            for path in changed:
                if self._seen.get(path, (None,))[0] != before[path]:
                    self._seen[path] = before[path], moment
            answer = self._send(changed, until, given_up)
            if answer.status == 0 or answer.skipped_files:
                self._lost = None
            elif self._lost is None:  # it may have worked for long, and failed just now
                self._lost = max(moment, time.monotonic() - HUNG_SECONDS)
            if answer.skipped_files:
                self._skipped = answer.said
            failed = self._failed(answer, changed)
            if len(failed) < len(changed):
                self._alive.heard()
            self._see_whole(before, [path for path in changed if path not in failed])
            self._owed &= failed
            self._say_alive()
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

    def _see_whole(self, before: dict[Path, FileState], sent: list[Path]) -> None:
        """See which checkpoints were sent whole: those that nobody wrote from before till now."""
        if names := self._checkpoints(sent):
            after = self._files()
            whole = {
                name: before[path].changed
                for path, name in names.items()
                if after.get(path) == before[path] and not self._in_doubt(path, before[path])
            }
            self._whole.sent(names.values(), whole)

    def _checkpoints(self, paths: Iterable[Path]) -> dict[Path, str]:
        """Return those of `paths` that are checkpoints, with their names in a machine's folder."""
        home = f"{self._home}/"  # as text: of 100,000 files, Path.relative_to takes seconds
        above = f"{home}checkpoints/"
        return {path: text[len(home) :] for path in paths if (text := str(path)).startswith(above)}

    def _send(self, paths: list[Path], until: float, given_up: Optional[threading.Event]) -> Answer:
        """Send files in one call however many they are: as links, which the aws CLI follows."""
        memory = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None  # noqa: S108
        try:
            with tempfile.TemporaryDirectory(dir=memory) as folder:  # the disk may be full
                for path in paths:
                    link = Path(folder) / path.relative_to(self._home)
                    link.parent.mkdir(parents=True, exist_ok=True)
                    link.symlink_to(path.absolute())
                words = ("s3", "cp", "--only-show-errors", "--recursive", folder, self._uri)
                left = until - time.monotonic()
                answer = self._aws.call(*words, timeout=left, given_up=given_up)
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
        return walk(self._home / name for name in self._names)
