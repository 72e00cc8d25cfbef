"""A run survives its machines: whole runs with both functions, their rules and their events."""

from __future__ import annotations

import itertools
import json
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from scripts.local import faults, interruptions
from tests.e2e import roles
from tests.e2e.conftest import Clone, wait_for

SYNC_SECONDS = 5
EPOCHS = 30
TRAINER = """#!/bin/bash
# Counts to its last epoch, one a second; beside the checkpoint it tells a file of the test's.
# An epoch is kept, told and printed, or not begun: asked to end, it ends behind one. The signal is
# for all processes of a trainer, so mv may die of it as well, before its work or after.
trap over=yes TERM
n=0
[[ -f "${PARRIS_CHECKPOINT_DIR}/n" ]] && read -r n <"${PARRIS_CHECKPOINT_DIR}/n"
echo "attempt ${PARRIS_ATTEMPT} begins after epoch ${n}, resumed ${PARRIS_RESUMED:-no}"
while ((n < PARRIS_PARAM_EPOCHS)); do
  sleep 1
  n=$((n + 1))
  echo "${n}" >"${PARRIS_CHECKPOINT_DIR}/.n"
  until mv "${PARRIS_CHECKPOINT_DIR}/.n" "${PARRIS_CHECKPOINT_DIR}/n"; do
    [[ -e "${PARRIS_CHECKPOINT_DIR}/.n" ]] || break
  done
  echo "${PARRIS_ATTEMPT} ${n}" >>"${PARRIS_PARAM_TRACE}"
  echo "epoch ${n}"
  [[ -z "${over:-}" ]] || exit 143
done
echo "${n}" >"${PARRIS_OUTPUT_DIR}/n"
"""


class Watch:
    """What EC2 and CloudFormation say of a run while it goes on, looked at again and again."""

    def __init__(self, clone: Clone, job: str) -> None:
        self._clone, self._job = clone, job
        self._over = threading.Event()
        self._before: set[str] = set()
        self._thread = threading.Thread(target=self._look, daemon=True)
        self.most_alive = 0
        self.machines: list[str] = []
        """In the order in which they came."""
        self.terminated: dict[str, datetime] = {}

    def __enter__(self) -> Watch:
        self._before = {one["InstanceId"] for one in self._clone.instances(self._job)}
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _look(self) -> None:
        while not self._over.is_set():
            known = self._clone.instances(self._job)
            found = [one for one in known if one["InstanceId"] not in self._before]
            now = datetime.now(UTC)
            alive = [one for one in found if one["State"]["Name"] != "terminated"]
            self.most_alive = max(self.most_alive, len(alive))
            for one in found:
                identifier = one["InstanceId"]
                if identifier not in self.machines:
                    self.machines.append(identifier)
                if one not in alive:
                    self.terminated.setdefault(identifier, now)
            time.sleep(0.1)

    def machine(self, number: int) -> str:
        """Wait for the run's machine of that number, from 1; return its id."""
        return str(wait_for(lambda: self.machines[number - 1 : number], 120)[0])


class Trace:
    """What the trainers of a run have done, whether or not it was stored."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def epochs(self, attempt: int) -> list[int]:
        lines = self.path.read_text().splitlines() if self.path.exists() else []
        pairs = [[int(word) for word in line.split()] for line in lines]
        return [epoch for number, epoch in pairs if number == attempt]

    def wait(self, attempt: int, epochs: int) -> None:
        """Wait until an attempt has done so many epochs."""
        wait_for(lambda: len(self.epochs(attempt)) >= epochs, 120)


@pytest.fixture
def trace(tmp_path: Path) -> Trace:
    return Trace(tmp_path / "trace")


@pytest.fixture(autouse=True)
def _sound_again(clone: Clone) -> Iterator[None]:
    yield
    faults.write(home(clone), {})


def home(clone: Clone) -> Path:
    return clone.folder / ".parris/local"


def begin(clone: Clone, job: str, trace: Trace, *, epochs: int = EPOCHS, **config: Any) -> Any:
    """Launch a run of a new job; return the launch function's answer."""
    parameters = {"epochs": epochs, "trace": str(trace.path)}
    whole = {
        "training-job-name": f"e2e-{job}",
        "sync-interval-seconds": SYNC_SECONDS,
        "stop-grace-seconds": 2,
        "parameters": parameters,
        **config,
    }
    clone.put_job(job, {"training-config.json": json.dumps(whole), "trainer-script.sh": TRAINER})
    answer = clone.invoke({"job": job})
    assert "errorMessage" not in answer, answer
    return answer


