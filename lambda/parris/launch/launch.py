"""The use case: one event becomes at most one training stack."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import datetime
from functools import partial
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from ..aws.arrivals import Arrivals
from ..aws.ledger import Ledger
from ..aws.queue import Queue
from ..aws.stacks import stack_of_run
from ..aws.storage import Storage
from ..aws.table import Table
from ..aws.told import Told
from ..aws.topic import Notifier
from ..contract import State
from ..errors import ParrisError
from ..events.request import LaunchRequest
from ..events.router import is_arrival, is_relaunch, is_settled, read_request, stops_grid
from ..jobs.files import GRID_FILENAME
from ..runs.answer import duplicate_of
from ..runs.names import run_prefix
from ..runs.record import RunRecord
from ..settings import Settings
from . import clicks, windows
from .claim import claim_run
from .commit import Commit
from .prepare import Clients, JobFiles, Machine, prepare, read_job, read_source
from .relaunch import relaunch
from .rerun import read_earlier
from .resume import find_resumed, last_machine
from .trial import comes_again

log = logging.getLogger(__name__)


def launch(
    event: object,
    request_id: str,
    *,
    settings: Settings,
    clients: Clients,
    machine: Machine,
    now: datetime,
) -> Mapping[str, Any]:
    """Do what `event` asks for, once, and return the answer (docs/contracts.md, "Events").

    Most events ask for a training. A click may ask for something else, and new data for a training
    when no more of it has come for a while.

    Raises:
        ParrisError: if it is refused or failed. Before a stack exists nothing is lost: the
            same event may be sent again.
    """
    storage = clients.storage()
    table = Table(dynamodb=clients.dynamodb, name=settings.ledger_table)
    notifier = Notifier(
        sns=clients.sns, topic_arn=settings.topic_arn, told=Told(table=table, now=now)
    )
    arrivals, ledger = Arrivals(table=table, now=now), Ledger(table)
    if is_arrival(event):
        return windows.settle(event, settings, arrivals, clients.scheduler, now)
    go_on = partial(
        relaunch,
        settings=settings,
        clients=clients,
        machine=machine,
        ledger=ledger,
        storage=storage,
        notifier=notifier,
        now=now,
    )

    def act(event: object) -> Mapping[str, Any]:
        request = read_request(event, request_id, settings.buttons)
        if request.action != "launch":
            return clicks.act(
                request,
                settings.deployment,
                storage,
                ledger,
                clients.cloudformation(),
                notifier,
                go_on,
                now,
            )
        return _start(
            event,
            request,
            settings=settings,
            clients=clients,
            machine=machine,
            now=now,
            storage=storage,
            ledger=ledger,
            notifier=notifier,
        )

    if is_relaunch(event):
        return go_on(event)
    if stops_grid(event):
        from . import grid

        return grid.stop(event, settings, ledger, clients)
    if is_settled(event):
        return windows.end(event, settings, arrivals, storage, act)
    return act(event)


def _start(
    event: object,
    request: LaunchRequest,
    *,
    settings: Settings,
    clients: Clients,
    machine: Machine,
    now: datetime,
    storage: Storage,
    ledger: Ledger,
    notifier: Notifier,
) -> Mapping[str, Any]:
    """Start a training in three round trips: read the job and claim the run; make room for it and
    copy its files; create the stack."""
    with ThreadPoolExecutor(max_workers=16, thread_name_prefix="launch") as pool:
        earlier = read_earlier(pool, ledger, storage, request) if request.rerun else None
        if request.trial:
            whole = run_prefix(request.job, request.trial.grid_id)
            files = read_source(pool, storage, whole)
        else:
            files = earlier.files if earlier else read_job(pool, storage, request.job)
        resuming = pool.submit(find_resumed, ledger, storage, request) if request.resume else None
        record, ours = claim_run(
            ledger,
            request,
            os.urandom(16).hex(),
            now,
            lambda name, run_id: stack_of_run(clients.cloudformation(), name, run_id),
            lambda run_id: storage.has_outcome(run_prefix(request.job, run_id)),
        )
        if not ours:
            return duplicate_of(record)
        secret = os.urandom(16).hex()
        try:
            if _wants_grid(request, files):
                from . import grid  # an ordinary launch does not wait for it

                return grid.begin(
                    pool, request, record, files, settings, storage, ledger, clients, now
                )
            plan = prepare(
                request,
                files,
                settings,
                now,
                run_id=record.run_id,
                nonce=secret,
                resumed=resuming.result() if resuming else None,
                then=earlier.result() if earlier else None,
            )
            if plan.config.setup_script:
                plan = replace(plan, setup_from=last_machine(ledger, request.job))
        except (ParrisError, ClientError, BotoCoreError) as error:
            _free(ledger, record, error, again=bool(request.trial) and comes_again(error))
            raise
        commit = Commit(
            record=record,
            plan=plan,
            event=event if isinstance(event, dict) else {},
            settings=settings,
            clients=clients,
            storage=storage,
            ledger=ledger,
            notifier=notifier,
        )
        return commit.run(pool, files.sizes, machine)


def _wants_grid(request: LaunchRequest, files: JobFiles) -> bool:
    """Return whether a request starts a grid: its own, or that of the job's grid.json."""
    if request.trial or request.resume or request.rerun or request.grid is False:
        return False
    return bool(request.grid) or GRID_FILENAME in files.listing.result()


def _free(ledger: Ledger, record: RunRecord, why: Exception, *, again: bool) -> None:
    """Let the event be sent again, if the ledger can be reached; else a sweep does so.

    Args:
        again: whether that comes by itself.
    """
    try:
        ledger.hold(record, State.QUEUED if again else State.LAUNCH_FAILED, str(why))
        if waited_for := record.receipt.get("stack-name"):
            Queue(ledger.table).leave(waited_for, record.run_id)
    except (ClientError, BotoCoreError):
        # The error that matters is the caller's.
        log.exception("could not write down that %s was not launched", record.run_id)
