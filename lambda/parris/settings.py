"""The functions' environments, each read once into a value."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal
from typing import Any

from .errors import ParrisError
from .events.buttons import Buttons
from .runs.fleet import Fleet

VARIABLES = (
    "PARRIS_DEPLOYMENT",
    "PARRIS_CONFIG_BUCKET",
    "PARRIS_RESULTS_BUCKET",
    "PARRIS_LEDGER_TABLE",
    "PARRIS_STACK_ROLE_ARN",
    "PARRIS_INSTANCE_PROFILES",
    "PARRIS_INSTANCE_ROLE",
    "PARRIS_TRAINING_LOG_GROUP",
    "PARRIS_SCHEDULER_ROLE_ARN",
    "PARRIS_SCHEDULE_GROUP",
    "PARRIS_MAX_RUN_HOURS",
    "PARRIS_MAX_RUN_USD",
    "PARRIS_MONTHLY_BUDGET_USD",
    "PARRIS_MAX_CONCURRENT_RUNS",
    "PARRIS_GRACE_MINUTES",
    "PARRIS_STACK_TAGS",
    "PARRIS_TOPIC_ARN",
    "PARRIS_BUTTONS",
    "PARRIS_DATA_TRIGGERS",
    "PARRIS_LAUNCH_FUNCTION_ARN",
    "PARRIS_REAP_FUNCTION_ARN",
    "PARRIS_AGENT_VERSION",
    "PARRIS_FLEET",
)
"""What Terraform sets on the launch function: all of these and nothing else (a contract test)."""

REAP_VARIABLES = (
    "PARRIS_DEPLOYMENT",
    "PARRIS_RESULTS_BUCKET",
    "PARRIS_LEDGER_TABLE",
    "PARRIS_OVERDUE_MINUTES",
    "PARRIS_GRACE_MINUTES",
    "PARRIS_MONTHLY_BUDGET_USD",
    "PARRIS_TOPIC_ARN",
    "PARRIS_LAUNCH_FUNCTION_ARN",
    "PARRIS_IOT_LOG_GROUP",
)
"""The same for the reap function."""


@dataclass(frozen=True, kw_only=True)
class Settings:
    """One deployment, as its launch Lambda sees it."""

    deployment: str
    config_bucket: str
    results_bucket: str
    ledger_table: str
    stack_role_arn: str
    instance_profiles: tuple[str, ...]
    """Instance profiles a job may run with; the first is the default."""
    instance_role: str
    """``<name>:<unique id>`` of the first one's role, if Terraform made it; else empty."""
    scheduler_role_arn: str
    schedule_group: str
    training_log_group: str
    max_run_hours: int
    max_run_usd: Decimal | None
    """The most that a job may ask for as its cost-limit, and that of one that names none."""
    monthly_budget_usd: Decimal | None
    """What all runs launched in one month may cost together."""
    max_concurrent_runs: int
    grace: timedelta
    """How long after its deadline a stack deletes itself."""
    stack_tags: Mapping[str, str]
    topic_arn: str
    """SNS topic of all notifications."""
    buttons: Buttons
    data_triggers: Mapping[str, Mapping[str, Any]]
    """By name, ``{"job", "parameters", "settle_seconds", …}``."""
    launch_function_arn: str
    reap_function_arn: str
    agent_version: str
    """S3's version of the machine's supervisor that goes with this function."""
    fleet: Fleet
    region: str


def read_settings(environment: Mapping[str, str]) -> Settings:
    """Return the settings in `environment`.

    Raises:
        ParrisError: if a variable is missing, by name: the function was not made by this
            version's Terraform.
    """
    _demand(VARIABLES, environment)
    return Settings(
        deployment=environment["PARRIS_DEPLOYMENT"],
        config_bucket=environment["PARRIS_CONFIG_BUCKET"],
        results_bucket=environment["PARRIS_RESULTS_BUCKET"],
        ledger_table=environment["PARRIS_LEDGER_TABLE"],
        stack_role_arn=environment["PARRIS_STACK_ROLE_ARN"],
        instance_profiles=tuple(environment["PARRIS_INSTANCE_PROFILES"].split(",")),
        instance_role=environment["PARRIS_INSTANCE_ROLE"].rstrip(":"),
        scheduler_role_arn=environment["PARRIS_SCHEDULER_ROLE_ARN"],
        schedule_group=environment["PARRIS_SCHEDULE_GROUP"],
        training_log_group=environment["PARRIS_TRAINING_LOG_GROUP"],
        max_run_hours=int(environment["PARRIS_MAX_RUN_HOURS"]),
        max_run_usd=_dollars(environment["PARRIS_MAX_RUN_USD"]),
        monthly_budget_usd=_dollars(environment["PARRIS_MONTHLY_BUDGET_USD"]),
        max_concurrent_runs=int(environment["PARRIS_MAX_CONCURRENT_RUNS"]),
        grace=timedelta(minutes=int(environment["PARRIS_GRACE_MINUTES"])),
        stack_tags=json.loads(environment["PARRIS_STACK_TAGS"]),
        topic_arn=environment["PARRIS_TOPIC_ARN"],
        buttons=Buttons(**json.loads(environment["PARRIS_BUTTONS"])),
        data_triggers=json.loads(environment["PARRIS_DATA_TRIGGERS"]),
        launch_function_arn=environment["PARRIS_LAUNCH_FUNCTION_ARN"],
        reap_function_arn=environment["PARRIS_REAP_FUNCTION_ARN"],
        agent_version=environment["PARRIS_AGENT_VERSION"],
        fleet=Fleet(**json.loads(environment["PARRIS_FLEET"])),
        region=environment["AWS_REGION"],  # Lambda's own, in every function
    )


@dataclass(frozen=True, kw_only=True)
class ReapSettings:
    """One deployment, as its reap Lambda sees it."""

    deployment: str
    results_bucket: str
    ledger_table: str
    overdue: timedelta
    """How long after its deadline a run's stack is deleted from outside."""
    grace: timedelta
    """How long after it the stack deletes itself."""
    monthly_budget_usd: Decimal | None
    topic_arn: str
    launch_function_arn: str
    iot_log_group: str
    """Where it is said why a message or a click started nothing."""


def read_reap_settings(environment: Mapping[str, str]) -> ReapSettings:
    """Return the reap function's settings in `environment`.

    Raises:
        ParrisError: as `read_settings`.
    """
    _demand(REAP_VARIABLES, environment)
    return ReapSettings(
        deployment=environment["PARRIS_DEPLOYMENT"],
        results_bucket=environment["PARRIS_RESULTS_BUCKET"],
        ledger_table=environment["PARRIS_LEDGER_TABLE"],
        overdue=timedelta(minutes=int(environment["PARRIS_OVERDUE_MINUTES"])),
        grace=timedelta(minutes=int(environment["PARRIS_GRACE_MINUTES"])),
        monthly_budget_usd=_dollars(environment["PARRIS_MONTHLY_BUDGET_USD"]),
        topic_arn=environment["PARRIS_TOPIC_ARN"],
        launch_function_arn=environment["PARRIS_LAUNCH_FUNCTION_ARN"],
        iot_log_group=environment["PARRIS_IOT_LOG_GROUP"],
    )


def _dollars(text: str) -> Decimal | None:
    return Decimal(text) if text else None


def _demand(names: tuple[str, ...], environment: Mapping[str, str]) -> None:
    missing = [name for name in names if name not in environment]
    if missing:
        raise ParrisError(
            f"the function lacks {', '.join(missing)} in its environment; run terraform apply again"
        )
