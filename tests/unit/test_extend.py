"""How far a run may be extended, as `make extend` says it."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from scripts.cli.console import Refused
from scripts.commands import extend
from scripts.deployment.runs import Run

CLAIMED = "2026-11-24T12:00:00Z"


def refusal(monkeypatch: pytest.MonkeyPatch, until: str, **receipt: Any) -> str:
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
