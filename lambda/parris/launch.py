"""The use case: one event becomes at most one training stack."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from botocore.exceptions import BotoCoreError, ClientError

from . import config as configuration
from . import market, render
from .config import CONFIG_FILENAME, read_config
from .errors import InvalidConfig, ParrisError
from .plan import RunPlan, iso, plan_run, receipt
from .settings import Settings
from .stacks import StackCall, start_stack
from .storage import Claim, Storage
from .trigger import read_request

if TYPE_CHECKING:
    from mypy_boto3_cloudformation import CloudFormationClient
    from mypy_boto3_ssm import SSMClient

log = logging.getLogger(__name__)

LEASE = timedelta(seconds=120)
"""How long a claim without a stack belongs to the launch that made it: twice the function's
timeout, after which that launch is certainly no longer running."""

MAX_SCRIPT_BYTES = 10 * 1024**2
"""A script is text; what is larger is data, and belongs beside it or in another bucket."""


@dataclass(frozen=True, kw_only=True)
class Clients:
    """Makers of boto3 clients, called only by a launch that needs them."""

    storage: Callable[[], Storage]
    cloudformation: Callable[[], CloudFormationClient]
    ssm: Callable[[], SSMClient]


@dataclass(frozen=True, kw_only=True)
class Machine:
    """The packaged files that make a machine."""

    template: str
    user_data: str
    agent: str


def launch(
    event: object,
    request_id: str,
    *,
    settings: Settings,
    clients: Clients,
    machine: Machine,
    now: datetime,
) -> dict[str, Any]:
    """Start the training that `event` asks for, once, and return the answer (design, "Events").

    Four round trips one after another: read the job; claim the run; copy its files; create the
    stack. What does not wait for another, such as the image, goes side by side with these.

    Raises:
        ParrisError: if it is refused or failed. Before a stack exists nothing is lost: the
            same event may be sent again.
    """
    request = read_request(event, request_id)
    storage = clients.storage()
    with ThreadPoolExecutor(max_workers=16, thread_name_prefix="launch") as pool:
        listing = pool.submit(storage.list_job_files, request.job)
        text = storage.read_job_file(request.job, CONFIG_FILENAME)
        config = read_config(text, f"{request.job}/{CONFIG_FILENAME}")
        plan = plan_run(request, config, settings, now)
        files = listing.result()
        _check_files(plan, files)

        claiming = pool.submit(_claim, storage, plan)
        imaging = pool.submit(_image, plan, clients)
        templating = pool.submit(_template, plan, storage, files, machine)
        claim = claiming.result()
        if not claim.ours:
            return _duplicate(claim.held.receipt)
        try:
            copies = [pool.submit(storage.snapshot, plan.job, name, plan.prefix) for name in files]
            copies.append(pool.submit(storage.write_agent, plan.prefix, machine.agent))
            cloudformation = clients.cloudformation()  # made while the copies are under way
            image, template = imaging.result(), templating.result()
            call = _stack_call(plan, settings, template, image, machine, claim.attempt)
            for copy in copies:
                copy.result()
            stack_id = start_stack(cloudformation, call, replace=config.stack_replacement)
        except (ParrisError, ClientError, BotoCoreError) as error:
            _give_up(storage, plan, claim, error)
            raise
    _complete(storage, plan, claim, stack_id, image)
    return _answer(plan, stack_id)


@dataclass(frozen=True, kw_only=True)
class _Claimed:
    """Who has the run: this launch (`ours`), or the one whose receipt is `held`."""

    ours: bool
    held: Claim

    @property
    def attempt(self) -> int:
        return int(self.held.receipt.get("attempt", 1))


def _claim(storage: Storage, plan: RunPlan) -> _Claimed:
    """Write the receipt that makes the run ours, or find whose it is."""
    ours = receipt(plan)
    if claim := storage.claim(plan.prefix, ours):
        return _Claimed(ours=True, held=claim)
    held = storage.read_receipt(plan.prefix)
    if _is_free(held.receipt, plan.claimed) and not storage.has_outcome(plan.prefix):
        again = ours | {"attempt": int(held.receipt.get("attempt", 1)) + 1}
        if claim := storage.replace(plan.prefix, again, held):
            return _Claimed(ours=True, held=claim)
        held = storage.read_receipt(plan.prefix)
    return _Claimed(ours=False, held=held)


def _is_free(held: Mapping[str, Any], now: datetime) -> bool:
    """Return whether a run that was claimed may be claimed again: it never got its stack."""
    if "stack-id" in held:
        return False
    if held["state"] == "launch-failed":
        return True
    return now - datetime.fromisoformat(held["claimed"]) > LEASE


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
    return market.resolve_image(clients.ssm(), plan.image)


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
    return StackCall(
        name=plan.config.stack_name,
        run_id=plan.run_id,
        deployment=plan.deployment,
        template=render.render_template(template, user_data, source),
        parameters=render.stack_parameters(plan, image),
        tags=render.stack_tags(plan, settings.stack_tags, attempt),
        role_arn=settings.stack_role_arn,
    )


def _give_up(storage: Storage, plan: RunPlan, claim: _Claimed, error: Exception) -> None:
    """Say in the receipt why no stack came to exist, which frees the event to be sent again."""
    failed = {**claim.held.receipt, "state": "launch-failed", "reason": str(error)}
    try:
        storage.replace(plan.prefix, failed, claim.held)
    except (ClientError, BotoCoreError):
        # The lease frees the run all the same; the error that matters is the caller's.
        log.exception("could not write launch-failed into %srun.json", plan.prefix)


def _complete(storage: Storage, plan: RunPlan, claim: _Claimed, stack_id: str, image: str) -> None:
    complete = {**claim.held.receipt, "stack-id": stack_id, "image": image}
    try:
        storage.replace(plan.prefix, complete, claim.held)
    except (ClientError, BotoCoreError):
        # The stack exists and will run; an answer of failure would invite a second one.
        log.exception("could not complete %srun.json", plan.prefix)


def _answer(plan: RunPlan, stack_id: str) -> dict[str, Any]:
    answer: dict[str, Any] = {
        "run-id": plan.run_id,
        "job": plan.job,
        "stack-name": plan.config.stack_name,
        "stack-id": stack_id,
        "deadline": iso(plan.deadline),
        "duplicate": False,
        "results": f"s3://{plan.results_bucket}/{plan.prefix}",
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
    }
