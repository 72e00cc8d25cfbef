"""What AWS asks of a caller besides the action it called.

CreateStack, UpdateStack and DeleteStack with a RoleARN, CreateSchedule and CreateTopicRule hand a
role to a service, for which the caller needs iam:PassRole ("Granting a user permissions to pass a
role to an AWS service", IAM user guide). DescribeStacks without a name needs
cloudformation:ListStacks too (CloudFormation API reference, "DescribeStacks", StackName).
MiniStack asks for none of them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from ministack.core.responses import error_response_json
from ministack.services import iot, scheduler
from ministack.services.cloudformation import handlers, helpers

from scripts.local import stack_role
from scripts.local.authorization import Denied, demand_of_caller

_Answer = tuple[int, dict[str, str], bytes]
_FORBIDDEN = 403


def register() -> None:
    """Put these demands before the actions."""
    actions = handlers._ACTION_HANDLERS
    for name in ("CreateStack", "UpdateStack", "DeleteStack"):
        actions[name] = _with_role(actions[name])
    actions["DescribeStacks"] = _listing(actions["DescribeStacks"])
    scheduler._create_schedule = _scheduling(scheduler._create_schedule)
    scheduler._update_schedule = _scheduling(scheduler._update_schedule)
    for name in ("_create_topic_rule", "_replace_topic_rule"):
        setattr(iot, name, _rule_making(getattr(iot, name)))


def pass_role(role_arn: str, service: str) -> None:
    """Demand of the caller that it may hand a role to a service.

    Raises:
        Denied: if it may not.
    """
    demand_of_caller("iam:PassRole", role_arn, {"iam:PassedToService": service})


def _with_role(action: Callable[[dict[str, Any]], _Answer]) -> Callable[..., _Answer]:
    def with_role(parameters: dict[str, Any]) -> _Answer:
        if role := helpers._p(parameters, "RoleARN"):
            try:
                pass_role(role, "cloudformation.amazonaws.com")
            except Denied as denied:
                return _refused_in_xml(denied)
        return action(parameters)

    return with_role


def _listing(action: Callable[[dict[str, Any]], _Answer]) -> Callable[..., _Answer]:
    def describe_stacks(parameters: dict[str, Any]) -> _Answer:
        if not helpers._p(parameters, "StackName"):
            try:
                demand_of_caller("cloudformation:ListStacks", "*", {})
            except Denied as denied:
                return _refused_in_xml(denied)
        return action(parameters)

    return describe_stacks


def _scheduling(change: Callable[[str, dict[str, Any]], _Answer]) -> Callable[..., _Answer]:
    def scheduled(name: str, body: dict[str, Any]) -> _Answer:
        role = (body.get("Target") or {}).get("RoleArn")
        if role and not stack_role.acts():  # a stack's own role has been asked already
            try:
                pass_role(role, "scheduler.amazonaws.com")
            except Denied as denied:
                code = "AccessDeniedException"
                return scheduler._error(_FORBIDDEN, code, str(denied))  # type: ignore[no-any-return]
        return change(name, body)

    return scheduled


def _rule_making(change: Callable[..., _Answer]) -> Callable[..., _Answer]:
    def made(name: str, payload: dict[str, Any], *rest: Any, **options: Any) -> _Answer:
        try:
            for role in _roles_of(payload):
                pass_role(role, "iot.amazonaws.com")
        except Denied as denied:
            code = "AccessDeniedException"
            return error_response_json(code, str(denied), _FORBIDDEN)  # type: ignore[no-any-return]
        return change(name, payload, *rest, **options)

    return made


def _roles_of(payload: Mapping[str, Any]) -> Iterator[str]:
    """Yield the roles of a topic rule's actions."""
    for action in [*(payload.get("actions") or []), payload.get("errorAction") or {}]:
        for settings in action.values():
            if isinstance(settings, dict) and settings.get("roleArn"):
                yield settings["roleArn"]


def _refused_in_xml(denied: Denied) -> _Answer:
    return helpers._error("AccessDenied", str(denied), _FORBIDDEN)  # type: ignore[no-any-return]
