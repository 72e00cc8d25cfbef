"""Curves of what a trainer measured, from its ``metrics.jsonl`` and from files of other tools.

One JSON object a line; its keys are the trainer's own. ``step`` or ``epoch`` says where on the x
axis a line belongs, ``time`` (seconds since 1970, or ISO 8601) when it was written.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from parris.errors import cut
from parris.runs.times import read_time
from scripts.metrics.points import Curves
from scripts.report.rows import is_number

FILE = "metrics.jsonl"

_STEPS = ("step", "epoch")
_NOT_CURVES = (*_STEPS, "time")
_MOST_CURVES = 50
_MOST_NAME = 100
"""Characters of a metric's name."""
_MOST_POINTS = 400
"""Of one curve: about as many as a chart has pixels to tell apart."""
_MOST_POINTS_OF_RUN = 8_000
"""Of all curves of a run, which bounds what a run adds to the page: some 160 KB."""
_LARGEST = 2.0**1000
"""Of an x: integers of JSON have no end, and a chart has."""

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


def read_curves(folder: Path) -> list[Curve]:
    """Return the curves of the ``metrics.jsonl`` in a folder, those met first; none without one."""
    path = folder / FILE
    if not path.is_file():
        return []
    with path.open(encoding="utf-8", errors="replace") as file:
        return curves_of(_objects(file))


def curves_from(read: Curves) -> list[Curve]:
    """Return the curves that TensorBoard's event files and MLflow's file hold (scripts/metrics)."""
    known = sorted(read.by_name.items())[:_MOST_CURVES]
    most = min(_MOST_POINTS, _MOST_POINTS_OF_RUN // max(1, len(known)))
    found = []
    for name, curve in known:
        began = next((point.time for point in curve.points if point.time is not None), 0.0)
        by_step: dict[float, Point] = {}
        for point in curve.points:
            since = None if point.time is None else point.time - began
            by_step[point.step] = (point.step, _finite(point.value), since)
        whole = sorted(by_step.values(), key=lambda point: point[0])
        points = thinned(whole, most)
        found.append(Curve(name=name, axis="step", points=points, last=whole[-1][1]))
    return found


def curves_of(rows: Iterable[Mapping[str, Any]]) -> list[Curve]:
    """Return the curves of what the lines of a file hold."""
    found: dict[str, dict[float, Point]] = {}
    axes: dict[str, str] = {}
    began: float | None = None
    for number, row in enumerate(rows, 1):
        axis = next((word for word in _STEPS if _finite(row.get(word)) is not None), "line")
        step, now = _finite(row.get(axis, number)) or 0.0, _seconds(row.get("time"))
        began = now if began is None else began
        since = None if now is None or began is None else now - began
        for key, value in row.items():
            if key in _NOT_CURVES or not is_number(value):
                continue
            name = cut(key, _MOST_NAME)
            if name in found or len(found) < _MOST_CURVES:
                # A run that goes on from a checkpoint measures some steps again: the last counts.
                found.setdefault(name, {})[step] = (step, _finite(value), since)
                axes[name] = axis
    most = min(_MOST_POINTS, _MOST_POINTS_OF_RUN // max(1, len(found)))
    return [
        Curve(name=name, axis=axes[name], points=thinned(whole, most), last=whole[-1][1])
        for name, points in found.items()
        for whole in [sorted(points.values(), key=lambda point: point[0])]
    ]


def thinned(points: Sequence[Point], most: int) -> Sequence[Point]:
    """Return about `most` of the points: ends, and of each stretch the least and the most value.

    So no peak is lost, and no gap is closed.
    """
    if len(points) <= most:
        return points
    stretch = math.ceil(2 * (len(points) - 2) / (most - 2))
    kept = [points[0]]
    for start in range(1, len(points) - 1, stretch):
        some = points[start : min(start + stretch, len(points) - 1)]
        known = [point for point in some if point[1] is not None] or some[:1]
        ends = {min(known, key=_value)[0]: None, max(known, key=_value)[0]: None}
        kept += [point for point in some if point[0] in ends]
    return [*kept, points[-1]]


def _value(point: Point) -> float:
    return point[1] or 0.0


def _objects(lines: Iterable[str]) -> Iterator[Mapping[str, Any]]:
    """Yield the JSON objects among lines; the last may be half written."""
    for line in lines:
        try:
            row = json.loads(line)
        except (ValueError, RecursionError):
            continue
        if isinstance(row, dict):
            yield row


def _finite(value: Any) -> float | None:
    """Return a number of JSON as one that a chart can have; None if it is none."""
    if not is_number(value) or not -_LARGEST < value < _LARGEST:
        return None
    return float(value)


def _seconds(value: object) -> float | None:
    if isinstance(value, str):
        time = read_time(value)
        return time.timestamp() if time else None
    return _finite(value)


def _short(value: float) -> float | int:
    """Return a value with the seven digits that a chart can show, which take less room."""
    short = float(f"{value:.7g}")
    return int(short) if short.is_integer() and abs(short) < 1e15 else short
