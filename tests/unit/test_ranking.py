"""`make status BEST=`: which of many runs was best, with what, and how to repeat it."""

from __future__ import annotations

import argparse
import json
from typing import Any

import pytest

from scripts.cli.console import Refused
from scripts.cli.filters import goal
from scripts.commands import status
from scripts.deployment.outputs import Deployment
from tests.ledger import note_run, table_of
from tests.unit.test_status import deployment as deployment
from tests.unit.test_status import receipt


def note(
    deployment: Deployment, number: int, metrics: dict[str, Any], job: str = "digits", **more: Any
) -> str:
    """Note a run that is over; return its id."""
    run_id = f"20261124-19{number:04}-{number:08x}"
    outcome = {"state": "succeeded", "ended-by": "trainer", "metrics": metrics, "cost-usd": 0.02}
    given = receipt(job, run_id, 60 - number, **more)
    note_run(table_of(deployment.client("dynamodb")), given, {**outcome, "run-id": run_id})
    return run_id


def rows(said: str) -> list[list[str]]:
    return [line.split() for line in said.splitlines() if line.startswith("20261124")]


def test_the_best_of_thirty_runs_is_named_with_what_made_it(
    deployment: Deployment, capsys: pytest.CaptureFixture[str]
) -> None:
    ids = [
        note(
            deployment,
            number,
            {"accuracy": 1 - (number - 17) ** 2 / 1000, "loss": (number - 11) ** 2},
            parameters={"learning-rate": f"0.{number:02}", "epochs": "5"},
        )
        for number in range(1, 31)
    ]
    assert status.main(["--best", "accuracy"]) == 0
    said = capsys.readouterr().out
    first, second, *_ = rows(said)
    assert first == [ids[16], "digits", "succeeded", "1", "$0.0200", "learning-rate=0.17"]
    assert float(second[3]) == pytest.approx(0.999)
    assert len(rows(said)) == 20
    assert "10 more have it; COUNT=30 shows all of them" in said
    assert f"make rerun RUN={ids[16]}" in said
    assert status.main(["--best=-loss", "--json", "--count", "1"]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert [run["run-id"] for run in answer["runs"]] == [ids[10]]
    assert (answer["refused"], answer["stacks"]) == ([], [])


def test_the_best_of_some_says_that_there_are_more(
    deployment: Deployment, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("scripts.deployment.ranking.LOOKED_THROUGH", 2)
    best = [note(deployment, number, {"loss": number}) for number in (1, 2, 3)][1]
    assert status.main(["--best=-loss", "--count", "1"]) == 0
    said = capsys.readouterr()
    assert rows(said.out)[0][0] == best
    assert "the best of the newest 2 runs" in said.err


@pytest.mark.parametrize("name", ["", "-", " "])
def test_a_metric_has_a_name(name: str) -> None:
    with pytest.raises(argparse.ArgumentTypeError, match="names no metric"):
        goal(name)


def test_runs_without_a_number_of_that_name_are_left_out(
    deployment: Deployment, capsys: pytest.CaptureFixture[str]
) -> None:
    known = note(deployment, 1, {"loss": 0.5})
    note(deployment, 2, {"loss": "nan"})
    note(deployment, 3, {"accuracy": 1.0})
    note(deployment, 4, {"loss": "inf"})
    note(deployment, 5, {"loss": 0.1}, job="other")
    assert status.main(["digits", "--best=-loss"]) == 0
    assert [row[0] for row in rows(capsys.readouterr().out)] == [known]


def test_a_metric_that_no_run_has_is_answered_with_those_that_there_are(
    deployment: Deployment,
) -> None:
    note(deployment, 1, {"loss": 0.5, "note": "fine", "accuracy": 1})
    with pytest.raises(Refused) as refused:
        status.main(["--best", "acuracy"])
    assert str(refused.value) == (
        "no run has a metric acuracy that is a number; there are: accuracy, loss"
    )


@pytest.mark.usefixtures("deployment")
@pytest.mark.parametrize("other", [["--watch"], ["--run", "20261124-05"]])
def test_it_is_asked_for_alone(other: list[str]) -> None:
    with pytest.raises(Refused, match="leave one"):
        status.main(["--best", "loss", *other])
