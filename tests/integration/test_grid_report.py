"""What `make report GRID=` puts into its page."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from moto import mock_aws

from scripts.cli.console import Refused
from scripts.commands import report
from scripts.report import grid as grid_report
from tests.grid_world import GRID, GridWorld
from tests.plans import NOW
from tests.report_page import written

GRID_ID = "20261124-110000-d19145cd"
"""Of the event that the world begins a grid with."""


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> Iterator[GridWorld]:
    monkeypatch.setenv("LOCAL", "")
    with mock_aws():
        world = GridWorld()
        world.ledger.note_adoption("", NOW)
        deployment = world.deployment
        monkeypatch.setattr(report, "read_deployment", lambda: deployment)
        yield world


def test_the_page_has_the_grid_and_its_trials_the_best_first(
    world: GridWorld, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    world.begin({**GRID, "cost-limit": 5})
    world.settle_down()
    world.train(world.grid().run_id(1), "failed", reason="it has no more memory")
    world.go_on()
    data = written(tmp_path, "--grid", "last")
    head, rows = data["grid"], data["runs"]
    assert [row["trial"] for row in rows] == [2, 3, 4, 5, 6, 1]  # the failed one is never best
    assert rows[0]["parameters"] == {"lr": "0.1", "seed": "2", "note": "none"}
    assert rows[0]["metrics"]["accuracy"] == pytest.approx(0.8)
    assert {row["grid"] for row in rows} == {GRID_ID}
    assert (rows[-1]["state"], rows[-1]["why"]) == ("failed", "it has no more memory")
    assert f"make results RUN={rows[0]['id']}" in rows[0]["next"]
    known = {"id": GRID_ID, "job": "default", "metric": "accuracy", "goal": "max", "trials": 6}
    known |= {"ended": {"failed": 1, "succeeded": 5}, "underWay": 0, "waiting": 0, "notBegun": 0}
    known |= {"usd": 0.06, "reserved": 0, "limit": 5, "open": False, "parameters": ["lr", "seed"]}
    assert {key: value for key, value in head.items() if key in known} == known
    best = world.grid().run_id(2)
    again = {"command": f"make rerun RUN={best}", "does": "runs the best one again"}
    chosen = {"lr": "0.1", "seed": "2"}
    assert head["best"]["value"] == pytest.approx(0.8)
    assert head["best"] | {"value": 0} == {
        **{"id": best, "trial": 2, "value": 0, "parameters": chosen, "again": [again]}
    }
    assert "The highest accuracy is the best." in data["about"]
    said = capsys.readouterr().out
    assert f"report.html: grid {GRID_ID}, 6 trials, " in said
    assert f"make rerun RUN={best} runs the best one again" in said


def test_what_goes_on_waits_and_has_not_begun_is_counted(world: GridWorld, tmp_path: Path) -> None:
    world.settings = {"max_concurrent_runs": 1}
    world.begin({**GRID, "max-parallel": 3, "goal": "min"})
    world.settle_down()
    data = written(tmp_path, "--grid", GRID_ID[:15])
    head = data["grid"]
    assert (head["underWay"], head["waiting"], head["notBegun"]) == (3, 2, 3)
    assert (head["open"], head["best"], head["ended"]) == (True, None, {})
    assert sorted(row["state"] for row in data["runs"]) == ["queued", "queued", "running"]
    assert "The lowest accuracy is the best." in data["about"]


def test_a_grid_without_a_metric_has_no_best_and_says_so(world: GridWorld, tmp_path: Path) -> None:
    world.begin({"points": [{"seed": 1}, {"seed": 2, "LR": 3}]})
    world.go_on()
    data = written(tmp_path, "--grid", GRID_ID)
    assert (data["grid"]["metric"], data["grid"]["goal"], data["grid"]["best"]) == (None,) * 3
    assert data["grid"]["parameters"] == ["seed", "lr"]  # as the job spells it
    assert [row["parameters"]["lr"] for row in data["runs"]] == ["0.5", "3"]
    assert "The grid names no metric" in data["notes"][0]


def test_the_time_is_from_the_beginning_to_the_last_end(world: GridWorld, tmp_path: Path) -> None:
    world.begin()
    world.settle_down()
    world.train(world.grid().run_id(1), finished="2026-11-24T12:30:00Z")
    world.train(world.grid().run_id(2), finished="2026-11-24T12:20:00Z")
    assert written(tmp_path, "--grid", "last")["grid"]["seconds"] > 3600  # it goes on
    world.go_on()
    assert world.grid().began == NOW
    assert written(tmp_path, "--grid", "last")["grid"]["seconds"] == 1_800


def test_only_so_many_of_the_best_are_in_it_if_that_is_asked_for(
    world: GridWorld, tmp_path: Path
) -> None:
    world.begin()
    world.go_on()
    data = written(tmp_path, "--grid", "last", "--count", "2")
    assert [row["trial"] for row in data["runs"]] == [1, 2]
    assert data["notes"] == ["The best 2 of 6 trials are in it: COUNT= says so."]
    assert data["grid"]["ended"] == {"succeeded": 6}


def test_trials_on_a_page_of_runs_name_their_grid(world: GridWorld, tmp_path: Path) -> None:
    world.begin()
    world.go_on()
    data = written(tmp_path)
    assert "grid" not in data
    assert {(row["grid"], row["trial"]) for row in data["runs"]} == {
        (GRID_ID, number) for number in range(1, 7)
    }


def test_a_grid_that_is_not_there_is_one_clear_error(world: GridWorld, tmp_path: Path) -> None:
    path = ["--output", str(tmp_path / "report.html")]
    with pytest.raises(Refused, match=r"^there is no grid yet; make grid starts one$"):
        report.main([*path, "--grid", "last"])
    world.begin()
    with pytest.raises(Refused, match=f"^there is no grid 1999; the newest are {GRID_ID}$"):
        report.main([*path, "--grid", "1999"])
    with pytest.raises(Refused, match=r"^there is no grid yet of job other; make grid starts one$"):
        report.main([*path, "other", "--grid", "last"])
    with pytest.raises(Refused, match=f"grid {GRID_ID} has no trial to show yet; make status"):
        report.main([*path, "--grid", "last"])
    with pytest.raises(Refused, match="GRID= reports the trials of one grid: leave RUNS out"):
        report.main([*path, "--grid", "last", "--runs", "2026"])
    assert list(tmp_path.iterdir()) == []


def test_a_grid_with_more_trials_than_a_page_may_have_is_refused(
    world: GridWorld, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.begin()
    world.go_on()
    monkeypatch.setattr(grid_report, "MAX_COUNT", 6)
    assert len(written(tmp_path, "--grid", "last")["runs"]) == 6
    monkeypatch.setattr(grid_report, "MAX_COUNT", 5)
    with pytest.raises(Refused, match=r"6 trials of grid .* a report has 5 at most; make status"):
        written(tmp_path, "--grid", "last")
