"""The sample job on spot machines, taken away five times: it learns what it would have learnt."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.conftest import ROOT, Clone
from tests.e2e.test_attempts import Trace, Watch, take

EPOCHS = 20
TAKEN = 5
LIMIT_USD = 0.03
"""Some half an hour of the machine, with which each of six may begin: it takes five minutes."""
NOTICE_SECONDS = 15
"""EC2's are two minutes. The supervisor asks for one every five seconds, and has the rest to end
its trainer and to store its last epoch; it then powers off and waits for nothing."""

_SLOWLY = """        save(model, history)
        with open(os.environ["PARRIS_PARAM_TRACE"], "a") as trace:
            trace.write(f"{os.environ['PARRIS_ATTEMPT']} {epoch}\\n")
        time.sleep(2)
"""
"""An epoch of the sample takes a tenth of a second, in which nobody can take its machine."""


def upload(clone: Clone, job: str, trace: Trace) -> None:
    """Upload the sample job, slowed down, to run on spot machines."""
    train = (ROOT / "trainer/train.py").read_text()
    assert "        save(model, history)\n" in train
    config = {
        "training-job-name": f"e2e-{job}",
        "market": "spot",
        "instance-type": "c7i.large",
        "termination-method": "around-cost",
        "cost-limit": LIMIT_USD,
        "sync-interval-seconds": 5,
        "stop-grace-seconds": 10,
        "parameters": {"epochs": EPOCHS, "trace": str(trace.path)},
    }
    files = {
        "training-config.json": json.dumps(config),
        "trainer-script.sh": (ROOT / "trainer/trainer-script.sh").read_text(),
        "train.py": train.replace("        save(model, history)\n", _SLOWLY),
    }
    clone.put_job(job, files)


def uninterrupted(folder: Path) -> tuple[Any, list[Any]]:
    """Return what the sample job learns on one machine: its summary and its metrics."""
    places = {"PARRIS_OUTPUT_DIR": folder / "output", "PARRIS_CHECKPOINT_DIR": folder / "kept"}
    environment = {name: str(path) for name, path in places.items()}
    subprocess.run(
        [sys.executable, str(ROOT / "trainer/train.py")],
        env={**os.environ, **environment, "PARRIS_PARAM_EPOCHS": str(EPOCHS)},
        cwd=folder,
        check=True,
        capture_output=True,
    )
    metrics = (folder / "output/metrics.jsonl").read_text().splitlines()
    return json.loads((folder / "output/summary.json").read_text()), learnt(metrics)


def learnt(metrics: list[str]) -> list[Any]:
    """Return the epochs of a metrics.jsonl without how long they took."""
    return [
        {key: value for key, value in json.loads(line).items() if key != "seconds"}
        for line in metrics
    ]


@pytest.mark.timeout(900)  # six machines, one after another
def test_a_run_that_loses_five_machines_learns_what_it_would_have_learnt(
    clone: Clone, tmp_path: Path
) -> None:
    trace, job = Trace(tmp_path / "trace"), "spot-digits"
    upload(clone, job, trace)
    with Watch(clone, job) as watch:
        answer = clone.invoke({"job": job})
        assert "errorMessage" not in answer, answer
        for number in range(1, TAKEN + 1):
            trace.wait(number, 1)
            take(clone, watch.machine(number), notice=NOTICE_SECONDS)
        outcome = clone.outcome(job, answer["run-id"], 600)
    assert outcome["state"] == "succeeded", outcome
    assert watch.most_alive == 1
    assert [one["ended-by"] for one in outcome["attempts"]] == ["spot"] * TAKEN + ["trainer"]
    assert 0 < outcome["cost-usd"] < LIMIT_USD
    epochs = [epoch for number in range(1, TAKEN + 2) for epoch in trace.epochs(number)]
    assert set(epochs) == set(range(1, EPOCHS + 1))
    again = len(epochs) - EPOCHS  # of what was stored too late, at most an epoch a machine
    assert again <= TAKEN

    s3, bucket = clone.client("s3"), clone.outputs["results_bucket"]
    folder = f"runs/{job}/{answer['run-id']}/machines/{outcome['machine']}/output/"

    def stored(name: str) -> str:
        return str(s3.get_object(Bucket=bucket, Key=folder + name)["Body"].read().decode())

    summary, metrics = uninterrupted(tmp_path)
    assert json.loads(stored("summary.json")) == summary
    assert learnt(stored("metrics.jsonl").splitlines()) == metrics
