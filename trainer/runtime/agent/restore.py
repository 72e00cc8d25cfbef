"""What a run begins with that goes on from another one: the checkpoints of that."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from .aws import Aws
from .limits import RESTORE_ATTEMPTS, RESTORE_PAUSE_SECONDS
from .words import RunError, say


def restore(aws: Aws, home: Path, uri: str, receipt: dict[str, Any], deadline: float) -> str:
    """Fetch the checkpoints that the receipt names, and return a line about it; "" if there is
    nothing to fetch.

    The aws CLI fetches files side by side, each under another name until it is whole, and what a
    try before has fetched it does not fetch again.

    Args:
        uri: of the run.
        deadline: the time.time() at which the run is over.

    Raises:
        RunError: if they cannot be had. A training from its start would cost as much again, and
            nobody would know.
    """
    source = receipt.get("restore")
    if not source:
        return ""
    began, folder = time.monotonic(), home / "checkpoints"
    bucket = uri.split("/", 3)[2]
    call = ("s3", "sync", "--only-show-errors", f"s3://{bucket}/{source}checkpoints/", str(folder))
    for attempt in range(1, RESTORE_ATTEMPTS + 1):
        answer = aws.call(*call, timeout=deadline - time.time())
        if answer.status == 0:
            break
        say(f"could not fetch all checkpoints: {answer.said}")
        if attempt == RESTORE_ATTEMPTS or time.time() > deadline:
            whose = f"the checkpoints of run {receipt['resumes']}"
            raise RunError(f"{whose} could not be fetched: {answer.said}")
        time.sleep(RESTORE_PAUSE_SECONDS)
    files = [path for path in folder.rglob("*") if path.is_file()]
    size = sum(path.stat().st_size for path in files)
    took = time.monotonic() - began
    return (
        f"parris: this run goes on from run {receipt['resumes']}: {len(files)} checkpoint files, "
        f"{size:,} bytes, fetched in {took:.1f} s"
    )