def take(clone: Clone, identifier: str, notice: int = 0) -> None:
    """Let EC2 take a machine, as soon as there is one of that id."""

    def asked() -> bool:
        try:
            interruptions.ask(home(clone), identifier, notice)
        except interruptions.NoSuchMachine:
            return False
        return True

    wait_for(asked, 30)


def sweep(clone: Clone) -> None:
    answer = clone.client("lambda").invoke(
        FunctionName=clone.outputs["reap_function"], Payload=b"{}"
    )
    assert "FunctionError" not in answer, answer["Payload"].read()


def status(clone: Clone, run_id: str) -> str:
    return clone.make("status", "LOCAL=1", f"RUN={run_id}").stdout


def stack_events(clone: Clone, stack_id: str, status: str) -> list[datetime]:
    """Return when a stack came to a status, each time."""
    events = clone.client("cloudformation").describe_stack_events(StackName=stack_id)
    return [
        event["Timestamp"]
        for event in reversed(events["StackEvents"])
        if event["ResourceStatus"] == status and event["PhysicalResourceId"] == stack_id
    ]


def waits_for_a_stack(clone: Clone, stack_name: str) -> list[float]:
    """Return the seconds from each failed creation of a stack to the next CreateStack."""
    client = clone.client("cloudformation")
    pages = client.get_paginator("list_stacks").paginate()
    ids = {one["StackId"] for page in pages for one in page["StackSummaries"]}
    times = []
    for stack_id in ids:
        if f":stack/{stack_name}/" in stack_id:
            [began] = stack_events(clone, stack_id, "CREATE_IN_PROGRESS")
            times.append((began, stack_events(clone, stack_id, "ROLLBACK_IN_PROGRESS")))
    times.sort()
    return [
        (began - failed).total_seconds() for (_, [failed]), (began, _) in itertools.pairwise(times)
    ]


def left_of(clone: Clone, stack_name: str, job: str, run_id: str) -> list[str]:
    """Return what is left of a run that is over."""
    stacks = clone.client("cloudformation").describe_stacks()["Stacks"]
    templates = clone.client("ec2").describe_launch_templates()["LaunchTemplates"]
    schedules = clone.client("scheduler").list_schedules(GroupName="parris")["Schedules"]
    left = [stack["StackStatus"] for stack in stacks if stack["StackName"] == stack_name]
    left += [one["InstanceId"] for one in clone.instances(job) if not is_over(one)]
    names = [one["LaunchTemplateName"] for one in templates] + [one["Name"] for one in schedules]
    return left + [name for name in names if run_id in name]


def is_over(instance: dict[str, Any]) -> bool:
    return bool(instance["State"]["Name"] == "terminated")


def assert_nothing_is_left(clone: Clone, answer: dict[str, Any]) -> None:
    of_run = (answer["stack-name"], answer["job"], answer["run-id"])
    wait_for(lambda: not left_of(clone, *of_run), 90)


