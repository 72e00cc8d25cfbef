"""A sweep ends what is overdue or over, and nothing else, whatever fails beside it."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from botocore.exceptions import ClientError

from parris.aws.queue import Queue
from parris.errors import ParrisError
from parris.reap.sweep import STANDS
from scripts.deployment.outputs import ROOT
from tests.plans import NOW

if TYPE_CHECKING:
    pass

from tests.reap_world import LATER, LONG_AGO, ROLE_ID, SETTINGS, TEMPLATE, World, run_id, show

_NESTED = b"[" * 100_000
"""What json.loads refuses with a RecursionError."""


@pytest.mark.parametrize("what", ["extended", "replaced", "replaced when it was over"])
def test_a_stack_that_changed_after_it_was_listed_is_not_deleted(
    world: World, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    over = what == "replaced when it was over"
    instance_id = world.run("late", deadline=LATER if over else LONG_AGO)
    if over:
        world.end("late", instance_id)
    listed = world.cloudformation.describe_stacks()["Stacks"]
    monkeypatch.setattr("parris.reap.reconcile.list_stacks", lambda *_: listed)
    tags = {tag["Key"]: tag["Value"] for tag in listed[0]["Tags"]}
    if what != "extended":
        tags["parris:run-id"] = run_id("newer")
    world.cloudformation.update_stack(
        StackName="late",
        TemplateBody=TEMPLATE.replace("Topic", "Other"),
        Parameters=[{"ParameterKey": "Deadline", "ParameterValue": LATER}],
        Tags=[{"Key": key, "Value": value} for key, value in tags.items()],
    )
    assert world.reap()["deleting"] == []
    assert world.stacks() == {"late"}
    if what == "extended":
        with pytest.raises(ClientError, match="NoSuchKey"):
            world.outcome("late")


def test_an_overdue_stack_goes_though_nobody_says_how_it_is_now(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.run("late", deadline=LONG_AGO)

    def refused(*_: Any) -> None:
        raise ClientError({"Error": {"Code": "Throttling", "Message": "no"}}, "DescribeStacks")

    monkeypatch.setattr("parris.reap.review.read_stack", refused)
    assert world.reap()["deleting"] == ["late"]


def test_a_sweep_deletes_what_is_over_and_overdue_and_nothing_else(world: World) -> None:
    for name in ("live", "overdue"):
        world.run(name, deadline=LONG_AGO if name == "overdue" else LATER)
    over = world.run("over")
    world.end("over", over)
    world.stack("foreign", LONG_AGO, deployment="theirs")
    world.cloudformation.create_stack(StackName="untagged", TemplateBody=TEMPLATE)
    answer = world.reap()
    assert sorted(answer["deleting"]) == ["over", "overdue"]
    assert world.stacks() == {"live", "foreign", "untagged"}
    assert world.outcome("overdue")["state"] == "timed-out"
    assert world.outcome("over")["state"] == "succeeded"
    assert world.outcome("over")["machine"] == f"{ROLE_ID}:{over}"


def test_the_moved_deadline_counts_and_not_the_tag(world: World) -> None:
    world.run("extended", deadline="2026-11-24T18:00:00Z")
    world.reap(now=NOW + timedelta(hours=2))  # past the tag's
    assert world.stacks() == {"extended"}
    world.reap(now=NOW + timedelta(hours=7))
    assert world.stacks() == set()


def test_a_stack_that_fails_does_not_stop_the_sweep(world: World) -> None:
    tags: Any = [{"Key": "parris:deployment", "Value": "parris"}]
    world.cloudformation.create_stack(StackName="broken", TemplateBody=TEMPLATE, Tags=tags)
    world.run("overdue", deadline=LONG_AGO)
    with pytest.raises(ParrisError, match="broken: its tags name no run"):
        world.reap()
    assert world.stacks() == {"broken"}


def test_a_run_without_a_receipt_is_still_ended(world: World) -> None:
    world.run("bare", deadline=LONG_AGO)
    world.s3.delete_object(Bucket="results", Key=f"runs/job/{run_id('bare')}/run.json")
    world.reap()
    assert world.stacks() == set()
    assert world.outcome("bare")["state"] == "timed-out"


@pytest.mark.parametrize(
    "body",
    [
        *(_NESTED, b"\xff", b"5", b'{"price": {"hourly-usd": "dear"}}', b'{"price": 5}'),
        *(b'{"claimed": "once"}', b'{"keep-stack": {}}', b'{"price": {}, "deadline": 7}'),
        *(b'{"price": {"hourly-usd": null}}', b'{"image": 5, "instance-type": [1]}'),
    ],
)
def test_a_receipt_of_any_shape_keeps_no_run_from_its_end(world: World, body: bytes) -> None:
    """Its stack is one without the tag that says whether it is kept, so its receipt is asked."""
    world.run("odd", deadline=LONG_AGO, **{"keep-stack": ""})
    key = f"runs/job/{run_id('odd')}/run.json"
    world.s3.put_object(Bucket="results", Key=key, Body=body)
    world.run("overdue", deadline=LONG_AGO)
    world.run("live")
    world.reap()
    assert world.stacks() == {"live"}
    assert world.outcome("overdue")["state"] == "timed-out"
    assert world.outcome("odd")["state"] == "timed-out"


def test_a_receipt_that_is_nested_too_deep_holds_up_no_adoption(world: World) -> None:
    key = "runs/job/r-0000000000000000/run.json"  # before the other's, in S3's order
    world.s3.put_object(Bucket="results", Key=key, Body=_NESTED)
    world.run("live")
    world.reap()
    assert world.ledger.read("job", run_id("live")) is not None
    assert world.ledger.adopted_after() is None


def test_an_item_that_is_nested_too_deep_hides_no_other_run(world: World) -> None:
    world.run("vanished")
    world.reap()
    world.cloudformation.delete_stack(StackName="vanished")
    held = {"state": "accepted", "nonce": "", "lease": NOW.isoformat(), "open": "run"}
    world.ledger.table.put_new("run#job", "r-0", {**held, "receipt": _NESTED.decode()})
    with pytest.raises(ParrisError, match="run#job r-0: RecursionError"):
        world.reap()
    assert world.outcome("vanished")["state"] == "stopped"


def test_terraform_may_not_destroy_what_stacks_still_need(world: World) -> None:
    world.run("live")
    assert world.reap({"tf": {"action": "create"}}) == {"guarding": "parris"}
    with pytest.raises(ParrisError, match=r"1 stacks still need .*live; run terraform apply"):
        world.reap({"tf": {"action": "delete"}})
    world.cloudformation.delete_stack(StackName="live")
    assert world.reap({"tf": {"action": "delete"}}) == {"guarding": None}


def test_two_sweeps_at_once_do_no_harm(world: World) -> None:
    """The second is called as the first is about to delete a stack, and does all that it does."""
    world.run("overdue", deadline=LONG_AGO)
    world.end("over", world.run("over"))
    begun: list[Any] = []
    answers: list[Any] = []

    def sweep(**_: object) -> None:
        if not begun:
            begun.append(True)
            answers.append(world.reap(now=NOW + timedelta(seconds=1)))

    world.cloudformation.meta.events.register("before-call.cloudformation.DeleteStack", sweep)
    answers.append(world.reap())
    assert [sorted(answer["deleting"]) for answer in answers] == [["over", "overdue"], ["overdue"]]
    assert world.stacks() == set()
    ends = {name: world.outcome(name) for name in ("overdue", "over")}
    assert [end["state"] for end in ends.values()] == ["timed-out", "succeeded"]
    world.reap(now=NOW + timedelta(minutes=10))
    assert ends == {name: world.outcome(name) for name in ends}
    assert sorted(one["event"] for one in world.topic.heard()) == ["succeeded", "timed-out"]


@pytest.mark.parametrize(
    ("service", "operation"),
    [
        ("s3", "GetObject"),
        ("s3", "PutObject"),
        ("s3", "ListObjectsV2"),
        ("ec2", "DescribeInstances"),
        ("ec2", "GetConsoleOutput"),
        ("dynamodb", "GetItem"),
        ("dynamodb", "Query"),
        ("dynamodb", "UpdateItem"),
        ("dynamodb", "PutItem"),
        ("lambda", "Invoke"),
        ("receipt", "nested too deep"),
        ("receipt", "odd price"),
    ],
)
@pytest.mark.parametrize("keep", ["never", "always"])
def test_an_overdue_stack_goes_whatever_else_is_refused(
    world: World, service: str, operation: str, keep: str
) -> None:
    world.run("overdue", deadline=LONG_AGO, **{"keep-stack": keep})
    world.run("live")
    world.ledger.table.put_new("queue", "broken", {"event": "["})
    world.ledger.table.put_new("run#job", "broken", {"open": "run"})
    Queue(world.ledger.table).wait("free", "job", run_id("waiting"), {"event-id": "waits"})
    waiting, _ = world.ledger.claim("job", run_id("waiting"), "nonce", NOW - timedelta(minutes=10))
    world.ledger.hold(waiting, "queued", "another run is going")

    def refuse(**_: object) -> None:
        refused.append(operation)
        raise ClientError({"Error": {"Code": "AccessDenied", "Message": "no"}}, operation)

    refused: list[str] = []
    if service == "receipt":
        body = {"nested too deep": _NESTED, "odd price": b'{"price": {"hourly-usd": "dear"}}'}
        key = f"runs/job/{run_id('overdue')}/run.json"
        world.s3.put_object(Bucket="results", Key=key, Body=body[operation])
    elif service == "lambda":
        world.functions.invoke = refuse
    else:
        client: Any = getattr(world, service)
        client.meta.events.register(f"before-call.{service}.{operation}", refuse)
    with pytest.raises(ParrisError, match="could not be dealt with"):
        world.reap()
    assert world.stacks() == {"live"}
    assert bool(refused) == (service != "receipt")


def test_the_stack_of_a_run_that_is_over_goes_though_its_end_cannot_be_written_down(
    world: World,
) -> None:
    world.end("over", world.run("over"))
    vanished = world.run("vanished")
    world.ec2.terminate_instances(InstanceIds=[vanished])
    world.run("live")

    def refuse(**_: object) -> None:
        raise ClientError({"Error": {"Code": "AccessDenied", "Message": "no"}}, "PutObject")

    world.s3.meta.events.register("before-call.s3.PutObject", refuse)
    with pytest.raises(ParrisError, match="2 things could not be dealt with"):
        world.reap()
    assert world.stacks() == {"live"}


def test_a_deadline_that_nobody_can_read_is_a_week_after_the_stack_was_made(world: World) -> None:
    tags: Any = [
        {"Key": "parris:deployment", "Value": "parris"},
        {"Key": "parris:deadline", "Value": "soon"},
    ]
    stack_id = world.cloudformation.create_stack(
        StackName="unreadable",
        TemplateBody=TEMPLATE,
        Parameters=[{"ParameterKey": "Deadline", "ParameterValue": "tomorrow"}],
        Tags=tags,
    )["StackId"]
    [stack] = world.cloudformation.describe_stacks(StackName=stack_id)["Stacks"]
    with pytest.raises(ParrisError, match="its tags name no run"):
        world.reap(now=stack["CreationTime"] + timedelta(days=6))
    assert world.stacks() == {"unreadable"}
    with pytest.raises(ParrisError, match="its tags name no run"):
        world.reap(now=stack["CreationTime"] + timedelta(days=8))
    assert world.stacks() == set()


def test_what_is_to_be_kept_stays_though_its_end_cannot_be_written_down(world: World) -> None:
    instance_id = world.run("kept", **{"keep-stack": "always"})
    world.ec2.terminate_instances(InstanceIds=[instance_id])

    def refuse(**_: object) -> None:
        raise ClientError({"Error": {"Code": "SlowDown", "Message": "later"}}, "PutObject")

    world.s3.meta.events.register("before-call.s3.PutObject", refuse)
    with pytest.raises(ParrisError, match="later"):
        world.reap()
    assert world.stacks() == {"kept"}


def test_what_is_remembered_of_a_job_called_queue_waits_for_nothing(world: World) -> None:
    key = "events/queue/0123456789abcdef/launch-failed.json"
    world.s3.put_object(Bucket="results", Key=key, Body=b"{}")
    assert world.reap() == {"looked-at": 0, "deleting": []}
    assert world.functions.sent == []


@pytest.mark.parametrize(
    "status", ["CREATE_COMPLETE", "ROLLBACK_FAILED", "DELETE_IN_PROGRESS", "DELETE_FAILED"]
)
@pytest.mark.parametrize("keep", ["never", "always"])
def test_a_sweep_says_of_each_stack_past_its_deadline_that_it_stands(
    world: World,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    status: str,
    keep: str,
) -> None:
    world.run("late", deadline=LONG_AGO, **{"keep-stack": keep})
    world.run("live")
    (late,) = world.cloudformation.describe_stacks(StackName="late")["Stacks"]
    (live,) = world.cloudformation.describe_stacks(StackName="live")["Stacks"]
    stacks = [{**late, "StackStatus": status}, live]  # moto never fails a deletion
    show(monkeypatch, *stacks)
    world.reap()
    assert standing(caplog) == [STANDS % ("late", status)]


def test_a_stack_within_its_grace_or_kept_with_its_machine_gone_rings_nobody(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    in_grace = (NOW - SETTINGS.overdue).isoformat()
    world.run("in-grace", deadline=in_grace)
    late = (NOW - SETTINGS.grace + timedelta(minutes=1)).isoformat()
    for name, deadline in (("kept", in_grace), ("kept-late", late)):
        kept = world.run(name, deadline=deadline, **{"keep-stack": "always"})
        world.ec2.terminate_instances(InstanceIds=[kept])
    world.stack("foreign", LONG_AGO, deployment="theirs")
    world.reap()
    assert world.stacks() == {"in-grace", "kept", "foreign"}
    assert standing(caplog) == []


def standing(caplog: pytest.LogCaptureFixture) -> list[str]:
    """Return the lines of the log that the alarm of what stands too long counts."""
    [words] = re.findall(r'pattern += "\\"(.*)\\""', (ROOT / "observe.tf").read_text())
    return [record.getMessage() for record in caplog.records if words in record.getMessage()]
