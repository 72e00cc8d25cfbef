"""DynamoDB: which runs count against ``max_concurrent_runs``, and against a month's budget."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ..runs.month import Reservation, Sums, read_reservation
from .table import Item, Table

_KEY = ("slots", "slots")
_TRIES = 5
_MONTH = "month-"


@dataclass(frozen=True, kw_only=True)
class Ask:
    """What a launch wants of a month's budget."""

    reservation: Reservation
    budget: int
    """Of the month, in millionths of a US dollar."""


@dataclass(frozen=True, kw_only=True)
class Slot:
    """What came of asking for room."""

    granted: bool
    holders: dict[str, str] = field(default_factory=dict)
    """The runs that counted before, ``<job>/<run id>`` by the name of their stack."""
    previous: str | None = None
    """The run that had the stack's name, and its room, before."""
    begun: bool = True
    """Whether the sums of the month are known: if not, `begin_month` comes first."""
    sums: Sums | None = None
    """Those of the month, where its budget has no room for the run."""


@dataclass(frozen=True)
class Slots:
    """One item that holds all of them, so that one conditional write decides who has room.

    The month's money is in it too: its sum is what the runs that are over have cost and what is
    reserved for the others. While a reservation is there, it is part of the sum.
    """

    table: Table

    def take(
        self, stack_name: str, run: str, limit: int, month: str = "", ask: Ask | None = None
    ) -> Slot:
        """Count `run` (``<job>/<run id>``) if there is room, or if its stack's name has some.

        A stack has one run at a time. Whether another's stack may be taken is not judged here: who
        is refused that gives the room back.

        Args:
            month: the one of the launch. Without a budget nobody keeps its sum, so that it is
                forgotten: a budget that is set later begins with what the runs have cost.
            ask: what is wanted of its budget, which is decided by the same write.
        """
        entry, sum_of, kept = f"holders/{stack_name}", _MONTH + month, _entry(run)
        room = f"attribute_not_exists({{{entry}}}) AND size({{holders}}) < :limit"
        free = f"attribute_exists({{holders}}) AND ({{{entry}}} = :run OR {room})"
        condition, values = free, dict[str, Any](run=run, limit=limit)
        changes: dict[str, Any] = {entry: run}
        adds: dict[str, int] = {}
        money, left = "", 0
        if ask is not None:
            money = f" AND attribute_not_exists({{{kept}}}) AND {{{sum_of}}} <= :left"
            money += " AND attribute_exists({reserved})"
            left = ask.budget - ask.reservation.micros
            values["left"] = left
            changes[kept], adds = ask.reservation.text, {sum_of: ask.reservation.micros}
        elif month:
            changes[sum_of] = None
        holders: dict[str, str] = {}
        previous: str | None = None
        for _ in range(_TRIES):
            taken, item = self.table.change(*_KEY, changes, condition + money, adds=adds, **values)
            if taken:
                return Slot(granted=True, holders=holders, previous=previous)
            if item is None or "holders" not in item or "reserved" not in item:
                self._make_maps()
                continue
            holders = item["holders"]
            held = item["reserved"].get(kept.partition("/")[2]) if ask is not None else None
            if ask is not None and held == ask.reservation.text and holders.get(stack_name) == run:
                # By a write of ours whose answer was lost.
                return Slot(granted=True, holders=holders, previous=previous)
            if held is not None:  # of an earlier launch of this run, which came to nothing
                self.settle(read_reservation(held), 0)
                continue
            of_another = stack_name in holders and holders[stack_name] != run
            if not of_another and stack_name not in holders and len(holders) >= limit:
                break
            if ask is not None and sum_of not in item:
                return Slot(granted=False, holders=holders, begun=False)
            if ask is not None and item[sum_of] > left:
                sums = _sums(item, month)
                return Slot(granted=False, holders=holders, previous=previous, sums=sums)
            if of_another:
                previous = holders[stack_name]
                condition = f"{{{entry}}} = :previous"
                values = {"previous": previous, **({"left": left} if ask else {})}
        return Slot(granted=False, holders=holders)

    def _make_maps(self) -> None:
        """Make the maps: an entry needs one that is there."""
        self.table.put_new(*_KEY, {"holders": {}, "reserved": {}})
        # Of a version that knew no months.
        self.table.change(*_KEY, {"reserved": {}}, "attribute_not_exists({reserved})")

    def begin_month(self, month: str, spent: int, reserved: Mapping[str, Reservation]) -> None:
        """Begin to keep the sum of a month, if nobody does.

        Args:
            spent: by runs of that month that are over, in millionths of a US dollar.
            reserved: for those that are not, by their names.
        """
        self._make_maps()
        for _ in range(_TRIES):
            before = (self.table.get(*_KEY) or {}).get("reserved", {})
            kept = {key: text for key, text in before.items() if _month_of(text) != month}
            ours = {_entry(run).partition("/")[2]: one.text for run, one in reserved.items()}
            total = spent + sum(one.micros for one in reserved.values())
            begun, item = self.table.change(
                *_KEY,
                {"reserved": kept | ours, _MONTH + month: total},
                f"attribute_not_exists({{{_MONTH}{month}}}) AND {{reserved}} = :before",
                before=before,
            )
            if begun or _MONTH + month in (item or {}):
                return

    def give_back(self, stack_name: str, run: str, previous: str | None = None) -> Item:
        """Let `run` no longer count, if it does; the `previous` of its stack's name does again.

        What was reserved for it still is: `settle`.

        Returns:
            All that is held, as it is now.
        """
        entry = f"holders/{stack_name}"
        _, item = self.table.change(*_KEY, {entry: previous}, f"{{{entry}}} = :run", run=run)
        return item or {}

    def settle(self, held: Reservation, micros: int) -> None:
        """Let what a run has cost count in place of what was reserved for it, once.

        Args:
            micros: in millionths of a US dollar.
        """
        kept, sum_of = _entry(held.run), _MONTH + held.month
        ours = f"{{{kept}}} = :held"
        adds = {sum_of: micros - held.micros}
        known = f"{ours} AND attribute_exists({{{sum_of}}})"
        done, item = self.table.change(*_KEY, {kept: None}, known, adds=adds, held=held.text)
        if not done and item and sum_of not in item:  # the budget was taken away meanwhile
            unknown = f"{ours} AND attribute_not_exists({{{sum_of}}})"
            self.table.change(*_KEY, {kept: None}, unknown, held=held.text)

    def set(self, stack_name: str, run: str) -> None:
        """Count the run whose stack stands, whether there is room or not."""
        self._make_maps()
        self.table.change(*_KEY, {f"holders/{stack_name}": run})

    def held(self) -> Item:
        return self.table.get(*_KEY) or {}

    def holders(self) -> dict[str, str]:
        """Return the runs that count, ``<job>/<run id>`` by the name of their stack."""
        return dict(self.held().get("holders", {}))


def reservations_of(item: Item) -> dict[str, Reservation]:
    """Return what is reserved, by the names of runs."""
    found = map(read_reservation, item.get("reserved", {}).values())
    return {one.run: one for one in found}


def sums_of(item: Item, month: str) -> Sums | None:
    """Return the sums of a month; None if nobody keeps them."""
    return _sums(item, month) if _MONTH + month in item else None


def _sums(item: Item, month: str) -> Sums:
    texts = item.get("reserved", {}).values()
    mine = [one for one in map(read_reservation, texts) if one.month == month]
    reserved = sum(one.micros for one in mine)
    whole = int(item[_MONTH + month])
    return Sums(month=month, spent=whole - reserved, reserved=reserved, runs=len(mine))


def _month_of(text: str) -> str:
    return read_reservation(text).month


def _entry(run: str) -> str:
    """Return the path of a run's reservation: names of jobs have characters that no path has."""
    return f"reserved/{hashlib.sha256(run.encode()).hexdigest()[:32]}"
