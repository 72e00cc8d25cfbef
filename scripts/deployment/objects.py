"""What a run has stored: its own objects, and no others'."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from fnmatch import fnmatchcase
from typing import Any

from scripts.cli.console import Refused
from scripts.cli.plain_text import one_line
from scripts.cli.words import counted
from scripts.deployment.folders import believed_folder, worker_folders
from scripts.deployment.outputs import Deployment
from scripts.deployment.runs import Run

_AT_ROOT = ("log.txt", "packages.txt", "machine.jsonl")
"""Of a machine's folder, what lies in none of its own."""
_OF_WORKER = (*_AT_ROOT, "outcome.json")
"""Of the folder of another node than the head, which stores neither output nor checkpoints."""
_RECORD = ("run.json", "outcome.json", "agent.py", "agent.pyz")
_NAMED, _SHOWN = 20, 10
"""Objects that a refusal names, and that are named of one run."""


@dataclass(frozen=True, kw_only=True)
class Stored:
    """One object of a run."""

    key: str
    name: str
    """Where it belongs below the run's local folder."""
    size: int
    """Bytes."""
    by_machine: bool
    modified: datetime
    etag: str
    """With its quotes, as S3 has it."""


def list_objects(deployment: Deployment, run: Run) -> Iterator[Stored]:
    """Yield what is the run's own.

    Its record and source are at its root, what its machine stored in that machine's folder; a run
    of an older version has all at its root. Another machine's folder is nobody's word. The log of
    another node of the run, and what else it stored, belong to ``nodes/<rank>/``.
    """
    believed = believed_folder(deployment, run)
    for prefix in dict.fromkeys((run.prefix, believed)):
        for found in _below(deployment, prefix):
            wanted = found.by_machine if prefix == believed else _is_ours(found.name)
            if wanted or (prefix == run.prefix == believed and _is_ours(found.name)):
                yield found
    for rank, folder in worker_folders(run).items():
        for found in _below(deployment, folder):
            if found.name in _OF_WORKER:
                yield replace(found, name=f"nodes/{rank}/{found.name}", by_machine=True)


def _below(deployment: Deployment, prefix: str) -> Iterator[Stored]:
    paginator = deployment.client("s3").get_paginator("list_objects_v2")
    for page in paginator.paginate(Bucket=deployment.results_bucket, Prefix=prefix):
        for item in page.get("Contents", []):
            yield _stored(item, prefix)


def list_files(deployment: Deployment, run: Run) -> tuple[list[Stored], bool]:
    """Return what the run's machine has stored, as far as one call tells it, and whether all of it.

    A call returns 1,000 objects at most (S3 API reference, ListObjectsV2).
    """
    prefix = believed_folder(deployment, run)
    page = deployment.client("s3").list_objects_v2(Bucket=deployment.results_bucket, Prefix=prefix)
    found = [_stored(item, prefix) for item in page.get("Contents", [])]
    return [one for one in found if one.by_machine], not page.get("IsTruncated", False)


def _stored(item: Mapping[str, Any], prefix: str) -> Stored:
    name = str(item["Key"]).removeprefix(prefix)
    theirs = name in _AT_ROOT or name.startswith(("output/", "checkpoints/"))
    return Stored(
        key=item["Key"],
        name=name,
        size=item["Size"],
        by_machine=theirs and not name.endswith("/"),
        modified=item["LastModified"],
        etag=item["ETag"],
    )


def _is_ours(name: str) -> bool:
    return name in _RECORD or (name.startswith("source/") and not name.endswith("/"))


def described(files: Sequence[Stored], whole: bool, run_id: str) -> list[str]:
    """Return what a machine has stored, in some lines: how much is where, and what it is called."""
    if not files:
        return ["none yet"]
    groups: dict[str, list[Stored]] = {}
    for one in files:
        groups.setdefault(one.name.split("/")[0], []).append(one)
    said = (
        f"{counted(len(group), 'file')} in {name}/, {sum(one.size for one in group):,} bytes"
        for name, group in groups.items()
        if name not in _AT_ROOT
    )
    some = "" if whole else "; there are more"
    lines = [f"{'; '.join(said) or 'only its log'}{some}"]
    shown = sorted(files, key=lambda one: (not one.name.startswith("output/"), one.name))
    lines += [f"{one.name} ({one.size:,} bytes)" for one in shown[:_SHOWN]]
    if len(files) > _SHOWN:
        lines.append(f"and {len(files) - _SHOWN} more; make results RUN={run_id} fetches all")
    return lines


def choose(objects: Sequence[Stored], only: str, run: Run) -> Sequence[Stored]:
    """Return those whose names match the pattern `only`, all if it is empty.

    ``*`` stands for any characters, slashes too; a folder's name for all that is below it.

    Raises:
        Refused: if none does, naming what there is.
    """
    if not only:
        return objects
    below = only.rstrip("/") + "/"
    found = [one for one in objects if fnmatchcase(one.name, only) or one.name.startswith(below)]
    if found:
        return found
    if not objects:
        raise Refused(f"run {run.run_id} has stored nothing yet that ONLY='{only}' could match")
    named = "\n".join(f"  {one_line(one.name)}" for one in objects[:_NAMED])
    more = f"\n  and {len(objects) - _NAMED} more" if len(objects) > _NAMED else ""
    raise Refused(
        f"ONLY='{only}' matches none of the {len(objects)} objects of run {run.run_id}; there are\n"
        f"{named}{more}"
    )
