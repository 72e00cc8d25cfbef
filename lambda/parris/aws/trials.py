"""DynamoDB: the trials of grids, which the reap function begins and settles."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from itertools import islice
from typing import Any

from ..runs.grid import ENDED, Best, Entry, GridRecord, read_grid_record
from .grids import GRID, TRIES, Grids
from .table import read_each


@dataclass(frozen=True)
class Trials(Grids):
    """The grids of a deployment, as they go on."""

    def open_grids(self) -> tuple[list[GridRecord], list[str]]:
        """Return the grids that are not over, and one problem for each unreadable item."""
        return read_each(self.table.query("grid", index="open"), read_grid_record)

    def newest(self, limit: int, beginning: str = "") -> tuple[list[GridRecord], list[str]]:
        """Return the grids whose ids begin so, the latest first; problems as above."""
        found = self.table.query("grid", index="kind", begins_with=beginning, page=limit)
        return read_each(islice(found, limit), read_grid_record)

    def start(
        self, grid: GridRecord, numbers: range, by: str, now: datetime
    ) -> tuple[bool, GridRecord]:
        """Give trials their places; return whether it was done, and the grid as it is now.

        Args:
            numbers: those that come next.
            by: what only this invocation knows.
        """
        entry = {"sent": now.isoformat(), "by": by}
        changes: dict[str, Any] = {f"running/{number}": entry for number in numbers}
        changes["next"] = numbers.stop
        done, item = self.table.change(
            *_key(grid),
            changes,
            "{next} = :next AND size({running}) < :room AND attribute_not_exists({stop})",
            next=numbers.start,
            room=grid.grid.max_parallel - len(numbers) + 1,
        )
        now_is = read_grid_record(item) if item else grid
        # A write whose answer was lost meets its own effect.
        first = now_is.running.get(numbers.start)
        return done or (first is not None and first.by == by), now_is

    def send_again(self, grid: GridRecord, entry: Entry, now: datetime) -> bool:
        """Note that a trial's launch is asked for again; return whether it is this caller's to."""
        path = f"running/{entry.number}"
        again = 0 if entry.waits else 1
        changes = {
            f"{path}/sent": now.isoformat(),
            f"{path}/tries": entry.tries + again,
            f"{path}/failed": entry.failed + again,
            f"{path}/waits": None,
        }
        condition = f"{{{path}/sent}} = :sent AND attribute_not_exists({{stop}})"
        return self.table.change(*_key(grid), changes, condition, sent=_sent(entry))[0]

    def settle(
        self,
        job: str,
        grid_id: str,
        number: int,
        state: str,
        cost: Callable[[int | None], int],
        reached: Callable[[GridRecord], Best | None],
        seen: Entry | None = None,
    ) -> GridRecord | None:
        """Note that a trial is over, once; return the grid as it is then.

        Args:
            cost: returns what it has cost, given what is reserved for it, both in millionths of a
                US dollar; None where the grid has no limit.
            reached: returns what it reached, if that counts, given its grid. It is in the same
                write: else a grid might be told to be over before its best trial is known.
            seen: as it was when that was decided, of one without an outcome: nothing is done if a
                launch has come since.
        """
        entry = f"running/{number}"
        for _ in range(TRIES):
            grid = self.read(job, grid_id)
            held = grid.running.get(number) if grid else None
            if grid is None or held is None or (seen is not None and held.kept != seen.kept):
                return grid
            micros = cost(held.micros if grid.limit is not None else None)
            changes: dict[str, Any] = {entry: None}
            same, given = f"{{{entry}/kept}} = :kept", dict[str, Any](kept=held.kept)
            if held.kept is None:
                same = f"attribute_exists({{{entry}}}) AND attribute_not_exists({{{entry}/kept}})"
                given = {}
            value = reached(grid)
            if value is not None and (grid.best is None or grid.best.order < value.order):
                known = {"order": value.order, "number": number, "value": repr(value.value)}
                changes["best"] = known
                same += " AND attribute_not_exists({best})"
                if grid.best is not None:
                    same = same.replace("attribute_not_exists({best})", "{best/order} = :order")
                    given["order"] = grid.best.order
            adds = {"committed": micros - held.micros, "spent": micros, ENDED + state: 1}
            done, item = self.table.change(*_key(grid), changes, same, adds, **given)
            if done and item:
                return read_grid_record(item)
        return None

    def drop(self, grid: GridRecord, number: int) -> None:
        """Take a trial's place away that has cost nothing; it has not begun, then."""
        entry = f"running/{number}"
        free = f"attribute_exists({{{entry}}}) AND attribute_not_exists({{{entry}/kept}})"
        self.table.change(*_key(grid), {entry: None}, free)

    def close(self, grid: GridRecord, now: datetime) -> None:
        """Note that nothing more is to be done about a grid."""
        self.table.change(*_key(grid), {"open": None, "finished": now.isoformat()})


def _key(grid: GridRecord) -> tuple[str, str]:
    return GRID + grid.job, grid.grid_id


def _sent(entry: Entry) -> str:
    return entry.sent.isoformat()
