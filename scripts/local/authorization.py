"""Whether IAM lets a principal do something, asked in process.

Stands in for the authorization that AWS does of a service's own calls ("Policy evaluation logic",
IAM user guide), which MiniStack does only of requests over HTTP. The evaluator is MiniStack's.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ministack.core import iam_evaluator
from ministack.core.iam_actions import identity_denial_message
from ministack.core.responses import get_region
from ministack.services import iam, tagging

from scripts.local import authorizations

Context = Mapping[str, Any]
"""Condition keys of a request, ``aws:RequestTag/name``, and their values."""


class Denied(Exception):
    """IAM's refusal, in its words."""

    def __init__(self, principal: str, action: str, resource: str, explicit: bool) -> None:
        super().__init__(identity_denial_message(action, principal, resource, explicit))
        self.action = action


def session_arn(role_arn: str, session: str) -> str:
    """Return the ARN of a session of a role."""
    account, name = role_arn.split(":")[4], role_arn.rpartition("/")[2]
    return f"arn:aws:sts::{account}:assumed-role/{name}/{session}"


def decide(principal: str, action: str, resource: str, context: Context) -> str:
    """Return what IAM says of one action on one resource: ``Allow``, ``Deny`` or ``ImplicitDeny``.

    The principal's own policies and its boundary decide.

    Args:
        principal: ARN of an account's root, who may everything, a user, or a role's session.
    """
    account, kind, name = principal.split(":")[4], *_kind_and_name(principal)
    if kind == "root":
        return "Allow"
    if kind == "assumed-role":
        policies, store = iam_evaluator._gather_role_policies(name, account), iam._roles
    else:
        policies, store = iam_evaluator._gather_user_policies(name, account), iam._users
    keys = {"aws:tagkeys": None} | {key.lower(): value for key, value in context.items()}
    for tag, value in (tagging.resource_tags(resource) or {}).items():
        keys.setdefault(f"aws:resourcetag/{tag}".lower(), value)
    request = iam_evaluator.EvalContext(
        principal_arn=principal,
        principal_type="AssumedRole" if kind == "assumed-role" else "User",
        principal_account=account,
        action=action,
        resource_arn=resource,
        region=get_region(),
        service_context=keys,
    )
    boundary = iam_evaluator._permissions_boundary(store, name, account)
    return str(iam_evaluator.evaluate(request, policies, *boundary).decision)


def demand(principal: str, action: str, resource: str, context: Context) -> None:
    """Ask IAM for one action on one resource (see `decide`), and record what it says.

    Raises:
        Denied: unless it allows it.
    """
    decision = decide(principal, action, resource, context)
    if _kind_and_name(principal)[0] == "root":
        return
    allowed = decision == "Allow"
    said = "Allow" if allowed else "Deny"
    authorizations.record(authorizations.name_of(principal), action, resource, said)
    if not allowed:
        raise Denied(principal, action, resource, decision == "Deny")


def demand_of_caller(action: str, resource: str, context: Context) -> None:
    """Ask IAM for one action of whoever sent the request that is being served.

    Raises:
        Denied: as `demand`.
    """
    demand(iam_evaluator.caller_arn(), action, resource, context)


def _kind_and_name(principal: str) -> tuple[str, str]:
    """Return ``assumed-role`` and the role's name, ``user`` and the user's, or ``root``."""
    kind, _, rest = principal.split(":", 5)[5].partition("/")
    return kind, rest.split("/")[0] if kind == "assumed-role" else rest.rpartition("/")[2]
