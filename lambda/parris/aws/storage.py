"""S3: the jobs in the config bucket, the runs in the results bucket."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from botocore.exceptions import ClientError

from ..errors import InvalidConfig, UnknownJob
from ..events.request import DEFAULT_JOB
from ..jobs.files import decode, file_problems
from .objects import Objects

if TYPE_CHECKING:
    from ..runs.documents import Receipt

JOBS_FOLDER = "jobs/"

AGENT_KEY = "agent.pyz"
"""The supervisor in the results bucket, as main.tf has it, and in each run's folder."""


@dataclass(frozen=True, kw_only=True)
class Claim:
    """A receipt as S3 holds it."""

    receipt: Receipt
    etag: str


class StoredFile(NamedTuple):
    """What a listing says of an object."""

    size: int
    """Bytes."""
    etag: str


class StoredText(NamedTuple):
    """An object that is text, with the metadata that its writer gave it."""

    text: str
    metadata: Mapping[str, str]


@dataclass(frozen=True, kw_only=True)
class Storage(Objects):
    """The two buckets of one deployment."""

    config_bucket: str

    def read_job_file(self, job: str, name: str) -> StoredText:
        """Return file `name` of `job`.

        Raises:
            UnknownJob: if the job has no such file.
            InvalidConfig: if it is not UTF-8.
        """
        key = job_prefix(job) + name
        try:
            answer = self.s3.get_object(Bucket=self.config_bucket, Key=key)
            body = answer["Body"].read()
        except ClientError as error:
            if error.response["Error"]["Code"] != "NoSuchKey":
                raise
            command = "make upload-config" + ("" if job == DEFAULT_JOB else f" JOB={job}")
            raise UnknownJob(
                f"job {job!r} has no {name} in s3://{self.config_bucket}/{job_prefix(job)}; "
                f"run {command}"
            ) from error
        return StoredText(decode(body, f"{job}/{name}"), answer["Metadata"])

    def list_job_files(self, job: str) -> dict[str, StoredFile]:
        """Return the job's files, by path below the job's folder.

        Raises:
            InvalidConfig: if there are too many, or one is too large to copy.
        """
        prefix = job_prefix(job)
        files = {
            name: file
            for name, file in self._list(self.config_bucket, prefix).items()
            if job != DEFAULT_JOB or not name.startswith(JOBS_FOLDER)
        }
        if problems := file_problems({name: file.size for name, file in files.items()}):
            raise InvalidConfig(f"job {job}", problems)
        return files

    def claim(self, prefix: str, receipt: Receipt) -> Claim | None:
        """Write the receipt of a run that has none; None if the run already has one."""
        return self._put_receipt(prefix, receipt, IfNoneMatch="*")

    def replace(self, prefix: str, receipt: Receipt, known: Claim) -> Claim | None:
        """Write the receipt anew; None if it is no longer the one that was `known`."""
        return self._put_receipt(prefix, receipt, IfMatch=known.etag)

    def write_receipt(self, prefix: str, receipt: Receipt) -> Claim:
        """Write the receipt of a run, whatever is there."""
        return Claim(receipt=receipt, etag=self.put(prefix + "run.json", receipt))

    def _put_receipt(self, prefix: str, receipt: Receipt, **condition: str) -> Claim | None:
        for attempt in (1, 2, 3):
            try:
                etag = self.put(prefix + "run.json", receipt, **condition)
            except ClientError as error:
                code = error.response["Error"]["Code"]
                if code == "PreconditionFailed":
                    return None
                # Two conditional writes at once: S3 asks to try again (S3 user guide,
                # "Conditional writes": 409 ConditionalRequestConflict).
                if code == "ConditionalRequestConflict" and attempt < 3:
                    continue
                raise
            return Claim(receipt=receipt, etag=etag)
        raise AssertionError("unreachable: the last attempt returned or raised")

    def read_receipt(self, prefix: str) -> Claim:
        answer = self.s3.get_object(Bucket=self.results_bucket, Key=prefix + "run.json")
        return Claim(receipt=json.loads(answer["Body"].read()), etag=answer["ETag"])

    def change_receipt(self, prefix: str, change: Callable[[Receipt], Receipt]) -> bool:
        """Change a receipt, whoever else does at the same moment; False if they never pause."""
        for _ in range(5):
            held = self.read_receipt(prefix)
            if self.replace(prefix, change(held.receipt), held):
                return True
        return False

    def read_source(self, prefix: str, name: str) -> StoredText:
        """Return one of the files that a run began with."""
        key = f"{prefix}source/{name}"
        answer = self.s3.get_object(Bucket=self.results_bucket, Key=key)
        return StoredText(decode(answer["Body"].read(), key), answer["Metadata"])

    def list_source(self, prefix: str) -> dict[str, StoredFile]:
        """Return the files that a run began with, by path below its source/."""
        return self._list(self.results_bucket, f"{prefix}source/")

    def _list(self, bucket: str, prefix: str) -> dict[str, StoredFile]:
        # One page holds 1,000 keys, so this is one round trip for whatever is a job's.
        pages = self.s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix)
        return {
            item["Key"].removeprefix(prefix): StoredFile(item["Size"], item["ETag"])
            for page in pages
            for item in page.get("Contents", [])
        }

    def has_outcome(self, prefix: str) -> bool:
        return self._has(prefix + "outcome.json")

    def has_begun(self, prefix: str) -> bool:
        """Return whether a run is over, or a machine of it has stored anything."""
        return self.has_outcome(prefix) or self.has_any(prefix + "machines/")

    def has_receipt(self, prefix: str) -> bool:
        return self._has(prefix + "run.json")

    def _has(self, key: str) -> bool:
        try:
            self.s3.head_object(Bucket=self.results_bucket, Key=key)
        except ClientError as error:
            if error.response["Error"]["Code"] not in ("404", "NoSuchKey"):
                raise
            return False
        return True

    def has_any(self, prefix: str) -> bool:
        """Return whether the results bucket has an object below `prefix`."""
        answer = self.s3.list_objects_v2(Bucket=self.results_bucket, Prefix=prefix, MaxKeys=1)
        return bool(answer.get("KeyCount"))

    def snapshot(self, job: str, name: str, prefix: str) -> None:
        """Copy one of the job's files to the run's ``source/``, within S3."""
        self.s3.copy_object(
            CopySource={"Bucket": self.config_bucket, "Key": job_prefix(job) + name},
            Bucket=self.results_bucket,
            Key=f"{prefix}source/{name}",
        )

    def copy_source(self, earlier: str, name: str, prefix: str) -> None:
        """Copy one of the files that an `earlier` run began with to another run's ``source/``."""
        self.s3.copy_object(
            CopySource={"Bucket": self.results_bucket, "Key": f"{earlier}source/{name}"},
            Bucket=self.results_bucket,
            Key=f"{prefix}source/{name}",
        )

    def copy_agent(self, prefix: str, version: str) -> None:
        """Copy the machine's supervisor to where the machine fetches it, within S3.

        Args:
            version: of the object that Terraform uploaded with this function; the next deployment
                uploads another, and leaves this one there.
        """
        self.s3.copy_object(
            CopySource={"Bucket": self.results_bucket, "Key": AGENT_KEY, "VersionId": version},
            Bucket=self.results_bucket,
            Key=prefix + AGENT_KEY,
        )


def job_prefix(job: str) -> str:
    """Return where `job` lies in the config bucket."""
    return "" if job == DEFAULT_JOB else f"{JOBS_FOLDER}{job}/"
