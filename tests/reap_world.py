"""Stacks of one deployment on moto, their machines and runs, and the reap function, in process."""

from __future__ import annotations

import hashlib
import json
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

import boto3
import pytest
from botocore.config import Config

from parris.aws.ledger import Ledger
from parris.aws.results import Results
from parris.aws.told import Told
from parris.aws.topic import Notifier
from parris.reap.handler import make_reaper
from parris.reap.launches import Launches
from parris.runs.names import KEEP_TAG
from parris.settings import ReapSettings
from tests.fake_client import FakeClient
from tests.ledger import make_table
from tests.notices import Topic
from tests.plans import NOW

if TYPE_CHECKING:
    from mypy_boto3_cloudformation import CloudFormationClient
    from mypy_boto3_ec2 import EC2Client
    from mypy_boto3_s3 import S3Client

SETTINGS = ReapSettings(
    deployment="parris",
    results_bucket="results",
    ledger_table="parris-ledger",
    overdue=timedelta(minutes=5),
    grace=timedelta(minutes=15),
    monthly_budget_usd=None,
    topic_arn="arn:aws:sns:us-east-1:123456789012:parris-notifications",
    launch_function_arn="parris-launch",
    iot_log_group="/parris/iot-errors",
)


TEMPLATE = json.dumps(
    {
        "Parameters": {"Deadline": {"Type": "String", "Default": ""}},
        "Resources": {"Topic": {"Type": "AWS::SNS::Topic"}},
    }
)


ROLE_ID = "AROAEXAMPLE"


IMAGE = "ami-12c6146b"  # one that moto knows


LONG_AGO = "2026-11-24T10:00:00Z"


LATER = "2026-11-24T13:00:00Z"


def run_id(name: str) -> str:
    """Return the id of the run that a test calls `name`."""
    return f"r-{hashlib.sha256(name.encode()).hexdigest()[:16]}"


def outcome_key(name: str) -> str:
    return f"runs/job/{run_id(name)}/outcome.json"


class Functions:
    """Lambda's Invoke, of which moto runs the function in a container: what was sent."""

    def __init__(self) -> None:
        self.sent: list[dict[str, Any]] = []

    def invoke(self, *, FunctionName: str, InvocationType: str, Payload: bytes) -> Any:  # noqa: N803
        assert (FunctionName, InvocationType) == (SETTINGS.launch_function_arn, "Event")
        self.sent.append(json.loads(Payload))
        return {"StatusCode": 202}


