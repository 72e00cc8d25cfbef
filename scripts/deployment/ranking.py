"""Runs by one of their metrics, the best first: `make status BEST=accuracy`."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from scripts.cli.columns import Column
from scripts.cli.console import Refused
from scripts.cli.filters import Goal
from scripts.deployment.one_run import cost_of
from scripts.deployment.runs import Run

LOOKED_THROUGH = 1000
"""Newest runs among which the best ones are."""

_NAMED = 12
"""Metrics that are named where the one that is asked for is none of them."""


def rank(runs: Sequence[Run], wanted: Goal) -> list[Run]:
    """Return the runs whose last value of the metric is a number, the best first.

    Raises:
        Refused: if there are none; the metrics that there are stand in it.
    """
    found = [(_number(run, wanted.metric), run) for run in runs]
    known = [(value, run) for value, run in found if value is not None]
    if not known:
        names = sorted(
            {name for run in runs for name in run.metrics if _number(run, name) is not None}
        )
        there = f"there are: {', '.join(names[:_NAMED])}" if names else "nor another"
        raise Refused(f"no run has a metric {wanted.metric} that is a number; {there}")
    known.sort(key=lambda pair: pair[0], reverse=not wanted.lowest)
    return [run for _, run in known]


def table(
    runs: Sequence[Run], wanted: Goal, now: datetime
) -> tuple[list[Column], list[tuple[str, ...]]]:
    """Return columns and rows; of the parameters those that are not the same in all `runs`."""
    given = [run.receipt.get("parameters") or {} for run in runs]
    names = list(dict.fromkeys(name for each in given for name in each))
    differ = [name for name in names if len({str(each.get(name)) for each in given}) > 1] or names
    columns = [
        Column(heading="RUN", rank=0),
        Column(heading="JOB", rank=3),
        Column(heading="STATE", rank=2),
        Column(heading=wanted.metric.upper(), rank=0),
        Column(heading="COST", rank=1),
        Column(heading="PARAMETERS", rank=1, least=22),
    ]
    rows: list[tuple[str, ...]] = [
        (
            run.run_id,
            run.job,
            run.state,
            f"{_number(run, wanted.metric):.6g}",
            cost_of(run, now),
            " ".join(f"{name}={each[name]}" for name in differ if name in each) or "-",
        )
        for run, each in zip(runs, given, strict=True)
    ]
    return columns, rows


def _number(run: Run, metric: str) -> float | None:
    """Return the last value; None where it is none, or NaN, which compares with nothing."""
    value = run.metrics.get(metric)
    return float(value) if isinstance(value, (int, float)) else None
