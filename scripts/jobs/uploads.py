"""What differs between the jobs on disk and in the config bucket, and how it gets there."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from parris.aws.storage import JOBS_FOLDER, job_prefix
from parris.events.request import DEFAULT_JOB
from scripts.cli.console import Refused
from scripts.cli.words import counted
from scripts.deployment.outputs import Deployment
from scripts.jobs import jobs, uploaded
from scripts.jobs.account_check import check_account, problems_here


@dataclass(frozen=True, kw_only=True)
class Changes:
    """What would make the config bucket hold one job as it lies on disk."""

    upload: dict[str, Path]
    """Files by key."""
    delete: tuple[str, ...]
    unchanged: int
    first: bool
    """Whether the bucket holds nothing of the job yet."""


def refuse_problems(
    deployment: Deployment | None, chosen: Mapping[str, Path], folders: Mapping[str, Path]
) -> None:
    """Check the jobs `chosen`, and the triggers of all; print what is worth a note.

    Args:
        deployment: whose account is asked for what a job names of it; None asks nobody.
        folders: of every job there is, by its name.

    Raises:
        Refused: with every fault, each naming its place.
    """
    problems, notes = check(deployment, chosen)
    for source, variables in jobs.read_tfvars().items():
        problems += jobs.check_triggers(variables, folders, source)
    if problems:
        lines = "\n".join(f"  {problem}" for problem in problems)
        raise Refused(f"{counted(len(problems), 'problem')}\n{lines}\nNothing was uploaded.")
    for note in notes:
        print(f"note: {note}")


def check(deployment: Deployment | None, chosen: Mapping[str, Path]) -> tuple[list[str], list[str]]:
    """Return the faults of the jobs, also what the account lacks that one names, and notes."""
    checked = {job: jobs.check_job(job, folder) for job, folder in chosen.items()}
    problems = [problem for _, faults in checked.values() for problem in faults]
    notes: list[str] = []
    for job, (config, _) in checked.items():
        if config is None:
            continue
        place = jobs.config_place(chosen[job])
        found, unasked = problems_here(config), list[str]()
        if deployment is not None:
            try:
                found, unasked = check_account(deployment, config)
            except (BotoCoreError, ClientError):
                if not problems:  # what is wrong with the files is told first
                    raise
        problems += [f"{place}: {problem}" for problem in found]
        notes += [f"{place}: {note}" for note in unasked] + jobs.notes(chosen[job], config)
    return problems, notes


def compare(deployment: Deployment, job: str, folder: Path) -> Changes:
    """Return what differs between the job on disk and in the bucket."""
    prefix = job_prefix(job)
    there = _list(deployment.client("s3"), deployment.config_bucket, prefix)
    if job == DEFAULT_JOB:
        there = {key: tag for key, tag in there.items() if not key.startswith(JOBS_FOLDER)}
    here = {prefix + name: path for name, path in jobs.job_files(job, folder).items()}
    noted = uploaded.read(deployment.config_bucket)
    digests = {key: _etag(_read(path)) for key, path in here.items()}
    upload = {
        key: path
        for key, path in here.items()
        if there.get(key) != digests[key] and noted.get(key) != (there.get(key), digests[key])
    }
    return Changes(
        upload=upload,
        delete=tuple(sorted(there.keys() - here.keys())),
        unchanged=len(here) - len(upload),
        first=not there,
    )


def apply(deployment: Deployment, job: str, changes: Changes) -> None:
    """Upload and remove, saying each; a removed file stays as an old version of its object."""
    s3, bucket = deployment.client("s3"), deployment.config_bucket
    noted = {}
    for key, path in changes.upload.items():
        body = _read(path)
        print(f"  upload {key} ({len(body)} bytes)")
        etag = s3.put_object(Bucket=bucket, Key=key, Body=body)["ETag"]
        if etag != _etag(body):
            noted[key] = (etag, _etag(body))
    if noted:
        uploaded.note(bucket, noted)
    for key in changes.delete:
        print(f"  remove {key} (no longer in the folder; the bucket keeps its versions)")
        s3.delete_object(Bucket=bucket, Key=key)
    print(
        f"{job}: {len(changes.upload)} uploaded, {len(changes.delete)} removed, "
        f"{changes.unchanged} unchanged, in s3://{bucket}/{job_prefix(job)}"
    )


def _list(s3: Any, bucket: str, prefix: str) -> dict[str, str]:
    pages = s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix)
    return {item["Key"]: item["ETag"] for page in pages for item in page.get("Contents", [])}


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:  # it was there when it was checked
        raise Refused(
            f"{path}: {error.strerror}; it changed while it was read: make upload-config again "
            "brings the bucket to what the folder holds then"
        ) from error


def _etag(body: bytes) -> str:
    """Return S3's ETag of a whole upload under SSE-S3: the MD5 (S3 API reference, "Object")."""
    return f'"{hashlib.md5(body, usedforsecurity=False).hexdigest()}"'
