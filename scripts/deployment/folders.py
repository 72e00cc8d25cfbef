"""Where the machine of a run stores its objects and its log."""

from __future__ import annotations

import re

from parris.aws.stacks import stack_tags
from scripts.deployment.machines import find_machine
from scripts.deployment.outputs import Deployment
from scripts.deployment.runs import Run
from scripts.deployment.stores import storage_of

_FOLDER_NAME = re.compile(r"[A-Z0-9]+:i-[0-9a-f]+")
"""What ``aws:userid`` is for a machine (IAM user guide, "IAM policy elements: Variables")."""


def believed_folder(deployment: Deployment, run: Run) -> str:
    """Return where in the results bucket the machine of a run stores, with a slash at its end.

    That is the folder which the run's outcome names or, while it has none, that of the instance
    with the run's tags: its name is the writer's ``aws:userid``, to which the machines' policy
    holds them (docs/contracts.md, "What is believed"). A run of an older version has its objects
    at its root; one that no machine has written for has them nowhere: the same.
    """
    name = (run.outcome or {}).get("machine")
    if name is None and run.outcome is None:
        instance = find_machine(deployment, run.run_id)["InstanceId"]
        if instance:
            name = storage_of(deployment).find_machine_folder(run.prefix, instance)
    if isinstance(name, str) and _FOLDER_NAME.fullmatch(name):
        return f"{run.prefix}machines/{name}/"
    return run.prefix


def worker_folders(run: Run) -> dict[int, str]:
    """Return where the other nodes of a run of several machines store, by rank.

    The run's outcome names them, by its head's word: whoever connects to the head knows a secret of
    the run's.
    """
    names = (run.outcome or {}).get("machines")
    return {
        rank: f"{run.prefix}machines/{name}/"
        for rank, name in enumerate(names if isinstance(names, list) else [])
        if rank and isinstance(name, str) and _FOLDER_NAME.fullmatch(name)
    }


def log_stream(run: Run) -> str:
    """Return the name of a run's stream in CloudWatch Logs; "" if nobody knows it any more."""
    known = stack_tags(run.stack or {}), run.outcome or {}, run.receipt
    names = (
        known[0].get("parris:log-stream"),
        known[1].get("log-stream"),
        known[2].get("log-stream"),
    )
    return next((name for name in names if isinstance(name, str) and name), "")
