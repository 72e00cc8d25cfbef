"""The next machine of a run whose machine is over: the reap function asks, this begins it.

What a sweep finds if the launch dies: before UpdateStack or CreateStack, a run that is relaunching,
for which it asks again once the claim is over; after it, a stack that holds the attempt.
"""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from botocore.exceptions import BotoCoreError, ClientError

from ..aws.attempts import Attempts
from ..aws.ledger import Ledger
from ..aws.stacks import UPDATABLE, change_stack, read_stack, stack_tags, start_stack
from ..aws.storage import Storage
from ..aws.topic import Notifier, tell_of_attempt
from ..contract import EndedBy, State, read_stop
from ..errors import InvalidConfig, LaunchFailed, LaunchUnclear, ParrisError, StackInTheWay
from ..events.request import LaunchRequest
from ..events.router import refused_event
from ..jobs.config import CONFIG_FILENAME, TERMINATION_METHODS, read_config
from ..runs.attempt import Next, last_folder, spent_usd
from ..runs.budget import (
    MINIMUM_MINUTES,
    BudgetTooSmall,
    after_deadline_usd,
    minutes_for_budget,
)
from ..runs.ending import Ending
from ..runs.images import default_image
from ..runs.names import run_prefix
from ..runs.plan import RunPlan, plan_run
from ..runs.record import RunRecord, run_deadline
from ..runs.times import iso, read_time
from ..settings import Settings
from . import prepare
from .prepare import Clients, Machine

if TYPE_CHECKING:
    from ..runs.documents import Receipt

log = logging.getLogger(__name__)


class _OverError(Exception):
    """The run gets no other machine."""

    def __init__(self, state: str, reason: str, ended_by: str) -> None:
        super().__init__(reason)
        self.ending = Ending(state=state, reason=reason, ended_by=ended_by)


def relaunch(
    event: Mapping[str, Any],
    *,
    settings: Settings,
    clients: Clients,
    machine: Machine,
    ledger: Ledger,
    storage: Storage,
    notifier: Notifier,
    now: datetime,
) -> dict[str, Any]:
    """Begin the attempt that `event` asks for, once; return what came of it.

    Raises:
        ParrisError: if it could not be begun now; the next sweep asks again.
    """
    job, run_id = str(event.get("job")), str(event.get("run-id"))
    known = ledger.read(job, run_id)
    answer = {"job": job, "run-id": run_id, "attempt": event.get("attempt")}
    if known is None or known.next is None or known.next.number != event.get("attempt"):
        return {**answer, "duplicate": True}
    attempts = Attempts(ledger.table)
    record = attempts.claim(known, os.urandom(16).hex(), now)
    if record is None or record.refused is not None:
        return {**answer, "duplicate": True}
    try:
        stack_id = _begin(
            record, known.next, settings, clients, machine, ledger, storage, notifier, now
        )
    except _OverError as error:
        attempts.refuse(record, error.ending)
        _ask_to_end(record, settings, clients)
        return {**answer, "over": error.ending.state, "reason": error.ending.reason}
    except LaunchUnclear:
        raise  # a sweep looks, when the claim is over
    except (ParrisError, ClientError, BotoCoreError):
        attempts.give_back(record, now)
        raise
    return {**answer, "stack-id": stack_id, "duplicate": False}


def _ask_to_end(record: RunRecord, settings: Settings, clients: Clients) -> None:
    """Let the reap function record at once how a run ended."""
    try:
        clients.functions().invoke(
            FunctionName=settings.reap_function_arn,
            InvocationType="Event",
            Payload=json.dumps(refused_event(record.job, record.run_id)).encode(),
        )
    except (ClientError, BotoCoreError):
        log.exception("the next sweep ends %s", record.name)


def _begin(
    record: RunRecord,
    then: Next,
    settings: Settings,
    clients: Clients,
    machine: Machine,
    ledger: Ledger,
    storage: Storage,
    notifier: Notifier,
    now: datetime,
) -> str:
    attempts = Attempts(ledger.table)
    prefix, cloudformation = run_prefix(record.job, record.run_id), clients.cloudformation()
    with ThreadPoolExecutor(max_workers=4) as pool:
        reading = pool.submit(storage.read_receipt, prefix)
        configuring = pool.submit(storage.read_source, prefix, CONFIG_FILENAME)
        before = read_stack(cloudformation, record.stack_id) if record.stack_id else None
        receipt, text = reading.result().receipt, configuring.result().text
    if stop := read_stop(receipt):
        reason = f"{record.reason}; before it had another machine it was {stop[0]}"
        raise _OverError(State.STOPPED, reason, stop[1])
    tags = stack_tags(before or {})
    status = str((before or {}).get("StackStatus", "DELETE_COMPLETE"))
    stands = tags.get("parris:run-id") == record.run_id and status != "DELETE_COMPLETE"
    if stands and status not in UPDATABLE:
        raise LaunchFailed(
            f"stack {record.receipt['stack-name']} is {status}; the next sweep looks"
        )
    stream = tags.get("parris:log-stream", "")
    try:
        plan = plan_again(record, then, receipt, text, settings, stream, now)
    except InvalidConfig as error:  # the deployment allows it no longer
        reason = f"{record.reason}; another machine is not allowed: {error}"
        raise _OverError(State.INTERRUPTED, reason, EndedBy.LAUNCH) from error
    plan = _within_budget(plan, record, clients, now, receipt.get("reserved-usd"))
    image = _image(plan, record, clients)
    template, network = _template(plan, storage, machine), prepare.read_network(plan, clients)
    call = prepare.stack_call(plan, settings, template, image, machine, network)
    facts = _facts(plan, record, image, now)
    storage.change_receipt(prefix, lambda held: {**held, **facts})
    try:
        if stands:
            stack_id = change_stack(cloudformation, call)
        else:
            stack_id = start_stack(cloudformation, call, replace=False)
    except StackInTheWay as error:
        if error.run_id and error.run_id != record.run_id:
            reason = f"{record.reason}; run {error.run_id} has the name of its stack"
            raise _OverError(State.INTERRUPTED, reason, EndedBy.REPLACEMENT) from error
        raise
    except LaunchFailed as error:
        reason = f"{record.reason}; another machine was refused: {error}"
        raise _OverError(State.INTERRUPTED, reason, EndedBy.CLOUDFORMATION) from error
    try:
        attempts.begin(record, stack_id, {**receipt, **facts, "stack-id": stack_id})
        if tell_of_attempt(record, notifier):
            ledger.accept(record)
    except (ClientError, BotoCoreError):
        log.exception("could not note attempt %d of %s", plan.attempt, record.name)  # a sweep does
    return stack_id


