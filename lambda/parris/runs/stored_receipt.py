"""A run.json as it lies in S3: what is not of its kind counts as not there.

The functions write it, and whoever may write the results bucket may change it.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from decimal import Decimal, InvalidOperation
from typing import TYPE_CHECKING, Any

from ..contract import SCHEMA
from .times import read_time

if TYPE_CHECKING:
    from .documents import Receipt


def read_receipt(body: bytes | str) -> tuple[Receipt, str]:
    """Return the receipt in `body`, and what of it cannot be used ("" if all can be)."""
    try:
        given = json.loads(body)
    except (ValueError, RecursionError):
        given = None
    if not isinstance(given, dict):
        return {}, "no JSON object"
    return sound(given)


def sound(given: Mapping[str, Any]) -> tuple[Receipt, str]:
    """Return a receipt without what is not of its kind, and what that is ("" if nothing)."""
    wrong = [key for key, fits in _KINDS.items() if key in given and not fits(given[key])]
    whole: Any = {key: value for key, value in given.items() if key not in wrong}
    if (schema := whole.get("schema", SCHEMA)) > SCHEMA:
        return whole, f"schema {schema} is of a newer version, and this one reads {SCHEMA}"
    return whole, f"{', '.join(wrong)}: not of its kind, and left out" if wrong else ""


def _is_text(value: object) -> bool:
    return isinstance(value, str)


def _or_null(fits: Callable[[object], bool]) -> Callable[[object], bool]:
    return lambda value: value is None or fits(value)


def _is_time(value: object) -> bool:
    return read_time(value) is not None


def _is_mapping(value: object) -> bool:
    return isinstance(value, dict)


def _is_price(value: object) -> bool:
    return isinstance(value, dict) and _is_dollars(value.get("hourly-usd"))


def _is_dollars(value: object) -> bool:
    try:
        return isinstance(value, str) and Decimal(value).is_finite()
    except InvalidOperation:
        return False


_KINDS: Mapping[str, Callable[[object], bool]] = {
    "schema": lambda value: type(value) is int,
    "nodes": lambda value: type(value) is int and 1 <= value <= 100,
    **dict.fromkeys(
        ("state", "reason", "stack-id", "stack-name", "log-stream", "keep-stack"), _is_text
    ),
    **dict.fromkeys(("claimed", "deadline", "run-deadline", "attempt-began"), _is_time),
    **dict.fromkeys(("parameters", "trigger"), _is_mapping),
    **dict.fromkeys(("image", "instance-type", "parris-version"), _or_null(_is_text)),
    "price": _or_null(_is_price),
    "cost-limit-usd": _or_null(_is_dollars),
}
