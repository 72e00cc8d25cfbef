"""A month's budget, on moto: what is reserved, refused, given back and told."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from botocore.exceptions import ClientError
from moto import mock_aws

from parris.aws.slots import Ask, Slots, reservations_of, sums_of
from parris.errors import LaunchRefused, PriceUnknown
from parris.runs.month import Reservation, Sums
from tests.faults.injector import Call, Death, Injector
from tests.ledger import make_table
from tests.plans import NOW
from tests.runs_world import Runs, interrupted
from tests.world import EVENT, World

HOUR = {"termination-method": "at-fixed-time", "time-limit": 60}
WORST = 60_800
"""Millionths of a dollar: 0.048 an hour for an hour, 15 minutes' grace, and a late schedule."""


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> Iterator[Runs]:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
    with mock_aws():
        made = Runs()
        for job in ("a", "b", "c"):
            put(made, job)
        yield made


def put(world: World, job: str, **config: Any) -> None:
    named = {"training-job-name": f"job-{job}", **HOUR, **config}
    world.put(f"jobs/{job}/training-config.json", json.dumps(named))
    world.put(f"jobs/{job}/trainer-script.sh", "true")


def launch(world: World, job: str, budget: str = "1", minutes: float = 0, **more: Any) -> Any:
    event = {**EVENT, "job": job, **more}
    return world.launch(event, minutes, monthly_budget_usd=Decimal(budget))


def sums(world: World, month: str = "2026-11") -> Sums | None:
    return sums_of(Slots(world.table).held(), month)


def end(world: Runs, run_id: str, job: str, usd: float | None) -> None:
    """Let the run's stack go, and say what it cost."""
    world.cloudformation.delete_stack(StackName=f"job-{job}")
    said = {"run-id": run_id, "job": job, "state": "succeeded", "reason": "", "cost-usd": usd}
    body = json.dumps({**said, "ended-by": "trainer"}).encode()
    key = f"runs/{job}/{run_id}/outcome.json"
    world.s3.put_object(Bucket="parris-results", Key=key, Body=body)


def test_a_launch_reserves_its_worst_case_and_says_so(world: Runs) -> None:
    answer = launch(world, "a")
    assert sums(world) == Sums(month="2026-11", spent=0, reserved=WORST, runs=1)
    assert world.receipt(answer["run-id"], "a")["reserved-usd"] == "0.0608"
    assert any("0.0608 US dollars of the month's budget" in note for note in answer["notes"])


def test_what_would_go_over_the_budget_is_refused_with_the_arithmetic(world: Runs) -> None:
    launch(world, "a", "0.10")
    with pytest.raises(LaunchRefused) as refused:
        launch(world, "b", "0.10")
    text = str(refused.value)
    assert text.startswith("this run may cost $0.0608, and $0.0392 are left of monthly_budget_usd")
    assert "$0.0000 are spent and $0.0608 reserved for 1 run under way" in text
    assert "with this one $0.1216 of $0.10" in text
    assert "raise monthly_budget_usd and apply" in text
    assert {stack["StackName"] for stack in world.stacks()} == {"job-a"}
    assert sums(world) == Sums(month="2026-11", spent=0, reserved=WORST, runs=1)
    assert Slots(world.table).holders().keys() == {"job-a"}


def test_a_run_that_is_over_counts_for_what_it_cost_once(world: Runs) -> None:
    first = launch(world, "a", "0.10")["run-id"]
    end(world, first, "a", 0.02)
    for minutes in (20, 30):
        world.reap(minutes)
        assert sums(world) == Sums(month="2026-11", spent=20_000, reserved=0, runs=0)
    launch(world, "b", "0.10", 40)
    assert sums(world) == Sums(month="2026-11", spent=20_000, reserved=WORST, runs=1)


def test_a_run_that_nobody_knows_the_cost_of_counts_as_reserved(world: Runs) -> None:
    end(world, launch(world, "a")["run-id"], "a", None)
    world.reap(20)
    assert sums(world) == Sums(month="2026-11", spent=WORST, reserved=0, runs=0)


