"""A grid of 40 trials on the embedded cloud, while calls of both functions fail."""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest

from parris.aws.ledger import Ledger
from parris.aws.table import Table
from parris.aws.trials import Trials
from scripts.local import faults
from tests.e2e.conftest import Clone, deployed_clone

TRAINER = """#!/bin/bash
score=$((PARRIS_PARAM_X * 10 - PARRIS_PARAM_Y))
echo "{\\"step\\": 1, \\"score\\": ${score}}" >> "${PARRIS_OUTPUT_DIR}/metrics.jsonl"
test "${PARRIS_PARAM_X}" != 3 || test "${PARRIS_PARAM_Y}" != 1
"""
GRID = {
    **{"parameters": {"x": "1..8", "y": "1..5"}, "max-parallel": 8, "cost-limit": 25},
    **{"metric": "score", "goal": "max"},
}
SECONDS = 1_000
"""Within which a grid of 40 is over: about 7 minutes on a busy machine of two cores, some of it
the two minutes after which a launch that was lost is asked for again."""


@pytest.fixture(scope="module")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Clone]:
    """A clone of its own, since calls fail there."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("tests.e2e.conftest.VARIABLES", "")
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
                )
            },
        )
        with deployed_clone(tmp_path_factory) as made:
            yield made


def table(clone: Clone) -> Table:
    dynamodb = clone.client("dynamodb")
    return Table(dynamodb=lambda: dynamodb, name=clone.outputs["ledger_table"])


def sweep(clone: Clone) -> None:
    clone.client("lambda").invoke(FunctionName=clone.outputs["reap_function"], Payload=b"{}")


@pytest.mark.timeout(1200)
def test_a_grid_of_40_loses_nothing_while_calls_fail(clone: Clone) -> None:
    heard = clone.listen("grids")
    home = clone.folder / ".parris/local"
    faults.write(home, {"failing": {"part": 0.05, "roles": "parris-[lr]*"}})
    event = {"job": "searched", "grid": GRID, "event-id": "forty", "time": "2026-11-24T11:00:00Z"}
    answer: dict[str, Any] = {}
    begun = time.monotonic()
    while "grid" not in answer and time.monotonic() < begun + 180:
        answer = clone.invoke(event)  # a launch that failed is sent again by whoever sent it
        time.sleep(1)
    grids, job, grid_id = Trials(table(clone)), "searched", answer["grid"]
    while (grid := grids.read(job, grid_id)) and grid.is_open:
        assert time.monotonic() < begun + SECONDS, grid
        assert len(grid.running) <= 8
        time.sleep(5)
        sweep(clone)
    faults.write(home, {})
    assert grid is not None
    assert grid.ended == {"succeeded": 39, "failed": 1}
    runs = Ledger(table(clone)).newest(100, job)[0]
    assert len(runs) == 40
    assert set(Counter(json.dumps(run.receipt["parameters"]) for run in runs).values()) == {1}
    assert {run.state for run in runs} == {"succeeded", "failed"}
    stacks = clone.client("cloudformation").list_stacks()["StackSummaries"]
    names = Counter(stack["StackName"] for stack in stacks)
    assert len(names) == 40
    assert set(names.values()) == {1}  # no trial has had two stacks
    assert grid.committed == grid.spent <= 25_000_000

    shown = clone.make("status", "LOCAL=1", "GRID=last", "COUNT=3").stdout
    assert f"grid {grid_id} of job searched is over" in shown
    assert "trials  40: 39 succeeded, 1 failed, 0 under way, 0 not begun" in shown
    assert f"best    score=79: run {grid.run_id(36)}" in shown
    told = [one for one in heard.heard("grid-ended") if one["grid"] == grid_id]
    assert told[0]["best"]["parameters"] == {"x": "8", "y": "1"}
    assert told[0]["best"]["run-id"] == grid.run_id(36)


def test_a_grid_is_started_followed_and_stopped_from_the_command_line(clone: Clone) -> None:
    said = clone.make(
        *("grid", "LOCAL=1", "JOB=searched", "PARAMETERS=x=1,2 y=3", "BEST=score", "WAIT=1"),
        *("MAX_PARALLEL=2", "COST_LIMIT=5", "UPLOAD=0"),
    ).stdout
    assert "trials  2, 2 at once, $5.0 at most" in said
    assert "2 of 2 trials: 2 succeeded, 0 under way, best score=17 (trial 2)" in said
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
