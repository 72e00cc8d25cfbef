"""Make a bucket that a data trigger can watch: `parris bucket`."""

from __future__ import annotations

import ipaddress
import re
from typing import Any

from botocore.exceptions import ClientError

from scripts.cli import console
from scripts.cli.arguments import parse
from scripts.cli.console import Refused
from scripts.cli.which_cloud import hint
from scripts.deployment.outputs import Deployment, read_deployment

_NAME = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")
_CLOSED = {
    "BlockPublicAcls": True,
    "IgnorePublicAcls": True,
    "BlockPublicPolicy": True,
    "RestrictPublicBuckets": True,
}


def main(argv: list[str]) -> int:
    """Make the bucket unless it is there, and let it tell EventBridge of its objects."""
    options = parse("bucket", argv)
    name = options.name
    if problem := name_problem(name):
        raise Refused(f"NAME={name} {problem}, e.g. make bucket NAME=my-data")
    deployment = read_deployment()
    if name in (deployment.config_bucket, deployment.results_bucket):
        raise Refused(f"s3://{name} is the deployment's own; its data needs a bucket of its own")
    s3 = deployment.client("s3")
    made = not is_there(s3, deployment, name)
    if not made:
        print(f"s3://{name} is there already, in {deployment.region}; it stays as it is")
    else:
        create(s3, deployment, name)
        print(f"s3://{name} made in {deployment.region}, closed to the public")
    told = turn_on(s3, deployment, name)
    if told:
        print("from now on it tells EventBridge of its objects; what it told others it still tells")
    else:
        print("it tells EventBridge of its objects already; nothing changed")
    watched = any(trigger["bucket"] == name for trigger in deployment.data_triggers.values())
    if not watched:
        print(
            hint(
                "no data trigger watches it yet; write into terraform.tfvars: "
                f'data_triggers = {{ fresh = {{ bucket = "{name}", job = "…" }} }}; make deploy'
            )
        )
    if options.json:
        console.print_json(
            {
                "bucket": name,
                "region": deployment.region,
                "made": made,
                "told": told,
                "watched": watched,
            }
        )
    return 0


def name_problem(name: str) -> str:
    """Return what is wrong with a bucket's name, or nothing.

    The rules are those of the S3 user guide, "General purpose bucket naming rules".
    """
    if not name:
        return "is missing"
    if not _NAME.fullmatch(name) or ".." in name:
        return (
            "is not 3 to 63 lowercase letters, digits, hyphens and single dots, no mark at an end"
        )
    try:
        ipaddress.IPv4Address(name)
    except ValueError:
        return ""
    return "looks like an IP address"


def is_there(s3: Any, deployment: Deployment, name: str) -> bool:
    """Return whether this account has the bucket.

    Raises:
        Refused: if another account has it, or if it is in another region, whose EventBridge the
            deployment's rules do not hear.
    """
    try:
        # An account's name is checked by S3 (user guide, "Verifying bucket ownership").
        found = s3.head_bucket(Bucket=name, ExpectedBucketOwner=deployment.account_id)
    except ClientError as error:
        code = error.response["Error"]["Code"]
        if code in ("404", "NoSuchBucket"):
            return False
        if code in ("403", "AccessDenied"):
            raise Refused(_of_others(deployment, name)) from error
        raise
    headers = found["ResponseMetadata"]["HTTPHeaders"]
    region = headers.get("x-amz-bucket-region", deployment.region)
    if region != deployment.region:
        raise Refused(
            f"s3://{name} is in {region}, and its events stay there; the deployment hears those in "
            f"{deployment.region}. Take another name; nothing was changed"
        )
    return True


def create(s3: Any, deployment: Deployment, name: str) -> None:
    """Make the bucket in the deployment's region, closed to the public.

    Raises:
        Refused: if somebody else has the name.
    """
    # us-east-1 has no constraint to give (S3 API reference, CreateBucket).
    where: dict[str, Any] = {}
    if deployment.region != "us-east-1":
        where = {"CreateBucketConfiguration": {"LocationConstraint": deployment.region}}
    try:
        s3.create_bucket(Bucket=name, **where)
    except ClientError as error:
        if error.response["Error"]["Code"] != "BucketAlreadyExists":
            raise
        raise Refused(_of_others(deployment, name)) from error
    s3.put_public_access_block(
        Bucket=name,
        PublicAccessBlockConfiguration=_CLOSED,
        ExpectedBucketOwner=deployment.account_id,
    )


def turn_on(s3: Any, deployment: Deployment, name: str) -> bool:
    """Let the bucket tell EventBridge besides whom it tells already; False if it does.

    PutBucketNotificationConfiguration replaces the whole (S3 API reference), so what is there is
    written again.
    """
    owner = {"Bucket": name, "ExpectedBucketOwner": deployment.account_id}
    told = s3.get_bucket_notification_configuration(**owner)
    told.pop("ResponseMetadata")
    if "EventBridgeConfiguration" in told:
        return False
    s3.put_bucket_notification_configuration(
        **owner,
        NotificationConfiguration={**told, "EventBridgeConfiguration": {}},
        # The queues, topics and functions are as they were, and need no message to try them.
        SkipDestinationValidation=True,
    )
    return True


def _of_others(deployment: Deployment, name: str) -> str:
    return (
        f"s3://{name} belongs to another account than {deployment.account_id}, or these "
        "credentials may not see it; take another name; nothing was changed"
    )
