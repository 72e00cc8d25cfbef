"""DynamoDB: which runs count against ``max_concurrent_runs``, by the name of their stack."""

from __future__ import annotations

from dataclasses import dataclass, field

from .table import Table

_KEY = ("slots", "slots")
_TRIES = 5


@dataclass(frozen=True, kw_only=True)
class Slot:
    """What came of asking for room."""

    granted: bool
    holders: dict[str, str] = field(default_factory=dict)
    """The runs that counted before, ``<job>/<run id>`` by the name of their stack."""
    previous: str | None = None
    """The run that had the stack's name, and its room, before."""


@dataclass(frozen=True)
class Slots:
    """One item that holds all of them, so that one conditional write decides who has room."""

    table: Table

    def take(self, stack_name: str, run: str, limit: int) -> Slot:
        """Count `run` (``<job>/<run id>``) if there is room, or if its stack's name has some.

        A stack has one run at a time. Whether another's stack may be taken is not judged here: who
        is refused that gives the room back.
        """
        entry = f"holders/{stack_name}"
        room = f"attribute_not_exists({{{entry}}}) AND size({{holders}}) < :limit"
        free = f"attribute_exists({{holders}}) AND ({{{entry}}} = :run OR {room})"
        holders: dict[str, str] = {}
        previous: str | None = None
        for _ in range(_TRIES):
            taken, item = self.table.change(*_KEY, {entry: run}, free, run=run, limit=limit)
            if taken:  # perhaps by a write of ours whose answer was lost
                return Slot(granted=True, holders=holders, previous=previous)
            if item is None or "holders" not in item:
                # The first launch of a deployment: an entry needs a map that is there.
                self.table.put_new(*_KEY, {"holders": {}})
                continue
            holders = item["holders"]
            if stack_name not in holders:
                break
            previous = holders[stack_name]
            theirs = f"{{{entry}}} = :previous"
            if self.table.change(*_KEY, {entry: run}, theirs, previous=previous)[0]:
                return Slot(granted=True, holders=holders, previous=previous)
        return Slot(granted=False, holders=holders)

    def give_back(self, stack_name: str, run: str, previous: str | None = None) -> None:
        """Let `run` no longer count, if it does; the `previous` of its stack's name does again."""
        entry = f"holders/{stack_name}"
        self.table.change(*_KEY, {entry: previous}, f"{{{entry}}} = :run", run=run)

    def set(self, stack_name: str, run: str) -> None:
        """Count the run whose stack stands, whether there is room or not."""
        self.table.put_new(*_KEY, {"holders": {}})
        self.table.change(*_KEY, {f"holders/{stack_name}": run})

    def holders(self) -> dict[str, str]:
        """Return the runs that count, ``<job>/<run id>`` by the name of their stack."""
        return dict((self.table.get(*_KEY) or {}).get("holders", {}))
