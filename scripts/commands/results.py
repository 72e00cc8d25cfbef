"""Fetch a run's results: `parris results`."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from parris.runs.times import iso
from scripts.cli import console
from scripts.cli.arguments import parse
from scripts.cli.inside import NotInside, path_inside
from scripts.cli.which_cloud import hint
from scripts.cli.words import ago, counted
from scripts.deployment.folders import believed_folder
from scripts.deployment.outputs import ROOT, Deployment, read_deployment
from scripts.deployment.runs import Run
from scripts.deployment.several import pick_run

_SAID = ("log.txt", "machine.jsonl")
"""What the machine itself says of a run, beside what its trainer made."""
_RECORD = ("run.json", "outcome.json", "agent.py", "agent.pyz")


@dataclass(kw_only=True)
class Fetched:
    """What came of a fetch."""

    count: int = 0
    """Objects that are here now."""
    refused: list[str] = field(default_factory=list)
    """Those that are not, each with the reason."""
    stored: datetime | None = None
    """When the machine stored the newest of them; None if nothing of it came."""


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


def main(argv: list[str]) -> int:
    """Download what a run stored, by default the newest run, to results/<job>/<run-id>/."""
    options = parse("results", argv)
    deployment = read_deployment()
    run = pick_run(deployment, options.job or None, options.run or None, "make results")
    folder = Path(options.to or ROOT / "results").absolute() / run.job / run.run_id
    fetched = fetch(deployment, run, folder)
    shown = folder.relative_to(ROOT) if folder.is_relative_to(ROOT) else folder
    where = f" in {shown}/" if fetched.count else ""
    files = counted(fetched.count, "file")
    print(f"run {run.run_id} of job {run.job}: {run.state}; {files}{where}")
    if not run.is_over:
        print(hint(_how_old(run, fetched.stored, datetime.now(UTC))))
    if fetched.refused:
        were = counted(len(fetched.refused), "object was", "objects were")
        print(f"{were} not fetched:", *fetched.refused, sep="\n  ")
    if options.json:
        console.print_json(
            {
                "job": run.job,
                "run-id": run.run_id,
                "state": run.state,
                "folder": str(folder),
                "files": fetched.count,
                "refused": fetched.refused,
            }
        )
    return 1 if fetched.refused else 0


def _how_old(run: Run, stored: datetime | None, now: datetime) -> str:
    """Return how far behind a run that goes on its fetched results are, and what fetches more."""
    pause = run.receipt.get("sync-interval-seconds")
    every = f" (it stores every {pause} s)" if pause else ""
    if stored is None:
        what = "its machine has stored nothing yet"
    else:
        what = f"its machine stored the newest of this {ago(stored, now)}, {iso(stored)}"
    again = f"make results RUN={run.run_id} fetches what has come since"
    return f"the run goes on: {what}{every}; {again}"


def fetch(deployment: Deployment, run: Run, folder: Path) -> Fetched:
    """Download the run's objects into `folder`, saying each."""
    s3, fetched = deployment.client("s3"), Fetched()
    for item in list_objects(deployment, run):
        try:
            path = path_inside(folder, item.name)
            path.parent.mkdir(parents=True, exist_ok=True)
            s3.download_file(deployment.results_bucket, item.key, str(path))
        except NotInside as error:
            fetched.refused.append(f"{item.key!r}: {error}")
        except OSError as error:  # a file where a folder is to be, a name too long, a full disk
            fetched.refused.append(f"{item.key!r}: {error.strerror or error}")
        else:
            print(f"  {item.name} ({item.size:,} bytes)")
            fetched.count += 1
            if item.by_machine:
                fetched.stored = max(fetched.stored or item.modified, item.modified)
    return fetched


def list_objects(deployment: Deployment, run: Run) -> Iterator[Stored]:
    """Yield what is the run's own.

    Its record and source are at its root, what its machine stored in that machine's folder; a run
    of an older version has all at its root. Another machine's folder is nobody's word.
    """
    paginator = deployment.client("s3").get_paginator("list_objects_v2")
    believed = believed_folder(deployment, run)
    for prefix in dict.fromkeys((run.prefix, believed)):
        pages = paginator.paginate(Bucket=deployment.results_bucket, Prefix=prefix)
        for item in (item for page in pages for item in page.get("Contents", [])):
            name = str(item["Key"]).removeprefix(prefix)
            at_root = prefix == run.prefix
            ours = name in _RECORD or name.startswith("source/")
            theirs = name in _SAID or name.startswith(("output/", "checkpoints/"))
            wanted = ours if at_root else theirs
            if (wanted or (theirs and believed == run.prefix)) and not name.endswith("/"):
                yield Stored(
                    key=item["Key"],
                    name=name,
                    size=item["Size"],
                    by_machine=theirs,
                    modified=item["LastModified"],
                )
