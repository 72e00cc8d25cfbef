"""What a job's files must be, on disk as in the bucket; upload and launch both ask here."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, NoReturn

from ..errors import InvalidConfig, found

GRID_FILENAME = "grid.json"
"""Beside a job's training-config.json: its events then start a grid."""

MAX_JOB_FILES = 200
"""A job is a script and what stands beside it; a data set belongs in a bucket of its own."""

MAX_FILE_BYTES = 5 * 1024**3
"""The most that one PutObject or CopyObject takes (S3 API reference)."""

MAX_SCRIPT_BYTES = 10 * 1024**2
"""A script is text; what is larger is data, and belongs beside it or in another bucket."""


def decode(body: bytes, source: str) -> str:
    """Return the text in `body`, without the byte order mark that some editors put before it.

    Raises:
        InvalidConfig: if it is not UTF-8.
    """
    try:
        return body.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        problem = f"byte {error.start}: not UTF-8 text ({error.reason}); save it as UTF-8"
        raise InvalidConfig(source, [problem]) from error


def read_object(text: str, source: str) -> dict[str, Any]:
    """Return the JSON object in `text`, each key of which stands there once.

    Raises:
        InvalidConfig: if it is none.
    """

    def refuse_constant(name: str) -> NoReturn:
        raise ValueError(f"{name} is not JSON")

    try:
        given = json.loads(text, parse_constant=refuse_constant, object_pairs_hook=_once)
    except json.JSONDecodeError as error:
        place = f"line {error.lineno}, column {error.colno}"
        raise InvalidConfig(source, [f"{place}: not JSON: {error.msg}"]) from error
    except (ValueError, RecursionError) as error:
        raise InvalidConfig(source, [f"not JSON: {error}"]) from error
    if not isinstance(given, dict):
        raise InvalidConfig(source, [f"{found(given)} is not an object; it holds keys in {{ }}"])
    return given


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    given: dict[str, Any] = {}
    for name, value in pairs:
        if name in given:
            raise ValueError(f"the key {name!r} stands there twice")
        given[name] = value
    return given


def file_problems(sizes: Mapping[str, int]) -> list[str]:
    """Return what keeps files from being a job's.

    Args:
        sizes: in bytes, by path below the job's folder.
    """
    problems = [
        f"{name}: {size} bytes, over 5 GiB; keep data in a bucket of its own"
        for name, size in sizes.items()
        if size > MAX_FILE_BYTES
    ]
    if len(sizes) > MAX_JOB_FILES:
        problems.append(
            f"{len(sizes)} files (at most {MAX_JOB_FILES}); keep data in a bucket of its own"
        )
    return problems


def scripts_problems(
    script: str, setup: str, inputs: Sequence[str], sizes: Mapping[str, int]
) -> list[str]:
    """Return what is wrong with the files that a configuration names for its runs.

    Args:
        setup: its setup-script; "" if it has none.
        inputs: its setup-inputs.
    """
    problems = _script_problems("training-script-filename", script, sizes)
    if setup:
        problems += _script_problems("setup-script", setup, sizes)
    elif inputs:
        problems.append("setup-inputs: nothing uses them without a setup-script")
    for name in inputs:
        folder = name.rstrip("/") + "/"
        if name not in sizes and not any(file.startswith(folder) for file in sizes):
            problems.append(f"setup-inputs: there is no file or folder {name} beside it")
    return problems


def _script_problems(key: str, script: str, sizes: Mapping[str, int]) -> list[str]:
    if script not in sizes:
        there = ", ".join(sorted(sizes)[:10]) or "none"
        return [f"{key}: there is no file {script} beside it; files: {there}"]
    if sizes[script] == 0:
        return [f"{key}: {script} is empty"]
    if sizes[script] > MAX_SCRIPT_BYTES:
        size = f"{sizes[script]} bytes, over 10 MiB"
        return [f"{key}: {script} has {size}; keep data in a bucket of its own"]
    return []
