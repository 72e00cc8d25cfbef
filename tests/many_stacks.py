"""Stacks of runs that are over, by the hundred, on an embedded cloud that has no functions."""

from __future__ import annotations

import contextlib
import json
from concurrent.futures import ThreadPoolExecutor

from scripts.deployment.outputs import Deployment
from tests.ledger import make_table

TEMPLATE = json.dumps({"Resources": {"H": {"Type": "AWS::CloudFormation::WaitConditionHandle"}}})


def make_runs(name: str, count: int) -> Deployment:
    """Make `count` finished runs with a stack each, and return the deployment they belong to."""
    deployment = Deployment(
        deployment=name,
        region="us-east-1",
        account_id="000000000000",
        config_bucket=f"{name}-config",
        results_bucket=f"{name}-results",
        ledger_table=f"{name}-ledger",
        launch_function="",
        launch_role_arn="",
        instance_role_arn="",
        launch_settings={},
        reap_function="",
        max_run_hours=24,
        grace_minutes=15,
        instance_profiles=[],
        training_log_group=f"/{name}/training",
        schedules={},
        data_triggers={},
        iot_topic=None,
        launch_topic=None,
    )
    s3, cloudformation = deployment.client("s3"), deployment.client("cloudformation")
    s3.create_bucket(Bucket=deployment.results_bucket)  # again is no error for its owner
    with contextlib.suppress(deployment.client("dynamodb").exceptions.ResourceInUseException):
        make_table(deployment.client("dynamodb"), deployment.ledger_table)

    def make(number: int) -> None:
        run_id = f"r-{number:016d}"
        tags = {"parris:deployment": name, "parris:job": "many", "parris:run-id": run_id}
        cloudformation.create_stack(
            StackName=f"{name}-{number}",
            TemplateBody=TEMPLATE,
            Tags=[{"Key": key, "Value": value} for key, value in tags.items()],
        )
        outcome = {"run-id": run_id, "job": "many", "state": "succeeded"}
        for file, body in (("run.json", {}), ("outcome.json", outcome)):
            key = f"runs/many/{run_id}/{file}"
            s3.put_object(Bucket=deployment.results_bucket, Key=key, Body=json.dumps(body).encode())

    with ThreadPoolExecutor(max_workers=8) as pool:
        list(pool.map(make, range(count)))
    return deployment
