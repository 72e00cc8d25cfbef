"""The sample job `ddp` on one and on several machines, with PyTorch.

PARRIS_TEST_TORCH names a Python that has torch and numpy; without it there is nothing to test. A
CPU build does: `pip install torch --index-url https://download.pytorch.org/whl/cpu`.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.conftest import ROOT, Clone, wait_for
from tests.e2e.test_attempts import assert_nothing_is_left, take
from tests.e2e.test_nodes import Watch

PYTHON = os.environ.get("PARRIS_TEST_TORCH", "")
SAMPLE = ROOT / "trainer/jobs/ddp"
SETUP = f"""#!/bin/bash
place="${{PARRIS_SETUP_DIR}}/venv/bin"
mkdir --parents "${{place}}"
printf '#!/bin/sh\\nOMP_NUM_THREADS=1 exec {PYTHON} "$@"\\n' >"${{place}}/python"
chmod +x "${{place}}/python"
"""

pytestmark = pytest.mark.skipif(not PYTHON, reason="PARRIS_TEST_TORCH names no Python with torch")


def begin(clone: Clone, job: str, nodes: int, pause: float = 0, epochs: int = 6) -> Any:
    config = json.loads((SAMPLE / "training-config.json").read_text())
    config |= {
        "training-job-name": f"e2e-{job}",
        "nodes": nodes,
        "sync-interval-seconds": 5,
        "parameters": {"epochs": epochs, "pause": pause},
    }
    texts = {path.name: path.read_text() for path in SAMPLE.iterdir() if path.is_file()}
    texts |= {"training-config.json": json.dumps(config), "setup.sh": SETUP}
    for name, text in texts.items():
        clone.client("s3").put_object(
            Bucket=clone.outputs["config_bucket"], Key=f"jobs/{job}/{name}", Body=text.encode()
        )
    answer = clone.invoke({"job": job})
    assert "errorMessage" not in answer, answer
    return answer


def losses(clone: Clone, job: str, outcome: dict[str, Any]) -> dict[int, float]:
    """Return the loss of each epoch, by what the head has stored last."""
    folder = f"runs/{job}/{outcome['run-id']}/machines/{outcome['machine']}/"
    body = clone.client("s3").get_object(
        Bucket=clone.outputs["results_bucket"], Key=f"{folder}output/metrics.jsonl"
    )["Body"]
    lines = [json.loads(line) for line in body.read().splitlines()]
    return {line["step"]: line["loss"] for line in lines}


def test_two_nodes_and_a_run_that_loses_one_come_to_the_loss_of_one_machine(
    clone: Clone, tmp_path: Path
) -> None:
    del tmp_path
    found = {}
    for job, nodes in (("ddp-one", 1), ("ddp-two", 2)):
        answer = begin(clone, job, nodes)
        outcome = clone.outcome(job, answer["run-id"], 240)
        assert outcome["state"] == "succeeded", outcome
        assert_nothing_is_left(clone, answer)
        found[job] = losses(clone, job, outcome)
    with Watch(clone, "ddp-killed") as watch:
        answer = begin(clone, "ddp-killed", 2, pause=4)
        worker = watch.node(1, 1)

        def stored() -> bool:
            content = clone.client("s3").list_objects_v2(
                Bucket=clone.outputs["results_bucket"],
                Prefix=f"runs/ddp-killed/{answer['run-id']}/machines/",
            )
            return any(one["Key"].endswith("checkpoint.pt") for one in content.get("Contents", []))

        wait_for(stored, 180)
        take(clone, worker)
        outcome = clone.outcome("ddp-killed", answer["run-id"], 300)
        assert_nothing_is_left(clone, answer)
    assert outcome["state"] == "succeeded", outcome
    assert [one["ended-by"] for one in outcome["attempts"]] == ["node", "trainer"]
    found["ddp-killed"] = losses(clone, "ddp-killed", outcome)
    for job in ("ddp-two", "ddp-killed"):
        assert set(found[job]) == set(found["ddp-one"]) == set(range(1, 7))
        for epoch, loss in found["ddp-one"].items():
            assert found[job][epoch] == pytest.approx(loss, abs=1e-5)
    assert found["ddp-one"][6] < found["ddp-one"][1]
