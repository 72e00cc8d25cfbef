"""How one metric went, as of some steps: what a grid compares its trials by."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Optional, Union

from parris.contract import MAX_HISTORY, MAX_STEP, Metric

STEPS = ("step", "epoch")
"""What says how far a trainer has come; of two the finer one. Without either the row's number."""
_FINEST = 2.0**-20
_DIGITS = 9
"""That count of a number in the file."""

Number = Union[int, float]


class History:
    """The mean, the least and the greatest of a metric's values up to each of some steps.

    They are of all values, also of those at steps that are not kept. What is kept follows from the
    steps alone, so that trials which count alike keep alike: the first step in each stretch of a
    width that is a power of two, and the last step that was told.

    A value that is no finite number counts as a step without a value. Steps that come again, as
    after a checkpoint, were counted before.
    """

    def __init__(self, metric: str) -> None:
        self.metric = metric
        self._rows = self._values = 0
        self._mean: Optional[float] = None
        self._least = self._greatest = 0.0
        self._points: list[tuple[float, Optional[float], float, float]] = []
        self._width = _FINEST
        self._again = False

    def take(self, row: Mapping[str, Metric]) -> None:
        """Take a row of the trainer's."""
        self._rows += 1
        value = row.get(self.metric)
        places = (row.get(name) for name in STEPS)
        step = next((one for one in places if isinstance(one, (int, float))), self._rows)
        if value is None or abs(step) >= MAX_STEP:
            return
        if self._points:
            last = self._points[-1][0]
            self._again = step < last or (self._again and step == last)
        if self._again:
            return
        if isinstance(value, (int, float)):
            self._count(float(value))
        point = (step, self._mean, self._least, self._greatest)
        if self._points and (step == self._points[-1][0] or self._is_passing()):
            self._points.pop()
        self._points.append(point)
        while len(self._points) > MAX_HISTORY:
            self._width *= 2
            self._points = [
                *(one for at, one in enumerate(self._points) if self._is_first(at)),
                *([] if self._is_first(len(self._points) - 1) else self._points[-1:]),
            ]

    def points(self) -> list[list[Optional[Number]]]:
        """Return ``[step, mean, least, greatest]`` of each step that is kept, as JSON has it."""
        told: list[list[Optional[Number]]] = []
        for step, mean, least, greatest in self._points:
            values = (None,) * 3 if mean is None else map(_short, (mean, least, greatest))
            told.append([_plain(step), *values])
        return told

    def _count(self, value: float) -> None:
        self._values += 1
        if self._mean is None:
            self._mean = self._least = self._greatest = value
            return
        self._least, self._greatest = min(self._least, value), max(self._greatest, value)
        # Each part by itself: their difference may be more than a float holds.
        mean = self._mean + (value / self._values - self._mean / self._values)
        self._mean = min(max(mean, self._least), self._greatest)  # whatever was rounded

    def _is_first(self, at: int) -> bool:
        """Return whether a point is the first one in its stretch."""
        return at == 0 or self._stretch(at - 1) != self._stretch(at)

    def _is_passing(self) -> bool:
        """Return whether the last point is kept only until the next one comes."""
        return not self._is_first(len(self._points) - 1)

    def _stretch(self, at: int) -> int:
        return math.floor(self._points[at][0] / self._width)


def _plain(step: Number) -> Number:
    return int(step) if step == int(step) else step


def _short(value: float) -> float:
    return float(f"{value:.{_DIGITS}g}")
