"""From event to trained model, on the embedded cloud: every assertion reads what is there."""

from __future__ import annotations

import json
import subprocess
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import pytest

from scripts.local import faults
from tests.e2e.conftest import JOBS, Clone, wait_for

pytestmark = pytest.mark.usefixtures("stubborn")


def test_a_button_press_trains_a_model(clone: Clone) -> None:
    press = {"serialNumber": "G030JF05", "batteryVoltage": "1568mV", "clickType": "SINGLE"}
    clone.client("iot-data").publish(
        topic="parris/button/G030JF05", qos=1, payload=json.dumps(press).encode()
    )
    (run_id,) = wait_for(lambda: clone.run_ids("default"), 30)
    outcome = clone.outcome("default", run_id)
    assert outcome["state"] == "succeeded", outcome
    assert outcome["ended-by"] == "trainer"

    receipt = json.loads(clone.read("default", run_id, "run.json") or b"")
    assert receipt["trigger"]["kind"] == "button"
    assert receipt["trigger"]["serial-number"] == "G030JF05"
    assert receipt["stack-id"].startswith("arn:aws:cloudformation:")

    summary = json.loads(clone.read("default", run_id, "output/summary.json") or b"")
    assert summary["test-accuracy"] > 0.95
    metrics = (clone.read("default", run_id, "output/metrics.jsonl") or b"").splitlines()
    assert len(metrics) == summary["epochs"] > 1
    told = outcome["metrics"]
    assert told == {name: json.loads(metrics[-1])[name] for name in told}
    assert told["epoch"] == told["epochs"] == summary["epochs"]
    assert 0 < outcome["usage"]["cpu-percent"]["mean"] <= outcome["usage"]["cpu-percent"]["peak"]
    (sample, *_) = (clone.read("default", run_id, "machine.jsonl") or b"").splitlines()
    assert json.loads(sample)["memory-percent"] > 0
    assert (clone.read("default", run_id, "output/learning-curve.png") or b"")[1:4] == b"PNG"
    assert clone.read("default", run_id, "source/train.py")
    assert b"test accuracy" in (clone.read("default", run_id, "log.txt") or b"")

    (instance,) = clone.instances("default")
    wait_for(lambda: clone.instances("default")[0]["State"]["Name"] == "terminated", 30)
    tags = {tag["Key"]: tag["Value"] for tag in instance["Tags"]}
    assert tags["parris:run-id"] == run_id
    assert instance["MetadataOptions"]["HttpTokens"] == "required"
    assert outcome["instance-id"] == instance["InstanceId"]


