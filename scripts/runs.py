"""The runs of a deployment, put together from receipts, outcomes and stacks."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from botocore.exceptions import ClientError

from parris import stacks as cloudformation
from parris.stacks import deleter, first_failure, stack_tags
from parris.storage import Storage
from parris.verdict import Ending, deleted
from scripts.console import Refused
from scripts.deployment import Deployment

OVER = (
    *("succeeded", "failed", "timed-out", "interrupted", "stopped", "launch-failed"),
    "skipped",
)
_FAILED_STACK = ("ROLLBACK", "CREATE_FAILED")
"""How the status of a stack that never held a machine begins. UPDATE_ROLLBACK is none of them:
there a replacement failed, and the machine of the run before it goes on."""


_NEWEST = 5
"""Receipts to look through for the newest run."""


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
    ended_by: str
    """What ended it (docs/contracts.md, ``ended-by``); "" while it is not over."""

    @property
    def prefix(self) -> str:
        return f"runs/{self.job}/{self.run_id}/"

    @property
    def is_over(self) -> bool:
        return self.state in OVER

    @property
    def log_stream(self) -> str | None:
        """Return where the machine streams its log, once somebody who is believed says so."""
        older = self.receipt.get("log-stream")
        tags = stack_tags(self.stack or {})
        known = tags.get("parris:log-stream") or (self.outcome or {}).get("log-stream") or older
        return None if known is None else str(known)


def list_stacks(deployment: Deployment) -> list[Mapping[str, Any]]:
    """Return this deployment's stacks, by its tag, in one listing pass."""
    client = deployment.client("cloudformation")
    return cloudformation.list_stacks(client, deployment.deployment)


def list_run_keys(deployment: Deployment, job: str | None) -> list[tuple[str, str]]:
    """Return (job, run id) of every run, newest receipt first."""
    return _storage(deployment).list_runs(job)


def read_runs(
    deployment: Deployment, keys: Iterable[tuple[str, str]], stacks: Iterable[Mapping[str, Any]]
) -> list[Run]:
    """Return the runs `keys`, in that order, with what their stacks say."""
    s3, storage = deployment.client("s3"), _storage(deployment)
    held = {stack_tags(stack).get("parris:run-id"): stack for stack in stacks}
    keys = list(keys)

    def read(key: tuple[str, str]) -> Run:
        job, run_id = key
        prefix = f"runs/{job}/{run_id}/"
        receipt = _read_json(s3, deployment.results_bucket, prefix + "run.json") or {}
        stack = held.get(run_id)
        outcome = storage.read_outcome(prefix) or _said(storage, prefix, stack)
        ending = ending_of(deployment, receipt, outcome, stack)
        return Run(
            job=job,
            run_id=run_id,
            receipt=receipt,
            outcome=outcome,
            stack=stack,
            state=ending.state,
            reason=ending.reason,
            ended_by=ending.ended_by,
        )

    with ThreadPoolExecutor(max_workers=8) as pool:
        return list(pool.map(read, keys))


def ending_of(
    deployment: Deployment,
    receipt: Mapping[str, Any],
    outcome: Mapping[str, Any] | None,
    stack: Mapping[str, Any] | None,
) -> Ending:
    """Return a run's state, one word, and why, one sentence or nothing, and what ended it."""
    if outcome is not None:
        reason, ended_by = str(outcome.get("reason", "")), str(outcome.get("ended-by", ""))
        return Ending(state=str(outcome["state"]), reason=reason, ended_by=ended_by)
    if receipt.get("state") == "launch-failed":
        reason = str(receipt.get("reason", ""))
        return Ending(state="launch-failed", reason=reason, ended_by="launch")
    if receipt.get("state") in ("skipped", "queued") and "stack-id" not in receipt:
        reason, over = str(receipt.get("reason", "")), receipt["state"] == "skipped"
        return Ending(state=receipt["state"], reason=reason, ended_by="launch" if over else "")
    if stack is None:
        if "stack-id" not in receipt:
            return _under_way("launching", "claimed; its stack is not there yet")
        return _deleted(deployment, receipt)
    status = str(stack["StackStatus"])
    if status.startswith(_FAILED_STACK):
        client = deployment.client("cloudformation")
        reason = first_failure(client, stack["StackId"]) or f"stack {status}"
        return Ending(state="launch-failed", reason=reason, ended_by="cloudformation")
    if status.startswith("DELETE"):
        return _deleted(deployment, receipt)
    if status.endswith("IN_PROGRESS") and not status.startswith("UPDATE_ROLLBACK"):
        return _under_way("launching", f"stack {status}")
    machine = _machine_state(deployment, stack)
    if machine in ("terminated", "stopped", "missing"):
        reason = f"the machine is {machine} and left no outcome"
        return Ending(state="interrupted", reason=reason, ended_by="ec2")
    return _under_way("running", "")


