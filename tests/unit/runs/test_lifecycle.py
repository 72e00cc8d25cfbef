"""The rules of the reap function: what goes, what stays, what ended a run."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from parris.aws.stack_events import deleter
from parris.runs.lifecycle import Decision, Facts, Machine, deleted, judge, vanished

NOW = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)
OVERDUE = timedelta(minutes=5)
STATES = ("pending", "running", "shutting-down", "stopping", "terminated", "stopped")
SETTLED = ("CREATE_COMPLETE", "UPDATE_COMPLETE", "UPDATE_ROLLBACK_COMPLETE")
MOVING = ("CREATE_IN_PROGRESS", "UPDATE_IN_PROGRESS")


def machine(state: str = "running", reason: str = "") -> Machine:
    return Machine(instance_id="i-1", state=state, reason=reason, launched=NOW)


def decision(minutes_left: float = 60, **facts: Any) -> Decision:
    known: dict[str, Any] = {
        "status": "CREATE_COMPLETE",
        "changed": NOW - timedelta(hours=1),
        "deadline": NOW + timedelta(minutes=minutes_left),
        "keep": "never",
        "machine": machine(),
        "outcome_state": None,
        "over_since": None,
    }
    return judge(Facts(**{**known, **facts}), NOW, OVERDUE)


@given(
    status=st.sampled_from(SETTLED + MOVING),
    state=st.sampled_from(("pending", "running", "shutting-down", "stopping")),
    keep=st.sampled_from(("never", "on-failure", "always")),
    left=st.floats(-4.9, 10_000),
)
def test_a_live_run_before_its_deadline_is_never_touched(
    status: str, state: str, keep: str, left: float
) -> None:
    found = decision(left, status=status, machine=machine(state), keep=keep)
    assert (found.delete, found.ending) == (False, None)


@given(
    status=st.sampled_from(SETTLED + MOVING),
    state=st.sampled_from(("pending", "running", "shutting-down", "stopping")),
    keep=st.sampled_from(("never", "on-failure", "always")),
)
def test_a_live_run_past_deadline_and_grace_always_is(status: str, state: str, keep: str) -> None:
    found = decision(-5.1, status=status, machine=machine(state), keep=keep)
    assert found.delete
    assert found.ending is not None
    assert (found.ending.state, found.ending.ended_by) == ("timed-out", "reap")


def test_a_run_that_is_over_goes_at_once() -> None:
    for state in STATES:
        assert decision(outcome_state="succeeded", machine=machine(state)).delete
    assert decision(outcome_state="succeeded", machine=None).delete


@pytest.mark.parametrize(
    ("keep", "state", "stays"),
    [
        ("never", "failed", False),
        ("on-failure", "failed", True),
        ("on-failure", "succeeded", False),
        ("always", "succeeded", True),
    ],
)
def test_keep_stack_keeps_a_stack_without_a_machine(keep: str, state: str, stays: bool) -> None:
    found = decision(keep=keep, outcome_state=state, machine=machine("terminated"))
    assert found.delete is not stays


def test_a_stack_is_kept_until_the_grace_after_its_deadline() -> None:
    facts: Any = {"keep": "always", "outcome_state": "failed", "machine": None}
    assert not decision(-4.9, **facts).delete
    assert decision(-5.1, **facts).delete


def test_keep_stack_never_keeps_a_machine_that_does_not_power_off() -> None:
    facts: Any = {"keep": "always", "outcome_state": "failed"}
    assert not decision(**facts, over_since=NOW - timedelta(minutes=1)).delete
    assert decision(**facts, over_since=NOW - timedelta(minutes=6)).delete
    assert decision(**facts, over_since=None).delete
    assert decision(**facts, over_since=NOW + timedelta(hours=1)).delete  # its own word


@pytest.mark.parametrize("status", ["CREATE_FAILED", "ROLLBACK_COMPLETE", "ROLLBACK_FAILED"])
def test_a_failed_creation_is_launch_failed_and_cleaned(status: str) -> None:
    found = decision(status=status, machine=None)
    assert found.delete
    assert found.ending is not None
    assert found.ending.state == "launch-failed"
    assert not decision(status=status, machine=None, keep="on-failure").delete


@pytest.mark.parametrize("status", ["CREATE_FAILED", "ROLLBACK_FAILED"])
def test_a_machine_that_a_rollback_left_is_kept_no_longer_than_its_run(status: str) -> None:
    assert not decision(status=status, keep="always").delete
    found = decision(-5.1, status=status, keep="always")
    assert found.delete
    assert found.ending is not None
    assert found.ending.state == "launch-failed"
    assert decision(-5.1, status=status, keep="always", outcome_state="failed").ending is None
    assert not decision(-4.9, status=status, keep="always", machine=machine("terminated")).delete


def test_a_deletion_that_failed_is_tried_again_for_ever() -> None:
    assert decision(-100_000, status="DELETE_FAILED", keep="always").delete


def test_a_deletion_under_way_is_left_alone() -> None:
    assert not decision(-60, status="DELETE_IN_PROGRESS").delete


def test_a_machine_that_is_missing_counts_as_gone_only_after_a_while() -> None:
    assert not decision(machine=None, changed=NOW - timedelta(minutes=4)).delete
    found = decision(machine=None, changed=NOW - timedelta(minutes=6))
    assert found.delete
    assert found.ending is not None
    assert found.ending.state == "interrupted"


def test_a_machine_that_ended_while_its_stack_is_made_waits_for_the_stack() -> None:
    assert not decision(status="CREATE_IN_PROGRESS", machine=machine("terminated")).delete


@pytest.mark.parametrize(
    ("reason", "minutes_left", "state", "ended_by"),
    [
        ("Server.SpotInstanceTermination", 60, "interrupted", "spot"),
        ("Client.UserInitiatedShutdown", 60, "stopped", "somebody"),
        ("Client.InstanceInitiatedShutdown", 60, "interrupted", "shutdown"),
        ("Client.InstanceInitiatedShutdown", 0, "timed-out", "shutdown"),
        ("Client.InstanceInitiatedShutdown", 1, "interrupted", "shutdown"),
        ("Server.InternalError", 60, "interrupted", "ec2"),
        ("", 60, "interrupted", "ec2"),
    ],
)
def test_what_ended_a_silent_machine_is_told_by_ec2s_code(
    reason: str, minutes_left: int, state: str, ended_by: str
) -> None:
    deadline = NOW + timedelta(minutes=minutes_left)
    ending = vanished(machine("terminated", reason), deadline, NOW)
    assert (ending.state, ending.ended_by) == (state, ended_by)
    assert ending.reason


@pytest.mark.parametrize(
    ("who", "state"),
    [
        ("schedule", "timed-out"),
        ("reap", "timed-out"),
        ("clean-stacks", "stopped"),
        ("somebody", "stopped"),
    ],
)
def test_who_deleted_the_stack_is_who_ended_the_run(who: str, state: str) -> None:
    ending = deleted(who, NOW, NOW)
    assert (ending.state, ending.ended_by) == (state, who)


@pytest.mark.parametrize(
    ("token", "who"),
    [
        ("parris-schedule-20261124-120000-ab12cd34", "schedule"),
        ("parris-reap-20261124T120000000000", "reap"),
        ("parris-clean-stacks-20261124T120000000000", "clean-stacks"),
        ("Console-DeleteStack-0d7c", "somebody"),
        ("", "somebody"),
    ],
)
def test_a_deletions_token_names_who_asked_for_it(token: str, who: str) -> None:
    assert deleter(token) == who


def test_a_volume_key_that_ec2_may_not_use_is_named_with_the_cure() -> None:
    ending = vanished(machine("terminated", "Client.InternalError"), NOW, NOW)
    assert ending.state == "interrupted"
    assert "ebs_kms_key_arns" in ending.reason
