"""The runs that another one begins with something of."""

from __future__ import annotations

from ..aws.ledger import Ledger
from ..aws.storage import Storage
from ..errors import LaunchRefused
from ..events.request import LAST, LaunchRequest
from ..runs.checkpoints import checkpoints_of
from ..runs.names import run_prefix
from ..runs.record import RunRecord

_LOOKED_THROUGH = 20
"""Newest runs of a job among which the last one with checkpoints is."""


def find_resumed(ledger: Ledger, storage: Storage, request: LaunchRequest) -> RunRecord:
    """Return the run whose checkpoints a request wants to begin with.

    Raises:
        LaunchRefused: if there is no such run, it is not over, or it has stored no checkpoint.
    """
    job, wanted = request.job, request.resume
    see = f"make status JOB={job} lists the job's runs"
    if wanted != LAST:
        found = ledger.read(job, wanted)
        if found is None or not found.receipt:
            raise LaunchRefused(f"resume: job {job} has no run {wanted}; {see}")
        if not _has_checkpoints(found, storage):
            why = f"run {wanted} ({found.state}) has stored no checkpoint"
            raise LaunchRefused(f"resume: {why}; without resume the training begins anew")
        return found
    for record in ledger.newest(_LOOKED_THROUGH, job)[0]:
        if record.stack_id is not None and _has_checkpoints(record, storage):
            return record
    raise LaunchRefused(
        f"resume: none of the last runs of job {job} has stored a checkpoint; {see}"
    )


def last_machine(ledger: Ledger, job: str) -> str:
    """Return the folder of the last machine of a job that is believed; "" if there is none.

    No other job's machine can have written there (docs/contracts.md, "What is believed").
    """
    for record in ledger.newest(_LOOKED_THROUGH, job)[0]:
        if name := (record.outcome or {}).get("machine") or record.folder:
            return f"{run_prefix(job, record.run_id)}machines/{name}/"
    return ""


def _has_checkpoints(record: RunRecord, storage: Storage) -> bool:
    """Return whether a run has stored any.

    Raises:
        LaunchRefused: if it is not over, or how it ended is not written down yet.
    """
    if record.outcome is None and record.stack_id is not None:
        raise LaunchRefused(
            f"resume: run {record.run_id} is not over, or its end is not written down yet; make "
            f"stop RUN={record.run_id} ends it, and make status RUN={record.run_id} says when it is"
        )
    folder = checkpoints_of(record)
    return folder is not None and storage.has_any(folder)
