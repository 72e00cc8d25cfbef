"""The sample job `ddp` on one, two and four machines, with PyTorch."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from typing import Any

import pytest

from tests import torch_python
from tests.debian import Missing
from tests.e2e.conftest import ROOT, Clone, wait_for
from tests.e2e.test_attempts import assert_nothing_is_left, take
from tests.e2e.test_nodes import Watch

SAMPLE = ROOT / "trainer/jobs/ddp"
SETUP = """#!/bin/bash
place="${{PARRIS_SETUP_DIR}}/venv/bin"
mkdir --parents "${{place}}"
printf '#!/bin/sh\\nOMP_NUM_THREADS=1 exec {python} "$@"\\n' >"${{place}}/python"
chmod +x "${{place}}/python"
"""


@pytest.fixture(scope="module")
def python() -> str:
    """A Python with torch, in place of the venv that the job's own setup makes."""
    try:
        return torch_python.find(ROOT / ".parris/torch")
    except Missing as error:
        pytest.skip(str(error))


def begin(clone: Clone, python: str, job: str, nodes: int, pause: float = 0) -> Any:
    config = json.loads((SAMPLE / "training-config.json").read_text())
    config |= {
        "training-job-name": f"e2e-{job}",
        "nodes": nodes,
        "sync-interval-seconds": 5,
        "parameters": {"epochs": 6, "pause": pause},
    }
    texts = {path.name: path.read_text() for path in SAMPLE.iterdir() if path.is_file()}
    texts |= {"training-config.json": json.dumps(config), "setup.sh": SETUP.format(python=python)}
    clone.put_job(job, texts)
    answer = clone.invoke({"job": job})
    assert "errorMessage" not in answer, answer
    return answer


@contextlib.contextmanager
def its_log(clone: Clone, answer: dict[str, Any]) -> Iterator[None]:
    """Add what all nodes have said to a failure."""
    try:
        yield
    except AssertionError as error:
        error.add_note(clone.make("logs", "LOCAL=1", f"RUN={answer['run-id']}").stdout[-9000:])
        raise


def losses(clone: Clone, job: str, outcome: dict[str, Any]) -> dict[int, float]:
    """Return the loss of each epoch, by what the head has stored last."""
    folder = f"runs/{job}/{outcome['run-id']}/machines/{outcome['machine']}/"
    body = clone.client("s3").get_object(
        Bucket=clone.outputs["results_bucket"], Key=f"{folder}output/metrics.jsonl"
    )["Body"]
    lines = [json.loads(line) for line in body.read().splitlines()]
    return {line["step"]: line["loss"] for line in lines}


def stored(clone: Clone, job: str, run_id: str) -> bool:
    """Return whether a checkpoint of a run is stored.

    Raises:
        AssertionError: if the run is over.
    """
    outcome = clone.read(job, run_id, "outcome.json")
    assert outcome is None, outcome.decode()
    content = clone.client("s3").list_objects_v2(
        Bucket=clone.outputs["results_bucket"], Prefix=f"runs/{job}/{run_id}/machines/"
    )
    return any(one["Key"].endswith("checkpoint.pt") for one in content.get("Contents", []))


def test_any_number_of_nodes_and_a_run_that_loses_one_come_to_the_loss_of_one_machine(
    clone: Clone, python: str
) -> None:
    found = {}
    with Watch(clone, "ddp-killed") as watch:
        answer = begin(clone, python, "ddp-killed", 2, pause=4)
        worker = watch.node(1, 1)
        with its_log(clone, answer):
            wait_for(lambda: stored(clone, "ddp-killed", answer["run-id"]), 180)
            take(clone, worker)
            outcome = clone.outcome("ddp-killed", answer["run-id"], 300)
            assert outcome["state"] == "succeeded", json.dumps(outcome)
        assert_nothing_is_left(clone, answer)
    assert [one["ended-by"] for one in outcome["attempts"]] == ["node", "trainer"]
    found["ddp-killed"] = losses(clone, "ddp-killed", outcome)
    for job, nodes in (("ddp-one", 1), ("ddp-two", 2), ("ddp-four", 4)):
        answer = begin(clone, python, job, nodes)
        with its_log(clone, answer):
            outcome = clone.outcome(job, answer["run-id"], 240)
            assert outcome["state"] == "succeeded", json.dumps(outcome)
        assert_nothing_is_left(clone, answer)
        found[job] = losses(clone, job, outcome)
    for job in ("ddp-two", "ddp-four", "ddp-killed"):
        assert set(found[job]) == set(found["ddp-one"]) == set(range(1, 7))
        for epoch, loss in found["ddp-one"].items():
            assert found[job][epoch] == pytest.approx(loss, abs=1e-5)
    assert found["ddp-one"][6] < found["ddp-one"][1]
