"""A second deployment in the same account and region, which stands while all of e2e runs in one.

Whatever the first one does, by clicks, messages, sweeps, clean-stacks or a destroy, must leave the
neighbour's live run, its objects and its functions alone.
"""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3

from scripts.local import cloud

PREFIX = "parris-2"
"""It begins as the first one's, "parris": a grant to `parris-*` would reach it."""

TAG = ("team", "vision")
PATH = "/teams/vision/"
BOUNDARY = "neighbours"
"""Name of the policy that bounds its roles."""

JOB = "neighbour"
STACK = "neighbour-stack"

_VARIABLES: dict[str, Any] = {
    "name_prefix": PREFIX,
    # What the clone's own terraform.tfvars gives the first deployment is not the neighbour's.
    "schedules": {},
    "data_triggers": {},
    "button_jobs": {},
    "force_destroy": True,
    # The provider waits most of a minute for these (scripts/deployment/terraform.py).
    **dict.fromkeys(("abort_uploads_days", "expire_versions_days", "expire_events_days")),
    "expire_setups_days": None,
    # What a platform team asks for: its run is launched under all of it.
    "tags": dict([TAG]),
    "iam_path": PATH,
    "allowed_instance_types": ["t3.*"],
    "allowed_image_owners": ["amazon"],
}
_CONFIG = {"training-job-name": STACK, "termination-method": "at-fixed-time", "time-limit": 120}
_SCRIPT = "#!/bin/bash\necho neighbour > $PARRIS_OUTPUT_DIR/x\nsleep 7200\n"


@dataclass(frozen=True, kw_only=True)
class Neighbour:
    """A deployment named PREFIX, its options on, with one run under way."""

    environ: Mapping[str, str]
    outputs: Mapping[str, Any]
    run_id: str
    stack_id: str

    def client(self, service: str) -> Any:
        return client(self.environ, service)

    def changes(self) -> list[str]:
        """Return what somebody has done to it since it was made, in words; nothing is right."""
        found = []
        stack = self.client("cloudformation").describe_stacks(StackName=self.stack_id)["Stacks"][0]
        if stack["StackStatus"] != "CREATE_COMPLETE":
            found.append(f"its stack is {stack['StackStatus']}")
        outputs = {item["OutputKey"]: item["OutputValue"] for item in stack["Outputs"]}
        answer = self.client("ec2").describe_instances(InstanceIds=[outputs["InstanceId"]])
        state = answer["Reservations"][0]["Instances"][0]["State"]["Name"]
        if state != "running":
            found.append(f"its machine is {state}")
        s3, bucket = self.client("s3"), self.outputs["results_bucket"]
        pages = s3.get_paginator("list_objects_v2").paginate(Bucket=bucket)
        runs = {tuple(key.split("/")[:3]) for page in pages for key in _keys(page)}
        if others := {run for run in runs if run[0] == "runs"} - {("runs", JOB, self.run_id)}:
            found.append(f"it has runs that it did not start: {sorted(others)}")
        prefix = f"runs/{JOB}/{self.run_id}/"
        receipt = json.loads(s3.get_object(Bucket=bucket, Key=f"{prefix}run.json")["Body"].read())
        if "stop" in receipt:
            found.append(f"somebody asked its run to stop: {receipt['stop']}")
        if s3.list_objects_v2(Bucket=bucket, Prefix=f"{prefix}outcome.json")["KeyCount"]:
            found.append("somebody wrote its run's outcome")
        return found


def deploy(folder: Path, state: Path) -> Neighbour:
    """Apply the module of the clone in `folder` a second time, beside what is deployed there."""
    home = folder / ".parris" / "local"
    environ = cloud.local_environ(os.environ, home) | {"TF_DATA_DIR": str(home / "terraform")}
    variables = state.with_suffix(".tfvars.json")
    document = {"Statement": {"Effect": "Allow", "Action": "*", "Resource": "*"}}
    boundary = client(environ, "iam").create_policy(
        PolicyName=BOUNDARY, PolicyDocument=json.dumps(document)
    )
    variables.write_text(
        json.dumps(_VARIABLES | {"permissions_boundary_arn": boundary["Policy"]["Arn"]})
    )
    _terraform(folder, environ, "apply", "-auto-approve", f"-var-file={variables}", state)
    said = json.loads(_terraform(folder, environ, "output", "-json", state))
    outputs = {name: item["value"] for name, item in said.items()}
    s3 = client(environ, "s3")
    files = {"training-config.json": json.dumps(_CONFIG), "trainer-script.sh": _SCRIPT}
    for name, content in files.items():
        key = f"jobs/{JOB}/{name}"
        s3.put_object(Bucket=outputs["config_bucket"], Key=key, Body=content.encode())
    answer = client(environ, "lambda").invoke(
        FunctionName=outputs["launch_function"], Payload=json.dumps({"job": JOB}).encode()
    )
    launched = json.loads(answer["Payload"].read())
    client(environ, "cloudformation").get_waiter("stack_create_complete").wait(
        StackName=STACK, WaiterConfig={"Delay": 1, "MaxAttempts": 60}
    )
    return Neighbour(
        environ=environ,
        outputs=outputs,
        run_id=launched["run-id"],
        stack_id=launched["stack-id"],
    )


def client(environ: Mapping[str, str], service: str) -> Any:
    return boto3.client(  # type: ignore[call-overload]
        service,
        endpoint_url=environ["AWS_ENDPOINT_URL"],
        region_name=environ["AWS_REGION"],
        aws_access_key_id=environ["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=environ["AWS_SECRET_ACCESS_KEY"],
    )


def _terraform(folder: Path, environ: Mapping[str, str], *arguments: str | Path) -> str:
    *words, state = arguments
    result = subprocess.run(
        ["terraform", *words, "-no-color", f"-state={state}"],
        cwd=folder,
        env=dict(environ),
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stdout + result.stderr
    return result.stdout


def _keys(page: Mapping[str, Any]) -> list[str]:
    return [item["Key"] for item in page.get("Contents", [])]
