"""What is seen of a run of the drill, and the row that it makes."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from parris.aws.stack_events import deleter
from parris.contract import State
from scripts.deployment.folders import believed_folder
from scripts.deployment.outputs import Deployment
from scripts.deployment.runs import find_run
from scripts.drill.case import ONE, Case
from scripts.drill.interrupted import MOST_LOST_SECONDS, gaps, lost_seconds

GRACE_MINUTES = 2
DELETION_SECONDS = 30
"""What a deletion itself may take once it has begun."""

GUEST = ("agent", "trainer", "user-data")
"""What a machine's own record may name (docs/contracts.md, ``ended-by``)."""

LAYERS = {"schedule": "2 schedule", "reap": "3 reap"}


@dataclass(kw_only=True)
class Watch:
    """What is seen of one run."""

    case: Case
    run_id: str
    job: str
    stack_id: str
    deadline: datetime
    machine_off: datetime | None = None
    stack_gone: datetime | None = None
    off_reason: str = ""
    """EC2's code for why it went off."""
    problems: list[str] = field(default_factory=list)


def _deleter(deployment: Deployment, watch: Watch) -> str:
    events = deployment.client("cloudformation").describe_stack_events(StackName=watch.stack_id)
    asked = [
        event.get("ClientRequestToken", "")
        for event in events["StackEvents"]
        if event["ResourceStatus"] == "DELETE_IN_PROGRESS"
        and event["PhysicalResourceId"] == watch.stack_id
    ]
    return deleter(asked[0]) if asked else ""


def row_of(deployment: Deployment, watch: Watch) -> dict[str, Any]:
    """Return what came of a run, and what is wrong with it."""
    case, run = watch.case, find_run(deployment, watch.job, watch.run_id)
    # A sweep may delete the stack while the machine, its record stored, is powering off: what
    # ended such a run is the machine, as long as its power-off works.
    powers_off = run.ended_by in GUEST and "no-shutdown" not in case.machine
    itself = powers_off or watch.off_reason == "Client.InstanceInitiatedShutdown"
    by = "" if itself else _deleter(deployment, watch)
    layer = LAYERS.get(by, by or ONE)
    objects = deployment.client("s3").list_objects_v2(
        Bucket=deployment.results_bucket, Prefix=run.prefix
    )["Contents"]
    believed = believed_folder(deployment, run)
    names = {item["Key"].removeprefix(believed).removeprefix(run.prefix) for item in objects}
    saved = [name for name in ("output/kept.txt", "log.txt", "outcome.json") if name in names]
    problems, attempts = list(watch.problems), (run.outcome or {}).get("attempts", [None])
    survivors = _survivors(deployment, watch)
    latest = timedelta(minutes=GRACE_MINUTES, seconds=DELETION_SECONDS)
    for what, when in (("machine", watch.machine_off), ("stack", watch.stack_gone)):
        if when is None:
            problems.append(f"its {what} is still there")
        elif when > watch.deadline + latest:
            problems.append(f"its {what} outlived deadline and grace")
    if layer not in case.layers:
        problems.append(f"layer {layer} ended it, and not {' or '.join(case.layers)}")
    if run.state not in case.states:
        problems.append(f"its state is {run.state} ({run.reason}), not {' or '.join(case.states)}")
    if len(attempts) != case.attempts:
        problems.append(f"it had {len(attempts)} attempts, not {case.attempts}")
    lost = lost_seconds(watch.job) if case.goes_on else None
    if lost is not None and lost > MOST_LOST_SECONDS:
        problems.append(f"{lost:.0f} s of work were done again, more than {MOST_LOST_SECONDS}")
    missing = gaps(watch.job, case.config["parameters"]["epochs"]) if case.goes_on else []
    if missing and run.state == State.SUCCEEDED:
        problems.append(f"nobody has done epochs {missing}")
    if survivors:
        problems.append(f"machines are left: {', '.join(survivors)}")
    if not run.ended_by:
        problems.append("its record does not say what ended it")
    if case.saves and "output/kept.txt" not in names:
        problems.append("what the trainer had written is lost")
    return {
        "fault": case.fault,
        "layer": layer,
        "machine-off": _after(watch, watch.machine_off),
        "stack-gone": _after(watch, watch.stack_gone),
        "state": f"{run.state} ({run.ended_by})",
        "reason": run.reason,
        "saved": ", ".join(saved) or "-",
        "attempts": len(attempts),
        "cost-usd": (run.outcome or {}).get("cost-usd"),
        "lost-seconds": lost,
        "survivors": len(survivors),
        "problems": problems,
    }


def _survivors(deployment: Deployment, watch: Watch) -> list[str]:
    """Return the machines of a run that still cost something."""
    going = {"Name": "instance-state-name", "Values": ["pending", "running", "shutting-down"]}
    of_run = {"Name": "tag:parris:run-id", "Values": [watch.run_id]}
    answer = deployment.client("ec2").describe_instances(Filters=[of_run, going])
    return [found["InstanceId"] for each in answer["Reservations"] for found in each["Instances"]]


def _after(watch: Watch, when: datetime | None) -> float | None:
    return None if when is None else (when - watch.deadline).total_seconds()
