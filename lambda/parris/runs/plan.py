"""A request and a job's configuration, planned as one run."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING

from ..errors import InvalidConfig, InvalidEvent
from ..events.request import LaunchRequest
from ..jobs import config as configuration
from ..jobs.config import TrainingConfig
from ..jobs.parameters import OF_NEW_DATA, merged, unknown_names
from ..settings import Settings
from .budget import Price
from .checkpoints import resumes
from .images import default_image, has_gpu
from .ladder import Ladder, Rung
from .names import run_prefix, trial_run_id, trial_stack_name
from .record import RunRecord

if TYPE_CHECKING:
    from .documents import GitRecord, Receipt

COST_LIMIT, MAX_RUN_USD, MONTHLY_BUDGET_USD = "cost-limit", "max_run_usd", "monthly_budget_usd"
GRID_COST_LIMIT = "the grid's cost-limit"
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
    """Of this attempt: the run's, or where its dollars end if that is earlier."""
    run_deadline: datetime
    limit_minutes: int
    """Minutes from boot to the guest's own power-off."""
    delete_at: datetime
    """When the stack deletes itself, whatever became of its machine."""
    budget_usd: Decimal | None
    """What the run may cost, if that counts; `within_budget` turns it into a deadline."""
    capped_by: str
    """What says so: ``cost-limit``, or the deployment's ``max_run_usd``."""
    priced_for: str
    """The setting in dollars, the deployment's or its grid's, that cannot be kept without a price;
    "" if none is."""
    reserved_usd: Decimal | None
    """What is reserved for it of the month's budget, if there is one (`with_share`)."""
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
    begins_with: Receipt
    """``resumes`` and ``restore`` of its run.json: whose checkpoints, and where those lie."""
    notes: tuple[str, ...]
    git: GitRecord | None = None
    """``commit`` and ``dirty`` of the job's files, where they were uploaded from a git clone."""
    setup_from: str = ""
    """The folder of the job's last machine that is believed, which knows the job's setups."""
    rerun_of: str = ""
    """The run that is run again, whose files it begins with; "" where those are the job's."""

    @property
    def job(self) -> str:
        return self.request.job

    @property
    def files_of(self) -> str:
        """The run or grid in whose ``source/`` the files lie that it begins with; "" for the job's
        in the config bucket."""
        return self.request.trial.grid_id if self.request.trial else self.rerun_of

    @property
    def stack_name(self) -> str:
        """The job's, or one of the run's own where several of the job may go at once."""
        name = self.config.stack_name
        if trial := self.request.trial:
            return trial_stack_name(name, trial.grid_id, trial.number)
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
    if request.trial:
        return trial_run_id(request.trial.grid_id, request.trial.number)
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
    _check(request, config, settings)
    profile = config.instance_profile or settings.instance_profiles[0]
    subnets = config.subnet_ids or settings.fleet.subnets_for(run_id)
    ladder = Ladder(instance_types=config.instance_types, markets=config.markets, subnets=subnets)
    rung = ladder.rungs()[0]
    minutes, notes = _limit(config, settings.max_run_hours * 60)
    deadline = now + timedelta(minutes=minutes)
    budget, capped_by, capped = _budget(config, settings.max_run_usd)
    return RunPlan(
        run_id=run_id,
        request=request,
        config=config,
        deployment=settings.deployment,
        claimed=now,
        deadline=deadline,
        run_deadline=deadline,
        limit_minutes=minutes,
        delete_at=deadline + settings.grace,
        budget_usd=budget,
        capped_by=capped_by,
        priced_for=_priced_for(request, settings),
        reserved_usd=None,
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
        volume_size_gb=config.volume_size_gb or _volume_gb(config),
        parameters=merged(_known(config, resumed), request.parameters),
        log_group=settings.training_log_group,
        log_stream=f"{request.job}/{run_id}/{nonce}",
        results_bucket=settings.results_bucket,
        region=settings.region,
        begins_with=resumes(resumed),
        notes=(*request.notes, *_unheeded(config), *notes, *capped),
    )


