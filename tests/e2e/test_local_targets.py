"""What turns a person and their tools to the embedded cloud: its variables, mails and buckets."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import boto3
import pytest

from scripts.commands import bucket
from scripts.local import cloud as embedded
from tests.e2e.embedded_world import World, eventually

REPOSITORY = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    home = tmp_path_factory.mktemp("local targets")
    embedded.up(home, port=0)
    try:
        yield home
    finally:
        embedded.down(home)


def shell(script: str, home: Path, **more: str) -> subprocess.CompletedProcess[str]:
    kept = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    return subprocess.run(
        ["bash", "-euc", script],
        cwd=REPOSITORY,
        env=kept | {"PYTHONPATH": "lambda:.", "PY": sys.executable, "CLOUD": str(home)} | more,
        capture_output=True,
        text=True,
        check=False,
    )


COMMAND = '"$PY" -m scripts.local.cloud'


def test_a_shell_that_takes_the_variables_reaches_the_embedded_cloud_alone(home: Path) -> None:
    world = World(home)
    world.s3.create_bucket(Bucket="seen-from-the-shell")
    said = shell(
        f'eval "$({COMMAND} env --home "$CLOUD")"\n'
        'echo "LOCAL=$LOCAL profile=${AWS_PROFILE:-none}"\n'
        '"$PY" -m awscli s3 ls',
        home,
        AWS_PROFILE="work",
        AWS_ENDPOINT_URL_S3="https://example.org",
    )
    assert said.stderr == ""
    first, *listed = said.stdout.splitlines()
    assert first == "LOCAL=1 profile=none"
    assert any(line.endswith(" seen-from-the-shell") for line in listed)


def test_what_a_topic_sends_by_mail_can_be_read_until_the_cloud_ends(tmp_path: Path) -> None:
    home = tmp_path / "cloud"
    embedded.up(home, port=0)
    try:
        ours = embedded.environment(home)
        sns: Any = boto3.client(
            "sns",
            endpoint_url=ours["AWS_ENDPOINT_URL"],
            region_name=ours["AWS_REGION"],
            aws_access_key_id="test",
            aws_secret_access_key="test",
        )
        topic = sns.create_topic(Name="parris")["TopicArn"]
        sns.subscribe(TopicArn=topic, Protocol="email", Endpoint="me@example.org")
        forms = {"default": "{}", "email": "Look closer: make status"}
        sns.publish(
            TopicArn=topic,
            Subject="Parris: mine failed",
            Message=json.dumps(forms),
            MessageStructure="json",
        )
        said = shell(f'{COMMAND} mail --home "$CLOUD"', home, LOCAL="1").stdout
        assert "To: me@example.org\nSubject: Parris: mine failed\n" in said
        assert "Look closer: make status LOCAL=1\n" in said
    finally:
        embedded.down(home)
    assert not (home / "mail").exists()
    gone = shell(f'{COMMAND} mail --home "$CLOUD"', home)
    assert gone.returncode == 1
    assert "the embedded cloud is not up; start it with: make local-up" in gone.stderr


def test_local_up_says_that_what_it_holds_will_be_gone(tmp_path: Path) -> None:
    home = tmp_path / "cloud"
    try:
        said = shell(f'{COMMAND} up --port 0 --home "$CLOUD"', home).stdout
    finally:
        embedded.down(home)
    assert "All that it holds is gone when it ends: with make local-down" in said


def test_a_bucket_is_made_to_tell_eventbridge_beside_whom_it_tells(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = World(home)
    deployment = SimpleNamespace(
        client={"s3": world.s3}.get,
        account_id="000000000000",
        region="us-east-1",
        config_bucket="c",
        results_bucket="r",
        data_triggers={},
    )
    monkeypatch.setattr(bucket, "read_deployment", lambda: deployment)
    arns = {}
    for name in ("theirs", "bus"):
        url = world.sqs.create_queue(QueueName=name)["QueueUrl"]
        asked = world.sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])
        arns[name] = (url, asked["Attributes"]["QueueArn"])
    for arn in (arns["theirs"], arns["bus"]):
        allow = {"Effect": "Allow", "Principal": "*", "Action": "sqs:SendMessage", "Resource": "*"}
        policy = json.dumps({"Version": "2012-10-17", "Statement": [allow]})
        world.sqs.set_queue_attributes(QueueUrl=arn[0], Attributes={"Policy": policy})
    world.s3.create_bucket(Bucket="data")
    queue: Any = {"Id": "q", "QueueArn": arns["theirs"][1], "Events": ["s3:ObjectCreated:*"]}
    world.s3.put_bucket_notification_configuration(
        Bucket="data", NotificationConfiguration={"QueueConfigurations": [queue]}
    )
    pattern = {"source": ["aws.s3"], "detail-type": ["Object Created"]}
    world.events.put_rule(Name="objects", EventPattern=json.dumps(pattern))
    world.events.put_targets(Rule="objects", Targets=[{"Id": "q", "Arn": arns["bus"][1]}])

    assert bucket.main(["--name", "data"]) == 0
    assert bucket.main(["--name", "data"]) == 0
    world.s3.put_object(Bucket="data", Key="in/x", Body=b"x")

    def heard(name: str) -> bool:
        got = world.sqs.receive_message(QueueUrl=arns[name][0], MaxNumberOfMessages=10)
        return any("in/x" in message["Body"] for message in got.get("Messages", []))

    eventually(lambda: heard("theirs"), "the queue hears of it as before")
    eventually(lambda: heard("bus"), "EventBridge hears of it")
