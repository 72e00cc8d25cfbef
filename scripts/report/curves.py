"""Curves as the page shows them, from what scripts/metrics read: few points, and short numbers."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from scripts.metrics.points import Curves, place

_MOST_CURVES = 50
_MOST_POINTS = 400
"""Of one curve: about as many as a chart has pixels to tell apart."""
_MOST_POINTS_OF_RUN = 8_000
"""Of all curves of a run, which bounds what a run adds to the page: some 160 KB."""

Point = tuple[float, float | None, float | None]
"""Where on the x axis, the value (None: not a finite number), and the time in seconds."""


@dataclass(frozen=True, kw_only=True)
class Curve:
    """One metric of one run, thinned."""

    name: str
    axis: str
    """What its steps are: ``step``, ``epoch``, or ``line`` where the lines say neither."""
    points: Sequence[Point]
    """In the order of their steps, each step once."""
    last: float | None
    """The last value; None if that is not a finite number."""

    def record(self) -> dict[str, Any]:
        """Return it as the page has it: ``seconds`` only where every point has a time."""
        steps, values, times = zip(*self.points, strict=True)
        timed = {"seconds": [_short(time) for time in times]} if None not in times else {}
        return {
            "name": self.name,
            "axis": self.axis,
            "steps": [_short(step) for step in steps],
            "values": [None if value is None else _short(value) for value in values],
            **timed,
        }


def curves_from(read: Curves) -> list[Curve]:
    """Return the curves as the page has them: those that were met first."""
    known = list(read.by_name.items())[:_MOST_CURVES]
    times = (place(point.time) for _, curve in known for point in curve.points)
    began = next((time for time in times if time is not None), 0.0)
    most = min(_MOST_POINTS, _MOST_POINTS_OF_RUN // max(1, len(known)))
    found = []
    for name, curve in known:
        # A run that goes on from a checkpoint measures some steps again: the last counts.
        by_step: dict[float, Point] = {}
        last = [] if curve.last is None or curve.last is curve.points[-1] else [curve.last]
        for point in [*curve.points, *last]:
            time = place(point.time)
            since = None if time is None else time - began
            by_step[point.step] = (point.step, place(point.value), since)
        whole = sorted(by_step.values(), key=lambda point: point[0])
        points = thinned(whole, most)
        found.append(Curve(name=name, axis=curve.axis, points=points, last=whole[-1][1]))
    return found


def thinned(points: Sequence[Point], most: int) -> Sequence[Point]:
    """Return at most `most` of the points, or seven: ends, and least and most of each stretch.

    So no peak is lost; between two of the values that are kept one None is where any was, so that
    no gap is closed either.
    """
    if len(points) <= most:
        return points
    kept: Sequence[Point] = ()
    for share in (2, 3, 4):  # points of a stretch: each of its two values may have a gap before it
        stretches = max(1, (most - 3) // share)
        kept = _kept(points, math.ceil((len(points) - 2) / stretches))
        if len(kept) <= most:
            break
    return kept


def _kept(points: Sequence[Point], stretch: int) -> Sequence[Point]:
    last = len(points) - 1
    shown = {0, last}
    for start in range(1, last, stretch):
        some = range(start, min(start + stretch, last))
        known = {at: value for at in some if (value := points[at][1]) is not None}
        if known:
            shown |= {min(known, key=known.__getitem__), max(known, key=known.__getitem__)}
    kept, gap = [], False
    for at, point in enumerate(points):
        lacks = point[1] is None
        if at in shown or (lacks and not gap):
            kept.append(point)
            gap = lacks
    return kept


def _short(value: float) -> float | int:
    """Return a value with the seven digits that a chart can show, which take less room."""
    short = float(f"{value:.7g}")
    return int(short) if short.is_integer() and abs(short) < 1e15 else short
