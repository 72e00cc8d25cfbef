"""A run in one line: machine, price, worst case, when it ends."""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from decimal import Decimal
from functools import partial
from pathlib import Path

from parris.errors import ParrisError
from parris.events.router import read_request
from parris.jobs.config import CONFIG_FILENAME, read_config
from parris.launch import prepare
from parris.runs.budget import cost
from parris.runs.plan import RunPlan, plan_run, run_id_for
from parris.runs.receipt import receipt
from parris.runs.times import iso
from scripts.deployment.outputs import Deployment
from scripts.planning.clients import clients_of, settings_of


def summary(
    instance_type: str, market: str, hourly_usd: str | None, most_usd: str | None, deadline: str
) -> str:
    """Return a run in one line.

    Args:
        hourly_usd: US dollars; None if no price is known.
        deadline: ISO 8601 UTC.
    """
    price = f"${hourly_usd} an hour" if hourly_usd else "price unknown"
    worst = f", ${most_usd} at most" if most_usd else ""
    return f"{instance_type} {market}: {price}{worst}, ends by {deadline}"


def summary_of(run: RunPlan, most_usd: Decimal | float | None) -> str:
    """Return `summary` of a run that is planned."""
    hourly = f"{run.price.hourly_usd:.4f}" if run.price else None
    most = None if most_usd is None else f"{most_usd:.4f}"
    return summary(run.rung.instance_type, run.rung.market, hourly, most, iso(run.deadline))


def summaries(deployment: Deployment, folders: Mapping[str, Path]) -> dict[str, str]:
    """Return the summary of each job in `folders`, as its first machine costs now.

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
        return summary_of(run, cost(receipt(run), run.claimed, run.deadline))

    with ThreadPoolExecutor(max_workers=8) as pool:
        return dict(zip(folders, pool.map(read, folders), strict=True))