def test_a_second_plan_is_empty(clone: Clone) -> None:
    result = subprocess.run(
        [".venv/bin/python", "-m", "scripts.deployment.terraform", "plan", "-detailed-exitcode"],
        cwd=clone.folder,
        env=clone.environ | {"LOCAL": "1", "PYTHONPATH": "lambda:."},
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stdout  # 2 would be "succeeded, with changes"
    assert "No changes" in result.stdout


def test_fifty_deliveries_of_one_event_make_one_stack(clone: Clone) -> None:
    event = {"job": "many", "event-id": "one", "time": "2026-11-24T12:00:00Z"}
    # As many at once as have a chance to end in their 60 s: here they share the host's processors.
    with ThreadPoolExecutor(max_workers=10) as pool:
        answers = list(pool.map(lambda _: clone.invoke(event), range(50)))
    assert [answer for answer in answers if "errorMessage" in answer] == []
    assert sorted(answer["duplicate"] for answer in answers) == [False] + [True] * 49
    assert len({answer["run-id"] for answer in answers}) == 1
    assert len(clone.instances("many")) == 1
    assert len(clone.run_ids("many")) == 1
    assert clone.outcome("many", answers[0]["run-id"])["state"] == "succeeded"
    assert clone.invoke(event)["duplicate"] is True  # and however late


def test_a_machine_that_reaches_s3_and_not_sts_trains_all_the_same(clone: Clone) -> None:
    home = clone.folder / ".parris/local"
    faults.write(home, {"machines": {"e2e-private": ["no-sts"]}})
    try:
        run_id = clone.invoke({"job": "private", "event-id": "private"})["run-id"]
        outcome = clone.outcome("private", run_id)
    finally:
        faults.write(home, {})
    assert outcome["state"] == "succeeded", outcome
    role = clone.client("iam").get_role(RoleName=f"parris-instance-{clone.outputs['region']}")
    assert outcome["machine"] == f"{role['Role']['RoleId']}:{outcome['instance-id']}"
    assert clone.read("private", run_id, "output/x.txt") == b"kept\n"


def test_a_trainer_that_fails_is_reported_with_its_last_line(clone: Clone) -> None:
    result = clone.make("launch", "LOCAL=1", "JOB=failing", "WAIT=1", check=False)
    assert result.returncode != 0
    assert "about to fail" in result.stdout
    (run_id,) = clone.run_ids("failing")
    outcome = clone.outcome("failing", run_id)
    assert (outcome["state"], outcome["exit-status"]) == ("failed", 3)
    assert "its last line: about to fail" in outcome["reason"]


def test_a_script_of_300_kilobytes_runs(clone: Clone) -> None:
    assert len(JOBS["long-script"][1]) > 300_000
    answer = clone.invoke({"job": "long-script"})
    assert clone.outcome("long-script", answer["run-id"])["state"] == "succeeded"


def test_200_megabytes_of_log_are_all_kept(clone: Clone) -> None:
    answer = clone.invoke({"job": "chatty"})
    outcome = clone.outcome("chatty", answer["run-id"], 180)
    assert outcome["state"] == "succeeded", outcome
    head = clone.client("s3").head_object(
        Bucket=clone.outputs["results_bucket"], Key=clone.key("chatty", answer["run-id"], "log.txt")
    )
    assert head["ContentLength"] == 200_000_000
    assert "log lines were not streamed" in " ".join(outcome["warnings"])


def test_a_trainer_that_powers_the_machine_off_loses_nothing(clone: Clone) -> None:
    answer = clone.invoke({"job": "powering-off"})
    outcome = clone.outcome("powering-off", answer["run-id"])
    assert outcome["state"] == "succeeded", outcome
    assert clone.read("powering-off", answer["run-id"], "output/x.txt") == b"kept\n"


def test_a_stack_in_the_way_is_refused_with_its_state(clone: Clone) -> None:
    first = clone.invoke({"job": "kept"})
    clone.outcome("kept", first["run-id"])
    second = clone.invoke({"job": "kept", "event-id": "in-the-way"})
    assert "CREATE_COMPLETE" in second["errorMessage"]
    assert first["run-id"] in second["errorMessage"]
    assert len(clone.instances("kept")) == 1

    # The event was not lost: once the way is free it may be sent again.
    clone.delete_stack("e2e-kept")
    again = clone.invoke({"job": "kept", "event-id": "in-the-way"})
    assert again["duplicate"] is False, again
    assert clone.outcome("kept", again["run-id"])["state"] == "succeeded"


def test_replacement_really_trains_again_on_a_new_machine(clone: Clone) -> None:
    first = clone.invoke({"job": "replaced"})
    clone.outcome("replaced", first["run-id"])
    second = clone.invoke({"job": "replaced"})
    assert second.get("stack-id") == first["stack-id"], second
    assert clone.outcome("replaced", second["run-id"])["state"] == "succeeded"
    stored = clone.read("replaced", second["run-id"], "output/run.txt") or b""
    assert stored.decode().strip() == second["run-id"] != first["run-id"]
    assert len(clone.instances("replaced")) == 2


def test_a_launch_that_failed_before_its_stack_says_why_in_the_receipt(clone: Clone) -> None:
    answer = clone.invoke({"job": "unlucky", "event-id": "u1"})
    assert "no public SSM parameter /aws/service/no/such/image" in answer["errorMessage"]
    (run_id,) = clone.run_ids("unlucky")
    receipt = json.loads(clone.read("unlucky", run_id, "run.json") or b"")
    assert receipt["state"] == "launch-failed"
    assert "no/such/image" in receipt["reason"]
    assert clone.instances("unlucky") == []


def test_a_schedule_launches_its_job_with_its_parameters(clone: Clone) -> None:
    run_id = wait_for(lambda: clone.run_ids("clocked"), 90)[0]
    assert clone.outcome("clocked", run_id)["state"] == "succeeded"
    receipt = json.loads(clone.read("clocked", run_id, "run.json") or b"")
    assert receipt["trigger"]["schedule"] == "often"
    assert clone.read("clocked", run_id, "output/why.txt") == b"the clock\n"


def test_the_launch_function_may_only_look_in_ec2(clone: Clone) -> None:
    policy = clone.client("iam").get_role_policy(
        RoleName=f"parris-launch-{clone.outputs['region']}", PolicyName="launch"
    )["PolicyDocument"]
    actions = [action for each in policy["Statement"] for action in _list(each["Action"])]
    assert actions
    in_ec2 = {action for action in actions if action.startswith("ec2:")}
    looks = ("Images", "InstanceTypes", "SpotPriceHistory", "Subnets")
    assert in_ec2 == {f"ec2:Describe{what}" for what in looks}


def test_a_trainer_that_ignores_sigterm_is_ended_at_its_limit(
    clone: Clone, stubborn: Future[dict[str, Any]]
) -> None:
    outcome = stubborn.result()
    assert (outcome["state"], outcome["exit-status"]) == ("timed-out", -9)
    assert clone.read("stubborn", outcome["run-id"], "output/early.txt") == b"kept\n"
    assert (
        outcome["finished"]
        <= json.loads(clone.read("stubborn", outcome["run-id"], "run.json") or b"")["deadline"]
    )
    # EC2 forgets a terminated instance, the embedded cloud after a minute.
    wait_for(
        lambda: all(it["State"]["Name"] == "terminated" for it in clone.instances("stubborn")), 30
    )


def _list(value: str | list[str]) -> list[str]:
    return [value] if isinstance(value, str) else value
