"""Fetch a run's results: `parris results`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from scripts import console
from scripts.arguments import parse
from scripts.deployment import ROOT, Deployment, read_deployment
from scripts.inside import NotInside, path_inside
from scripts.runs import Run, believed_folder, find_run

_RECORD = ("run.json", "outcome.json", "agent.py")


def main(argv: list[str]) -> int:
    """Download what a run stored, by default the newest run, to results/<job>/<run-id>/."""
    options = parse("results", argv)
    deployment = read_deployment()
    run = find_run(deployment, options.job or None, options.run or None)
    folder = Path(options.to or ROOT / "results").absolute() / run.job / run.run_id
    count, refused = fetch(deployment, run, folder)
    shown = folder.relative_to(ROOT) if folder.is_relative_to(ROOT) else folder
    print(f"run {run.run_id} of job {run.job}: {run.state}; {count} files in {shown}/")
    if refused:
        print(f"{len(refused)} objects were not fetched:")
        print(*(f"  {line}" for line in refused), sep="\n")
    if options.json:
        console.print_json(
            {
                "job": run.job,
                "run-id": run.run_id,
                "state": run.state,
                "folder": str(folder),
                "files": count,
                "refused": refused,
            }
        )
    return 1 if refused else 0


def fetch(deployment: Deployment, run: Run, folder: Path) -> tuple[int, list[str]]:
    """Download the run's objects into `folder`, saying each.

    Returns:
        How many there are, and those that were refused, each with the reason.
    """
    s3 = deployment.client("s3")
    count, refused = 0, []
    for key, name, size in list_objects(deployment, run):
        try:
            path = path_inside(folder, name)
            path.parent.mkdir(parents=True, exist_ok=True)
            s3.download_file(deployment.results_bucket, key, str(path))
        except NotInside as error:
            refused.append(f"{key!r}: {error}")
        except OSError as error:  # a file where a folder is to be, a name too long, a full disk
            refused.append(f"{key!r}: {error.strerror or error}")
        else:
            print(f"  {name} ({size:,} bytes)")
            count += 1
    return count, refused


def list_objects(deployment: Deployment, run: Run) -> Iterator[tuple[str, str, int]]:
    """Yield key, name below the run's local folder, and bytes of what is the run's own.

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
            theirs = name == "log.txt" or name.startswith(("output/", "checkpoints/"))
            wanted = ours if at_root else theirs
            if (wanted or (theirs and believed == run.prefix)) and not name.endswith("/"):
                yield item["Key"], name, item["Size"]
