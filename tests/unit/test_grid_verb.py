"""What `parris grid` makes of its options."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from scripts.cli.arguments import parse
from scripts.cli.console import Refused
from scripts.commands import grid


def wanted(*arguments: str) -> Any:
    return grid._wanted(parse("grid", list(arguments)))


def test_parameters_with_their_values_are_a_grid() -> None:
    said = wanted(
        *("x", "-p", "lr=0.1,0.01", "-p", "seed=1..5", "--random", "7", "--max-parallel", "8"),
        "--give-up-after=3",
        *("--cost-limit", "2.50", "--best=-loss"),
    )
    assert said == {
        "parameters": {"lr": ["0.1", "0.01"], "seed": "1..5"},
        "give-up-after": 3,
        **{"random": 7, "max-parallel": 8, "cost-limit": 2.5, "metric": "loss", "goal": "min"},
    }
    assert grid._read(said, "test").count == 7


def test_without_any_the_grid_is_the_jobs_own() -> None:
    assert wanted("x") is True


def test_a_file_is_changed_by_what_is_said_beside_it(tmp_path: Path) -> None:
    file = tmp_path / "grid.json"
    file.write_text(json.dumps({"points": [{"lr": 1}], "max-parallel": 2}))
    assert wanted(f"--file={file}", "--max-parallel=3")["max-parallel"] == 3
    assert wanted(f"--file={file}", "-p", "lr=1,2")["parameters"] == {"lr": ["1", "2"]}


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ("{", "not JSON"),
        ("[" * 100_000, "not JSON"),
        ('{"random": 2, "random": 3}', "random"),
        ('{"points": []}', "points: [] is not a list"),
        (None, "No such file"),
    ],
)
def test_a_file_that_is_none_is_refused(tmp_path: Path, body: str | None, said: str) -> None:
    file = tmp_path / "grid.json"
    if body is not None:
        file.write_text(body)
    with pytest.raises(Refused) as caught:
        wanted(f"--file={file}")
    assert said in str(caught.value)


def test_limits_alone_are_no_grid() -> None:
    with pytest.raises(Refused, match="which parameters"):
        wanted("--max-parallel=3")


def test_trials_may_be_stopped_early_by_the_metric_of_the_best() -> None:
    said = wanted("x", "-p", "lr=1,2", "--best=-loss", "--stop-early", "median")
    assert said["stop-early"] == "median"
    assert grid._read(said, "test").follows == "loss"
    assert "stop-early" not in wanted("x", "-p", "lr=1,2", "--best=-loss", "--stop-early=")
    with pytest.raises(Refused, match=r"by which metric.*BEST=accuracy"):
        wanted("x", "-p", "lr=1,2", "--stop-early=median")
    with pytest.raises(SystemExit):
        wanted("x", "-p", "lr=1,2", "--best=a", "--stop-early=mean")
