"""How a metric of a run went, as of some steps, by its machine's word, read strictly."""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from ..contract import MAX_HISTORY, MAX_STEP


class Point(NamedTuple):
    """A metric's values up to a step, all of them; None while there is no finite number."""

    step: float
    mean: float | None
    least: float | None
    greatest: float | None


@dataclass(frozen=True)
class History:
    """Points in the order of their steps, one at least."""

    points: Sequence[Point]

    @property
    def end(self) -> float:
        """How far the trainer has come."""
        return self.points[-1].step

    def at(self, step: float) -> Point | None:
        """Return the point of a step; None if that very step was not told, or is not kept."""
        place = bisect_left(self.points, step, key=lambda point: point.step)
        known = self.points[place] if place < len(self.points) else None
        return known if known and known.step == step else None

    @property
    def stored(self) -> list[list[float | None]]:
        """As JSON, for `read_history`."""
        return [list(point) for point in self.points]


def read_history(given: object) -> History | None:
    """Return the history that is `given`; None if it is none: whoever trains can write anything."""
    if not isinstance(given, list) or not 1 <= len(given) <= MAX_HISTORY:
        return None
    points: list[Point] = []
    for one in given:
        if not isinstance(one, list) or len(one) != len(Point._fields) or not _is_step(one[0]):
            return None
        if points and one[0] <= points[-1].step:
            return None
        if one[1:] != [None] * 3 and not _is_sound(*one[1:]):
            return None
        points.append(Point(*one))
    return History(points)


def _is_step(value: object) -> bool:
    return _is_number(value) and abs(value) < MAX_STEP  # type: ignore[arg-type] # it is a number


def _is_sound(mean: Any, least: Any, greatest: Any) -> bool:
    """Return whether they can be of the same values: no machine's mean beats its own best."""
    return all(map(_is_number, (mean, least, greatest))) and least <= mean <= greatest


def _is_number(value: object) -> bool:
    if isinstance(value, float):
        return math.isfinite(value)
    return type(value) is int and abs(value) < MAX_STEP
