"""What the keys of a job's files may hold, and how they are read."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from dataclasses import field as dataclass_field
from decimal import Decimal
from typing import Any

from ..errors import found, meant
from .inputs import read_data, read_secrets
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
    default: str | None = None


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

    default: Mapping[str, str] = dataclass_field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Secrets:
    """See `inputs.read_secrets`."""

    default: Mapping[str, str] = dataclass_field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Data:
    """See `inputs.read_data`."""

    default: tuple[Mapping[str, str], ...] = ()


@dataclass(frozen=True, kw_only=True)
class Several:
    """A value of `field`, or a list of `least` to MOST different ones; read as a tuple."""

    field: Text | Choice | Whole
    default: tuple[Any, ...] = ()
    least: int = 1
    words: Mapping[str, tuple[Any, ...]] = dataclass_field(default_factory=dict)
    """Text that stands for a list."""


MOST = 10

Field = Text | Choice | Whole | Amount | Flag | Parameters | Secrets | Data | Several


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
    of = f" of {field.unit}" if field.unit else ""
    allowed = f"a whole number{of} ({field.minimum} to {field.maximum})"
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


def _read_secrets(_field: Secrets, value: Any) -> tuple[dict[str, str], str]:
    held, problems = read_secrets(value)
    return held, "; ".join(problems)


def _read_data(_field: Data, value: Any) -> tuple[tuple[dict[str, str], ...], str]:
    sources, problems = read_data(value)
    return sources, "; ".join(problems)


def _read_several(field: Several, value: Any) -> tuple[tuple[Any, ...], str]:
    if isinstance(value, str) and value in field.words:
        return field.words[value], ""
    if not isinstance(value, list):
        one, fault = read_field(field.field, value)
        return (one,), fault and f"{fault}, or a list of such{_or(field.words)}"
    read = [read_field(field.field, item) for item in value]
    if faults := [fault for _, fault in read if fault]:
        return (), "; ".join(faults)
    values = tuple(item for item, _ in read)
    if not field.least <= len(values) <= MOST or len(set(values)) < len(values):
        return (), f"{found(value)} is not a list of {field.least} to {MOST} different ones"
    return values, ""


def _or(words: Iterable[str]) -> str:
    return "".join(f', or "{word}"' for word in words if word)


_READERS: Mapping[type[Field], Callable[[Any, Any], tuple[Any, str]]] = {
    Text: _read_text,
    Choice: _read_choice,
    Whole: _read_whole,
    Amount: _read_amount,
    Flag: _read_flag,
    Parameters: _read_parameters,
    Secrets: _read_secrets,
    Data: _read_data,
    Several: _read_several,
}


def canonical(
    given: Mapping[str, Any], known: set[str] | Any, prefix: str, problems: list[str]
) -> dict[str, Any]:
    """Return `given` by hyphenated key, without the comments (keys that start with ``_``)."""
    values: dict[str, Any] = {}
    for name, value in given.items():
        key = name.replace("_", "-")
        if name.startswith("_"):
            continue
        if key not in known:
            problems.append(
                f"{prefix}{name}: not a key of this file{meant(key, known) or _all(known)}"
            )
        elif key in values:
            problems.append(f"{prefix}{key}: given twice, spelled in two ways; keep one")
        else:
            values[key] = value
    return values


def _all(known: set[str]) -> str:
    return f"; keys are {', '.join(sorted(known))}"


def read_fields(
    fields: Mapping[str, Field], values: Mapping[str, Any], prefix: str, problems: list[str]
) -> dict[str, Any]:
    read: dict[str, Any] = {}
    for key, field in fields.items():
        read[key] = getattr(field, "default", None)
        if key in values:
            read[key], fault = read_field(field, values[key])
            if fault:
                problems.append(f"{prefix}{key}: {fault}")
    return read