def test_a_run_that_is_interrupted_twice_succeeds_from_its_checkpoints(
    clone: Clone, trace: Trace
) -> None:
    heard = clone.listen("attempts")
    with Watch(clone, "steady") as watch:
        answer = begin(clone, "steady", trace, market="spot")
        run_id, stack_id = answer["run-id"], answer["stack-id"]
        first = watch.machine(1)
        trace.wait(1, 4)
        take(clone, first, notice=20)
        second = watch.machine(2)
        trace.wait(2, 1)
        assert "state     running" in (shown := status(clone, run_id))
        assert second in shown
        trace.wait(2, 8)
        take(clone, second)
        outcome = clone.outcome("steady", run_id, 240)
        assert_nothing_is_left(clone, answer)
    assert (outcome["state"], outcome["ended-by"]) == ("succeeded", "trainer"), outcome

    # One stack, and never two machines.
    assert watch.most_alive == 1
    third = watch.machine(3)
    assert watch.machines == [first, second, third]
    receipt = json.loads(clone.read("steady", run_id, "run.json") or b"")
    assert (receipt["stack-id"], receipt["attempt"]) == (stack_id, 3)
    updates = stack_events(clone, stack_id, "UPDATE_IN_PROGRESS")
    waits = [
        (at - watch.terminated[machine]).total_seconds()
        for at, machine in zip(updates, (first, second), strict=True)
    ]
    assert max(waits) < 10

    # On notice nothing is lost; without, no more than an interval and one upload.
    done = [trace.epochs(number) for number in (1, 2, 3)]
    lost = [before[-1] - after[0] + 1 for before, after in itertools.pairwise(done)]
    assert lost[0] == 0
    assert 0 <= lost[1] <= 2 * SYNC_SECONDS
    assert done[2][-1] == EPOCHS

    # Each machine has a folder; the last one has all.
    folder = f"runs/steady/{run_id}/machines/{outcome['machine']}/"
    s3, bucket = clone.client("s3"), clone.outputs["results_bucket"]

    def stored(name: str) -> str:
        return str(s3.get_object(Bucket=bucket, Key=folder + name)["Body"].read().decode())

    assert outcome["machine"].endswith(third)
    assert stored("output/n") == f"{EPOCHS}\n"
    log = stored("log.txt").splitlines()
    begins = [line for line in log if line.startswith("attempt ")]
    assert begins == [
        "attempt 1 begins after epoch 0, resumed no",
        f"attempt 2 begins after epoch {done[1][0] - 1}, resumed 1",
        f"attempt 3 begins after epoch {done[2][0] - 1}, resumed 1",
    ]
    between = [number for number, line in enumerate(log) if line.startswith("parris: attempt ")]
    assert [log[number + 1] for number in between] == begins[1:]
    epochs = [int(line.split()[1]) for line in log if line.startswith("epoch ")]
    assert set(epochs) == set(range(1, EPOCHS + 1))

    # All that it cost, and why.
    attempts = outcome["attempts"]
    assert [one["number"] for one in attempts] == [1, 2, 3]
    assert [one["instance-id"] for one in attempts] == [first, second, third]
    assert [one["ended-by"] for one in attempts] == ["spot", "spot", "trainer"]
    places = clone.client("ec2").describe_subnets()["Subnets"]
    assert {one["zone"] for one in attempts} <= {place["AvailabilityZone"] for place in places}
    assert min(float(one["hourly-usd"]) for one in attempts) > 0
    times = [datetime.fromisoformat(one[word]) for one in attempts for word in ("began", "ended")]
    assert times == sorted(times)  # no machine began before the one before it had ended
    assert all(ended > began for began, ended in zip(times[::2], times[1::2], strict=True))
    costs = [one["cost-usd"] for one in attempts]
    assert min(costs) > 0
    assert outcome["cost-usd"] == pytest.approx(sum(costs), abs=0.0002)
    told = [one for one in heard.heard("relaunching", "steady") if one["run-id"] == run_id]
    assert [one["attempt"]["number"] for one in told] == [1, 2]
    shown = status(clone, run_id)
    assert "state     succeeded" in shown
    assert shown.count("\nattempt ") == 3


def test_machines_that_are_taken_before_they_have_begun_are_followed_by_another(
    clone: Clone, trace: Trace
) -> None:
    with Watch(clone, "unlucky-twice") as watch:
        answer = begin(clone, "unlucky-twice", trace, epochs=3, market="spot")
        for number in (1, 2):
            take(clone, watch.machine(number))
        outcome = clone.outcome("unlucky-twice", answer["run-id"], 240)
        assert_nothing_is_left(clone, answer)
    assert outcome["state"] == "succeeded", outcome
    assert watch.most_alive == 1
    attempts = outcome["attempts"]
    assert [one["instance-id"] for one in attempts] == watch.machines
    assert [one["state"] for one in attempts] == ["interrupted", "interrupted", "succeeded"]
    assert trace.epochs(attempts[-1]["number"]) == [1, 2, 3]


def test_a_run_for_which_there_is_no_spot_machine_goes_on_demand(
    clone: Clone, trace: Trace
) -> None:
    ec2 = clone.client("ec2")
    only = [{"Name": "default-for-az", "Values": ["true"]}]
    places = ec2.describe_subnets(Filters=only)["Subnets"]
    zones = sorted(one["AvailabilityZone"] for one in places)
    rule = {"instance-type": "c5.large", "market": "spot", "error": "InsufficientInstanceCapacity"}
    faults.write(home(clone), {"capacity": [rule], "not-offered": {"c5.large": zones[2:]}})
    with Watch(clone, "laddered") as watch:
        wanted: Any = {"instance-type": "c5.large", "market": "spot-then-on-demand"}
        answer = begin(clone, "laddered", trace, epochs=2, **wanted)
        outcome = clone.outcome("laddered", answer["run-id"], 300)
        assert_nothing_is_left(clone, answer)
    assert outcome["state"] == "succeeded", outcome
    assert len(watch.machines) == 1
    *refused, last = outcome["attempts"]
    subnets = {one["AvailabilityZone"]: one["SubnetId"] for one in places}
    assert [one["subnet-id"] for one in refused] == ["", *(subnets[zone] for zone in zones[:2])]
    assert {(one["market"], one["refusal"], one["cost-usd"]) for one in refused} == {
        ("spot", "capacity", 0.0)
    }
    assert all("no Spot capacity available" in one["reason"] for one in refused)
    assert (last["market"], last["refusal"], last["state"]) == ("on-demand", None, "succeeded")
    assert outcome["cost-usd"] == pytest.approx(last["cost-usd"], abs=0.0001)

    # Each stack that could not be made is deleted before the next one is; no sweep is waited for.
    waits = waits_for_a_stack(clone, answer["stack-name"])
    assert len(waits) == len(refused)
    assert max(waits) < 10, waits


