"""Grids of a deployment, from the ledger: which there are, and how the trials of one stand."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from parris.aws.trials import Trials
from parris.contract import OUTCOME_STATES, EndedBy, State
from parris.events.router import stop_grid_event
from parris.jobs.parameters import environment_name
from parris.runs.grid import GridRecord
from parris.runs.messages_of_grids import grid_facts
from parris.runs.month import MICROS
from parris.runs.record import RunRecord
from parris.runs.trials import order_of, states_line
from scripts.cli import console
from scripts.cli.columns import Column
from scripts.cli.console import RUN_FAILED, Refused
from scripts.cli.plain_text import one_line
from scripts.cli.which_cloud import hint
from scripts.cli.words import ago, counted
from scripts.deployment.best_trial import ways_to_repeat
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


def show(deployment: Deployment, grid: GridRecord, count: int) -> None:
    """Print how a grid stands, and its best trials."""
    now, facts = datetime.now(UTC), grid_facts(grid)
    stands = "goes on" if grid.is_open else "is over"
    print(f"grid {grid.grid_id} of job {grid.job} {stands}, begun {ago(grid.began, now)}")
    ended = states_line(grid.ended, OUTCOME_STATES) or "none is over"
    waiting = sum(bool(entry.waits) for entry in grid.running.values())
    going = f"{len(grid.running)} under way" + (f" ({waiting} of them wait)" if waiting else "")
    print(f"  trials  {grid.grid.count}: {ended}, {going}, {facts['not-begun']} not begun")
    print(f"  cost    {_money(grid)}")
    if grid.stop:
        print(one_line(f"  stop    {grid.stop}"))
    if facts["best"]:
        print(one_line(f"  best    {best_line(facts)}"))
    trials = trials_of(deployment, grid)
    if stopped := early_stops(trials):
        saved = stopped["saved-usd"]
        about = f": about ${saved} saved, had they cost as much as those that succeeded"
        print(f"  early   {counted(stopped['trials'], 'trial')} stopped{about if saved else ''}")
    if trials:
        console.print_table(*_table(grid, trials[:count]))
    for run in trials[:count]:
        if run.trial and _is_early(run):
            print(one_line(f"trial {run.trial[1]} was {(run.outcome or {}).get('reason')}"))
    if len(trials) > count:
        print(hint(f"{counted(len(trials) - count, 'more trial')}; COUNT={len(trials)} shows all"))
    for way in ways_to_repeat(deployment, grid):
        print(one_line(f"{way.command} {way.does}"))
    if trials:
        print(hint(f"make report GRID={grid.grid_id} has them side by side, as a page"))
    if grid.is_open:
        print(hint(f"make stop GRID={grid.grid_id} ends it"))


def best_line(facts: Mapping[str, Any]) -> str:
    """Return what the best trial reached, which run it is, and with which parameters."""
    best = facts["best"]
    chosen = " ".join(f"{name}={value}" for name, value in best["parameters"].items())
    return f"{facts['metric']}={best['value']:g}: run {best['run-id']}, {chosen}"


def plain(deployment: Deployment, grid: GridRecord) -> dict[str, Any]:
    """Return a grid for ``--json``."""
    trials = trials_of(deployment, grid)
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
    costs = [_cost(run) for run in trials if _is_early(run)]
    whole = [_cost(run) for run in trials if run.state == State.SUCCEEDED]
    known = [cost for cost in whole if cost is not None]
    if not costs:
        return None
    saved = None
    if known:
        mean = sum(known) / len(known)
        saved = f"{max(0.0, sum(mean - cost for cost in costs if cost is not None)):.4f}"
    return {"trials": len(costs), "saved-usd": saved}


def _is_early(run: RunRecord) -> bool:
    return (run.outcome or {}).get("ended-by") == EndedBy.EARLY


def _cost(run: RunRecord) -> float | None:
    return (run.outcome or {}).get("cost-usd")


def _plain(run: RunRecord) -> dict[str, Any]:
    return {
        "trial": run.trial and run.trial[1],
        "run-id": run.run_id,
        "state": run.state,
        "reason": (run.outcome or {}).get("reason", run.reason),
        "parameters": run.receipt.get("parameters", {}),
        "metrics": dict(run.metrics),
        "cost-usd": _cost(run),
    }


def _money(grid: GridRecord) -> str:
    spent = f"${grid.spent / MICROS:.4f}"
    if grid.limit is None:
        return spent
    reserved = (grid.committed - grid.spent) / MICROS
    return f"{spent} of ${grid.limit / MICROS:.2f}, ${reserved:.4f} reserved"


def _table(
    grid: GridRecord, trials: Sequence[RunRecord]
) -> tuple[list[Column], list[tuple[str, ...]]]:
    columns = [
        Column(heading="TRIAL", rank=1),
        Column(heading="RUN", rank=0),
        Column(heading="STATE", rank=0),
        *([Column(heading=grid.grid.metric.upper(), rank=0)] if grid.grid.metric else []),
        Column(heading="COST", rank=2),
        Column(heading="PARAMETERS", rank=1, least=22),
    ]
    rows = []
    for run in trials:
        given = values_of(grid, run)
        value = run.metrics.get(grid.grid.metric, "")
        cost = _cost(run)
        rows.append(
            (
                str(run.trial and run.trial[1]),
                run.run_id,
                run.state,
                *(
                    [f"{value:.6g}" if isinstance(value, (int, float)) else value]
                    if grid.grid.metric
                    else []
                ),
                "" if cost is None else f"${cost:.4f}",
                " ".join(f"{name}={value}" for name, value in given.items()),
            )
        )
    return columns, rows


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


def follow(deployment: Deployment, grid: GridRecord) -> Iterator[GridRecord]:
    """Yield how a grid stands whenever that has changed, until it is over."""
    trials, last = Trials(ledger_of(deployment).table), ""
    while True:
        now_is = trials.read(grid.job, grid.grid_id) or grid
        stands = str(grid_facts(now_is))
        if stands != last:
            yield now_is
        if not now_is.is_open:
            return
        last = stands
        time.sleep(_LOOK_SECONDS)


def line_of(grid: GridRecord) -> str:
    """Return how far a grid has come, in one line."""
    facts = grid_facts(grid)
    best = facts["best"]
    shown = f", best {grid.grid.metric}={best['value']:g} (trial {best['trial']})" if best else ""
    ended = states_line(grid.ended, OUTCOME_STATES) or "none over"
    return f"{grid.over} of {grid.grid.count} trials: {ended}, {len(grid.running)} under way{shown}"


def send_off(
    deployment: Deployment, answer: Mapping[str, Any], *, wait: bool, as_json: bool
) -> int:
    """Print a launch's answer that is about a grid, follow that if asked to; return a status."""
    grid_id, job = answer["grid"], answer["job"]
    if answer["duplicate"]:
        print(f"grid {grid_id} of job {job} was started before; nothing new")
    else:
        limit = answer["cost-limit-usd"]
        most = f", ${limit} at most" if limit else ""
        print(f"grid {grid_id} of job {job} started")
        print(f"  trials  {answer['trials']}, {answer['max-parallel']} at once{most}")
    print(
        hint(f"see how it goes with make status GRID={grid_id}; make stop GRID={grid_id} ends it")
    )
    status, stands = _follow_to_the_end(deployment, job, grid_id) if wait else (0, {})
    if as_json:
        console.print_json({**answer, **stands})
    return status


def _follow_to_the_end(
    deployment: Deployment, job: str, grid_id: str
) -> tuple[int, dict[str, Any]]:
    """Print how a grid goes until it is over; return the exit status and how it stands then."""
    grid = find_grid(deployment, job, grid_id)
    try:
        for now_is in follow(deployment, grid):
            grid = now_is
            print(line_of(grid), flush=True)
    except KeyboardInterrupt:
        print(hint(f"\nthe grid goes on; make status GRID={grid_id}"), file=sys.stderr)
        return 130, {}
    show(deployment, grid, 10)
    stands = plain(deployment, grid)
    return (0 if _is_done(grid, stands["stopped-early"]) else RUN_FAILED), stands


def _is_done(grid: GridRecord, stopped: Mapping[str, Any] | None) -> bool:
    """Return whether each trial of a grid has succeeded or was stopped early.

    Args:
        stopped: as `early_stops` has it.
    """
    early = stopped["trials"] if stopped else 0
    if grid.grid.stop_early and grid.next > MOST_ROWS:  # nobody has read them one by one
        early = grid.ended.get(State.STOPPED, 0)
    return grid.ended.get(State.SUCCEEDED, 0) + early == grid.grid.count
