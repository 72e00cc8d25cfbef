"""What comes of an event that was fired is heard, and by nobody else's event."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import boto3
import pytest
from moto import mock_aws

from parris.aws.told import Told
from scripts.cli.console import Refused
from scripts.commands import fire
from scripts.deployment.fired import Fired, Listener, job_of
from scripts.deployment.outputs import Deployment
from tests.ledger import make_table, note_run
from tests.plans import NOW

RUN = "20261124-050149-fb4d15ce"
SCHEDULE = Fired(did="sent", names={"event-id": "mine"}, seconds=0)
CLICK = Fired(did="clicked", names={"topic": "parris/button/x"}, seconds=0)


class Bucket:
    """The results bucket, as the functions write to it."""

    def __init__(self) -> None:
        self.s3 = boto3.client("s3", region_name="us-east-1")
        self.s3.create_bucket(Bucket="results")
        self.table = make_table()
        self.told = Told(table=self.table, now=NOW)

    def tell(self, key: str, content: dict[str, Any] | None = None) -> None:
        assert self.told.begin(key, content).begun

    def put(self, key: str, content: dict[str, Any]) -> None:
        self.s3.put_object(Bucket="results", Key=key, Body=json.dumps(content).encode())

    def claim(self, job: str = "job", run_id: str = RUN, **receipt: Any) -> None:
        known = {"run-id": run_id, "job": job, "state": "launching"}
        self.put(f"runs/{job}/{run_id}/run.json", known | receipt)
        key = {"pk": {"S": f"run#{job}"}, "sk": {"S": run_id}}
        self.table.dynamodb().delete_item(TableName=self.table.name, Key=key)
        note_run(self.table, known | receipt)


@pytest.fixture
def deployment(monkeypatch: pytest.MonkeyPatch) -> Iterator[Deployment]:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "test")
    monkeypatch.setenv("LOCAL", "")
    values: dict[str, Any] = dict.fromkeys(Deployment.__dataclass_fields__, "parris")
    values |= {"region": "us-east-1", "results_bucket": "results", "ledger_table": "parris-ledger"}
    values["schedules"] = {"nightly": {"job": "job"}}
    with mock_aws():
        yield Deployment(**values)


@pytest.fixture
def bucket(deployment: Deployment) -> Bucket:  # noqa: ARG001 - the order of the two
    return Bucket()


MINE = {"kind": "schedule", "schedule": "nightly", "event-id": "mine"}


def test_a_run_is_known_by_its_event_when_it_has_its_stack(
    deployment: Deployment, bucket: Bucket
) -> None:
    bucket.claim(run_id="r-0000000000000000", trigger=MINE, **{"stack-id": "old"})
    listener = Listener(deployment, "job")
    bucket.claim(run_id="r-0000000000000001", trigger={"event-id": "other"}, **{"stack-id": "x"})
    assert listener.listen(SCHEDULE) is None  # what was there, and another's
    bucket.claim(trigger=MINE)
    assert listener.listen(SCHEDULE) is None  # claimed, and not launched yet
    bucket.claim(trigger=MINE, **{"stack-id": "arn"})
    heard = listener.listen(SCHEDULE)
    assert heard is not None
    assert heard.receipt is not None
    assert heard.receipt["run-id"] == RUN


@pytest.mark.parametrize("state", ["skipped", "queued"])
def test_a_run_that_is_held_back_is_heard_too(
    deployment: Deployment, bucket: Bucket, state: str
) -> None:
    listener = Listener(deployment, "job")
    bucket.claim(trigger=MINE, state=state, reason="run x is still going")
    heard = listener.listen(SCHEDULE)
    assert heard is not None
    assert heard.receipt is not None
    assert heard.receipt["state"] == state


def test_a_refusal_is_raised_with_the_functions_words(
    deployment: Deployment, bucket: Bucket
) -> None:
    key = "job/0123456789abcdef/launch-failed"
    bucket.tell(key.replace("0", "f"), {"reason": "old", "event": {"event-id": "mine"}})
    listener = Listener(deployment, "job")
    bucket.tell(key.replace("0", "e"), {"reason": "theirs", "event": {"event-id": "other"}})
    bucket.tell(key.replace("0", "d"))  # of a launch that died
    bucket.tell(f"other{key}", {"reason": "another job's", "event": {"event-id": "mine"}})
    assert listener.listen(SCHEDULE) is None
    bucket.tell(key, {"reason": "epoch is not a parameter", "event": {"event-id": "mine"}})
    with pytest.raises(Refused, match="the launch function refused: epoch is not a parameter"):
        listener.listen(SCHEDULE)


def test_a_launch_that_failed_after_its_claim_is_a_refusal(
    deployment: Deployment, bucket: Bucket
) -> None:
    listener = Listener(deployment, "job")
    bucket.claim(trigger=MINE, state="launch-failed", reason="stack x exists")
    with pytest.raises(Refused, match="stack x exists"):
        listener.listen(SCHEDULE)


def test_a_click_that_launches_nothing_leaves_its_mark_under_any_job(
    deployment: Deployment, bucket: Bucket
) -> None:
    listener = Listener(deployment, None)
    bucket.tell("any/20261124-0-0/started")
    assert listener.listen(CLICK) is None
    bucket.tell("any/20261124-0-0/status")
    heard = listener.listen(CLICK)
    assert heard is not None
    assert (heard.receipt, heard.action) == (None, "status")
    assert listener.listen(SCHEDULE) is None  # which is no click


def test_it_listens_until_something_comes_and_no_longer_than_it_may(
    deployment: Deployment, bucket: Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    listener = Listener(deployment, "job")
    now, waits = [0.0], []

    def sleep(seconds: float) -> None:
        waits.append(seconds)
        now[0] += seconds
        if len(waits) == 3:
            bucket.claim(trigger=MINE, **{"stack-id": "arn"})

    monkeypatch.setattr("scripts.deployment.fired.time.monotonic", lambda: now[0])
    monkeypatch.setattr("scripts.deployment.fired.time.sleep", sleep)
    assert listener.listen(Fired(did="", names={"event-id": "mine"}, seconds=3)) is None
    assert listener.listen(Fired(did="", names={"event-id": "mine"}, seconds=30)) is not None
    assert len(waits) == 3


def test_where_the_marks_of_an_event_are_is_known_for_all_but_clicks_and_data(
    deployment: Deployment,
) -> None:
    assert job_of(deployment, "schedule", "nightly", "") == "job"
    assert job_of(deployment, "schedule", "unknown", "") == "default"
    assert job_of(deployment, "device", "", "mine") == "mine"
    assert job_of(deployment, "button", "", "mine") is None
    assert job_of(deployment, "data", "", "") is None


@pytest.mark.parametrize(
    ("name", "known", "said"),
    [
        ("x", {}, "this deployment has no schedule; add one to terraform.tfvars, then make deploy"),
        ("", {"nightly": {}}, "NAME= is missing, a schedule of this deployment: nightly"),
        (
            "nihgtly",
            {"nightly": {}, "often": {}},
            "NAME=nihgtly is no schedule of this deployment: nightly, often; did you mean nightly?",
        ),
    ],
)
def test_a_trigger_that_is_not_there_is_told_from_one_that_was_not_named(
    name: str, known: dict[str, Any], said: str
) -> None:
    assert fire._unknown("schedule", name, known) == said
