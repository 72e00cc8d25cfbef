"""The search of docs/examples/optuna with both functions on moto, stopped wherever it may be."""

from __future__ import annotations

import io
import json
import runpy
import shutil
import sys
from collections import Counter
from collections.abc import Callable, Container, Iterator
from itertools import count
from pathlib import Path
from typing import Any

import boto3
import optuna
import pytest
from moto import mock_aws

from docs.examples.optuna import study
from parris.errors import LaunchUnclear, ParrisError
from parris.runs.plan import event_digest
from tests.grid_world import GridWorld
from tests.plans import NOW, read_request

OUTPUTS = {
    "account_id": "123456789012",
    "region": "us-east-1",
    "launch_function": "parris-launch",
    "results_bucket": "parris-results",
}


def choose(trial: optuna.Trial) -> None:
    trial.suggest_float("lr", 0.001, 1, log=True)
    trial.suggest_int("seed", 1, 9)


class Searched(GridWorld):
    """One deployment whose launch function a search invokes; a minute goes by with each pause."""

    def __init__(self, folder: Path) -> None:
        super().__init__(**{"several-at-once": True})
        self.file, self.outputs = folder / "study.db", folder / "outputs.json"
        self.outputs.write_text(json.dumps({name: {"value": OUTPUTS[name]} for name in OUTPUTS}))
        self.states: list[str] = []
        """How the next runs end; all others succeed."""
        self.under_way: list[int] = []
        """How many runs there were at each pause."""
        self.pauses: list[float] = []
        self.tick: Callable[[], None] = lambda: None
        """Called before and after all that a search does."""
        self.launched: Callable[[dict[str, Any]], Any] = lambda event: self.launch(
            event, self.minutes, **self.settings
        )

    def invoke(self, **call: Any) -> Any:
        """Lambda's Invoke, as a search waits for its answer; else as the functions call it."""
        if "InvocationType" in call:
            return super().invoke(**call)
        assert call["FunctionName"] == "parris-launch"
        try:
            result, answer = {}, self.launched(json.loads(call["Payload"]))
        except ParrisError as error:
            result = {"FunctionError": "Unhandled"}
            answer = {"errorType": type(error).__name__, "errorMessage": str(error)}
        return {**result, "Payload": io.BytesIO(json.dumps(answer).encode())}

    def pause(self, seconds: float) -> None:
        self.tick()
        self.minutes += 1
        self.pauses.append(seconds)
        self.under_way.append(len(self.standing()))
        for run_id in self.standing()[:1]:
            self.train(run_id, self.states.pop(0) if self.states else "succeeded")

    def search(self, *options: str) -> int:
        files = ("--study", str(self.file), "--outputs", str(self.outputs))
        return study.main([*files, *options], self.pause)

    def kept(self) -> optuna.Study:
        return optuna.load_study(study_name=None, storage=f"sqlite:///{self.file}")

    def runs(self) -> dict[str, dict[str, str]]:
        """Return the parameters of each run that there has been."""
        found = self.ledger.newest(999)[0]
        return {run.run_id: dict(run.receipt["parameters"]) for run in found if run.stack_id}

    def assert_each_trial_had_one_run(self, before: Container[str] = ()) -> None:
        """Each run but those `before` was that of one trial, with its parameters."""
        runs, kept = self.runs(), self.kept().user_attrs
        assert sorted(run_id for run_id in runs if run_id not in before) == sorted(kept.values())
        for number, run_id in kept.items():
            held = {name: json.loads(runs[run_id][name]) for name in ("lr", "seed")}
            assert held == self.kept().trials[int(number)].params


@pytest.fixture
def world(
    tmp_path: Path,
    credentials: None,  # noqa: ARG001 - only that they are there
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Searched]:
    monkeypatch.setattr(study, "JOB", "default")
    monkeypatch.setattr(study, "METRIC", "accuracy")
    with mock_aws():
        made, client = Searched(tmp_path), boto3.client
        known: Any = {"lambda": made}
        monkeypatch.setattr(study, "choose", around(made, choose))
        monkeypatch.setattr(
            boto3, "client", lambda name, **more: known.get(name) or client(name, **more)
        )
        yield made


def around(world: Searched, call: Callable[..., Any]) -> Callable[..., Any]:
    """Return `call` with a tick before it and another one after it."""

    def ticking(*arguments: Any, **more: Any) -> Any:
        world.tick()
        result = call(*arguments, **more)
        world.tick()
        return result

    return ticking


