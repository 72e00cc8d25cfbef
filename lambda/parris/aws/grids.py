"""DynamoDB: grids, an item each; every change is one conditional write that may come twice.

What the next sweep finds if a function dies in between (docs/decisions/0010-grids.md): after
`start`, trials without a run, whose launch it asks for; after `enter`, a run without a stack, whose
place it gives back; before `settle`, a run that is over and open, which it settles.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import islice
from typing import Any

from ..runs.grid import MONEY, GridRecord, read_grid_record
from .table import Item, Table

TRIES = 5
_NEWEST = 5
GRID = "grid#"


@dataclass(frozen=True, kw_only=True)
class Entered:
    """What came of a launch that asked for its trial's place."""

    granted: bool
    grid: GridRecord | None = None
    """As it is, where the place was refused; None if there is no such grid."""
    waits: str = ""
    """MONEY if that is what it lacks; "" if the trial is not to begin any more."""


@dataclass(frozen=True)
class Grids:
    """The grids of a deployment."""

    table: Table

    def begin(self, job: str, grid_id: str, item: Mapping[str, Any]) -> None:
        """Begin a grid, unless it has begun."""
        fresh = {"next": 1, "running": {}, "committed": 0, "spent": 0, "open": "grid"}
        self.table.put_new(GRID + job, grid_id, {**fresh, "kind": "grid", **item})

    def read(self, job: str, grid_id: str) -> GridRecord | None:
        item = self.table.get(GRID + job, grid_id)
        return read_grid_record(item) if item else None

    def going(self, job: str) -> list[str]:
        """Return the ids of those of the job's newest grids that are not over."""
        newest = islice(self.table.query(GRID + job, page=_NEWEST), _NEWEST)
        return [str(item["sk"]) for item in newest if "open" in item]

    def enter(
        self, job: str, grid_id: str, number: int, claim: int, micros: int, limit: int | None
    ) -> Entered:
        """Reserve what a trial may cost, for one launch of it, if its place is still there.

        Args:
            claim: which launch of its run it is.
            micros: in millionths of a US dollar.
            limit: of the grid; None if it has none.
        """
        entry, ours = f"running/{number}", f"{claim} {micros}"
        changes = {f"{entry}/kept": ours, f"{entry}/waits": None}
        free = f"attribute_exists({{{entry}}}) AND attribute_not_exists({{{entry}/kept}})"
        condition, values = f"{free} AND attribute_not_exists({{stop}})", dict[str, Any]()
        if limit is not None:
            condition, values["left"] = f"{condition} AND {{committed}} <= :left", limit - micros
        for _ in range(TRIES):
            done, item = self.table.change(
                GRID + job, grid_id, changes, condition, adds={"committed": micros}, **values
            )
            if done:
                return Entered(granted=True)
            grid = read_grid_record(item) if item else None
            held = grid.running.get(number) if grid else None
            if grid is None or held is None:
                return Entered(granted=False, grid=grid)
            if held.kept == ours:  # by a write of ours whose answer was lost
                return Entered(granted=True)
            if held.kept is not None:  # of an earlier launch of it, which came to nothing
                self.leave(job, grid_id, number, held.kept)
                continue
            if grid.stop:
                return Entered(granted=False, grid=grid)
            return Entered(granted=False, grid=grid, waits=MONEY)
        return Entered(granted=False)

    def leave(self, job: str, grid_id: str, number: int, kept: str, waits: str = "") -> None:
        """Give back what is reserved for a trial whose launch has come to nothing.

        Args:
            waits: what it waits for, if that is known. Whatever failed before that is past.
        """
        entry, micros = f"running/{number}", int(kept.split(" ")[1])
        changes: Item = {f"{entry}/kept": None, f"{entry}/waits": waits or None}
        if waits:
            changes[f"{entry}/tries"] = None
        same = f"{{{entry}/kept}} = :kept"
        self.table.change(GRID + job, grid_id, changes, same, {"committed": -micros}, kept=kept)

    def wait(self, job: str, grid_id: str, number: int, waits: str, needs: int) -> None:
        """Note what a trial waits for that has no place yet, and how many dollars it takes."""
        entry = f"running/{number}"
        free = f"attribute_exists({{{entry}}}) AND attribute_not_exists({{{entry}/kept}})"
        changes = {f"{entry}/waits": waits, f"{entry}/needs": needs, f"{entry}/tries": None}
        self.table.change(GRID + job, grid_id, changes, free)

    def stop(self, job: str, grid_id: str, why: str, *, by_hand: bool) -> GridRecord | None:
        """Let no more trials begin; return the grid as it is now, None if there is none."""
        changes: Item = {"stop": why, **({"by_hand": 1} if by_hand else {})}
        free = "attribute_exists({open})" if by_hand else "attribute_not_exists({stop})"
        _, item = self.table.change(
            GRID + job, grid_id, changes, f"attribute_exists({{pk}}) AND {free}"
        )
        return read_grid_record(item) if item else None
