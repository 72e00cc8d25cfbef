"""A run in one line: machine, price, worst case, when it ends."""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from parris.errors import ParrisError
from parris.events.router import read_request
from parris.jobs.config import CONFIG_FILENAME, read_config
from parris.launch import prepare
from parris.runs.answer import costs
from parris.runs.messages import at_most
from parris.runs.plan import RunPlan, plan_run, run_id_for
from parris.runs.receipt import receipt
from parris.runs.times import iso
from scripts.deployment.outputs import Deployment
from scripts.planning.clients import clients_of, settings_of

if TYPE_CHECKING:
    from parris.runs.documents import Answer, Costs


def summary(costs: Answer | Costs, instance_type: str, market: str, deadline: str) -> str:
    """Return a run in one line.

    Args:
        costs: as a launch's answer has them (`hourly-usd`, `most-usd`, `most-usd-of`).
        deadline: ISO 8601 UTC.
    """
    hourly = costs["hourly-usd"]
    price = f"${hourly} an hour" if hourly else "price unknown"
    return f"{instance_type} {market}: {price}{at_most(costs)}, ends by {deadline}"


def summary_of(run: RunPlan, most_usd: Decimal | None) -> str:
    """Return `summary` of a run that is planned."""
    hourly = f"{run.price.hourly_usd:.4f}" if run.price else None
    most = None if most_usd is None else f"{most_usd:.4f}"
    said: Costs = {"hourly-usd": hourly, "most-usd": most}
    return summary(said, _machines(run), run.rung.market, iso(run.deadline))


def _machines(run: RunPlan) -> str:
    nodes = f"{run.config.nodes} x " if run.config.nodes > 1 else ""
    return nodes + run.rung.instance_type


def summaries(deployment: Deployment, folders: Mapping[str, Path]) -> dict[str, str]:
    """Return the summary of each job in `folders`, as a launch now would print it.

    What stands in the way of a launch is not looked at, so that an upload takes no longer: that is
    `job_plan.make_plan`. A job that would not be launched has why instead.
    """
    settings, clients, now = settings_of(deployment), clients_of(deployment), datetime.now(UTC)

    def read(job: str) -> str:
        try:
            request = read_request({"job": job, "event-id": "plan"}, "plan", settings.buttons)
            path = folders[job] / CONFIG_FILENAME
            config = read_config(path.read_bytes(), f"{job}/{CONFIG_FILENAME}")
            run_id = run_id_for(request, now)
            run = plan_run(request, config, settings, now, run_id=run_id, nonce="")
            run = prepare.priced(run, partial(prepare.read_price, run, clients))
        except ParrisError as error:
            return f"would not be launched: {error}"
        said = costs(receipt(run))
        return summary(said, _machines(run), run.rung.market, iso(run.deadline))

    with ThreadPoolExecutor(max_workers=8) as pool:
        return dict(zip(folders, pool.map(read, folders), strict=True))
