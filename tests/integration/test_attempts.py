"""A run survives its machine: both functions by a clock of the test's, on moto."""

from __future__ import annotations

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from threading import Barrier, Lock
from typing import Any

import pytest
from botocore.exceptions import ClientError
from moto import mock_aws
from moto.cloudformation.models import cloudformation_backends

from parris.aws.attempts import Attempts
from parris.aws.results import Results
from parris.contract import EndedBy, State
from parris.errors import StackInTheWay
from tests.plans import NOW
from tests.reap_world import ROLE_ID, machine_event, stack_event
from tests.runs_world import SPOT, Runs, interrupted, refuse

NO_SPOT = "There is no Spot capacity available that matches your request."


@pytest.fixture
def runs() -> Iterator[Runs]:
    with mock_aws():
        yield Runs()


def test_a_run_whose_machine_is_taken_gets_another_one(runs: Runs) -> None:
    run_id, first = interrupted(runs)
    assert runs.record(run_id).state == State.RELAUNCHING
    [answer] = runs.deliver(10.05)
    assert (answer["attempt"], answer["duplicate"]) == (2, False)
    assert runs.attempt() == "2"
    receipt = runs.receipt(run_id)
    assert (receipt["attempt"], receipt["market"]) == (2, "spot")
    assert receipt["earlier-attempt"] == f"runs/default/{run_id}/machines/{ROLE_ID}:{first}/"
    record = runs.record(run_id)
    assert (record.state, record.next, record.receipt["attempt"]) == (State.ACCEPTED, None, 2)
    [over] = record.attempts
    assert (over.number, over.instance_id, over.ended_by) == (1, first, "spot")
    [said] = runs.topic.heard("relaunching")
    assert said["subject"] == "Parris: default lost its machine and goes on"
    assert said["attempt"]["cost-usd"] == over.usd


def test_its_outcome_names_all_machines_and_what_they_cost_together(runs: Runs) -> None:
    run_id, first = interrupted(runs)
    runs.deliver(11)
    second = runs.machine(run_id, 11)
    said: Any = {"run-id": run_id, "job": "default", "state": "succeeded", "reason": "done"}
    said |= {"ended-by": "trainer", "cost-usd": 0.5, "exit-status": 0}
    runs.store(run_id, second, "outcome.json", json.dumps(said))
    runs.reap(40)
    outcome = runs.outcome(run_id)
    assert (outcome["state"], outcome["machine"]) == ("succeeded", f"{ROLE_ID}:{second}")
    assert [attempt["instance-id"] for attempt in outcome["attempts"]] == [first, second]
    one, two = (attempt["cost-usd"] for attempt in outcome["attempts"])
    assert outcome["cost-usd"] == pytest.approx(one + two)
    [told] = runs.topic.heard("succeeded")
    for heard in (runs.record(run_id).outcome or {}, told):
        assert (heard["attempts"], heard["cost-usd"]) == (outcome["attempts"], outcome["cost-usd"])


def test_a_run_whose_last_machine_was_taken_away_says_where_that_was(runs: Runs) -> None:
    run_id, first = interrupted(runs)
    runs.deliver(11)
    second = runs.machine(run_id, 11)
    stack_id = runs.stack()["StackId"]
    runs.cloudformation.delete_stack(StackName=stack_id)
    runs.take(second, "Client.UserInitiatedShutdown")
    runs.reap(40, stack_event(stack_id, "parris-clean-stacks-1"))
    outcome = runs.outcome(run_id)
    assert outcome["ended-by"] == "clean-stacks"
    zone = runs.instance(second)._placement.zone
    price = runs.receipt(run_id)["price"]["hourly-usd"]
    words = ("instance-id", "zone", "hourly-usd")
    of_all = [tuple(one[word] for word in words) for one in outcome["attempts"]]
    assert of_all == [(first, zone, price), (second, zone, price)]
    assert "zone" not in outcome


def test_two_hundred_deliveries_of_one_interruption_give_one_machine(runs: Runs) -> None:
    run_id, first = interrupted(runs)
    for minutes in range(100):
        runs.reap(10 + minutes / 100, machine_event(first))
    answers = [runs.deliver(10 + minutes / 100) for minutes in range(3)]
    for _ in range(100):
        runs.reap(12, machine_event(first))
    answers.append(runs.deliver(12))
    begun = [one for some in answers for one in some if not one["duplicate"]]
    assert len(begun) == 1
    assert runs.attempt() == "2"
    assert len(runs.record(run_id).attempts) == 1


