"""The ledger's table in memory, for tests that write thousands of times: moto takes 20 ms a write.

It understands the conditions that `Table.change` is given. `test_month_holds` compares it to moto.
"""

from __future__ import annotations

import re
import threading
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from types import CodeType
from typing import Any

from parris.aws.table import Item, Table

INDEXES = ("open", "kind")
"""The table's, each with all attributes of its items (main.tf)."""

_PATH = re.compile(r"\{([^{}]*)\}")
_PATTERNS = (
    (r"attribute_not_exists\(\{(\d+)\}\)", r"(not has(\1))"),
    (r"attribute_exists\(\{(\d+)\}\)", r"has(\1)"),
    (r"size\(\{(\d+)\}\) < :(\w+)", r'size(\1, values["\2"])'),
    (r"\{(\d+)\} <= :(\w+)", r'at_most(\1, values["\2"])'),
    (r"\{(\d+)\} < :(\w+)", r'less(\1, values["\2"])'),
    (r"\{(\d+)\} = :(\w+)", r'same(\1, values["\2"])'),
    (r"\bAND\b", "and"),
    (r"\bOR\b", "or"),
)

Key = tuple[str, str]


class Items(dict[Key, Item]):
    """Items by their keys, and the keys of each partition of the table and of its indexes."""

    def __init__(self) -> None:
        super().__init__()
        self._partitions: defaultdict[Key, set[Key]] = defaultdict(set)

    def of(self, attribute: str, value: str) -> list[Item]:
        """Return the items of a partition, whose key `attribute` is, in the order of their ids."""
        return [self[key] for key in sorted(self._partitions[attribute, value])]

    def note(self, key: Key, before: Mapping[str, Any], now: Item) -> None:
        """Hold an item as it is `now`; of what it was `before` the keys of partitions count."""
        self[key] = now
        self._move(key, before, now)

    def drop(self, key: Key) -> None:
        self._move(key, self.pop(key), {})

    def _move(self, key: Key, before: Mapping[str, Any], now: Mapping[str, Any]) -> None:
        for attribute in ("pk", *INDEXES):
            old, new = before.get(attribute), now.get(attribute)
            if old != new and old is not None:
                self._partitions[attribute, old].discard(key)
            if old != new and new is not None:
                self._partitions[attribute, new].add(key)


@dataclass(frozen=True, kw_only=True)
class MemoryTable(Table):
    """One write after another, as DynamoDB changes an item."""

    items: Items = field(default_factory=Items)
    lock: Any = field(default_factory=threading.RLock)

    def get(self, pk: str, sk: str) -> Item | None:
        with self.lock:
            held: Item | None = _copy(self.items.get((pk, sk)))
            return held

    def put_new(self, pk: str, sk: str, item: Mapping[str, Any]) -> Item | None:
        with self.lock:
            if held := self.items.get((pk, sk)):
                return dict(_copy(held))
            self.items.note((pk, sk), {}, _copy({"pk": pk, "sk": sk, **item}))
            return None

    def change(
        self,
        pk: str,
        sk: str,
        changes: Mapping[str, Any],
        condition: str = "attribute_exists({pk})",
        adds: Mapping[str, int] | None = None,
        **values: Any,
    ) -> tuple[bool, Item | None]:
        with self.lock:
            held = self.items.get((pk, sk))
            if not _holds(condition, held or {}, values):
                return False, _copy(held)
            before = {} if held is None else {name: held.get(name) for name in ("pk", *INDEXES)}
            item: Item = {"pk": pk, "sk": sk} if held is None else held
            for path, value in changes.items():
                *steps, last = path.split("/")
                inner = item
                for step in steps:
                    inner = inner[step]
                if value is None:
                    inner.pop(last, None)
                else:
                    inner[last] = _copy(value)
            for name, more in (adds or {}).items():
                item[name] = item.get(name, 0) + more
            self.items.note((pk, sk), before, item)
            return True, _copy(item)

    def delete(self, pk: str, sk: str, condition: str, **values: Any) -> bool:
        with self.lock:
            if not _holds(condition, self.items.get((pk, sk)) or {}, values):
                return False
            self.items.drop((pk, sk))
            return True

    def query(self, pk: str, **how: Any) -> Iterator[Item]:
        """Return the items of a partition of the table, or of one of its indexes."""
        attribute, sought = how.get("index") or "pk", how.get("begins_with", "")
        with self.lock:
            found = [one for one in self.items.of(attribute, pk) if one["sk"].startswith(sought)]
            if wanted := how.get("containing"):
                found = [one for one in found if wanted[1] in one.get(wanted[0], "")]
            found.sort(key=lambda item: str(item["sk"]), reverse=how.get("page") is not None)
            return iter([_copy(item) for item in found])


def _copy(value: Any) -> Any:
    """Return a copy of what an item may hold: text, whole numbers, and maps of these."""
    if isinstance(value, dict):
        return {
            name: _copy(inner) if isinstance(inner, dict) else inner
            for name, inner in value.items()
        }
    return value


def _holds(condition: str, item: Item, values: Mapping[str, Any]) -> bool:
    paths: list[str] = _PATH.findall(condition)

    def look(number: int) -> Any:
        found: Any = item
        for step in paths[number].split("/"):
            found = found.get(step) if isinstance(found, dict) else None
        return found

    names = {
        "has": lambda path: look(path) is not None,
        "size": lambda path, most: look(path) is not None and len(look(path)) < most,
        "at_most": lambda path, most: look(path) is not None and look(path) <= most,
        "less": lambda path, value: look(path) is not None and look(path) < value,
        "same": lambda path, value: look(path) is not None and look(path) == value,
        "values": values,
    }
    shape = _PATH.sub("{}", condition)
    return bool(eval(_program(shape), {"__builtins__": {}}, names))  # noqa: S307 - our own


@lru_cache
def _program(shape: str) -> CodeType:
    """Return a condition, in which each path is ``{}``, as an expression of Python's."""
    first, *rest = shape.split("{}")
    text = first + "".join(f"{{{number}}}{part}" for number, part in enumerate(rest))
    for pattern, replacement in _PATTERNS:
        text = re.sub(pattern, replacement, text)
    return compile(text, "condition", "eval")
