"""One embedded cloud of the drill: ``python -m scripts.drill.cloud <name>`` prints JSON rows."""

from __future__ import annotations

import json
import sys
import time
from contextlib import redirect_stdout
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from parris.aws.stack_events import deleter
from parris.aws.stacks import read_stack
from scripts.cli.console import Refused
from scripts.cli.which_cloud import LOCAL_HOME
from scripts.commands import launch as launching
from scripts.deployment import terraform
from scripts.deployment.folders import believed_folder
from scripts.deployment.machines import find_machine
from scripts.deployment.outputs import Deployment, read_deployment
from scripts.deployment.runs import find_run
from scripts.drill.cases import CASES, ONE, Case
from scripts.local import cloud, faults

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


def main(argv: list[str]) -> int:
    """Play one cloud and print its rows as the last line."""
    name = argv[0]
    with redirect_stdout(sys.stderr):
        try:
            rows = _play(name, CASES[name])
        finally:
            cloud.down(LOCAL_HOME)
    print(json.dumps(rows))
    return 0


def _play(name: str, cases: tuple[Case, ...]) -> list[dict[str, Any]]:
    cloud.up(LOCAL_HOME, 0)
    variables = [f"grace_minutes={GRACE_MINUTES}", "sweep_minutes=1", "schedules={}"]
    if terraform.main(["apply", "--quiet", "--yes", *(f"-var={item}" for item in variables)]):
        raise Refused("terraform apply failed")
    deployment = read_deployment()
    _break(deployment, name, cases)
    watches = [_launch(deployment, number, case) for number, case in enumerate(cases)]
    for watch in watches:
        if watch.case.during is not None:
            watch.case.during(deployment, watch.job, watch.run_id)
    _wait(deployment, name, watches)
    return [_row(deployment, watch) for watch in watches]


def _break(deployment: Deployment, name: str, cases: tuple[Case, ...]) -> None:
    wanted: dict[str, Any] = {
        "machines": {_name(number): list(case.machine) for number, case in enumerate(cases)},
        "cloudformation": {
            _name(number): case.creation for number, case in enumerate(cases) if case.creation
        },
    }
    for case in cases:
        wanted |= case.shortage
    if name in ("scheduler-down", "machine-alone"):
        wanted["scheduler"] = "down"
    faults.write(LOCAL_HOME, wanted)
    if name in ("reap-deleted", "machine-alone"):
        deployment.client("lambda").delete_function(FunctionName=deployment.reap_function)


def _name(number: int) -> str:
    return f"drill-{number}"


def _launch(deployment: Deployment, number: int, case: Case) -> Watch:
    config = {
        "training-job-name": _name(number),
        "termination-method": "at-fixed-time",
        "time-limit": case.minutes,
        "sync-interval-seconds": 5,
        "stop-grace-seconds": 1,
        **case.config,
    }
    s3, folder = deployment.client("s3"), f"jobs/{_name(number)}"
    for key, text in (
        ("training-config.json", json.dumps(config)),
        ("trainer-script.sh", case.script),
    ):
        s3.put_object(Bucket=deployment.config_bucket, Key=f"{folder}/{key}", Body=text.encode())
    answer = launching.invoke(deployment, {"job": _name(number)})
    return Watch(
        case=case,
        run_id=answer["run-id"],
        job=_name(number),
        stack_id=answer["stack-id"],
        deadline=datetime.fromisoformat(answer["deadline"]),
    )


def _wait(deployment: Deployment, name: str, watches: list[Watch]) -> None:
    """Watch until every machine is off and every stack gone, or long past deadline and grace."""
    last = max(watch.deadline for watch in watches)
    limit = last + timedelta(minutes=GRACE_MINUTES, seconds=2 * DELETION_SECONDS)
    while datetime.now(UTC) < limit:
        for watch in watches:
            _look(deployment, watch)
        if all(_is_over(deployment, watch) for watch in watches):
            return
        if name == "machine-alone" and all(watch.machine_off for watch in watches):
            # Nothing that costs is left. The stack waits for Scheduler, which tries for a day.
            faults.write(LOCAL_HOME, {})
        time.sleep(1)


def _is_over(deployment: Deployment, watch: Watch) -> bool:
    """Return whether a run has neither machine nor stack, and gets none any more."""
    if not (watch.machine_off and watch.stack_gone):
        return False
    return watch.case.attempts == 1 or find_run(deployment, watch.job, watch.run_id).is_over


def _look(deployment: Deployment, watch: Watch) -> None:
    now, machine = datetime.now(UTC), find_machine(deployment, watch.run_id)
    if machine["State"]["Name"] not in ("terminated", "none"):
        watch.machine_off = None  # it may be another one
    elif watch.machine_off is None:
        watch.machine_off = now
        watch.off_reason = machine.get("StateReason", {}).get("Code", "")
    stack = read_stack(deployment.client("cloudformation"), watch.job)
    if stack is not None:
        watch.stack_id, watch.stack_gone = stack["StackId"], None
    elif watch.stack_gone is None:
        watch.stack_gone = now


def _deleter(deployment: Deployment, watch: Watch) -> str:
    events = deployment.client("cloudformation").describe_stack_events(StackName=watch.stack_id)
    asked = [
        event.get("ClientRequestToken", "")
        for event in events["StackEvents"]
        if event["ResourceStatus"] == "DELETE_IN_PROGRESS"
        and event["PhysicalResourceId"] == watch.stack_id
    ]
    return deleter(asked[0]) if asked else ""


def _row(deployment: Deployment, watch: Watch) -> dict[str, Any]:
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


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
