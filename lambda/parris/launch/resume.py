"""The run that another one goes on from."""

from __future__ import annotations

from ..aws.ledger import Ledger
from ..errors import LaunchRefused
from ..events.request import LAST, LaunchRequest
from ..runs.record import RunRecord

_LOOKED_THROUGH = 20
"""Newest runs of a job among which the last one that trained is."""


def find_resumed(ledger: Ledger, request: LaunchRequest) -> RunRecord:
    """Return the run whose checkpoints a request wants to begin with.

    Raises:
        LaunchRefused: if the job has none such, or it is not over.
    """
    job, wanted = request.job, request.resume
    if wanted == LAST:
        for record in ledger.newest(_LOOKED_THROUGH, job)[0]:
            if _has_trained(record):
                return record
        raise LaunchRefused(f"resume: no run of job {job} is over that has trained; {_list(job)}")
    found = ledger.read(job, wanted)
    if found is None or not found.receipt:
        raise LaunchRefused(f"resume: job {job} has no run {wanted}; {_list(job)}")
    if found.outcome is None:
        raise LaunchRefused(
            f"resume: run {wanted} is not over ({found.state}); make stop RUN={wanted} ends "
            "it, and stores its checkpoints first"
        )
    if not _has_trained(found):
        raise LaunchRefused(f"resume: run {wanted} never trained ({found.state}); {_list(job)}")
    return found


def _has_trained(record: RunRecord) -> bool:
    return record.outcome is not None and record.outcome.get("started") is not None


def _list(job: str) -> str:
    return f"make status JOB={job} lists its runs"
