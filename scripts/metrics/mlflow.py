"""MLflow's SQLite file: the metrics in it.

Of its tables (mlflow/store/tracking/dbmodels/models.py) ``metrics`` has a row for each value: key,
value, timestamp in milliseconds, run_uuid, step, is_nan; ``runs`` has the name of each run.
"""

from __future__ import annotations

import math
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any
from urllib.parse import quote

from scripts.metrics.points import Curves, Point, place

MAX_ROWS = 5_000_000
MAX_SECONDS = 20.0
"""Of processor time, for one file: the 20 MB that are fetched at most take three."""
MAX_CELL = 1 << 20
"""Bytes."""

_LOOK = 10_000
"""Steps of SQLite's machine between two looks at the clock: less than a millisecond."""

_TABLES = """
    SELECT count(*) FROM sqlite_master
    WHERE type = 'table' AND rootpage > 0 AND lower(name) IN ('metrics', 'runs')
"""
_COMPUTED = """
    SELECT count(*) FROM (
      SELECT hidden FROM pragma_table_xinfo('metrics')
      UNION ALL SELECT hidden FROM pragma_table_xinfo('runs')
    ) WHERE hidden <> 0
"""
_ROWS = """
    SELECT metrics.key, metrics.value, metrics.timestamp, metrics.step, metrics.is_nan,
           metrics.run_uuid, runs.name
    FROM metrics LEFT JOIN runs ON runs.run_uuid = metrics.run_uuid
    ORDER BY metrics.run_uuid, metrics.key, metrics.step, metrics.timestamp LIMIT ?
"""


class NotMLflowError(ValueError):
    """A file that MLflow did not write."""


def read_mlflow(path: Path, curves: Curves) -> None:
    """Add the metrics of all of MLflow's runs in a file; of several each has its name in front.

    A file may hold a program of its own, as a view or as a column that is computed, or pages that
    lead in circles. Only plain tables are asked, and none for longer than MAX_SECONDS.

    Raises:
        NotMLflowError: if there are none, or reading them takes too long.
        sqlite3.Error: if it is no such file.
    """
    ends = time.thread_time() + MAX_SECONDS
    # As it is: nothing is written beside it, a journal that was fetched half-way included.
    uri = f"file:{quote(str(path.absolute()))}?mode=ro&immutable=1"
    with closing(sqlite3.connect(uri, uri=True)) as database:
        database.text_factory = lambda text: text.decode(errors="replace")
        database.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, MAX_CELL)
        database.set_progress_handler(lambda: time.thread_time() > ends, _LOOK)
        database.execute("PRAGMA trusted_schema = OFF")
        try:
            _read(database, curves)
        except sqlite3.OperationalError as error:
            if time.thread_time() > ends:
                raise NotMLflowError(f"it takes over {MAX_SECONDS:.0f} seconds to read") from error
            raise


def _read(database: sqlite3.Connection, curves: Curves) -> None:
    plain = database.execute(_TABLES).fetchone()[0] == 2
    if not plain or database.execute(_COMPUTED).fetchone()[0]:
        raise NotMLflowError("no file of MLflow's: it lacks metrics or runs as a plain table")
    many = database.execute("SELECT count(DISTINCT run_uuid) FROM metrics").fetchone()[0] > 1
    for key, value, stamp, step, is_nan, run, name in _rows(database):
        stamped = place(_number(stamp))
        named = f"{name or str(run)[:8]}/{key}" if many else key
        number = math.nan if is_nan else _number(value)
        if number is not None:
            point = Point(
                place(_number(step)) or 0.0, None if stamped is None else stamped / 1000, number
            )
            curves.add(named, point)


def _rows(database: sqlite3.Connection) -> Iterator[Any]:
    yield from database.execute(_ROWS, (MAX_ROWS,))


def _number(value: object) -> float | None:
    """Return a number; a column of SQLite may hold anything ("Flexible Typing")."""
    return float(value) if isinstance(value, (int, float)) else None
