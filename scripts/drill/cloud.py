"""One embedded cloud of the drill: ``python -m scripts.drill.cloud <name>`` prints JSON rows."""

from __future__ import annotations

import json
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import redirect_stdout
from datetime import UTC, datetime, timedelta
from functools import cache, partial
from typing import Any

from parris.aws.stacks import read_stack
from scripts.cli.console import Refused
from scripts.cli.which_cloud import LOCAL_HOME
from scripts.commands import launch as launching
from scripts.deployment import terraform
from scripts.deployment.machines import find_machine
from scripts.deployment.outputs import Deployment, make_client, read_deployment
from scripts.deployment.runs import find_run
from scripts.drill.case import Case
from scripts.drill.cases import CASES
from scripts.drill.interrupted import SYNC_SECONDS, trace_of
from scripts.drill.rows import DELETION_SECONDS, GRACE_MINUTES, Watch, row_of
from scripts.local import cloud, faults, interruptions

AT_ONCE = {"interrupted": 6}
"""How many runs of a cloud are under way at once, where their own ends wait for no deadline."""

_LAUNCHING = threading.Lock()
"""One after another, so that warm functions serve them all."""


@cache
def _client(service: str, region: str) -> Any:
    with _MAKING:  # boto3's session is not to be shared between threads
        return make_client(service, region)


_MAKING = threading.Lock()


class Watched(Deployment):
    """A deployment whose clients are made once: they are called every second."""

    def client(self, service: str) -> Any:
        return _client(service, self.region)


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
    variables.append(f"max_concurrent_runs={len(cases)}")
    if terraform.main(["apply", "--quiet", "--yes", *(f"-var={item}" for item in variables)]):
        raise Refused("terraform apply failed")
    deployment = Watched(**vars(read_deployment()))
    _break(deployment, name, cases)
    at_once = min(len(cases), AT_ONCE.get(name, len(cases)))
    with ThreadPoolExecutor(max_workers=at_once) as pool:
        return list(pool.map(partial(_play_one, deployment, name), range(len(cases)), cases))


def _play_one(deployment: Deployment, name: str, number: int, case: Case) -> dict[str, Any]:
    """Launch a run, strike it, and return what came of it."""
    with _LAUNCHING:
        watch = _launch(deployment, number, case)
    _strike(deployment, watch)
    _wait(deployment, name, watch)
    return row_of(deployment, watch)


def _strike(deployment: Deployment, watch: Watch) -> None:
    """Do to a run what its case says."""
    if watch.case.during is None:
        return
    try:
        watch.case.during(deployment, watch.job, watch.run_id)
    except (Refused, interruptions.NoSuchMachine) as error:
        watch.problems.append(str(error))


def _break(deployment: Deployment, name: str, cases: tuple[Case, ...]) -> None:
    wanted: dict[str, Any] = {
        "machines": {_name(number): list(case.machine) for number, case in enumerate(cases)},
        "cloudformation": {
            _name(number): case.creation for number, case in enumerate(cases) if case.creation
        },
    }
    for case in cases:
        rules = [*wanted.get("capacity", []), *case.shortage.get("capacity", [])]
        missing = {**wanted.get("not-offered", {}), **case.shortage.get("not-offered", {})}
        wanted |= {"capacity": rules, "not-offered": missing}
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
        "sync-interval-seconds": SYNC_SECONDS,
        "stop-grace-seconds": 1,
        **case.config,
    }
    if case.goes_on:
        trace = trace_of(_name(number))
        trace.parent.mkdir(exist_ok=True)
        config["parameters"] = {**case.config["parameters"], "trace": str(trace)}
    s3, folder = deployment.client("s3"), f"jobs/{_name(number)}"
    for key, text in (
        ("training-config.json", json.dumps(config)),
        ("trainer-script.sh", case.script),
    ):
        s3.put_object(Bucket=deployment.config_bucket, Key=f"{folder}/{key}", Body=text.encode())
    answer = launching.invoke(deployment, {"job": _name(number)})
    if not answer["stack-id"] or not answer["deadline"]:
        raise Refused(f"job {_name(number)} has no stack to drill; the launch answered {answer}")
    return Watch(
        case=case,
        run_id=answer["run-id"],
        job=_name(number),
        stack_id=answer["stack-id"],
        deadline=datetime.fromisoformat(answer["deadline"]),
    )


def _wait(deployment: Deployment, name: str, watch: Watch) -> None:
    """Watch until machine and stack are gone, or long past deadline and grace."""
    grace = timedelta(minutes=GRACE_MINUTES, seconds=2 * DELETION_SECONDS)
    while datetime.now(UTC) < watch.deadline + grace:
        _look(deployment, watch)
        if _is_over(deployment, watch):
            return
        if name == "machine-alone" and watch.machine_off:
            # Nothing that costs is left. The stack waits for Scheduler, which tries for a day.
            faults.write(LOCAL_HOME, {})
        time.sleep(1)


def _is_over(deployment: Deployment, watch: Watch) -> bool:
    """Return whether a run has neither machine nor stack, and gets none any more."""
    if not (watch.machine_off and watch.stack_gone):
        return False
    if watch.case.attempts == 1:
        return True
    return find_run(deployment, watch.job, watch.run_id).outcome is not None


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


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
