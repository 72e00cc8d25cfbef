"""What the drill looks for in the machines of its runs, and what it takes from them."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from scripts.cli.console import Refused
from scripts.deployment.machines import find_machine
from scripts.deployment.outputs import Deployment
from scripts.local import processes

PATIENCE_SECONDS = 180

Found = TypeVar("Found")


def wait_for(look: Callable[[], Found | None], what: str, pause: float = 0.5) -> Found:
    """Return what `look` returns as soon as that is something.

    Raises:
        Refused: if `what` does not come.
    """
    limit = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < limit:
        if found := look():
            return found
        time.sleep(pause)
    raise Refused(f"{what} did not come within {PATIENCE_SECONDS} s")


def find_at_work(deployment: Deployment, job: str, run_id: str) -> str:
    """Return a run's machine once it has stored something."""

    def look() -> str | None:
        stored = deployment.client("s3").list_objects_v2(
            Bucket=deployment.results_bucket, Prefix=f"runs/{job}/{run_id}/machines/"
        )
        if not any(item["Key"].endswith("/output/kept.txt") for item in stored.get("Contents", [])):
            return None
        return str(find_machine(deployment, run_id)["InstanceId"])

    return wait_for(look, f"what run {run_id} of job {job} stores")


def commands_of(instance_id: str) -> dict[int, list[bytes]]:
    """Return the command of each live process of a machine."""
    return {pid: _words(pid) for pid in processes.of_instance(instance_id)}


def _words(pid: int) -> list[bytes]:
    """Return a process's command; [b""] if it is gone."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    except OSError:
        return [b""]


def delete_schedule(deployment: Deployment, _job: str, run_id: str) -> None:
    """Take a run's second layer away."""
    name = f"{deployment.deployment}-{run_id}"
    deployment.client("scheduler").delete_schedule(GroupName=deployment.deployment, Name=name)
