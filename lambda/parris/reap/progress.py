"""How runs go while they do, by the word of their machines."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from ..aws.ledger import Ledger
from ..aws.results import Results
from ..aws.stacks import stack_tags
from ..contract import State
from ..runs.lifecycle import Machine
from ..runs.metrics import Progress
from ..runs.names import run_prefix
from ..runs.record import RunRecord
from .early import EarlyStops

FRESH = timedelta(minutes=5)
"""How old a machine's word may be to count as a sign that its run goes on: it is renewed each
minute, and stored as often as the job's sync-interval-seconds says."""

_STANDING = ("CREATE_COMPLETE", "UPDATE_COMPLETE")
_GOING = (State.ACCEPTED, State.LAUNCHING)


@dataclass(frozen=True, kw_only=True)
class Said:
    """What a run's machine has said of how it goes."""

    record: RunRecord
    folder: str
    progress: Progress
    stored: datetime
    """By S3's clock."""

    def goes_on(self, now: datetime) -> bool:
        """Return whether the run surely goes on.

        Whoever trains can forge that, and gains what a trainer that never ends has: the deadline
        counts all the same. A machine whose agent is dead renews nothing.
        """
        return not self.progress.over and now - self.stored < FRESH


@dataclass(frozen=True, kw_only=True)
class UnderWay:
    """Reads what machines say of runs that are under way, a call each, and notes it."""

    storage: Results
    ledger: Ledger
    early: EarlyStops

    def records(self) -> dict[str, RunRecord]:
        """Return the runs, by run id, whose machines may be under way."""
        found, _ = self.ledger.open_runs()
        return {one.run_id: one for one in found if one.outcome is None and one.state in _GOING}

    def read(
        self,
        stack: Mapping[str, Any],
        machines: Mapping[str, Machine],
        records: Mapping[str, RunRecord],
    ) -> Said | None:
        """Return what the machine of a stack says; None if there is none, or it says nothing."""
        run_id = stack_tags(stack).get("parris:run-id", "")
        machine, record = machines.get(run_id), records.get(run_id)
        if machine is None or record is None or stack["StackStatus"] not in _STANDING:
            return None
        if machine.state != "running":
            return None
        prefix = run_prefix(record.job, run_id)
        folder: str | None = record.folder
        if not record.folder.endswith(f":{machine.instance_id}"):
            folder = self.storage.find_machine_folder(prefix, machine.instance_id)
        found = self.storage.read_progress(prefix, folder) if folder else None
        if folder is None or found is None:
            return None
        return Said(record=record, folder=folder, progress=found[0], stored=found[1])

    def note(self, said: Said) -> None:
        """Note in the ledger what is new of it, and what its grid compares by."""
        record, metrics = said.record, said.progress.metrics
        self.early.hear(record, said.progress)
        if record.folder != said.folder or list(record.metrics.items()) != list(metrics.items()):
            self.ledger.note_progress(record, said.folder, metrics)
