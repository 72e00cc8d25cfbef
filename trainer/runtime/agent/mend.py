"""What an earlier machine's word on its checkpoints makes of those that are fetched."""

from __future__ import annotations

import glob
import json
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple, Optional

from .aws import Answer, Aws
from .limits import RESTORE_ATTEMPTS, RESTORE_PAUSE_SECONDS, RESTORE_THREADS
from .whole import CUT_SHORT, DENIED, NAME, PRESENT, rows_of, split_uri

MOST_NAMED, MOST_CHARACTERS = 1000, 200_000
"""So many files, in names of so many characters, a call of the aws CLI names at most; where there
are more, all are fetched, and those that are not wanted are deleted here."""
MAX_BYTES = 32 * 1024 * 1024
"""Of a `whole.json`, which another run's trainer may have written: a larger one counts as none."""
_ABOVE = "checkpoints/"


class Mended(NamedTuple):
    """What became of checkpoints of which the last version is not known to be whole."""

    older: int = 0
    """So many are of an older version."""
    left_out: int = 0
    """So many are in S3 and were deleted, or no version of them is known to be whole."""
    problem: str = ""
    """Why some are as they were stored last, whole or not."""

    def __str__(self) -> str:
        said = []
        if self.older:
            said.append(f"{self.older} of an older version, since the last was not stored whole")
        if self.left_out:
            said.append(f"{self.left_out} left out: deleted by the trainer, or never stored whole")
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
    names = _fetched(folder)
    if is_over:
        names = [name for name in names if name in noted.cut_short]
    bucket, prefix = split_uri(uri)
    call = ("s3api", "list-object-versions", "--bucket", bucket, "--output", "json")
    query = ("--query", "Versions[].[Key,ETag,VersionId,IsLatest]")
    words = (*call, "--prefix", f"{prefix}/checkpoints/", *query)
    answer = _patiently(aws, words, given_up)
    rows = rows_of(answer)
    if rows is None:
        return Mended(problem=answer.said)
    versions: dict[tuple[str, str], str] = {}
    last: dict[str, str] = {}
    for key, etag, version, is_last in rows:
        name = key[len(prefix) + 1 :]
        versions.setdefault((name, etag), version)  # the newest comes first
        if is_last:
            last[name] = etag
    unfetched = [] if is_over else last.keys() - set(names) - known.keys()
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
    return Mended(fetched, len(torn) - len(found) + len(unfetched), problem)


def wanted(folder: Path) -> Optional[set[str]]:
    """Return which checkpoints a machine's folder still has, by its own word; None if all.

    Args:
        folder: has `whole.json` and, of a machine that came to its end, `outcome.json`.
    """
    noted = _read(folder / NAME)
    if noted is None:
        return None
    if not (folder / "outcome.json").exists():
        return set(noted.whole)  # what came after those may be half of one
    # What another version has noted may be behind what it has stored.
    return None if noted.present is None else noted.whole.keys() | noted.present


def patterns(names: set[str]) -> Optional[list[str]]:
    """Return the aws CLI's options that leave only these of `checkpoints/`; None if too many."""
    inside = sorted(name[len(_ABOVE) :] for name in names if name.startswith(_ABOVE))
    if len(inside) > MOST_NAMED or sum(map(len, inside)) > MOST_CHARACTERS:
        return None
    if any(name.startswith("-") for name in inside):  # which would be an option
        return None
    named = [word for name in inside for word in ("--include", glob.escape(name))]
    return ["--exclude", "*", *named]


def leave(names: set[str], folder: Path) -> None:
    """Delete what else was fetched of `checkpoints/`."""
    for name in _fetched(folder):
        if name not in names:
            (folder / name).unlink()


def _fetched(folder: Path) -> list[str]:
    found = (folder / _ABOVE).rglob("*")
    return [str(path.relative_to(folder)) for path in found if path.is_file()]


class Noted(NamedTuple):
    """What a machine has noted of its checkpoints."""

    whole: dict[str, str]
    cut_short: frozenset[str]
    present: Optional[frozenset[str]]
    """What else there was at the end; None if that is not noted."""


def _read(path: Path) -> Optional[Noted]:
    """Return what a machine has noted; None if it has not, or nothing sound."""
    try:
        noted = json.loads(path.read_bytes()) if path.stat().st_size <= MAX_BYTES else None
    except (OSError, ValueError, RecursionError):
        return None
    if not isinstance(noted, dict):
        return None
    cut_short, present = (
        frozenset(name for name in names if isinstance(name, str))
        if isinstance(names := noted.get(key), list)
        else None
        for key in (CUT_SHORT, PRESENT)
    )
    whole = {name: etag for name, etag in noted.items() if isinstance(etag, str)}
    return Noted(whole, cut_short or frozenset(), present)


def _patiently(aws: Aws, words: tuple[str, ...], given_up: threading.Event) -> Answer:
    for attempt in range(1, RESTORE_ATTEMPTS + 1):
        answer = aws.call(*words, timeout=float("inf"), given_up=given_up)
        is_over = answer.status == 0 or DENIED in answer.said or given_up.is_set()
        if is_over or attempt == RESTORE_ATTEMPTS:
            break
        given_up.wait(RESTORE_PAUSE_SECONDS)
    return answer
