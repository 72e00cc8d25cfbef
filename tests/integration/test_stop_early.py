"""Trials of a grid that are worse than the others are stopped early, by sweeps, on moto."""

from __future__ import annotations

import contextlib
import json
import math
from collections.abc import Iterator, Mapping
from typing import Any

import pytest
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError
from moto import mock_aws

from parris.aws.histories import Histories
from parris.contract import read_stop
from parris.errors import ParrisError
from parris.events.router import stop_grid_event
from parris.reap.grids import GridReaper
from parris.runs.month import MICROS
from parris.runs.names import trial_run_id
from scripts.deployment import grids, show_grid
from tests.faults.injector import Call, Death, Injector
from tests.grid_world import GridWorld
from tests.reap_world import machine_event
from trainer.runtime.agent.history import History

EPOCHS = 40
"""One a minute."""
GRID = {
    **{"parameters": {"seed": "1..12"}, "max-parallel": 6},
    **{"metric": "accuracy", "goal": "max", "stop-early": "median"},
}
BAD = (3, 6, 9, 12)
BEST = 5


def accuracy(number: int, epoch: float) -> float:
    """Return what a trial reaches by an epoch: a third of them less than half of the others."""
    reaches = 0.2 + number / 1000 if number in BAD else 0.7 + (number * 7 % 12) / 100
    return reaches * (1 - math.exp(-epoch / 10))


class Training(GridWorld):
    """Trials that train an epoch a minute and tell of it, as the agent does; sweeps look."""

    def __init__(self, config: Any = None, **grid: Any) -> None:
        super().__init__(config)
        self.spec = {name: one for name, one in {**GRID, **grid}.items() if one is not None}
        self.begun: dict[str, float] = {}
        self.begin(self.spec)
        self.settle_down()

    def number(self, run_id: str) -> int:
        return int(self.receipt(run_id)["parameters"]["seed"])

    def run_id(self, number: int) -> str:
        return self.grid().run_id(number)

    def history(self, run_id: str, epochs: int) -> list[Any]:
        history, number = History(str(self.receipt(run_id).get("history"))), self.number(run_id)
        for epoch in range(1, epochs + 1):
            history.take({"epoch": epoch, "accuracy": accuracy(number, epoch)})
        return history.points()

    def truth(self, run_id: str, epochs: int) -> bytes:
        """Return what the machine of a run says after so many epochs."""
        history = self.history(run_id, epochs)
        return json.dumps({"metrics": {}, "over": False, "history": history}).encode()

    def train_on(self, minutes: int = 10) -> None:
        """Let trials train so long, and tell, or end if it is time."""
        for run_id in self.standing():
            self.begun.setdefault(run_id, self.minutes)
        self.minutes += minutes
        for run_id in self.standing():
            epochs = int(self.minutes - self.begun[run_id])
            if epochs < EPOCHS:
                self.store(run_id, "metrics.json", self.truth(run_id, epochs))
            else:
                self.end_trial(run_id, "succeeded", "the trainer exited with 0", "trainer")

    def obey(self) -> None:
        """Let those trials end that were asked to."""
        for run_id in self.standing():
            if run_id in self.begun and (stop := read_stop(self.receipt(run_id))):
                self.end_trial(run_id, "stopped", *stop)

    def end_trial(self, run_id: str, state: str, reason: str, ended_by: str) -> None:
        lasted = int(self.minutes - self.begun[run_id])
        hourly = float(self.receipt(run_id)["price"]["hourly-usd"])
        self.usd = hourly * lasted / 60
        self.score = lambda given: accuracy(int(given["seed"]), lasted)
        history = self.history(run_id, lasted)
        self.train(run_id, state, **{"reason": reason, "ended-by": ended_by, "history": history})

    def sweep(self) -> None:
        self.reap(self.minutes)
        self.settle_down()

    def go_on_to_the_end(self, minutes: int = 10) -> None:
        """Let sweeps come, so many minutes apart, until the grid is over."""
        for _ in range(50):
            self.train_on(minutes)
            self.settle_down()
            if not self.grid().is_open:
                return
            self.sweep()
            self.obey()
        raise AssertionError(self.grid())

    def asked(self) -> dict[int, Mapping[str, Any]]:
        """Return which trials that stand were asked to stop, by number, and how."""
        receipts = {self.number(run_id): self.receipt(run_id) for run_id in self.standing()}
        return {number: held["stop"] for number, held in receipts.items() if "stop" in held}


