"""The runs of a deployment, put together from receipts, outcomes and stacks."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from botocore.exceptions import ClientError

from scripts.console import Refused
from scripts.deployment import Deployment

OVER = ("succeeded", "failed", "timed-out", "interrupted", "stopped", "launch-failed")
_FAILED_STACK = ("ROLLBACK", "CREATE_FAILED", "DELETE_FAILED")


@dataclass(frozen=True, kw_only=True)
class Run:
    """One run as far as it is known."""

    job: str
    run_id: str
    receipt: Mapping[str, Any]
    outcome: Mapping[str, Any] | None
    stack: Mapping[str, Any] | None
    """The stack that holds this run now, as DescribeStacks gives it; None if none does."""
    state: str
    reason: str

    @property
    def prefix(self) -> str:
        return f"runs/{self.job}/{self.run_id}/"

    @property
    def is_over(self) -> bool:
        return self.state in OVER


def stack_tags(stack: Mapping[str, Any]) -> dict[str, str]:
    return {tag["Key"]: tag["Value"] for tag in stack.get("Tags", [])}


def list_stacks(deployment: Deployment) -> list[dict[str, Any]]:
    """Return this deployment's stacks, by its tag, in one listing pass."""
    pages = deployment.client("cloudformation").get_paginator("describe_stacks").paginate()
    return [
        stack
        for page in pages
        for stack in page["Stacks"]
        if stack_tags(stack).get("parris:deployment") == deployment.deployment
        and stack["StackStatus"] != "DELETE_COMPLETE"
    ]


def list_run_keys(deployment: Deployment, job: str | None) -> list[tuple[str, str]]:
    """Return (job, run id) of every run, newest receipt first."""
    prefix = f"runs/{job}/" if job else "runs/"
    pages = (
        deployment.client("s3")
        .get_paginator("list_objects_v2")
        .paginate(Bucket=deployment.results_bucket, Prefix=prefix)
    )
    found = [
        (item["LastModified"], tuple(item["Key"].split("/")[1:3]))
        for page in pages
        for item in page.get("Contents", [])
        if item["Key"].count("/") == 3 and item["Key"].endswith("/run.json")
    ]
    return [(key[0], key[1]) for _, key in sorted(found, reverse=True)]


def read_runs(
    deployment: Deployment, keys: Iterable[tuple[str, str]], stacks: Iterable[Mapping[str, Any]]
) -> list[Run]:
    """Return the runs `keys`, in that order, with what their stacks say."""
    s3 = deployment.client("s3")
    held = {stack_tags(stack).get("parris:run-id"): stack for stack in stacks}
    keys = list(keys)

    def read(key: tuple[str, str]) -> Run:
        job, run_id = key
        prefix = f"runs/{job}/{run_id}/"
        receipt = _read_json(s3, deployment.results_bucket, prefix + "run.json") or {}
        outcome = _read_json(s3, deployment.results_bucket, prefix + "outcome.json")
        stack = held.get(run_id)
        state, reason = state_of(deployment, receipt, outcome, stack)
        return Run(
            job=job,
            run_id=run_id,
            receipt=receipt,
            outcome=outcome,
            stack=stack,
            state=state,
            reason=reason,
        )

    with ThreadPoolExecutor(max_workers=8) as pool:
        return list(pool.map(read, keys))


def state_of(
    deployment: Deployment,
    receipt: Mapping[str, Any],
    outcome: Mapping[str, Any] | None,
    stack: Mapping[str, Any] | None,
) -> tuple[str, str]:
    """Return a run's state, one word, and why, one sentence or nothing."""
    if outcome is not None:
        return str(outcome["state"]), str(outcome.get("reason", ""))
    if receipt.get("state") == "launch-failed":
        return "launch-failed", str(receipt.get("reason", ""))
    if stack is None:
        if "stack-id" not in receipt:
            return "launching", "claimed; its stack is not there yet"
        return "interrupted", "its stack is gone and the machine left no outcome"
    status = str(stack["StackStatus"])
    if any(word in status for word in _FAILED_STACK):
        return "launch-failed", _first_failure(deployment, stack)
    if status.startswith("DELETE"):
        return "interrupted", "its stack is being deleted and the machine left no outcome"
    if status.endswith("IN_PROGRESS"):
        return "launching", f"stack {status}"
    machine = _machine_state(deployment, stack)
    if machine in ("terminated", "stopped", "missing"):
        return "interrupted", f"the machine is {machine} and left no outcome"
    return "running", ""


def find_run(deployment: Deployment, job: str | None, run_id: str | None) -> Run:
    """Return the run named, or else the newest (of `job`, where given).

    Raises:
        Refused: if there is none.
    """
    keys = list_run_keys(deployment, job)
    if run_id:
        keys = [key for key in keys if key[1] == run_id]
    if not keys:
        what = f"run {run_id}" if run_id else "run"
        of = f" of job {job}" if job else ""
        raise Refused(f"there is no {what}{of}; make status lists the runs, make launch starts one")
    return read_runs(deployment, keys[:1], list_stacks(deployment))[0]


def _read_json(s3: Any, bucket: str, key: str) -> dict[str, Any] | None:
    try:
        content: dict[str, Any] = json.loads(s3.get_object(Bucket=bucket, Key=key)["Body"].read())
    except ClientError as error:
        if error.response["Error"]["Code"] != "NoSuchKey":
            raise
        return None
    return content


def _machine_state(deployment: Deployment, stack: Mapping[str, Any]) -> str:
    outputs = {item["OutputKey"]: item["OutputValue"] for item in stack.get("Outputs", [])}
    if "InstanceId" not in outputs:
        return "unknown"
    try:
        answer = deployment.client("ec2").describe_instances(InstanceIds=[outputs["InstanceId"]])
    except ClientError as error:
        if error.response["Error"]["Code"] != "InvalidInstanceID.NotFound":
            raise
        return "missing"  # EC2 forgets a terminated instance after about an hour
    return str(answer["Reservations"][0]["Instances"][0]["State"]["Name"])


def _first_failure(deployment: Deployment, stack: Mapping[str, Any]) -> str:
    """Return CloudFormation's own reason: that of the first resource that failed."""
    pages = (
        deployment.client("cloudformation")
        .get_paginator("describe_stack_events")
        .paginate(StackName=stack["StackId"])
    )
    failures = [
        f"{event['LogicalResourceId']}: {event.get('ResourceStatusReason', '')}"
        for page in pages
        for event in page["StackEvents"]  # newest first
        if event["ResourceStatus"].endswith("_FAILED")
    ]
    return failures[-1] if failures else f"stack {stack['StackStatus']}"
