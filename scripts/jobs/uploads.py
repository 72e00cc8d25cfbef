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
from parris.jobs.commit import metadata_of, read_git
from parris.jobs.config import CONFIG_FILENAME
from parris.runs.documents import GitRecord
from scripts.cli.console import Refused
from scripts.cli.words import counted
from scripts.deployment.outputs import Deployment
from scripts.jobs import commits, jobs, uploaded
from scripts.jobs.account_check import check_account, problems_here


@dataclass(frozen=True, kw_only=True)
class Changes:
    """What would make the config bucket hold one job as it lies on disk."""

    upload: dict[str, Path]
    """Files by key."""
    config: Path
    """The job's configuration."""
    delete: tuple[str, ...]
    unchanged: int
    there: Mapping[str, str]
    """ETags by key, as the bucket has the job."""
    git: GitRecord | None
    """The commit that the folder lies at, as a receipt has it."""
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
        config=folder / CONFIG_FILENAME,
        delete=tuple(sorted(there.keys() - here.keys())),
        unchanged=len(here) - len(upload),
        there=there,
        git=commits.read_commit(job, folder),
        first=not there,
    )


def apply(deployment: Deployment, job: str, changes: Changes) -> None:
    """Upload and remove, saying each; a removed file stays as an old version of its object.

    The configuration comes last: its object names the commit of all others (parris.jobs.commit).
    """
    s3, bucket = deployment.client("s3"), deployment.config_bucket
    config, etags = job_prefix(job) + CONFIG_FILENAME, dict(changes.there)

    def put(key: str, body: bytes, **more: Any) -> None:
        etags[key] = s3.put_object(Bucket=bucket, Key=key, Body=body, **more)["ETag"]
        if etags[key] != _etag(body):
            uploaded.note(bucket, {key: (etags[key], _etag(body))})

    for key, path in changes.upload.items():
        body = _read(path)
        print(f"  upload {key} ({len(body)} bytes)")
        if key != config:
            put(key, body)
    for key in changes.delete:
        print(f"  remove {key} (no longer in the folder; the bucket keeps its versions)")
        s3.delete_object(Bucket=bucket, Key=key)
        etags.pop(key, None)
    names = {key.removeprefix(job_prefix(job)): etag for key, etag in etags.items()}
    changed = bool(changes.upload or changes.delete)
    if config in changes.upload or (
        changes.git and (changed or _is_news(s3, bucket, config, changes.git, names))
    ):
        noted = metadata_of(changes.git, names) if changes.git else {}
        put(config, _read(changes.config), Metadata=noted)
    if changes.git:
        dirty = ", with changes that are not committed" if changes.git["dirty"] else ""
        print(f"  at commit {changes.git['commit'][:12]}{dirty}")
    print(
        f"{job}: {len(changes.upload)} uploaded, {len(changes.delete)} removed, "
        f"{changes.unchanged} unchanged, in s3://{bucket}/{job_prefix(job)}"
    )


def _is_news(s3: Any, bucket: str, config: str, git: GitRecord, etags: Mapping[str, str]) -> bool:
    """Return whether the bucket's files, all as they are here, are not known to be of a commit."""
    try:
        noted = read_git(s3.head_object(Bucket=bucket, Key=config)["Metadata"], etags)
    except ClientError as error:
        # Whoever may upload need not be allowed to read: then what is noted stays.
        if error.response["Error"]["Code"] not in ("403", "AccessDenied"):
            raise
        return False
    return noted is None or (noted["dirty"] and not git["dirty"])


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