def plan_again(
    record: RunRecord,
    then: Next,
    receipt: Receipt,
    config: str,
    settings: Settings,
    log_stream: str,
    now: datetime,
) -> RunPlan:
    """Return the plan of the next machine of a run, which may go on until the run's deadline.

    Args:
        receipt: the run's ``run.json`` as it is now: its deadline may have been moved.
        config: the text of the run's own training-config.json, as it was when it began.
    """
    read = read_config(config, f"{record.job}/{CONFIG_FILENAME}")
    # Which limits count was settled when it began; a version before this one read it otherwise.
    if (method := receipt.get("termination-method")) in TERMINATION_METHODS:
        read = replace(read, termination_method=method)
    request = LaunchRequest(job=record.job, identity="", kind="relaunch")
    plan = plan_run(request, read, settings, now, run_id=record.run_id, nonce="")
    deadline = run_deadline(receipt, read_time(receipt.get("deadline")) or now)
    minutes = int((deadline - now).total_seconds() // 60)
    if minutes < MINIMUM_MINUTES:
        reason = f"{record.reason}; its deadline is too near for another machine"
        raise _OverError(State.TIMED_OUT, reason, EndedBy.REAP)
    rung = then.rung
    return replace(
        plan,
        attempt=then.number,
        rung=rung,
        image=read.image or default_image(rung.instance_type),
        deadline=deadline,
        limit_minutes=minutes,
        delete_at=deadline + settings.grace,
        log_stream=log_stream or plan.log_stream + os.urandom(16).hex(),
    )


def _within_budget(
    plan: RunPlan, record: RunRecord, clients: Clients, now: datetime, reserved: str | None = None
) -> RunPlan:
    """Return `plan` with its price, ended where the rest of its dollars ends if that is earlier.

    Args:
        reserved: US dollars that are reserved for all its machines of its month's budget, which
            count until its stack deletes itself.

    Raises:
        PriceUnknown: if it has a budget, and nobody knows how long the rest of that lasts.
    """
    if plan.budget_usd is None and reserved is None:
        return prepare.priced(plan, lambda: prepare.read_price(plan, clients))
    price = prepare.read_price(plan, clients)
    spent = spent_usd(record.attempts)
    rests: list[tuple[Decimal, str]] = []
    if plan.budget_usd is not None:
        rests.append((plan.budget_usd, f"its {plan.capped_by}"))
    if reserved is not None:
        after = after_deadline_usd(price.hourly_usd, plan.delete_at - plan.deadline)
        rests.append((Decimal(reserved) - after, "what is reserved for it"))
    rest, what = min(rests)
    try:
        minutes = minutes_for_budget(rest - Decimal(str(spent)), price.hourly_usd)
    except BudgetTooSmall as error:
        reason = f"{record.reason}; ${spent:.4f} of {what} are spent, and {error}"
        raise _OverError(State.TIMED_OUT, reason, EndedBy.REAP) from error
    minutes = min(minutes, plan.limit_minutes)
    deadline = min(plan.deadline, now + timedelta(minutes=minutes))
    moved = deadline - plan.deadline
    return replace(
        plan,
        price=price,
        limit_minutes=minutes,
        deadline=deadline,
        delete_at=plan.delete_at + moved,
    )


def _template(plan: RunPlan, storage: Storage, machine: Machine) -> str:
    """Return the template that the run began with."""
    if not plan.config.template:
        return machine.template
    try:
        return storage.read_source(plan.prefix, plan.config.template).text
    except ClientError as error:
        if error.response["Error"]["Code"] != "NoSuchKey":
            raise
        return machine.template  # the original's own name for the packaged one


def _image(plan: RunPlan, record: RunRecord, clients: Clients) -> str:
    """Return the image of the machine before, where the next one is of the same architecture."""
    known = str(record.receipt.get("image", ""))
    before = default_image(str(record.receipt["instance-type"]))
    if known.startswith("ami-") and before == default_image(plan.rung.instance_type):
        return known
    return prepare.resolve_image(plan, clients)


def _facts(plan: RunPlan, record: RunRecord, image: str, now: datetime) -> Receipt:
    """Return what of a ``run.json`` is of the machine that is begun now."""
    whole = last_folder(record.attempts)
    return {
        "state": State.ACCEPTED,
        "attempt": plan.attempt,
        "instance-type": plan.rung.instance_type,
        "market": plan.rung.market,
        "subnet-id": plan.rung.subnet_id,
        "attempt-began": iso(now),
        "image": image,
        "deadline": iso(plan.deadline),
        "price": plan.price.record() if plan.price else None,
        "earlier-attempt": f"{plan.prefix}machines/{whole}/" if whole else None,
    }
