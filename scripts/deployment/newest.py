"""The newest runs of a deployment, from its ledger: as many calls for ten runs as for ten thousand.

The calls are one listing of the stacks, one or two queries, and one look at the machines. A run of
which those do not tell all costs a few more: one whose machine is gone and whose end is not
written down yet, which is a matter of seconds.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from parris.contract import OVER
from parris.runs.record import RunRecord
from scripts.deployment.one_run import was_refused
from scripts.deployment.outputs import Deployment
from scripts.deployment.receipts import sound
from scripts.deployment.runs import Run, list_run_keys, look, make_run, read_runs
from scripts.deployment.stores import ledger_of

LOOKED_THROUGH = 10
"""Times the runs asked for: so many launches are looked through at most to find them."""


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """Which runs are asked for."""

    count: int
    job: str | None = None
    states: tuple[str, ...] = ()
    """How they stand; any way if empty."""
    since: datetime | None = None
    """The earliest time that their ids may name: that of the event."""

    @property
    def oldest(self) -> str:
        """The beginning of the oldest id that counts; "" if all do."""
        return f"{self.since:%Y%m%d-%H%M%S}" if self.since else ""


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
    deployment: Deployment, wanted: Wanted, stacks: Sequence[Mapping[str, Any]]
) -> Newest:
    """Return the newest runs that are `wanted`.

    A launch that was refused is a run in the ledger too; a hundred of them must not hide the run
    that they wanted to replace. So many of them are looked through, and no more. Where states are
    asked for, a launch that was refused is a run as any other.
    """
    if wanted.states:
        return _in_states(deployment, wanted, stacks)
    for limit in (2 * wanted.count, LOOKED_THROUGH * wanted.count):
        looked, problems, whole = _looked_through(deployment, wanted, stacks, limit)
        runs = [run for run in looked if not was_refused(run)][: wanted.count]
        if len(runs) == wanted.count or whole:
            break
    last = runs[-1].run_id if len(runs) == wanted.count else ""
    refused = [run for run in looked if was_refused(run) and run.run_id >= last]
    more = not whole or len(looked) > len(runs) + len(refused)
    return Newest(runs=runs, refused=refused, more=more, problems=problems)


def read_live_first(
    deployment: Deployment, wanted: Wanted, stacks: Sequence[Mapping[str, Any]]
) -> Newest:
    """Return the runs that go on, however old they are, then the newest others."""
    runs, problems = _standing_so(deployment, wanted, stacks)
    runs.sort(key=lambda run: run.is_over)  # stable: the newest first among either
    more = len(runs) > wanted.count
    return Newest(runs=runs[: wanted.count], refused=[], more=more, problems=problems)


def _in_states(
    deployment: Deployment, wanted: Wanted, stacks: Sequence[Mapping[str, Any]]
) -> Newest:
    runs, problems = _standing_so(deployment, wanted, stacks)
    more = len(runs) > wanted.count
    return Newest(runs=runs[: wanted.count], refused=[], more=more, problems=problems)


def _standing_so(
    deployment: Deployment, wanted: Wanted, stacks: Sequence[Mapping[str, Any]]
) -> tuple[list[Run], list[str]]:
    """Return all runs that are not over, and the newest that are, as far as they stand as wanted.

    How a run stands that is not over, or whose end is not written down yet, its stack says and not
    the ledger. Such are open, which an index lists.
    """
    ledger = ledger_of(deployment)
    records, problems = ledger.open_runs()
    of_job = (one for one in records if wanted.job in (None, one.job))
    records = [one for one in of_job if one.run_id >= wanted.oldest]
    over = [state for state in wanted.states if state in OVER]
    if over or not wanted.states:
        found, bad = ledger.newest(
            wanted.count + 1, wanted.job, since=wanted.oldest, states=over, older=bool(over)
        )
        records, problems = [*records, *found], [*problems, *bad]
    by_name = {one.name: one for one in records}
    newest = sorted(by_name.values(), key=lambda one: one.run_id, reverse=True)
    runs = with_stacks(deployment, newest, stacks)
    if wanted.states:
        return [run for run in runs if run.state in wanted.states], problems
    return [run for run in runs if not was_refused(run)], problems


def _looked_through(
    deployment: Deployment, wanted: Wanted, stacks: Sequence[Mapping[str, Any]], limit: int
) -> tuple[list[Run], list[str], bool]:
    """Return the newest launches, what holds none, and whether there are no others."""
    ledger, job = ledger_of(deployment), wanted.job
    records, problems = ledger.newest(limit + 1, job, since=wanted.oldest)
    runs = with_stacks(deployment, records, stacks)
    if ledger.adopted_after() is not None:  # after an upgrade it does not hold all yet
        known = {(run.job, run.run_id) for run in runs}
        keys = [key for key in list_run_keys(deployment, job) if key not in known]
        keys = [key for key in keys if key[1] >= wanted.oldest]
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