def test_a_launch_that_failed_costs_nothing(world: Runs, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(**_: Any) -> None:
        raise ClientError({"Error": {"Code": "ValidationError", "Message": "no"}}, "CreateStack")

    monkeypatch.setattr(world.cloudformation, "create_stack", refuse)
    with pytest.raises(Exception, match="no"):
        launch(world, "a")
    assert sums(world) == Sums(month="2026-11", spent=0, reserved=0, runs=0)


@pytest.mark.parametrize("call", ["dynamodb.UpdateItem", "cloudformation.CreateStack"])
@pytest.mark.parametrize("kind", ["dies-before", "dies-after"])
def test_a_launch_that_died_leaves_what_a_sweep_sets_right(
    world: Runs, call: str, kind: str
) -> None:
    world.starts_machines = True
    with pytest.raises(Death), Injector(world.clients, Call(call, 1), kind).at_work():
        launch(world, "a")
    for minutes in (5, 15):
        world.reap(minutes)
    known = sums(world) or Sums(month="", spent=0, reserved=0, runs=0)
    assert known.spent == 0
    assert known.reserved == (WORST if world.stacks() else 0)
    answer = launch(world, "a", minutes=20)  # the same event again
    assert sums(world) == Sums(month="2026-11", spent=0, reserved=WORST, runs=1)
    assert answer["run-id"]


def test_a_queued_run_reserves_when_its_turn_comes(world: Runs) -> None:
    first = launch(world, "a")["run-id"]
    second: dict[str, Any] = {"event-id": "e2", "rule": "schedule", "schedule": "n"}
    queued = launch(world, "a", overlap="queue-one", **second)
    assert queued["held-back"] == "queued"
    assert sums(world) == Sums(month="2026-11", spent=0, reserved=WORST, runs=1)
    end(world, first, "a", 0.01)
    world.reap(20)
    [event] = world.sent
    world.launch(event, 21, monthly_budget_usd=Decimal(1))
    assert sums(world) == Sums(month="2026-11", spent=10_000, reserved=WORST, runs=1)


def test_a_run_that_is_replaced_counts_until_its_end_is_known(world: Runs) -> None:
    put(world, "a", **{"stack-replacement": True})
    first = launch(world, "a")["run-id"]
    launch(world, "a", minutes=10, **{"event-id": "e2"})
    assert sums(world) == Sums(month="2026-11", spent=0, reserved=2 * WORST, runs=2)
    world.reap(20)
    known = sums(world)
    assert world.record(first, "a").state == "interrupted"
    assert known is not None
    assert (known.reserved, known.runs) == (WORST, 1)
    assert 0 < known.spent < WORST


def test_one_reservation_is_for_all_machines_of_a_run(world: Runs) -> None:
    world.budget = Decimal(9)
    world.price("0.30")
    run_id, _ = interrupted(world, 60, market="on-demand")
    before = sums(world)
    world.price("0.60")  # of which what is left buys less time than the deadline leaves
    world.deliver(61)
    assert (sums(world), world.attempt()) == (before, "2")
    record, grace = world.record(run_id), 16 / 60
    hourly = float((record.receipt["price"] or {})["hourly-usd"])
    left = datetime.fromisoformat(record.receipt["deadline"]) - (NOW + timedelta(minutes=61))
    worst = (record.attempts[0].usd or 0) + hourly * (left.total_seconds() / 3600 + grace)
    reserved = float(record.receipt["reserved-usd"])
    assert reserved - hourly / 60 < worst <= reserved


def test_runs_of_a_job_that_go_side_by_side_reserve_each_for_itself(world: Runs) -> None:
    put(world, "a", **{"several-at-once": True})
    budget = "0.15"  # for two
    events: list[dict[str, Any]] = [{"event-id": f"e{number}"} for number in range(4)]
    first, second = (launch(world, "a", budget, **event) for event in events[:2])
    assert first["stack-name"] != second["stack-name"]
    assert sums(world) == Sums(month="2026-11", spent=0, reserved=2 * WORST, runs=2)
    with pytest.raises(LaunchRefused, match=r"reserved for 2 runs under way"):
        launch(world, "a", budget, **events[2])
    world.cloudformation.delete_stack(StackName=first["stack-name"])
    end(world, first["run-id"], "a", 0.01)
    world.reap(20)
    assert sums(world) == Sums(month="2026-11", spent=10_000, reserved=WORST, runs=1)
    launch(world, "a", budget, 30, **events[3])
    assert sums(world) == Sums(month="2026-11", spent=10_000, reserved=2 * WORST, runs=2)


def test_the_month_is_that_of_the_launch(world: Runs) -> None:
    launch(world, "a", time="2020-01-01T00:00:00Z")
    launch(world, "b", minutes=7 * 24 * 60)
    assert (sums(world), sums(world, "2026-12")) == (
        Sums(month="2026-11", spent=0, reserved=WORST, runs=1),
        Sums(month="2026-12", spent=0, reserved=WORST, runs=1),
    )


def test_a_budget_that_is_set_later_begins_with_what_the_runs_have_cost(world: Runs) -> None:
    over = world.launch({**EVENT, "job": "a"})["run-id"]
    end(world, over, "a", 0.02)
    world.reap(20)
    world.launch({**EVENT, "job": "b"}, 20)
    assert sums(world) is None
    launch(world, "c", minutes=30)
    assert sums(world) == Sums(month="2026-11", spent=20_000, reserved=2 * WORST, runs=2)
    put(world, "d")
    world.launch({**EVENT, "job": "d"}, 40)  # without a budget again
    assert sums(world) is None
    put(world, "e")
    launch(world, "e", minutes=50)
    assert sums(world) == Sums(month="2026-11", spent=20_000, reserved=4 * WORST, runs=4)


def test_the_first_launch_of_a_month_is_handed_no_runs_of_the_month_before(world: Runs) -> None:
    """A grid may have had 100,000 trials then, more than a function has memory for."""
    for name in ("old", "older"):
        put(world, name)
        given: dict[str, Any] = {"event-id": name}
        end(world, launch(world, name, "9", **given)["run-id"], name, 0.02)
    world.reap(20)
    # One of the month before by its id, as the trial of a grid that goes on.
    end(world, world.launch({**EVENT, "job": "a"}, 7 * 24 * 60)["run-id"], "a", 0.03)
    world.reap(7 * 24 * 60 + 20)
    handed: list[tuple[int, int]] = []
    world.dynamodb.meta.events.register(
        "after-call.dynamodb.Query",
        lambda parsed, **_: handed.append((parsed["ScannedCount"], parsed["Count"])),
    )
    launch(world, "b", minutes=7 * 24 * 60 + 30)
    assert sum(count for _, count in handed) == 2  # that one, and the new one itself
    assert sum(looked_at for looked_at, _ in handed) == 4
    assert sums(world, "2026-12") == Sums(month="2026-12", spent=30_000, reserved=WORST, runs=1)


def test_without_a_price_nothing_is_launched(world: Runs) -> None:
    world.prices.usd["instanceType"] = ""
    with pytest.raises(PriceUnknown, match="nobody can keep to monthly_budget_usd"):
        launch(world, "a")
    assert world.stacks() == []


def test_a_spot_run_without_a_limit_of_its_own_counts_at_the_on_demand_price(world: Runs) -> None:
    put(world, "a", market="spot")
    launch(world, "a")
    known = sums(world)
    assert known is not None
    assert known.reserved == WORST  # whatever spot costs today


def test_most_of_a_budget_is_told_once(world: Runs) -> None:
    launch(world, "a", "0.07")
    world.budget = Decimal("0.07")
    for minutes in (5, 15):
        world.reap(minutes)
    [told] = world.topic.heard("budget")
    assert (told["month"], told["reserved-usd"]) == ("2026-11", "0.0608")


def test_less_is_not_told(world: Runs) -> None:
    launch(world, "a", "0.08")
    world.budget = Decimal("0.08")
    world.reap(5)
    assert world.topic.heard("budget") == []


def test_a_reservation_whose_answer_was_lost_counts_once() -> None:
    with mock_aws():
        table = make_table()
        slots = Slots(table)
        slots.begin_month("2026-11", 0, {})
        held = Reservation(run="a/1", month="2026-11", micros=40, claim=1)
        ask = Ask(reservation=held, budget=100)
        lost = Injector([table.dynamodb()], Call("dynamodb.UpdateItem", 1), "sent-again")
        with lost.at_work():
            assert slots.take("one", "a/1", 2, "2026-11", ask).granted
        assert lost.injected
        assert sums_of(slots.held(), "2026-11") == Sums(
            month="2026-11", spent=0, reserved=40, runs=1
        )
        again = Injector([table.dynamodb()], Call("dynamodb.UpdateItem", 1), "sent-again")
        with again.at_work():
            slots.settle(held, 15)
        slots.settle(held, 15)
        assert sums_of(slots.held(), "2026-11") == Sums(
            month="2026-11", spent=15, reserved=0, runs=0
        )
        assert reservations_of(slots.held()) == {}
