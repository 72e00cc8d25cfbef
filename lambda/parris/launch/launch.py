"""The use case: one event becomes at most one training stack."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from botocore.exceptions import BotoCoreError, ClientError

from ..aws import prices
from ..aws.objects import event_key
from ..aws.stacks import StackCall, stack_of_run, start_stack
from ..aws.storage import Storage
from ..aws.topic import Notifier
from ..errors import InvalidConfig, LaunchUnclear, ParrisError, PriceUnknown
from ..events.router import is_arrival, is_settled, read_request
from ..jobs import config as configuration
from ..jobs.config import CONFIG_FILENAME, read_config
from ..runs import messages
from ..runs.budget import Price, cost
from ..runs.fleet import fill_slots
from ..runs.plan import RunPlan, iso, plan_run, receipt, within_budget, without_price
from ..settings import Settings
from . import clicks, render, windows
from .claim import RunClaim, claim_run, name_run
from .concurrency import Concurrency
from .overlap import hold_back

if TYPE_CHECKING:
    from mypy_boto3_cloudformation import CloudFormationClient
    from mypy_boto3_ec2 import EC2Client
    from mypy_boto3_pricing import PricingClient
    from mypy_boto3_scheduler import EventBridgeSchedulerClient
    from mypy_boto3_sns import SNSClient
    from mypy_boto3_ssm import SSMClient

log = logging.getLogger(__name__)

MAX_SCRIPT_BYTES = 10 * 1024**2
"""A script is text; what is larger is data, and belongs beside it or in another bucket."""


@dataclass(frozen=True, kw_only=True)
class Clients:
    """Makers of boto3 clients, called only by a launch that needs them."""

    storage: Callable[[], Storage]
    cloudformation: Callable[[], CloudFormationClient]
    ssm: Callable[[], SSMClient]
    pricing: Callable[[], PricingClient]
    ec2: Callable[[], EC2Client]
    sns: Callable[[], SNSClient]
    scheduler: Callable[[], EventBridgeSchedulerClient]


@dataclass(frozen=True, kw_only=True)
class Machine:
    """The packaged files that make a machine."""

    template: str
    user_data: str


def launch(
    event: object,
    request_id: str,
    *,
    settings: Settings,
    clients: Clients,
    machine: Machine,
    now: datetime,
) -> dict[str, Any]:
    """Do what `event` asks for, once, and return the answer (docs/contracts.md, "Events").

    Most events ask for a training. A click may ask for something else, and new data for a training
    when no more of it has come for a while.

    A training takes four round trips one after another: read the job; claim the run; copy its
    files; create the stack. What does not wait for another, such as the image, goes side by side
    with these, and a price on which no deadline hangs is read when the stack is under way.

    Raises:
        ParrisError: if it is refused or failed. Before a stack exists nothing is lost: the
            same event may be sent again.
    """
    storage = clients.storage()
    notifier = Notifier(sns=clients.sns, topic_arn=settings.topic_arn, storage=storage)
    if is_arrival(event):
        return windows.settle(event, settings, storage, clients.scheduler(), now)
    if is_settled(event):
        event = windows.at_the_end(event, settings, storage)
    request = read_request(event, request_id, settings.buttons)
    if request.action != "launch":
        return clicks.act(
            request, settings.deployment, storage, clients.cloudformation(), notifier, now
        )
    with ThreadPoolExecutor(max_workers=16, thread_name_prefix="launch") as pool:
        listing = pool.submit(storage.list_job_files, request.job)
        naming = pool.submit(name_run, storage, request, now)
        text = storage.read_job_file(request.job, CONFIG_FILENAME)
        config = read_config(text, f"{request.job}/{CONFIG_FILENAME}")
        run_id, nonce = naming.result(), os.urandom(16).hex()
        plan = plan_run(request, config, settings, now, run_id=run_id, nonce=nonce)
        files = listing.result()
        _check_files(plan, files)

        claiming = pool.submit(
            claim_run,
            storage,
            plan,
            lambda: stack_of_run(clients.cloudformation(), plan.stack_name, plan.run_id),
        )
        imaging = pool.submit(_image, plan, clients)
        templating = pool.submit(_template, plan, storage, files, machine)
        pricing = pool.submit(_price, plan, clients) if plan.budget_usd is not None else None
        claim = claiming.result()
        if not claim.ours:
            return _duplicate(claim.receipt)
        try:
            waiting = [pool.submit(storage.snapshot, plan.job, name, plan.prefix) for name in files]
            waiting.append(pool.submit(storage.copy_agent, plan.prefix, settings.agent_version))
            cloudformation = clients.cloudformation()  # made while the copies are under way
            concurrency = Concurrency(
                cloudformation, storage, settings.deployment, settings.max_concurrent_runs
            )
            waiting.append(pool.submit(concurrency.refuse_another, plan.stack_name))
            if pricing is not None:
                plan = _priced(plan, pricing.result)
                waiting.append(pool.submit(_write_limits, claim, plan))
            image, template = imaging.result(), templating.result()
            call = _stack_call(plan, settings, template, image, machine, claim.attempt)
            for future in waiting:
                future.result()
            replacing = config.stack_replacement or request.overlap == "replace"
            stack_id = start_stack(cloudformation, call, replace=replacing)
            concurrency.withdraw_if_too_many(stack_id)
        except (ParrisError, ClientError, BotoCoreError) as error:
            held = hold_back(claim, plan, storage, notifier, event, error)
            if held is not None:
                return _answer(plan, None) | held
            if not isinstance(error, LaunchUnclear):  # then the lease ends the claim, or a sweep
                _give_up(claim, plan, error)
            raise
    if pricing is None:
        plan = _priced(plan, lambda: _price(plan, clients))
    _complete(claim, plan, stack_id, image)
    answer = _answer(plan, stack_id)
    key = event_key(plan.job, plan.run_id, "started")
    try:
        notifier.tell_once(key, lambda: messages.started(answer, request.kind))
    except (ClientError, BotoCoreError):
        # An error now would say that nothing was launched, and a machine runs.
        log.exception("could not tell that run %s has started", plan.run_id)
    return answer


def _price(plan: RunPlan, clients: Clients) -> Price:
    return prices.read_price(
        clients.pricing,
        clients.ec2,
        instance_type=plan.config.instance_type,
        spot=plan.config.market == "spot",
        volume_gb=plan.volume_size_gb,
        subnet_id=plan.subnet_id,
        region=plan.region,
    )


def _priced(plan: RunPlan, read: Callable[[], Price]) -> RunPlan:
    """Return `plan` with its price, or with a note why it has none if no end hangs on it."""
    try:
        return within_budget(plan, read())
    except PriceUnknown as error:
        return without_price(plan, error)


def _check_files(plan: RunPlan, files: Mapping[str, int]) -> None:
    script = plan.config.script
    problem = ""
    if script not in files:
        problem = (
            f"training-script-filename: {script} is not among the job's files "
            f"({', '.join(sorted(files))}); make upload-config uploads them"
        )
    elif files[script] == 0:
        problem = f"training-script-filename: {script} is empty"
    elif files[script] > MAX_SCRIPT_BYTES:
        problem = f"training-script-filename: {script} has {files[script]} bytes, over 10 MiB"
    if problem:
        raise InvalidConfig(f"{plan.job}/{CONFIG_FILENAME}", [problem])


def _image(plan: RunPlan, clients: Clients) -> str:
    if plan.image.startswith("ami-"):
        return plan.image
    return prices.resolve_image(clients.ssm(), plan.image)


def _template(plan: RunPlan, storage: Storage, files: Mapping[str, int], machine: Machine) -> str:
    name = plan.config.template
    if not name or (name == configuration.ORIGINAL_TEMPLATE and name not in files):
        return machine.template
    return storage.read_job_file(plan.job, name)


def _stack_call(
    plan: RunPlan, settings: Settings, template: str, image: str, machine: Machine, attempt: int
) -> StackCall:
    user_data = render.render_user_data(machine.user_data, plan)
    source = f"{plan.job}/{plan.config.template or 'training-stack.yaml'}"
    template = fill_slots(template, settings.stack_tags, settings.fleet.volume_key)
    return StackCall(
        name=plan.stack_name,
        run_id=plan.run_id,
        deployment=plan.deployment,
        template=render.render_template(template, user_data, source),
        parameters=render.stack_parameters(
            plan, image, settings.scheduler_role_arn, settings.schedule_group
        ),
        tags=render.stack_tags(plan, settings.stack_tags, attempt),
        role_arn=settings.stack_role_arn,
        resource_types=render.RESOURCE_TYPES,
    )


def _give_up(claim: RunClaim, plan: RunPlan, error: Exception) -> None:
    """Say in the receipt why no stack came to exist, which frees the event to be sent again."""
    try:
        claim.write(state="launch-failed", reason=str(error))
    except (ClientError, BotoCoreError):
        # The lease frees the run all the same; the error that matters is the caller's.
        log.exception("could not write launch-failed into %srun.json", plan.prefix)


def _write_limits(claim: RunClaim, plan: RunPlan) -> None:
    """Put the deadline that a budget buys where the machine will read it."""
    planned = receipt(plan)
    names = ("deadline", "time-limit-minutes", "cost-limit-usd", "price")
    claim.write(**{name.replace("-", "_"): planned[name] for name in names})


def _complete(claim: RunClaim, plan: RunPlan, stack_id: str, image: str) -> None:
    price = plan.price.record() if plan.price else None
    try:
        claim.write(state="accepted", stack_id=stack_id, image=image, price=price)
    except (ClientError, BotoCoreError):
        # The stack exists and will run; an answer of failure would invite a second one.
        log.exception("could not complete %srun.json", plan.prefix)


def _answer(plan: RunPlan, stack_id: str | None) -> dict[str, Any]:
    answer: dict[str, Any] = {
        "run-id": plan.run_id,
        "job": plan.job,
        "stack-name": plan.stack_name,
        "stack-id": stack_id,
        "deadline": iso(plan.deadline),
        "duplicate": False,
        "results": f"s3://{plan.results_bucket}/{plan.prefix}",
        **_costs(receipt(plan)),
    }
    if plan.request.ignored:
        answer["ignored"] = list(plan.request.ignored)
    if plan.notes:
        answer["notes"] = list(plan.notes)
    return answer


def _duplicate(held: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "run-id": held["run-id"],
        "job": held["job"],
        "stack-name": held["stack-name"],
        "stack-id": held.get("stack-id"),
        "deadline": held["deadline"],
        "duplicate": True,
        **_costs(held),
    }


def _costs(held: Mapping[str, Any]) -> dict[str, str | None]:
    """Return what an hour of a run costs, and all of it if it goes on to its deadline, in dollars.

    Both are None where no price is known.
    """
    begun, over = (datetime.fromisoformat(held[key]) for key in ("claimed", "deadline"))
    most = cost(held, begun, over)
    if most is None:
        return {"hourly-usd": None, "most-usd": None}
    return {"hourly-usd": f"{float(held['price']['hourly-usd']):.4f}", "most-usd": f"{most:.4f}"}
