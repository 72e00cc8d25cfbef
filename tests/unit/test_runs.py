"""What is said of a run, from its receipt, its outcome and its stack."""

from __future__ import annotations

from typing import Any, cast

import pytest

from scripts.deployment import runs
from scripts.deployment.outputs import Deployment

REFUSED = "r-0000000000000000"


class Nowhere:
    """What needs AWS is replaced below."""

    def client(self, _service: str) -> None:
        return None


def state(monkeypatch: pytest.MonkeyPatch, status: str, machine: str) -> str:
    monkeypatch.setattr(runs, "_machine_state", lambda _deployment, _stack: machine)
    monkeypatch.setattr(runs, "first_failure", lambda _client, _stack: "Instance: no capacity")
    deployment, stack = cast("Deployment", Nowhere()), {"StackStatus": status, "StackId": "x"}
    return runs.ending_of(deployment, {"stack-id": "x"}, None, stack).state


@pytest.mark.parametrize(
    "status",
    ["UPDATE_ROLLBACK_IN_PROGRESS", "UPDATE_ROLLBACK_COMPLETE", "UPDATE_ROLLBACK_FAILED"],
)
def test_a_run_outlives_the_replacement_that_failed(
    monkeypatch: pytest.MonkeyPatch, status: str
) -> None:
    assert state(monkeypatch, status, "running") == "running"
    assert state(monkeypatch, status, "terminated") == "interrupted"


@pytest.mark.parametrize("status", ["ROLLBACK_COMPLETE", "ROLLBACK_IN_PROGRESS", "CREATE_FAILED"])
def test_a_stack_that_could_not_be_made_is_a_failed_launch(
    monkeypatch: pytest.MonkeyPatch, status: str
) -> None:
    assert state(monkeypatch, status, "unknown") == "launch-failed"


def run(run_id: str, receipt: dict[str, Any], outcome: dict[str, Any] | None = None) -> runs.Run:
    return runs.Run(
        job="j",
        run_id=run_id,
        receipt=receipt,
        outcome=outcome,
        stack=None,
        state="",
        reason="",
        ended_by="",
    )


def test_the_newest_run_is_one_that_was_not_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    known = [
        run(REFUSED, {}),
        run("over", {}, {"state": "failed"}),
        run("older", {"stack-id": 1}),
    ]
    keys = [("j", found.run_id) for found in known]
    monkeypatch.setattr(runs, "list_run_keys", lambda _deployment, _job: keys)
    monkeypatch.setattr(runs, "list_stacks", lambda _deployment: [])
    by_key = {found.run_id: found for found in known}
    monkeypatch.setattr(runs, "read_runs", lambda _d, wanted, _s: [by_key[k] for _, k in wanted])
    deployment = cast("Deployment", Nowhere())
    assert runs.find_run(deployment, None, None).run_id == "over"
    assert runs.find_run(deployment, None, REFUSED).run_id == REFUSED
