"""metrics.jsonl and machine.jsonl: a JSON object a line (docs/metrics.md)."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import IO, Any

from parris.runs.times import read_time
from scripts.metrics.points import Curves, Point, place

MAX_LINE = 64 << 10
MAX_FILE = 256 << 20
"""Bytes; of a larger file the beginning is read."""
STEPS = ("step", "epoch")
"""What says how far a training has come; of two the finer one."""
_NO_METRICS = (*STEPS, "steps", "epochs", "time")


def read_jsonl(path: Path, curves: Curves) -> None:
    """Add the numbers in a file of JSON objects; whatever else is in it is left out.

    Raises:
        OSError: if it cannot be read.
    """
    with path.open("rb") as file:
        add_rows(_rows(file), curves)


def add_rows(rows: Iterable[Mapping[str, Any]], curves: Curves) -> None:
    """Add the numbers of a file's objects."""
    for number, row in enumerate(rows, start=1):
        axis = next((name for name in STEPS if _place(row.get(name)) is not None), "line")
        step = _place(row.get(axis, number)) or 0.0
        when = row.get("time")
        moment = read_time(when) if isinstance(when, str) else None
        time = moment.timestamp() if moment else _place(when)
        for name, given in row.items():
            value = _number(given)
            if value is not None and name not in _NO_METRICS:
                curves.add(name, Point(step, time, value), axis)


def _rows(file: IO[bytes]) -> Iterator[Mapping[str, Any]]:
    goes_on = False
    while file.tell() < MAX_FILE and (line := file.readline(MAX_LINE)):
        whole, goes_on = not goes_on, not line.endswith(b"\n")
        if not whole or (goes_on and len(line) == MAX_LINE):
            continue
        try:
            row = json.loads(line.decode("utf-8", "replace"))
        except (ValueError, RecursionError):
            continue
        if isinstance(row, dict):
            yield row


def _number(value: object) -> float | None:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    try:
        return float(value)
    except OverflowError:  # integers of JSON have no end
        return math.inf if value > 0 else -math.inf


def _place(value: object) -> float | None:
    return place(_number(value))
