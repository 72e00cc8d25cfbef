"""Check every job, then upload what changed: `parris upload-config`."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from parris.request import DEFAULT_JOB
from parris.storage import JOBS_FOLDER, job_prefix
from scripts import console, jobs
from scripts.arguments import parse
from scripts.console import Refused
from scripts.deployment import Deployment, read_deployment


@dataclass(frozen=True, kw_only=True)
class Changes:
    """What would make the config bucket hold one job as it lies on disk."""

    upload: dict[str, Path]
    """Files by key."""
    delete: tuple[str, ...]
    unchanged: int


def main(argv: list[str]) -> int:
    """Check all jobs (or one) and upload what changed; nothing is uploaded if anything is wrong."""
    options = parse("upload-config", argv)

    folders = jobs.job_folders()
    chosen = jobs.choose(folders, options.job or None)
    problems = [
        problem for job, folder in chosen.items() for problem in jobs.check_job(job, folder)[1]
    ]
    for source, variables in jobs.read_tfvars().items():
        problems += jobs.check_triggers(variables, folders, source)
    if problems:
        count = "1 problem" if len(problems) == 1 else f"{len(problems)} problems"
        lines = "\n".join(f"  {problem}" for problem in problems)
        raise Refused(f"{count}\n{lines}\nNothing was uploaded.")
    if options.check:
        print(f"{', '.join(chosen)}: no problem found")
        if options.json:
            console.print_json(dict.fromkeys(chosen))
        return 0

    deployment = read_deployment()
    done: dict[str, dict[str, Any]] = {}
    for job, folder in chosen.items():
        changes = compare(deployment, job, folder)
        apply(deployment, changes)
        print(
            f"{job}: {len(changes.upload)} uploaded, {len(changes.delete)} removed, "
            f"{changes.unchanged} unchanged, in s3://{deployment.config_bucket}/{job_prefix(job)}"
        )
        done[job] = {
            "uploaded": list(changes.upload),
            "removed": list(changes.delete),
            "unchanged": changes.unchanged,
        }
    if options.json:
        console.print_json(done)
    return 0


def compare(deployment: Deployment, job: str, folder: Path) -> Changes:
    """Return what differs between the job on disk and in the bucket."""
    prefix = job_prefix(job)
    there = _list(deployment.client("s3"), deployment.config_bucket, prefix)
    if job == DEFAULT_JOB:
        there = {key: tag for key, tag in there.items() if not key.startswith(JOBS_FOLDER)}
    here = {prefix + name: path for name, path in jobs.job_files(job, folder).items()}
    upload = {key: path for key, path in here.items() if there.get(key) != _etag(path)}
    return Changes(
        upload=upload,
        delete=tuple(sorted(there.keys() - here.keys())),
        unchanged=len(here) - len(upload),
    )


def apply(deployment: Deployment, changes: Changes) -> None:
    """Upload and remove, saying each; a removed file stays as an old version of its object."""
    s3, bucket = deployment.client("s3"), deployment.config_bucket
    for key, path in changes.upload.items():
        print(f"  upload {key} ({path.stat().st_size} bytes)")
        s3.put_object(Bucket=bucket, Key=key, Body=path.read_bytes())
    for key in changes.delete:
        print(f"  remove {key} (no longer in the folder; the bucket keeps its versions)")
        s3.delete_object(Bucket=bucket, Key=key)


def _list(s3: Any, bucket: str, prefix: str) -> dict[str, str]:
    pages = s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix)
    return {item["Key"]: item["ETag"] for page in pages for item in page.get("Contents", [])}


def _etag(path: Path) -> str:
    """Return S3's ETag of a whole upload under SSE-S3: the MD5 (S3 API reference, "Object")."""
    return f'"{hashlib.md5(path.read_bytes(), usedforsecurity=False).hexdigest()}"'
