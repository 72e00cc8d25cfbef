"""A job's folder that has changed since it was uploaded: what a launch says and asks of it."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from botocore.exceptions import ClientError

from parris.aws.storage import job_prefix
from parris.jobs.config import CONFIG_FILENAME
from scripts.cli.console import Refused
from scripts.cli.which_cloud import hint
from scripts.cli.words import counted
from scripts.deployment.outputs import Deployment
from scripts.jobs import jobs, uploads
from scripts.jobs.uploads import Changes

MAX_NAMED = 10


def settle(deployment: Deployment, job: str, answer: bool | None, *, ask: bool) -> None:
    """Upload the job's folder before a launch if it differs from the bucket and that is wanted.

    A job that only the bucket has is launched as it is there, without a word.

    Args:
        answer: UPLOAD=1 or UPLOAD=0, given beforehand; None if nothing was said.
        ask: whether somebody is there to be asked; else one line on standard error says that the
            bucket's files are launched.

    Raises:
        Refused: if what could be uploaded is wrong, or the question was answered neither way.
    """
    folder = jobs.job_folders().get(job)
    if answer is False or folder is None or not (folder / CONFIG_FILENAME).is_file():
        return
    try:
        changes = uploads.compare(deployment, job, folder)
    except ClientError as error:  # whoever may launch need not be allowed to look there
        if answer or error.response["Error"]["Code"] != "AccessDenied":
            raise
        print(
            f"note: the bucket's files of job {job} are launched; whether they differ from those "
            f"here is unknown, since AWS refused {error.operation_name}",
            file=sys.stderr,
        )
        return
    if not (changes.upload or changes.delete):
        return
    names = differing(job, changes)
    if answer is None and not ask:
        if changes.first:
            return  # the launch function refuses that, and says what to do
        print(
            hint(
                f"note: trainer files of job {job} differ from the bucket ({some(names)}); the "
                f"bucket's are launched; make launch JOB={job} UPLOAD=1 uploads them first"
            ),
            file=sys.stderr,
        )
        return
    # Before the question, which is not one where what lies here could not be uploaded.
    _check(deployment, job, folder)
    if answer or _wanted(job, names, first=changes.first):
        uploads.apply(deployment, job, changes)


def differing(job: str, changes: Changes) -> list[str]:
    """Return what differs, a line each, by path below the job's folder."""
    prefix = job_prefix(job)
    here = [key.removeprefix(prefix) for key in changes.upload]
    gone = [f"{key.removeprefix(prefix)} (only in the bucket)" for key in changes.delete]
    return [*here, *gone]


def _wanted(job: str, names: Sequence[str], *, first: bool) -> bool:
    why = "is not in the bucket yet" if first else "has changed since it was uploaded"
    print(f"Job {job} {why}:")
    print(*(f"  {name}" for name in names[:MAX_NAMED]), sep="\n")
    if len(names) > MAX_NAMED:
        print(f"  and {len(names) - MAX_NAMED} more")
    try:
        said = input("Upload this before the launch? [Y/n] ").strip().lower()
    except EOFError:
        print()  # what is said next would stand behind the question
        said = "nothing"
    if said not in ("", "y", "yes", "n", "no"):
        raise Refused("neither yes nor no; nothing was uploaded or launched")
    return not said.startswith("n")


def _check(deployment: Deployment, job: str, folder: Path) -> None:
    try:
        uploads.refuse_problems(deployment, {job: folder}, jobs.job_folders())
    except Refused as error:
        raise Refused(
            f"{error} Nor was anything launched; make launch JOB={job} UPLOAD=0 launches what the "
            "bucket holds."
        ) from error


def some(names: Sequence[str]) -> str:
    """Return the first of `names`, and how many more there are."""
    if len(names) <= 3:
        return ", ".join(names)
    return f"{', '.join(names[:2])} and {counted(len(names) - 2, 'more', 'more')}"
