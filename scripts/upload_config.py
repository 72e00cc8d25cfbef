"""Check every job, then upload what changed: `make upload-config [JOB=x]`."""

from __future__ import annotations

import argparse

from scripts import console, jobs, uploads
from scripts.console import Refused
from scripts.deployment import Deployment, read_deployment


def main(argv: list[str]) -> int:
    """Check all jobs (or one) and upload what changed; nothing is uploaded if anything is wrong."""
    parser = argparse.ArgumentParser(prog="make upload-config", description=main.__doc__)
    parser.add_argument("--job", help="only this job")
    parser.add_argument("--check", action="store_true", help="check only; needs no deployment")
    options = parser.parse_args(argv)

    folders = jobs.job_folders()
    chosen = jobs.choose(folders, options.job or None)
    deployment = None if options.check else _deployment()
    uploads.refuse_problems(deployment, chosen, folders)
    if options.check:
        print(f"{', '.join(chosen)}: no problem found")
        return 0

    deployment = deployment or read_deployment()
    for job, folder in chosen.items():
        uploads.apply(deployment, job, uploads.compare(deployment, job, folder))
    return 0


def _deployment() -> Deployment | None:
    """Return the deployment; None without one: what is wrong with the files is told first."""
    try:
        return read_deployment()
    except Refused:
        return None


if __name__ == "__main__":
    console.run(main)
