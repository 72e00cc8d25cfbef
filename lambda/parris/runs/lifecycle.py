"""What is to become of a stack, from what is known of it. The rules of the reap function."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import Enum

from ..contract import EndedBy, State
from .ending import DEAD, FAILED_CREATE, Ending
from .record import RunRecord

APPEARING = timedelta(minutes=5)
"""How long a machine may be missing from EC2's answers before it counts as gone."""

POWERED_OFF_BY_ITSELF = "Client.InstanceInitiatedShutdown"
"""EC2's code for a shutdown from within (EC2 user guide, "Troubleshoot instance termination")."""

GONE = Ending(state=State.INTERRUPTED, reason="its machine is gone", ended_by=EndedBy.EC2)
"""How a run ended of whose machine EC2 says nothing, or no longer."""

_CURES = {
    # EC2 user guide, "Troubleshoot instance launch issues"; EBS, "encrypted volumes".
    "Client.InternalError": "EC2 could not use the key of its encrypted volume: name that key in "
    "the Terraform variable ebs_kms_key_arns, and let the key's own policy allow this account",
    "Client.VolumeLimitExceeded": "the account's quota of EBS volumes is used up",
    "Server.InsufficientInstanceCapacity": "EC2 has no such machine free; try another "
    "instance-type or subnet-id, or later",
}
"""What to do about a StateReason that says little by itself."""


@dataclass(frozen=True, kw_only=True)
class Machine:
    """An instance of the run, as EC2 describes it."""

    instance_id: str
    state: str
    """pending running shutting-down terminated stopping stopped"""
    reason: str
    """EC2's code for its last change of state, such as ``Client.UserInitiatedShutdown``."""
    launched: datetime
    ended: datetime | None = None
    """When it was told to end, if EC2 says so."""
    zone: str = ""
    lost: str = ""
    """Which other node of the same stack is over, and why; "" while all are there."""


@dataclass(frozen=True, kw_only=True)
class Facts:
    """One stack of this deployment and its run."""

    status: str
    changed: datetime
    """When the stack was made or last updated."""
    deadline: datetime
    keep: str
    machine: Machine | None
    outcome_state: str | None
    """How the run ended, by its outcome.json; None while there is none."""
    over_since: datetime | None
    """When it ended, by its own word."""
    lost: str = ""
    """What node of it is over, if the head, which should have ended the run, is silent."""


@dataclass(frozen=True, kw_only=True)
class Decision:
    """Whether to delete the stack, why or why not, and what to write if nobody has."""

    delete: bool
    why: str
    ending: Ending | None = None


class Step(Enum):
    """What a sweep is to do about an open run."""

    WAIT = "its launch, its machine or its turn has still to come"
    COMPLETE = "its stack is there, and its launch did not come to say so"
    LOOK = "whether there is a stack, and if not, free the run"
    CONCLUDE = "its stack is gone, and nobody has said how it ended"
    RELAUNCH = "its machine is gone, and another one is to follow, or its end"
    TELL = "it is over, and that has not been told"


MAX_CLAIMS = 10
"""How often a launch that waits is sent again, although each time it ended without a word."""


def next_step(record: RunRecord, now: datetime, *, has_stack: bool, waits: bool) -> Step:
    """Return what is to be done about an open run.

    Args:
        now: aware UTC.
        has_stack: whether a stack that holds the run stands.
        waits: whether it waits for a stack's name.
    """
    if record.outcome is not None:
        return Step.TELL
    if record.state == State.RELAUNCHING:
        if record.refused is not None:
            return Step.RELAUNCH
        asked_too_soon = record.next is not None and now < datetime.fromisoformat(
            record.next.not_before
        )
        return Step.WAIT if now <= record.lease or asked_too_soon else Step.RELAUNCH
    leased = record.state in (State.LAUNCHING, State.QUEUED) and now <= record.lease
    if has_stack:
        return Step.COMPLETE if record.state == State.LAUNCHING and not leased else Step.WAIT
    if leased or record.state == State.SKIPPED or (waits and record.claims < MAX_CLAIMS):
        return Step.WAIT
    return Step.CONCLUDE if record.stack_id else Step.LOOK


def judge(facts: Facts, now: datetime, overdue: timedelta) -> Decision:
    """Return what is to be done with a stack.

    Args:
        now: aware UTC.
        overdue: how long after its deadline a run is ended from outside.
    """
    if facts.status in ("DELETE_IN_PROGRESS", "DELETE_COMPLETE"):
        return Decision(delete=False, why="it is being deleted")
    if facts.status == "DELETE_FAILED":
        return Decision(delete=True, why="an earlier deletion failed")
    settled = not facts.status.endswith("_IN_PROGRESS")
    late = now > facts.deadline + overdue
    alive = facts.machine is not None and facts.machine.state not in DEAD
    if facts.status in FAILED_CREATE:
        ending = Ending(state=State.LAUNCH_FAILED, reason="", ended_by=EndedBy.CLOUDFORMATION)
        return _unless_kept(facts, facts.outcome_state or ending.state, late, ending)
    if facts.outcome_state is not None:
        if alive and facts.keep != "never" and not late and _just_ended(facts, now, overdue):
            return Decision(delete=False, why="it is powering off, and the stack is to be kept")
        if alive:
            return Decision(delete=True, why=f"its run is over ({facts.outcome_state})")
        return _unless_kept(facts, facts.outcome_state, late, None)
    if facts.machine is not None and facts.machine.state in DEAD and settled:
        ending = vanished(facts.machine, facts.deadline, now)
        return _unless_kept(facts, ending.state, late, ending)
    if facts.lost and settled:
        ending = Ending(state=State.INTERRUPTED, reason=facts.lost, ended_by=EndedBy.NODE)
        return _unless_kept(facts, ending.state, late, ending)
    if facts.machine is None and settled and now - facts.changed > APPEARING:
        return _unless_kept(facts, GONE.state, late, GONE)
    if late:
        reason = "it was still running after its deadline; the reap function deleted its stack"
        ending = Ending(state=State.TIMED_OUT, reason=reason, ended_by=EndedBy.REAP)
        return Decision(delete=True, why="its deadline is past", ending=ending)
    return Decision(delete=False, why="its run is under way")


