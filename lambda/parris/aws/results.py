"""S3: what machines and functions have said of runs, read strictly, and how they ended."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from botocore.exceptions import ClientError

from ..events.request import is_run_key
from ..runs.metrics import MAX_BYTES as MAX_BYTES_OF_PROGRESS
from ..runs.metrics import Progress, read_progress
from ..runs.outcome import MAX_BYTES, MAX_BYTES_OF_RUN, read_outcome
from ..runs.stored_receipt import read_receipt
from .storage import Storage

if TYPE_CHECKING:
    from ..runs.documents import Outcome, Receipt

_LOG_END_BYTES = 4096


@dataclass(frozen=True, kw_only=True)
class Results(Storage):
    """The two buckets of one deployment, for whoever looks at what came of runs."""

    def list_runs(self, job: str | None) -> list[tuple[str, str]]:
        """Return (job, run id) of every run (of `job`, where given), newest receipt first."""
        prefix = f"runs/{job}/" if job else "runs/"
        pages = self.s3.get_paginator("list_objects_v2").paginate(
            Bucket=self.results_bucket, Prefix=prefix
        )
        found = [
            (item["LastModified"], tuple(item["Key"].split("/")[1:3]))
            for page in pages
            for item in page.get("Contents", [])
            if item["Key"].count("/") == 3 and item["Key"].endswith("/run.json")
        ]
        return [(key[0], key[1]) for _, key in sorted(found, reverse=True) if is_run_key(*key)]

    def read_sound_receipt(self, prefix: str) -> tuple[Receipt, str]:
        """Return what of a run's receipt is sound, and what is not; nothing if it has none."""
        body = self._read_bounded(prefix + "run.json", MAX_BYTES_OF_RUN)
        return ({}, "") if body is None else read_receipt(body)

    def read_outcome(self, prefix: str) -> Outcome | None:
        """Return how a run ended; None if no function has written it yet, or nothing sound.

        Only the functions write it there, from what a run's own machine said (docs/contracts.md,
        "What is believed").
        """
        job, run_id = prefix.split("/")[1:3]
        body = self._read_bounded(prefix + "outcome.json", MAX_BYTES_OF_RUN)
        return None if body is None else read_outcome(body, job, run_id, by_machine=False)[0]

    def read_machine_outcome(self, prefix: str, folder: str) -> tuple[Outcome | None, str]:
        """Return what a machine says of how its run ended, and what is wrong with it.

        Args:
            folder: of the machine, as `find_machine_folder` returns it.
        """
        job, run_id = prefix.split("/")[1:3]
        body = self._read_bounded(f"{prefix}machines/{folder}/outcome.json", MAX_BYTES)
        if body is None:
            return None, ""
        return read_outcome(body, job, run_id, by_machine=True)

    def read_progress(self, prefix: str, folder: str) -> tuple[Progress, datetime] | None:
        """Return what a machine says of how its run goes, and when it was stored; None if nothing.

        Args:
            folder: of the machine, as `find_machine_folder` returns it.
        """
        found = self._get(f"{prefix}machines/{folder}/metrics.json", MAX_BYTES_OF_PROGRESS)
        progress = read_progress(found[0]) if found else None
        return (progress, found[1]) if found and progress else None

    def find_machine_folder(self, prefix: str, instance_id: str) -> str | None:
        """Return the name of the folder that a machine wrote in a run's; None if it wrote nothing.

        Its name is the writer's ``aws:userid``, ``<role id>:<instance id>``, to which the
        machines' policy holds them: nobody else can have written there.
        """
        folders = self.list_folders(f"{prefix}machines/")
        return next((name for name in folders if name.endswith(f":{instance_id}")), None)

    def list_folders(self, prefix: str) -> Iterator[str]:
        """Return the names of the folders right below `prefix` in the results bucket."""
        pages = self.s3.get_paginator("list_objects_v2").paginate(
            Bucket=self.results_bucket, Prefix=prefix, Delimiter="/"
        )
        for page in pages:
            for found in page.get("CommonPrefixes", []):
                yield found["Prefix"].split("/")[-2]

    def last_write(self, prefix: str) -> datetime | None:
        """Return when something below `prefix` was stored last, by S3's clock; None if never."""
        pages = self.s3.get_paginator("list_objects_v2").paginate(
            Bucket=self.results_bucket, Prefix=prefix
        )
        times = (item["LastModified"] for page in pages for item in page.get("Contents", []))
        return max(times, default=None)

    def _read_bounded(self, key: str, most: int) -> bytes | None:
        found = self._get(key, most)
        return found[0] if found else None

    def _get(self, key: str, most: int) -> tuple[bytes, datetime] | None:
        """Return an object of the results bucket, and when it was stored.

        No more of it is read than `most` bytes and one.
        """
        try:
            answer = self.s3.get_object(Bucket=self.results_bucket, Key=key)
        except ClientError as error:
            if error.response["Error"]["Code"] != "NoSuchKey":
                raise
            return None
        try:
            return answer["Body"].read(most + 1), answer["LastModified"]
        finally:
            answer["Body"].close()

    def write_outcome(self, prefix: str, outcome: Outcome, *, replace: bool = False) -> None:
        """Write how a run ended, unless another sweep has just done so (or `replace` that)."""
        condition = {} if replace else {"IfNoneMatch": "*"}
        try:
            self.put(prefix + "outcome.json", outcome, **condition)
        except ClientError as error:
            if error.response["Error"]["Code"] != "PreconditionFailed":
                raise
            if self.read_outcome(prefix) is None:  # there is one, which nobody can read
                self.write_outcome(prefix, outcome, replace=True)

    def read_log_end(self, prefix: str, folder: str | None) -> str:
        """Return the last of the log that a machine stored in its `folder`; "" if it did not."""
        prefix += f"machines/{folder}/" if folder else ""  # older runs have it at their root
        try:
            answer = self.s3.get_object(
                Bucket=self.results_bucket, Key=prefix + "log.txt", Range=f"bytes=-{_LOG_END_BYTES}"
            )
        except ClientError as error:
            # An empty object has no range (S3 API reference, GetObject: InvalidRange).
            if error.response["Error"]["Code"] not in ("NoSuchKey", "InvalidRange"):
                raise
            return ""
        return answer["Body"].read().decode(errors="replace")
