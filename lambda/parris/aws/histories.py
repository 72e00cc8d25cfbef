"""DynamoDB: how a metric went in trials of a grid that are over, a bounded number of them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from ..runs.grid import GridRecord
from ..runs.history import History, read_history
from .table import Table, expiry, read_each, to_text

PLACES = 128
"""Trials of a grid that are kept: some 3 KB each, all read by one Query."""


@dataclass(frozen=True)
class Histories:
    """Of each grid at most PLACES, an item each, which DynamoDB forgets after 30 days.

    The first PLACES trials have a place of their own. Of the later ones that share it, the one
    with the highest digest of its number stays: a sample of all of them, evenly drawn, which is
    the same in whatever order they end, and however often that is noted.
    """

    table: Table

    def keep(self, grid: GridRecord, number: int, history: History, now: datetime) -> None:
        """Keep the history of a trial that is over, if it has a place."""
        digest = hashlib.sha256(str(number).encode()).digest()
        order = int.from_bytes(digest[:8], "big")
        item = {"trial": number, "order": order, "history": to_text(history.stored), **expiry(now)}
        free = "attribute_not_exists({order}) OR {order} < :order"
        self.table.change(_pk(grid), f"{number % PLACES:03}", item, free, order=order)

    def read(self, grid: GridRecord) -> tuple[dict[int, History], list[str]]:
        """Return what is kept, by the numbers of trials, and one problem for each broken item."""
        found, problems = read_each(self.table.query(_pk(grid)), _read)
        return dict(found), problems


def _pk(grid: GridRecord) -> str:
    return f"histories#{grid.name}"


def _read(item: Mapping[str, Any]) -> tuple[int, History]:
    history = read_history(json.loads(item["history"]))
    if history is None:
        raise ValueError("it is no history")
    return int(item["trial"]), history
