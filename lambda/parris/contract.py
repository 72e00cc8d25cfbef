"""What records, receipts and outcomes hold, for both functions and for the machine.

It is packed into agent.pyz too, so Python 3.9 must understand it.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from enum import Enum
from typing import Any, Union

SCHEMA = 2
"""Of run.json, outcome.json and the ledger's records: another number says that keys of them have
changed their meaning. What has none is of a version before 0.3."""


class Word(str, Enum):
    """A word that is stored, sent and printed as its value."""

    __str__ = str.__str__


class State(Word):
    """How a run stands (docs/contracts.md, "The receipt", "The record", "The ledger")."""

    LAUNCHING = "launching"
    ACCEPTED = "accepted"
    RUNNING = "running"
    RELAUNCHING = "relaunching"
    ENDING = "ending"
    QUEUED = "queued"
    SKIPPED = "skipped"
    LAUNCH_FAILED = "launch-failed"
    GRID = "grid"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    TIMED_OUT = "timed-out"
    INTERRUPTED = "interrupted"
    STOPPED = "stopped"


class EndedBy(Word):
    """What ended a run (docs/contracts.md, ``ended-by``)."""

    NOTHING = ""
    TRAINER = "trainer"
    AGENT = "agent"
    SHUTDOWN = "shutdown"
    STOP = "stop"
    SPOT = "spot"
    IDLE = "idle"
    EARLY = "early"
    NODE = "node"
    USER_DATA = "user-data"
    SCHEDULE = "schedule"
    REAP = "reap"
    CLEAN_STACKS = "clean-stacks"
    LAUNCH = "launch"
    REPLACEMENT = "replacement"
    CLOUDFORMATION = "cloudformation"
    EC2 = "ec2"
    SOMEBODY = "somebody"


MACHINE_STATES = (
    *(State.SUCCEEDED, State.FAILED, State.TIMED_OUT, State.INTERRUPTED),
    State.STOPPED,
)
MACHINE_ENDS = (
    *(EndedBy.TRAINER, EndedBy.AGENT, EndedBy.SHUTDOWN, EndedBy.STOP, EndedBy.SPOT),
    *(EndedBy.USER_DATA, EndedBy.IDLE, EndedBy.EARLY, EndedBy.NODE),
)
"""What a machine may say of its own run."""

OUTCOME_STATES = (*MACHINE_STATES, State.LAUNCH_FAILED)
MAY_GO_ON = (State.TIMED_OUT, State.STOPPED, State.INTERRUPTED, State.FAILED)
"""Of a run for which a new one is offered that goes on from its checkpoints."""
OVER = (*OUTCOME_STATES, State.SKIPPED)
"""Of a run about which nothing more is to be done."""

Metric = Union[float, str]
"""The last value of a metric: a number, or a short text, which "nan" and "inf" are too."""
MAX_METRICS = 50
MAX_METRIC_NAME, MAX_METRIC_TEXT = 64, 100
"""Characters."""
MAX_METRICS_BYTES = 8192
"""Of all of them together, as JSON: a record of the ledger has 400 KB, an outcome 64."""
_EXACT = 2**53
"""Below it each whole number is a float too (IEEE 754, binary64)."""
MAX_HISTORY = 64
"""Steps at which a machine says how a metric stood."""
MAX_STEP = _EXACT

STOP_EARLY = "stop-early"
"""Who asks in a receipt's ``stop``, where a grid compares its trials."""
_MAX_REASON = 500


def read_metric(name: object, value: object) -> tuple[str, Metric] | None:
    """Return a metric as it may be kept, whoever wrote it; None if it is none.

    JSON has no word for NaN and the infinities, which Python and others write all the same, and
    which a person wants to see of a loss.
    """
    known = _plain(name, MAX_METRIC_NAME)
    if isinstance(value, bool):
        value = "true" if value else "false"
    if isinstance(value, int):
        value = value if abs(value) < _EXACT else _float(value)
    if isinstance(value, float) and not math.isfinite(value):
        value = "nan" if math.isnan(value) else "inf" if value > 0 else "-inf"
    if isinstance(value, str):
        value = _plain(value, MAX_METRIC_TEXT)
    if not known or value == "" or not isinstance(value, (int, float, str)):
        return None
    return known, value


def read_stop(receipt: Mapping[str, Any]) -> tuple[str, EndedBy] | None:
    """Return why a receipt asks for the end of its run, and what ends that; None if it does not."""
    stop = receipt.get("stop")
    if not isinstance(stop, dict):
        return None
    by = stop.get("by")
    if by == STOP_EARLY:
        why = _plain(stop.get("reason"), _MAX_REASON)
        return f"stopped early: {why or 'its grid does not say why'}", EndedBy.EARLY
    return f"stopped by {by}" if by and isinstance(by, str) else "stopped on request", EndedBy.STOP


def newest_metrics(metrics: Mapping[str, Metric]) -> dict[str, Metric]:
    """Return the last of `metrics`, as many as may be kept, in their order."""
    kept: dict[str, Metric] = {}
    left = MAX_METRICS_BYTES
    for name in list(metrics)[: -MAX_METRICS - 1 : -1]:
        left -= len(json.dumps({name: metrics[name]}))
        if left < 0:
            break
        kept[name] = metrics[name]
    return dict(reversed(list(kept.items())))


def _plain(text: object, most: int) -> str:
    """Return a text without what a terminal or a page might obey; "" if it is none."""
    if not isinstance(text, str):
        return ""
    return "".join(one for one in text[: 4 * most] if one.isprintable()).strip()[:most]


def _float(value: int) -> float:
    try:
        return float(value)
    except OverflowError:
        return math.inf if value > 0 else -math.inf
