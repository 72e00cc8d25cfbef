"""Which checkpoints in S3 are whole: what was sent while it was written is not gone on from.

A machine that vanishes without notice may have sent half of a checkpoint last, over the whole older
one. The bucket keeps versions, so that one is still there.
"""

from __future__ import annotations

import contextlib
import json
import threading
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple, Optional

from .aws import Answer, Aws
from .limits import RESTORE_ATTEMPTS, RESTORE_PAUSE_SECONDS, RESTORE_THREADS
from .words import say

NAME = "whole.json"
"""In a machine's folder: the ETag of each checkpoint's last whole version, by its path there."""
CUT_SHORT = "cut-short"
"""Beside them: the checkpoints that a trainer was writing, maybe, when it had to be killed."""
DENIED = "(AccessDenied)"
"""What is said, by the aws CLI, of a call that will never do."""


def split_uri(uri: str) -> tuple[str, str]:
    """Return the bucket and the key of ``s3://bucket/key``."""
    bucket, _, key = uri.removeprefix("s3://").partition("/")
    return bucket, key


class Whole:
    """What a machine knows of its own checkpoints in S3, noted there beside them."""

    def __init__(self, aws: Aws, uri: str) -> None:
        self._aws, self._uri = aws, uri
        self._new: set[str] = set()
        self._etags: dict[str, str] = {}
        self._denied = False
        self._noting = threading.Lock()

    def sent(self, names: Iterable[str], whole: set[str]) -> None:
        """Take what an upload has sent; of what is not `whole`, the earlier version stays noted."""
        self._new = (self._new - set(names)) | whole

    def cut_short(self, names: Iterable[str], home: Path) -> None:
        """Let the last upload store which checkpoints are not to be taken as whole.

        Whoever notes meanwhile has been told to stop.
        """
        with self._noting, contextlib.suppress(OSError):  # a full disk has no room for it
            (home / NAME).write_text(json.dumps({**self._etags, CUT_SHORT: sorted(names)}))

    def note(self, stop: threading.Event) -> None:
        """Store which are whole. What fails is done with the next upload: it is needed by none.

        Nobody may send checkpoints meanwhile who does not set `stop` before.
        """
        with self._noting:
            if self._new and not self._denied:
                self._note(stop)

    def _note(self, stop: threading.Event) -> None:
        bucket, prefix = split_uri(self._uri)
        call = ("s3api", "list-objects-v2", "--bucket", bucket, "--output", "json")
        query = ("--prefix", f"{prefix}/checkpoints/", "--query", "Contents[].[Key,ETag]")
        answer = self._aws.call(*call, *query, timeout=600, given_up=stop)
        rows = _rows(answer)
        if rows is None or stop.is_set():
            self._failed(answer, stop)
            return
        stored = {key[len(prefix) + 1 :]: etag for key, etag in rows}
        etags = {**self._etags, **{name: stored[name] for name in self._new if name in stored}}
        if etags != self._etags:
            content = json.dumps(etags).encode()
            put = ("s3", "cp", "--only-show-errors", "-", f"{self._uri}/{NAME}")
            answer = self._aws.call(*put, stdin=content, given_up=stop)
            if answer.status:
                self._failed(answer, stop)
                return
        self._etags, self._new = etags, set()

    def _failed(self, answer: Answer, stop: threading.Event) -> None:
        self._denied = DENIED in answer.said  # each call costs a second of CPU
        if not stop.is_set():
            say(f"could not note which checkpoints are whole: {answer.said}")


class Mended(NamedTuple):
    """What became of checkpoints of which the last version is not known to be whole."""

    older: int = 0
    """So many are of an older version."""
    left_out: int = 0
    """Of so many no version is known to be whole."""
    problem: str = ""
    """Why some are as they were stored last, whole or not."""

    def __str__(self) -> str:
        said = []
        if self.older:
            said.append(f"{self.older} of an older version, since the last was not stored whole")
        if self.left_out:
            said.append(f"{self.left_out} left out, of which none was stored whole")
        if self.problem:
            said.append(f"whether all were stored whole is unknown: {self.problem}")
        return "; ".join(said)


