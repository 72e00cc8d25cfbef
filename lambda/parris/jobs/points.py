"""A grid and its points: the parameters of each of its trials, by the trial's number."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

MAX, MIN = "max", "min"
MEDIAN = "median"
"""The rule by which trials are stopped early (`early.why_early`)."""

Axis = Sequence[str] | range


@dataclass(frozen=True, kw_only=True)
class Grid:
    """What a person wants of a grid."""

    axes: Mapping[str, Axis]
    """The values of each parameter; a trial has one of each."""
    points: tuple[Mapping[str, str], ...]
    """The parameters of each trial, instead of `axes`."""
    random: int | None
    """How many of all combinations, drawn at random; None for all of them."""
    max_parallel: int
    give_up_after: int
    """No more trials begin once so many are over, and every one of them failed."""
    cost_limit_usd: Decimal | None
    """What all trials may cost together."""
    metric: str
    """By which the best trial is found; "" for none."""
    goal: str
    stop_early: str = ""
    """MEDIAN, or "" where every trial goes on to its own end."""

    @property
    def follows(self) -> str:
        """The metric whose history the machines keep; "" for none."""
        return self.metric if self.stop_early else ""

    @property
    def size(self) -> int:
        """How many combinations there are."""
        return len(self.points) or math.prod(len(axis) for axis in self.axes.values())

    @property
    def count(self) -> int:
        """How many trials."""
        return self.size if self.random is None else self.random

    @property
    def names(self) -> tuple[str, ...]:
        """The parameters in which the trials differ."""
        return tuple(self.axes) or tuple({name: None for one in self.points for name in one})

    def point(self, number: int, seed: str) -> dict[str, str]:
        """Return the parameters of trial `number`, from 1; the same for the same `seed`."""
        index = number - 1
        if self.points:
            return dict(self.points[index])
        if self.random is not None:
            index = _shuffled(index, self.size, seed)
        chosen: dict[str, str] = {}
        for name, axis in reversed(list(self.axes.items())):  # the last one changes fastest
            index, place = divmod(index, len(axis))
            chosen[name] = str(axis[place])
        return dict(reversed(list(chosen.items())))

    @property
    def stored(self) -> dict[str, Any]:
        """As JSON, for `read_stored`."""
        axes = {
            name: f"{axis.start}..{axis.stop - 1}" if isinstance(axis, range) else list(axis)
            for name, axis in self.axes.items()
        }
        limit = None if self.cost_limit_usd is None else f"{self.cost_limit_usd:f}"
        return {
            **({"axes": axes} if axes else {"points": [dict(one) for one in self.points]}),
            "random": self.random,
            "max-parallel": self.max_parallel,
            "give-up-after": self.give_up_after,
            "cost-limit": limit,
            "metric": self.metric,
            "goal": self.goal,
            "stop-early": self.stop_early,
        }


def read_stored(held: Mapping[str, Any]) -> Grid:
    """Return the grid that was `stored`."""
    axes: dict[str, Axis] = {}
    for name, axis in held.get("axes", {}).items():
        axes[name] = read_range(axis) if isinstance(axis, str) else axis
    limit = held["cost-limit"]
    return Grid(
        axes=axes,
        points=tuple(held.get("points", ())),
        random=held["random"],
        max_parallel=held["max-parallel"],
        give_up_after=held["give-up-after"],
        cost_limit_usd=None if limit is None else Decimal(limit),
        metric=held["metric"],
        goal=held["goal"],
        stop_early=held.get("stop-early", ""),
    )


def read_range(text: str) -> range:
    """Return the whole numbers of ``"a..b"``, both included."""
    first, last = text.split("..")
    return range(int(first), int(last) + 1)


def _shuffled(index: int, size: int, seed: str) -> int:
    """Return where `index` comes in an order of 0 to `size` - 1 that follows from `seed`.

    Each place has one index. It is a Feistel network over the next power of 4, in which what falls
    outside is sent through again (Black and Rogaway, "Ciphers with Arbitrary Finite Domains", 2002,
    cycle walking), so that no list of all combinations is kept.
    """
    half = max(1, (max(size - 1, 1).bit_length() + 1) // 2)
    mask = (1 << half) - 1
    while True:
        left, right = index >> half, index & mask
        for turn in range(4):
            digest = hashlib.sha256(f"{seed}/{turn}/{right}".encode()).digest()
            left, right = right, left ^ (int.from_bytes(digest[:16], "big") & mask)
        index = (left << half) | right
        if index < size:
            return index
