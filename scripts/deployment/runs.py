"""The runs of a deployment, put together from receipts, outcomes and stacks."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import Any

from botocore.exceptions import ClientError

from parris.aws import stacks as cloudformation
from parris.aws.stack_events import first_failure, last_deletion
from parris.aws.stacks import stack_parameters, stack_tags
from parris.contract import OVER, EndedBy, Metric, State
from parris.events.request import JOB_NAME, LAST, is_run_key
from parris.runs.attempt import Attempt
from parris.runs.documents import Outcome, Receipt
from parris.runs.ending import Ending
from parris.runs.lifecycle import deleted, replaced
from parris.runs.state import may_be_followed, state_of
from parris.runs.times import iso, read_time
from scripts.cli.console import Refused
from scripts.deployment.machines import instance_of, machine_states
from scripts.deployment.outputs import Deployment
from scripts.deployment.receipts import read_receipt
from scripts.deployment.run_ids import begun_with
from scripts.deployment.stores import ledger_of, storage_of

_GOING = ("pending", "running")
"""States of a machine whose run goes on."""

_BEGINNING = re.compile(r"[A-Za-z0-9._-]{1,64}")
"""What may be the beginning of a run's id, or a job's name where that was meant to be one."""

_NEWEST = 5
"""Runs to look through for the newest that got its stack."""

_AMBIGUOUS = 20
"""Runs of all jobs whose ids begin alike, after which they are told from S3."""


@dataclass(frozen=True, kw_only=True)
class Run:
    """One run as far as it is known."""

    job: str
    run_id: str
    receipt: Receipt
    outcome: Outcome | None
    stack: Mapping[str, Any] | None
    """The stack that holds this run now, as DescribeStacks gives it; None if none does."""
    state: str
    reason: str
    ended_by: str
    """What ended it (docs/contracts.md, ``ended-by``); "" while it is not over."""
    attempts: tuple[Attempt, ...] = ()
    """Its machines that are over, and the refusals of some, while it goes on."""
    metrics: Mapping[str, Metric] = field(default_factory=dict)
    """The last values that its trainer has told."""

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
    """Return (job, run id) of every run, newest receipt first: a call for a thousand of them."""
    return storage_of(deployment).list_runs(job)


def read_runs(
    deployment: Deployment, keys: Iterable[tuple[str, str]], stacks: Iterable[Mapping[str, Any]]
) -> list[Run]:
    """Return the runs `keys`, in that order, from S3 and with what their stacks say."""
    s3, storage, keys = deployment.client("s3"), storage_of(deployment), list(keys)
    ledger = ledger_of(deployment)
    standing = look(deployment, stacks, {run_id for _, run_id in keys})

    def read(key: tuple[str, str]) -> Run:
        job, run_id = key
        receipt: Receipt = {}
        outcome: Outcome | None = None
        attempts: tuple[Attempt, ...] = ()
        metrics: Mapping[str, Metric] = {}
        if is_run_key(job, run_id):  # a stack's tags may be anything
            prefix = f"runs/{job}/{run_id}/"
            receipt = _receipt(s3, deployment.results_bucket, prefix + "run.json")
            outcome = storage.read_outcome(prefix)
            record = ledger.read(job, run_id)
            metrics = record.metrics if record else {}
            if record is not None and receipt and outcome is None:
                attempts = record.attempts
                if record.state == State.RELAUNCHING:
                    receipt = {**receipt, "state": record.state, "reason": record.reason}
        return make_run(
            deployment,
            key,
            receipt,
            outcome,
            standing,
            attempts=attempts,
            metrics=metrics,
            hear=True,
        )

    with ThreadPoolExecutor(max_workers=8) as pool:
        return list(pool.map(read, keys))


@dataclass(frozen=True, kw_only=True)
class Standing:
    """The stacks that stand, and what EC2 says of the machines of those that were asked about."""

    by_run: Mapping[str | None, Mapping[str, Any]]
    by_id: Mapping[str, Mapping[str, Any]]
    """Without those whose replacement failed: it is undone, tags and all, so that it is no newer
    run that has them."""
    machines: Mapping[str, str]
    """States by instance id."""


def look(
    deployment: Deployment, stacks: Iterable[Mapping[str, Any]], run_ids: Collection[str]
) -> Standing:
    """Return how `stacks` stand, and the machines of `run_ids`."""
    stacks = list(stacks)
    by_run = {stack_tags(stack).get("parris:run-id"): stack for stack in stacks}
    asked = (stack for run_id, stack in by_run.items() if run_id in run_ids)
    return Standing(
        by_run=by_run,
        by_id={one["StackId"]: one for one in stacks if "ROLLBACK" not in one["StackStatus"]},
        machines=machine_states(deployment, asked),
    )


def make_run(
    deployment: Deployment,
    key: tuple[str, str],
    receipt: Receipt,
    outcome: Outcome | None,
    standing: Standing,
    *,
    attempts: tuple[Attempt, ...] = (),
    metrics: Mapping[str, Metric] | None = None,
    hear: bool = False,
) -> Run:
    """Return a run of which receipt and outcome are known, if it has one.

    Args:
        attempts: its machines that are over, while it goes on.
        metrics: as the ledger has them; its outcome's count where that has some.
        hear: whether its machine's own word is read also while the machine is still on.
    """
    job, run_id = key
    stack = standing.by_run.get(run_id)
    machine = standing.machines.get(instance_of(stack), "")
    off = bool(machine) and machine not in _GOING
    if outcome is None and (hear or off) and is_run_key(job, run_id):
        outcome = _said(deployment, f"runs/{job}/{run_id}/", stack)
        if outcome is not None and may_be_followed(receipt, outcome):
            receipt = {**receipt, "state": State.RELAUNCHING, "reason": outcome["reason"]}
            outcome = None
    now_of = standing.by_id.get(receipt.get("stack-id", ""))
    if stack is None and outcome is None and now_of is not None:
        stands = replaced(stack_tags(now_of).get("parris:run-id", "unknown"))
    else:
        status = str(stack["StackStatus"]) if stack else None
        stands = state_of(receipt, outcome, status, machine)
        # Since the stacks were listed a run with attempts may have got its next one.
        if outcome is None and not (attempts and stands.state == State.ENDING):
            stands = _explained(deployment, stands, receipt, stack)
    if stack is not None and (moved := read_time(stack_parameters(stack).get("Deadline"))):
        receipt = {**receipt, "deadline": iso(moved)}  # by make extend
    return Run(
        job=job,
        run_id=run_id,
        receipt=receipt,
        outcome=outcome,
        stack=stack,
        state=stands.state,
        reason=stands.reason,
        ended_by=stands.ended_by,
        attempts=attempts,
        metrics=(outcome or {}).get("metrics") or metrics or {},
    )


def _explained(
    deployment: Deployment,
    stands: Ending,
    receipt: Receipt,
    stack: Mapping[str, Any] | None,
) -> Ending:
    """Return `stands` with what CloudFormation's events say of a stack that failed or is gone."""
    if stands.ended_by == EndedBy.CLOUDFORMATION and stack is not None:
        said = first_failure(deployment.client("cloudformation"), stack["StackId"])
        return replace(stands, reason=said or stands.reason)
    if stands.state == State.ENDING and "stack-id" in receipt:
        return _deleted(deployment, receipt)
    return stands


