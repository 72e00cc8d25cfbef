"""The ledger's table in memory, for tests that write thousands of times: moto takes 20 ms a write.

It understands the conditions that `Table.change` is given. `test_month_holds` compares it to moto.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from parris.aws.table import Item, Table

_PATTERNS = (
    (r"attribute_not_exists\(\{([^{}]*)\}\)", r'(not has("\1"))'),
    (r"attribute_exists\(\{([^{}]*)\}\)", r'has("\1")'),
    (r"size\(\{([^{}]*)\}\) < :(\w+)", r'size("\1", values["\2"])'),
    (r"\{([^{}]*)\} <= :(\w+)", r'at_most("\1", values["\2"])'),
    (r"\{([^{}]*)\} < :(\w+)", r'less("\1", values["\2"])'),
    (r"\{([^{}]*)\} = :(\w+)", r'same("\1", values["\2"])'),
    (r"\bAND\b", "and"),
    (r"\bOR\b", "or"),
)


@dataclass(frozen=True, kw_only=True)
class MemoryTable(Table):
    """One write after another, as DynamoDB changes an item."""

    items: dict[tuple[str, str], Item] = field(default_factory=dict)
    lock: Any = field(default_factory=threading.RLock)

    def get(self, pk: str, sk: str) -> Item | None:
        with self.lock:
            held: Item | None = _copy(self.items.get((pk, sk)))
            return held

    def put_new(self, pk: str, sk: str, item: Mapping[str, Any]) -> Item | None:
        with self.lock:
            if held := self.get(pk, sk):
                return held
            self.items[pk, sk] = _copy({"pk": pk, "sk": sk, **item})
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
            before = self.items.get((pk, sk))
            if not _holds(condition, before or {}, values):
                return False, _copy(before)
            item = self.items.setdefault((pk, sk), {"pk": pk, "sk": sk})
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
            return True, _copy(item)

    def query(self, pk: str, **how: Any) -> Iterator[Item]:
        """Return the items of a partition of the table, or of one of its indexes."""
        attribute, sought = how.get("index") or "pk", how.get("begins_with", "")
        with self.lock:
            found = [item for item in self.items.values() if item.get(attribute) == pk]
            found = [item for item in found if str(item["sk"]).startswith(sought)]
            found.sort(key=lambda item: str(item["sk"]), reverse=how.get("page") is not None)
            return iter([_copy(item) for item in found])


def _copy(value: Any) -> Any:
    """Return a copy of what an item may hold: text, whole numbers, and maps of these."""
    if isinstance(value, dict):
        return {name: _copy(inner) for name, inner in value.items()}
    return value


def _holds(condition: str, item: Item, values: Mapping[str, Any]) -> bool:
    def look(path: str) -> Any:
        found: Any = item
        for step in path.split("/"):
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
    program = condition
    for pattern, text in _PATTERNS:
        program = re.sub(pattern, text, program)
    return bool(eval(program, {"__builtins__": {}}, names))  # noqa: S307 - our own conditions
