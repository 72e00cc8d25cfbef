"""Remove the deployment: `parris destroy`. Refused while training stacks stand."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from botocore.exceptions import ClientError

from parris.aws.stacks import stack_tags
from parris.aws.storage import AGENT_KEY
from parris.runs.budget import cost
from parris.runs.times import read_time
from scripts.cli import console
from scripts.cli.arguments import parse
from scripts.cli.console import Refused
from scripts.cli.which_cloud import LOCAL_HOME, hint, is_local
from scripts.cli.words import counted
from scripts.commands import clean_stacks
from scripts.deployment import terraform
from scripts.deployment.outputs import ROOT, Deployment, make_client, read_deployment
from scripts.deployment.runs import Run, list_stacks, read_runs


def main(argv: list[str]) -> int:
    """Say what stands in the way and what it costs, offer to end it, then terraform destroy."""
    options = parse("destroy", argv)
    try:
        deployment: Deployment | None = read_deployment()
    except Refused:
        deployment = None  # nothing is deployed; terraform says so itself
    if deployment is not None and (stacks := list_stacks(deployment)):
        under_way = [stack for stack in stacks if stack["StackStatus"] == "DELETE_IN_PROGRESS"]
        if len(under_way) < len(stacks):
            _offer(deployment)
        print("waiting for stacks that are being deleted", flush=True)
        if failed := clean_stacks.wait_until_gone(deployment, list_stacks(deployment)):
            raise Refused(f"stacks that are still there: {failed}; run make clean-stacks ALL=1")
    state = _read_state()
    _refuse_to_lose(state)
    tables = _protected_tables(state)
    _protect(tables, False)
    try:
        return terraform.main(["destroy", *terraform.flags(options), *options.more])
    finally:
        _protect(tables, True)  # of what is left because somebody said no, or Terraform failed


def _offer(deployment: Deployment) -> None:
    """List the runs whose stacks stand and offer to end them.

    Raises:
        Refused: if nobody wants that, or nobody is there to ask.
    """
    stacks = list_stacks(deployment)
    tagged = [stack_tags(stack) for stack in stacks]
    keys = [(tags.get("parris:job", ""), tags.get("parris:run-id", "")) for tags in tagged]
    names = ", ".join(stack["StackName"] for stack in stacks)
    print("These stacks need the deployment's roles, to end their machines and to be deleted:")
    for stack, run in zip(stacks, read_runs(deployment, keys, stacks), strict=True):
        print(f"  {stack['StackName']}: run {run.run_id} is {run.state}{_spent(run)}")
    command = "make clean-stacks ALL=1"
    if not sys.stdin.isatty():
        standing = counted(len(stacks), "stack stands", "stacks stand")
        raise Refused(f"{standing}: {names}; run {command} first")
    question = f"Run {hint(command)} now? What runs is ended, results are kept. Type yes: "
    if console.answer(question) != "yes":
        raise Refused("nothing was destroyed")
    if clean_stacks.main(["--all", "--yes", "--wait"]) != 0:
        raise Refused("not every stack is gone; nothing was destroyed")


def _read_state() -> list[Mapping[str, Any]]:
    """Return the resources of Terraform's state; nothing if there is none that can be read.

    Then terraform destroy says why better than we could.
    """
    result = subprocess.run(
        ["terraform", "show", "-json", "-no-color", *_state_file()],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    if result.returncode:
        return []
    values = json.loads(result.stdout).get("values") or {}
    resources: list[Mapping[str, Any]] = values.get("root_module", {}).get("resources", [])
    return resources


def _protected_tables(state: list[Mapping[str, Any]]) -> list[tuple[Any, str]]:
    """Return a client and a name for each ledger that DynamoDB protects.

    What the state says of that is what Terraform saw last, perhaps while it was lifted.
    """
    tables = [one["values"] for one in state if one["type"] == "aws_dynamodb_table"]
    clients = [(make_client("dynamodb", one["arn"].split(":")[3]), one["name"]) for one in tables]
    return [(client, name) for client, name in clients if _is_protected(client, name)]


def _is_protected(client: Any, name: str) -> bool:
    try:
        table = client.describe_table(TableName=name)["Table"]
    except client.exceptions.ResourceNotFoundException:
        return False
    return table["TableStatus"] == "ACTIVE" and bool(table.get("DeletionProtectionEnabled"))


def _protect(tables: list[tuple[Any, str]], protect: bool) -> None:
    """Let Terraform delete a ledger beside buckets that hold nothing, or protect it again."""
    for client, name in tables:
        gone = client.exceptions.ResourceNotFoundException, client.exceptions.ResourceInUseException
        with contextlib.suppress(*gone):  # or it is being deleted
            client.update_table(TableName=name, DeletionProtectionEnabled=protect)
            client.get_waiter("table_exists").wait(TableName=name)


def _refuse_to_lose(state: list[Mapping[str, Any]]) -> None:
    """Stop a destroy that terraform would only stop halfway, at a bucket that is not empty.

    By then the function, the roles and the buckets' own protection would be gone.

    Raises:
        Refused: with the buckets, if one holds objects and force_destroy was not applied.
    """
    kept = [
        resource["values"]
        for resource in state
        if resource["type"] == "aws_s3_bucket" and not resource["values"]["force_destroy"]
    ]
    held = [bucket["bucket"] for bucket in kept if _holds_anything(bucket)]
    if held:
        lines = "\n".join(f"  s3://{name} is not empty" for name in held)
        raise Refused(
            f"nothing was destroyed, since what is stored would be lost\n{lines}\n"
            "Save what you want to keep (make results, or aws s3 sync). To delete the rest, write\n"
            "force_destroy = true into terraform.tfvars; then make deploy and make destroy."
        )


def _state_file() -> list[str]:
    return [str(LOCAL_HOME / "terraform.tfstate")] if is_local() else []


def _holds_anything(bucket: Mapping[str, Any]) -> bool:
    """Return whether the bucket holds any version of what terraform did not put there itself.

    A bucket that is gone holds nothing.
    """
    pages = make_client("s3", bucket["region"]).get_paginator("list_object_versions")
    try:
        return any(
            item["Key"] != AGENT_KEY
            for page in pages.paginate(Bucket=bucket["bucket"])
            for item in (*page.get("Versions", []), *page.get("DeleteMarkers", []))
        )
    except ClientError as error:
        if error.response["Error"]["Code"] != "NoSuchBucket":
            raise
        return False


def _spent(run: Run) -> str:
    """Return what a live run has cost and goes on costing, as far as its price is known."""
    price = run.receipt.get("price")
    claimed = read_time(run.receipt.get("claimed"))
    if run.is_over or not price or claimed is None:
        return ""
    spent = cost(run.receipt, claimed, datetime.now(UTC))
    return f", {spent:.2f} US dollars so far, {float(price['hourly-usd']):.4f} an hour"
