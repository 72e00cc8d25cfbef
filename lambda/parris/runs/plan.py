"""A request and a job's configuration, planned as one run."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from .. import __version__
from ..contract import State
from ..errors import InvalidConfig, InvalidEvent, PriceUnknown
from ..events.request import LaunchRequest
from ..jobs import config as configuration
from ..jobs.config import TrainingConfig
from ..jobs.parameters import OF_NEW_DATA, environment_name, unknown_names
from ..settings import Settings
from .budget import BudgetTooSmall, Price, minutes_for_budget
from .images import default_image, has_gpu
from .ladder import Ladder, Rung
from .names import run_prefix
from .record import RunRecord
from .times import iso

DEFAULT_VOLUME_GB = 30
GPU_VOLUME_GB = 100
"""AWS's Deep Learning images bring drivers and CUDA; 30 GiB would leave no room for a model."""


@dataclass(frozen=True, kw_only=True)
class RunPlan:
    """One run, decided but not begun."""

    run_id: str
    request: LaunchRequest
    config: TrainingConfig
    deployment: str
    claimed: datetime
    deadline: datetime
    limit_minutes: int
    """Minutes from boot to the guest's own power-off."""
    delete_at: datetime
    """When the stack deletes itself, whatever became of its machine."""
    budget_usd: Decimal | None
    """What the run may cost, if that counts; `within_budget` turns it into a deadline."""
    price: Price | None
    instance_profile: str
    role: str
    """``<name>:<unique id>`` of the machine's role; empty if only AWS STS can tell its id."""
    image: str
    """An image id, or the public SSM parameter that holds one."""
    ladder: Ladder
    rung: Rung
    """The machine of this attempt."""
    attempt: int
    """Which machine of the run it is, from 1."""
    security_group_ids: tuple[str, ...]
    """The job's own, else the deployment's; empty for the default VPC's."""
    volume_size_gb: int
    parameters: Mapping[str, str]
    log_group: str
    log_stream: str
    """Its last part is a secret between the machine and whoever may read the stack: machines may
    write to any stream whose name they know."""
    results_bucket: str
    region: str
    resumed: RunRecord | None
    """The run whose checkpoints it begins with."""
    notes: tuple[str, ...]

    @property
    def job(self) -> str:
        return self.request.job

    @property
    def stack_name(self) -> str:
        """The job's, or one of the run's own where several of the job may go at once."""
        name = self.config.stack_name
        if not self.config.several_at_once:
            return name
        return f"{name}-{self.run_id[-configuration.SUFFIX_DIGITS :]}"

    @property
    def prefix(self) -> str:
        """Where in the results bucket everything about this run lies."""
        return run_prefix(self.job, self.run_id)


def event_digest(request: LaunchRequest) -> str:
    """Return 16 digits that name the event, the same for each of its deliveries."""
    return hashlib.sha256(f"{request.job}\n{request.identity}".encode()).hexdigest()[:16]


def run_id_for(request: LaunchRequest, time: datetime) -> str:
    """Return the run id of an event that happened at `time`, in front so that ids sort by it.

    It follows from the event alone if that knows its time; else see `Ledger.name_event`.
    """
    return f"{time:%Y%m%d-%H%M%S}-{event_digest(request)[:8]}"


def plan_run(
    request: LaunchRequest,
    config: TrainingConfig,
    settings: Settings,
    now: datetime,
    *,
    run_id: str,
    nonce: str,
    resumed: RunRecord | None = None,
) -> RunPlan:
    """Return the plan of the run that `request` asks for, claimed at `now` (aware UTC).

    Args:
        run_id: as `claim.claim_run` finds it.
        nonce: what nobody can guess, in letters and digits.
        resumed: the run that it goes on from.

    Raises:
        InvalidConfig: if the configuration asks for what this deployment does not allow.
        InvalidEvent: if the event has a parameter that the configuration has not.
    """
    apart = OF_NEW_DATA if request.kind == "data" else ()
    given = [name for name in request.parameters if name not in apart]
    if problems := unknown_names(given, config.parameters, request.job):
        raise InvalidEvent("; ".join(f"parameters: {problem}" for problem in problems))
    source = f"{request.job}/{configuration.CONFIG_FILENAME}"
    profile = config.instance_profile or settings.instance_profiles[0]
    if refusals := unknown_role(profile, settings.instance_profiles):
        raise InvalidConfig(source, refusals)
    subnets = config.subnet_ids or settings.fleet.subnets_for(run_id)
    ladder = Ladder(instance_types=config.instance_types, markets=config.markets, subnets=subnets)
    refusals = [
        refusal
        for kind in config.instance_types
        for refusal in settings.fleet.refusals(kind, config.image or default_image(kind))
    ]
    if refusals:
        raise InvalidConfig(source, refusals)
    rung = ladder.rungs()[0]
    notes = list(request.notes)
    minutes = cap = settings.max_run_hours * 60
    limited = config.termination_method != configuration.COMPLETION
    if limited and config.time_limit_minutes is not None:
        minutes = min(config.time_limit_minutes, cap)
        if config.time_limit_minutes > cap:
            notes.append(
                f"time-limit {config.time_limit_minutes} is above the deployment's max_run_hours; "
                f"the run ends after {cap} minutes"
            )
    deadline = now + timedelta(minutes=minutes)
    return RunPlan(
        run_id=run_id,
        request=request,
        config=config,
        deployment=settings.deployment,
        claimed=now,
        deadline=deadline,
        limit_minutes=minutes,
        delete_at=deadline + settings.grace,
        budget_usd=config.cost_limit_usd if limited else None,
        price=None,
        instance_profile=profile,
        role=settings.instance_role if profile == settings.instance_profiles[0] else "",
        image=config.image or default_image(rung.instance_type),
        ladder=ladder,
        rung=rung,
        attempt=1,
        security_group_ids=(config.security_group_id,)
        if config.security_group_id
        else tuple(settings.fleet.groups),
        volume_size_gb=config.volume_size_gb
        or (GPU_VOLUME_GB if any(map(has_gpu, config.instance_types)) else DEFAULT_VOLUME_GB),
        parameters=_merged(_known(config, resumed), request.parameters),
        log_group=settings.training_log_group,
        log_stream=f"{request.job}/{run_id}/{nonce}",
        results_bucket=settings.results_bucket,
        region=settings.region,
        resumed=resumed,
        notes=tuple(notes),
    )


