"""DynamoDB: what has come for each data trigger, in settle windows."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from .table import Item, Table, expiry, read_each

_WINDOWS = "windows"


@dataclass(frozen=True, kw_only=True)
class Window:
    """A settle window of a data trigger, whose run has not been launched as far as is known."""

    trigger: str
    name: str
    ends: datetime


@dataclass(frozen=True, kw_only=True)
class Arrivals:
    """One item for each trigger says which window is open, and which are to be launched.

    An arrival that is put while its window is open is found by whoever closes it afterwards. One
    that finds it closed after it was put joins the next.
    """

    table: Table
    now: datetime
    """When the function began, aware UTC."""

    def window_of(self, trigger: str, identity: str) -> str | None:
        """Return the window that an arrival is in; None if it has not been told of before."""
        found = self.table.get(f"arrival#{trigger}", identity)
        return str(found["window"]) if found else None

    def remember(self, trigger: str, identity: str, window: str) -> bool:
        """Note that an arrival is in a window; return whether this call was the first to."""
        item = {"window": window, **expiry(self.now)}
        return self.table.put_new(f"arrival#{trigger}", identity, item) is None

    def open_window(self, trigger: str) -> tuple[Window | None, bool]:
        """Return the last window that was opened, and whether it takes arrivals still."""
        item = self.table.get(_WINDOWS, trigger)
        if item is None or "ends" not in item:  # its first window is about to be opened
            return None, False
        ends = datetime.fromisoformat(item["ends"])
        window = Window(trigger=trigger, name=str(item["window"]), ends=ends)
        return window, _is_open(item, window.name)

    def open(self, window: Window, before: Window | None) -> bool:
        """Open a window in place of the one `before`; return whether it is open now."""
        changes = {
            "window": window.name,
            "ends": window.ends.isoformat(),
            f"unfinished/{window.name}": {"ends": window.ends.isoformat(), "state": "open"},
        }
        known: dict[str, Any] = {}
        where = "attribute_not_exists({window})"
        if before is not None:
            where = "{window} = :before OR {window} = :new"
            known = {"before": before.name, "new": window.name}
        self.table.put_new(_WINDOWS, window.trigger, {"unfinished": {}})
        return self.table.change(_WINDOWS, window.trigger, changes, where, **known)[0]

    def put(self, window: Window, name: str, key: str, version: str) -> bool:
        """Put an arrival in a window; return whether the window will see it.

        Args:
            name: by which the newest of a window is the last.
        """
        item = {"key": key, "version": version, **expiry(self.now)}
        self.table.put_new(f"{_WINDOWS}#{window.trigger}/{window.name}", name, item)
        return _is_open(self.table.get(_WINDOWS, window.trigger) or {}, window.name)

    def close(self, trigger: str, window: str) -> tuple[Item | None, int]:
        """Let a window take no more arrivals; return its newest, and how many there are."""
        entry = f"unfinished/{window}"
        changes = {f"{entry}/state": "closed"}
        self.table.change(_WINDOWS, trigger, changes, f"attribute_exists({{{entry}}})")
        newest, count = None, 0
        for item in self.table.query(f"{_WINDOWS}#{trigger}/{window}"):
            newest, count = item, count + 1
        return newest, count

    def finish(self, trigger: str, window: str) -> None:
        """Note that a window's run has been launched, or refused."""
        entry = f"unfinished/{window}"
        self.table.change(_WINDOWS, trigger, {entry: None}, f"attribute_exists({{{entry}}})")

    def unfinished(self) -> tuple[list[Window], list[str]]:
        """Return the windows yet to be launched, and one problem for each unreadable item."""
        found, problems = read_each(self.table.query(_WINDOWS), _read)
        return [window for windows in found for window in windows], problems


def _is_open(item: Item, window: str) -> bool:
    known: dict[str, Any] = item.get("unfinished", {}).get(window, {})
    return known.get("state") == "open"


def _read(item: Item) -> list[Window]:
    return [
        Window(trigger=item["sk"], name=name, ends=datetime.fromisoformat(known["ends"]))
        for name, known in item.get("unfinished", {}).items()
    ]
