"""A run that failed is gone on from, by the command that its status names."""

from __future__ import annotations

import json

from tests.e2e.conftest import Clone, wait_for

SCRIPT = """#!/bin/bash
n=0
[[ -f "${PARRIS_CHECKPOINT_DIR}/n" ]] && read -r n <"${PARRIS_CHECKPOINT_DIR}/n"
echo "after ${n}, resumed ${PARRIS_RESUMED:-no}"
while ((n < 6)); do
  n=$((n + 1))
  echo "${n}" >"${PARRIS_CHECKPOINT_DIR}/n"
  ((n == 3)) && [[ -z "${PARRIS_RESUMED:-}" ]] && exit 1
done
echo "${n}" >"${PARRIS_OUTPUT_DIR}/n"
"""


def test_a_run_goes_on_where_another_failed(clone: Clone) -> None:
    config = json.dumps({"training-job-name": "e2e-steps"})
    clone.put_job("steps", {"training-config.json": config, "trainer-script.sh": SCRIPT})
    first = clone.invoke({"job": "steps"})["run-id"]
    assert clone.outcome("steps", first)["state"] == "failed"
    shown = clone.make("status", "LOCAL=1", f"RUN={first}").stdout
    assert f"next      make launch RESUME={first} LOCAL=1" in shown
    wait_for(lambda: "DELETE" in status(clone) or not status(clone), 60)

    said = clone.make("launch", "LOCAL=1", f"RESUME={first}", "WAIT=1").stdout
    second = said.split()[1]
    assert f"  resumes  {first}, with its checkpoints" in said
    assert f"goes on from run {first}: 1 checkpoint files" in said
    assert "after 3, resumed 1" in said
    assert clone.read("steps", second, "output/n") == b"6\n"
    assert f"resumes   {first}" in clone.make("status", "LOCAL=1", f"RUN={second}").stdout
    wait_for(lambda: "DELETE" in status(clone) or not status(clone), 60)

    said = clone.make("launch", "LOCAL=1", "JOB=steps", "RESUME=last", "WAIT=1").stdout
    assert f"  resumes  {second}, with its checkpoints" in said
    assert "after 6, resumed 1" in said


def status(clone: Clone) -> str:
    stacks = clone.client("cloudformation").describe_stacks()["Stacks"]
    return next((one["StackStatus"] for one in stacks if one["StackName"] == "e2e-steps"), "")
