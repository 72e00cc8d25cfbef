"""`make faults` sees what does not hold, of which `make test` plays a tenth (.ci/test)."""

from __future__ import annotations

from datetime import timedelta

import pytest

from tests.faults import plan
from tests.faults.case import Case
from tests.faults.injector import Call


def test_the_harness_sees_a_message_that_is_never_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    """As it was when a notice was marked before it was sent."""
    monkeypatch.setattr("parris.aws.told.Told.failed", lambda *_: None)
    monkeypatch.setattr("parris.aws.told._BEGUN", timedelta(days=1))
    case = plan.run(Case(name="direct", target=Call("sns.Publish", 1), kind="refused"))
    assert "its start was told 0 times" in "; ".join(case.violations)


def test_the_harness_sees_a_launch_that_does_not_know_its_own_stack(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """As it was when a stack was told by its name alone."""
    monkeypatch.setattr("parris.launch.launch.stack_of_run", lambda *_: None)
    monkeypatch.setattr("parris.aws.stacks._holds", lambda *_: False)
    case = plan.run(
        Case(name="direct", target=Call("cloudformation.CreateStack", 1), kind="dies-after")
    )
    assert "the record says launch-failed, open: False" in case.violations  # and a stack stands
