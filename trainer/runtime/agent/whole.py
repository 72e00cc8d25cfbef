"""Which checkpoints in S3 are whole: what was sent while it was written is not gone on from.

A machine that vanishes without notice may have sent half of a checkpoint last, over the whole older
one. The bucket keeps versions, so that one is still there.

Nothing that a trainer deletes is deleted in S3. What it has deleted when there was a newer whole
checkpoint is no part of its folder any more, and is not fetched. An older one is: who writes a
checkpoint anew may delete it first, and die.
"""

from __future__ import annotations

import contextlib
import json
import threading
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Optional

from .aws import Answer, Aws
from .words import say

NAME = "whole.json"
"""In a machine's folder: the ETag of each checkpoint's last whole version, by its path there."""
CUT_SHORT = "cut-short"
"""Beside them: the checkpoints that a trainer was writing, maybe, when it had to be killed."""
PRESENT = "present"
"""Beside them, in the last one: the other checkpoints that there were at the end."""
MOST = 20_000
"""So many checkpoints are noted, in some 2 MB, of which the bucket keeps each version for a while.
Of more nothing is: whoever goes on from them takes all as it was stored last."""
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
        self._new: dict[str, float] = {}
        self._etags: dict[str, str] = {}
        self._times: dict[str, float] = {}
        self._present: set[str] = set()
        self._too_many = self._denied = False
        self._noting = threading.Lock()

    def see(self, names: Iterable[str]) -> None:
        """Take which checkpoints there are."""
        self._present = set(names)

    def sent(self, names: Iterable[str], whole: Mapping[str, float]) -> None:
        """Take what an upload has sent; of what is not `whole`, the earlier version stays noted.

        Args:
            whole: when each was changed last, time.time().
        """
        sent = set(names)
        kept = {name: at for name, at in self._new.items() if name not in sent}
        self._new = {**kept, **whole}

    def end(self, names: Iterable[str], in_doubt: Iterable[str], home: Path) -> None:
        """Let the last upload store which checkpoints there are, and which may be half of one.

        Whoever notes meanwhile has been told to stop.
        """
        self.see(names)
        with self._noting, contextlib.suppress(OSError):  # a full disk has no room for it
            etags = self._without_deleted(self._etags, self._times)
            if not (etags or self._present) or self._has_too_many(etags):
                return
            last: dict[str, Any] = {**etags, PRESENT: sorted(self._present - etags.keys())}
            if cut_short := sorted(in_doubt):
                last[CUT_SHORT] = cut_short
            (home / NAME).write_text(json.dumps(last))

    def _without_deleted(
        self, etags: Mapping[str, str], times: Mapping[str, float]
    ) -> dict[str, str]:
        """Return what is noted without what the trainer deleted after a newer one was whole."""
        here = self._present
        newest = max((times[name] for name in etags if name in here), default=0.0)
        return {name: e for name, e in etags.items() if name in here or times[name] >= newest}

    def _has_too_many(self, etags: Mapping[str, str]) -> bool:
        """Return whether they are too many to be noted, once there were."""
        if not self._too_many and len(etags.keys() | self._new.keys() | self._present) > MOST:
            say(
                f"over {MOST:,} checkpoint files: which are whole, and which were deleted, is not "
                "noted; another machine goes on from all as they were stored last"
            )
            self._too_many = True
        return self._too_many

    def note(self, stop: threading.Event) -> None:
        """Store which are whole. What fails is done with the next upload: it is needed by none.

        Nobody may send checkpoints meanwhile who does not set `stop` before.
        """
        with self._noting:
            deleted = self._without_deleted(self._etags, self._times) != self._etags
            if (self._new or deleted) and not self._denied:
                self._note(stop)

    def _note(self, stop: threading.Event) -> None:
        etags, times = dict(self._etags), {**self._times, **self._new}
        if self._has_too_many(etags):
            self._new, etags = {}, {}
        if self._new:
            bucket, prefix = split_uri(self._uri)
            call = ("s3api", "list-objects-v2", "--bucket", bucket, "--output", "json")
            query = ("--prefix", f"{prefix}/checkpoints/", "--query", "Contents[].[Key,ETag]")
            answer = self._aws.call(*call, *query, timeout=600, given_up=stop)
            rows = rows_of(answer)
            if rows is None or stop.is_set():
                self._failed(answer, stop)
                return
            stored = {key[len(prefix) + 1 :]: etag for key, etag in rows}
            etags |= {name: stored[name] for name in self._new if name in stored}
        etags = self._without_deleted(etags, times)
        if etags != self._etags:
            content = json.dumps([] if self._too_many else etags).encode()
            put = ("s3", "cp", "--only-show-errors", "-", f"{self._uri}/{NAME}")
            answer = self._aws.call(*put, stdin=content, given_up=stop)
            if answer.status:
                self._failed(answer, stop)
                return
        self._etags, self._new = etags, {}
        self._times = {name: times[name] for name in etags}

    def _failed(self, answer: Answer, stop: threading.Event) -> None:
        self._denied = DENIED in answer.said  # each call costs a second of CPU
        if not stop.is_set():
            say(f"could not note which checkpoints are whole: {answer.said}")


def rows_of(answer: Answer) -> Optional[list[Any]]:
    """Return what a call has listed; None if it failed."""
    if answer.status:
        return None
    try:
        rows = json.loads(answer.output)
    except ValueError:
        return None
    return rows if isinstance(rows, list) else []  # null, where there is nothing
