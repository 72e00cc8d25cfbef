"""How a grid stands, for people: a table of its trials, and lines while it goes on."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from parris.contract import OUTCOME_STATES, State
from parris.runs.grid import GridRecord
from parris.runs.messages_of_grids import grid_facts
from parris.runs.month import MICROS
from parris.runs.record import RunRecord
from parris.runs.trials import states_line
from scripts.cli import console
from scripts.cli.columns import Column
from scripts.cli.console import RUN_FAILED
from scripts.cli.plain_text import one_line
from scripts.cli.which_cloud import hint
from scripts.cli.words import ago, counted
from scripts.deployment.best_trial import ways_to_repeat
from scripts.deployment.grids import (
    MOST_ROWS,
    cost_of,
    early_stops,
    find_grid,
    follow,
    is_early,
    plain,
    read_again,
    trials_of,
    values_of,
)
from scripts.deployment.outputs import Deployment


def show(deployment: Deployment, grid: GridRecord, trials: Sequence[RunRecord], count: int) -> None:
    """Print how a grid stands, and the first `count` of its trials, which are the best."""
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
    if stopped := early_stops(trials):
        saved = stopped["saved-usd"]
        about = f": about ${saved} saved, had they cost as much as those that succeeded"
        print(f"  early   {counted(stopped['trials'], 'trial')} stopped{about if saved else ''}")
    if trials:
        console.print_table(*_table(grid, trials[:count]))
    for run in [run for run in trials if is_early(run)][:count]:
        number = run.trial and run.trial[1]
        print(one_line(f"trial {number} was {(run.outcome or {}).get('reason')}"))
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
        cost = cost_of(run)
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
            print(line_of(now_is), flush=True)
    except KeyboardInterrupt:
        print(hint(f"\nthe grid goes on; make status GRID={grid_id}"), file=sys.stderr)
        return 130, {}
    grid = read_again(deployment, grid)  # closed by now, which its last line does not tell
    trials = trials_of(deployment, grid)
    show(deployment, grid, trials, 10)
    stands = plain(grid, trials)
    return (0 if _is_done(grid, stands["stopped-early"]) else RUN_FAILED), stands


def _is_done(grid: GridRecord, stopped: Mapping[str, Any] | None) -> bool:
    """Return whether each trial of a grid has succeeded or was stopped early.

    Args:
        stopped: as `early_stops` has it.
    """
    early = stopped["trials"] if stopped else 0
    if grid.grid.stop_early and grid.next > MOST_ROWS + 1:  # nobody has read them one by one
        early = grid.ended.get(State.STOPPED, 0)
    return grid.ended.get(State.SUCCEEDED, 0) + early == grid.grid.count
