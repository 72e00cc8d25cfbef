"""Sessions of roles that an AWS service takes on by itself, as EC2 and EventBridge Scheduler do.

Stands in for the AssumeRole call of a service principal ("AWS service principals", IAM user guide;
"AssumeRole", STS API reference). What the session may do, the cloud's IAM decides at each call.
"""

from __future__ import annotations

import json
import time
from typing import Any

from ministack.core import iam_evaluator
from ministack.core.responses import get_region
from ministack.services import iam, sts


def trusts(role: dict[str, Any], service: str, source: str = "") -> bool:
    """Return whether a role's trust policy lets a service, ``ec2.amazonaws.com``, assume it.

    Args:
        source: ARN of what the service acts for, which is of the role's own account here; empty
            if the service names none ("The confused deputy problem", IAM user guide).
    """
    keys: dict[str, Any] = {}
    if source:
        keys = {"aws:sourcearn": source, "aws:sourceaccount": role["Arn"].split(":")[4]}
    request = iam_evaluator.EvalContext(
        principal_arn=service,
        principal_type="Service",
        principal_account="",
        action="sts:AssumeRole",
        resource_arn=role["Arn"],
        region=get_region(),
        service_context=keys,
    )
    statements = json.loads(role["AssumeRolePolicyDocument"])["Statement"]
    for statement in [statements] if isinstance(statements, dict) else statements:
        principal = statement.get("Principal")
        services = principal.get("Service", []) if isinstance(principal, dict) else []
        allowed = [services] if isinstance(services, str) else services
        if (
            statement.get("Effect") == "Allow"
            and service in allowed
            and iam_evaluator._conditions_met(statement.get("Condition") or {}, request)
        ):
            return True
    return False


def assume(role: dict[str, Any], session: str, seconds: float) -> dict[str, str]:
    """Return credentials of a new session: ``AccessKeyId``, ``SecretAccessKey``, ``Token``."""
    account = role["Arn"].split(":")[4]
    credentials = {
        "AccessKeyId": iam._gen_session_access_key(),
        "SecretAccessKey": iam._gen_secret(),
        "Token": iam._gen_session_token(),
    }
    sts.register_session(
        credentials["AccessKeyId"],
        {
            "Arn": f"arn:aws:sts::{account}:assumed-role/{role['RoleName']}/{session}",
            "UserId": f"{role['RoleId']}:{session}",
            "SecretAccessKey": credentials["SecretAccessKey"],
            "SessionToken": credentials["Token"],
            "Expiration": time.time() + seconds,
            "AccountId": account,
            "PrincipalType": "AssumedRole",
        },
    )
    return credentials
