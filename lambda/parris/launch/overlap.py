"""What becomes of a scheduled launch that finds another run's stack."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..aws.queue import Queue
from ..aws.storage import Storage
from ..contract import State
from ..errors import StackInTheWay
from ..runs.names import run_prefix
from ..runs.plan import RunPlan


def hold_back(
    plan: RunPlan, storage: Storage, queue: Queue, event: Mapping[str, Any], error: Exception
) -> tuple[str, str] | None:
    """Return the state of the run that `error` ended, and why; None if it has simply failed.

    One may wait, by the name of its stack; the reap function sends its event again when that name
    is free. It also waits if the other run is over and its stack is about to go.
    """
    overlap, name = plan.request.overlap, plan.stack_name
    if overlap not in ("skip", "queue-one") or not isinstance(error, StackInTheWay):
        return None
    if not error.run_id:
        return None
    going = not storage.has_outcome(run_prefix(plan.job, error.run_id))
    if not going and error.kept:
        return None
    why = f"run {error.run_id} is still going" if going else f"run {error.run_id} is just over"
    if overlap == "skip" and going:
        return State.SKIPPED, why
    # Sent again, an event without an id would be another one.
    named = {**event, "event-id": plan.request.origin["event-id"]}
    waits = queue.wait(name, plan.job, plan.run_id, named)
    if waits == plan.run_id:
        return State.QUEUED, f"{why}; this one starts when its stack is gone"
    return State.SKIPPED, f"{why}, and another one, {waits}, waits already"
