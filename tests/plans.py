"""Values that several tests begin with."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from parris.events import router
from parris.events.buttons import Buttons
from parris.events.request import LaunchRequest
from parris.jobs.config import read_config
from parris.runs.fleet import Fleet
from parris.runs.plan import RunPlan, plan_run, run_id_for
from parris.settings import Settings

NOW = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)

SETTINGS = Settings(
    deployment="parris",
    config_bucket="parris-config",
    results_bucket="parris-results",
    ledger_table="parris-ledger",
    stack_role_arn="arn:aws:iam::123456789012:role/stack",
    instance_profiles=("parris-instance", "extra"),
    instance_role="parris-instance:AROAEXAMPLE",
    training_log_group="/parris/training",
    scheduler_role_arn="arn:aws:iam::123456789012:role/scheduler",
    schedule_group="parris",
    max_run_hours=24,
    max_run_usd=None,
    monthly_budget_usd=None,
    max_concurrent_runs=10,
    grace=timedelta(minutes=15),
    stack_tags={"team": "vision"},
    topic_arn="arn:aws:sns:us-east-1:123456789012:parris-notifications",
    buttons=Buttons(),
    data_triggers={"fresh": {"bucket": "data", "job": "default", "settle_seconds": 60}},
    launch_function_arn="arn:aws:lambda:us-east-1:123456789012:function:parris-launch",
    reap_function_arn="arn:aws:lambda:us-east-1:123456789012:function:parris-reap",
    agent_version="v1",
    fleet=Fleet(),
    region="eu-west-1",
)


def read_request(event: object, request_id: str) -> LaunchRequest:
    """Return the request of `event` where buttons do what they do by default."""
    return router.read_request(event, request_id, Buttons())


def plan(config: str = "{}", event: Mapping[str, Any] | None = None) -> RunPlan:
    """Return the plan of `event` (by default one with an id and a time) with `config`."""
    event = event or {"event-id": "e-1", "time": "2026-11-24T11:59:58Z"}
    request = read_request(event, "request-1")
    run_id = run_id_for(request, request.time or NOW)
    read = read_config(config, "test")
    return plan_run(request, read, SETTINGS, NOW, run_id=run_id, nonce="nonce")
