"""A run.json as commands read it: what is not of its kind is left out, and said."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping
from decimal import Decimal, InvalidOperation
from typing import Any

from parris.runs.times import read_time
from scripts.cli.plain_text import one_line


def read_receipt(body: bytes, key: str) -> dict[str, Any]:
    """Return the receipt in `body`; a note on standard error says what of it cannot be used."""
    try:
        given = json.loads(body)
    except (ValueError, RecursionError):
        given = None
    if not isinstance(given, dict):
        _note(f"{key} is no JSON object; what is said of its run is incomplete")
        return {}
    return sound(given, key)


def sound(given: Mapping[str, Any], name: str) -> dict[str, Any]:
    """Return a receipt without what is not of its kind, of which a note says what and where."""
    wrong = [key for key, fits in _KINDS.items() if key in given and not fits(given[key])]
    if wrong:
        _note(f"{name}: {', '.join(wrong)}: not of its kind, and left out")
    return {key: value for key, value in given.items() if key not in wrong}


def _note(text: str) -> None:
    print(one_line(f"note: {text}"), file=sys.stderr)


def _is_text(value: object) -> bool:
    return isinstance(value, str)


def _is_time(value: object) -> bool:
    return read_time(value) is not None


def _is_mapping(value: object) -> bool:
    return isinstance(value, dict)


def _is_price(value: object) -> bool:
    if value is None:
        return True
    try:
        return isinstance(value, dict) and Decimal(str(value["hourly-usd"])).is_finite()
    except (KeyError, InvalidOperation):
        return False


def _is_dollars(value: object) -> bool:
    try:
        return value is None or (isinstance(value, str) and Decimal(value).is_finite())
    except InvalidOperation:
        return False


_KINDS: Mapping[str, Callable[[object], bool]] = {
    **dict.fromkeys(("state", "reason", "stack-id", "stack-name", "log-stream"), _is_text),
    **dict.fromkeys(("claimed", "deadline"), _is_time),
    **dict.fromkeys(("parameters", "trigger"), _is_mapping),
    "price": _is_price,
    "cost-limit-usd": _is_dollars,
}
