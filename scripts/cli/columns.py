"""Which columns of a table fit side by side, none of them cut."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

GAP = 2
"""Blanks between two columns."""


@dataclass(frozen=True, kw_only=True)
class Column:
    """One column of a table."""

    heading: str
    rank: int
    """What is left out first where there is no room: the highest. 0 is always shown."""
    least: int | None = None
    """The width to which its text may be wrapped; None if each cell stays whole, on one line."""


def fitting(columns: Sequence[Column], widths: Sequence[int], room: int) -> list[int]:
    """Return the places of the columns that fit, from left to right.

    Args:
        widths: of the widest cell of each, heading included, in terminal cells.
        room: of the terminal, in cells.
    """
    chosen: list[int] = []
    used = -GAP
    for place in sorted(range(len(columns)), key=lambda place: columns[place].rank):
        column = columns[place]
        needed = widths[place] if column.least is None else min(column.least, widths[place])
        if column.rank and used + GAP + needed > room:
            break  # what matters less does not take its place
        chosen.append(place)
        used += GAP + needed
    return sorted(chosen)
