"""The parameters of a run: names and values that reach the trainer's environment."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Mapping

from ..errors import found, meant, shown

NAME = "[A-Za-z][A-Za-z0-9_-]{0,63}"
MAX_COUNT = 50
MAX_LENGTH = 1024
"""Characters of one value."""
VALUE = r"[^\u0000\ud800-\udfff]*"
"""An environment holds neither NUL nor half a surrogate pair."""

OF_NEW_DATA = ("data-bucket", "data-key", "data-version", "data-objects")
"""What a data trigger tells the run of its own accord, whatever parameters the job has."""

_NAME = re.compile(NAME)
_VALUE = re.compile(VALUE)


def read_parameters(value: object) -> tuple[dict[str, str], list[str]]:
    """Return `value` as strings by name, and what is wrong with it.

    Numbers and booleans become their JSON text, so that ``0.10`` in a file and in an event
    reach the trainer alike.
    """
    if not isinstance(value, Mapping):
        return {}, [f"{found(value)} is not an object of names and values"]
    values: dict[str, str] = {}
    problems: list[str] = []
    if len(value) > MAX_COUNT:
        problems.append(f"{len(value)} parameters are too many (at most {MAX_COUNT})")
    for name, item in value.items():
        if not _NAME.fullmatch(name):
            problems.append(
                f"{shown(name)} is not a name (1 to 64 letters, digits, hyphens or underscores, "
                "the first a letter)"
            )
        elif isinstance(item, str) and len(item) <= MAX_LENGTH and _VALUE.fullmatch(item):
            values[name] = item
        elif isinstance(item, (bool, int)) or (isinstance(item, float) and math.isfinite(item)):
            values[name] = json.dumps(item)
        else:
            problems.append(
                f"{name}: not a string of at most {MAX_LENGTH} characters (without NUL, in whole "
                "Unicode characters), a number or a boolean"
            )
    return values, problems


def unknown_names(given: Iterable[str], known: Iterable[str], job: str) -> list[str]:
    """Return a problem for each of the names `given` that is none of `job`'s own.

    A misspelt one would train with the job's own value, and nobody would know.
    """
    spelled = {environment_name(name): name for name in known}
    listed = ", ".join(sorted(spelled.values()))
    whose = f"; it has {listed}" if listed else '; its training-config.json has no "parameters"'
    return [
        f"{name} is not a parameter of job {job}{meant(name, spelled.values()) or whose}"
        for name in given
        if environment_name(name) not in spelled
    ]


def environment_name(name: str) -> str:
    """Return the variable that carries parameter `name` to the trainer."""
    return "PARRIS_PARAM_" + name.upper().replace("-", "_")


def merged(ours: Mapping[str, str], theirs: Mapping[str, str]) -> dict[str, str]:
    """Return parameters in which `theirs` win, however they are spelled."""
    named = {environment_name(name): (name, value) for name, value in ours.items()}
    for name, value in theirs.items():
        key = environment_name(name)
        named[key] = (named[key][0] if key in named else name, value)
    return dict(named.values())
