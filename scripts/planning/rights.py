"""What the roles of a launch may do, asked of IAM's policy simulator.

Only what a job's choices and an organization's policies may change is asked: the machine, its
image, its tags, the roles that are passed. `make prove` proves the module's own policies.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from parris.jobs.retry import SPOT
from parris.launch.render import RESOURCE_TYPES, stack_tags
from parris.runs.plan import RunPlan
from parris.settings import Settings

Context = Mapping[str, str | Sequence[str]]
"""Condition keys of a request, with a value or a list of them."""


@dataclass(frozen=True, kw_only=True)
class Question:
    """Whether a role may do all of `actions` on all of `resources`."""

    role_arn: str
    actions: tuple[str, ...]
    resources: tuple[str, ...]
    context: Context


@dataclass(frozen=True, kw_only=True)
class Denial:
    """One thing that a role may not do."""

    role_arn: str
    action: str
    resource: str
    why: str
    """``explicitDeny`` or ``implicitDeny``, and what stands behind it."""

    def __str__(self) -> str:
        role = self.role_arn.rpartition("/")[2]
        return f"role {role} may not {self.action} on {self.resource} ({self.why})"


def questions(
    plan: RunPlan, settings: Settings, launch_role_arn: str, account_id: str
) -> Iterator[Question]:
    """Yield what a launch asks of the launch function's role and of the stack's."""
    partition = settings.stack_role_arn.split(":")[1]
    here = f"{plan.region}:{account_id}"
    ec2 = f"arn:{partition}:ec2:{here}"
    tags = stack_tags(plan, settings.stack_tags)
    born: dict[str, str | Sequence[str]] = {
        "aws:RequestTag/parris:deployment": plan.deployment,
        "aws:TagKeys": sorted(tags),
        **{f"aws:RequestTag/{key}": value for key, value in tags.items()},
    }
    ours = {"aws:ResourceTag/parris:deployment": plan.deployment}
    yield Question(
        role_arn=launch_role_arn,
        actions=("cloudformation:CreateStack", "cloudformation:TagResource"),
        resources=(f"arn:{partition}:cloudformation:{here}:stack/{plan.stack_name}/*",),
        context={
            **born,
            "cloudformation:ResourceTypes": RESOURCE_TYPES,
            "cloudformation:RoleArn": settings.stack_role_arn,
        },
    )
    yield _passing(launch_role_arn, settings.stack_role_arn, "cloudformation")
    stack = settings.stack_role_arn
    template = f"{ec2}:launch-template/*"
    yield Question(
        role_arn=stack,
        actions=("ec2:CreateLaunchTemplate",),
        resources=(template,),
        context=born,
    )
    machine = {**born, **ours, "ec2:InstanceType": plan.rung.instance_type}
    requests = (f"{ec2}:spot-instances-request/*",) if plan.rung.market == SPOT else ()
    made = (f"{ec2}:instance/*", f"{ec2}:volume/*", f"{ec2}:network-interface/*", *requests)
    yield Question(
        role_arn=stack,
        actions=("ec2:RunInstances",),
        resources=(
            *made,
            f"{ec2}:subnet/{plan.rung.subnet_id or '*'}",
            *(f"{ec2}:security-group/{group}" for group in plan.security_group_ids or ("*",)),
            template,
            *([f"{ec2}:key-pair/{plan.config.key_name}"] if plan.config.key_name else []),
        ),
        context=machine,
    )
    yield Question(
        role_arn=stack,
        actions=("ec2:CreateTags",),
        resources=made,
        context={**born, "ec2:CreateAction": "RunInstances"},
    )
    yield Question(
        role_arn=stack,
        actions=("scheduler:CreateSchedule",),
        resources=(
            f"arn:{partition}:scheduler:{here}:schedule/{settings.schedule_group}/"
            f"{plan.deployment}-{plan.run_id}",
        ),
        context={},
    )
    yield _passing(stack, settings.scheduler_role_arn, "scheduler")


def question_of_image(plan: RunPlan, settings: Settings, image: str, owner: str) -> Question:
    """Return whether the stack's role may start a machine from `image`, which is `owner`'s.

    Args:
        owner: an alias such as ``amazon``, or an account.
    """
    partition = settings.stack_role_arn.split(":")[1]
    return Question(
        role_arn=settings.stack_role_arn,
        actions=("ec2:RunInstances",),
        resources=(f"arn:{partition}:ec2:{plan.region}::image/{image}",),
        context={"ec2:Owner": owner},
    )


def _passing(role_arn: str, passed: str, service: str) -> Question:
    return Question(
        role_arn=role_arn,
        actions=("iam:PassRole",),
        resources=(passed,),
        context={"iam:PassedToService": f"{service}.amazonaws.com"},
    )


def ask(iam: Any, question: Question) -> list[Denial]:
    """Return what of a question is denied.

    Of several resources AWS answers one result an action, with the decision on each resource in it
    (IAM API reference, "EvaluationResult"); older endpoints answer one a resource.
    """
    answer = iam.simulate_principal_policy(
        PolicySourceArn=question.role_arn,
        ActionNames=list(question.actions),
        ResourceArns=list(question.resources),
        ContextEntries=[
            {
                "ContextKeyName": key,
                "ContextKeyType": "string" if isinstance(value, str) else "stringList",
                "ContextKeyValues": [value] if isinstance(value, str) else list(value),
            }
            for key, value in question.context.items()
        ],
    )
    return [
        denial
        for result in answer["EvaluationResults"]
        if result["EvalDecision"] != "allowed"
        for denial in _denials(question, result)
    ]


def _denials(question: Question, result: Mapping[str, Any]) -> Iterator[Denial]:
    single: dict[str, str] = {
        one["EvalResourceName"]: one["EvalResourceDecision"]
        for one in result.get("ResourceSpecificResults", ())
        if one["EvalResourceDecision"] != "allowed"
    }
    if not single:
        single = {result.get("EvalResourceName", "*"): result["EvalDecision"]}
    for resource, decision in single.items():
        yield Denial(
            role_arn=question.role_arn,
            action=result["EvalActionName"],
            resource=resource,
            why=f"{decision}{_behind(result)}",
        )


def _behind(result: Mapping[str, Any]) -> str:
    for key, allowed, words in (
        ("OrganizationsDecisionDetail", "AllowedByOrganizations", "by the organization's policies"),
        (
            "PermissionsBoundaryDecisionDetail",
            "AllowedByPermissionsBoundary",
            "by the role's permissions boundary",
        ),
    ):
        detail = result.get(key)
        if detail is not None and not detail.get(allowed, True):
            return f", {words}"
    return ""