def _check(request: LaunchRequest, config: TrainingConfig, settings: Settings) -> None:
    """Refuse what the job does not know, and what its deployment does not allow."""
    apart = OF_NEW_DATA if request.kind in ("data", "grid") else ()
    given = [name for name in request.parameters if name not in apart]
    if problems := unknown_names(given, config.parameters, request.job):
        raise InvalidEvent("; ".join(f"parameters: {problem}" for problem in problems))
    profile = config.instance_profile or settings.instance_profiles[0]
    refusals = unknown_role(profile, settings.instance_profiles) or [
        refusal
        for kind in config.instance_types
        for refusal in settings.fleet.refusals(kind, config.image or default_image(kind))
    ]
    if refusals:
        raise InvalidConfig(f"{request.job}/{configuration.CONFIG_FILENAME}", refusals)


def _limit(config: TrainingConfig, cap: int) -> tuple[int, list[str]]:
    """Return how many minutes a run may take, and what is to be said of that.

    Args:
        cap: the deployment's own limit, in minutes.
    """
    wanted = config.time_limit_minutes if is_limited(config) else None
    if wanted is None or wanted <= cap:
        return wanted or cap, []
    said = f"time-limit {wanted} is above the deployment's max_run_hours; "
    return cap, [f"{said}the run ends after {cap} minutes"]


def _budget(config: TrainingConfig, cap: Decimal | None) -> tuple[Decimal | None, str, list[str]]:
    """Return what a run may cost in US dollars, which setting says so, and what is said of that.

    Args:
        cap: the deployment's own limit.
    """
    wanted = config.cost_limit_usd if is_limited(config) else None
    if cap is None or (wanted is not None and wanted <= cap):
        return wanted, COST_LIMIT, []
    said = f"cost-limit {wanted} is above the deployment's max_run_usd; "
    notes = [] if wanted is None else [f"{said}the run may cost {cap:f} US dollars"]
    return cap, MAX_RUN_USD, notes


def _unheeded(config: TrainingConfig) -> list[str]:
    """Return what is to be said of limits that are given and do not count."""
    if is_limited(config):
        return []
    given = {"time-limit": config.time_limit_minutes, "cost-limit": config.cost_limit_usd}
    why = f"has no effect with termination-method {configuration.COMPLETION}; leave that key out"
    return [f"{limit} {why}" for limit, value in given.items() if value is not None]


def _priced_for(request: LaunchRequest, settings: Settings) -> str:
    if settings.max_run_usd is not None:
        return MAX_RUN_USD
    if settings.monthly_budget_usd is not None:
        return MONTHLY_BUDGET_USD
    limited = request.trial and request.trial.cost_limit_micros is not None
    return GRID_COST_LIMIT if limited else ""


def is_limited(config: TrainingConfig) -> bool:
    """Return whether time-limit and cost-limit count."""
    return config.termination_method != configuration.COMPLETION


def _volume_gb(config: TrainingConfig) -> int:
    return GPU_VOLUME_GB if any(map(has_gpu, config.instance_types)) else DEFAULT_VOLUME_GB


def unknown_role(name: str, known: Sequence[str]) -> list[str]:
    """Return why a job may not name role `name`, if so; the first of `known` is the default."""
    if name in known:
        return []
    return [
        f'instance-iam-role-name: "{name}" is not one of {", ".join(known)}; leave the key out for '
        f"{known[0]}, or add it to the Terraform variable instance_role_names and apply"
    ]


def _known(config: TrainingConfig, resumed: RunRecord | None) -> Mapping[str, str]:
    """Return the job's parameters, with the values of a run that is gone on from."""
    earlier: Mapping[str, str] = resumed.receipt.get("parameters", {}) if resumed else {}
    return {name: earlier.get(name, value) for name, value in config.parameters.items()}
