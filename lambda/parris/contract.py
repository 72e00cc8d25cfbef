"""Words that records, receipts and outcomes hold, for both functions and for the machine.

It is packed into agent.pyz too, so Python 3.9 must understand it.
"""

from __future__ import annotations

from enum import Enum


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
    EndedBy.USER_DATA,
)
"""What a machine may say of its own run."""

OUTCOME_STATES = (*MACHINE_STATES, State.LAUNCH_FAILED)
MAY_GO_ON = (State.TIMED_OUT, State.STOPPED, State.INTERRUPTED, State.FAILED)
"""Of a run for which a new one is offered that goes on from its checkpoints."""
OVER = (*OUTCOME_STATES, State.SKIPPED)
"""Of a run about which nothing more is to be done."""
