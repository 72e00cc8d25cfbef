"""Where the checkpoints of a run lie when it is over."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .names import run_prefix
from .record import RunRecord

if TYPE_CHECKING:
    from .documents import Receipt


def resumes(run: RunRecord | None) -> Receipt:
    """Return ``resumes`` and ``restore`` of the run.json of a run that goes on from `run`."""
    folder = run and checkpoints_of(run)
    return {"resumes": run.run_id, "restore": folder} if run and folder else {}


def checkpoints_of(run: RunRecord) -> str | None:
    """Return where in the results bucket a run that is over has its checkpoints, if anywhere."""
    if run.outcome is None:
        return None
    prefix = run_prefix(run.job, run.run_id)
    if "machine" not in run.outcome:  # of an older version
        return f"{prefix}checkpoints/"
    stored = run.outcome["machine"]  # None if its machine stored nothing
    return f"{prefix}machines/{stored}/checkpoints/" if stored else None