def test_reapers_and_launches_at_once_give_one_machine(
    runs: Runs, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_id = runs.begin()
    first = runs.machine(run_id)
    runs.take(first)
    table = runs.dynamodb.update_item
    one_by_one = Lock()  # as DynamoDB changes an item; moto's would be another's work

    def update_item(**words: Any) -> Any:
        with one_by_one:
            return table(**words)

    monkeypatch.setattr(runs.dynamodb, "update_item", update_item)
    at_once(monkeypatch, Attempts, "end", 4)
    with ThreadPoolExecutor(max_workers=4) as pool:
        list(pool.map(lambda _: runs.reap(10, machine_event(first)), range(4)))
    [over] = runs.record(run_id).attempts
    assert over.instance_id == first
    assert len(runs.sent) == 4  # each has asked; the claim is one launch's
    at_once(monkeypatch, Attempts, "claim", 4)
    event, *_ = runs.sent
    with ThreadPoolExecutor(max_workers=4) as pool:
        answers = list(pool.map(lambda _: runs.launch(event, 10.1), range(4)))
    assert sorted(answer["duplicate"] for answer in answers) == [False, True, True, True]
    record = runs.record(run_id)
    assert (runs.attempt(), record.state) == ("2", State.ACCEPTED)
    assert (len(record.attempts), record.receipt["attempt"]) == (1, 2)
    assert len(runs.topic.heard("relaunching")) == 1


def test_a_reaper_that_is_slow_to_note_an_end_does_not_end_the_next_machine(
    runs: Runs, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_id = runs.begin()
    first = runs.machine(run_id)
    runs.take(first)
    end = Attempts.end
    noted: list[bool] = []

    def slow(*words: Any) -> bool:
        monkeypatch.setattr(Attempts, "end", end)
        runs.reap(10, machine_event(first))  # another reaper, which has seen the same
        runs.deliver(10.1)
        noted.append(end(*words))
        return noted[-1]

    monkeypatch.setattr(Attempts, "end", slow)
    runs.reap(10, machine_event(first))
    assert noted == [False]
    record = runs.record(run_id)
    assert (record.state, record.next, len(record.attempts)) == (State.ACCEPTED, None, 1)
    assert all(answer["duplicate"] for answer in runs.deliver(10.2))
    assert runs.attempt() == "2"


def at_once(patch: pytest.MonkeyPatch, kind: type, name: str, count: int) -> None:
    """Let so many threads come to a method, before any of them goes on."""
    method, barrier = getattr(kind, name), Barrier(count)

    def wait(*words: Any) -> Any:
        barrier.wait(30)
        return method(*words)

    patch.setattr(kind, name, wait)


def test_a_machine_that_ec2_has_yet_to_list_is_not_taken_for_the_one_before(runs: Runs) -> None:
    run_id, first = interrupted(runs)
    runs.deliver(11)
    for minutes in (11.1, 12, 13):
        runs.reap(minutes)
        runs.reap(minutes, machine_event(first))
    assert runs.sent == []
    assert runs.record(run_id).state == State.ACCEPTED


def test_a_request_for_the_next_machine_that_was_lost_is_sent_again(runs: Runs) -> None:
    run_id, _ = interrupted(runs)
    runs.sent.clear()
    runs.reap(15)
    [answer] = runs.deliver(15)
    assert answer["attempt"] == 2
    assert runs.record(run_id).state == State.ACCEPTED


def test_a_launch_that_died_before_the_stack_is_followed_by_another(
    runs: Runs, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_id, _ = interrupted(runs)

    def die(*_: Any) -> None:
        raise SystemExit

    with monkeypatch.context() as patch:
        patch.setattr("parris.launch.relaunch.change_stack", die)
        with pytest.raises(SystemExit):
            runs.deliver(10.1)
    runs.reap(11)
    assert runs.sent == []  # it may still be at work
    runs.reap(13)
    [answer] = runs.deliver(13)
    assert not answer["duplicate"]
    assert (runs.attempt(), runs.record(run_id).state) == ("2", State.ACCEPTED)


def test_a_launch_that_died_after_the_stack_is_completed(
    runs: Runs, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_id, _ = interrupted(runs)

    def die(*_: Any) -> None:
        raise SystemExit

    with monkeypatch.context() as patch:
        patch.setattr("parris.aws.attempts.Attempts.begin", die)
        with pytest.raises(SystemExit):
            runs.deliver(10.1)
    runs.machine(run_id, 11)
    runs.reap(13)
    record = runs.record(run_id)
    assert (record.state, record.receipt["attempt"], record.next) == (State.ACCEPTED, 2, None)
    assert runs.sent == []


def test_the_deadline_never_moves_and_the_rest_of_the_dollars_counts(runs: Runs) -> None:
    runs.price("6.0000")
    config = {"market": "on-demand", "cost-limit": 10, "volume-size-gb": 8}
    run_id, _ = interrupted(runs, 30, **config)
    before = runs.receipt(run_id)["run-deadline"]
    [answer] = runs.deliver(60)  # it waited for half an hour, which costs nothing
    assert not answer["duplicate"]
    assert runs.receipt(run_id)["run-deadline"] == before == "2026-11-24T22:00:00Z"
    # Seven dollars are left, which are 69 minutes of an instance at $6 with its volume.
    assert runs.receipt(run_id)["deadline"] == "2026-11-24T14:09:00Z"
    spent = runs.record(run_id).attempts[0].usd
    assert spent == pytest.approx(3.0, abs=0.05)
    second = runs.machine(run_id, 60)
    runs.price("60.0000")
    runs.take(second)
    runs.reap(70, machine_event(second))
    runs.deliver(70)
    # Of $10 are $4 spent; at ten times the price the rest buys hardly six minutes.
    assert runs.receipt(run_id)["deadline"] == "2026-11-24T13:15:00Z"


def test_the_dollars_of_a_dear_machine_shorten_no_other_ones_time(
    runs: Runs, monkeypatch: pytest.MonkeyPatch
) -> None:
    [subnet, *_] = runs.ec2.describe_subnets()["Subnets"]
    given = {"subnet-id": subnet["SubnetId"], "cost-limit": 1.0, "time-limit": 600}
    run_id = runs.begin(**given, **{"termination-method": "around-cost"})
    until = runs.receipt(run_id)["run-deadline"]
    assert runs.receipt(run_id)["deadline"] == until == "2026-11-24T22:00:00Z"
    refuse(monkeypatch, NO_SPOT)
    runs.reap(1)
    runs.price("6.0000")
    runs.reap(2)
    runs.deliver(2.1)
    receipt = runs.receipt(run_id)
    assert (receipt["market"], receipt["deadline"][:15]) == ("on-demand", "2026-11-24T12:1")
    assert receipt["run-deadline"] == until
    refuse(monkeypatch, "InsufficientInstanceCapacity")
    runs.price("0.0400")
    for minutes in (3, 6):
        runs.reap(minutes)
    runs.deliver(6.1)
    receipt = runs.receipt(run_id)
    assert (receipt["market"], receipt["deadline"][:15]) == ("spot", "2026-11-24T21:5")


def test_what_dollars_are_left_for_no_machine_end_the_run(runs: Runs) -> None:
    runs.price("6.0000")
    config = {"market": "on-demand", "cost-limit": 5, "volume-size-gb": 8}
    run_id, _ = interrupted(runs, 30, **config)
    runs.price("60.0000")
    [answer] = runs.deliver(30.1)
    assert answer["over"] == "timed-out"
    runs.reap(35)
    outcome = runs.outcome(run_id)
    assert outcome["state"] == "timed-out"
    assert "of its cost-limit are spent" in outcome["reason"]
    assert outcome["cost-usd"] == pytest.approx(3.0, abs=0.05)
    runs.reap(36)
    with pytest.raises(runs.cloudformation.exceptions.ClientError, match="does not exist"):
        runs.stack()


def test_which_limits_count_is_settled_when_a_run_begins(runs: Runs) -> None:
    """Before, one that named no termination-method had none, whatever it said."""
    runs.price("6.0000")
    config: dict[str, Any] = {"market": "on-demand", "cost-limit": 5, "volume-size-gb": 8}
    run_id, _ = interrupted(runs, 30, **config, **{"termination-method": "training-completion"})
    key = f"runs/default/{run_id}/source/training-config.json"
    body = json.dumps({"training-job-name": "one", **config}).encode()
    runs.s3.put_object(Bucket="parris-results", Key=key, Body=body)
    runs.price("60.0000")
    [answer] = runs.deliver(30.1)
    assert (answer["attempt"], answer["duplicate"]) == (2, False)
    assert runs.receipt(run_id)["cost-limit-usd"] is None


def test_a_rung_that_is_too_dear_for_the_rest_of_the_dollars_ends_the_run(
    runs: Runs, monkeypatch: pytest.MonkeyPatch
) -> None:
    [subnet, *_] = runs.ec2.describe_subnets()["Subnets"]
    run_id = runs.begin(**{"subnet-id": subnet["SubnetId"], "cost-limit": 1, "time-limit": 60})
    refuse(monkeypatch, NO_SPOT)
    runs.reap(1)
    runs.price("60.0000")  # of the only rung that is left, on demand: a dollar buys one minute
    runs.reap(2)
    [answer] = runs.deliver(2.1)
    assert answer["over"] == "timed-out"
    runs.end_refused(2.2)
    outcome = runs.outcome(run_id)
    assert (outcome["state"], outcome["cost-usd"]) == ("timed-out", 0.0)
    assert NO_SPOT in outcome["reason"]
    assert "of its cost-limit are spent, and 1.0 US dollars buy 0 minutes" in outcome["reason"]
    [refused] = outcome["attempts"]
    assert (refused["market"], refused["refusal"]) == ("spot", "capacity")
    assert (runs.stacks(), runs.record(run_id).is_open) == ([], False)


def test_a_run_that_has_no_five_minutes_left_ends(runs: Runs) -> None:
    run_id, _ = interrupted(runs, 597)
    assert runs.sent == []
    outcome = runs.outcome(run_id)
    assert outcome["state"] == "timed-out"
    assert "no 5 minutes are left" in outcome["reason"]


@pytest.mark.parametrize(
    ("stop", "ended_by", "said"),
    [
        ({}, "stop", "stopped by make stop"),
        ({"by": "stop-early", "reason": "it is the worst"}, "early", "early: it is the worst"),
    ],
)
def test_a_run_that_is_asked_to_stop_between_two_machines_is_stopped(
    runs: Runs, stop: Any, ended_by: str, said: str
) -> None:
    run_id, first = interrupted(runs)
    runs.ask_to_stop(run_id, **stop)
    [answer] = runs.deliver(10.2)
    assert answer["over"] == "stopped"
    runs.reap(15)
    outcome = runs.outcome(run_id)
    assert (outcome["state"], outcome["machine"]) == ("stopped", f"{ROLE_ID}:{first}")
    assert outcome["ended-by"] == ended_by
    assert said in outcome["reason"]
    assert not runs.record(run_id).is_open


def test_a_failure_is_retried_where_the_job_asks_for_it(runs: Runs) -> None:
    run_id = runs.begin(retry={"on": ["failure"], "exit-statuses": [75], "attempts": 2})
    for status, goes_on in ((75, True), (75, False)):
        machine = runs.machine(run_id)
        said: Any = {"run-id": run_id, "job": "default", "state": "failed", "reason": "gave up"}
        said |= {"ended-by": "trainer", "exit-status": status}
        runs.store(run_id, machine, "outcome.json", json.dumps(said))
        runs.reap(10)  # it is still powering off
        assert runs.sent == []
        runs.take(machine, "Client.InstanceInitiatedShutdown")
        runs.reap(11, machine_event(machine))
        assert bool(runs.deliver(11)) is goes_on
    assert "it has had its 2 machines" in runs.outcome(run_id)["reason"]


@pytest.mark.parametrize(
    ("config", "reason", "state"),
    [
        ({"retry": {"on": []}}, SPOT, "interrupted"),
        ({}, "Client.UserInitiatedShutdown", "stopped"),
        ({}, "Client.InstanceInitiatedShutdown", "interrupted"),
    ],
)
def test_what_is_no_interruption_ends_the_run(
    runs: Runs, config: dict[str, Any], reason: str, state: str
) -> None:
    run_id = runs.begin(**config)
    machine = runs.machine(run_id)
    runs.take(machine, reason)
    runs.reap(10, machine_event(machine))
    assert runs.sent == []
    assert runs.outcome(run_id)["state"] == state


def test_a_folder_without_its_mark_is_not_gone_on_from(runs: Runs) -> None:
    run_id, first = interrupted(runs)
    runs.deliver(11)
    second = runs.machine(run_id, 11, began=False)  # it was still fetching
    runs.store(run_id, second, "log.txt", "half")
    runs.take(second)
    runs.reap(12, machine_event(second))
    runs.deliver(12)
    earlier = runs.receipt(run_id)["earlier-attempt"]
    assert (runs.attempt(), first in earlier) == ("3", True)


def test_a_machine_that_stores_something_is_not_gone_whatever_ec2_says(
    runs: Runs, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_id = runs.begin()
    machine = runs.machine(run_id)
    backend = cloudformation_backends["123456789012"]["us-east-1"]
    backend.get_stack("one").creation_time = NOW.replace(tzinfo=None)
    monkeypatch.setattr("parris.reap.sweep.list_machines", lambda *_: {})
    monkeypatch.setattr(
        "parris.reap.review.run_tags",
        lambda stack: {
            **{tag["Key"]: tag["Value"] for tag in stack["Tags"]},
            "parris:instance-id": machine,
        },
    )
    by_reap = (EndedBy.REAP, NOW + timedelta(minutes=31))  # moto keeps no token
    monkeypatch.setattr("parris.reap.between.last_deletion", lambda *_: by_reap)
    at = NOW + timedelta(minutes=20)
    monkeypatch.setattr("parris.aws.results.Results.last_write", lambda *_: at)
    runs.reap(25)
    assert runs.record(run_id).state == State.ACCEPTED
    assert runs.stack()["StackStatus"] == "CREATE_COMPLETE"
    runs.reap(31)
    assert runs.record(run_id).state == State.RELAUNCHING
    # It is deleted with whatever it may hold, and only then there is another machine.
    assert runs.sent == []
    with pytest.raises(runs.cloudformation.exceptions.ClientError, match="does not exist"):
        runs.stack()
    # Its name is not given away meanwhile.
    with pytest.raises(StackInTheWay, match=f"run {run_id} waits for its next machine"):
        runs.launch({"event-id": "e2", "time": "2026-11-24T12:35:00Z"}, 35)
    runs.reap(36)
    [answer] = runs.deliver(36)
    assert not answer["duplicate"]
    assert (runs.attempt(), runs.record(run_id).state) == ("2", State.ACCEPTED)


def test_while_ec2_does_not_answer_no_run_gets_another_machine(
    runs: Runs, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_id = runs.begin()
    runs.machine(run_id)

    def down(*_: Any) -> None:
        raise ValueError("EC2 is down")

    monkeypatch.setattr("parris.reap.sweep.list_machines", down)
    for minutes in range(5, 120, 5):
        with pytest.raises(Exception, match="EC2 is down"):
            runs.reap(minutes)
    assert (runs.sent, runs.record(run_id).state) == ([], State.ACCEPTED)


def test_the_name_of_a_run_between_two_machines_is_not_given_away(runs: Runs) -> None:
    run_id, _ = interrupted(runs)
    with pytest.raises(Exception, match=run_id):
        runs.launch({"event-id": "e2", "time": "2026-11-24T12:11:00Z"}, 11)
    runs.deliver(12)
    assert (runs.attempt(), runs.record(run_id).state) == ("2", State.ACCEPTED)


def test_a_machine_that_is_taken_before_its_stack_is_made_is_followed_by_another(
    runs: Runs, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_id = runs.begin()
    first = runs.machine(run_id, began=False)
    runs.take(first)
    refuse(monkeypatch, f"{first} failed to stabilize. Current state: terminated. {SPOT}")
    runs.reap(1)
    runs.reap(1.1)
    [answer] = runs.deliver(1.2)
    assert not answer["duplicate"]
    record = runs.record(run_id)
    [over] = record.attempts
    assert (over.refusal, over.instance_id) == ("capacity", first)
    assert over.usd is not None
    assert over.usd > 0
    assert (record.receipt["market"], record.receipt["subnet-id"] != "") == ("spot", True)


def test_a_stack_that_could_not_be_made_is_followed_by_the_next_on_events_alone(
    runs: Runs, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is deleted, and that it is gone starts the next one: no sweep is waited for."""
    [subnet, *_] = runs.ec2.describe_subnets()["Subnets"]
    run_id = runs.begin(**{"subnet-id": subnet["SubnetId"]})
    stack_id = runs.stack()["StackId"]
    refuse(monkeypatch, NO_SPOT)
    second = 1 / 60
    runs.reap(1, stack_event(stack_id))
    assert (runs.stacks(), runs.sent) == ([], [])
    runs.reap(1 + second, stack_event(stack_id, "parris-reap-20261124T120100000000"))
    [answer] = runs.deliver(1 + 2 * second)
    assert answer["stack-id"] == runs.stack()["StackId"] != stack_id
    record = runs.record(run_id)
    assert (record.state, record.receipt["market"]) == (State.ACCEPTED, "on-demand")


def test_capacity_that_comes_back_is_waited_for(
    runs: Runs, monkeypatch: pytest.MonkeyPatch
) -> None:
    [subnet, *_] = runs.ec2.describe_subnets()["Subnets"]
    run_id = runs.begin(**{"market": "spot", "subnet-id": subnet["SubnetId"]})
    for minutes in (1, 4):
        refuse(monkeypatch, NO_SPOT)
        runs.reap(minutes)
        runs.reap(minutes + 1)  # the stack is gone, and nobody asks EC2 again so soon
        assert runs.sent == []
        runs.reap(minutes + 2.1)
        [answer] = runs.deliver(minutes + 2.2)
        assert not answer["duplicate"]
    record = runs.record(run_id)
    assert [over.usd for over in record.attempts] == [0.0, 0.0]
    assert (record.state, record.receipt["attempt"]) == (State.ACCEPTED, 3)
    [told] = runs.topic.heard("relaunching")
    assert NO_SPOT in told["attempt"]["reason"]


def test_capacity_that_does_not_come_back_is_waited_for_no_longer_than_the_job_says(
    runs: Runs, monkeypatch: pytest.MonkeyPatch
) -> None:
    [subnet, *_] = runs.ec2.describe_subnets()["Subnets"]
    place = subnet["SubnetId"]
    run_id = runs.begin(**{"market": "spot", "subnet-id": place, "max-wait-minutes": 6})
    for minutes in (1, 4):
        refuse(monkeypatch, NO_SPOT)
        runs.reap(minutes)
        runs.reap(minutes + 2.1)
        [answer] = runs.deliver(minutes + 2.2)
        assert not answer["duplicate"]
    refuse(monkeypatch, NO_SPOT)
    runs.reap(7)
    runs.reap(10)
    assert runs.sent == []
    outcome = runs.outcome(run_id)
    assert (outcome["state"], outcome["cost-usd"]) == ("launch-failed", 0.0)
    assert [one["refusal"] for one in outcome["attempts"]] == ["capacity"] * 3
    kind = outcome["attempts"][0]["instance-type"]
    words = f"EC2 refused all that would do for 7 minutes: {kind} spot {place} (capacity)"
    assert outcome["reason"] == f"Instance: {NO_SPOT}; {words}"
    [told] = runs.topic.heard("launch-failed")
    assert words in told["reason"]
    assert (runs.stacks(), runs.record(run_id).is_open) == ([], False)


def test_a_deadline_that_comes_while_a_run_waits_ends_it(
    runs: Runs, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_id = runs.begin(**{"market": "spot", "time-limit": 20})
    refuse(monkeypatch, NO_SPOT)
    runs.reap(2)
    runs.reap(3)
    assert runs.sent  # which Lambda loses
    runs.reap(21)
    outcome = runs.outcome(run_id)
    assert (outcome["state"], outcome["ended-by"]) == ("timed-out", "reap")
    assert NO_SPOT in outcome["reason"]
    assert "its deadline came before another machine" in outcome["reason"]
    assert not runs.record(run_id).is_open


@pytest.mark.parametrize("state", ["succeeded", "interrupted"])
def test_the_stack_of_a_run_that_is_over_is_kept_where_its_job_says_so(
    runs: Runs, state: str
) -> None:
    run_id = runs.begin(**{"keep-stack": "always", "retry": {"attempts": 1}})
    machine = runs.machine(run_id)
    if state == "succeeded":
        said: Any = {"run-id": run_id, "job": "default", "state": state, "reason": "done"}
        said |= {"ended-by": "trainer", "exit-status": 0}
        runs.store(run_id, machine, "outcome.json", json.dumps(said))
    runs.take(machine)
    runs.reap(10, machine_event(machine))
    assert runs.outcome(run_id)["state"] == state
    runs.reap(15)
    assert runs.stack()["StackStatus"] == "CREATE_COMPLETE"


def test_a_reap_function_that_was_away_for_an_hour_begins_one_machine(runs: Runs) -> None:
    run_id = runs.begin()
    first = runs.machine(run_id)
    runs.take(first)  # and its event is lost
    for minutes in (75, 75.1, 80):
        runs.reap(minutes)
        runs.deliver(minutes)
    assert (runs.attempt(), len(runs.record(run_id).attempts)) == ("2", 1)


def test_a_machine_that_reaches_nothing_for_ten_minutes_is_left_alone(runs: Runs) -> None:
    """Nothing of it comes to S3; EC2 lists it as running, and that is enough."""
    run_id = runs.begin()
    runs.machine(run_id, began=False)
    for minutes in range(5, 60, 5):
        runs.reap(minutes)
    assert (runs.sent, runs.record(run_id).state) == ([], State.ACCEPTED)


def test_whatever_time_a_machine_thinks_it_is_s3s_clock_counts(runs: Runs) -> None:
    run_id = runs.begin()
    machine = runs.machine(run_id)
    runs.store(run_id, machine, "alive.json", '{"attempt": 1, "time": "2001-01-01T00:00:00Z"}')
    folder = f"runs/default/{run_id}/machines/{ROLE_ID}:{machine}/"
    at = Results(s3=runs.s3, config_bucket="", results_bucket="parris-results").last_write(folder)
    assert at is not None
    assert abs(at - datetime.now(UTC)) < timedelta(minutes=1)


def test_a_stack_that_somebody_is_changing_is_asked_again(
    runs: Runs, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_id, _ = interrupted(runs)
    error = {"Error": {"Code": "ValidationError", "Message": "cannot be updated"}}
    busy = {"StackStatus": "UPDATE_IN_PROGRESS", "Tags": []}
    with monkeypatch.context() as patch:

        def refuse(**_: Any) -> None:
            patch.setattr("parris.aws.stacks.read_stack", lambda *_: busy)
            raise ClientError(error, "UpdateStack")  # type: ignore[arg-type]

        patch.setattr(runs.cloudformation, "update_stack", refuse)
        with pytest.raises(StackInTheWay):
            runs.deliver(10.1)
    assert runs.record(run_id).refused is None
    runs.reap(15)
    runs.deliver(15)
    assert (runs.attempt(), runs.record(run_id).state) == ("2", State.ACCEPTED)


def test_a_stop_that_is_none_ends_nothing(runs: Runs) -> None:
    run_id, _ = interrupted(runs)
    receipt = {**runs.receipt(run_id), "stop": "please"}
    key = f"runs/default/{run_id}/run.json"
    runs.s3.put_object(Bucket="parris-results", Key=key, Body=json.dumps(receipt).encode())
    runs.sent.clear()
    runs.reap(15)
    runs.deliver(15)
    assert (runs.attempt(), runs.record(run_id).state) == ("2", State.ACCEPTED)


def test_the_results_of_a_run_whose_last_machine_never_began_are_those_before(runs: Runs) -> None:
    run_id, first = interrupted(runs, retry={"attempts": 2})
    runs.deliver(11)
    second = runs.machine(run_id, 11, began=False)
    runs.store(run_id, second, "log.txt", "half")
    runs.take(second)
    runs.reap(12, machine_event(second))
    assert runs.outcome(run_id)["machine"] == f"{ROLE_ID}:{first}"


def test_a_machine_that_was_refused_at_last_costs_nothing(
    runs: Runs, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_id, _ = interrupted(runs, 60)
    runs.deliver(61)
    spent = runs.record(run_id).attempts[0].usd
    monkeypatch.setattr("parris.reap.relaunch._is_refused", lambda *_: True)
    monkeypatch.setattr("parris.reap.relaunch.first_failure", lambda *_: "OptInRequired")
    monkeypatch.setattr("parris.reap.review._may_go_on", lambda *_: True)
    runs.reap(100)
    outcome = runs.outcome(run_id)
    assert (outcome["state"], outcome["cost-usd"]) == ("interrupted", spent)


def test_a_machine_that_a_failed_rollback_left_goes_before_there_is_another(
    runs: Runs, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_id = runs.begin()
    machine = runs.machine(run_id)
    text = "InsufficientInstanceCapacity"
    monkeypatch.setattr("parris.reap.relaunch.first_failure", lambda *_: text)
    backend = cloudformation_backends["123456789012"]["us-east-1"]
    backend.get_stack("one").status = "ROLLBACK_FAILED"
    runs.reap(5)
    assert runs.instance(machine).state == "running"  # moto's stack does not hold it
    with pytest.raises(runs.cloudformation.exceptions.ClientError, match="does not exist"):
        runs.stack()
    assert (runs.sent, runs.record(run_id).state) == ([], State.RELAUNCHING)
