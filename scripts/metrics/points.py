"""The points of curves, as many as a picture has room for."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

MAX_CURVES = 500
MAX_POINTS = 100_000
"""Of one curve; of a longer one every other point is left out, again and again."""
MAX_NAME = 100
"""Characters: more than the ledger keeps of a name, since names of layers begin alike."""
_LARGEST = 2.0**1000


def place(number: float | None) -> float | None:
    """Return a number that a chart's axis can have; None if it is none."""
    return number if number is not None and abs(number) < _LARGEST else None


class Point(NamedTuple):
    """One value of a metric."""

    step: float
    """How far the training had come: its step, its epoch, or the row; a `place`."""
    time: float | None
    """When, in seconds since the epoch; None where nobody wrote it down."""
    value: float
    """It may be NaN or infinite, as a loss may."""


@dataclass(kw_only=True)
class Curve:
    """The points of one metric, in the order in which they were written."""

    axis: str = "step"
    """What its steps are: ``step``, ``epoch``, or ``line`` where its file says neither."""
    points: list[Point] = field(default_factory=list)
    last: Point | None = None
    """It is there whichever points are left out."""
    stride: int = 1
    skipped: int = 0

    def add(self, point: Point) -> None:
        self.last = point
        self.skipped += 1
        if self.skipped < self.stride:
            return
        self.skipped = 0
        self.points.append(point)
        if len(self.points) > MAX_POINTS:
            self.points = self.points[1::2]
            self.stride *= 2


@dataclass(kw_only=True)
class Curves:
    """What was read of a run, and what could not be."""

    by_name: dict[str, Curve] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)

    def add(self, name: object, point: Point, axis: str = "step") -> None:
        """Add a point to the curve `name`, whose name is cut and made plain as any metric's."""
        text = name if isinstance(name, str) else ""
        known = "".join(filter(str.isprintable, text))[:MAX_NAME].strip()
        if not known or (known not in self.by_name and len(self.by_name) >= MAX_CURVES):
            return
        self.by_name.setdefault(known, Curve(axis=axis)).add(point)
