"""The launch Lambda's environment, read once into a value."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass

from .errors import ParrisError

VARIABLES = (
    "PARRIS_DEPLOYMENT",
    "PARRIS_CONFIG_BUCKET",
    "PARRIS_RESULTS_BUCKET",
    "PARRIS_STACK_ROLE_ARN",
    "PARRIS_INSTANCE_PROFILES",
    "PARRIS_TRAINING_LOG_GROUP",
    "PARRIS_MAX_RUN_HOURS",
    "PARRIS_STACK_TAGS",
)
"""What Terraform sets on the function: all of these and nothing else (a contract test)."""


@dataclass(frozen=True, kw_only=True)
class Settings:
    """One deployment, as its launch Lambda sees it."""

    deployment: str
    config_bucket: str
    results_bucket: str
    stack_role_arn: str
    instance_profiles: tuple[str, ...]
    """Instance profiles a job may run with; the first is the default."""
    training_log_group: str
    max_run_hours: int
    stack_tags: Mapping[str, str]
    region: str


def read_settings(environment: Mapping[str, str]) -> Settings:
    """Return the settings in `environment`.

    Raises:
        ParrisError: if a variable is missing, by name: the function was not made by this
            version's Terraform.
    """
    missing = [name for name in VARIABLES if name not in environment]
    if missing:
        raise ParrisError(
            f"the launch function lacks {', '.join(missing)} in its environment; "
            "run terraform apply again"
        )
    return Settings(
        deployment=environment["PARRIS_DEPLOYMENT"],
        config_bucket=environment["PARRIS_CONFIG_BUCKET"],
        results_bucket=environment["PARRIS_RESULTS_BUCKET"],
        stack_role_arn=environment["PARRIS_STACK_ROLE_ARN"],
        instance_profiles=tuple(environment["PARRIS_INSTANCE_PROFILES"].split(",")),
        training_log_group=environment["PARRIS_TRAINING_LOG_GROUP"],
        max_run_hours=int(environment["PARRIS_MAX_RUN_HOURS"]),
        stack_tags=json.loads(environment["PARRIS_STACK_TAGS"]),
        region=environment["AWS_REGION"],  # Lambda's own, in every function
    )
