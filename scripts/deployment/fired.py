"""What comes of an event that was sent and not answered: its run, its refusal, or nothing.

A trigger's event reaches the launch function asynchronously, so that nobody gets its answer. But a
run has a receipt, which says what triggered it. The ledger holds what has been told: a refusal with
its reason, by the reap function, and that a click launched nothing (docs/contracts.md, "The
ledger").
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from parris.aws.told import Told
from parris.contract import State
from parris.events.request import DEFAULT_JOB
from parris.runs.documents import Receipt
from parris.runs.record import RunRecord
from scripts.cli.console import Refused
from scripts.cli.which_cloud import is_local
from scripts.deployment.outputs import Deployment
from scripts.deployment.stores import ledger_of

SECONDS = 30.0
"""How long to listen: a message reaches the function within seconds, and its refusal the reap
function a few later."""

_NEWEST = 50
"""Runs among which the one is looked for: as many as may begin while it is awaited."""


@dataclass(frozen=True, kw_only=True)
class Fired:
    """What was set off, and how what comes of it is known."""

    did: str
    names: Mapping[str, str]
    """Keys and values of the event that its run's ``trigger`` and its refusal have too."""
    seconds: float = SECONDS
    """How long to listen for its run."""
    later: str = ""
    """When that begins, if it is too late to wait for without being asked."""


@dataclass(frozen=True, kw_only=True)
class Heard:
    """A run that was claimed, or what a click did that launches nothing."""

    receipt: Receipt | None = None
    action: str = ""


class Listener:
    """Knows what was there before the event was sent, so that what is new is what came of it."""

    def __init__(self, deployment: Deployment, job: str | None) -> None:
        """Remember what is there.

        Args:
            job: which the event is about; None if only the function knows.
        """
        self._job = job
        self._ledger = ledger_of(deployment)
        self._runs = {(one.job, one.run_id) for one in self._newest()}
        self._told = Told(table=self._ledger.table, now=datetime.now(UTC))
        self._marks = set(self._told.contents(self._prefix))

    @property
    def _prefix(self) -> str:
        return f"{self._job}/" if self._job else ""

    def _newest(self) -> list[RunRecord]:
        return self._ledger.newest(_NEWEST, self._job)[0]

    def listen(self, fired: Fired) -> Heard | None:
        """Return what comes of what was `fired`; None if nothing does in its time.

        Raises:
            Refused: with the launch function's own words, if it refused.
        """
        deadline = time.monotonic() + fired.seconds
        while True:
            heard = self._run(fired) or self._mark(fired)
            if heard is not None or time.monotonic() > deadline:
                return heard
            time.sleep(0.5 if is_local() else 2)

    def _run(self, fired: Fired) -> Heard | None:
        for record in self._newest():
            if (record.job, record.run_id) in self._runs:
                continue
            receipt = record.known
            if not _has(receipt.get("trigger"), fired.names):
                continue
            if receipt["state"] == State.LAUNCH_FAILED:
                raise Refused(f"the launch function refused: {receipt.get('reason')}")
            if "stack-id" in receipt or receipt["state"] in (State.SKIPPED, State.QUEUED):
                return Heard(receipt=receipt)
        return None

    def _mark(self, fired: Fired) -> Heard | None:
        for key, said in self._told.contents(self._prefix).items():
            if key in self._marks:
                continue
            what = key.rpartition("/")[2]
            if what == "launch-failed":
                if _has(said.get("event"), fired.names):
                    raise Refused(f"the launch function refused: {said.get('reason')}")
            elif what in ("status", "stop") and "topic" in fired.names:  # a click's
                return Heard(action=what)
        return None


def _has(named: object, names: Mapping[str, str]) -> bool:
    return isinstance(named, Mapping) and names.items() <= named.items()


def job_of(deployment: Deployment, trigger: str, name: str, job: str) -> str | None:
    """Return the job below whose name an event's marks lie; None if they may be any job's."""
    if trigger == "schedule":
        return str(deployment.schedules.get(name, {}).get("job", DEFAULT_JOB))
    return (job or DEFAULT_JOB) if trigger == "device" else None