def test_each_trial_is_one_run_and_the_best_is_named(
    world: Searched, capsys: pytest.CaptureFixture[str]
) -> None:
    assert world.search("--trials", "4", "--parallel", "2") == 0
    world.assert_each_trial_had_one_run()
    assert max(world.under_way) == 2
    values = {run_id: world.score(parameters) for run_id, parameters in world.runs().items()}
    assert len(values) == 4
    best = max(values, key=lambda run_id: values[run_id])
    said = capsys.readouterr().out
    assert f"accuracy={values[best]}, lr=" in said.splitlines()[-2]
    assert said.splitlines()[-1] == f"make rerun RUN={best} runs it again"
    assert sum(", $0.0100" in line for line in said.splitlines()) == 4


def test_wherever_it_is_stopped_the_next_start_goes_on_and_nothing_is_launched_twice(
    world: Searched, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("ask", "tell", "set_user_attr"):
        monkeypatch.setattr(optuna.Study, name, around(world, getattr(optuna.Study, name)))
    whole = optuna.Trial.set_user_attr
    monkeypatch.setattr(optuna.Trial, "set_user_attr", around(world, whole))
    suggest = optuna.Trial.suggest_int  # after the first of two parameters
    monkeypatch.setattr(optuna.Trial, "suggest_int", around(world, suggest))
    monkeypatch.setattr(world, "launched", around(world, world.launched))

    empty = world.file.with_name("empty.db")
    optuna.storages.RDBStorage(f"sqlite:///{empty}")  # to make its tables takes a while
    for stop in count(1):
        ticks, before = count(1), set(world.runs())
        world.file = Path(shutil.copy(empty, world.file.with_name(f"{stop}.db")))

        def tick(ticks: Iterator[int] = ticks, stop: int = stop) -> None:
            if next(ticks) == stop:
                raise KeyboardInterrupt

        world.tick = tick
        status = world.search("--trials", "1")
        assert status in (0, 130)
        if status == 0:  # it made fewer steps
            break
        assert "the same command finds them again" in capsys.readouterr().err
        world.tick = lambda: None
        assert world.search("--trials", "1") == 0
        states = [trial.state.name for trial in world.kept().trials]
        assert states in (["COMPLETE"], ["FAIL", "COMPLETE"])  # the one before was not whole
        world.assert_each_trial_had_one_run(before)
    assert stop > 15


def test_a_run_that_fails_has_no_value_and_counts_as_a_run(
    world: Searched, capsys: pytest.CaptureFixture[str]
) -> None:
    world.states = ["failed", "succeeded", "timed-out"]
    assert world.search("--trials", "4") == 0
    world.assert_each_trial_had_one_run()
    assert len(world.runs()) == 4
    states = [trial.state.name for trial in world.kept().trials]
    assert states == ["FAIL", "COMPLETE", "FAIL", "COMPLETE"]
    assert ", $0.0100, failed: ''" in capsys.readouterr().out


@pytest.mark.parametrize("value", ["nan", "good", None])
def test_a_run_that_succeeds_without_a_number_has_no_value(
    world: Searched,
    value: str | None,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    told: Any = value
    world.score = lambda _: told
    metric = "loss" if value is None else "accuracy"  # which no run tells
    monkeypatch.setattr(study, "METRIC", metric)
    with pytest.raises(SystemExit, match=f"^error: no run of job default told {metric}$"):
        world.search("--trials", "1")
    assert [trial.state.name for trial in world.kept().trials] == ["FAIL"]
    assert f"trial 0: {metric}={value!r}, $0.0100, succeeded: ''" in capsys.readouterr().out


def test_five_runs_in_a_row_that_fail_end_the_search_and_the_next_start_goes_on(
    world: Searched,
) -> None:
    world.states = ["failed"] * 5
    with pytest.raises(SystemExit, match=r"^error: 5 runs in a row came to nothing"):
        world.search("--trials", "6")
    assert len(world.runs()) == 5
    assert world.search("--trials", "6") == 0
    assert len(world.runs()) == 6
    world.assert_each_trial_had_one_run()


def test_a_trial_that_finds_no_room_waits_for_it(
    world: Searched, capsys: pytest.CaptureFixture[str]
) -> None:
    world.settings = {"max_concurrent_runs": 1}
    assert world.search("--trials", "3", "--parallel", "2") == 0
    world.assert_each_trial_had_one_run()
    assert len(world.runs()) == 3
    assert max(world.under_way) == 1
    said = capsys.readouterr().out
    assert "trial 1 is not launched: 1 runs are under way, and max_concurrent_runs allows 1" in said
    assert said.count("trial 1 is not launched") == 1
    assert study.RETRY_SECONDS in world.pauses
    assert world.pauses[-1] == study.LOOK_SECONDS


def test_while_one_waits_for_room_no_other_is_launched_and_the_one_once_a_minute(
    world: Searched,
) -> None:
    launched, asked = world.launched, Counter[int]()

    def count(event: dict[str, Any]) -> Any:
        asked[len(world.pauses)] += 1
        return launched(event)

    world.settings, world.launched = {"max_concurrent_runs": 1}, count
    assert world.search("--trials", "6", "--parallel", "6") == 0
    world.assert_each_trial_had_one_run()
    assert max(asked.values()) == 2  # the one that has room, and the next one, which waits


def test_a_parameter_that_is_of_another_kind_than_before_needs_another_file(
    world: Searched, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert world.search("--trials", "1") == 0
    with monkeypatch.context() as patch:
        patch.setattr(study, "choose", lambda trial: trial.suggest_categorical("lr", [0.1, 0.2]))
        with pytest.raises(
            SystemExit, match=r"^error: choose\(\).* another file, as --study two\.db"
        ):
            world.search("--trials", "2")
    assert world.search("--trials", "2") == 0
    assert len(world.runs()) == 2


@pytest.mark.parametrize("option", ["--trials", "--parallel"])
@pytest.mark.parametrize("number", ["0", "-1", "x", "1.5"])
def test_a_count_is_a_whole_number_from_one(
    world: Searched, option: str, number: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as caught:
        world.search(option, number)
    assert caught.value.code == 2
    assert f"argument {option}: invalid count value: '{number}'" in capsys.readouterr().err


def test_what_is_refused_for_good_ends_the_search_until_it_is_mended(
    world: Searched, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(study, "choose", lambda trial: trial.suggest_float("rate", 0, 1))
        with pytest.raises(
            SystemExit, match=r"^error: trial 0 is not launched: .*rate is not a pa"
        ):
            world.search("--trials", "2", "--parallel", "2")
    assert world.runs() == {}
    assert world.search("--trials", "2", "--parallel", "2") == 0
    assert len(world.runs()) == 2
    world.assert_each_trial_had_one_run()


def test_a_launch_whose_answer_is_unclear_is_asked_for_again_and_found(world: Searched) -> None:
    launch, answers = world.launched, count()

    def unclear(event: dict[str, Any]) -> Any:
        answer = launch(event)
        if next(answers) == 0:
            raise LaunchUnclear("AWS gave no answer")
        return answer

    world.launched = unclear
    assert world.search("--trials", "2") == 0
    assert len(world.runs()) == 2
    world.assert_each_trial_had_one_run()


def test_a_launch_that_died_is_made_once_its_claim_is_over(world: Searched) -> None:
    launch, events = world.launched, list[dict[str, Any]]()

    def dying(event: dict[str, Any]) -> Any:
        if not events:  # claimed by another launch, which has died
            claimed = read_request(event, "request-1")
            run_id = f"{NOW:%Y%m%d-%H%M%S}-0000dead"
            world.ledger.name_event("default", event_digest(claimed), run_id)
            world.ledger.claim("default", run_id, "a nonce", NOW)
        events.append(event)
        return launch(event)

    world.launched = dying
    assert world.search("--trials", "1") == 0
    assert [run_id[-8:] for run_id in world.runs()] == ["0000dead"]
    assert len(events) > 2
    world.assert_each_trial_had_one_run()


def test_another_goal_or_deployment_is_another_study_in_the_same_file(
    world: Searched, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert world.search("--trials", "1") == 0
    monkeypatch.setattr(study, "GOAL", "minimize")
    assert world.search("--trials", "1") == 0
    names = optuna.get_all_study_names(f"sqlite:///{world.file}")
    where = "123456789012 us-east-1 parris-launch parris-results"
    assert names == [f"{goal} accuracy of default at {where}" for goal in ("maximize", "minimize")]
    assert len(world.runs()) == 2


@pytest.mark.parametrize(
    ("outputs", "said"),
    [
        (None, r"FileNotFoundError.*terraform output -json >.*outputs\.json makes it$"),
        ("{}", "KeyError"),  # terraform's word where nothing is deployed
        ("[1]", "TypeError"),
        ("No outputs", "JSONDecodeError"),
    ],
)
def test_outputs_that_name_no_deployment_are_refused_in_words(
    world: Searched, outputs: str | None, said: str
) -> None:
    world.outputs.unlink() if outputs is None else world.outputs.write_text(outputs)
    with pytest.raises(SystemExit, match=f"outputs.json does not say where Parris is .*{said}"):
        world.search()
    assert not world.file.exists()


def test_what_aws_or_the_file_refuse_is_said_in_words(world: Searched) -> None:
    world.outputs.write_text(world.outputs.read_text().replace("parris-results", "nowhere"))
    with pytest.raises(SystemExit, match=r"^error: .*NoSuchBucket.*the same command finds them"):
        world.search("--trials", "1")
    world.file = world.file.parent / "no such folder" / "study.db"
    with pytest.raises(SystemExit, match=r"^error: .*unable to open database file"):
        world.search()


@pytest.mark.parametrize("package", ["optuna", "boto3"])
def test_a_package_that_is_missing_is_named(package: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(SystemExit, match=f"^error: {package} is not installed; requirements.txt"):
        runpy.run_path(str(study.__file__))
