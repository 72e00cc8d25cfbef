"""S3: the jobs in the config bucket, the runs in the results bucket."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from botocore.exceptions import ClientError

from ..errors import InvalidConfig, UnknownJob
from ..events.request import DEFAULT_JOB, is_run_key
from ..jobs.files import decode, file_problems
from ..runs.outcome import MAX_BYTES, read_outcome
from .objects import Objects

JOBS_FOLDER = "jobs/"

_LOG_END_BYTES = 4096

AGENT_KEY = "agent.pyz"
"""The supervisor in the results bucket, as main.tf has it, and in each run's folder."""


@dataclass(frozen=True, kw_only=True)
class Claim:
    """A receipt as S3 holds it."""

    receipt: Mapping[str, Any]
    etag: str


@dataclass(frozen=True, kw_only=True)
class Storage(Objects):
    """The two buckets of one deployment."""

    config_bucket: str

    def read_job_file(self, job: str, name: str) -> str:
        """Return the text of file `name` of `job`.

        Raises:
            UnknownJob: if the job has no such file.
            InvalidConfig: if it is not UTF-8.
        """
        key = job_prefix(job) + name
        try:
            body = self.s3.get_object(Bucket=self.config_bucket, Key=key)["Body"].read()
        except ClientError as error:
            if error.response["Error"]["Code"] != "NoSuchKey":
                raise
            command = "make upload-config" + ("" if job == DEFAULT_JOB else f" JOB={job}")
            raise UnknownJob(
                f"job {job!r} has no {name} in s3://{self.config_bucket}/{job_prefix(job)}; "
                f"run {command}"
            ) from error
        return decode(body, f"{job}/{name}")

    def list_job_files(self, job: str) -> dict[str, int]:
        """Return the sizes in bytes of the job's files, by path below the job's folder.

        Raises:
            InvalidConfig: if there are too many, or one is too large to copy.
        """
        prefix = job_prefix(job)
        # One page holds 1,000 keys, so this is one round trip in all but the largest buckets.
        pages = self.s3.get_paginator("list_objects_v2").paginate(
            Bucket=self.config_bucket, Prefix=prefix
        )
        files = {
            item["Key"].removeprefix(prefix): item["Size"]
            for page in pages
            for item in page.get("Contents", [])
            if job != DEFAULT_JOB or not item["Key"].startswith(JOBS_FOLDER)
        }
        if problems := file_problems(files):
            raise InvalidConfig(f"job {job}", problems)
        return files

    def claim(self, prefix: str, receipt: Mapping[str, Any]) -> Claim | None:
        """Write the receipt of a run that has none; None if the run already has one."""
        return self._put_receipt(prefix, receipt, IfNoneMatch="*")

    def replace(self, prefix: str, receipt: Mapping[str, Any], known: Claim) -> Claim | None:
        """Write the receipt anew; None if it is no longer the one that was `known`."""
        return self._put_receipt(prefix, receipt, IfMatch=known.etag)

    def write_receipt(self, prefix: str, receipt: Mapping[str, Any]) -> Claim:
        """Write the receipt of a run, whatever is there."""
        return Claim(receipt=receipt, etag=self.put(prefix + "run.json", receipt))

    def _put_receipt(
        self, prefix: str, receipt: Mapping[str, Any], **condition: str
    ) -> Claim | None:
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

    def change_receipt(
        self, prefix: str, change: Callable[[Mapping[str, Any]], Mapping[str, Any]]
    ) -> bool:
        """Change a receipt, whoever else does at the same moment; False if they never pause."""
        for _ in range(5):
            held = self.read_receipt(prefix)
            if self.replace(prefix, change(held.receipt), held):
                return True
        return False

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

    def has_outcome(self, prefix: str) -> bool:
        return self._has(prefix + "outcome.json")

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

    def read_outcome(self, prefix: str) -> Mapping[str, Any] | None:
        """Return how a run ended; None if no function has written it yet, or nothing sound.

        Only the functions write it there, from what a run's own machine said (docs/contracts.md,
        "What is believed").
        """
        job, run_id = prefix.split("/")[1:3]
        body = self._read_bounded(prefix + "outcome.json")
        return None if body is None else read_outcome(body, job, run_id, by_machine=False)[0]

    def read_machine_outcome(self, prefix: str, folder: str) -> tuple[dict[str, Any] | None, str]:
        """Return what a machine says of how its run ended, and what is wrong with it.

        Args:
            folder: of the machine, as `find_machine_folder` returns it.
        """
        job, run_id = prefix.split("/")[1:3]
        body = self._read_bounded(f"{prefix}machines/{folder}/outcome.json")
        if body is None:
            return None, ""
        return read_outcome(body, job, run_id, by_machine=True)

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

    def has_any(self, prefix: str) -> bool:
        """Return whether the results bucket has an object below `prefix`."""
        answer = self.s3.list_objects_v2(Bucket=self.results_bucket, Prefix=prefix, MaxKeys=1)
        return bool(answer.get("KeyCount"))

    def _read_bounded(self, key: str) -> bytes | None:
        """Return an object of the results bucket, and no more of it than an outcome may have."""
        try:
            body = self.s3.get_object(Bucket=self.results_bucket, Key=key)["Body"]
        except ClientError as error:
            if error.response["Error"]["Code"] != "NoSuchKey":
                raise
            return None
        try:
            return body.read(MAX_BYTES + 1)
        finally:
            body.close()

    def write_outcome(
        self, prefix: str, outcome: Mapping[str, Any], *, replace: bool = False
    ) -> None:
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

    def snapshot(self, job: str, name: str, prefix: str) -> None:
        """Copy one of the job's files to the run's ``source/``, within S3."""
        self.s3.copy_object(
            CopySource={"Bucket": self.config_bucket, "Key": job_prefix(job) + name},
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
