"""Fetch a run's results: `make results [JOB=x] [RUN=id]`."""

from __future__ import annotations

import argparse
from pathlib import Path

from scripts import console
from scripts.console import Refused
from scripts.deployment import ROOT, Deployment, read_deployment
from scripts.runs import Run, find_run


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
    count = fetch(deployment, run, folder)
    shown = folder.relative_to(ROOT) if folder.is_relative_to(ROOT) else folder
    print(f"run {run.run_id} of job {run.job}: {run.state}; {count} files in {shown}/")
    return 0


def fetch(deployment: Deployment, run: Run, folder: Path) -> int:
    """Download every object of the run into `folder`, saying each; return how many."""
    s3 = deployment.client("s3")
    pages = s3.get_paginator("list_objects_v2").paginate(
        Bucket=deployment.results_bucket, Prefix=run.prefix
    )
    count = 0
    for item in (item for page in pages for item in page.get("Contents", [])):
        name = item["Key"].removeprefix(run.prefix)
        path = (folder / name).resolve()
        if not path.is_relative_to(folder.resolve()):
            raise Refused(f"{item['Key']}: its name leads out of {folder}; it was not fetched")
        if name.endswith("/"):
            continue
        path.parent.mkdir(parents=True, exist_ok=True)
        s3.download_file(deployment.results_bucket, item["Key"], str(path))
        print(f"  {name} ({item['Size']:,} bytes)")
        count += 1
    return count


if __name__ == "__main__":
    console.run(main)
