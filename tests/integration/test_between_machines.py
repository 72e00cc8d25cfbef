"""A run that has lost its machine, and has yet to get the next one, ends at once."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from moto import mock_aws
from moto.cloudformation.models import cloudformation_backends

from parris.contract import EndedBy, State
from scripts.commands import stop
from scripts.deployment.runs import Run
from tests.plans import NOW
from tests.reap_world import ROLE_ID, machine_event, stack_event
from tests.runs_world import Runs, interrupted, refuse

NO_SPOT = "There is no Spot capacity available that matches your request."


@pytest.fixture
def runs() -> Iterator[Runs]:
    with mock_aws():
        yield Runs()


def wait_for_capacity(runs: Runs, patch: pytest.MonkeyPatch, minutes: float = 1) -> str:
    """Return a run for which EC2 has no machine, and whose stack is gone."""
    [subnet, *_] = runs.ec2.describe_subnets()["Subnets"]
    run_id = runs.begin(**{"market": "spot", "subnet-id": subnet["SubnetId"]})
    refuse(patch, NO_SPOT)
    runs.reap(minutes)
    assert (runs.stacks(), runs.record(run_id).state) == ([], State.RELAUNCHING)
    return run_id


def click(trace: str = "t1") -> dict[str, Any]:
    pressed = {"serialNumber": "G030JF05000000AB", "clickType": "LONG"}
    return {**pressed, "traceid": trace}


def test_a_stop_ends_a_run_whose_stack_stands_without_a_sweep(runs: Runs) -> None:
    run_id, first = interrupted(runs)
    runs.ask_to_stop(run_id)
    [answer] = runs.deliver(10.2)
    assert answer["over"] == "stopped"
    runs.end_refused(10.2)
    outcome = runs.outcome(run_id)
    assert (outcome["state"], outcome["machine"]) == ("stopped", f"{ROLE_ID}:{first}")
    assert (runs.stacks(), runs.record(run_id).is_open) == ([], False)
    assert len(runs.topic.heard("stopped")) == 1


def test_a_long_click_ends_a_run_whose_stack_is_gone_for_the_moment(
    runs: Runs, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_id = wait_for_capacity(runs, monkeypatch)
    answer = runs.launch(click(), 2)
    assert answer["stopping"] == [run_id]
    assert runs.receipt(run_id)["stop"]["by"] == "button G030JF05000000AB"
    runs.end_refused(2)
    outcome = runs.outcome(run_id)
    assert (outcome["state"], outcome["ended-by"], outcome["cost-usd"]) == ("stopped", "stop", 0)
    assert [one["refusal"] for one in outcome["attempts"]] == ["capacity"]
    assert not runs.record(run_id).is_open
    runs.reap(4)
    assert runs.sent == []
    [room] = [runs.launch({"event-id": "e2", "time": "2026-11-24T12:04:00Z"}, 4)]
    assert not room["duplicate"]  # the stack's name is free again


def test_a_long_click_ends_no_run_of_another_job_and_none_that_is_over(
    runs: Runs, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_id = wait_for_capacity(runs, monkeypatch)
    for name, text in (("training-config.json", '{"training-job-name": "two"}'), ("x", "")):
        runs.put(f"jobs/other/{name}", text)
    runs.put("jobs/other/trainer-script.sh", "#!/bin/bash\n")
    other = runs.launch({"job": "other", "event-id": "e9", "time": "2026-11-24T11:00:00Z"}, 1)
    assert runs.launch(click(), 2)["stopping"] == [run_id]
    assert "stop" not in runs.receipt(other["run-id"], "other")
    runs.end_refused(2)
    assert runs.launch(click("t2"), 3)["stopping"] == []


def test_a_stop_whose_word_to_the_reap_function_is_lost_takes_the_next_sweep(
    runs: Runs, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_id = wait_for_capacity(runs, monkeypatch)
    runs.launch(click(), 2)
    runs.refused.clear()
    runs.reap(2.5)  # nobody may ask EC2 again so soon, and the claim still holds
    assert runs.outcome(run_id)["state"] == "stopped"


def test_what_is_said_of_a_run_that_goes_on_or_is_over_ends_nothing(runs: Runs) -> None:
    run_id, _ = interrupted(runs)
    event = {"refused": {"job": "default", "run_id": run_id}}
    assert runs.reap(10.1, event) == {"ignored": run_id}
    assert runs.deliver(10.2)[0]["duplicate"] is False
    assert runs.reap(10.3, event) == {"ignored": run_id}
    assert runs.reap(10.3, {"refused": {"job": "default", "run_id": "r-" + "0" * 16}})["ignored"]
    assert (runs.attempt(), runs.record(run_id).state) == ("2", State.ACCEPTED)


def test_a_run_that_is_stopped_while_its_stack_is_deleted_is_stopped(
    runs: Runs, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_id, first = interrupted(runs)
    stack_id = runs.stack()["StackId"]
    backend = cloudformation_backends["123456789012"]["us-east-1"]
    backend.get_stack("one").status = "DELETE_IN_PROGRESS"
    runs.ask_to_stop(run_id)
    runs.deliver(10.2)
    with monkeypatch.context() as patch:
        patch.setattr("parris.reap.reconcile.deleter", lambda _: EndedBy.REAP)
        runs.refused.clear()  # it is lost
        runs.cloudformation.delete_stack(StackName="one")
        runs.reap(10.4, stack_event(stack_id))
    outcome = runs.outcome(run_id)
    assert (outcome["state"], outcome["ended-by"]) == ("stopped", "stop")
    assert [one["instance-id"] for one in outcome["attempts"]] == [first]


def test_a_machine_that_had_its_word_before_another_was_to_come_does_not_end_the_run(
    runs: Runs, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It stored how it was interrupted; the run ends because its dollars are spent."""
    runs.price("6.0000")
    config = {"market": "on-demand", "cost-limit": 5, "volume-size-gb": 8}
    run_id = runs.begin(**config)
    first = runs.machine(run_id)
    said: Any = {"run-id": run_id, "job": "default", "state": "interrupted", "reason": "notice"}
    runs.store(run_id, first, "outcome.json", json.dumps({**said, "ended-by": "spot"}))
    runs.take(first)
    runs.reap(30, machine_event(first))
    runs.price("60.0000")
    assert [answer["over"] for answer in runs.deliver(30.1)] == ["timed-out"]
    stack_id = runs.stack()["StackId"]
    runs.end_refused(30.1)
    monkeypatch.setattr("parris.reap.reconcile.deleter", lambda _: EndedBy.REAP)
    runs.reap(30.2, stack_event(stack_id))
    outcome = runs.outcome(run_id)
    assert (outcome["state"], outcome["ended-by"]) == ("timed-out", "reap")
    assert [one["instance-id"] for one in outcome["attempts"]] == [first]


