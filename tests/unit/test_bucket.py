"""`make bucket` makes a data trigger's bucket and never takes anything from one that is there."""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import partial
from types import SimpleNamespace
from typing import Any

import boto3
import pytest
from botocore.awsrequest import AWSResponse
from moto import mock_aws
from moto.s3.models import s3_backends

from scripts.cli import console
from scripts.cli.console import Refused
from scripts.commands import bucket

ACCOUNT = "123456789012"
QUEUE = {
    "Id": "mine",
    "QueueArn": f"arn:aws:sqs:eu-central-1:{ACCOUNT}:mine",
    "Events": ["s3:ObjectCreated:*"],
    "Filter": {"Key": {"FilterRules": [{"Name": "prefix", "Value": "in/"}]}},
}
FUNCTION = {
    "Id": "theirs",
    "LambdaFunctionArn": f"arn:aws:lambda:eu-central-1:{ACCOUNT}:function:theirs",
    "Events": ["s3:ObjectRemoved:*"],
}


@pytest.fixture
def s3(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "test")
    monkeypatch.setenv("LOCAL", "")
    with mock_aws():
        made = client("eu-central-1")
        made.meta.events.register("before-parameter-build.s3", _remember)
        made.meta.events.register("after-call.s3.GetBucketNotificationConfiguration", _whole)
        yield made


def _remember(params: dict[str, Any], context: dict[str, Any], **_: Any) -> None:
    context["bucket"] = params.get("Bucket")


def _whole(parsed: dict[str, Any], context: dict[str, Any], **_: Any) -> None:
    """Answer as S3 does: moto keeps EventBridge's part and leaves it out (API reference)."""
    kept = s3_backends[ACCOUNT]["aws"].buckets[context["bucket"]].notification_configuration
    if kept is not None and kept.event_bridge is not None:
        parsed["EventBridgeConfiguration"] = {}


def client(region: str) -> Any:
    return boto3.client("s3", region_name=region)


