"""DynamoDB: what has been told, so that it is told once, and not forgotten when a teller dies."""

from __future__ import annotations

import json
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from .table import Table, expiry, to_text

_BEGUN = timedelta(minutes=5)
"""A function no longer runs so long after it began: the reap function's timeout."""

TOLD = "told"


@dataclass(frozen=True, kw_only=True)
class Telling:
    """What came of wanting to tell something."""

    begun: bool
    """Whether it is this caller's to publish now."""
    done: bool
    """Whether it has been published before."""
    name: str


@dataclass(frozen=True, kw_only=True)
class Told:
    """Notices by a key, ``<job>/<run or event>/<what>``.

    A notice is sent, then marked: twice after a death between the two, never not at all.
    """

    table: Table
    now: datetime
    """When the function began, aware UTC."""

    def begin(self, key: str, content: Mapping[str, Any] | None = None) -> Telling:
        """Ask to publish what `key` is about; one caller at a time may.

        Args:
            content: kept for whoever looks for it.
        """
        name = secrets.token_hex(8)
        changes = {
            "telling": self.now.isoformat(),
            "teller": name,
            "content": None if content is None else to_text(content),
            **expiry(self.now),
        }
        free = "attribute_not_exists({telling}) OR {telling} < :late OR {teller} = :name"
        condition = f"attribute_not_exists({{told}}) AND ({free})"
        late = (self.now - _BEGUN).isoformat()
        begun, item = self.table.change(TOLD, key, changes, condition, late=late, name=name)
        return Telling(begun=begun, done=not begun and "told" in (item or {}), name=name)

    def done(self, key: str, telling: Telling) -> None:
        changes = {"told": self.now.isoformat()}
        self.table.change(TOLD, key, changes, "{teller} = :name", name=telling.name)

    def failed(self, key: str, telling: Telling) -> None:
        """Let the next caller publish it."""
        self.table.change(TOLD, key, {"telling": None}, "{teller} = :name", name=telling.name)

    def contents(self, prefix: str = "") -> dict[str, dict[str, Any]]:
        """Return what was kept with notices whose key begins with `prefix`, by key."""
        found = self.table.query(TOLD, begins_with=prefix)
        return {item["sk"]: json.loads(item.get("content", "{}")) for item in found}


def told_key(job: str, run_or_event: str, what: str) -> str:
    """Return the key of what is told of a run or an event."""
    return f"{job}/{run_or_event}/{what}"
