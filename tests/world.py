"""One deployment on moto: its buckets, its ledger, and both functions by a clock of the test's."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

import boto3
from botocore.config import Config
from moto.cloudformation.models import cloudformation_backends
from moto.ec2.models import ec2_backends

from parris.aws.ledger import Ledger
from parris.aws.results import Results
from parris.aws.storage import Storage
from parris.aws.told import Told
from parris.aws.topic import Notifier
from parris.launch.launch import launch
from parris.launch.prepare import Clients, Machine
from parris.reap.handler import make_reaper
from parris.reap.launches import Launches
from parris.runs.record import RunRecord
from parris.settings import ReapSettings
from tests.fake_client import FakeClient
from tests.ledger import make_table
from tests.notices import Topic
from tests.plans import NOW, SETTINGS
from tests.reap_world import IMAGE

PARAMETERS = (
    *("RunId", "Job", "Deployment", "ImageId", "InstanceType", "InstanceProfile", "Market"),
    *("MaxPrice", "VolumeSize", "SubnetId", "SecurityGroupId", "KeyName"),
    *("Deadline", "DeleteAt", "SchedulerRole", "ScheduleGroup"),
)

# moto cannot start an instance whose image is in a launch template (moto 5.2); what the machine
# looks like is for e2e, so this stack holds no more than a launch template.
TEMPLATE = json.dumps(
    {
        "Parameters": {name: {"Type": "String", "Default": ""} for name in PARAMETERS},
        "Resources": {
            "Machine": {
                "Type": "AWS::EC2::LaunchTemplate",
                "Properties": {
                    "LaunchTemplateData": {"InstanceType": "t3.micro"},
                    "VersionDescription": {"Ref": "RunId"},
                },
                "Metadata": {"user-data": "{{user-data}}"},
            }
        },
    }
)
BARE = '{"Resources": {"Topic": {"Type": "AWS::SNS::Topic"}}}'  # somebody else's
MACHINE = Machine(template=TEMPLATE, user_data="#!/bin/bash\ntrue\n")
EVENT = {"event-id": "e1", "time": "2026-11-24T11:00:00Z"}


def start_machine(ec2: Any, stack_id: str, tags: Mapping[str, str], at: datetime) -> str:
    """Start the machine that a run's stack would hold, whose tags are given; return its id."""
    names = ("parris:deployment", "parris:job", "parris:run-id", "parris:node")
    known = {name: tags[name] for name in names if name in tags}
    named: Any = [{"Key": key, "Value": value} for key, value in known.items()]
    [instance] = ec2.run_instances(
        ImageId=IMAGE,
        MinCount=1,
        MaxCount=1,
        TagSpecifications=[
            {
                "ResourceType": "instance",
                "Tags": [*named, {"Key": "parris:stack", "Value": stack_id}],
            }
        ],
    )["Instances"]
    held = ec2_backends["123456789012"]["us-east-1"].get_instance(instance["InstanceId"])
    held.launch_time = at
    return str(held.id)


class PriceList:
    """The AWS Price List, which moto lacks, for one machine and its volume, in its own shape."""

    def __init__(self) -> None:
        self.usd = {"instanceType": "0.0400", "volumeApiName": "0.0730"}

    def get_products(self, ServiceCode: str, Filters: Any) -> Any:  # noqa: N803 - boto3's names
        assert ServiceCode == "AmazonEC2"
        [usd] = [self.usd[item["Field"]] for item in Filters if item["Field"] in self.usd]
        dimension = {"unit": "Hrs", "pricePerUnit": {"USD": usd}}
        item = {"terms": {"OnDemand": {"A.B": {"priceDimensions": {"A.B.C": dimension}}}}}
        return {"PriceList": [json.dumps(item)] if usd else []}


