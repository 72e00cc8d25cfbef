"""How a run stands, in one word: what a status click and every command call it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..contract import EndedBy, State
from ..jobs.retry import CAPACITY, FAILURE, INTERRUPTION, read_retry
from .ending import DEAD, FAILED_CREATE, Ending

if TYPE_CHECKING:
    from .documents import Outcome, Receipt

_DEAD = (*DEAD, "missing")


def state_of(receipt: Receipt, outcome: Outcome | None, status: str | None, machine: str) -> Ending:
    """Return a run's state, one word, and why, one sentence or nothing, and what ended it.

    Args:
        receipt: its ``run.json``; of that, ``state``, ``reason`` and ``stack-id``.
        outcome: its ``outcome.json``; None while there is none.
        status: of the stack that holds it; None if none does.
        machine: the state of its instance as EC2 has it; "missing" if EC2 knows none any more,
            "" where nobody has asked.
    """
    if outcome is not None:
        said = (str(outcome.get(key, "")) for key in ("state", "reason", "ended-by"))
        return Ending(**dict(zip(("state", "reason", "ended_by"), said, strict=True)))
    claim, reason = str(receipt.get("state", "")), str(receipt.get("reason", ""))
    if claim == State.LAUNCH_FAILED:
        return Ending(state=claim, reason=reason, ended_by=EndedBy.LAUNCH)
    if "stack-id" not in receipt and claim in (State.SKIPPED, State.QUEUED):
        return Ending(
            state=claim,
            reason=reason,
            ended_by=EndedBy.LAUNCH if claim == State.SKIPPED else EndedBy.NOTHING,
        )
    if claim == State.RELAUNCHING:
        return _going(claim, f"{reason}; another machine is on its way")
    if status is None and "stack-id" not in receipt:
        return _going(State.LAUNCHING, "claimed; its stack is not there yet")
    if status is None:
        return _going(State.ENDING, "its stack is gone, and how it ended is not written down yet")
    if status.startswith("DELETE"):
        return _going(State.ENDING, f"stack {status}")
    if status in FAILED_CREATE:
        reason = f"stack {status}"
        if CAPACITY in read_retry(receipt).on:
            return _going(State.RELAUNCHING, f"{reason}; perhaps another machine can be had")
        return Ending(state=State.LAUNCH_FAILED, reason=reason, ended_by=EndedBy.CLOUDFORMATION)
    # In UPDATE_ROLLBACK a replacement failed, and the machine of the run before it goes on.
    if status.endswith("IN_PROGRESS") and not status.startswith("UPDATE_ROLLBACK"):
        return _going(State.LAUNCHING, f"stack {status}")
    if machine in _DEAD:
        reason = f"the machine is {machine} and left no outcome"
        if INTERRUPTION in read_retry(receipt).on:
            return _going(State.RELAUNCHING, f"{reason}; perhaps another one follows")
        return Ending(state=State.INTERRUPTED, reason=reason, ended_by=EndedBy.EC2)
    return _going(State.RUNNING, "")


def may_be_followed(receipt: Receipt, said: Outcome) -> bool:
    """Return whether another machine may follow the one that has `said` how it ended."""
    on, state = read_retry(receipt).on, said.get("state")
    if state == State.INTERRUPTED:
        return INTERRUPTION in on and said.get("ended-by") == EndedBy.SPOT
    return FAILURE in on and state == State.FAILED


def _going(state: str, reason: str) -> Ending:
    return Ending(state=state, reason=reason, ended_by=EndedBy.NOTHING)