def vanished(machine: Machine, deadline: datetime, now: datetime) -> Ending:
    """Return how a run ended whose machine went without a word.

    The codes are those of StateReason (EC2 user guide, "Troubleshoot instance termination").
    """
    if machine.reason.startswith("Server.Spot"):
        return Ending(
            state=State.INTERRUPTED, reason="EC2 took the spot machine", ended_by=EndedBy.SPOT
        )
    if machine.reason == "Client.UserInitiatedShutdown":
        reason = "somebody terminated its machine"
        return Ending(state=State.STOPPED, reason=reason, ended_by=EndedBy.SOMEBODY)
    if machine.reason == POWERED_OFF_BY_ITSELF:
        if now >= deadline:  # the machine's own timer counts from its boot, so it is never early
            reason = "its machine powered off at the deadline without an outcome"
            return Ending(state=State.TIMED_OUT, reason=reason, ended_by=EndedBy.SHUTDOWN)
        reason = "its machine powered off by itself without an outcome"
        return Ending(state=State.INTERRUPTED, reason=reason, ended_by=EndedBy.SHUTDOWN)
    if cure := _CURES.get(machine.reason):
        reason = f"its machine could not start ({machine.reason}): {cure}"
        return Ending(state=State.INTERRUPTED, reason=reason, ended_by=EndedBy.EC2)
    said = f" ({machine.reason})" if machine.reason else ""
    return Ending(
        state=State.INTERRUPTED,
        reason=f"its machine was {machine.state}{said}",
        ended_by=EndedBy.EC2,
    )


def launch_failed(said: str, machine: Machine | None) -> Ending:
    """Return how a run ended whose stack could not be made.

    Args:
        said: CloudFormation's reason. Of a machine that dies as it starts: "Instance i-… failed to
            stabilize. Current state: shutting-down. Reason: Client.InternalError: Client error
            on launch" (aws-samples/aws-service-catalog-reference-architectures, issue 103).
        machine: what is left of the run's own, which EC2 still describes for about an hour.
    """
    known = f"{said} {machine.reason if machine else ''}"
    cure = next((cure for code, cure in _CURES.items() if code in known), None)
    reason = f"{said}; {cure}" if cure else said
    return Ending(state=State.LAUNCH_FAILED, reason=reason, ended_by=EndedBy.CLOUDFORMATION)


def deleted(who: str, deadline: datetime, when: datetime, machine: Machine | None = None) -> Ending:
    """Return how a run ended whose stack `who` deleted under it.

    Args:
        when: it was deleted.
        machine: what EC2 still says of the run's own.
    """
    if who == EndedBy.REAP and when < deadline:
        # Before its deadline the reap function deletes the stack of a run that is over, no other.
        if machine is not None and machine.state in DEAD:
            return vanished(machine, deadline, when)
        return GONE
    if who in (EndedBy.SCHEDULE, EndedBy.REAP):
        what = "the reap function" if who == EndedBy.REAP else "the stack's own schedule"
        reason = f"it was still running after its deadline; {what} deleted its stack"
        return Ending(state=State.TIMED_OUT, reason=reason, ended_by=who)
    late = " after its deadline" if when > deadline else ""
    return Ending(state=State.STOPPED, reason=f"{who} deleted its stack{late}", ended_by=who)


def replaced(run_id: str) -> Ending:
    """Return how a run ended whose stack was given to run `run_id`."""
    reason = f"run {run_id} replaced it"
    return Ending(state=State.INTERRUPTED, reason=reason, ended_by=EndedBy.REPLACEMENT)


def _just_ended(facts: Facts, now: datetime, overdue: timedelta) -> bool:
    # A time yet to come would keep a machine that has said that it is over.
    return facts.over_since is not None and abs(now - facts.over_since) < overdue


def _unless_kept(facts: Facts, state: str, late: bool, ending: Ending | None) -> Decision:
    wanted = facts.keep == "always" or (facts.keep == "on-failure" and state != State.SUCCEEDED)
    new = None if facts.outcome_state is not None else ending
    if wanted and not late:  # its own schedule deletes it a sweep later
        return Decision(delete=False, why=f"keep-stack is {facts.keep}", ending=new)
    return Decision(delete=True, why=f"its run is over ({state})", ending=new)
