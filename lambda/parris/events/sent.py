"""The events that the two functions and the commands send each other, as types.

For the type checker alone: no zip has this module.
"""

from __future__ import annotations

from typing import TypedDict

WindowEvent = TypedDict(
    "WindowEvent", {"rule": str, "data-trigger": str, "window": str, "time": str}
)
"""The end of a data trigger's window."""

RelaunchEvent = TypedDict("RelaunchEvent", {"rule": str, "job": str, "run-id": str, "attempt": int})
"""The next machine of a run is wanted."""


class _Run(TypedDict):
    job: str
    run_id: str


class _Grid(TypedDict):
    job: str
    grid_id: str


class RefusedEvent(TypedDict):
    refused: _Run


class GridEvent(TypedDict):
    grid: _Grid


StopGridEvent = TypedDict("StopGridEvent", {"job": str, "stop-grid": str})

TrialEvent = TypedDict(
    "TrialEvent",
    {
        "rule": str,
        "job": str,
        "grid": str,
        "trial": int,
        "cost-limit-micros": int | None,
        "parameters": dict[str, str],
        "history": str,
    },
)
