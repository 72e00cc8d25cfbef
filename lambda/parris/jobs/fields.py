"""What one value in training-config.json may be, and how it is read."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from ..errors import found
from .parameters import read_parameters


@dataclass(frozen=True, kw_only=True)
class Text:
    """A string that matches `pattern` whole; `allowed` says so to a person."""

    pattern: str
    allowed: str
    default: str = ""


@dataclass(frozen=True, kw_only=True)
class Choice:
    values: tuple[str, ...]
    default: str


@dataclass(frozen=True, kw_only=True)
class Whole:
    """A whole number; 10.0 is one, as in JSON Schema."""

    minimum: int
    maximum: int
    unit: str
    default: int | None = None


@dataclass(frozen=True, kw_only=True)
class Amount:
    """A number above 0."""

    maximum: int
    unit: str


@dataclass(frozen=True, kw_only=True)
class Flag:
    default: bool


@dataclass(frozen=True, kw_only=True)
class Parameters:
    """See `parameters.read_parameters`."""


Field = Text | Choice | Whole | Amount | Flag | Parameters


def read_field(field: Field, value: Any) -> tuple[Any, str]:
    """Return `value` as `field` reads it, and what is wrong with it: "" if nothing is."""
    return _READERS[type(field)](field, value)


def _read_text(field: Text, value: Any) -> tuple[str, str]:
    if isinstance(value, str) and re.fullmatch(field.pattern, value):
        return value, ""
    return "", f"{found(value)} is not {field.allowed}"


def _read_choice(field: Choice, value: Any) -> tuple[str, str]:
    if isinstance(value, str) and value in field.values:
        return value, ""
    return "", f"{found(value)} is not one of {', '.join(field.values)}"


def _read_whole(field: Whole, value: Any) -> tuple[int, str]:
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if type(value) is int and field.minimum <= value <= field.maximum:
        return value, ""
    allowed = f"a whole number of {field.unit} ({field.minimum} to {field.maximum})"
    return 0, f"{found(value)} is not {allowed}"


def _read_amount(field: Amount, value: Any) -> tuple[Decimal, str]:
    if type(value) in (int, float) and 0 < value <= field.maximum:
        return Decimal(str(value)), ""
    return Decimal(0), (
        f"{found(value)} is not an amount of {field.unit} (above 0, at most {field.maximum})"
    )


def _read_flag(_field: Flag, value: Any) -> tuple[bool, str]:
    return (
        (value, "") if isinstance(value, bool) else (False, f"{found(value)} is not true or false")
    )


def _read_parameters(_field: Parameters, value: Any) -> tuple[dict[str, str], str]:
    values, problems = read_parameters(value)
    return values, "; ".join(problems)


_READERS: Mapping[type[Field], Callable[[Any, Any], tuple[Any, str]]] = {
    Text: _read_text,
    Choice: _read_choice,
    Whole: _read_whole,
    Amount: _read_amount,
    Flag: _read_flag,
    Parameters: _read_parameters,
}
