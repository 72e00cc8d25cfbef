"""Whatever a machine says that it cost, the record, the month and the next machine's dollars go by
EC2's times."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from moto import mock_aws

from parris.aws.slots import Slots, sums_of
from tests.plans import NOW
from tests.reap_world import ROLE_ID, machine_event
from tests.runs_world import Runs

FORGED = [0, 0.0001, 1e9, float("nan"), -5]
HOURLY = 6.0
CONFIG: dict[str, Any] = {"market": "on-demand", "volume-size-gb": 8, "time-limit": 60}
OFF = "Client.InstanceInitiatedShutdown"


@pytest.fixture
def runs(monkeypatch: pytest.MonkeyPatch) -> Iterator[Runs]:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
    with mock_aws():
        made = Runs()
        made.price(f"{HOURLY:.4f}")
        made.budget = Decimal(100)
        yield made


def say(runs: Runs, run_id: str, machine: str, usd: float, **more: Any) -> None:
    said: Any = {"run-id": run_id, "job": "default", "state": "succeeded", "reason": "done"}
    said |= {"ended-by": "trainer", "cost-usd": usd, "exit-status": 0, **more}
    runs.store(run_id, machine, "outcome.json", json.dumps(said))


def told(runs: Runs, machine: str, minutes: float) -> None:
    """Let EC2 give a time to a machine's end."""
    at = NOW + timedelta(minutes=minutes)
    runs.instance(machine)._reason = f"User initiated ({at:%Y-%m-%d %H:%M:%S} GMT)"


def spent(runs: Runs) -> float:
    sums = sums_of(Slots(runs.table).held(), "2026-11")
    assert sums is not None
    assert sums.reserved == 0
    return sums.spent / 1e6


@pytest.mark.parametrize("usd", FORGED)
def test_a_machine_s_word_does_not_move_the_month(runs: Runs, usd: float) -> None:
    run_id = runs.begin(**CONFIG)
    machine = runs.machine(run_id)
    say(runs, run_id, machine, usd)
    runs.take(machine, OFF)
    told(runs, machine, 30)
    runs.reap(50)  # a late sweep: the event was lost
    assert runs.outcome(run_id)["cost-usd"] == pytest.approx(HOURLY / 2, abs=0.01)
    assert spent(runs) == pytest.approx(HOURLY / 2, abs=0.01)


@pytest.mark.parametrize("usd", FORGED)
def test_nor_does_the_last_one_s_of_several(runs: Runs, usd: float) -> None:
    run_id = runs.begin(**{**CONFIG, "market": "spot-then-on-demand"})
    first = runs.machine(run_id)
    runs.take(first)
    runs.reap(10, machine_event(first))
    runs.deliver(10)
    second = runs.machine(run_id, 10)
    say(runs, run_id, second, usd)
    runs.take(second, OFF)
    told(runs, second, 20)
    runs.reap(40, machine_event(second))
    one, two = runs.outcome(run_id)["attempts"]
    assert two["ended"] == "2026-11-24T12:20:00Z"
    assert two["cost-usd"] == pytest.approx(one["cost-usd"], rel=0.01)
    assert runs.outcome(run_id)["cost-usd"] == one["cost-usd"] + two["cost-usd"]
    assert spent(runs) == pytest.approx(one["cost-usd"] + two["cost-usd"])


@pytest.mark.parametrize("usd", [0, 0.0001, 1e9])
def test_nor_the_dollars_that_are_left_for_the_next_one(runs: Runs, usd: float) -> None:
    retry = {"retry": {"on": ["failure"], "attempts": 3}}
    run_id = runs.begin(**CONFIG, **retry, **{"cost-limit": 5})
    machine = runs.machine(run_id)
    early = {"finished": "2026-11-24T12:00:01Z", "booted": "2026-11-24T12:00:00Z"}
    say(runs, run_id, machine, usd, state="failed", **early, **{"exit-status": 1})
    runs.take(machine, OFF)
    told(runs, machine, 30)
    runs.reap(35, machine_event(machine))
    [over] = runs.record(run_id).attempts
    assert over.usd == pytest.approx(HOURLY / 2, abs=0.01)
    assert over.ended == "2026-11-24T12:30:00Z"


def test_a_late_sweep_books_a_spot_machine_until_it_was_heard_of_last(runs: Runs) -> None:
    """EC2 gives no time to the end of a machine that it took, and its event was lost."""
    run_id = runs.begin(**CONFIG, retry={"on": []})
    machine = runs.machine(run_id)
    runs.heard(run_id, machine, 18)
    runs.take(machine)
    runs.reap(300)
    assert runs.outcome(run_id)["cost-usd"] == pytest.approx(HOURLY / 3, abs=0.01)
    assert runs.outcome(run_id)["finished"] == "2026-11-24T12:20:00Z"


def test_the_time_of_ec2_s_event_is_the_machine_s_end_however_late_it_comes(runs: Runs) -> None:
    run_id = runs.begin(**CONFIG)
    machine = runs.machine(run_id)
    runs.heard(run_id, machine, 5)
    runs.take(machine)
    runs.reap(50, {**machine_event(machine), "time": "2026-11-24T12:20:00Z"})
    [over] = runs.record(run_id).attempts
    assert over.ended == "2026-11-24T12:20:00Z"
    assert over.usd == pytest.approx(HOURLY / 3, abs=0.01)


@pytest.mark.parametrize("usd", [0, 1e9])
def test_of_a_machine_that_ec2_forgot_its_word_counts_within_what_can_be(
    runs: Runs, usd: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_id = runs.begin(**CONFIG)
    machine = runs.machine(run_id)
    say(runs, run_id, machine, usd)
    runs.heard(run_id, machine, 30)
    monkeypatch.setattr("parris.reap.sweep.list_machines", lambda *_: {})
    named = {"parris:instance-id": machine, "parris:job": "default", "parris:run-id": run_id}
    monkeypatch.setattr("parris.reap.review.run_tags", lambda _: named)
    runs.reap(200)
    least, most = HOURLY * 25 / 60, HOURLY * 32 / 60
    cost = runs.outcome(run_id)["cost-usd"]
    assert cost == pytest.approx(least if usd == 0 else most, abs=0.01)
    assert spent(runs) == pytest.approx(cost)


def test_what_a_machine_stored_that_ec2_forgot_is_gone_on_from(
    runs: Runs, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_id = runs.begin()
    machine = runs.machine(run_id)
    runs.heard(run_id, machine, 5)
    monkeypatch.setattr("parris.reap.sweep.list_machines", lambda *_: {})
    named = {"parris:instance-id": machine, "parris:job": "default", "parris:run-id": run_id}
    monkeypatch.setattr("parris.reap.review.run_tags", lambda _: named)
    runs.reap(30)
    [over] = runs.record(run_id).attempts
    assert (over.instance_id, over.folder) == (machine, f"{ROLE_ID}:{machine}")
    assert over.ended == "2026-11-24T12:07:00Z"
