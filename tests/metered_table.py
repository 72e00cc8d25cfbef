"""What a table is called for, how much of it is read, and the capacity that DynamoDB counts.

The rules are the DynamoDB developer guide's: "DynamoDB item sizes and formats"; "Read and write
operations" (a unit reads 4 KB, or 8 KB where it need not be the newest, and writes 1 KB; a refused
write counts as one); "Global secondary indexes", "Write capacity units".
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from parris.aws.table import Item
from tests.memory_table import INDEXES, Key, MemoryTable

PAGE_BYTES = 2**20
"""What one Query reads at most (API reference, Query)."""


@dataclass
class Meter:
    """What was counted so far."""

    calls: Counter[str] = field(default_factory=Counter)
    """By operation; of a query its pages."""
    read_units: float = 0
    write_units: int = 0
    answered: int = 0
    """Bytes of items in all answers."""
    largest: int = 0
    """The most bytes that one call read or wrote, its pages together."""
    largest_item: int = 0
    """The most bytes of an item that was written."""

    def read(self, operation: str, size: int, seen: int, *, newest: bool = True) -> None:
        """Count a read of `size` bytes, of which the answer had `seen`."""
        self.calls[operation] += max(1, -(-size // PAGE_BYTES))
        units = max(1, -(-size // 4096))
        self.read_units += units if newest else units / 2
        self._answer(size, seen)

    def write(self, operation: str, before: State, now: State | None) -> None:
        """Count a write of an item that was as `before`; `now` is None if it was refused."""
        size, indexed = now or before
        self.calls[operation] += 1
        self.write_units += _kilobytes(max(before[0], size))
        if now is not None:
            for was, value in zip(before[1], indexed, strict=True):
                if was is not None and was == value:
                    self.write_units += _kilobytes(max(before[0], size))
                else:  # it leaves one partition of the index, comes into another, or both
                    self.write_units += _kilobytes(before[0]) * (was is not None)
                    self.write_units += _kilobytes(size) * (value is not None)
        self.largest_item = max(self.largest_item, size)
        self._answer(max(before[0], size), size)

    def _answer(self, size: int, seen: int) -> None:
        self.answered += seen
        self.largest = max(self.largest, size)


State = tuple[int, tuple[Any, ...]]
"""The size of an item, and its keys in the indexes, each None if it is not there."""

_NONE: State = (0, (None,) * len(INDEXES))


@dataclass(frozen=True, kw_only=True)
class MeteredTable(MemoryTable):
    """The table in memory, every call of which is counted."""

    meter: Meter = field(default_factory=Meter)
    states: dict[Key, State] = field(default_factory=dict)
    """Of all items: to measure one takes longer than to change it."""

    def get(self, pk: str, sk: str) -> Item | None:
        size = self._state(pk, sk)[0]
        self.meter.read("GetItem", size, size)
        return super().get(pk, sk)

    def put_new(self, pk: str, sk: str, item: Mapping[str, Any]) -> Item | None:
        held = super().put_new(pk, sk, item)
        before = self._state(pk, sk)
        now = None if held else self._measure(pk, sk)
        self.meter.write("PutItem", before, now)
        return held

    def change(self, pk: str, sk: str, *given: Any, **values: Any) -> tuple[bool, Item | None]:
        before = self._state(pk, sk)
        done, item = super().change(pk, sk, *given, **values)
        self.meter.write("UpdateItem", before, self._measure(pk, sk) if done else None)
        return done, item

    def delete(self, pk: str, sk: str, *given: Any, **values: Any) -> bool:
        before = self._state(pk, sk)
        done = super().delete(pk, sk, *given, **values)
        if done:
            del self.states[pk, sk]
        self.meter.write("DeleteItem", before, _NONE if done else None)
        return done

    def query(self, pk: str, **how: Any) -> Iterator[Item]:
        found = list(super().query(pk, **how))
        seen = read = self._sum(found)
        if how.pop("containing", None):  # DynamoDB reads the others too
            read = self._sum(super().query(pk, **how))
        self.meter.read("Query", read, seen, newest=not how.get("index"))
        return iter(found)

    def _sum(self, items: Iterable[Item]) -> int:
        return sum(self._state(item["pk"], item["sk"])[0] for item in items)

    def _state(self, pk: str, sk: str) -> State:
        return self.states.get((pk, sk), _NONE)

    def _measure(self, pk: str, sk: str) -> State:
        item = self.items[pk, sk]
        now = (size_of(item), tuple(item.get(index) for index in INDEXES))
        self.states[pk, sk] = now
        return now


def size_of(item: Mapping[str, Any]) -> int:
    """Return the bytes of an item: its names and values, 3 for a map and 1 for each entry.

    Names are of ASCII. Half of the time of a simulation is spent here.
    """
    size = 0
    for name, value in item.items():
        size += len(name)
        if value.__class__ is dict:
            size += 3 + len(value) + size_of(value)
        elif value.__class__ is int:  # a byte for two digits, and one
            size += (len(str(value)) + 1) // 2 + 1
        else:
            size += len(value) if value.isascii() else len(value.encode())
    return size


def _kilobytes(size: int) -> int:
    return max(1, -(-size // 1024))
