"""The use case: one event becomes at most one training stack."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import datetime
from typing import TYPE_CHECKING, Any

from botocore.exceptions import BotoCoreError, ClientError

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
from .claim import claim_run
from .commit import Commit
from .prepare import Clients, JobFiles, Machine, prepare, read_job, read_source
from .trial import comes_again

if TYPE_CHECKING:
    from .rerun import Earlier

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
    table = Table(dynamodb=clients.dynamodb, name=settings.ledger_table)
    return _Launch(
        request_id=request_id,
        settings=settings,
        clients=clients,
        machine=machine,
        now=now,
        storage=clients.storage(),
        ledger=Ledger(table),
        notifier=Notifier(
            sns=clients.sns, topic_arn=settings.topic_arn, told=Told(table=table, now=now)
        ),
    ).do(event)


@dataclass(frozen=True, kw_only=True)
class _Launch:
    """One call of the launch function.

    What only some events need is imported when one of them comes: an ordinary launch, which
    compiles what it imports where nothing keeps it, does not wait for it.
    """

    request_id: str
    settings: Settings
    clients: Clients
    machine: Machine
    now: datetime
    storage: Storage
    ledger: Ledger
    notifier: Notifier

    def do(self, event: object) -> Mapping[str, Any]:
        if is_arrival(event) or is_settled(event):
            from ..aws.arrivals import Arrivals
            from . import windows

            arrivals = Arrivals(table=self.ledger.table, now=self.now)
            if is_settled(event):
                return windows.end(event, self.settings, arrivals, self.storage, self._act)
            scheduler = self.clients.scheduler
            return windows.settle(event, self.settings, arrivals, scheduler, self.now)
        if is_relaunch(event):
            return self._go_on(event)
        if stops_grid(event):
            from . import grid

            return grid.stop(event, self.settings, self.ledger, self.clients)
        return self._act(event)

    def _act(self, event: object) -> Mapping[str, Any]:
        request = read_request(event, self.request_id, self.settings.buttons)
        if request.action == "launch":
            return self._start(event, request)
        from . import clicks

        return clicks.act(
            request,
            self.settings.deployment,
            self.storage,
            self.ledger,
            self.clients.cloudformation(),
            self.notifier,
            self._go_on,
            self.now,
        )

    def _go_on(self, event: Mapping[str, Any]) -> Mapping[str, Any]:
        from .relaunch import relaunch

        return relaunch(
            event,
            settings=self.settings,
            clients=self.clients,
            machine=self.machine,
            ledger=self.ledger,
            storage=self.storage,
            notifier=self.notifier,
            now=self.now,
        )

    def _start(self, event: object, request: LaunchRequest) -> Mapping[str, Any]:
        """Start a training in three round trips: read the job and claim the run; make room for it
        and copy its files; create the stack."""
        with ThreadPoolExecutor(max_workers=16, thread_name_prefix="launch") as pool:
            earlier = self._earlier(pool, request) if request.rerun else None
            if request.trial:
                whole = run_prefix(request.job, request.trial.grid_id)
                files = read_source(pool, self.storage, whole)
            else:
                files = earlier.files if earlier else read_job(pool, self.storage, request.job)
            resuming = pool.submit(self._resumed, request) if request.resume else None
            record, ours = claim_run(
                self.ledger,
                request,
                os.urandom(16).hex(),
                self.now,
                lambda name, run_id: stack_of_run(self.clients.cloudformation(), name, run_id),
                lambda run_id: self.storage.has_begun(run_prefix(request.job, run_id)),
            )
            if not ours:
                return duplicate_of(record)
            secret = os.urandom(16).hex()
            try:
                if _wants_grid(request, files):
                    return self._begin_grid(pool, request, record, files)
                plan = prepare(
                    request,
                    files,
                    self.settings,
                    self.now,
                    run_id=record.run_id,
                    nonce=secret,
                    resumed=resuming.result() if resuming else None,
                    then=earlier.result() if earlier else None,
                )
                if plan.config.setup_script:
                    from .resume import last_machine

                    plan = replace(plan, setup_from=last_machine(self.ledger, request.job))
            except (ParrisError, ClientError, BotoCoreError) as error:
                _free(self.ledger, record, error, again=bool(request.trial) and comes_again(error))
                raise
            commit = Commit(
                record=record,
                plan=plan,
                event=event if isinstance(event, dict) else {},
                settings=self.settings,
                clients=self.clients,
                storage=self.storage,
                ledger=self.ledger,
                notifier=self.notifier,
            )
            return commit.run(pool, files.sizes, self.machine)

    def _earlier(self, pool: ThreadPoolExecutor, request: LaunchRequest) -> Earlier:
        from .rerun import read_earlier

        return read_earlier(pool, self.ledger, self.storage, request)

    def _resumed(self, request: LaunchRequest) -> RunRecord:
        from .resume import find_resumed

        return find_resumed(self.ledger, self.storage, request)

    def _begin_grid(
        self, pool: ThreadPoolExecutor, request: LaunchRequest, record: RunRecord, files: JobFiles
    ) -> Mapping[str, Any]:
        from . import grid

        return grid.begin(
            pool,
            request,
            record,
            files,
            self.settings,
            self.storage,
            self.ledger,
            self.clients,
            self.now,
        )


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
