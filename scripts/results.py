"""Fetch a run's results: `make results [JOB=x] [RUN=id]`."""

from __future__ import annotations

import argparse
from pathlib import Path

from scripts import console
from scripts.console import Refused
from scripts.deployment import ROOT, Deployment, read_deployment
from scripts.inside import NotInside, path_inside
from scripts.plain_text import one_line
from scripts.runs import Run, find_folder, find_run


def main(argv: list[str]) -> int:
    """Download what a run stored, by default the newest run, to results/<job>/<run-id>/."""
    parser = argparse.ArgumentParser(prog="make results", description=main.__doc__)
    parser.add_argument("--job")
    parser.add_argument("--run")
    parser.add_argument("--to", type=Path, default=ROOT / "results")
    options = parser.parse_args(argv)
    deployment = read_deployment()
    run = find_run(deployment, options.job or None, options.run or None)
    folder = options.to / run.job / run.run_id
    count, refused = fetch(deployment, run, folder)
    shown = folder.relative_to(ROOT) if folder.is_relative_to(ROOT) else folder
    print(one_line(f"run {run.run_id} of job {run.job}: {run.state}; {count} files in {shown}/"))
    if refused:
        names = "\n".join(f"  {one_line(line)}" for line in refused)
        raise Refused(f"not fetched, since they cannot lie in {shown}/:\n{names}")
    return 0


def fetch(deployment: Deployment, run: Run, folder: Path) -> tuple[int, list[str]]:
    """Download the run's objects into `folder`, saying each.

    What the machine stored lies in a folder of its own there, and at the top here; what other
    machines put beside it is not the run's.

    Returns:
        How many files it were, and the keys that were left, each with the reason.
    """
    s3 = deployment.client("s3")
    machine = find_folder(deployment, run)
    pages = s3.get_paginator("list_objects_v2").paginate(
        Bucket=deployment.results_bucket, Prefix=run.prefix
    )
    count, refused = 0, list[str]()
    for item in (item for page in pages for item in page.get("Contents", [])):
        key = item["Key"]
        name = name_of(key, run.prefix, machine)
        if name is None or name.endswith("/"):
            continue
        try:
            path = path_inside(folder, name)
            path.parent.mkdir(parents=True, exist_ok=True)
            s3.download_file(deployment.results_bucket, key, str(path))
        except NotInside as error:
            refused.append(f"{key}: {error}")
            continue
        except OSError as error:  # a file where a folder is to be, a name too long
            refused.append(f"{key}: {error.strerror or error}")
            continue
        print(one_line(f"  {name} ({item['Size']:,} bytes)"))
        count += 1
    return count, refused


def name_of(key: str, prefix: str, machine: str | None) -> str | None:
    """Return the path of an object below the results' folder; None if it is not the run's."""
    name = key.removeprefix(prefix)
    if not name.startswith("machines/"):
        return name
    if machine is None or not key.startswith(machine):
        return None
    name = key.removeprefix(machine)
    # The functions' reading of it is at the root, for a run that is over.
    return None if name == "outcome.json" else name


if __name__ == "__main__":
    console.run(main)
