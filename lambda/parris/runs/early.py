"""Which trials of a grid are stopped early: the median stopping rule.

A trial is stopped at a step if its best value by then is strictly worse than the median of the
running averages that the others had by that step (Golovin et al., "Google Vizier: A Service for
Black-Box Optimization", 2017, section 3.2.2). Other than there, trials under way count among the
others too, and so does what a trial has reached since: one that has caught up goes on.

The best trial so far is never stopped: no running average of another is better than its best.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Sequence

from ..jobs.points import MIN, Grid
from .history import History, Point

LEAST_OTHERS = 5
"""Trials that must have told that step, as in Optuna's MedianPruner (n_startup_trials)."""
WARM_UP = 3
"""Steps, of those that are kept, that a trial has at least told."""


def why_early(grid: Grid, own: History, others: Sequence[History]) -> str:
    """Return why a trial is to be stopped early; "" if it is not.

    It is compared at the last of its steps that LEAST_OTHERS of the others have told too, and half
    of those that have come as far: a long history is thinned, and at a step that few have kept the
    few would stand for all. Whoever has not told that very step does not count: nobody knows
    whether their steps mean as much.

    Args:
        others: of the same grid, however they ended, or under way.
    """
    told = Counter(point.step for other in others for point in other.points)
    ends = sorted(other.end for other in others)

    def is_shared(step: float) -> bool:
        as_far = len(ends) - bisect_left(ends, step)
        return told[step] >= max(LEAST_OTHERS, as_far / 2)

    told_enough = reversed(own.points[WARM_UP - 1 :])
    there = next((point for point in told_enough if is_shared(point.step)), None)
    if there is None:
        return ""
    met = (other.at(there.step) for other in others)
    means = sorted(point.mean for point in met if point and point.mean is not None)
    if len(means) < LEAST_OTHERS:
        return ""
    middle = _median(means)
    best = _best(own.points[-1], grid.goal)
    if best is not None and not (best > middle if grid.goal == MIN else best < middle):
        return ""
    then = _best(there, grid.goal)
    had = "is no finite number" if then is None else f"is {then:.6g}"
    return (
        f"its best {grid.metric} by step {there.step:.12g} {had}, worse than {middle:.6g}, the "
        f"median of the running averages of {len(means)} other trials there"
    )


def _best(point: Point, goal: str) -> float | None:
    return point.least if goal == MIN else point.greatest


def _median(ordered: Sequence[float]) -> float:
    """Return it as `statistics.median` does, which adds two that may be more than a float holds."""
    half = len(ordered) // 2
    if len(ordered) % 2:
        return ordered[half]
    return ordered[half - 1] / 2 + ordered[half] / 2