class World:
    """Stacks of one deployment, their machines and their runs."""

    def __init__(self, config: Config | None = None) -> None:
        """Make it; `config` is that of all its clients."""

        def client(service: Any) -> Any:
            return boto3.client(service, region_name="us-east-1", config=config)

        self.s3: S3Client = client("s3")
        self.cloudformation: CloudFormationClient = client("cloudformation")
        self.ec2: EC2Client = client("ec2")
        self.logs, self.dynamodb = client("logs"), client("dynamodb")
        self.storage = Results(s3=self.s3, config_bucket="", results_bucket="results")
        self.topic = Topic(SETTINGS.topic_arn, config=config)
        self.functions: Any = Functions()
        self._functions: Any = FakeClient("lambda", lambda: self.functions, config)
        self.ledger = Ledger(make_table(self.dynamodb))
        self.s3.create_bucket(Bucket="results")
        self.logs.create_log_group(logGroupName="/parris/training")

    @property
    def clients(self) -> list[Any]:
        """What the function calls AWS with."""
        aws = (self.s3, self.cloudformation, self.ec2, self.logs, self.dynamodb)
        return [*aws, self.topic.sns, self._functions]

    def run(self, name: str, *, deadline: str = LATER, **receipt: Any) -> str:
        """Make a run with its stack and machine; return the machine's id."""
        key = f"runs/job/{run_id(name)}/run.json"
        stack_id = self.stack(name, deadline, keep=str(receipt.get("keep-stack", "never")))
        body = {
            "run-id": run_id(name),
            "job": "job",
            "state": "accepted",
            "stack-name": name,
            "stack-id": stack_id,
            "deadline": deadline,
            "claimed": "2026-11-24T11:00:00Z",
            "log-group": "/parris/training",
            "price": {"hourly-usd": "0.36"},
            **receipt,
        }
        self.s3.put_object(Bucket="results", Key=key, Body=json.dumps(body).encode())
        tags: Any = [
            {"Key": "parris:deployment", "Value": "parris"},
            {"Key": "parris:job", "Value": "job"},
            {"Key": "parris:run-id", "Value": run_id(name)},
            {"Key": "parris:stack", "Value": stack_id},
        ]
        answer = self.ec2.run_instances(
            ImageId=IMAGE,
            MinCount=1,
            MaxCount=1,
            TagSpecifications=[{"ResourceType": "instance", "Tags": tags}],
        )
        return answer["Instances"][0]["InstanceId"]

    def stack(
        self, name: str, deadline: str, deployment: str = "parris", keep: str = "never"
    ) -> str:
        """Make a stack; without `keep` as an earlier version did, whose tags say nothing of it."""
        kept: Any = [{"Key": KEEP_TAG, "Value": keep}] if keep else []
        return self.cloudformation.create_stack(
            StackName=name,
            TemplateBody=TEMPLATE,
            Parameters=[{"ParameterKey": "Deadline", "ParameterValue": deadline}],
            Tags=[
                {"Key": "parris:deployment", "Value": deployment},
                {"Key": "parris:job", "Value": "job"},
                {"Key": "parris:run-id", "Value": run_id(name)},
                {"Key": "parris:deadline", "Value": LATER},
                *kept,
            ],
        )["StackId"]

    def reap(self, event: dict[str, Any] | None = None, now: datetime = NOW) -> dict[str, Any]:
        return make_reaper(
            settings=SETTINGS,
            storage=self.storage,
            ledger=self.ledger,
            notifier=Notifier(
                sns=lambda: self.topic.sns,
                topic_arn=SETTINGS.topic_arn,
                told=Told(table=self.ledger.table, now=now),
            ),
            launches=Launches(
                functions=lambda: self._functions,
                logs=self.logs,
                function_arn=SETTINGS.launch_function_arn,
                iot_log_group=SETTINGS.iot_log_group,
            ),
            cloudformation=self.cloudformation,
            ec2=self.ec2,
            now=now,
        ).reap(event or {})

    def end(self, name: str, instance_id: str, **outcome: Any) -> None:
        """Store what the run's machine says of its end, in its own folder."""
        said = {
            "run-id": run_id(name),
            "job": "job",
            "state": "succeeded",
            "reason": "",
            "ended-by": "trainer",
            **outcome,
        }
        self.write(name, instance_id, json.dumps(said).encode())

    def write(self, name: str, instance_id: str, body: bytes, file: str = "outcome.json") -> None:
        key = f"runs/job/{run_id(name)}/machines/{ROLE_ID}:{instance_id}/{file}"
        self.s3.put_object(Bucket="results", Key=key, Body=body)

    def outcome(self, name: str) -> dict[str, Any]:
        body = self.s3.get_object(Bucket="results", Key=outcome_key(name))["Body"]
        read: dict[str, Any] = json.loads(body.read())
        return read

    def stacks(self) -> set[str]:
        return {stack["StackName"] for stack in self.cloudformation.describe_stacks()["Stacks"]}

    def stack_id(self, name: str) -> str:
        return self.cloudformation.describe_stacks(StackName=name)["Stacks"][0]["StackId"]


def stack_event(stack_id: str, token: str = "", status: str = "DELETE_COMPLETE") -> dict[str, Any]:
    said = {"status": status, "status-reason": ""}
    detail = {"stack-id": stack_id, "status-details": said, "client-request-token": token}
    return {"source": "aws.cloudformation", "detail": detail}


def machine_event(instance_id: str) -> dict[str, Any]:
    return {"source": "aws.ec2", "detail": {"instance-id": instance_id, "state": "terminated"}}


def show(monkeypatch: pytest.MonkeyPatch, *stacks: Any) -> None:
    """Let CloudFormation say that there are these stacks, which moto cannot make."""
    by_id = {stack["StackId"]: stack for stack in stacks}
    monkeypatch.setattr("parris.reap.reconcile.list_stacks", lambda *_: list(stacks))
    monkeypatch.setattr("parris.reap.review.read_stack", lambda _, name: by_id.get(name))
