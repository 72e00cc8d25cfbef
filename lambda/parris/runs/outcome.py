"""An outcome.json, read strictly: whatever is not one counts as none.

A machine's outcome is the trainer's to forge, who is root there. It decides about its own run only,
and only what this module lets through reaches a reader or a rule of the reap function.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from ..contract import MACHINE_ENDS, MACHINE_STATES, OUTCOME_STATES
from .history import read_history
from .metrics import read_metrics, read_usage
from .times import read_time

if TYPE_CHECKING:
    from .documents import Outcome

MAX_BYTES = 65_536
"""Of a machine's outcome: a reason and warnings."""
MAX_BYTES_OF_RUN = 262_144
"""Of a run's: its last machine's, the end of a console, and up to 100 attempts, each with its own
reason."""

MAX_TEXT = 4096
MAX_WARNINGS = 100


def read_outcome(
    body: bytes, job: str, run_id: str, *, by_machine: bool
) -> tuple[Outcome | None, str]:
    """Return the outcome in `body` and "", or None and what is wrong with it.

    Args:
        body: of the object, at most one byte more than it may have.
        by_machine: whether a machine wrote it, which may say less than the functions.
    """
    most = MAX_BYTES if by_machine else MAX_BYTES_OF_RUN
    if len(body) > most:
        return None, f"over {most} bytes"
    try:
        given = json.loads(body)
    except (ValueError, RecursionError) as error:
        return None, f"not JSON: {error}"
    if not isinstance(given, dict):
        return None, "not an object"
    if given.get("run-id") != run_id or given.get("job") != job:
        return None, "of another run"
    if given.get("state") not in (MACHINE_STATES if by_machine else OUTCOME_STATES):
        return None, "state: not one of an outcome's"
    if by_machine and given.get("ended-by") not in MACHINE_ENDS:
        return None, "ended-by: not one of a machine's"
    known = _KEYS if by_machine else {**_KEYS, **_KEYS_OF_FUNCTIONS}
    for key, sound in known.items():
        if key in given and not sound(given[key]):
            return None, f"{key}: not of its kind"
    sound_parts = {key: read(given[key]) for key, read in _READ.items() if key in given}
    read: Any = {**{key: _cut(given[key]) for key in known if key in given}, **sound_parts}
    return read, ""


def _cut(value: Any) -> Any:
    if isinstance(value, str):
        return value[:MAX_TEXT].encode(errors="backslashreplace").decode()
    if isinstance(value, list):
        return [_cut(text) for text in value[:MAX_WARNINGS]]
    return value


def _is_text(value: object) -> bool:
    return isinstance(value, str)


def _is_whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and abs(value) < 2**63


def _is_amount(value: object) -> bool:
    number = _is_whole(value) or (isinstance(value, float) and math.isfinite(value))
    return number and value >= 0  # type: ignore[operator]


def _is_count(value: object) -> bool:
    return _is_whole(value) and _is_amount(value)


def _or_null(sound: Callable[[object], bool]) -> Callable[[object], bool]:
    return lambda value: value is None or sound(value)


def _is_texts(value: object) -> bool:
    return isinstance(value, list) and all(isinstance(text, str) for text in value)


def _is_attempts(value: object) -> bool:
    return isinstance(value, list) and all(isinstance(attempt, dict) for attempt in value)


_text_or_null, _time_or_null = (
    _or_null(_is_text),
    _or_null(lambda text: read_time(text) is not None),
)
_amount_or_null, _count_or_null = _or_null(_is_amount), _or_null(_is_count)

_KEYS: Mapping[str, Callable[[object], bool]] = {
    "run-id": _is_text,
    "job": _is_text,
    "state": _is_text,
    "reason": _is_text,
    "ended-by": _is_text,
    "exit-status": _or_null(_is_whole),
    "instance-id": _text_or_null,
    "instance-type": _text_or_null,
    "image": _text_or_null,
    "booted": _time_or_null,
    "started": _time_or_null,
    "finished": _time_or_null,
    "trainer-seconds": _amount_or_null,
    "peak-memory-bytes": _count_or_null,
    "cost-usd": _amount_or_null,
    "bytes-stored": _count_or_null,
    "warnings": _is_texts,
    "machines": _is_texts,
    "parris-version": _text_or_null,
}
_READ: Mapping[str, Callable[[object], object]] = {
    "metrics": read_metrics,
    "usage": read_usage,
    "history": lambda given: history.stored if (history := read_history(given)) else [],
}
"""Keys of which what is not sound is left out: nothing hangs on them."""
_KEYS_OF_FUNCTIONS: Mapping[str, Callable[[object], bool]] = {
    "schema": _is_count,
    "last-log-line": _text_or_null,
    "console": _text_or_null,
    "machine": _text_or_null,
    "log-stream": _text_or_null,
    "attempts": _is_attempts,
}