def unknown_role(name: str, known: Sequence[str]) -> list[str]:
    """Return why a job may not name role `name`, if so; the first of `known` is the default."""
    if name in known:
        return []
    return [
        f'instance-iam-role-name: "{name}" is not one of {", ".join(known)}; leave the key out for '
        f"{known[0]}, or add it to the Terraform variable instance_role_names and apply"
    ]


def within_budget(plan: RunPlan, price: Price) -> RunPlan:
    """Return `plan` with its price, ended where its budget ends if that is earlier.

    Raises:
        InvalidConfig: if the budget is too small to begin.
    """
    if plan.budget_usd is None:
        moves = ("the spot price may rise, to the on-demand price at most",) if price.spot else ()
        return replace(plan, price=price, notes=(*plan.notes, *moves))
    try:
        minutes = minutes_for_budget(plan.budget_usd, price.hourly_usd)
    except BudgetTooSmall as error:
        source = f"{plan.job}/{configuration.CONFIG_FILENAME}"
        raise InvalidConfig(source, [f"cost-limit: {error}"]) from error
    spare = max(0, plan.limit_minutes - minutes)
    return replace(
        plan,
        price=price,
        limit_minutes=plan.limit_minutes - spare,
        deadline=plan.deadline - timedelta(minutes=spare),
        delete_at=plan.delete_at - timedelta(minutes=spare),
    )


def without_price(plan: RunPlan, error: PriceUnknown) -> RunPlan:
    """Return `plan` with a note on why it has no price.

    Raises:
        PriceUnknown: if nothing but its budget would end the run (``around-cost``).
    """
    if plan.budget_usd is None:
        return replace(plan, notes=(*plan.notes, f"price unknown: {error}"))
    if plan.config.termination_method == configuration.COST:
        raise error
    note = (
        f"cost-limit {plan.budget_usd} has no effect, since the price is unknown ({error}); "
        f"the time-limit ends the run after {plan.limit_minutes} minutes"
    )
    return replace(plan, budget_usd=None, notes=(*plan.notes, note))


def receipt(plan: RunPlan) -> dict[str, Any]:
    """Return the run's ``run.json`` as it stands when the run is claimed (docs/contracts.md)."""
    limited = plan.config.termination_method != configuration.COMPLETION
    return {
        "run-id": plan.run_id,
        "job": plan.job,
        "deployment": plan.deployment,
        "stack-name": plan.stack_name,
        "state": State.LAUNCHING,
        "claimed": iso(plan.claimed),
        "deadline": iso(plan.deadline),
        "termination-method": plan.config.termination_method,
        "time-limit-minutes": plan.limit_minutes if limited else None,
        "cost-limit-usd": None if plan.budget_usd is None else f"{plan.budget_usd:f}",
        "price": plan.price.record() if plan.price else None,
        "trigger": {"kind": plan.request.kind, **plan.request.origin},
        "attempt": plan.attempt,
        **plan.rung.record(),
        "ladder": plan.ladder.record(),
        "retry": plan.config.retry.record(),
        "volume-size-gb": plan.volume_size_gb,
        "image": plan.image,
        "keep-stack": plan.config.keep_stack,
        "script": plan.config.script,
        "parameters": dict(plan.parameters),
        "sync-interval-seconds": plan.config.sync_interval_seconds,
        "stop-grace-seconds": plan.config.stop_grace_seconds,
        "idle-gpu-minutes": plan.config.idle_gpu_minutes,
        "log-group": plan.log_group,
        "parris-version": __version__,
        **_resumes(plan.resumed),
    }


def _resumes(run: RunRecord | None) -> dict[str, str]:
    folder = run and checkpoints_of(run)
    return {"resumes": run.run_id, "restore": folder} if run and folder else {}


def checkpoints_of(run: RunRecord) -> str | None:
    """Return where in the results bucket a run that is over has its checkpoints, if anywhere."""
    if run.outcome is None:
        return None
    prefix = run_prefix(run.job, run.run_id)
    if "machine" not in run.outcome:  # of an older version
        return f"{prefix}checkpoints/"
    stored = run.outcome["machine"]  # None if its machine stored nothing
    return f"{prefix}machines/{stored}/checkpoints/" if stored else None


def _known(config: TrainingConfig, resumed: RunRecord | None) -> Mapping[str, str]:
    """Return the job's parameters, with the values of a run that is gone on from."""
    earlier: Mapping[str, str] = resumed.receipt.get("parameters", {}) if resumed else {}
    return {name: earlier.get(name, value) for name, value in config.parameters.items()}


def _merged(ours: Mapping[str, str], theirs: Mapping[str, str]) -> dict[str, str]:
    """Return the job's parameters, where the event's own win, however they are spelled."""
    named = {environment_name(name): (name, value) for name, value in ours.items()}
    for name, value in theirs.items():
        key = environment_name(name)
        named[key] = (named[key][0] if key in named else name, value)
    return dict(named.values())
