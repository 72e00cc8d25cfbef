"""A grid as the report's page has it: how it stands, its best trial, and its trials."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from parris.jobs.parameters import environment_name
from parris.runs.grid import GridRecord
from parris.runs.messages_of_grids import grid_facts
from parris.runs.month import MICROS
from parris.runs.times import iso, read_time
from scripts.cli.console import Refused
from scripts.cli.verb import MAX_COUNT
from scripts.cli.which_cloud import hint
from scripts.deployment.best_trial import ways_to_repeat
from scripts.deployment.grids import trials_of
from scripts.deployment.newest import with_stacks
from scripts.deployment.outputs import Deployment
from scripts.deployment.runs import Run, list_stacks
from scripts.report.rows import texts


def read_trials(deployment: Deployment, grid: GridRecord) -> list[Run]:
    """Return the trials of a grid that have begun, the best first.

    Raises:
        Refused: if none has come so far, or more than a page may hold.
    """
    look = hint(f"make status GRID={grid.grid_id}")
    if grid.next > MAX_COUNT + 1:
        raise Refused(
            f"{grid.next - 1} trials of grid {grid.grid_id} have begun, and a report has "
            f"{MAX_COUNT} at most; {look} names the best one"
        )
    trials = trials_of(deployment, grid, MAX_COUNT)
    if not trials:
        raise Refused(f"grid {grid.grid_id} has no trial to show yet; {look} says how it goes")
    return with_stacks(deployment, trials, list_stacks(deployment))


def head_of(
    deployment: Deployment, grid: GridRecord, runs: Sequence[Run], now: datetime
) -> dict[str, Any]:
    """Return what the page says of a grid before its trials.

    Its keys: ``id``, ``job``; ``metric`` and ``goal`` (``max`` or ``min``), None without one;
    ``trials``, ``ended`` (how many by state), ``underWay``, ``waiting`` (some of those),
    ``notBegun``; ``usd`` spent, ``reserved`` and ``limit`` (None without one), US dollars;
    ``open``; ``seconds`` from its beginning to its last trial's end, or until now;
    ``parameters``, the names in which its trials differ, spelled as in the runs' parameters;
    ``best``: ``id``, ``trial``, ``value``, ``parameters`` and ``again``, each a ``command`` and
    what it ``does``; None if there is none.
    """
    facts = grid_facts(grid)
    best = facts["best"]
    ways = ways_to_repeat(deployment, grid)
    return {
        "id": grid.grid_id,
        "job": grid.job,
        "metric": facts["metric"],
        "goal": facts["goal"],
        "trials": grid.grid.count,
        "ended": dict(grid.ended),
        "underWay": len(grid.running),
        "waiting": sum(bool(entry.waits) for entry in grid.running.values()),
        "notBegun": facts["not-begun"],
        "usd": grid.spent / MICROS,
        "reserved": (grid.committed - grid.spent) / MICROS,
        "limit": None if grid.limit is None else grid.limit / MICROS,
        "open": grid.is_open,
        "seconds": _seconds(grid, runs, now),
        "parameters": _spelled(grid, runs),
        "best": best
        and {
            "id": best["run-id"],
            "trial": best["trial"],
            "value": best["value"],
            "parameters": texts(best["parameters"]),
            "again": [{"command": way.command, "does": way.does} for way in ways],
        },
    }


def notes_of(grid: GridRecord) -> list[str]:
    """Return what is to be said of a grid that is not in its numbers."""
    notes = [f"No more trials of it begin: {grid.stop}."] if grid.stop else []
    if not grid.grid.metric:
        notes.append(
            "The grid names no metric, so that none of its trials is the best one; "
            "BEST=accuracy, or BEST=-loss, does with make grid."
        )
    return notes


def _spelled(grid: GridRecord, runs: Sequence[Run]) -> list[str]:
    """Return the names in which trials differ as the job spells them, which the grid may not."""
    names = {environment_name(name): name for name in grid.grid.names}
    for run in runs:
        for name in run.receipt.get("parameters") or {}:
            if (key := environment_name(name)) in names:
                names[key] = name
    return list(names.values())


def _seconds(grid: GridRecord, runs: Sequence[Run], now: datetime) -> int:
    ends = [read_time((run.outcome or {}).get("finished")) for run in runs]
    known = [end for end in ends if end is not None]
    until = max(known, default=now) if not grid.is_open else now
    return max(0, round((until - grid.began).total_seconds()))


def about(deployment: Deployment, grid: GridRecord, now: datetime) -> str:
    """Return what the page is about, in one paragraph."""
    which = {"max": "highest", "min": "lowest"}[grid.grid.goal]
    best = f" The {which} {grid.grid.metric} is the best." if grid.grid.metric else ""
    return (
        f"Grid {grid.grid_id} of job {grid.job}, begun {iso(grid.began)}, of deployment "
        f"{deployment.deployment} in {deployment.region}, as of {iso(now)}.{best} All times are "
        "UTC."
    )
