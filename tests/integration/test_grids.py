"""A grid from its event to its end, on moto."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest
from moto import mock_aws
from moto.ec2.models import ec2_backends

from parris.contract import State
from parris.errors import InvalidConfig, InvalidEvent, ParrisError
from parris.events.buttons import Buttons
from parris.events.router import stop_grid_event
from parris.jobs.files import GRID_FILENAME
from tests.grid_world import CONFIG, GRID, GridWorld


@pytest.fixture
def world() -> Iterator[GridWorld]:
    with mock_aws():
        yield GridWorld()


def pairs(world: GridWorld) -> Counter[tuple[str, str]]:
    found = [run.receipt["parameters"] for run in world.ledger.newest(50)[0]]
    return Counter((one["lr"], one["seed"]) for one in found)


def test_each_combination_becomes_one_run_and_the_best_is_named(world: GridWorld) -> None:
    answer = world.begin()
    assert (answer["trials"], answer["max-parallel"], answer["duplicate"]) == (6, 2, False)
    world.settle_down()
    assert len(world.standing()) == 2  # max-parallel
    world.go_on()
    grid = world.grid()
    assert (grid.is_open, grid.ended, grid.running) == (False, {"succeeded": 6}, {})
    assert set(pairs(world).values()) == {1}
    assert len(pairs(world)) == 6
    assert (grid.spent, grid.committed) == (60_000, 60_000)
    [told] = world.topic.heard("grid-ended")
    assert told["best"]["parameters"] == {"lr": "0.1", "seed": "1"}
    assert told["best"]["run-id"] == grid.run_id(1)
    assert told["best"]["value"] == pytest.approx(0.9)
    assert len(world.topic.heard()) == 2  # the beginning and the end of the grid


def test_a_trial_is_an_ordinary_run_with_a_stack_of_its_own(world: GridWorld) -> None:
    grid_id = world.begin()["grid"]
    world.settle_down()
    run_id = world.grid().run_id(2)
    receipt = world.receipt(run_id)
    assert receipt["stack-name"] == f"one-{grid_id[-8:]}-002"
    assert receipt["trigger"] == {"kind": "grid", "grid": grid_id, "trial": "2"}
    assert receipt["parameters"] == {"lr": "0.1", "seed": "2", "note": "none"}
    assert receipt["deadline"] == "2026-11-24T13:00:00Z"
    assert f"runs/default/{run_id}/source/trainer-script.sh" in world.objects()


def test_trials_begin_with_the_files_of_the_grid_whatever_is_uploaded_meanwhile(
    world: GridWorld,
) -> None:
    world.begin()
    world.put("training-config.json", json.dumps({**CONFIG, "time-limit": 5}))
    world.put("trainer-script.sh", "#!/bin/bash\nfalse\n")
    world.go_on()
    records = world.ledger.newest(50)[0]
    assert {run.receipt["time-limit-minutes"] for run in records} == {60}
    key = f"runs/default/{records[0].run_id}/source/trainer-script.sh"
    held = world.s3.get_object(Bucket="parris-results", Key=key)["Body"].read()
    assert held == b"#!/bin/bash\ntrue\n"


@pytest.mark.parametrize("again", [0, 1])
def test_an_event_that_comes_twice_starts_one_grid(world: GridWorld, again: int) -> None:
    first = world.begin()
    world.settle_down()
    for _ in range(again):
        world.go_on()
    second = world.begin()
    assert (second["grid"], second["duplicate"]) == (first["grid"], True)
    world.settle_down()
    assert len(world.ledger.newest(50)[0]) == (6 if again else 2)


def test_a_trials_event_that_comes_again_after_its_end_starts_nothing(world: GridWorld) -> None:
    world.begin()
    world.deliver()
    events = list(world.sent)
    world.go_on()
    world.sent = events
    world.settle_down()
    assert world.standing() == []
    assert world.grid().ended == {"succeeded": 6}


def test_the_grid_json_of_a_job_makes_a_grid_of_any_of_its_events(world: GridWorld) -> None:
    world.put(GRID_FILENAME, json.dumps(GRID))
    click = {"rule": "button", "payload": "e30=", "serial": "G030", "traceid": "a"}
    answer = world.launch({**click, "timestamp": 1795521600000})
    assert answer["trials"] == 6
    schedule = {"rule": "schedule", "schedule": "n", "event-id": "s", "time": "2026-11-24T11:30Z"}
    assert world.launch(schedule)["trials"] == 6
    assert world.launch({"event-id": "a", "grid": True})["trials"] == 6


def test_an_event_may_ask_for_one_run_of_a_job_with_a_grid(world: GridWorld) -> None:
    world.put(GRID_FILENAME, json.dumps(GRID))
    answer = world.begin(False)
    assert "grid" not in answer
    assert world.standing() == [answer["run-id"]]


@pytest.mark.parametrize(
    ("event", "said"),
    [
        ({"grid": {"parameters": {"lr": 1}}}, "parameters.lr: 1 is neither a list of values"),
        ({"grid": {"parameters": {"rate": [1]}}}, "grid: rate is not a parameter of job default"),
        ({"grid": GRID, "parameters": {"lr": 1}}, "the grid has values of lr too"),
        ({"grid": GRID, "parameters": {"x": 1}}, "x is not a parameter of job default"),
        ({"grid": GRID, "resume": "last"}, "grid: its trials begin anew"),
        ({"grid": 5}, "grid: 5 is neither an object with parameters"),
        ({"grid": True}, "has no grid.json"),
    ],
)
def test_a_grid_that_could_not_begin_is_refused(world: GridWorld, event: Any, said: str) -> None:
    with pytest.raises(ParrisError) as caught:
        world.begin(**event)
    assert said in str(caught.value)
    world.settle_down()
    assert not world.standing()
    assert world.begin()["duplicate"] is False  # the same event may be sent again, corrected


def test_a_job_whose_stacks_names_would_be_too_long_is_refused(world: GridWorld) -> None:
    world.put("training-config.json", json.dumps(CONFIG | {"training-job-name": "a" * 117}))
    with pytest.raises(InvalidConfig, match="at most 115 characters in a grid of 6 trials"):
        world.begin()


def test_what_an_event_says_of_all_trials_reaches_each(world: GridWorld) -> None:
    world.begin(parameters={"note": "ours"})
    world.go_on()
    notes = {run.receipt["parameters"]["note"] for run in world.ledger.newest(50)[0]}
    assert notes == {"ours"}


def test_no_more_trials_go_on_than_the_deployment_allows_and_none_is_lost(
    world: GridWorld,
) -> None:
    world.settings = {"max_concurrent_runs": 1}
    world.begin({**GRID, "max-parallel": 3})
    world.settle_down()
    assert len(world.standing()) == 1
    states = Counter(run.state for run in world.ledger.newest(50)[0])
    assert states == {State.ACCEPTED: 1, State.QUEUED: 2}
    world.go_on()
    assert world.grid().ended == {"succeeded": 6}
    assert set(pairs(world).values()) == {1}
    assert not world.ledger.open_runs()[0]


def test_a_grid_spends_no_more_than_its_limit_and_says_what_is_missing(world: GridWorld) -> None:
    # A trial may cost $0.0608: 60 minutes, 15 of grace and one more, at $0.048 an hour.
    world.usd = 0.05
    world.begin({**GRID, "cost-limit": 0.15})
    world.settle_down()
    assert len(world.standing()) == 2
    assert world.grid().committed <= 150_000
    world.go_on()
    grid = world.grid()
    assert (grid.ended, grid.spent, grid.is_open) == ({"succeeded": 2}, 100_000, False)
    assert grid.stop == (
        "the next trial may cost $0.0608, and $0.0500 are left of the grid's cost-limit: "
        "$0.1000 of $0.15 are spent"
    )
    [told] = world.topic.heard("grid-ended")
    assert (told["not-begun"], told["reason"]) == (4, grid.stop)
    assert not world.ledger.open_runs()[0]


def test_what_a_trial_does_not_use_is_there_for_the_others(world: GridWorld) -> None:
    world.usd = 0.001
    world.begin({**GRID, "cost-limit": 0.07})
    world.settle_down()
    assert len(world.standing()) == 1  # for two at once there is too little
    world.go_on()
    assert world.grid().ended == {"succeeded": 6}
    assert world.grid().committed == world.grid().spent == 6_000


def test_a_trial_that_costs_more_than_its_worst_case_counts_as_that(world: GridWorld) -> None:
    world.usd = 5
    world.begin({**GRID, "cost-limit": 0.15})
    world.go_on()
    assert world.grid().spent <= 150_000


def test_a_grid_with_a_limit_needs_a_price(world: GridWorld) -> None:
    world.prices.usd["instanceType"] = ""
    world.begin({**GRID, "cost-limit": 1, "max-parallel": 1})
    world.settle_down()
    [run] = world.ledger.newest(5)[0]
    assert run.state == State.QUEUED
    assert "without a price nobody can keep to the grid's cost-limit" in run.reason
    world.prices.usd["instanceType"] = "0.0400"
    world.go_on()
    assert world.grid().ended == {"succeeded": 6}


def test_trials_that_fail_are_counted_and_never_the_best(world: GridWorld) -> None:
    world.begin()
    world.settle_down()
    world.train(world.grid().run_id(1), "failed")
    world.go_on()
    assert world.grid().ended == {"failed": 1, "succeeded": 5}
    best = world.grid().best
    assert best is not None
    assert best.number == 2


def test_a_grid_begins_no_more_trials_when_the_first_ones_all_failed(world: GridWorld) -> None:
    world.begin({**GRID, "give-up-after": 2})
    world.settle_down()
    for number in (1, 2, 3):
        world.train(world.grid().run_id(number), "failed")
        world.settle_down()
    world.go_on()
    assert (world.grid().is_open, world.grid().ended) == (False, {"failed": 3})
    assert world.grid().stop == "the first 2 trials to end all failed"


def test_the_lowest_is_the_best_where_the_goal_is_min(world: GridWorld) -> None:
    world.begin({**GRID, "goal": "min"})
    world.go_on()
    best = world.grid().best
    assert best is not None
    assert world.grid().parameters_of(best.number) == {"lr": "0.01", "seed": "3"}


def test_what_no_launch_can_get_over_ends_its_trial_alone(world: GridWorld) -> None:
    world.begin({"points": [{"lr": 1}, {"lr": 2}, {"lr": 3}], "max-parallel": 1})
    key = f"runs/default/{world.grid().grid_id}/source/trainer-script.sh"
    world.s3.delete_object(Bucket="parris-results", Key=key)
    world.deliver()
    world.deliver()
    assert "there is no file trainer-script.sh" in world.errors[0]
    world.s3.put_object(Bucket="parris-results", Key=key, Body=b"true")
    world.go_on()
    assert world.grid().ended == {"launch-failed": 1, "succeeded": 2}


def test_stopping_a_grid_ends_what_is_under_way_and_begins_nothing(world: GridWorld) -> None:
    grid_id = world.begin()["grid"]
    world.settle_down()
    first, second = world.standing()
    answer = world.launch(stop_grid_event("default", grid_id))
    assert (answer["stopping"], answer["under-way"]) == (True, 2)
    world.settle_down()
    assert {world.receipt(run)["stop"]["by"] for run in (first, second)} == {"make stop"}
    world.train(first, "stopped", **{"ended-by": "stop"})
    world.train(second, "stopped", **{"ended-by": "stop"})
    world.settle_down()
    grid = world.grid()
    assert (grid.is_open, grid.ended, grid.stop) == (False, {"stopped": 2}, "it was stopped")
    assert world.standing() == []


def test_stopping_a_grid_drops_what_waits(world: GridWorld) -> None:
    world.settings = {"max_concurrent_runs": 1}
    grid_id = world.begin()["grid"]
    world.settle_down()
    world.launch(stop_grid_event("default", grid_id))
    world.settle_down()
    world.train(world.standing()[0], "stopped", **{"ended-by": "stop"})
    world.settle_down()
    assert (world.grid().is_open, world.grid().ended) == (False, {"stopped": 1})
    assert not world.ledger.open_runs()[0]
    assert len(world.topic.heard("grid-ended")) == 1


def test_a_grid_that_nobody_knows_cannot_be_stopped(world: GridWorld) -> None:
    with pytest.raises(ParrisError, match="job default has no grid 20261124-110000-00000000"):
        world.launch(stop_grid_event("default", "20261124-110000-00000000"))
    with pytest.raises(InvalidEvent, match="is not the id of a grid"):
        world.launch(stop_grid_event("default", "all"))


def test_a_sweep_launches_what_was_lost(world: GridWorld) -> None:
    world.begin()
    world.refused.clear()  # the launch died before it asked for the first trials
    world.minutes = 10
    world.reap(10)
    assert len(world.sent) == 2
    world.sent.clear()  # and these are lost, too
    world.minutes = 20
    world.reap(20)
    assert len(world.sent) == 2
    world.go_on()
    assert world.grid().ended == {"succeeded": 6}


def test_a_schedule_may_skip_while_its_last_grid_goes_on(world: GridWorld) -> None:
    world.put(GRID_FILENAME, json.dumps(GRID))
    rule = {"rule": "schedule", "schedule": "n", "overlap": "skip"}
    first = world.launch({**rule, "event-id": "1", "time": "2026-11-24T10:00Z"})
    second = world.launch({**rule, "event-id": "2", "time": "2026-11-24T11:00Z"})
    assert second["held-back"] == State.SKIPPED
    assert second["reason"] == f"grid {first['grid']} is still going"
    world.reap(1)
    assert [one["reason"] for one in world.topic.heard("skipped")] == [second["reason"]]
    assert [run.state for run in world.ledger.open_runs()[0]] == []
    world.go_on()
    third = world.launch({**rule, "event-id": "3", "time": "2026-11-24T12:00Z"}, world.minutes)
    assert third["trials"] == 6


def test_a_click_that_stops_ends_the_grid_too(world: GridWorld) -> None:
    grid_id = world.begin()["grid"]
    world.settle_down()
    buttons = Buttons(actions={"LONG": {"action": "stop"}})
    world.settings = {"buttons": buttons}
    click = {"serialNumber": "G030", "clickType": "LONG", "traceid": "a"}
    answer = world.launch({**click, "timestamp": 1795521600000}, **world.settings)
    assert answer["stopping"] == [grid_id, *world.standing()]
    for run_id in world.standing():
        world.train(run_id, "stopped", **{"ended-by": "stop"})
    world.settle_down()
    assert (world.grid().is_open, world.grid().ended) == (False, {"stopped": 2})


@pytest.mark.parametrize("noted", [True, False])
def test_a_trial_that_came_and_went_before_anybody_noted_its_stack_is_over(
    world: GridWorld, monkeypatch: pytest.MonkeyPatch, *, noted: bool
) -> None:
    """Whether its outcome could be written or not, before its stack was deleted."""
    run_id, _ = _unnoted(world, monkeypatch)
    if noted:
        outcome = {"run-id": run_id, "state": "succeeded", "reason": "", "cost-usd": 0.01}
        key, body = f"runs/default/{run_id}/outcome.json", json.dumps(outcome).encode()
        world.s3.put_object(Bucket="parris-results", Key=key, Body=body)
    world.cloudformation.delete_stack(StackName=world.record(run_id).receipt["stack-name"])
    world.reap(10)
    assert world.grid().ended == {"succeeded": 1}
    assert world.record(run_id).state == "succeeded"
    assert not world.sent


def test_a_trial_that_came_and_went_unnoted_is_not_begun_again_by_its_event(
    world: GridWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It comes again when its claim is over, before a sweep has looked at what is left."""
    run_id, event = _unnoted(world, monkeypatch)
    world.cloudformation.delete_stack(StackName=world.record(run_id).receipt["stack-name"])
    world.sent, world.minutes = [event], 3
    world.deliver()
    assert world.stacks() == []
    world.reap(10)
    assert world.grid().ended == {"succeeded": 1}


