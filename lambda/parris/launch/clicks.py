"""The use case of clicks that launch nothing: say how things are, or end a run gently."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING, Any

from ..aws.ledger import Ledger
from ..aws.slots import Slots
from ..aws.stacks import list_stacks, stack_deadline, stack_tags
from ..aws.storage import Storage
from ..aws.told import told_key
from ..aws.topic import Notifier
from ..contract import State
from ..events.request import LaunchRequest
from ..events.router import relaunch_event
from ..runs import messages
from ..runs.names import run_prefix
from ..runs.plan import event_digest
from ..runs.state import state_of
from ..runs.times import iso

if TYPE_CHECKING:
    from mypy_boto3_cloudformation import CloudFormationClient

    from ..runs.documents import Receipt


_NEWEST = 5
"""Runs in a status message: as many as a phone shows."""


def act(
    request: LaunchRequest,
    deployment: str,
    storage: Storage,
    ledger: Ledger,
    cloudformation: CloudFormationClient,
    notifier: Notifier,
    go_on: Callable[[Mapping[str, Any]], Mapping[str, Any]],
    now: datetime,
) -> dict[str, Any]:
    """Do what a click asks for that launches nothing, once, and return the answer.

    Args:
        go_on: what an event for the next machine of a run (`relaunch_event`) sets off.
    """
    key = told_key(request.job, event_digest(request), request.action)
    stacks = [
        stack
        for stack in list_stacks(cloudformation, deployment)
        if not stack["StackStatus"].startswith("DELETE")
    ]
    if request.action == "status":
        runs = _newest(ledger, stacks)
        said = partial(messages.status, runs, "; ".join(request.notes))
        told = notifier.tell_once(key, said, lasting=False)  # late, it is no less true
        return {"action": "status", "runs": runs, "duplicate": not told}
    stopped = _stop(request, storage, ledger, stacks, go_on, now)
    subject = f"{request.job} is being stopped" if stopped else f"nothing of {request.job} to stop"
    why = (
        f"Asked to end gently, its results stored first: {', '.join(stopped)}."
        if stopped
        else f"No run of job {request.job} is under way."
    )
    told = notifier.tell_once(
        key, lambda: messages.told(request.job, subject, [why, *request.notes])
    )
    return {"action": "stop", "job": request.job, "stopping": stopped, "duplicate": not told}


def _newest(ledger: Ledger, stacks: list[Mapping[str, Any]]) -> list[dict[str, str]]:
    held = {stack_tags(stack).get("parris:run-id"): stack for stack in stacks}
    runs = []
    for record in ledger.newest(_NEWEST, older=False)[0]:
        stack = held.get(record.run_id)
        status = stack["StackStatus"] if stack else None
        stands = state_of(record.known, record.outcome, status, machine="")
        reason = stands.reason
        if stack and stands.state == State.RUNNING:
            reason = f"until {iso(stack_deadline(stack))} at most"
        named = {"job": record.job, "run-id": record.run_id}
        runs.append({**named, "state": stands.state, "reason": reason})
    return runs


def _stop(
    request: LaunchRequest,
    storage: Storage,
    ledger: Ledger,
    stacks: Sequence[Mapping[str, Any]],
    go_on: Callable[[Mapping[str, Any]], Mapping[str, Any]],
    now: datetime,
) -> list[str]:
    """Ask the job's grids and runs to end, the runs in their receipts; return their ids.

    A grid begins no more trials from then on, and a sweep sees to those that wait.

    A run that is between two machines may have no stack, but it counts against the deployment's
    limit; whoever is to begin its next machine finds that it is to end.
    """
    from ..aws.grids import Grids  # an ordinary launch does not wait for it

    grids = Grids(ledger.table)
    asked = grids.going(request.job)
    for grid_id in asked:
        grids.stop(request.job, grid_id, "a button stopped it", by_hand=True)
    tags = [stack_tags(stack) for stack in stacks]
    standing = {one["parris:run-id"] for one in tags if one["parris:job"] == request.job}
    holders = [run.partition("/") for run in Slots(ledger.table).holders().values()]
    counting = {run_id for job, _, run_id in holders if job == request.job}
    by = f"button {request.origin.get('serial-number', '')}".strip()
    ask = partial(_asked, {"requested": iso(now), "by": by})
    for run_id in sorted(standing | counting):
        prefix, record = run_prefix(request.job, run_id), ledger.read(request.job, run_id)
        then = record.next if record else None
        if (run_id not in standing and then is None) or storage.has_outcome(prefix):
            continue
        storage.change_receipt(prefix, ask)
        asked.append(run_id)
        if then is not None:
            go_on(relaunch_event(request.job, run_id, then.number))
    return asked


def _asked(stop: Mapping[str, str], receipt: Receipt) -> Receipt:
    return {"stop": stop, **receipt}  # who asked first stands
