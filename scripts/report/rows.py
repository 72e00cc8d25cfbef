"""A run as a row of the report's table: what the ledger knows of it, by keys of the page."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from parris.errors import cut
from parris.runs.times import iso, read_time
from scripts.cli.which_cloud import hint
from scripts.deployment.one_run import spent_on
from scripts.deployment.runs import Run

_MOST_NAMES = 50
"""Of parameters, and of metrics, that a row has."""
_MOST_TEXT = 300
"""Characters of a reason or of a parameter's value; the receipt has all of it."""


def row_of(run: Run, now: datetime) -> dict[str, Any]:
    """Return a run's row; what is not known of it is left out.

    Its keys: ``id``, ``job``, ``state``, ``by`` (what ended it), ``why``; ``claimed``, ``began``,
    ``ended``, ISO 8601 UTC; ``seconds`` from its launch to its end, or until now; ``usd``;
    ``machine``, ``market``, ``trigger``, texts; ``grid``, an id, and ``trial``, a number, of a
    trial; ``attempts``, a number; ``parameters``, texts by name; ``metrics``, last values by name,
    None for one that is no finite number.
    """
    receipt, outcome = run.receipt, run.outcome or {}
    trigger = receipt.get("trigger") or {}
    claimed = read_time(receipt.get("claimed"))
    began, ended = read_time(outcome.get("started")), read_time(outcome.get("finished"))
    until = ended or (None if run.is_over else now)
    row: dict[str, Any] = {
        "id": run.run_id,
        "job": run.job,
        "state": str(run.state),
        "by": str(run.ended_by),
        "why": cut(hint(run.reason), _MOST_TEXT),
        "claimed": claimed and iso(claimed),
        "began": began and iso(began),
        "ended": ended and iso(ended),
        "seconds": claimed and until and max(0, round((until - claimed).total_seconds())),
        "usd": spent_on(run, now),
        "machine": outcome.get("instance-type") or receipt.get("instance-type"),
        "market": receipt.get("market"),
        "trigger": trigger.get("kind"),
        "grid": trigger.get("grid"),
        "trial": int(trial) if (trial := str(trigger.get("trial", ""))).isdecimal() else None,
        "attempts": len(outcome.get("attempts") or run.attempts) or None,
        "parameters": texts(receipt.get("parameters")),
        "metrics": _numbers(outcome.get("metrics")),
    }
    return {key: value for key, value in row.items() if value not in (None, "", {})}


def texts(values: object) -> dict[str, str]:
    """Return the first names of a mapping with their values as text."""
    known = list(values.items())[:_MOST_NAMES] if isinstance(values, Mapping) else []
    return {cut(str(name), _MOST_TEXT): cut(str(value), _MOST_TEXT) for name, value in known}


def _numbers(values: object) -> dict[str, float]:
    """Return the first names of a mapping whose values are numbers."""
    known = list(values.items()) if isinstance(values, Mapping) else []
    numbers = [pair for pair in known if is_number(pair[1])]
    return {cut(str(name), _MOST_TEXT): value for name, value in numbers[:_MOST_NAMES]}


def is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
