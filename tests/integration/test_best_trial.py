"""What `make status GRID=` says of the best trial, and that the commands do what it says."""

from __future__ import annotations

import json
import os
import shlex
from collections.abc import Iterator
from typing import Any

import pytest
from moto import mock_aws

from parris.jobs.points import read_stored
from scripts.cli.from_make import translate
from scripts.cli.verbs import VERBS
from scripts.commands import rerun, status
from scripts.deployment.best_trial import alike_in_all
from tests.grid_world import CONFIG, GRID, GridWorld
from tests.plans import NOW


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> Iterator[GridWorld]:
    monkeypatch.setenv("LOCAL", "")
    with mock_aws():
        world = GridWorld()
        world.ledger.note_adoption("", NOW)
        world.configure()
        deployment = world.deployment
        for verb in (rerun, status):
            monkeypatch.setattr(verb, "read_deployment", lambda: deployment)
        yield world


def commands(said: str) -> list[str]:
    """Return the commands that lines begin with, without what is said of them."""
    lines = [line for line in said.splitlines() if line.startswith("make rerun")]
    return [line.partition(" runs ")[0].partition(" does ")[0] for line in lines]


def type_it(command: str) -> int:
    """Do what a shell and make do with a command of make's."""
    make, verb, *given = shlex.split(command)
    assert (make, verb) == ("make", "rerun")
    variables = dict(word.split("=", 1) for word in given)
    return rerun.main(translate(VERBS["rerun"], {**os.environ, **variables}))


def test_the_command_that_status_prints_repeats_the_best_trial_outside_its_grid(
    world: GridWorld, capsys: pytest.CaptureFixture[str]
) -> None:
    world.begin()
    world.go_on()
    assert status.main(["--grid", "last"]) == 0
    said = capsys.readouterr().out
    best = world.grid().run_id(1)
    assert f"  best    accuracy=0.9: run {best}, lr=0.1 seed=1\n" in said
    assert f"make report GRID={world.grid().grid_id} has them side by side" in said
    assert commands(said) == [f"make rerun RUN={best}"]
    assert type_it(commands(said)[0]) == 0
    [run_id] = world.standing()
    receipt = world.receipt(run_id)
    assert receipt["rerun-of"] == best
    assert receipt["parameters"] == {"lr": "0.1", "seed": "1", "note": "none"}
    assert receipt["trigger"]["kind"] == "direct"


@pytest.mark.parametrize(
    ("own", "event", "given"),
    [
        (20, {"parameters": {"epochs": 3}}, {}),
        (20, {}, {"epochs": [3]}),
        ("a 'b' \\ \"$c\"", {}, {"EPOCHS": ["3"]}),
        ("", {}, {"epochs": ["3"]}),
    ],
)
def test_a_second_command_repeats_it_at_the_length_that_the_job_has_itself(
    world: GridWorld, capsys: pytest.CaptureFixture[str], own: Any, event: Any, given: Any
) -> None:
    world.configure(parameters={"lr": 0.5, "seed": 0, "note": "none", "epochs": own})
    world.begin({**GRID, "parameters": {"lr": [0.1, 0.01], "seed": "1..3", **given}}, **event)
    world.put("training-config.json", json.dumps(CONFIG))  # what is uploaded since does not count
    world.go_on()
    assert status.main(["--grid", "last"]) == 0
    said = capsys.readouterr().out
    as_it_was, longer = commands(said)
    name = next(iter({**given, **event.get("parameters", {})}))
    assert f" does so with the job's own {name}={own}; all trials had {name}=3\n" in said
    assert longer.startswith(f"{as_it_was} PARAMETERS='{name}=")
    assert type_it(longer) == 0
    [run_id] = world.standing()
    assert world.receipt(run_id)["parameters"] == {
        **{"lr": "0.1", "seed": "1", "note": "none", "epochs": str(own)}
    }


def test_on_the_embedded_cloud_the_commands_say_so(
    world: GridWorld, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    world.begin(parameters={"note": "it's one"})
    world.go_on()
    status.main(["--grid", "last"])  # makes its clients, which LOCAL=1 lets call this machine only
    capsys.readouterr()
    monkeypatch.setenv("LOCAL", "1")
    status.main(["--grid", "last"])
    best = f"make rerun RUN={world.grid().run_id(1)} LOCAL=1"
    assert commands(capsys.readouterr().out) == [best, f"{best} PARAMETERS='note=none'"]


@pytest.mark.parametrize("body", [None, "{", '{"schema-of-tomorrow": 1}'])
def test_without_the_jobs_own_configuration_only_the_first_command_is_given(
    world: GridWorld, capsys: pytest.CaptureFixture[str], body: str | None
) -> None:
    world.begin(parameters={"note": "short"})
    world.go_on()
    key = f"runs/default/{world.grid().grid_id}/source/training-config.json"
    if body is None:
        world.s3.delete_object(Bucket="parris-results", Key=key)
    else:
        world.s3.put_object(Bucket="parris-results", Key=key, Body=body.encode())
    assert status.main(["--grid", "last"]) == 0
    assert commands(capsys.readouterr().out) == [f"make rerun RUN={world.grid().run_id(1)}"]


def stored(**more: Any) -> Any:
    limits = {"random": None, "max-parallel": 4, "give-up-after": 10, "cost-limit": None}
    return read_stored({**limits, "metric": "", "goal": "max", **more})


@pytest.mark.parametrize(
    ("grid", "common", "alike"),
    [
        (stored(axes={"lr": ["1", "2"], "epochs": "3..3"}), {"n": "1"}, {"n": "1", "epochs": "3"}),
        (stored(points=[{"lr": "1", "n": "2"}, {"lr": "2", "n": "2"}]), {}, {"n": "2"}),
        (stored(points=[{"lr": "1", "n": "2"}, {"lr": "2"}]), {}, {}),
        (stored(axes={"lr": ["1"]}), {"n": "1"}, {"n": "1"}),  # a single trial
    ],
)
def test_what_all_trials_have_alike(grid: Any, common: Any, alike: Any) -> None:
    assert alike_in_all(grid, common) == alike


def test_a_trial_is_shown_with_its_values_however_the_grid_spells_them(
    world: GridWorld, capsys: pytest.CaptureFixture[str]
) -> None:
    world.configure(parameters={"l-r": 1, "seed": 0})
    world.score = lambda parameters: float(parameters["l-r"])
    world.begin({"parameters": {"L_R": [1, 2]}, "metric": "accuracy"})
    world.go_on()
    status.main(["--grid", "last"])
    rows = [line for line in capsys.readouterr().out.splitlines() if "  20261124-" in line]
    assert [row.split()[-1] for row in rows] == ["L_R=2", "L_R=1"]