@pytest.fixture
def deployment(s3: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    made = SimpleNamespace(
        client={"s3": s3}.get,
        account_id=ACCOUNT,
        region="eu-central-1",
        config_bucket="its-config",
        results_bucket="its-results",
        data_triggers={"fresh": {"bucket": "watched"}},
    )
    monkeypatch.setattr(bucket, "read_deployment", lambda: made)
    return made


def make(s3: Any, name: str) -> None:
    where = {"LocationConstraint": "eu-central-1"}
    s3.create_bucket(Bucket=name, CreateBucketConfiguration=where)


def told(s3: Any, name: str) -> dict[str, Any]:
    found = s3.get_bucket_notification_configuration(Bucket=name)
    return {key: value for key, value in found.items() if key != "ResponseMetadata"}


@pytest.mark.usefixtures("deployment")
def test_a_bucket_is_made_in_the_region_closed_and_tells_eventbridge(
    s3: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    assert bucket.main(["--name", "my-data"]) == 0
    assert s3.get_bucket_location(Bucket="my-data")["LocationConstraint"] == "eu-central-1"
    block = s3.get_public_access_block(Bucket="my-data")["PublicAccessBlockConfiguration"]
    assert all(block.values())
    assert told(s3, "my-data") == {"EventBridgeConfiguration": {}}
    said = capsys.readouterr().out.splitlines()
    assert said[0] == "s3://my-data made in eu-central-1, closed to the public"
    assert said[1].startswith("from now on it tells EventBridge of its objects")
    assert 'data_triggers = { fresh = { bucket = "my-data", job = "…" } }' in said[2]


def test_us_east_1_is_no_constraint(s3: Any, deployment: Any) -> None:
    deployment.region = "us-east-1"
    bucket.create(client("us-east-1"), deployment, "my-data")
    assert s3.get_bucket_location(Bucket="my-data")["LocationConstraint"] is None


@pytest.mark.usefixtures("deployment")
def test_whom_a_bucket_tells_already_it_goes_on_telling(s3: Any) -> None:
    make(s3, "watched")
    others = {"QueueConfigurations": [QUEUE], "LambdaFunctionConfigurations": [FUNCTION]}
    s3.put_bucket_notification_configuration(
        Bucket="watched", NotificationConfiguration=others, SkipDestinationValidation=True
    )
    before = told(s3, "watched")
    assert before.keys() == others.keys()
    bucket.main(["--name", "watched"])
    assert told(s3, "watched") == {**before, "EventBridgeConfiguration": {}}


@pytest.mark.usefixtures("deployment")
def test_a_second_time_changes_nothing(s3: Any, capsys: pytest.CaptureFixture[str]) -> None:
    bucket.main(["--name", "watched"])
    capsys.readouterr()
    calls: list[str] = []
    s3.meta.events.register("before-call.s3", lambda model, **_: calls.append(model.name))
    bucket.main(["--name", "watched"])
    assert calls == ["HeadBucket", "GetBucketNotificationConfiguration"]
    assert capsys.readouterr().out == (
        "s3://watched is there already, in eu-central-1; it stays as it is\n"
        "it tells EventBridge of its objects already; nothing changed\n"
    )


@pytest.mark.usefixtures("deployment")
def test_a_program_is_told_what_was_changed(capsys: pytest.CaptureFixture[str]) -> None:
    for name, now, watched in (("mine", True, False), ("mine", False, False), ("watched", 1, 1)):
        work = partial(bucket.main, ["--name", name, "--json"])
        assert console.status_of(work, as_json=True) == 0
        facts = {"bucket": name, "region": "eu-central-1", "made": now, "told": now}
        assert json.loads(capsys.readouterr().out) == {**facts, "watched": watched}


@pytest.mark.usefixtures("deployment")
def test_a_bucket_of_another_account_is_refused(s3: Any) -> None:
    """S3 answers 403 to a call that expects another owner than there is; moto does not."""
    make(s3, "theirs")

    def by_owner(request: Any, **_: Any) -> AWSResponse | None:
        if request.headers["x-amz-expected-bucket-owner"] == b"999999999999":
            return None
        return AWSResponse(request.url, 403, {}, _Empty())  # type: ignore[arg-type]

    s3.meta.events.register("before-send.s3", by_owner)
    with pytest.raises(Refused, match=f"s3://theirs belongs to another account than {ACCOUNT}"):
        bucket.main(["--name", "theirs"])
    s3.meta.events.unregister("before-send.s3", by_owner)
    assert told(s3, "theirs") == {}


def test_a_name_that_another_account_has_is_refused(
    deployment: Any, s3: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MOTO_ACCOUNT_ID", "999999999999")
    make(s3, "theirs")
    monkeypatch.delenv("MOTO_ACCOUNT_ID")
    with pytest.raises(Refused, match="s3://theirs belongs to another account"):
        bucket.create(s3, deployment, "theirs")


@pytest.mark.usefixtures("deployment")
def test_a_bucket_of_another_region_is_refused(s3: Any) -> None:
    client("us-east-1").create_bucket(Bucket="far")
    with pytest.raises(Refused, match="is in us-east-1, and its events stay there"):
        bucket.main(["--name", "far"])
    assert told(s3, "far") == {}


@pytest.mark.parametrize(
    ("name", "problem"),
    [
        ("", "is missing"),
        ("My-Data", "is not 3 to 63"),
        ("a..b", "is not 3 to 63"),
        ("ab", "is not 3 to 63"),
        ("-ab", "is not 3 to 63"),
        ("x" * 64, "is not 3 to 63"),
        ("a_b", "is not 3 to 63"),
        ("192.168.5.4", "looks like an IP address"),
        ("its-config", "is the deployment's own"),
        ("its-results", "is the deployment's own"),
    ],
)
@pytest.mark.usefixtures("deployment")
def test_a_name_that_cannot_be_is_refused(s3: Any, name: str, problem: str) -> None:
    with pytest.raises(Refused, match=problem):
        bucket.main([f"--name={name}"])
    assert s3.list_buckets()["Buckets"] == []


class _Empty:
    """The body of an answer to HEAD."""

    def stream(self, *_: Any, **__: Any) -> Iterator[bytes]:
        return iter([b""])