def _under_way(state: str, reason: str) -> Ending:
    return Ending(state=state, reason=reason, ended_by="")


def find_run(deployment: Deployment, job: str | None, run_id: str | None) -> Run:
    """Return the run named, or else the newest (of `job`, where given) that got its stack.

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
    newest = read_runs(deployment, keys[:_NEWEST], list_stacks(deployment))
    # A launch that was refused has left a receipt, and nothing that anybody would want to see.
    return next((run for run in newest if run.outcome or "stack-id" in run.receipt), newest[0])


def _read_json(s3: Any, bucket: str, key: str) -> dict[str, Any] | None:
    try:
        content: dict[str, Any] = json.loads(s3.get_object(Bucket=bucket, Key=key)["Body"].read())
    except ClientError as error:
        if error.response["Error"]["Code"] != "NoSuchKey":
            raise
        return None
    return content


def find_folder(deployment: Deployment, run: Run) -> str | None:
    """Return the folder in which the run's own machine stores things; None if it did not.

    It is the one that the functions believed, or that of the instance which EC2 names. Older runs
    have none: theirs lie at the run's root.
    """
    if run.outcome is not None:
        machine = run.outcome.get("machine")
        return None if machine is None else f"{run.prefix}machines/{machine}/"
    instance_id = find_machine(deployment, run.run_id)["InstanceId"]
    if not instance_id:
        return None
    machine = _storage(deployment).find_machine_folder(run.prefix, instance_id)
    return None if machine is None else f"{run.prefix}machines/{machine}/"


def find_machine(deployment: Deployment, run_id: str) -> dict[str, Any]:
    """Return a run's instance; its state is "none" if EC2 does not know one (any more)."""
    answer = deployment.client("ec2").describe_instances(
        Filters=[
            {"Name": "tag:parris:run-id", "Values": [run_id]},
            {"Name": "tag:parris:deployment", "Values": [deployment.deployment]},
        ]
    )
    found = [found for each in answer["Reservations"] for found in each["Instances"]]
    return dict(found[0]) if found else {"InstanceId": "", "State": {"Name": "none"}}


def _said(
    storage: Storage, prefix: str, stack: Mapping[str, Any] | None
) -> Mapping[str, Any] | None:
    """Return what a run's machine says of its end, which the reap function has yet to read."""
    instance_id = _instance_id(stack or {})
    folder = instance_id and storage.find_machine_folder(prefix, instance_id)
    if not folder:
        return None
    said, _ = storage.read_machine_outcome(prefix, folder)
    return None if said is None else {**said, "machine": folder}


def _instance_id(stack: Mapping[str, Any]) -> str | None:
    outputs = {item["OutputKey"]: item["OutputValue"] for item in stack.get("Outputs", [])}
    return outputs.get("InstanceId")


def _machine_state(deployment: Deployment, stack: Mapping[str, Any]) -> str:
    instance_id = _instance_id(stack)
    if instance_id is None:
        return "unknown"
    try:
        answer = deployment.client("ec2").describe_instances(InstanceIds=[instance_id])
    except ClientError as error:
        if error.response["Error"]["Code"] != "InvalidInstanceID.NotFound":
            raise
        return "missing"  # EC2 forgets a terminated instance after about an hour
    return str(answer["Reservations"][0]["Instances"][0]["State"]["Name"])


def _deleted(deployment: Deployment, receipt: Mapping[str, Any]) -> Ending:
    """Return how a run ended whose stack was deleted before anybody wrote an outcome.

    CloudFormation keeps the events of a deleted stack for 90 days, and in them who deleted it.
    """
    client = deployment.client("cloudformation")
    pages = client.get_paginator("describe_stack_events").paginate(StackName=receipt["stack-id"])
    try:
        asked = next(
            event
            for page in pages
            for event in page["StackEvents"]  # newest first
            if event["ResourceStatus"] == "DELETE_IN_PROGRESS"
            and event["PhysicalResourceId"] == receipt["stack-id"]
        )
    except (StopIteration, ClientError):
        reason = "its stack is gone and the machine left no outcome"
        return Ending(state="interrupted", reason=reason, ended_by="somebody")
    who = deleter(asked.get("ClientRequestToken", ""))
    return deleted(who, datetime.fromisoformat(receipt["deadline"]), asked["Timestamp"])


def change_receipt(
    deployment: Deployment, run: Run, change: Callable[[Mapping[str, Any]], dict[str, Any]]
) -> None:
    """Change a run's run.json, whoever else does at the same moment."""
    if not _storage(deployment).change_receipt(run.prefix, change):
        raise Refused(f"run.json of run {run.run_id} changes all the time; try again")


def _storage(deployment: Deployment) -> Storage:
    return Storage(
        s3=deployment.client("s3"),
        config_bucket=deployment.config_bucket,
        results_bucket=deployment.results_bucket,
    )
