"""A grid of 12 trials on the embedded cloud, while calls of both functions fail; the best run."""

from __future__ import annotations

import json
import shlex
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from parris.aws.ledger import Ledger
from parris.aws.table import Table
from parris.aws.trials import Trials
from parris.runs.grid import GridRecord
from scripts.local import faults
from tests.e2e.conftest import Clone, copy_clone, deployed_clone
from tests.ledger import note_run
from tests.notices import Topic
from tests.report_page import Read

TRAINER = """#!/bin/bash
score=$((PARRIS_PARAM_X * 10 - PARRIS_PARAM_Y))
echo "{\\"step\\": 1, \\"score\\": ${score}}" >> "${PARRIS_OUTPUT_DIR}/metrics.jsonl"
test "${PARRIS_PARAM_X}" != 3 || test "${PARRIS_PARAM_Y}" != 1
"""
FALLS_BEHIND = """#!/bin/bash
for step in 1 2 3 4; do
  echo "{\\"step\\": ${step}, \\"score\\": ${PARRIS_PARAM_X}}"
done > "${PARRIS_OUTPUT_DIR}/metrics.jsonl"
test "${PARRIS_PARAM_X}" -ge 4 || sleep 500
"""
"""Of six trials with x from 1 to 6 the first three go on until they are stopped: the others' median
is 4, and 3 of whoever is better."""
GRID = {
    **{"parameters": {"x": "1..4", "y": "1..3"}, "max-parallel": 8, "cost-limit": 25},
    **{"metric": "score", "goal": "max"},
}
BEST = 10
"""The trial with x=4 and y=1."""

HURRIED = {
    "launch.tf": ("timeout          = 60", "timeout          = 30"),
    "lambda/parris/runs/record.py": ("timedelta(seconds=120)", "timedelta(seconds=60)"),
}
"""What this clone has instead of what the module has: half the time for a launch, and half the
time after which a lost one is asked for again. Waiting for that is most of what the test takes."""

FAILING_SECONDS = 30
"""How long calls fail: nearly half of the launches meanwhile are lost with all their retries, and
are asked for again a minute later. tests/integration/test_grid_holds.py has grids of 40 and
more, whose calls fail to the end."""

SECONDS = 480
"""Within which the grid is over; two minutes are usual."""


def hurried_clone(folder: Path) -> Path:
    copy_clone(folder)
    for name, (usual, here) in HURRIED.items():
        text = (folder / name).read_text()
        assert text.count(usual) == 1
        (folder / name).write_text(text.replace(usual, here))
    return folder


