"""The runs of a deployment, put together from receipts, outcomes and stacks."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from botocore.exceptions import ClientError

from parris.aws import stacks as cloudformation
from parris.aws.stacks import first_failure, last_deletion, stack_tags
from parris.aws.storage import Storage
from parris.events.request import JOB_NAME, is_run_key
from parris.runs.lifecycle import Ending, deleted, replaced
from scripts.cli.console import Refused
from scripts.deployment.outputs import Deployment
from scripts.deployment.run_ids import begun_with

OVER = (
    *("succeeded", "failed", "timed-out", "interrupted", "stopped", "launch-failed"),
    "skipped",
)
_FAILED_STACK = ("ROLLBACK", "CREATE_FAILED")
"""How the status of a stack that never held a machine begins. UPDATE_ROLLBACK is none of them:
there a replacement failed, and the machine of the run before it goes on."""


_FOLDER_NAME = re.compile(r"[A-Z0-9]+:i-[0-9a-f]+")
"""What ``aws:userid`` is for a machine (IAM user guide, "IAM policy elements: Variables")."""

_BEGINNING = re.compile(r"[A-Za-z0-9._-]{1,64}")
"""What may be the beginning of a run's id, or a job's name where that was meant to be one."""

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
    stacks = list(stacks)
    held = {stack_tags(stack).get("parris:run-id"): stack for stack in stacks}
    # A replacement that failed is undone, tags and all: then it is not a newer run that has it.
    taken = {one["StackId"]: one for one in stacks if "ROLLBACK" not in one["StackStatus"]}
    keys = list(keys)

    def read(key: tuple[str, str]) -> Run:
        job, run_id = key
        stack = held.get(run_id)
        receipt: Mapping[str, Any] = {}
        outcome: Mapping[str, Any] | None = None
        if is_run_key(job, run_id):  # a stack's tags may be anything
            prefix = f"runs/{job}/{run_id}/"
            receipt = _read_json(s3, deployment.results_bucket, prefix + "run.json") or {}
            outcome = storage.read_outcome(prefix) or _said(storage, prefix, stack)
        now_of = taken.get(receipt.get("stack-id"))
        if stack is None and outcome is None and now_of is not None:
            ending = replaced(stack_tags(now_of).get("parris:run-id", "unknown"))
        else:
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

    Args:
        run_id: or the beginning of one.

    Raises:
        Refused: if there is none, or `run_id` begins several.
    """
    if job and not JOB_NAME.fullmatch(job):
        raise Refused(f"{job!r} is not a job's name; make status lists the runs")
    if run_id and not _BEGINNING.fullmatch(run_id):
        raise Refused(f"{run_id!r} is not a run's id, nor the beginning of one")
    keys = list_run_keys(deployment, job)
    if not keys:
        of = f" of job {job}" if job else ""
        raise Refused(f"there is no run{of}; make status lists the runs, make launch starts one")
    if run_id:
        keys = [begun_with(run_id, keys)]
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


def believed_folder(deployment: Deployment, run: Run) -> str:
    """Return where in the results bucket the machine of a run stores, with a slash at its end.

    That is the folder which the run's outcome names or, while it has none, that of the instance
    with the run's tags: its name is the writer's ``aws:userid``, to which the machines' policy
    holds them (docs/contracts.md, "What is believed"). A run of an older version has its objects
    at its root; one that no machine has written for has them nowhere: the same.
    """
    name = (run.outcome or {}).get("machine")
    if name is None and run.outcome is None:
        instance = find_machine(deployment, run.run_id)["InstanceId"]
        if instance:
            name = _storage(deployment).find_machine_folder(run.prefix, instance)
    if isinstance(name, str) and _FOLDER_NAME.fullmatch(name):
        return f"{run.prefix}machines/{name}/"
    return run.prefix


def log_stream(run: Run) -> str:
    """Return the name of a run's stream in CloudWatch Logs; "" if nobody knows it any more."""
    known = stack_tags(run.stack or {}), run.outcome or {}, run.receipt
    names = (
        known[0].get("parris:log-stream"),
        known[1].get("log-stream"),
        known[2].get("log-stream"),
    )
    return next((name for name in names if isinstance(name, str) and name), "")


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
    """Return how a run ended whose stack was deleted before anybody wrote an outcome."""
    found = last_deletion(deployment.client("cloudformation"), receipt["stack-id"])
    if found is None:
        reason = "its stack is gone and the machine left no outcome"
        return Ending(state="interrupted", reason=reason, ended_by="somebody")
    return deleted(found[0], datetime.fromisoformat(receipt["deadline"]), found[1])


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
