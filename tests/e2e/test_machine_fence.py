"""A machine with its own credentials against all that is not its own, on the embedded cloud."""

from __future__ import annotations

import json
from typing import Any

from tests.e2e.conftest import Clone

SCRIPT = r"""#!/bin/bash
[[ -n "${PARRIS_PARAM_OTHER:-}" ]] || { echo kept >"$PARRIS_OUTPUT_DIR/x"; exit 0; }
other="$PARRIS_PARAM_OTHER" stranger="$PARRIS_PARAM_STRANGER"
bucket="$PARRIS_PARAM_BUCKET" config="$PARRIS_PARAM_CONFIG"
own="runs/$PARRIS_JOB/$PARRIS_RUN_ID"
me="$(aws sts get-caller-identity --query UserId --output text)"
forged="$(mktemp)" && echo forged >"$forged"
trap 'rm -f "$forged"' EXIT
try() { # what is expected, and what is tried
  local said answer=allowed
  if ! said="$("${@:2}" 2>&1)"; then
    answer="${said//$'\n'/ }"
    [[ "$said" == *AccessDenied* || "$said" == *UnauthorizedOperation* ]] && answer=denied
  fi
  printf '%s\t%s\t%s\n' "$1" "$answer" "${*:2}" >>"$PARRIS_OUTPUT_DIR/answers.txt"
}
put() { try "$1" aws s3api put-object --bucket "${3:-$bucket}" --key "$2" --body "$forged"; }
get() { try "$1" aws s3api get-object --bucket "$bucket" --key "$2" /dev/null; }
for name in output/x outcome.json log.txt alive.json run.json source/x agent.pyz output/run.json; do
  put denied "$other/$name"
done
for name in output/x log.txt outcome.json whole.json metrics.json machine.jsonl; do
  put denied "$other/machines/$stranger/$name"
  put denied "$own/machines/$stranger/$name"
done
for inside in source output "machines/$stranger/output" "machines/$stranger/checkpoints/deep"; do
  put denied "$other/$inside/machines/$me/output/x"
done
for name in output/x outcome.json log.txt run.json source/x agent.pyz; do
  put denied "$own/$name"
done
put denied "$own/machines/$me/run.json"
put denied events/forged/1.json
put denied "jobs/$PARRIS_JOB/trainer-script.sh" "$config"
get denied "$other/outcome.json"
get denied "$own/outcome.json"
get allowed "$other/machines/$stranger/output/x" # a run's next machine goes on from it
get allowed "$other/machines/$stranger/log.txt"
versions() { try "$1" aws s3api list-object-versions --bucket "$bucket" --prefix "$2"; }
versions allowed "$other/machines/$stranger/checkpoints/"
versions denied "$other/machines/$stranger/"
versions denied ""
get denied events/forged/1.json
try denied aws s3 ls "s3://$bucket/runs/"
try denied aws s3 ls "s3://$bucket/$other/machines/"
try denied aws s3 rm "s3://$bucket/$own/machines/$me/output/x"
try denied aws logs describe-log-streams --log-group-name "$PARRIS_PARAM_GROUP"
get allowed "$own/run.json"
get allowed "$own/agent.pyz"
try allowed aws s3 ls "s3://$bucket/$own/source/"
files="output/x checkpoints/x log.txt packages.txt machine.jsonl"
for name in $files {outcome,alive,whole,metrics}.json; do
  put allowed "$own/machines/$me/$name"
done
try allowed aws s3 ls "s3://$bucket/$own/machines/$me/output/"
try allowed aws s3 ls "s3://$bucket/$other/machines/$stranger/"
"""


def objects(clone: Clone, prefix: str) -> dict[str, str]:
    pages = clone.client("s3").get_paginator("list_objects_v2")
    found = pages.paginate(Bucket=clone.outputs["results_bucket"], Prefix=prefix)
    return {item["Key"]: item["ETag"] for page in found for item in page.get("Contents", [])}


def run_fence(clone: Clone, event_id: str, **parameters: str) -> dict[str, Any]:
    event = {"job": "fence", "event-id": event_id, "parameters": parameters}
    return clone.outcome("fence", clone.invoke(event)["run-id"], 400)


def test_a_machine_changes_nothing_but_its_own_folder(clone: Clone) -> None:
    s3, bucket = clone.client("s3"), clone.outputs["config_bucket"]
    names = ("other", "stranger", "bucket", "config", "group")
    config = {
        "training-job-name": "e2e-fence",
        "sync-interval-seconds": 5,
        "parameters": dict.fromkeys(names, ""),
    }
    for name, body in (
        ("training-config.json", json.dumps(config)),
        ("trainer-script.sh", SCRIPT),
    ):
        s3.put_object(Bucket=bucket, Key=f"jobs/fence/{name}", Body=body.encode())
    victim = run_fence(clone, "victim")
    assert victim["state"] == "succeeded", victim
    prefix = f"runs/fence/{victim['run-id']}/"
    before = objects(clone, prefix)
    clone.client("cloudformation").get_waiter("stack_delete_complete").wait(
        StackName="e2e-fence", WaiterConfig={"Delay": 1, "MaxAttempts": 60}
    )
    intruder = run_fence(
        clone,
        "intruder",
        other=prefix.rstrip("/"),
        stranger=victim["machine"],
        bucket=clone.outputs["results_bucket"],
        config=bucket,
        group=clone.outputs["training_log_group"],
    )
    assert intruder["state"] == "succeeded", intruder
    text = (clone.read("fence", intruder["run-id"], "output/answers.txt") or b"").decode()
    answers = [line.split("\t") for line in text.splitlines()]
    assert len(answers) == 59
    assert [line for line in answers if line[0] != line[1]] == []
    assert objects(clone, prefix) == before
    role_id, _, instance_id = intruder["machine"].partition(":")
    assert role_id == victim["machine"].partition(":")[0]
    assert instance_id == intruder["instance-id"] != victim["instance-id"]
    folders = {
        key.split("/")[4] for key in objects(clone, f"runs/fence/{intruder['run-id']}/machines/")
    }
    assert folders == {intruder["machine"]}


def test_a_machine_learns_no_log_stream_but_its_own(clone: Clone) -> None:
    outcome = run_fence(clone, "quiet")
    receipt = json.loads(clone.read("fence", outcome["run-id"], "run.json") or b"")
    assert "log-stream" not in receipt
    name = outcome["log-stream"]
    assert name.startswith(f"fence/{outcome['run-id']}/")
    assert len(name.split("/")[2]) >= 16
    # ResourceNotFoundException if the machine had streamed to another.
    clone.client("logs").get_log_events(
        logGroupName=clone.outputs["training_log_group"], logStreamName=name
    )
