"""A run belongs to one launch: the receipt is the claim."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import Any

from ..aws.objects import event_id_key
from ..aws.storage import Claim, Storage
from ..errors import LaunchFailed
from ..events.request import LaunchRequest
from ..runs.plan import RunPlan, event_digest, receipt, run_id_for

LEASE = timedelta(seconds=120)
"""How long a claim without a stack belongs to the launch that made it: twice the function's
timeout, after which that launch is certainly no longer running."""

_TRIES = 5


class RunClaim:
    """The claim to one run, `ours` or somebody else's, with the receipt as it stands."""

    def __init__(self, storage: Storage, prefix: str, held: Claim, *, ours: bool) -> None:
        self._storage, self._prefix, self._held = storage, prefix, held
        self.ours = ours

    @property
    def receipt(self) -> Mapping[str, Any]:
        return self._held.receipt

    @property
    def attempt(self) -> int:
        """Which launch of this run it is; more than 1 after one that failed."""
        return int(self.receipt.get("attempt", 1))

    def write(self, **changes: Any) -> None:
        """Change the receipt, unless a later launch has taken the run over.

        Keys have underscores here and hyphens there.
        """
        named = {key.replace("_", "-"): value for key, value in changes.items()}
        for _ in range(3):  # somebody may ask the run to stop meanwhile, in the same object
            if claim := self._storage.replace(self._prefix, {**self.receipt, **named}, self._held):
                self._held = claim
                return
            held = self._storage.read_receipt(self._prefix)
            if held.receipt.get("attempt", 1) != self.receipt.get("attempt", 1):
                return
            self._held = held


def name_run(storage: Storage, request: LaunchRequest, now: datetime) -> str:
    """Return the id of the event's run, one for all its deliveries.

    An event without a time of its own has that of its first delivery, which the results bucket
    remembers for as long as the run.
    """
    if request.time is not None:
        return run_id_for(request, request.time)
    key = event_id_key(request.job, event_digest(request))
    run_id = run_id_for(request, now)
    for _ in range(_TRIES):  # S3 may refuse two writes at once, and then hold neither
        if storage.mark(key, {"run-id": run_id}):
            return run_id
        if held := storage.read(key):
            return str(held["run-id"])
    raise LaunchFailed(f"the run's id could not be written in {_TRIES} tries; send the event again")


def claim_run(storage: Storage, plan: RunPlan, find_stack: Callable[[], str | None]) -> RunClaim:
    """Write the receipt that makes the run ours, or find whose it is.

    Args:
        find_stack: returns the id of the run's stack, if there is one: a launch may have made it
            and not have come to say so. Then the run is not claimed anew, and its receipt, which
            the machine obeys, is only completed.
    """

    def answer(held: Claim, *, ours: bool) -> RunClaim:
        return RunClaim(storage, plan.prefix, held, ours=ours)

    wanted = receipt(plan)
    if claim := storage.claim(plan.prefix, wanted):
        return answer(claim, ours=True)
    held = storage.read_receipt(plan.prefix)
    if _is_free(held.receipt, plan.claimed) and not storage.has_outcome(plan.prefix):
        if stack_id := find_stack():
            complete = {**held.receipt, "state": "accepted", "stack-id": stack_id}
            storage.replace(plan.prefix, complete, held)
            return answer(storage.read_receipt(plan.prefix), ours=False)
        again = wanted | {"attempt": int(held.receipt.get("attempt", 1)) + 1}
        if claim := storage.replace(plan.prefix, again, held):
            return answer(claim, ours=True)
        held = storage.read_receipt(plan.prefix)
    return answer(held, ours=False)


def _is_free(held: Mapping[str, Any], now: datetime) -> bool:
    """Return whether a run that was claimed may be claimed again: it never got its stack."""
    if "stack-id" in held:
        return False
    if held["state"] in ("launch-failed", "queued"):
        return True
    if held["state"] == "skipped":
        return False
    return now - datetime.fromisoformat(held["claimed"]) > LEASE
