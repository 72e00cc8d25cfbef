"""The newest runs of a deployment, from its ledger: as many calls for ten runs as for ten thousand.

The calls are one listing of the stacks, one or two queries, and one look at the machines. A run of
which those do not tell all costs a few more: one whose machine is gone and whose end is not
written down yet, which is a matter of seconds.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from parris.runs.record import RunRecord
from scripts.deployment.one_run import was_refused
from scripts.deployment.outputs import Deployment
from scripts.deployment.receipts import sound
from scripts.deployment.runs import Run, list_run_keys, look, make_run, read_runs
from scripts.deployment.stores import ledger_of

LOOKED_THROUGH = 10
"""Times the runs asked for: so many launches are looked through at most to find them."""


@dataclass(frozen=True, kw_only=True)
class Newest:
    """The newest runs, and the launches among them that were refused, each the newest first."""

    runs: list[Run]
    refused: list[Run]
    more: bool
    """Whether there are older ones."""
    problems: list[str]
    """What is wrong with items of the ledger that hold no run."""


def read_newest(
    deployment: Deployment, job: str | None, stacks: Sequence[Mapping[str, Any]], count: int
) -> Newest:
    """Return the newest `count` runs, of `job` where given.

    A launch that was refused is a run in the ledger too; a hundred of them must not hide the run
    that they wanted to replace. So many of them are looked through, and no more.
    """
    for limit in (2 * count, LOOKED_THROUGH * count):
        looked, problems, whole = _looked_through(deployment, job, stacks, limit)
        wanted = [run for run in looked if not was_refused(run)][:count]
        if len(wanted) == count or whole:
            break
    last = wanted[-1].run_id if len(wanted) == count else ""
    refused = [run for run in looked if was_refused(run) and run.run_id >= last]
    more = not whole or len(looked) > len(wanted) + len(refused)
    return Newest(runs=wanted, refused=refused, more=more, problems=problems)


def _looked_through(
    deployment: Deployment, job: str | None, stacks: Sequence[Mapping[str, Any]], limit: int
) -> tuple[list[Run], list[str], bool]:
    """Return the newest launches, what holds none, and whether there are no others."""
    ledger = ledger_of(deployment)
    records, problems = ledger.newest(limit + 1, job)
    runs = with_stacks(deployment, records, stacks)
    if ledger.adopted_after() is not None:  # after an upgrade it does not hold all yet
        known = {(run.job, run.run_id) for run in runs}
        keys = [key for key in list_run_keys(deployment, job) if key not in known]
        keys.sort(key=lambda key: key[1], reverse=True)
        runs += read_runs(deployment, keys[: limit + 1], stacks)
        runs.sort(key=lambda run: run.run_id, reverse=True)
    return runs[:limit], problems, len(runs) + len(problems) <= limit


def with_stacks(
    deployment: Deployment, records: Sequence[RunRecord], stacks: Sequence[Mapping[str, Any]]
) -> list[Run]:
    """Return the runs of `records`, with what their stacks and machines say."""
    standing = look(deployment, stacks, {one.run_id for one in records if one.outcome is None})
    return [
        make_run(
            deployment,
            (one.job, one.run_id),
            sound(one.known, f"run {one.run_id} in the ledger"),
            one.outcome,
            standing,
            attempts=one.attempts,
            metrics=one.metrics,
        )
        for one in records
    ]
