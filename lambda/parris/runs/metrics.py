"""How a run goes, by its machine's word: its metrics and how busy it is, read strictly.

Whatever is not sound is left out: it is the trainer's to forge, and decides about nothing else.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass

from ..contract import Metric, newest_metrics, read_metric
from .history import History, read_history

MAX_BYTES = 65_536
"""Of a machine's metrics.json."""
MAX_USAGE = 64
"""Numbers that say how busy a machine is: five, and three a GPU, of which an agent names 16."""
_USAGE_NAME = re.compile(r"[a-z0-9-]{1,40}")
_TOTALS = {"epoch": "epochs", "step": "steps"}
"""How far a trainer has come, and the key that may say how far it goes."""
_LEFT_OUT = "…"


@dataclass(frozen=True, kw_only=True)
class Progress:
    """What a machine's metrics.json says."""

    metrics: Mapping[str, Metric]
    over: bool
    """Whether its run has ended."""
    history: History | None = None
    """How the metric went that its grid goes by; None if its receipt names none."""


def read_progress(body: bytes) -> Progress | None:
    """Return what a metrics.json says; None if it is none."""
    try:
        given = json.loads(body) if len(body) <= MAX_BYTES else None
    except (ValueError, RecursionError):
        return None
    if not isinstance(given, dict):
        return None
    return Progress(
        metrics=read_metrics(given.get("metrics")),
        over=given.get("over") is not False,
        history=read_history(given.get("history")),
    )


def read_metrics(given: object) -> dict[str, Metric]:
    """Return the metrics in `given`, the one that was written last at the end."""
    if not isinstance(given, dict):
        return {}
    read = (read_metric(name, value) for name, value in given.items())
    return newest_metrics(dict(one for one in read if one is not None))


def read_usage(given: object) -> dict[str, dict[str, float]]:
    """Return mean and peak of what a machine measured of itself, by name."""
    if not isinstance(given, dict):
        return {}
    found: dict[str, dict[str, float]] = {}
    for name, said in list(given.items())[:MAX_USAGE]:
        if isinstance(said, dict) and _USAGE_NAME.fullmatch(name):
            values = {key: said.get(key) for key in ("mean", "peak")}
            numbers = {key: value for key, value in values.items() if _is_number(value)}
            if len(numbers) == len(values):
                found[name] = numbers  # type: ignore[assignment] # as was just seen
    return found


def _is_number(value: object) -> bool:
    known = isinstance(value, (int, float)) and not isinstance(value, bool)
    return known and abs(value) < 2**63 and math.isfinite(value)  # type: ignore[arg-type]


def metrics_line(metrics: Mapping[str, Metric], most: int = 60) -> str:
    """Return metrics in one line, such as ``loss 0.12 acc 0.97 epoch 14/20``.

    How far it has come stands at the end, and has its place before the others.

    Args:
        metrics: "epochs" and "steps" say how many there will be, where they are known.
        most: characters.
    """
    far = {name: metrics[name] for name in _TOTALS if name in metrics}
    totals = {_TOTALS[name] for name in far}
    last = " ".join(f"{name} {_of(name, value, metrics)}" for name, value in far.items())
    line = ""
    for name, value in metrics.items():
        if name in far or name in totals:
            continue
        longer = f"{line} {name} {_short(value)}".lstrip()
        if len(longer) + len(last) + 1 + len(_LEFT_OUT) > most:
            line = f"{line} {_LEFT_OUT}".lstrip()
            break
        line = longer
    whole = f"{line} {last}".strip()
    return whole if len(whole) <= most else whole[: most - 1] + _LEFT_OUT


def _of(name: str, value: Metric, metrics: Mapping[str, Metric]) -> str:
    total = metrics.get(_TOTALS[name])
    return _short(value) if total is None else f"{_short(value)}/{_short(total)}"


def _short(value: Metric) -> str:
    """Return a number in few characters: four digits that count, whole ones whole."""
    if isinstance(value, str):
        return value
    if value == int(value) and abs(value) < 10**9:
        return str(int(value))
    return f"{value:.0f}" if 1000 <= abs(value) < 10**9 else f"{value:.4g}"
