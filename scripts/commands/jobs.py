"""List the jobs: where each is, its last run, what starts it: `parris jobs`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from parris.aws.storage import JOBS_FOLDER
from parris.events.request import DEFAULT_JOB
from parris.jobs.config import CONFIG_FILENAME
from parris.runs.record import RunRecord
from scripts.cli import console
from scripts.cli.arguments import parse
from scripts.cli.columns import Column
from scripts.cli.which_cloud import hint
from scripts.deployment.newest import with_stacks
from scripts.deployment.outputs import Deployment, read_deployment
from scripts.deployment.runs import Run, list_run_keys, list_stacks, read_runs
from scripts.deployment.stores import ledger_of
from scripts.jobs.jobs import job_folders

_COLUMNS = (
    Column(heading="JOB", rank=0),
    Column(heading="IN", rank=4),
    Column(heading="LAST RUN", rank=1),
    Column(heading="STATE", rank=2),
    Column(heading="STACK", rank=5),
    Column(heading="STARTED BY", rank=3, least=20),
)

_LATELY = 200
"""Runs among which the last one of most jobs is."""


def main(argv: list[str]) -> int:
    """List every job of the folder, of the bucket, and of a schedule or a data trigger."""
    options = parse("jobs", argv)
    deployment = read_deployment()
    folders, bucket = job_folders(), uploaded(deployment)
    runs = last_runs(deployment, {*folders, *bucket})
    rows = describe(deployment, folders, bucket, runs)
    if options.json:
        console.print_json(rows)
    else:
        console.print_table(_COLUMNS, [_cells(row) for row in rows])
    absent = [row["job"] for row in rows if row["folder"] and not row["bucket"]]
    if absent:
        print(hint(f"not uploaded yet: {', '.join(absent)}; make upload-config does it"))
    return 0


def uploaded(deployment: Deployment) -> set[str]:
    """Return the jobs that the config bucket holds."""
    s3, bucket = deployment.client("s3"), deployment.config_bucket
    pages = s3.get_paginator("list_objects_v2").paginate(
        Bucket=bucket, Prefix=JOBS_FOLDER, Delimiter="/"
    )
    jobs = {
        str(found["Prefix"]).removeprefix(JOBS_FOLDER).rstrip("/")
        for page in pages
        for found in page.get("CommonPrefixes", [])
    }
    root = s3.list_objects_v2(Bucket=bucket, Prefix=CONFIG_FILENAME, MaxKeys=1)
    return jobs | ({DEFAULT_JOB} if root.get("KeyCount") else set())


def last_runs(deployment: Deployment, jobs: Iterable[str]) -> list[Run]:
    """Return the newest run of each job that has one: of `jobs`, and of those that ran lately."""
    ledger, stacks = ledger_of(deployment), list_stacks(deployment)
    if ledger.adopted_after() is not None:  # after an upgrade it does not hold all yet
        newest: dict[str, tuple[str, str]] = {}
        for key in list_run_keys(deployment, None):
            newest.setdefault(key[0], key)
        return read_runs(deployment, newest.values(), stacks)
    last: dict[str, RunRecord] = {}
    for record in ledger.newest(_LATELY)[0]:
        last.setdefault(record.job, record)
    with ThreadPoolExecutor(max_workers=8) as pool:
        earlier = pool.map(lambda job: ledger.newest(1, job)[0], {*jobs} - {*last})
    records = [*last.values(), *(record for found in earlier for record in found)]
    return with_stacks(deployment, records, stacks)


def describe(
    deployment: Deployment, folders: Mapping[str, Path], bucket: set[str], runs: Iterable[Run]
) -> list[dict[str, Any]]:
    """Return a row a job, the default job first (docs/commands.md).

    Args:
        folders: the jobs on disk.
        bucket: the jobs that were uploaded.
        runs: the last one of each job that has one; its job need not be there any more.
    """
    last = {run.job: run for run in runs}
    schedules = _by_job(deployment.schedules)
    triggers = _by_job(deployment.data_triggers)
    names = {*folders, *bucket, *last, *schedules, *triggers}
    return [
        {
            "job": job,
            "folder": job in folders,
            "bucket": job in bucket,
            "run-id": last[job].run_id if job in last else None,
            "state": last[job].state if job in last else None,
            "stack-name": _stack(last.get(job)),
            "schedules": schedules.get(job, []),
            "data-triggers": triggers.get(job, []),
        }
        for job in sorted(names, key=lambda name: (name != DEFAULT_JOB, name))
    ]


def _by_job(triggers: Mapping[str, Mapping[str, Any]]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for name in sorted(triggers):
        found.setdefault(str(triggers[name].get("job", DEFAULT_JOB)), []).append(name)
    return found


def _stack(run: Run | None) -> str | None:
    """Return the name of the stack that stands for a job's last run."""
    return str(run.stack["StackName"]) if run is not None and run.stack else None


def _cells(row: Mapping[str, Any]) -> tuple[str, ...]:
    places = [place for place in ("folder", "bucket") if row[place]]
    started = [*row["schedules"], *(f"data {name}" for name in row["data-triggers"])]
    return (
        row["job"],
        "both" if len(places) == 2 else "".join(places) or "neither",
        row["run-id"] or "-",
        row["state"] or "-",
        row["stack-name"] or "-",
        ", ".join(started) or "-",
    )
