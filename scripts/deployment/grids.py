"""Grids of a deployment, from the ledger: which there are, and how the trials of one stand."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Sequence
from typing import Any

from parris.aws.trials import Trials
from parris.contract import EndedBy, State
from parris.events.router import stop_grid_event
from parris.jobs.parameters import environment_name
from parris.runs.grid import GridRecord
from parris.runs.messages_of_grids import grid_facts
from parris.runs.record import RunRecord
from parris.runs.trials import order_of
from scripts.cli.console import Refused
from scripts.deployment.outputs import Deployment
from scripts.deployment.stores import ledger_of

MOST_ROWS = 5_000
"""Trials of which a table is made: a call for some hundred of them."""

_LOOK_SECONDS = 5
_NEWEST = 20
LAST = "last"


def find_grid(deployment: Deployment, job: str | None, wanted: str) -> GridRecord:
    """Return the grid whose id begins with `wanted`; with LAST, or nothing, the newest.

    Raises:
        Refused: if there is none, or more than one.
    """
    beginning = "" if wanted == LAST else wanted
    found, problems = Trials(ledger_of(deployment).table).newest(_NEWEST, beginning)
    grids = [grid for grid in found if job in (None, grid.job)]
    if not grids:
        there = f": {problems[0]}" if problems else ""
        whose = f" of job {job}" if job else ""
        known = [one.grid_id for one in _newest(deployment, job)][:5] if beginning else []
        meant = f"; the newest are {', '.join(known)}" if known else "; make grid starts one"
        raise Refused(f"there is no grid {beginning or 'yet'}{whose}{there}{meant}")
    if beginning and len(grids) > 1:
        ids = ", ".join(grid.grid_id for grid in grids[:5])
        raise Refused(f"{beginning} is the beginning of several grids: {ids}")
    return grids[0]


def _newest(deployment: Deployment, job: str | None) -> list[GridRecord]:
    found, _ = Trials(ledger_of(deployment).table).newest(_NEWEST)
    return [grid for grid in found if job in (None, grid.job)]


def trials_of(deployment: Deployment, grid: GridRecord, most: int = MOST_ROWS) -> list[RunRecord]:
    """Return the trials of a grid that have been planned, the best first.

    Those without the metric come last, and those that ended without success: none is the best.
    Of a grid with more than `most` there are none.
    """
    beginning = grid.grid_id.rpartition("-")[0]
    ledger = ledger_of(deployment)
    found = ledger.all_begun_with(f"{beginning}-")[0] if grid.next <= most + 1 else []
    mine = [run for run in found if run.job == grid.job and run.trial]
    mine = [run for run in mine if run.trial and run.trial[0] == grid.grid_id]
    return sorted(mine, key=lambda run: (-_order(grid, run), run.run_id))


def _order(grid: GridRecord, run: RunRecord) -> int:
    value = run.metrics.get(grid.grid.metric)
    missed = run.outcome is not None and run.state != State.SUCCEEDED
    if missed or not isinstance(value, (int, float)):
        return -(2**63)
    return order_of(value, grid.grid.goal)


def plain(grid: GridRecord, trials: Sequence[RunRecord]) -> dict[str, Any]:
    """Return a grid and its trials for ``--json``."""
    return {
        "job": grid.job,
        **grid_facts(grid),
        "is-over": not grid.is_open,
        "stopped-early": early_stops(trials),
        "runs": [_plain(run) for run in trials],
    }


def early_stops(trials: Sequence[RunRecord]) -> dict[str, Any] | None:
    """Return how many trials were stopped early, and about how much that saved; None if none was.

    What they would have cost nobody knows: it is taken to be the mean of those that succeeded.
    """
    costs = [cost_of(run) for run in trials if is_early(run)]
    whole = [cost_of(run) for run in trials if run.state == State.SUCCEEDED]
    known = [cost for cost in whole if cost is not None]
    if not costs:
        return None
    saved = None
    if known:
        mean = sum(known) / len(known)
        saved = f"{max(0.0, sum(mean - cost for cost in costs if cost is not None)):.4f}"
    return {"trials": len(costs), "saved-usd": saved}


def is_early(run: RunRecord) -> bool:
    """Return whether its grid has stopped a trial because it fell behind."""
    return run.state == State.STOPPED and (run.outcome or {}).get("ended-by") == EndedBy.EARLY


def cost_of(run: RunRecord) -> float | None:
    """Return what a trial that is over has cost, in US dollars, if that is known."""
    return (run.outcome or {}).get("cost-usd")


def _plain(run: RunRecord) -> dict[str, Any]:
    return {
        "trial": run.trial and run.trial[1],
        "run-id": run.run_id,
        "state": run.state,
        "reason": (run.outcome or {}).get("reason", run.reason),
        "parameters": run.receipt.get("parameters", {}),
        "metrics": dict(run.metrics),
        "cost-usd": cost_of(run),
    }


def values_of(grid: GridRecord, run: RunRecord) -> dict[str, str]:
    """Return the values that a trial has of the parameters in which trials differ.

    The job may spell their names in another way than the grid.
    """
    number = run.trial[1] if run.trial else 1
    known = {**run.receipt.get("parameters", {}), **grid.parameters_of(number)}
    spelled = {environment_name(name): value for name, value in known.items()}
    return {name: spelled.get(environment_name(name), "") for name in grid.grid.names}


def stop(deployment: Deployment, grid: GridRecord) -> dict[str, Any]:
    """Let a grid begin no more trials, and end those under way; return the function's answer.

    Raises:
        Refused: if it is over, or the launch function refuses.
    """
    if not grid.is_open:
        raise Refused(f"grid {grid.grid_id} of job {grid.job} is over already")
    result = deployment.client("lambda").invoke(
        FunctionName=deployment.launch_function,
        Payload=json.dumps(stop_grid_event(grid.job, grid.grid_id)).encode(),
    )
    answer: dict[str, Any] = json.loads(result["Payload"].read())
    if "FunctionError" in result:
        raise Refused(f"grid {grid.grid_id} was not stopped: {answer.get('errorMessage')}")
    return answer


def read_again(deployment: Deployment, grid: GridRecord) -> GridRecord:
    """Return a grid as it is now: a list of grids, which is an index of the ledger, may lag."""
    return Trials(ledger_of(deployment).table).read(grid.job, grid.grid_id) or grid


def follow(deployment: Deployment, grid: GridRecord) -> Iterator[GridRecord]:
    """Yield how a grid stands whenever that has changed, until it is over."""
    last = ""
    while True:
        now_is = read_again(deployment, grid)
        stands = str(grid_facts(now_is))
        if stands != last:
            yield now_is
        if not now_is.is_open:
            return
        last = stands
        time.sleep(_LOOK_SECONDS)
