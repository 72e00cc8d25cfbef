"""What a person is told of a grid: that it has begun, and what came of it."""

from __future__ import annotations

from typing import Any

from ..contract import OUTCOME_STATES
from .grid import GridRecord
from .messages import KINDS, Notice
from .month import MICROS
from .trials import states_line


def grid_started(grid: GridRecord) -> Notice:
    limit = _usd(grid.limit) if grid.limit is not None else "none; each trial has its own"
    rule = grid.grid.stop_early
    early = [f"stop-early  {rule} of {grid.grid.metric}, goal {grid.grid.goal}"] if rule else []
    return Notice(
        event="grid-started",
        job=grid.job,
        subject=f"Parris: a grid of {grid.grid.count} trials of {grid.job} started",
        lines=[
            f"A grid of job {grid.job} was started by {KINDS.get(grid.kind, grid.kind)}.",
            f"grid        {grid.grid_id}",
            f"trials      {grid.grid.count}, {grid.grid.max_parallel} at once",
            f"parameters  {', '.join(grid.grid.names)}",
            f"cost-limit  {limit}",
            *early,
            "",
            f"Look closer: make status GRID={grid.grid_id}",
            f"End it early: make stop GRID={grid.grid_id}",
        ],
        facts={"grid": grid.grid_id, "trials": grid.grid.count},
    )


def grid_ended(grid: GridRecord) -> Notice:
    """Return the notice of a grid that is over: how its trials ended, and which is the best."""
    facts = grid_facts(grid)
    best = facts["best"]
    ended = states_line(grid.ended, OUTCOME_STATES) or "no trial began"
    limit = "" if grid.limit is None else f" of {_usd(grid.limit)}"
    left = facts["not-begun"]
    lines = [
        f"grid    {grid.grid_id}",
        f"trials  {ended}{f', {left} not begun' if left else ''}",
        f"cost    {_usd(grid.spent)}{limit}",
    ]
    if best:
        chosen = " ".join(f"{name}={value}" for name, value in best["parameters"].items())
        lines += [
            f"best    {grid.grid.metric}={best['value']:g}: run {best['run-id']}, {chosen}",
            "",
            f"Run the best one again: make rerun RUN={best['run-id']}",
        ]
    elif grid.grid.metric:
        lines.append(f"best    no trial that succeeded told a number as {grid.grid.metric}")
    why = f": {grid.stop}" if grid.stop else ""
    return Notice(
        event="grid-ended",
        job=grid.job,
        subject=f"Parris: the grid of {grid.job} is over, {ended}",
        lines=[
            f"The grid of job {grid.job} is over{why}.",
            *lines,
            f"Look closer: make status GRID={grid.grid_id}",
        ],
        facts=facts,
    )


def grid_facts(grid: GridRecord) -> dict[str, Any]:
    """Return how a grid stands, for machines."""
    best = grid.best and {
        "run-id": grid.run_id(grid.best.number),
        "trial": grid.best.number,
        "value": grid.best.value,
        "parameters": grid.parameters_of(grid.best.number),
    }
    return {
        "grid": grid.grid_id,
        "trials": grid.grid.count,
        "ended": dict(grid.ended),
        "under-way": len(grid.running),
        "not-begun": grid.grid.count - grid.over - len(grid.running),
        "metric": grid.grid.metric or None,
        "goal": grid.grid.goal if grid.grid.metric else None,
        "stop-early": grid.grid.stop_early or None,
        "best": best,
        "spent-usd": f"{grid.spent / MICROS:.4f}",
        "reserved-usd": f"{(grid.committed - grid.spent) / MICROS:.4f}",
        "cost-limit-usd": None if grid.limit is None else f"{grid.limit / MICROS:.2f}",
        "reason": grid.stop,
    }


def _usd(micros: int) -> str:
    return f"${micros / MICROS:.4f}"