@pytest.fixture(scope="module")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Clone]:
    """A clone of its own, since calls fail there."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("tests.e2e.conftest.VARIABLES", "")
        patch.setattr("tests.e2e.conftest.copy_clone", hurried_clone)
        patch.setattr(
            "tests.e2e.conftest.JOBS",
            {
                "searched": (
                    {
                        "parameters": {"x": 0, "y": 0, "why": ""},
                        "sync-interval-seconds": 5,
                        "termination-method": "at-fixed-time",
                        "time-limit": 10,
                    },
                    TRAINER,
                ),
                "behind": (
                    {
                        "parameters": {"x": 0},
                        "sync-interval-seconds": 5,
                        "termination-method": "at-fixed-time",
                        "time-limit": 10,
                    },
                    FALLS_BEHIND,
                ),
            },
        )
        with deployed_clone(tmp_path_factory) as made:
            yield made


def table(clone: Clone) -> Table:
    dynamodb = clone.client("dynamodb")
    return Table(dynamodb=lambda: dynamodb, name=clone.outputs["ledger_table"])


@pytest.fixture(scope="module")
def over(clone: Clone) -> tuple[GridRecord, Topic]:
    """A grid of 12 that is over, in whose first moments calls of both functions failed."""
    heard = clone.listen("grids")
    home, grids, job = clone.folder / ".parris/local", Trials(table(clone)), "searched"
    faults.write(home, {"failing": {"part": 0.05, "roles": "parris-[lr]*"}})
    event = {"job": job, "grid": GRID, "event-id": "twelve", "time": "2026-11-24T11:00:00Z"}
    answer: dict[str, Any] = {}
    begun = time.monotonic()
    while "grid" not in answer and time.monotonic() < begun + 180:
        answer = clone.invoke(event)  # a launch that failed is sent again by whoever sent it
        time.sleep(1)
    while (grid := grids.read(job, answer["grid"])) and grid.is_open:
        assert time.monotonic() < begun + SECONDS, grid
        assert len(grid.running) <= 8
        if time.monotonic() > begun + FAILING_SECONDS:
            faults.write(home, {})
        time.sleep(2)
        clone.client("lambda").invoke(FunctionName=clone.outputs["reap_function"], Payload=b"{}")
    assert "by the fault failing" in (home / "cloud.log").read_text()
    assert grid is not None
    return grid, heard


@pytest.mark.timeout(900)
def test_a_grid_of_12_loses_nothing_while_calls_fail(
    clone: Clone, over: tuple[GridRecord, Topic]
) -> None:
    grid, heard = over
    assert grid.ended == {"succeeded": 11, "failed": 1}
    runs = [one for one in Ledger(table(clone)).newest(100, "searched")[0] if one.trial]
    runs = [one for one in runs if one.trial and one.trial[0] == grid.grid_id]
    assert len(runs) == 12
    assert set(Counter(json.dumps(run.receipt["parameters"]) for run in runs).values()) == {1}
    assert {run.state for run in runs} == {"succeeded", "failed"}
    names = Counter(
        stack["StackName"]
        for page in clone.client("cloudformation").get_paginator("list_stacks").paginate()
        for stack in page["StackSummaries"]
    )
    # no trial has had two stacks
    assert [names[run.receipt["stack-name"]] for run in runs] == [1] * 12
    assert grid.committed == grid.spent <= 25_000_000
    told = [one for one in heard.heard("grid-ended") if one["grid"] == grid.grid_id]
    assert told[0]["best"]["parameters"] == {"x": "4", "y": "1"}
    assert told[0]["best"]["run-id"] == grid.run_id(BEST)


def note_like(clone: Clone, grid: GridRecord, number: int) -> None:
    """Note another run of the job, started by itself an hour before, as the functions note one."""
    known = Ledger(table(clone)).read(grid.job, grid.run_id(1))
    assert known is not None
    assert known.outcome is not None
    run_id = f"20261124-10{number:04}-{number:08x}"
    given: Any = {"run-id": run_id, "parameters": {"x": "0", "y": str(number), "why": ""}}
    came: Any = {"run-id": run_id, "metrics": {"step": 1, "score": -number}}
    note_run(table(clone), {**known.receipt, **given}, {**known.outcome, **came})


@pytest.mark.timeout(900)
def test_the_best_of_30_runs_its_cost_and_how_to_repeat_it_are_found_in_a_minute(
    clone: Clone, over: tuple[GridRecord, Topic]
) -> None:
    grid, _ = over
    best = grid.run_id(BEST)
    for number in range(30 - grid.grid.count):
        note_like(clone, grid, number)
    begun = time.monotonic()
    ranked = clone.make("status", "LOCAL=1", "JOB=searched", "BEST=score").stdout
    took = time.monotonic() - begun  # this one says it all; the others are for a closer look
    shown = clone.make("status", "LOCAL=1", f"GRID={grid.grid_id}").stdout
    compared = clone.make("compare", "LOCAL=1", "JOB=searched", "BEST=score").stdout
    clone.make("report", "LOCAL=1", "JOB=searched")
    clone.make("report", "LOCAL=1", f"GRID={grid.grid_id}", "OUTPUT=results/grid.html")
    assert took < 60

    first = next(line.split() for line in ranked.splitlines() if line.startswith("20"))
    assert first[:4] == [best, "searched", "succeeded", "39"]
    assert first[4].startswith("$0.")
    assert first[5:] == ["x=4", "y=1"]
    assert f"make rerun RUN={best} LOCAL=1" in ranked
    assert "10 more have it; COUNT=30 shows all of them" in ranked
    assert f"grid {grid.grid_id} of job searched is over" in shown
    assert "trials  12: 11 succeeded, 1 failed, 0 under way, 0 not begun" in shown
    assert f"best    score=39: run {best}" in shown
    rows = [line.split() for line in shown.splitlines() if "  20261124-" in line]
    assert [row[0] for row in rows[:3]] == ["10", "11", "12"]
    assert rows[-1][:3] == ["7", grid.run_id(7), "failed"]  # though three have a lower score
    side_by_side = [line.split() for line in compared.splitlines()]
    assert ["run", *(grid.run_id(number) for number in (10, 11, 12, 7))] in side_by_side
    assert ["y", "1", "2", "3", "1"] in side_by_side
    assert f"make rerun RUN={best} LOCAL=1" in compared
    assert best in (clone.folder / "results/report.html").read_text()
    page = Read((clone.folder / "results/grid.html").read_text()).data
    assert [row["trial"] for row in page["runs"]][:3] == [10, 11, 12]
    assert page["grid"]["best"]["parameters"] == {"x": "4", "y": "1"}
    assert [way["command"] for way in page["grid"]["best"]["again"]] == [
        f"make rerun RUN={best} LOCAL=1"
    ]

    said = clone.make("rerun", "LOCAL=1", f"RUN={best}", "WAIT=1").stdout
    assert f"  again    {best}: its files, parameters, image and machine" in said
    again = clone.make("status", "LOCAL=1", "JOB=searched", "BEST=score", "COUNT=2").stdout
    rows = [line.split() for line in again.splitlines() if line.startswith("20")]
    assert {row[0] for row in rows} == {best, said.split()[1]}
    assert [row[3] for row in rows] == ["39", "39"]


def test_a_grid_is_started_followed_and_stopped_from_the_command_line(clone: Clone) -> None:
    said = clone.make(
        *("grid", "LOCAL=1", "JOB=searched", "PARAMETERS=x=1,2 y=3", "BEST=score", "WAIT=1"),
        *("MAX_PARALLEL=2", "COST_LIMIT=5", "UPLOAD=0"),
    ).stdout
    assert "trials  2, 2 at once, $5.0 at most" in said
    assert "2 of 2 trials: 2 succeeded, 0 under way, best score=17 (trial 2)" in said
    assert " is over, begun " in said
    longer = next(line for line in said.splitlines() if "PARAMETERS=" in line)
    assert longer.endswith(" does so with the job's own y=0; all trials had y=3")
    typed = shlex.split(longer.partition(" does ")[0])
    again = clone.make(*typed[1:], "WAIT=1", "JSON=1").stdout
    assert json.loads(again)["outcome"]["metrics"]["score"] == 20  # x is the best one's
    refused = clone.make("stop", "LOCAL=1", "GRID=last", check=False)
    assert "is over already" in refused.stderr

    (clone.folder / "trainer/jobs/searched/grid.json").write_text(
        json.dumps({"parameters": {"x": "1..9"}, "max-parallel": 1})
    )
    clone.make("upload-config", "LOCAL=1", "JOB=searched")
    said = clone.make("launch", "LOCAL=1", "JOB=searched", "UPLOAD=0").stdout
    assert "trials  9, 1 at once" in said
    stopped = clone.make("stop", "LOCAL=1", "GRID=last", "JSON=1", "WAIT=1").stdout
    assert json.loads(stopped)["stopping"] is True
    stands = json.loads(clone.make("status", "LOCAL=1", "GRID=last", "JSON=1").stdout)
    assert (stands["is-over"], stands["reason"]) == (True, "it was stopped")
    assert stands["not-begun"] >= 5


@pytest.mark.timeout(900)
def test_trials_that_fall_behind_are_stopped_early_and_say_why(clone: Clone) -> None:
    clone.make(
        *("grid", "LOCAL=1", "JOB=behind", "PARAMETERS=x=1..6", "MAX_PARALLEL=6", "UPLOAD=0"),
        *("BEST=score", "STOP_EARLY=median"),
    )
    [grid] = [one for one in Trials(table(clone)).newest(10)[0] if one.job == "behind"]
    begun = time.monotonic()
    while grid.is_open:
        assert time.monotonic() < begun + SECONDS, grid
        clone.client("lambda").invoke(FunctionName=clone.outputs["reap_function"], Payload=b"{}")
        time.sleep(5)
        grid = Trials(table(clone)).read(grid.job, grid.grid_id) or grid
    assert grid.ended == {"succeeded": 3, "stopped": 3}
    assert grid.best is not None
    assert (grid.best.number, grid.best.value) == (6, 6)
    shown = clone.make("status", "LOCAL=1", f"GRID={grid.grid_id}").stdout
    assert "trials  6: 3 succeeded, 3 stopped, 0 under way, 0 not begun" in shown
    assert "  early   3 trials stopped" in shown
    assert (
        "trial 3 was stopped early: its best score by step 4 is 3, worse than 4, the median of "
        "the running averages of 5 other trials there" in shown
    )
    for number in (1, 2, 3):
        key = f"runs/behind/{grid.run_id(number)}/outcome.json"
        stored = clone.client("s3").get_object(Bucket=clone.outputs["results_bucket"], Key=key)
        outcome = json.loads(stored["Body"].read())
        assert (outcome["state"], outcome["ended-by"]) == ("stopped", "early")
        assert [point[:2] for point in outcome["history"]] == [[s, number] for s in (1, 2, 3, 4)]
        told = clone.read("behind", grid.run_id(number), "output/metrics.jsonl") or b""
        assert len(told.splitlines()) == 4  # its results were stored first