def find_run(deployment: Deployment, job: str | None, run_id: str | None) -> Run:
    """Return the run named, or else the newest (of `job`, where given) that got its stack.

    Args:
        run_id: or the beginning of one, or LAST for the newest.

    Raises:
        Refused: if there is none, or `run_id` begins several.
    """
    if job and not JOB_NAME.fullmatch(job):
        raise Refused(f"{job!r} is not a job's name; make status lists the runs")
    run_id = None if run_id == LAST else run_id
    if run_id and not _BEGINNING.fullmatch(run_id):
        raise Refused(f"{run_id!r} is not a run's id, nor the beginning of one")
    ledger = ledger_of(deployment)
    if ledger.adopted_after() is not None:  # after an upgrade it does not hold all yet
        keys = []
    elif run_id:
        found = ledger.begun_with(run_id, _AMBIGUOUS)
        keys = [key for key in found if key[0] == (job or key[0])]
        if len(keys) != 1 or len(found) == _AMBIGUOUS:
            keys = []  # none, or several, or of a version without a ledger
    else:
        keys = [(one.job, one.run_id) for one in ledger.newest(_NEWEST, job)[0]]
    if not keys:
        keys = list_run_keys(deployment, job)
        if not keys:
            of = f" of job {job}" if job else ""
            raise Refused(
                f"there is no run{of}; make status lists the runs, make launch starts one"
            )
        keys = [begun_with(run_id, keys)] if run_id else keys
    newest = read_runs(deployment, keys[:_NEWEST], list_stacks(deployment))
    # A launch that was refused has left a receipt, and nothing that anybody would want to see.
    return next((run for run in newest if run.outcome or "stack-id" in run.receipt), newest[0])


def _receipt(s3: Any, bucket: str, key: str) -> Receipt:
    """Return a run.json; it is empty if there is none."""
    try:
        return read_receipt(s3.get_object(Bucket=bucket, Key=key)["Body"].read(), key)
    except ClientError as error:
        if error.response["Error"]["Code"] != "NoSuchKey":
            raise
        return {}


def _said(deployment: Deployment, prefix: str, stack: Mapping[str, Any] | None) -> Outcome | None:
    """Return what a run's machine says of its end, which the reap function has yet to read."""
    instance_id, storage = instance_of(stack), storage_of(deployment)
    folder = instance_id and storage.find_machine_folder(prefix, instance_id)
    if not folder:
        return None
    said, _ = storage.read_machine_outcome(prefix, folder)
    return None if said is None else {**said, "machine": folder}


def _deleted(deployment: Deployment, receipt: Receipt) -> Ending:
    """Return how a run ended whose stack was deleted before anybody wrote an outcome."""
    found = last_deletion(deployment.client("cloudformation"), receipt["stack-id"])
    if found is None:
        reason = "its stack is gone and the machine left no outcome"
        return Ending(state=State.INTERRUPTED, reason=reason, ended_by=EndedBy.SOMEBODY)
    deadline = read_time(receipt.get("deadline")) or found[1]
    return deleted(found[0], deadline, found[1])


def change_receipt(deployment: Deployment, run: Run, change: Callable[[Receipt], Receipt]) -> None:
    """Change a run's run.json, whoever else does at the same moment.

    Raises:
        Refused: if it changes all the time, or cannot be read.
    """
    try:
        changed = storage_of(deployment).change_receipt(run.prefix, change)
    except ValueError as error:
        raise Refused(f"{run.prefix}run.json cannot be read: {error}") from error
    if not changed:
        raise Refused(f"run.json of run {run.run_id} changes all the time; try again")