def test_who_takes_the_stack_of_a_run_between_two_machines_ends_it(
    runs: Runs, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_id = runs.begin()
    first = runs.machine(run_id)
    said: Any = {"run-id": run_id, "job": "default", "state": "interrupted", "reason": "notice"}
    runs.store(run_id, first, "outcome.json", json.dumps({**said, "ended-by": "spot"}))
    runs.take(first)
    runs.reap(10, machine_event(first))
    stack_id = runs.stack()["StackId"]
    runs.cloudformation.delete_stack(StackName="one")
    monkeypatch.setattr("parris.reap.reconcile.deleter", lambda _: EndedBy.CLEAN_STACKS)
    runs.reap(10.2, stack_event(stack_id))
    outcome = runs.outcome(run_id)
    assert (outcome["state"], outcome["ended-by"]) == ("stopped", "clean-stacks")
    assert [one["instance-id"] for one in outcome["attempts"]] == [first]


def test_the_last_machine_costs_what_it_ran_though_ec2_lists_it_no_more(
    runs: Runs, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_id, first = interrupted(runs)
    runs.deliver(11)
    second = runs.machine(run_id, 11)
    said: Any = {"run-id": run_id, "job": "default", "state": "succeeded", "reason": "done"}
    said |= {"ended-by": "trainer", "finished": "2026-11-24T12:41:00Z"}
    runs.store(run_id, second, "outcome.json", json.dumps(said))
    runs.heard(run_id, second, 39)
    monkeypatch.setattr("parris.reap.sweep.list_machines", lambda *_: {})
    monkeypatch.setattr("parris.reap.review.run_tags", lambda stack: tags_of(stack, second))
    runs.reap(200)
    outcome = runs.outcome(run_id)
    one, two = outcome["attempts"]
    assert (one["instance-id"], two["ended"]) == (first, "2026-11-24T12:41:00Z")
    assert two["cost-usd"] == pytest.approx(3 * one["cost-usd"], rel=0.1)
    assert outcome["cost-usd"] == pytest.approx(one["cost-usd"] + two["cost-usd"])


def tags_of(stack: Any, instance_id: str) -> dict[str, str]:
    tags = {tag["Key"]: tag["Value"] for tag in stack["Tags"]}
    return {**tags, "parris:instance-id": instance_id}


def test_make_stop_ends_a_run_between_two_machines_through_the_launch_function(
    runs: Runs, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run_id, _ = interrupted(runs)
    runs.sent.clear()

    class Launch:
        def invoke(self, *, FunctionName: str, Payload: bytes) -> Any:  # noqa: N803
            assert FunctionName == "parris-launch"
            answer = runs.launch(json.loads(Payload), 10.2)
            return {"Payload": io.BytesIO(json.dumps(answer).encode())}

    known = {"s3": runs.s3, "dynamodb": runs.dynamodb, "lambda": Launch()}
    deployment = SimpleNamespace(
        client=known.__getitem__,
        launch_function="parris-launch",
        config_bucket="parris-config",
        results_bucket="parris-results",
        ledger_table=runs.table.name,
    )
    receipt: Any = runs.receipt(run_id)
    found = Run(
        job="default",
        run_id=run_id,
        receipt=receipt,
        outcome=None,
        stack=None,
        state=State.RELAUNCHING,
        reason="",
        ended_by="",
    )
    monkeypatch.setattr(stop, "read_deployment", lambda: deployment)
    monkeypatch.setattr(stop, "pick_run_to_change", lambda *_: found)
    assert stop.main(["--json"]) == 0
    words, _, told = capsys.readouterr().out.partition("\n")
    assert words.endswith("has no machine now and gets no other: stopped")
    assert json.loads(told)["state"] == "stopped"
    runs.end_refused(10.2)
    assert runs.outcome(run_id)["state"] == "stopped"
    assert runs.outcome(run_id)["finished"] == f"{NOW:%Y-%m-%dT}12:10:12Z"
