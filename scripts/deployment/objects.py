"""What a run has stored: its own objects, and no others'."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from fnmatch import fnmatchcase
from itertools import islice

from scripts.cli.console import Refused
from scripts.cli.plain_text import one_line
from scripts.deployment.folders import believed_folder
from scripts.deployment.outputs import Deployment
from scripts.deployment.runs import Run

_RECORD = ("run.json", "outcome.json", "agent.py", "agent.pyz")
_NAMED = 20
"""Objects that a refusal names."""


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


def list_objects(deployment: Deployment, run: Run, most: int | None = None) -> Iterator[Stored]:
    """Yield what is the run's own.

    Its record and source are at its root, what its machine stored in that machine's folder; a run
    of an older version has all at its root. Another machine's folder is nobody's word.

    Args:
        most: how many objects are looked at in each of the two; all if None.
    """
    paginator = deployment.client("s3").get_paginator("list_objects_v2")
    believed = believed_folder(deployment, run)
    for prefix in dict.fromkeys((run.prefix, believed)):
        pages = paginator.paginate(Bucket=deployment.results_bucket, Prefix=prefix)
        items = (item for page in pages for item in page.get("Contents", []))
        for item in islice(items, most):
            name = str(item["Key"]).removeprefix(prefix)
            at_root = prefix == run.prefix
            ours = name in _RECORD or name.startswith("source/")
            theirs = name == "log.txt" or name.startswith(("output/", "checkpoints/"))
            wanted = ours if at_root else theirs
            if (wanted or (theirs and believed == run.prefix)) and not name.endswith("/"):
                yield Stored(
                    key=item["Key"],
                    name=name,
                    size=item["Size"],
                    by_machine=theirs,
                    modified=item["LastModified"],
                    etag=item["ETag"],
                )


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
