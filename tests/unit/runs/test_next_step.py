"""What a sweep is to do about an open run, and how a run ended that nobody recorded."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from parris.runs.lifecycle import MAX_CLAIMS, Machine, Step, deleted, next_step
from parris.runs.record import RunRecord, read_record
from tests.plans import NOW

LATER = NOW + timedelta(hours=1)


def record(**changes: Any) -> RunRecord:
    item = {
        "pk": "run#job",
        "sk": "20261124-110000-00000000",
        "state": "launching",
        "lease": NOW.isoformat(),
        "open": "run",
    }
    return read_record(item | changes)


@pytest.mark.parametrize(
    ("changes", "has_stack", "waits", "early", "late"),
    [
        ({}, False, False, Step.WAIT, Step.LOOK),
        ({}, True, False, Step.WAIT, Step.COMPLETE),
        ({"stack_id": "arn"}, True, False, Step.WAIT, Step.COMPLETE),
        ({"stack_id": "arn"}, False, False, Step.WAIT, Step.CONCLUDE),
        ({"state": "accepted", "stack_id": "arn"}, True, False, Step.WAIT, Step.WAIT),
        ({"state": "accepted", "stack_id": "arn"}, False, False, Step.CONCLUDE, Step.CONCLUDE),
        ({"state": "queued"}, False, True, Step.WAIT, Step.WAIT),
        ({"claims": 2}, True, True, Step.WAIT, Step.COMPLETE),  # it has not left the queue yet
        ({"state": "skipped"}, False, False, Step.WAIT, Step.WAIT),
        ({"state": "queued"}, False, False, Step.WAIT, Step.LOOK),
        ({"state": "launching", "claims": MAX_CLAIMS}, False, True, Step.WAIT, Step.LOOK),
        ({"state": "failed", "outcome": '{"state": "failed"}'}, True, False, Step.TELL, Step.TELL),
        ({"state": "failed", "outcome": '{"state": "failed"}'}, False, False, Step.TELL, Step.TELL),
    ],
)
def test_each_state_has_one_step(
    changes: dict[str, Any], has_stack: bool, waits: bool, early: Step, late: Step
) -> None:
    for now, step in ((NOW, early), (LATER, late)):
        assert next_step(record(**changes), now, has_stack=has_stack, waits=waits) is step


@pytest.mark.parametrize(
    ("changes", "now", "free"),
    [
        ({}, NOW, False),
        ({}, LATER, True),
        ({"stack_id": "arn"}, LATER, False),
        ({"state": "launch-failed"}, NOW, True),
        ({"state": "launch-failed", "outcome": '{"state": "launch-failed"}'}, LATER, False),
        ({"state": "queued"}, NOW, True),
        ({"state": "skipped"}, LATER, False),
    ],
)
def test_a_run_without_a_stack_is_free_again_but_not_if_it_was_skipped(
    changes: dict[str, Any], now: Any, free: bool
) -> None:
    assert record(**changes).is_free(now) is free


TERMINATED = Machine(
    instance_id="i-0", state="terminated", reason="Server.SpotInstanceTermination", launched=NOW
)


@pytest.mark.parametrize(
    ("who", "when", "machine", "state", "ended_by"),
    [
        ("clean-stacks", NOW, None, "stopped", "clean-stacks"),
        ("schedule", LATER, None, "timed-out", "schedule"),
        ("reap", LATER + timedelta(minutes=5), TERMINATED, "timed-out", "reap"),
        ("reap", NOW, TERMINATED, "interrupted", "spot"),
        ("reap", NOW, None, "interrupted", "ec2"),
    ],
)
def test_who_deleted_the_stack_and_when_says_how_a_run_ended(
    who: str, when: Any, machine: Machine | None, state: str, ended_by: str
) -> None:
    ending = deleted(who, LATER, when, machine)
    assert (ending.state, ending.ended_by) == (state, ended_by)
