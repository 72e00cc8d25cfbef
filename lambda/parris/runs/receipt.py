"""A run's ``run.json`` as it begins."""

from __future__ import annotations

from typing import Any

from .. import __version__
from ..contract import State
from .plan import RunPlan, is_limited
from .times import iso


def receipt(plan: RunPlan) -> dict[str, Any]:
    """Return the run's ``run.json`` as it stands when the run is claimed (docs/contracts.md)."""
    return {
        "run-id": plan.run_id,
        "job": plan.job,
        "deployment": plan.deployment,
        "stack-name": plan.stack_name,
        "state": State.LAUNCHING,
        "claimed": iso(plan.claimed),
        "deadline": iso(plan.deadline),
        "termination-method": plan.config.termination_method,
        "time-limit-minutes": plan.limit_minutes if is_limited(plan.config) else None,
        "cost-limit-usd": None if plan.budget_usd is None else f"{plan.budget_usd:f}",
        "price": plan.price.record() if plan.price else None,
        **({} if plan.reserved_usd is None else {"reserved-usd": f"{plan.reserved_usd:f}"}),
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
        **_setup(plan),
        "secrets": dict(plan.config.secrets),
        "data": [dict(one) for one in plan.config.data],
        "sync-interval-seconds": plan.config.sync_interval_seconds,
        "stop-grace-seconds": plan.config.stop_grace_seconds,
        "idle-gpu-minutes": plan.config.idle_gpu_minutes,
        "log-group": plan.log_group,
        "parris-version": __version__,
        **plan.begins_with,
        **({"git": plan.git} if plan.git else {}),
        **({"rerun-of": plan.rerun_of} if plan.rerun_of else {}),
    }


def _setup(plan: RunPlan) -> dict[str, Any]:
    config = plan.config
    earlier = {"earlier": plan.setup_from} if plan.setup_from else {}
    setup = {"script": config.setup_script, "inputs": list(config.setup_inputs), **earlier}
    known = {"setup": config.setup_script and setup, "container": config.container}
    return {key: value for key, value in known.items() if value}