def test_a_trial_that_came_and_went_unnoted_is_over_although_ec2_has_forgotten_its_machine(
    world: GridWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_id, _ = _unnoted(world, monkeypatch)
    world.cloudformation.delete_stack(StackName=world.record(run_id).receipt["stack-name"])
    ec2_backends["123456789012"]["us-east-1"].reservations.clear()
    world.reap(90)
    assert world.grid().ended == {"interrupted": 1}
    assert (world.record(run_id).outcome or {})["reason"] == "its machine is gone"
    assert not world.sent


def test_a_trial_that_began_after_a_sweep_had_listed_the_machines_is_over_as_its_own_says(
    world: GridWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_id, _ = _unnoted(world, monkeypatch)
    world.cloudformation.delete_stack(StackName=world.record(run_id).receipt["stack-name"])
    monkeypatch.setattr("parris.reap.sweep.list_machines", lambda *_: {})
    world.reap(10)
    assert world.grid().ended == {"succeeded": 1}


def test_what_another_machine_stores_in_a_trials_name_does_not_keep_it_from_beginning(
    world: GridWorld,
) -> None:
    world.settings = {"max_concurrent_runs": 1}
    world.begin({**GRID, "max-parallel": 3})
    world.settle_down()
    for run in world.ledger.newest(50)[0]:
        if run.state == State.QUEUED:
            key = f"runs/default/{run.run_id}/machines/AROAEXAMPLE:i-another/alive.json"
            world.s3.put_object(Bucket="parris-results", Key=key, Body=b"{}")
    world.go_on()
    assert world.grid().ended == {"succeeded": 6}


def _unnoted(world: GridWorld, monkeypatch: pytest.MonkeyPatch) -> tuple[str, Any]:
    """Let the launch of a grid's only trial die before it notes the stack, and the machine end.

    Returns:
        The trial's run id and event.
    """
    world.begin({**GRID, "parameters": {"lr": [0.1], "seed": [1]}})
    world.deliver()
    [event] = world.sent
    with monkeypatch.context() as patch:
        patch.setattr("parris.launch.commit.Commit._complete", _dies)
        with pytest.raises(KeyboardInterrupt):
            world.deliver()
    run_id = world.grid().run_id(1)
    world.end_machine(run_id)
    return run_id, event


def _dies(*_: Any) -> None:
    raise KeyboardInterrupt
