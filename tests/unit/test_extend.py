"""How far a run may be extended, as `make extend` says it."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import pytest

from parris.runs.attempt import read_attempts
from scripts.cli.console import Refused
from scripts.commands import extend
from scripts.deployment.runs import Run

CLAIMED = "2026-11-24T12:00:00Z"


def refusal(monkeypatch: pytest.MonkeyPatch, until: str, attempts: Any = (), **receipt: Any) -> str:
    stack = {
        "StackName": "s",
        "StackStatus": "CREATE_COMPLETE",
        "Parameters": [{"ParameterKey": "Deadline", "ParameterValue": until}],
    }
    known: Any = {"claimed": CLAIMED, **receipt}
    found = Run(
        job="mine",
        run_id="r-0123456789abcdef",
        receipt=known,
        outcome=None,
        stack=stack,
        state="running",
        reason="",
        ended_by="",
        attempts=attempts,
    )
    deployed = SimpleNamespace(max_run_hours=2, grace_minutes=15)
    monkeypatch.setattr(extend, "read_deployment", lambda: deployed)
    monkeypatch.setattr(extend, "pick_run_to_change", lambda *_: found)
    with pytest.raises(Refused) as refused:
        extend.main(["--minutes", "90"])
    return str(refused.value)


def test_what_is_left_is_offered(monkeypatch: pytest.MonkeyPatch) -> None:
    said = refusal(monkeypatch, "2026-11-24T13:30:30Z")
    assert said.endswith("max_run_hours is 2; MINUTES=29 at most")


@pytest.mark.parametrize("deadline", ["2026-11-24T13:59:30Z", "2026-11-24T14:00:00Z"])
def test_nothing_left_is_no_offer(monkeypatch: pytest.MonkeyPatch, deadline: str) -> None:
    said = refusal(monkeypatch, deadline)
    assert said.endswith("max_run_hours is 2; it cannot be given more time")


def test_no_more_time_is_given_than_is_reserved(monkeypatch: pytest.MonkeyPatch) -> None:
    deadline = "2026-11-24T13:00:00Z"
    known = {"reserved-usd": "0.0860", "deadline": deadline}
    said = refusal(monkeypatch, deadline, price={"hourly-usd": "0.06"}, **known)
    assert said.endswith(
        "must be over at 2026-11-24T13:10:00Z: 0.0860 US dollars of its month's budget are "
        "reserved for it; MINUTES=10 at most"
    )


RUNG = {"instance-type": "t3.medium", "market": "spot", "subnet-id": "", "zone": "a"}
SECOND = {"attempt": 2, "attempt-began": "2026-11-24T12:30:00Z", "deadline": "2026-11-24T13:00:00Z"}
EARLIER = read_attempts(
    json.dumps(
        [
            {**RUNG, "number": 1, "began": CLAIMED, "ended": "2026-11-24T12:29:00Z"}
            | {"state": "interrupted", "reason": "", "ended-by": "spot", "hourly-usd": "1.20"}
            | {"cost-usd": 0.58, "instance-id": "i-1", "machine": None, "refusal": None}
        ]
    )
)


def test_what_earlier_machines_cost_is_not_spent_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """42 cents are left, which are 21 minutes of the second machine."""
    known: Any = {"cost-limit-usd": "1.00", "price": {"hourly-usd": "1.20"}, **SECOND}
    said = refusal(monkeypatch, "2026-11-24T12:50:00Z", EARLIER, **known)
    assert said.endswith(
        "must be over at 2026-11-24T12:51:00Z: its cost-limit is 1.00 US dollars; MINUTES=1 at most"
    )


def test_a_spot_machine_without_a_limit_may_come_to_cost_as_much_as_on_demand(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Of 2.6 dollars 58 cents are spent and 64 are for the time after the deadline."""
    price = {"hourly-usd": "1.20", "on-demand-hourly-usd": "2.40"}
    known: Any = {"reserved-usd": "2.60", "price": price, "market": "spot", **SECOND}
    said = refusal(monkeypatch, "2026-11-24T12:50:00Z", EARLIER, **known)
    assert "must be over at 2026-11-24T13:04:00Z: 2.60 US dollars of its month's" in said


def test_a_deadline_that_is_moved_is_the_runs_too() -> None:
    later = datetime(2026, 11, 24, 14, tzinfo=UTC)
    known: Any = {"claimed": CLAIMED, "deadline": "2026-11-24T13:00:00Z"}
    assert "run-deadline" not in extend._moved(known, later)
    for of_run, then in (("13:00", "14:00"), ("16:00", "16:00")):
        moved = extend._moved(known | {"run-deadline": f"2026-11-24T{of_run}:00Z"}, later)
        assert moved["run-deadline"] == f"2026-11-24T{then}:00Z"
        assert moved["deadline"] == "2026-11-24T14:00:00Z"