@pytest.fixture
def world() -> Iterator[Training]:
    """A grid whose first six trials have trained for ten minutes, before the sweep that looks."""
    with mock_aws():
        made = Training(Config(retries={"max_attempts": 0}))  # so that a lost answer is lost
        made.train_on()
        yield made


def test_the_bad_third_ends_early_the_best_is_the_same_and_dollars_are_saved(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with mock_aws():
        without = Training(**{"stop-early": None})
        without.go_on_to_the_end(20)
        whole = without.grid()
        assert [one["stop-early"] for one in without.topic.heard("grid-ended")] == [None]
    assert whole.ended == {"succeeded": 12}
    assert whole.best is not None
    with mock_aws():
        world = Training()
        world.go_on_to_the_end(20)
        grid = world.grid()
        runs = {number: world.record(world.run_id(number)) for number in range(1, 13)}
        key = f"runs/default/{runs[1].run_id}/outcome.json"
        stored = world.s3.get_object(Bucket="parris-results", Key=key)["Body"].read()
        monkeypatch.setattr(grids, "ledger_of", lambda _: world.ledger)
        deployment: Any = None  # the ledger is all that is asked for
        trials = grids.trials_of(deployment, grid)
        show_grid.show(deployment, grid, trials, 5)
        plain = grids.plain(grid, trials)
        [told] = world.topic.heard("grid-ended")
    assert grid.ended == {"succeeded": 8, "stopped": 4}
    assert grid.best is not None
    assert (grid.best.number, grid.best.value) == (BEST, whole.best.value)
    assert whole.best.number == BEST
    ends = {number: run.outcome or {} for number, run in runs.items()}
    assert {number for number, end in ends.items() if end["ended-by"] == "early"} == set(BAD)
    assert ends[3]["reason"] == (
        "stopped early: its best accuracy by step 20 is 0.175527, worse than 0.435804, the median "
        "of the running averages of 5 other trials there"
    )
    assert len(json.loads(stored)["history"]) == EPOCHS
    assert not any("history" in end for end in ends.values())
    assert (told["ended"], told["stop-early"]) == ({"succeeded": 8, "stopped": 4}, "median")

    saved = (whole.spent - grid.spent) / MICROS
    assert saved * MICROS == pytest.approx(whole.spent / 6, rel=0.01)  # 20 of 40 minutes, of four
    assert plain["stopped-early"] == {"trials": 4, "saved-usd": f"{saved:.4f}"}
    shown = capsys.readouterr().out
    assert f"  early   4 trials stopped: about ${saved:.4f} saved" in shown
    assert f"\ntrial 3 was {ends[3]['reason']}\n" in shown


@pytest.mark.parametrize(
    ("state", "ended_by", "rows", "status"),
    [
        ("stopped", "early", 9, 0),
        ("stopped", "stop", 9, 1),
        ("stopped", "idle", 9, 1),
        ("failed", "early", 9, 1),  # as only a machine that lies says
        ("stopped", "stop", 2, 1),
        ("stopped", "stop", 1, 0),  # of more trials than rows nobody reads who stopped one
    ],
)
def test_a_command_that_waits_ends_well_though_a_trial_was_stopped_early(
    monkeypatch: pytest.MonkeyPatch, state: str, ended_by: str, rows: int, status: int
) -> None:
    monkeypatch.setattr(show_grid, "MOST_ROWS", rows)
    with mock_aws():
        world = Training(**{"parameters": {"seed": "1..2"}})
        grid = world.grid()
        world.train(grid.run_id(1))
        world.train(grid.run_id(2), state, **{"ended-by": ended_by})
        monkeypatch.setattr(grids, "ledger_of", lambda _: world.ledger)
        answer = {"grid": grid.grid_id, "job": "default", "duplicate": True}
        deployment: Any = None
        ends_with = show_grid.send_off(deployment, answer, wait=True, as_json=False)
    assert bool(ends_with) == bool(status)


def test_trials_that_are_over_count_among_the_others() -> None:
    with mock_aws():
        world = Training(**{"max-parallel": 1, "parameters": {"seed": "1..6"}})
        world.go_on_to_the_end(20)
        grid = world.grid()
        ends = [(world.record(grid.run_id(n)).outcome or {})["ended-by"] for n in range(1, 7)]
    early = [number for number, end in enumerate(ends, 1) if end == "early"]
    assert early == [6]  # before it not five had come as far


def test_a_sweep_asks_by_the_receipt_as_make_stop_does_and_twice_is_once(
    world: Training,
) -> None:
    world.sweep()
    first = world.asked()
    assert {number: stop["by"] for number, stop in first.items()} == dict.fromkeys(
        (3, 6), "stop-early"
    )
    world.minutes += 1
    world.sweep()
    assert world.asked() == first  # who asked first stands


def test_a_trial_that_was_stopped_early_counts_once_however_often_its_end_is_told(
    world: Training,
) -> None:
    world.sweep()
    world.obey()
    for run_id in (world.run_id(3), world.run_id(6)):
        world.reap(world.minutes, machine_event(world.machine(run_id)))
    world.sweep()
    grid = world.grid()
    assert grid.ended == {"stopped": 2}
    assert not {3, 6} & grid.running.keys()
    assert set(Histories(world.table).read(grid)[0]) == {3, 6}
    why = (world.record(world.run_id(3)).outcome or {})["reason"]
    assert why.startswith("stopped early: its best accuracy by step 10 is 0.128")


def test_a_trial_is_over_though_its_history_could_not_be_kept(
    world: Training, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: Any) -> Any:
        raise ClientError({"Error": {"Code": "Throttled", "Message": "no"}}, "UpdateItem")

    world.sweep()
    with monkeypatch.context() as patch:
        patch.setattr(Histories, "keep", fail)
        with pytest.raises(ParrisError, match="Throttled"):
            world.obey()
    assert world.grid().ended == {"stopped": 1}
    assert world.record(world.run_id(3)).is_open
    world.minutes += 1
    world.sweep()
    assert world.grid().ended == {"stopped": 1}
    assert not world.record(world.run_id(3)).is_open


def test_a_machine_that_says_that_it_is_over_is_asked_nothing_and_counts(world: Training) -> None:
    said = json.loads(world.truth(world.run_id(3), 10))
    world.store(world.run_id(3), "metrics.json", json.dumps({**said, "over": True}).encode())
    world.sweep()
    assert set(world.asked()) == {6}


def test_a_grid_that_stops_nobody_early_compares_nobody() -> None:
    with mock_aws():
        world = Training(**{"stop-early": None})
        for number in range(1, 7):
            history = [[epoch, number, number, number] for epoch in range(1, 11)]
            said = json.dumps({"over": False, "metrics": {}, "history": history}).encode()
            world.store(world.run_id(number), "metrics.json", said)
        world.minutes += 10
        world.sweep()
        assert len(world.standing()) == 6
        assert not world.asked()


def test_a_grid_that_a_person_stops_is_left_to_that(world: Training) -> None:
    world.launch(stop_grid_event("default", world.grid().grid_id), world.minutes)
    world.sweep()
    assert {stop["by"] for stop in world.asked().values()} == {"make stop"}
    assert len(world.asked()) == 6


def test_a_grid_that_a_person_stops_is_left_to_that_though_nobody_was_asked_yet(
    world: Training, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: Any) -> Any:
        raise ClientError({"Error": {"Code": "Throttled", "Message": "no"}}, "GetItem")

    with monkeypatch.context() as patch:
        patch.setattr(GridReaper, "look", fail)
        with contextlib.suppress(ClientError):
            world.launch(stop_grid_event("default", world.grid().grid_id), world.minutes)
        with pytest.raises(ParrisError, match="Throttled"):
            world.reap(world.minutes)
    assert world.grid().by_hand
    assert not world.asked()
    world.sweep()
    assert {stop["by"] for stop in world.asked().values()} == {"make stop"}


NO_METRICS = [
    *(b"[" * 60_000, b" " * 70_000 + b"{}", b'{"over": false}'),
    b'{"over": false, "history": [[3, 9, 9, 9], [1, 9, 9, 9]]}',
]


@pytest.mark.parametrize("body", NO_METRICS, ids=lambda body: body[:30].strip().decode())
def test_a_machine_that_tells_nothing_sound_is_not_compared_and_holds_nobody_up(
    world: Training, body: bytes
) -> None:
    liar = world.run_id(6)
    world.store(liar, "metrics.json", body)
    world.sweep()
    assert not world.asked()  # each of the five others has only four to be compared with
    world.store(liar, "metrics.json", world.truth(liar, 10))
    world.sweep()
    assert set(world.asked()) == {3, 6}


@pytest.mark.parametrize("value", [1e308, -1e308])
def test_a_machine_that_lies_ends_no_trial_of_the_better_ones(
    world: Training, value: float
) -> None:
    history = [[epoch, value, value, value] for epoch in range(1, 40)]
    said = json.dumps({"over": False, "metrics": {}, "history": history}).encode()
    world.store(world.run_id(1), "metrics.json", said)
    world.sweep()
    assert set(world.asked()) - {1} <= set(BAD)


def test_what_another_run_tells_is_not_of_the_grid(world: Training) -> None:
    mine = [world.run_id(number) for number in range(1, 7)]
    other = world.begin(grid=False, **{"event-id": "other"})["run-id"]
    second = world.begin({**GRID, "max-parallel": 3}, **{"event-id": "second"})["grid"]
    world.settle_down()
    trials = [trial_run_id(second, number) for number in (1, 2, 3)]
    history = [[epoch, 0, 0, 0] for epoch in range(1, 40)]
    said = json.dumps({"over": False, "metrics": {}, "history": history}).encode()
    for run_id in (other, *trials):
        world.store(run_id, "metrics.json", said)
    world.sweep()
    assert not any("stop" in world.receipt(run_id) for run_id in (other, *trials))
    assert "history" not in world.receipt(other)
    assert world.receipt(trials[0])["history"] == "accuracy"
    stops = [world.receipt(run_id).get("stop", {}) for run_id in mine]
    assert [number for number, stop in enumerate(stops, 1) if stop] == [3, 6]
    assert stops[2]["reason"] == (
        "its best accuracy by step 10 is 0.12832, worse than 0.29523, the median of the running "
        "averages of 5 other trials there"
    )


@pytest.mark.parametrize("what", ["Results.read_progress", "Histories.read"])
def test_an_overdue_stack_goes_whatever_cannot_be_read(
    world: Training, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    def fail(*_: Any) -> Any:
        raise ClientError({"Error": {"Code": "AccessDenied", "Message": "no"}}, "GetObject")

    place = {"Results": "parris.aws.results", "Histories": "parris.aws.histories"}
    monkeypatch.setattr(f"{place[what.split('.')[0]]}.{what}", fail)
    with pytest.raises(ParrisError, match="AccessDenied"):
        world.reap(world.minutes)
    assert len(world.standing()) == 6
    assert not world.asked()
    world.minutes = 66  # an hour, and five minutes that a run may be overdue
    with contextlib.suppress(ParrisError):
        world.reap(world.minutes)
    assert not set(world.standing()) & {world.run_id(number) for number in range(1, 7)}


FAULTS = [
    *(("s3.GetObject", number, kind) for number, kind in ((2, "refused"), (7, "timed-out"))),
    *(("s3.PutObject", 1, kind) for kind in ("refused", "lost")),
    *(("s3.PutObject", number, kind) for number, kind in ((1, "dies-before"), (1, "dies-after"))),
]


@pytest.mark.parametrize(("operation", "number", "kind"), FAULTS)
def test_a_fault_in_a_sweep_is_made_good_by_the_next_one(
    world: Training, operation: str, number: int, kind: str
) -> None:
    injector = Injector(world.clients, Call(operation, number), kind)
    with (
        injector.at_work(),
        contextlib.suppress(Death, ParrisError, ClientError, BotoCoreError),
    ):
        world.reap(world.minutes)
    assert injector.injected
    asked = set(world.asked())
    assert asked <= {3, 6}
    if kind == "refused" and operation == "s3.PutObject":
        assert len(asked) == 1  # the other one
    world.minutes += 1
    world.sweep()
    assert set(world.asked()) == {3, 6}


def test_an_item_that_nobody_can_read_is_left_out(world: Training) -> None:
    histories, grid = Histories(world.table), world.grid()
    world.table.put_new(f"histories#{grid.name}", "007", {"trial": 7, "history": "[["})
    world.table.put_new(f"histories#{grid.name}", "008", {"trial": 8, "history": "[]"})
    found, problems = histories.read(grid)
    assert (found, len(problems)) == ({}, 2)
    world.sweep()
    assert set(world.asked()) == {3, 6}
