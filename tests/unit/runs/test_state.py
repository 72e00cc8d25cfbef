"""How a run stands, of what is known of it."""

from __future__ import annotations

from typing import Any

import pytest

from parris.runs.state import state_of

CREATED: Any = {"state": "accepted", "stack-id": "arn"}
CLAIMED: dict[str, Any] = {"state": "launching"}
REFUSED = {"state": "launch-failed", "reason": "stack x exists"}
FAILED: Any = {"state": "failed", "reason": "it exited with 1", "ended-by": "trainer"}


@pytest.mark.parametrize(
    ("receipt", "status", "machine", "state", "ended_by"),
    [
        (CLAIMED, None, "", "launching", ""),
        (REFUSED, None, "", "launch-failed", "launch"),
        ({"state": "skipped"}, None, "", "skipped", "launch"),
        ({"state": "queued"}, None, "", "queued", ""),
        ({"state": "queued", "stack-id": "arn"}, "CREATE_COMPLETE", "", "running", ""),
        (CREATED, "CREATE_IN_PROGRESS", "", "launching", ""),
        (CREATED, "CREATE_COMPLETE", "", "running", ""),
        (CREATED, "CREATE_COMPLETE", "running", "running", ""),
        (CREATED, "CREATE_COMPLETE", "terminated", "interrupted", "ec2"),
        (CREATED, "CREATE_COMPLETE", "missing", "interrupted", "ec2"),
        (CREATED, "ROLLBACK_IN_PROGRESS", "", "launching", ""),  # the sweep waits too
        (CREATED, "ROLLBACK_COMPLETE", "terminated", "launch-failed", "cloudformation"),
        (CREATED, "CREATE_FAILED", "", "launch-failed", "cloudformation"),
        (CREATED, "UPDATE_IN_PROGRESS", "", "launching", ""),
        # A replacement that failed leaves the machine of the run before it.
        (CREATED, "UPDATE_ROLLBACK_IN_PROGRESS", "running", "running", ""),
        (CREATED, "UPDATE_ROLLBACK_COMPLETE", "running", "running", ""),
        (CREATED, "UPDATE_ROLLBACK_FAILED", "terminated", "interrupted", "ec2"),
        (CREATED, "DELETE_IN_PROGRESS", "", "ending", ""),
        (CREATED, None, "", "ending", ""),
    ],
)
def test_the_word_for_a_run_without_an_outcome(
    receipt: Any, status: str | None, machine: str, state: str, ended_by: str
) -> None:
    stands = state_of(receipt, None, status, machine)
    assert (stands.state, stands.ended_by) == (state, ended_by)
    assert bool(stands.reason) == (
        state != "running"
        and receipt.get("state")
        not in (
            "skipped",
            "queued",
        )
    )


@pytest.mark.parametrize("status", [None, "CREATE_COMPLETE", "DELETE_IN_PROGRESS"])
def test_an_outcome_is_the_last_word(status: str | None) -> None:
    stands = state_of(CREATED, FAILED, status, "running")
    assert (stands.state, stands.reason, stands.ended_by) == tuple(FAILED.values())
