"""The curves of one run, from whatever its trainer wrote them to."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

from scripts.metrics.jsonl import read_jsonl
from scripts.metrics.mlflow import NotMLflowError, read_mlflow
from scripts.metrics.points import Curves
from scripts.metrics.tensorboard import DamagedError, read_events

MAX_FILES = 10_000
"""Files of a run that are looked through for such as hold metrics."""


def read_curves(folder: Path) -> Curves:
    """Return the curves in the results of a run, as `make results` puts them into `folder`.

    Where two files have a metric of the same name, both are in its curve. What cannot be read is
    named in `problems`, and stands in the way of nothing else.
    """
    curves, output = Curves(), folder / "output"
    found = list(_files(output))
    events = [path for path in found if ".tfevents." in path.name]
    several = len({path.parent for path in events}) > 1  # TensorBoard has a run for each folder
    for path in found:
        if path == output / "metrics.jsonl":
            _try(path, curves, read_jsonl)
        elif path.name == "mlflow.db":
            _try(path, curves, read_mlflow)
    for path in events:
        where = path.parent.relative_to(output).as_posix()
        prefix = f"{where}/" if several and where != "." else ""
        _try(path, curves, partial(read_events, prefix=prefix))
    return curves


def read_machine(folder: Path) -> Curves:
    """Return the curves of how busy the machine was (docs/metrics.md)."""
    curves, path = Curves(), folder / "machine.jsonl"
    if path.is_file():
        _try(path, curves, read_jsonl)
    return curves


def _try(path: Path, curves: Curves, read: Callable[[Path, Curves], None]) -> None:
    try:
        read(path, curves)
    except (OSError, sqlite3.Error, NotMLflowError, DamagedError) as error:
        curves.problems.append(f"{path.name}: {error}")


def _files(folder: Path) -> Iterator[Path]:
    """Yield the regular files below a folder in the order of their names; no link is followed."""
    left = MAX_FILES
    for base, folders, names in os.walk(folder):
        folders.sort()
        for name in sorted(names):
            path = Path(base, name)
            left -= 1
            if left < 0:
                return
            if path.is_file() and not path.is_symlink():
                yield path