def mend(aws: Aws, uri: str, folder: Path, given_up: threading.Event) -> Mended:
    """Put the last whole version in the place of each checkpoint that may be half of one.

    Args:
        uri: the folder of a machine, of which all is in `folder`. It stores no more.
    """
    noted = _read(folder / NAME)
    is_over = (folder / "outcome.json").exists()  # and at its end it has stored everything
    if noted is None or (is_over and not noted.cut_short):
        return Mended()
    known = noted.whole
    names = [
        str(path.relative_to(folder))
        for path in (folder / "checkpoints").rglob("*")
        if path.is_file()
    ]
    if is_over:
        names = [name for name in names if name in noted.cut_short]
    bucket, prefix = split_uri(uri)
    call = ("s3api", "list-object-versions", "--bucket", bucket, "--output", "json")
    query = ("--query", "Versions[].[Key,ETag,VersionId,IsLatest]")
    words = (*call, "--prefix", f"{prefix}/checkpoints/", *query)
    answer = _patiently(aws, words, given_up)
    rows = _rows(answer)
    if rows is None:
        return Mended(problem=answer.said)
    versions: dict[tuple[str, str], str] = {}
    last: dict[str, str] = {}
    for key, etag, version, is_last in rows:
        name = key[len(prefix) + 1 :]
        versions.setdefault((name, etag), version)  # the newest comes first
        if is_last:
            last[name] = etag
    torn = [name for name in names if name not in known or known[name] != last.get(name)]
    older = {name: versions.get((name, known.get(name, ""))) for name in torn}
    for name in torn:
        if older[name] is None:
            (folder / name).unlink()
    found = {name: version for name, version in older.items() if version is not None}

    def fetch(name: str) -> Answer:
        part = folder / f"{NAME}.{names.index(name)}"
        where = ("--bucket", bucket, "--key", f"{prefix}/{name}", "--version-id", found[name])
        answer = _patiently(aws, ("s3api", "get-object", *where, str(part)), given_up)
        if answer.status == 0:
            part.replace(folder / name)
        return answer

    with ThreadPoolExecutor(RESTORE_THREADS) as threads:
        answers = list(threads.map(fetch, found))
    problem = next((answer.said for answer in answers if answer.status), "")
    fetched = sum(answer.status == 0 for answer in answers)
    return Mended(fetched, len(torn) - len(found), problem)


class Noted(NamedTuple):
    """What a machine has noted of its checkpoints."""

    whole: dict[str, str]
    cut_short: frozenset[str]


def _read(path: Path) -> Optional[Noted]:
    """Return what a machine has noted; None if it has not, or nothing sound."""
    try:
        noted = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return None
    if not isinstance(noted, dict):
        return None
    cut = noted.get(CUT_SHORT)
    names = [name for name in cut if isinstance(name, str)] if isinstance(cut, list) else []
    whole = {name: etag for name, etag in noted.items() if isinstance(etag, str)}
    return Noted(whole, frozenset(names))


def _rows(answer: Answer) -> Optional[list[Any]]:
    """Return what a call has listed; None if it failed."""
    if answer.status:
        return None
    try:
        rows = json.loads(answer.output)
    except ValueError:
        return None
    return rows if isinstance(rows, list) else []  # null, where there is nothing


def _patiently(aws: Aws, words: tuple[str, ...], given_up: threading.Event) -> Answer:
    for attempt in range(1, RESTORE_ATTEMPTS + 1):
        answer = aws.call(*words, timeout=float("inf"), given_up=given_up)
        is_over = answer.status == 0 or DENIED in answer.said or given_up.is_set()
        if is_over or attempt == RESTORE_ATTEMPTS:
            break
        given_up.wait(RESTORE_PAUSE_SECONDS)
    return answer
