"""The use case of a grid: an event begins it; the reap function then launches its trials.

What the next sweep finds if the launch dies: before the grid is in the ledger, a run without a
stack, as of any launch; after it, an open grid, whose first trials it launches.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from concurrent.futures import Executor
from dataclasses import replace
from datetime import datetime
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from ..aws.grids import Grids
from ..aws.ledger import Ledger
from ..aws.storage import Storage
from ..aws.table import to_text
from ..contract import State
from ..errors import InvalidConfig, InvalidEvent, LaunchRefused
from ..events.request import LaunchRequest, Trial, read_grid_id, read_job
from ..events.router import STOP_GRID, grid_event
from ..jobs.config import CONFIG_FILENAME, MAX_STACK_NAME
from ..jobs.files import GRID_FILENAME
from ..jobs.grid import read_grid
from ..jobs.parameters import environment_name, unknown_names
from ..jobs.points import Grid
from ..runs.answer import grid_answer
from ..runs.month import to_micros
from ..runs.names import run_prefix, trial_run_id, trial_stack_name
from ..runs.record import RunRecord
from ..settings import Settings
from .prepare import Clients, JobFiles, prepare

log = logging.getLogger(__name__)


def begin(
    pool: Executor,
    request: LaunchRequest,
    record: RunRecord,
    files: JobFiles,
    settings: Settings,
    storage: Storage,
    ledger: Ledger,
    clients: Clients,
    now: datetime,
) -> dict[str, Any]:
    """Begin the grid that `request` asks for, whose run has been claimed; return the answer.

    Its trials begin with the files that the job has now, whatever is uploaded while they last.

    Raises:
        ParrisError: if no trial could begin.
    """
    answer = grid_answer(request.job, record.run_id, duplicate=False)
    grids = Grids(ledger.table)
    if request.overlap in ("skip", "queue-one") and (going := grids.going(request.job)):
        reason = f"grid {going[0]} is still going"
        ledger.hold(record, State.SKIPPED, reason)  # the next sweep tells of it
        return {**answer, "held-back": State.SKIPPED, "reason": reason}
    grid = _read(request, storage)
    _check(grid, request, record.run_id, files, settings, now)
    prefix = run_prefix(request.job, record.run_id)
    for copy in [pool.submit(storage.snapshot, request.job, name, prefix) for name in files.sizes]:
        copy.result()
    item = {
        "grid": to_text(grid.stored),
        "parameters": to_text(dict(request.parameters)),
        "trigger": request.kind,
        "began": now.isoformat(),
        "nonce": record.nonce,
    }
    grids.begin(request.job, record.run_id, item)
    try:
        ledger.hold(record, State.GRID, "")
        _look_after(request.job, record.run_id, settings, clients)
    except (ClientError, BotoCoreError):
        log.exception("the next sweep begins the trials of grid %s", record.run_id)
    return {
        **answer,
        "trials": grid.count,
        "max-parallel": grid.max_parallel,
        "cost-limit-usd": None if grid.cost_limit_usd is None else f"{grid.cost_limit_usd:f}",
        **({"ignored": list(request.ignored)} if request.ignored else {}),
    }


def _read(request: LaunchRequest, storage: Storage) -> Grid:
    if isinstance(request.grid, Mapping):
        return read_grid(request.grid, "grid")
    text = storage.read_job_file(request.job, GRID_FILENAME).text
    return read_grid(text, f"{request.job}/{GRID_FILENAME}")


def _check(
    grid: Grid,
    request: LaunchRequest,
    grid_id: str,
    files: JobFiles,
    settings: Settings,
    now: datetime,
) -> None:
    """Refuse a grid whose trials would all be refused."""
    spelled = {environment_name(name): name for name in grid.names}
    if twice := [name for name in request.parameters if environment_name(name) in spelled]:
        raise InvalidEvent(
            f"parameters: the grid has values of {', '.join(twice)} too; give them in one place"
        )
    limit = None if grid.cost_limit_usd is None else to_micros(grid.cost_limit_usd)
    first = replace(
        request,
        grid=None,
        trial=Trial(grid_id=grid_id, number=1, cost_limit_micros=limit),
        kind="grid" if request.kind == "data" else request.kind,
    )
    run_id = trial_run_id(grid_id, 1)
    plan = prepare(first, files, settings, now, run_id=run_id, nonce="", resumed=None, then=None)
    if problems := unknown_names(grid.names, plan.config.parameters, request.job):
        raise InvalidEvent("; ".join(f"grid: {problem}" for problem in problems))
    longest = len(trial_stack_name(plan.config.stack_name, grid_id, grid.count))
    if longest > MAX_STACK_NAME:
        most = MAX_STACK_NAME - longest + len(plan.config.stack_name)
        raise InvalidConfig(
            f"{request.job}/{CONFIG_FILENAME}",
            [f"training-job-name: at most {most} characters in a grid of {grid.count} trials"],
        )


def stop(
    event: Mapping[str, Any], settings: Settings, ledger: Ledger, clients: Clients
) -> dict[str, Any]:
    """Let a grid begin no more trials and end those under way, gently; return the answer.

    Raises:
        LaunchRefused: if there is no such grid.
    """
    job, grid_id = read_job(event.get("job")), read_grid_id(event, STOP_GRID)
    grid = Grids(ledger.table).stop(job, grid_id, "it was stopped", by_hand=True)
    if grid is None:
        raise LaunchRefused(f"job {job} has no grid {grid_id}; make status lists those there are")
    if grid.is_open:
        _look_after(job, grid_id, settings, clients)  # if that is lost, a sweep does the same
    return {"grid": grid_id, "job": job, "stopping": grid.is_open, "under-way": len(grid.running)}


def _look_after(job: str, grid_id: str, settings: Settings, clients: Clients) -> None:
    clients.functions().invoke(
        FunctionName=settings.reap_function_arn,
        InvocationType="Event",
        Payload=json.dumps(grid_event(job, grid_id)).encode(),
    )
