"""A run's ``run.json`` as it begins."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .. import __version__
from ..contract import SCHEMA, State
from .plan import RunPlan, is_limited
from .times import iso

if TYPE_CHECKING:
    from .documents import Receipt


def receipt(plan: RunPlan) -> Receipt:
    """Return the run's ``run.json`` as it stands when the run is claimed (docs/contracts.md)."""
    known: Receipt = {
        "schema": SCHEMA,
        "run-id": plan.run_id,
        "job": plan.job,
        "deployment": plan.deployment,
        "stack-name": plan.stack_name,
        "state": State.LAUNCHING,
        "claimed": iso(plan.claimed),
        "deadline": iso(plan.deadline),
        "run-deadline": iso(plan.run_deadline),
        "termination-method": plan.config.termination_method,
        "time-limit-minutes": plan.limit_minutes if is_limited(plan.config) else None,
        "cost-limit-usd": None if plan.budget_usd is None else f"{plan.budget_usd:f}",
        "price": plan.price.record() if plan.price else None,
        "trigger": {"kind": plan.request.kind, **plan.request.origin},
        "attempt": plan.attempt,
        "instance-type": plan.rung.instance_type,
        "market": plan.rung.market,
        "subnet-id": plan.rung.subnet_id,
        "ladder": plan.ladder.record(),
        "retry": plan.config.retry.record(),
        "volume-size-gb": plan.volume_size_gb,
        "image": plan.image,
        "keep-stack": plan.config.keep_stack,
        "script": plan.config.script,
        "parameters": dict(plan.parameters),
        "secrets": dict(plan.config.secrets),
        "data": [dict(one) for one in plan.config.data],
        "sync-interval-seconds": plan.config.sync_interval_seconds,
        "stop-grace-seconds": plan.config.stop_grace_seconds,
        "idle-gpu-minutes": plan.config.idle_gpu_minutes,
        "log-group": plan.log_group,
        "parris-version": __version__,
        **plan.begins_with,
    }
    if script := plan.config.setup_script:
        known["setup"] = {"script": script, "inputs": list(plan.config.setup_inputs)}
        if plan.setup_from:
            known["setup"]["earlier"] = plan.setup_from
    if plan.config.nodes > 1:
        known["nodes"] = plan.config.nodes
    if plan.config.container:
        known["container"] = plan.config.container
    if plan.reserved_usd is not None:
        known["reserved-usd"] = f"{plan.reserved_usd:f}"
    if plan.request.trial and plan.request.trial.follows:
        known["history"] = plan.request.trial.follows
    if plan.git:
        known["git"] = plan.git
    if plan.rerun_of:
        known["rerun-of"] = plan.rerun_of
    return known
