"""What becomes of a scheduled launch whose job's last run is still going."""

from __future__ import annotations

from ..aws.objects import event_key, queue_key
from ..aws.storage import Storage
from ..aws.topic import Notifier
from ..errors import StackInTheWay
from ..runs import messages
from ..runs.plan import RunPlan, run_prefix
from .claim import RunClaim


def hold_back(
    claim: RunClaim,
    plan: RunPlan,
    storage: Storage,
    notifier: Notifier,
    event: object,
    error: Exception,
) -> dict[str, str] | None:
    """Skip or queue the launch that `error` ended, and say so; None if it has simply failed.

    One may wait, by the name of its stack; the reap function sends its event again when that name
    is free.
    """
    overlap, name = plan.request.overlap, plan.stack_name
    if overlap not in ("skip", "queue-one") or not isinstance(error, StackInTheWay):
        return None
    if not error.run_id or storage.has_outcome(run_prefix(plan.job, error.run_id)):
        return None
    state, why = "skipped", f"run {error.run_id} is still going"
    if overlap == "queue-one":
        waiting = {"run-id": plan.run_id, "stack-name": name, "event": event}
        if storage.mark(queue_key(name), waiting):
            state, why = "queued", f"{why}; this one starts when its stack is gone"
        elif storage.read(queue_key(name)).get("run-id") == plan.run_id:
            state, why = "queued", "it waits already"
        else:
            why = f"{why}, and another one waits already"
    claim.write(state=state, reason=why)
    notifier.tell_once(
        event_key(plan.job, plan.run_id, state),
        lambda: messages.held_back(state, plan.job, plan.run_id, why),
    )
    return {"held-back": state, "reason": why}
