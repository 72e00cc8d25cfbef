"""MLflow's SQLite file: the metrics in it.

Of its tables (mlflow/store/tracking/dbmodels/models.py) ``metrics`` has a row for each value: key,
value, timestamp in milliseconds, run_uuid, step, is_nan; ``runs`` has the name of each run.
"""

from __future__ import annotations

import math
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any
from urllib.parse import quote

from scripts.metrics.points import Curves, Point

MAX_ROWS = 5_000_000

_ROWS = """
    SELECT metrics.key, metrics.value, metrics.timestamp, metrics.step, metrics.is_nan,
           metrics.run_uuid, runs.name
    FROM metrics LEFT JOIN runs ON runs.run_uuid = metrics.run_uuid
    ORDER BY metrics.run_uuid, metrics.key, metrics.step, metrics.timestamp LIMIT ?
"""


def read_mlflow(path: Path, curves: Curves) -> None:
    """Add the metrics of all of MLflow's runs in a file; of several each has its name in front.

    Raises:
        sqlite3.Error: if it is no such file.
    """
    # As it is: nothing is written beside it, a journal that was fetched half-way included.
    uri = f"file:{quote(str(path.absolute()))}?mode=ro&immutable=1"
    with closing(sqlite3.connect(uri, uri=True)) as database:
        database.text_factory = lambda text: text.decode(errors="replace")
        many = database.execute("SELECT count(DISTINCT run_uuid) FROM metrics").fetchone()[0] > 1
        for key, value, stamp, step, is_nan, run, name in _rows(database):
            time = _number(stamp)
            named = f"{name or str(run)[:8]}/{key}" if many else key
            number = math.nan if is_nan else _number(value)
            if number is not None:
                point = Point(_number(step) or 0.0, None if time is None else time / 1000, number)
                curves.add(named, point)


def _rows(database: sqlite3.Connection) -> Iterator[Any]:
    yield from database.execute(_ROWS, (MAX_ROWS,))


def _number(value: object) -> float | None:
    """Return a number; a column of SQLite may hold anything ("Flexible Typing")."""
    return float(value) if isinstance(value, (int, float)) else None
