"""Runs of one job side by side, or one in the place of another, as a person meets them."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.e2e.conftest import Clone, wait_for

WAITING = "#!/bin/bash\necho begun\necho kept > $PARRIS_OUTPUT_DIR/x\nsleep 600\n"


@pytest.fixture(scope="module")
def jobs(clone: Clone) -> None:
    for job, more in (("several", "several-at-once"), ("superseded", "stack-replacement")):
        folder = clone.folder / "trainer/jobs" / job
        folder.mkdir()
        config = {
            "training-job-name": f"e2e-{job}",
            "sync-interval-seconds": 5,
            "stop-grace-seconds": 1,
            more: True,
        }
        (folder / "training-config.json").write_text(json.dumps(config))
        (folder / "trainer-script.sh").write_text(WAITING)
        clone.make("upload-config", "LOCAL=1", f"JOB={job}")


def begun(clone: Clone, job: str, answer: dict[str, Any]) -> str:
    """Wait until the trainer of a launch is under way; return its run's id."""
    assert "errorMessage" not in answer, answer
    run_id = str(answer["run-id"])
    wait_for(lambda: clone.read(job, run_id, "log.txt"), 90)
    return run_id


@pytest.mark.usefixtures("jobs")
def test_launches_go_side_by_side_and_commands_ask_which_is_meant(clone: Clone) -> None:
    answers = [clone.invoke({"job": "several"}) for _ in range(3)]
    run_ids = [begun(clone, "several", answer) for answer in answers]
    names = {f"e2e-several-{run_id[-8:]}" for run_id in run_ids}
    assert {answer["stack-name"] for answer in answers} == names

    refused = clone.make("stop", "LOCAL=1", "JOB=several", check=False)
    assert refused.returncode != 0
    assert "3 runs of job several are under way; say which, make stop RUN=…" in refused.stderr
    assert all(run_id in refused.stderr for run_id in run_ids)

    shown = clone.make("logs", "LOCAL=1", "JOB=several")
    assert "begun" in shown.stdout
    assert "3 runs of job several are under way; this is" in shown.stderr
    assert "make logs RUN=… LOCAL=1 shows one of them" in shown.stderr

    clone.make("stop", "LOCAL=1", f"RUN={run_ids[1]}")
    assert clone.outcome("several", run_ids[1])["state"] == "stopped"
    for run_id in (run_ids[0], run_ids[2]):
        assert clone.read("several", run_id, "outcome.json") is None
        clone.make("stop", "LOCAL=1", f"RUN={run_id}")
    for run_id in run_ids:
        assert clone.outcome("several", run_id)["state"] == "stopped"

    clone.make("results", "LOCAL=1", f"RUN={run_ids[1]}")
    folder = clone.folder / "results/several" / run_ids[1]
    assert json.loads((folder / "run.json").read_text())["state"] == "accepted"
    assert json.loads((folder / "outcome.json").read_text())["state"] == "stopped"
    assert (folder / "output/x").read_text() == "kept\n"

    def standing() -> list[str]:
        stacks = clone.client("cloudformation").describe_stacks()["Stacks"]
        return [stack["StackName"] for stack in stacks if stack["StackName"] in names]

    wait_for(lambda: not standing(), 60)


@pytest.mark.usefixtures("jobs")
def test_a_run_that_another_replaced_says_so(clone: Clone) -> None:
    first = begun(clone, "superseded", clone.invoke({"job": "superseded"}))
    second = clone.invoke({"job": "superseded"})
    clone.outcome("superseded", first)
    # The machine's own word, "shutdown", may come before that of why it was told to.
    wait_for(lambda: clone.outcome("superseded", first)["ended-by"] == "replacement", 60)
    outcome = clone.outcome("superseded", first)
    assert outcome["state"] == "interrupted"
    assert outcome["reason"] == f"run {second['run-id']} replaced it"
    assert outcome["bytes-stored"] > 0  # it could still store its results
    begun(clone, "superseded", second)
    clone.make("stop", "LOCAL=1", f"RUN={second['run-id']}")
    assert clone.outcome("superseded", second["run-id"])["ended-by"] == "stop"
