"""A grid as the ledger holds it. Its trials begin in their order.

So one number says which have begun, and the item holds no more than those that are under way.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from ..jobs.parameters import merged
from ..jobs.points import Grid, read_stored
from .month import to_micros
from .names import trial_run_id

ROOM, MONEY = "room", "money"
"""What a trial may wait for: the deployment's limits, or the grid's own dollars."""

ENDED = "ended_"
"""How attributes begin that count trials, by how they ended."""


@dataclass(frozen=True, kw_only=True)
class Entry:
    """A trial that has begun and is not over."""

    number: int
    sent: datetime
    """When its launch was last asked for."""
    tries: int
    """How often in a row that was done again because it had come to nothing."""
    failed: int
    """The same in all: what finds no room begins a new row."""
    by: str
    """Who asked for it first: what only that invocation knows."""
    kept: str | None
    """What is reserved for it and by which launch, ``<claim> <micros>``; None before."""
    waits: str
    """ROOM or MONEY, if its last launch found none; else ""."""
    needs: int
    """What that one would have reserved, in millionths of a US dollar."""

    @property
    def micros(self) -> int:
        """What is reserved for it, in millionths of a US dollar."""
        return int(self.kept.split(" ")[1]) if self.kept else 0


@dataclass(frozen=True, kw_only=True)
class Best:
    number: int
    value: float
    order: int


@dataclass(frozen=True, kw_only=True)
class GridRecord:
    """One grid: what is done, what is under way, what waits."""

    job: str
    grid_id: str
    grid: Grid
    nonce: str
    parameters: Mapping[str, str]
    """Of all trials alike, from the event."""
    kind: str
    """What started it, as `LaunchRequest.kind`."""
    began: datetime
    next: int
    """The trial that begins next, from 1."""
    running: Mapping[int, Entry]
    committed: int
    """What is spent and reserved, in millionths of a US dollar."""
    spent: int
    ended: Mapping[str, int]
    """How many trials ended how."""
    best: Best | None
    stop: str
    """Why no more trials begin; "" while they do."""
    by_hand: bool
    """Whether somebody stopped it, trials under way included."""
    is_open: bool

    @property
    def name(self) -> str:
        return f"{self.job}/{self.grid_id}"

    @property
    def limit(self) -> int | None:
        """What all trials may cost, in millionths of a US dollar."""
        usd = self.grid.cost_limit_usd
        return None if usd is None else to_micros(usd)

    @property
    def over(self) -> int:
        """How many trials are over."""
        return sum(self.ended.values())

    @property
    def is_done(self) -> bool:
        return not self.running and (bool(self.stop) or self.next > self.grid.count)

    def run_id(self, number: int) -> str:
        return trial_run_id(self.grid_id, number)

    def parameters_of(self, number: int) -> dict[str, str]:
        return merged(self.parameters, self.grid.point(number, self.grid_id))


def read_grid_record(item: Mapping[str, Any]) -> GridRecord:
    """Return the grid that an item of the ledger holds."""
    best = item.get("best")
    return GridRecord(
        job=str(item["pk"]).removeprefix("grid#"),
        grid_id=str(item["sk"]),
        grid=read_stored(json.loads(item["grid"])),
        nonce=str(item["nonce"]),
        parameters=json.loads(item["parameters"]),
        kind=str(item["trigger"]),
        began=datetime.fromisoformat(item["began"]),
        next=int(item["next"]),
        running={int(number): _entry(number, held) for number, held in item["running"].items()},
        committed=int(item["committed"]),
        spent=int(item["spent"]),
        ended={
            name.removeprefix(ENDED): int(count)
            for name, count in item.items()
            if name.startswith(ENDED)
        },
        best=best and Best(number=best["number"], value=float(best["value"]), order=best["order"]),
        stop=str(item.get("stop", "")),
        by_hand="by_hand" in item,
        is_open="open" in item,
    )


def _entry(number: str, held: Mapping[str, Any]) -> Entry:
    return Entry(
        number=int(number),
        sent=datetime.fromisoformat(held["sent"]),
        tries=int(held.get("tries", 0)),
        failed=int(held.get("failed", 0)),
        by=str(held["by"]),
        kept=held.get("kept"),
        waits=str(held.get("waits", "")),
        needs=int(held.get("needs", 0)),
    )
