"""Fetch a run's objects: only what is new, several at once, and no half file under its name."""

from __future__ import annotations

import fcntl
import hashlib
import os
import stat
import threading
import zlib
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import Any, BinaryIO

from botocore.exceptions import BotoCoreError, ClientError

from scripts.cli.inside import NotInside, path_inside
from scripts.cli.live import Bytes
from scripts.deployment.objects import Stored, choose, list_objects
from scripts.deployment.outputs import Deployment
from scripts.deployment.runs import Run

_SIDE_BY_SIDE = 8
_CHUNK_BYTES = 65_536
_ATTEMPTS = 5
"""Of one object, each of which goes on where the one before broke off."""
_PART = "parris"
_GONE, _CHANGED = ("NoSuchKey", "404"), ("PreconditionFailed", "412")
"""What S3 says of an object that is there no more, or is another version by now."""


@dataclass(kw_only=True)
class Fetched:
    """What came of a fetch."""

    count: int = 0
    """Objects that are here now."""
    new: int = 0
    """Those of them that were not here before."""
    refused: list[str] = field(default_factory=list)
    """Those that are not, each with the reason."""
    stored: datetime | None = None
    """When the machine stored the newest of them; None if nothing of it came."""


class _NotFetchedError(Exception):
    """One object that does not come; the text says why."""


class _Stopped(Exception):
    """Somebody has typed Ctrl-C."""


def fetch(deployment: Deployment, run: Run, folder: Path, only: str = "") -> Fetched:
    """Download what of the run's objects is new into `folder`, saying each.

    What was broken off is gone on with: a part of an object lies beside its place under a name of
    its own until it is whole.

    Raises:
        Refused: if `only` is given and matches no object.
    """
    fetched, wanted = Fetched(), dict[Path, Stored]()
    for item in choose(list(list_objects(deployment, run)), only, run):
        try:
            path = path_inside(folder, item.name)
        except NotInside as error:
            fetched.refused.append(f"{item.key!r}: {error}")
            continue
        if is_here(path, item):
            _count(fetched, item)
        else:
            wanted[path] = item
    s3, stop = deployment.client("s3"), threading.Event()
    with (
        Bytes(sum(item.size for item in wanted.values())) as shown,
        ThreadPoolExecutor(max_workers=_SIDE_BY_SIDE) as pool,
    ):

        def get(path: Path, item: Stored) -> Stored:
            path.parent.mkdir(parents=True, exist_ok=True)
            return _download(s3, deployment.results_bucket, item, path, shown.advance, stop)

        coming = {pool.submit(get, path, item): item for path, item in wanted.items()}
        try:
            for one in as_completed(coming):
                item = coming[one]
                try:
                    came = one.result()
                except _NotFetchedError as error:
                    fetched.refused.append(f"{item.key!r}: {error}")
                except OSError as error:  # a file where a folder is to be, a full disk
                    fetched.refused.append(f"{item.key!r}: {error.strerror or error}")
                else:
                    shown.say(f"  {came.name} ({came.size:,} bytes)")
                    fetched.new += 1
                    _count(fetched, came)
        finally:
            stop.set()
            pool.shutdown(wait=False, cancel_futures=True)
    return fetched


def is_here(path: Path, item: Stored) -> bool:
    """Return whether a file is what an object was when it was fetched, by its size and its time."""
    try:
        known = path.lstat()
    except OSError:
        return False
    same = (known.st_size, known.st_mtime_ns) == (item.size, _mark(item))
    return same and stat.S_ISREG(known.st_mode)


def _mark(item: Stored) -> int:
    """Return the time that a file has which is this version of its object, in nanoseconds.

    S3 tells when it was stored in whole seconds. The microseconds tell the ETag, so that two
    versions within a second, of one size, are two.
    """
    micros = zlib.crc32(item.etag.encode()) % 1_000_000
    return int(item.modified.timestamp()) * 10**9 + micros * 1000


def _count(fetched: Fetched, item: Stored) -> None:
    fetched.count += 1
    if item.by_machine:
        fetched.stored = max(fetched.stored or item.modified, item.modified)


def _download(
    s3: Any,
    bucket: str,
    item: Stored,
    path: Path,
    tick: Callable[[int], None],
    stop: threading.Event,
) -> Stored:
    """Download an object to `path`; return it as it was then: it may have changed since listed."""
    for _ in range(_ATTEMPTS):
        try:
            _get(s3, bucket, item, path, tick, stop)
        except ClientError as error:
            code = error.response["Error"]["Code"]
            if code in _GONE:
                raise _NotFetchedError("it is gone since it was listed") from error
            if code == "InvalidObjectState":
                raise _NotFetchedError("it is archived, and has to be restored first") from error
            if code not in _CHANGED:
                raise
            now = s3.head_object(Bucket=bucket, Key=item.key)
            size, modified, etag = now["ContentLength"], now["LastModified"], now["ETag"]
            item = replace(item, size=size, modified=modified, etag=etag)
        else:
            return item
    raise _NotFetchedError("it changes all the time; try again")


def _get(
    s3: Any,
    bucket: str,
    item: Stored,
    path: Path,
    tick: Callable[[int], None],
    stop: threading.Event,
) -> None:
    name = hashlib.sha256(item.name.encode()).hexdigest()[:16]
    version = hashlib.sha256(item.etag.encode()).hexdigest()[:16]
    part = path.with_name(f".{_PART}-{name}-{version}.part")
    with _alone(part) as file:
        tick(file.tell())
        failure: BotoCoreError | None = None
        for _ in range(_ATTEMPTS):
            if file.tell() >= item.size:
                break
            try:
                _append(s3, bucket, item, file, tick, stop)
            except BotoCoreError as error:
                failure = error
            except ClientError as error:
                if not file.tell() or error.response["Error"]["Code"] in (*_GONE, *_CHANGED):
                    part.unlink()
                raise
        if file.tell() != item.size:
            raise _NotFetchedError(
                f"{file.tell():,} of its {item.size:,} bytes came: {failure or 'no word why'}"
            )
        file.flush()
        os.utime(part, ns=(_mark(item), _mark(item)))
        try:
            part.replace(path)
        except OSError:
            part.unlink()
            raise
    for left in path.parent.glob(f".{_PART}-{name}-*.part"):  # of earlier versions
        left.unlink(missing_ok=True)


def _append(
    s3: Any,
    bucket: str,
    item: Stored,
    file: BinaryIO,
    tick: Callable[[int], None],
    stop: threading.Event,
) -> None:
    begins = file.tell()
    rest = {"Range": f"bytes={begins}-"} if begins else {}
    answer = s3.get_object(Bucket=bucket, Key=item.key, IfMatch=item.etag, **rest)
    with closing(answer["Body"]) as body:
        for chunk in body.iter_chunks(_CHUNK_BYTES):
            if stop.is_set():
                raise _Stopped
            file.write(chunk)
            tick(len(chunk))


@contextmanager
def _alone(part: Path) -> Iterator[BinaryIO]:
    """Give a file to append to, which no other process appends to."""
    with part.open("ab") as file:
        with suppress(OSError):  # a file system without locks
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise _NotFetchedError("another make results is fetching it") from None
        try:
            same = part.stat().st_ino == os.fstat(file.fileno()).st_ino
        except FileNotFoundError:
            same = False
        if not same:  # it was made whole between the two calls
            raise _NotFetchedError("another make results has just fetched it")
        yield file
