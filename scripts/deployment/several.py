"""Which run is meant, where a job's config lets several go at once and nobody said RUN=."""

from __future__ import annotations

import sys
from collections.abc import Iterable

from parris.aws.stacks import stack_tags
from scripts.cli.console import Refused
from scripts.cli.which_cloud import hint
from scripts.deployment.outputs import Deployment
from scripts.deployment.runs import Run, find_run, list_stacks, read_runs


def pick_run(deployment: Deployment, job: str | None, run_id: str | None, command: str) -> Run:
    """Return the run named, or else the newest of `job` (or of any), and say which of several.

    Args:
        command: the target that asks, as ``make`` has it, to be named in what is said.

    Raises:
        Refused: if there is none.
    """
    run = find_run(deployment, job, run_id)
    if run_id:
        return run
    going = under_way(deployment, run.job)
    if len(going) > 1:
        print(
            f"note: {len(going)} runs of job {run.job} are under way; this is {run.run_id}, the "
            f"newest. The others:\n{_listed(one for one in going if one.run_id != run.run_id)}\n"
            f"{hint(command + ' RUN=…')} shows one of them",
            file=sys.stderr,
        )
    return run


def pick_run_to_change(
    deployment: Deployment, job: str | None, run_id: str | None, command: str
) -> Run:
    """Return the run named, or else the one of its job that is under way.

    Raises:
        Refused: if there is none, or several are under way: the text names them.
    """
    run = find_run(deployment, job, run_id)
    if run_id:
        return run
    going = under_way(deployment, run.job)
    if not run.is_over and run.run_id not in [one.run_id for one in going]:
        going.insert(0, run)  # it has no stack, for the moment
    if len(going) > 1:
        raise Refused(
            f"{len(going)} runs of job {run.job} are under way; say which, {command} RUN=…\n"
            f"{_listed(going)}"
        )
    return going[0] if going else run


def under_way(deployment: Deployment, job: str) -> list[Run]:
    """Return the runs of a job that are not over, the newest first, by the stacks that stand."""
    stacks = list_stacks(deployment)
    tagged = [stack_tags(stack) for stack in stacks]
    keys = [(job, tags["parris:run-id"]) for tags in tagged if tags.get("parris:job") == job]
    runs = [run for run in read_runs(deployment, keys, stacks) if not run.is_over]
    return sorted(runs, key=lambda run: str(run.receipt.get("claimed")), reverse=True)


def _listed(runs: Iterable[Run]) -> str:
    return "\n".join(
        f"  {run.run_id}  {run.state}, launched {run.receipt.get('claimed', 'at an unknown time')}"
        for run in runs
    )
