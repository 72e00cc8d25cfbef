"""An embedded cloud for the tests of the embedded cloud itself, and clients to look at it."""

from __future__ import annotations

import base64
import io
import json
import time
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import boto3

from scripts.local import cloud as embedded
from scripts.local import processes

IMAGE_PARAMETER = "/aws/service/ami-amazon-linux-latest/al2023-ami-kernel-default-x86_64"
Found = TypeVar("Found")


def eventually(find: Callable[[], Found], what: str, seconds: float = 30) -> Found:
    """Return what `find` finds as soon as it finds something."""
    limit = time.monotonic() + seconds
    while time.monotonic() < limit:
        if found := find():
            return found
        time.sleep(0.1)
    raise AssertionError(f"not within {seconds} s: {what}")


class World:
    """Clients, a role for instances, and the stacks a test makes."""

    def __init__(self, home: Path) -> None:
        self.home = home
        ours = embedded.environment(home)
        session = boto3.Session(
            aws_access_key_id=ours["AWS_ACCESS_KEY_ID"],
            aws_secret_access_key=ours["AWS_SECRET_ACCESS_KEY"],
            region_name=ours["AWS_REGION"],
        )
        endpoint = ours["AWS_ENDPOINT_URL"]
        self.s3 = session.client("s3", endpoint_url=endpoint)
        self.ec2 = session.client("ec2", endpoint_url=endpoint)
        self.iam = session.client("iam", endpoint_url=endpoint)
        self.ssm = session.client("ssm", endpoint_url=endpoint)
        self.events = session.client("events", endpoint_url=endpoint)
        self.functions = session.client("lambda", endpoint_url=endpoint)
        self.sqs = session.client("sqs", endpoint_url=endpoint)
        self.cloudformation = session.client("cloudformation", endpoint_url=endpoint)
        self.scheduler = session.client("scheduler", endpoint_url=endpoint)

    def prepare(self) -> None:
        """Make two buckets, and a role for instances that may write one of them."""
        for bucket in ("results", "secrets"):
            self.s3.create_bucket(Bucket=bucket)
        trust = {
            "Effect": "Allow",
            "Principal": {"Service": "ec2.amazonaws.com"},
            "Action": "sts:AssumeRole",
        }
        grant = {
            "Effect": "Allow",
            "Action": ["s3:PutObject", "s3:GetObject"],
            "Resource": "arn:aws:s3:::results/*",
        }
        self.iam.create_role(
            RoleName="machine", AssumeRolePolicyDocument=json.dumps({"Statement": [trust]})
        )
        self.iam.put_role_policy(
            RoleName="machine", PolicyName="write", PolicyDocument=json.dumps({"Statement": grant})
        )
        self.iam.create_instance_profile(InstanceProfileName="machine")
        self.iam.add_role_to_instance_profile(InstanceProfileName="machine", RoleName="machine")

    def launch(self, name: str, script: str, **data: Any) -> str:
        """Create a stack whose instance runs `script`; return the instance's id."""
        self.cloudformation.create_stack(
            StackName=name,
            TemplateBody=template(script, **data),
            Tags=[{"Key": "parris:job", "Value": name}],
        )
        self.cloudformation.get_waiter("stack_create_complete").wait(
            StackName=name, WaiterConfig={"Delay": 1, "MaxAttempts": 60}
        )
        return self.instance_of(name)

    def call_function(self, source: bytes) -> bytes:
        """Make a Lambda function of `source` and call it."""
        package = io.BytesIO()
        with zipfile.ZipFile(package, "w") as archive:
            archive.writestr("function.py", source)
        self.functions.create_function(
            FunctionName="function",
            Runtime="python3.13",
            Role="arn:aws:iam::000000000000:role/machine",
            Handler="function.handle",
            Code={"ZipFile": package.getvalue()},
        )
        return self.functions.invoke(FunctionName="function")["Payload"].read()

    def instance_of(self, stack: str) -> str:
        outputs = self.cloudformation.describe_stacks(StackName=stack)["Stacks"][0]["Outputs"]
        return str(outputs[0]["OutputValue"])

    def describe(self, instance: str) -> dict[str, Any]:
        answer = self.ec2.describe_instances(InstanceIds=[instance])
        return dict(answer["Reservations"][0]["Instances"][0])

    def state(self, instance: str) -> str:
        return str(self.describe(instance)["State"]["Name"])

    def wait_for_state(self, instance: str, state: str) -> None:
        try:
            eventually(lambda: self.state(instance) == state, f"{instance} {state}")
        except AssertionError as error:
            error.add_note(self.console(instance))
            raise

    def read(self, key: str, bucket: str = "results") -> str | None:
        try:
            return self.s3.get_object(Bucket=bucket, Key=key)["Body"].read().decode()
        except self.s3.exceptions.NoSuchKey:
            return None

    def console(self, instance: str) -> str:
        # The CLI and boto3 decode the output themselves.
        return str(self.ec2.get_console_output(InstanceId=instance).get("Output", ""))

    def wait_for_console(self, instance: str, text: str) -> None:
        eventually(lambda: text in self.console(instance), f"{text!r} on the console")

    def alive(self, instance: str) -> set[int]:
        return processes.of_instance(instance)


def template(script: str, *, instance: dict[str, Any] | None = None, **data: Any) -> str:
    """Return a template on the pattern of the training stack, with `script` as user data."""
    launch = {
        "ImageId": f"{{{{resolve:ssm:{IMAGE_PARAMETER}}}}}",
        "InstanceType": "m5.large",
        "UserData": base64.b64encode(script.encode()).decode(),
        "IamInstanceProfile": {"Name": "machine"},
        "InstanceInitiatedShutdownBehavior": "terminate",
        "MetadataOptions": {"HttpTokens": "required", "HttpPutResponseHopLimit": 2},
        "BlockDeviceMappings": [
            {
                "DeviceName": "/dev/xvda",
                "Ebs": {"VolumeType": "gp3", "VolumeSize": 30, "Encrypted": True},
            }
        ],
        "TagSpecifications": [
            {"ResourceType": kind, "Tags": [{"Key": "Name", "Value": f"a {kind}"}]}
            for kind in ("instance", "volume")
        ],
    } | data
    machine = {"Type": "AWS::EC2::LaunchTemplate", "Properties": {"LaunchTemplateData": launch}}
    version = {
        "LaunchTemplateId": {"Ref": "Machine"},
        "Version": {"Fn::GetAtt": ["Machine", "LatestVersionNumber"]},
    }
    return json.dumps(
        {
            "Resources": {
                "Machine": machine,
                "Instance": {
                    "Type": "AWS::EC2::Instance",
                    "Properties": {"LaunchTemplate": version, **(instance or {})},
                },
            },
            "Outputs": {"InstanceId": {"Value": {"Ref": "Instance"}}},
        }
    )