def test_an_update_for_which_there_is_no_machine_is_followed_by_the_next_rung(
    clone: Clone, trace: Trace
) -> None:
    places = clone.client("ec2").describe_subnets()["Subnets"]
    wanted: Any = {"instance-type": "c5.2xlarge", "market": "spot-then-on-demand"}
    wanted |= {"subnet-id": places[0]["SubnetId"]}
    with Watch(clone, "undone") as watch:
        answer = begin(clone, "undone", trace, epochs=12, **wanted)
        trace.wait(1, 2)
        rule = {"instance-type": "c5.2xlarge", "market": "spot", "error": "UnfulfillableCapacity"}
        faults.write(home(clone), {"capacity": [rule]})
        take(clone, watch.machine(1), notice=15)
        outcome = clone.outcome("undone", answer["run-id"], 240)
        assert_nothing_is_left(clone, answer)
    assert outcome["state"] == "succeeded", outcome
    assert watch.most_alive == 1
    attempts = outcome["attempts"]
    assert [(one["market"], one["refusal"]) for one in attempts] == [
        ("spot", None),
        ("spot", "capacity"),
        ("on-demand", None),
    ]
    assert "Unable to fulfill capacity" in attempts[1]["reason"]
    assert [one["instance-id"] for one in (attempts[0], attempts[2])] == watch.machines
    assert trace.epochs(3)[0] == trace.epochs(1)[-1] + 1
    assert stack_events(clone, answer["stack-id"], "UPDATE_ROLLBACK_COMPLETE") != []


def test_a_quota_ends_a_run_at_once_with_the_words_of_ec2(clone: Clone, trace: Trace) -> None:
    wanted: Any = {"instance-type": "c5.xlarge"}
    rule = {**wanted, "error": "VcpuLimitExceeded"}
    faults.write(home(clone), {"capacity": [rule]})
    answer = begin(clone, "over-quota", trace, **wanted)
    outcome = clone.outcome("over-quota", answer["run-id"], 120)
    assert outcome["state"] == "launch-failed", outcome
    assert "current vCPU limit of 0 allows" in outcome["reason"]
    assert_nothing_is_left(clone, answer)


def test_between_two_machines_a_run_can_be_stopped_and_comes_to_its_deadline(
    clone: Clone, tmp_path: Path
) -> None:
    traces = {job: Trace(tmp_path / job) for job in ("stopped-between", "late-between")}
    limit: Any = {"termination-method": "at-fixed-time", "time-limit": 6, "market": "spot"}
    # As long as the launch function may not begin the next machine, both stay between two.
    right = {"Action": "cloudformation:UpdateStack", "Resource": "*:stack/e2e-*-between/*"}
    answers = {}
    with roles.denied(clone, "launch", right):
        for job, trace in traces.items():
            with Watch(clone, job) as watch:
                answers[job] = begin(clone, job, trace, epochs=600, **limit)
                trace.wait(1, 1)
                take(clone, watch.machine(1))
        for answer in answers.values():
            wait_for(lambda: "relaunching" in status(clone, answer["run-id"]), 60)  # noqa: B023
        stopped, late = answers["stopped-between"], answers["late-between"]
        said = clone.make("stop", "LOCAL=1", f"RUN={stopped['run-id']}").stdout
        assert "has no machine now and gets no other: stopped" in said
        outcome = clone.outcome("stopped-between", stopped["run-id"], 60)  # no sweep comes so soon
        assert (outcome["state"], outcome["ended-by"]) == ("stopped", "stop"), outcome
        assert len(outcome["attempts"]) == 1

        def swept() -> bytes | None:
            sweep(clone)
            return clone.read("late-between", late["run-id"], "outcome.json")

        near = datetime.fromisoformat(late["deadline"]) - timedelta(minutes=5)
        time.sleep(max(0.0, (near - datetime.now(UTC)).total_seconds()))
        outcome = json.loads(wait_for(swept, 90))
        assert outcome["state"] == "timed-out", outcome
        assert "EC2 took the spot machine" in outcome["reason"]
        assert len(outcome["attempts"]) == 1
        for answer in answers.values():
            assert_nothing_is_left(clone, answer)