class World:
    """The buckets of one deployment, and what a launch does to them."""

    def __init__(self, config: Config | None = None) -> None:
        """Make it; `config` is that of all its clients."""

        def client(service: Any) -> Any:
            return boto3.client(service, region_name="us-east-1", config=config)

        self.s3, self.cloudformation = client("s3"), client("cloudformation")
        self.scheduler = client("scheduler")
        self.scheduler.create_schedule_group(Name=SETTINGS.schedule_group)
        self.ssm, self.ec2, self.dynamodb = client("ssm"), client("ec2"), client("dynamodb")
        # Of CloudFormation, and of the logs: no fault is injected into what they call.
        self._ec2, self._logs = client("ec2"), client("logs")
        self.topic = Topic(SETTINGS.topic_arn, config=config)
        self.prices = PriceList()
        self.pricing: Any = FakeClient("pricing", lambda: self.prices, config)
        self.functions: Any = FakeClient("lambda", lambda: self, config)
        self.made: list[str] = []
        self.table = make_table(self.dynamodb)
        self.ledger = Ledger(self.table)
        self.sent: list[Any] = []
        """What the launch function has been sent, and has yet to get."""
        self.refused: list[Any] = []
        """The same of the reap function, from the launch function."""
        self.starts_machines = False
        """Whether a stack has its machine as soon as it is made or changed."""
        self.budget: Decimal | None = None
        """Of the month, in US dollars."""
        for bucket in ("parris-config", "parris-results"):
            self.s3.create_bucket(Bucket=bucket)
        self.s3.put_bucket_versioning(
            Bucket="parris-results", VersioningConfiguration={"Status": "Enabled"}
        )
        self.agent_version = self.upload_agent(b"print('this deployment')")
        self.put("training-config.json", '{"training-job-name": "one"}')
        self.put("trainer-script.sh", "#!/bin/bash\ntrue\n")

    @property
    def clients(self) -> list[Any]:
        """What the functions call AWS with."""
        aws = (self.s3, self.cloudformation, self.scheduler, self.ssm, self.ec2, self.dynamodb)
        return [*aws, self.topic.sns, self.pricing, self.functions]

    def put(self, key: str, body: str) -> None:
        self.s3.put_object(Bucket="parris-config", Key=key, Body=body.encode())

    def upload_agent(self, program: bytes) -> str:
        """Upload the machine's supervisor as Terraform does, and return its version."""
        answer = self.s3.put_object(Bucket="parris-results", Key="agent.pyz", Body=program)
        return str(answer["VersionId"])

    def launch(
        self, event: Mapping[str, Any] | None = None, minutes: float = 0, **settings: Any
    ) -> Mapping[str, Any]:
        def storage() -> Storage:
            self.made.append("s3")
            return Storage(
                s3=self.s3, config_bucket="parris-config", results_bucket="parris-results"
            )

        def cloudformation() -> Any:
            self.made.append("cloudformation")
            return self.cloudformation

        def ssm() -> Any:
            self.made.append("ssm")
            return self.ssm

        def ec2() -> Any:
            self.made.append("ec2")
            return self.ec2

        before = self._changes()
        try:
            return launch(
                EVENT if event is None else event,
                "request-1",
                settings=replace(
                    SETTINGS,
                    agent_version=self.agent_version,
                    **{"monthly_budget_usd": self.budget, **settings},
                ),
                clients=Clients(
                    storage=storage,
                    dynamodb=lambda: self.dynamodb,
                    cloudformation=cloudformation,
                    ssm=ssm,
                    pricing=lambda: self.pricing,
                    ec2=ec2,
                    sns=lambda: self.topic.sns,
                    scheduler=lambda: self.scheduler,
                    functions=lambda: self.functions,
                ),
                machine=MACHINE,
                now=NOW + timedelta(minutes=minutes),
            )
        finally:
            self._changed(before, minutes)

    def _changed(self, before: dict[Any, int], minutes: float) -> None:
        """Let what happened to stacks since `before` have happened by the test's clock."""
        at = NOW + timedelta(minutes=minutes)
        for stack, changes in self._changes().items():
            if before.get(stack) == changes:
                continue
            stack.creation_time = at.replace(tzinfo=None)
            if self.starts_machines and stack.status.endswith("_COMPLETE"):
                start_machine(self._ec2, stack.stack_id, stack.tags, at)

    def _changes(self) -> dict[Any, int]:
        """Return how often each stack was changed; moto's own time of that is the wall clock's."""
        stacks = cloudformation_backends["123456789012"]["us-east-1"].stacks
        return {stack: len(stack.events) for stack in stacks.values()}

    def reap(self, minutes: float = 0, event: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """Let the reap function sweep, or look at what `event` names."""
        now = NOW + timedelta(minutes=minutes)
        return make_reaper(
            settings=ReapSettings(
                deployment=SETTINGS.deployment,
                results_bucket="parris-results",
                ledger_table=self.table.name,
                overdue=timedelta(minutes=5),
                grace=timedelta(minutes=15),
                monthly_budget_usd=self.budget,
                topic_arn=SETTINGS.topic_arn,
                launch_function_arn="parris-launch",
                iot_log_group="/parris/iot-errors",
            ),
            storage=Results(s3=self.s3, config_bucket="", results_bucket="parris-results"),
            ledger=self.ledger,
            notifier=Notifier(
                sns=lambda: self.topic.sns,
                topic_arn=SETTINGS.topic_arn,
                told=Told(table=self.table, now=now),
            ),
            launches=Launches(
                functions=lambda: self.functions,
                logs=self._logs,
                function_arn="parris-launch",
                iot_log_group="/parris/iot-errors",
            ),
            cloudformation=self.cloudformation,
            ec2=self.ec2,
            now=now,
        ).reap(event or {})

    def invoke(self, *, FunctionName: str, InvocationType: str, Payload: bytes) -> Any:  # noqa: N803
        """Lambda's Invoke as the functions call each other: keep what was sent."""
        assert InvocationType == "Event"
        to = {"parris-launch": self.sent, SETTINGS.reap_function_arn: self.refused}
        to[FunctionName].append(json.loads(Payload))
        return {"StatusCode": 202}

    def record(self, run_id: str, job: str = "default") -> RunRecord:
        found = self.ledger.read(job, run_id)
        assert found is not None
        return found

    def receipt(self, run_id: str, job: str = "default") -> dict[str, Any]:
        key = f"runs/{job}/{run_id}/run.json"
        read: dict[str, Any] = json.loads(
            self.s3.get_object(Bucket="parris-results", Key=key)["Body"].read()
        )
        return read

    def objects(self) -> set[str]:
        found = self.s3.list_objects_v2(Bucket="parris-results").get("Contents", [])
        return {item["Key"] for item in found if item["Key"].startswith("runs/")}

    def stacks(self) -> list[dict[str, Any]]:
        return [dict(stack) for stack in self.cloudformation.describe_stacks()["Stacks"]]
