"""What is asked of the roles, and how IAM's answer is read."""

from __future__ import annotations

import json
from typing import Any

import pytest

from scripts.planning import rights
from scripts.planning.rights import Question
from tests.plans import SETTINGS, plan

LAUNCH = "arn:aws:iam::123456789012:role/launch"


def asked(**config: Any) -> list[Question]:
    run = plan(json.dumps({"training-job-name": "one", **config}))
    return list(rights.questions(run, SETTINGS, LAUNCH, "123456789012"))


def test_both_roles_are_asked_with_what_the_launch_would_say() -> None:
    questions = asked()
    assert {question.role_arn for question in questions} == {LAUNCH, SETTINGS.stack_role_arn}
    [creating] = [one for one in questions if "cloudformation:CreateStack" in one.actions]
    assert creating.context["aws:RequestTag/parris:deployment"] == "parris"
    assert creating.context["aws:RequestTag/team"] == "vision"
    [running] = [one for one in questions if one.actions == ("ec2:RunInstances",)]
    assert running.context["ec2:InstanceType"] == "t3.medium"
    kinds = {resource.split(":")[5].partition("/")[0] for resource in running.resources}
    assert kinds == {
        *("instance", "volume", "network-interface", "subnet", "security-group"),
        "launch-template",
    }


def test_what_a_job_chooses_is_asked_for() -> None:
    chosen = {
        "market": "spot",
        "subnet-id": "subnet-0123abcd",
        "security-group-id": "sg-0123abcd",
        "ec2-keypair-name": "mine",
        "instance-type": "g5.xlarge",
    }
    [running] = [one for one in asked(**chosen) if one.actions == ("ec2:RunInstances",)]
    named = {resource.rpartition(":")[2] for resource in running.resources}
    assert {"subnet/subnet-0123abcd", "security-group/sg-0123abcd", "key-pair/mine"} <= named
    assert "spot-instances-request/*" in named
    assert running.context["ec2:InstanceType"] == "g5.xlarge"


MACHINE = "arn:aws:iam::123456789012:role/machine"


def of_inputs(**config: Any) -> dict[tuple[str, str], Question]:
    run = plan(json.dumps({"training-job-name": "one", **config}))
    found = list(rights.questions_of_inputs(run, MACHINE, "123456789012"))
    assert {one.role_arn for one in found} <= {MACHINE}
    return {(one.actions[0], one.resources[0]): one for one in found}


def test_the_machine_is_asked_for_the_data_and_the_listing_of_a_prefix() -> None:
    data = [{"s3": "s3://pictures/train/"}, {"s3": "s3://pictures/test.csv"}, {"s3": "s3://all/"}]
    asked = of_inputs(data=data)
    assert list(asked) == [
        ("s3:GetObject", "arn:aws:s3:::pictures/train/*"),
        ("s3:ListBucket", "arn:aws:s3:::pictures"),
        ("s3:GetObject", "arn:aws:s3:::pictures/test.csv"),
        ("s3:GetObject", "arn:aws:s3:::all/*"),
        ("s3:ListBucket", "arn:aws:s3:::all"),
    ]
    assert asked["s3:ListBucket", "arn:aws:s3:::pictures"].context == {"s3:prefix": "train/"}
    assert of_inputs() == {}


def test_the_machine_is_asked_for_the_secrets_and_a_name_is_not_the_whole_arn() -> None:
    own = "arn:aws:secretsmanager:eu-west-1:123456789012:secret:team/db-AbCdEf"
    secrets = {
        "A": "ssm:/team/wandb",
        "B": "ssm:plain",
        "C": f"secretsmanager:{own}#password",
        "D": "secretsmanager:team/db#password",
    }
    here = "eu-west-1:123456789012"
    get = "secretsmanager:GetSecretValue"
    asked = {key: one.is_exact for key, one in of_inputs(secrets=secrets).items()}
    assert asked == {
        ("ssm:GetParameter", f"arn:aws:ssm:{here}:parameter/team/wandb"): True,
        ("ssm:GetParameter", f"arn:aws:ssm:{here}:parameter/plain"): True,
        (get, own): True,
        (get, f"arn:aws:secretsmanager:{here}:secret:team/db-*"): False,
    }


class Iam:
    """SimulatePrincipalPolicy with one answer, as the IAM API reference has it."""

    def __init__(self, *results: dict[str, Any]) -> None:
        self.results, self.sent = results, dict[str, Any]()

    def simulate_principal_policy(self, **sent: Any) -> Any:
        self.sent = sent
        return {"EvaluationResults": list(self.results), "IsTruncated": False}


QUESTION = Question(
    role_arn=LAUNCH,
    actions=("ec2:RunInstances",),
    resources=("arn:a", "arn:b"),
    context={"ec2:InstanceType": "t3.micro", "aws:TagKeys": ["one", "two"]},
)


def result(decision: str, **more: Any) -> dict[str, Any]:
    named = {"EvalActionName": "ec2:RunInstances", "EvalResourceName": "arn:a"}
    return {**named, "EvalDecision": decision, **more}


def test_a_question_is_sent_with_its_keys_as_iam_takes_them() -> None:
    iam = Iam(result("allowed"))
    assert rights.ask(iam, QUESTION) == []
    assert iam.sent["PolicySourceArn"] == LAUNCH
    assert iam.sent["ResourceArns"] == ["arn:a", "arn:b"]
    assert iam.sent["ContextEntries"] == [
        {
            "ContextKeyName": "ec2:InstanceType",
            "ContextKeyType": "string",
            "ContextKeyValues": ["t3.micro"],
        },
        {
            "ContextKeyName": "aws:TagKeys",
            "ContextKeyType": "stringList",
            "ContextKeyValues": ["one", "two"],
        },
    ]


def test_of_several_resources_only_those_that_are_denied_are_named() -> None:
    each = [
        {"EvalResourceName": "arn:a", "EvalResourceDecision": "allowed"},
        {"EvalResourceName": "arn:b", "EvalResourceDecision": "implicitDeny"},
    ]
    denials = rights.ask(Iam(result("implicitDeny", ResourceSpecificResults=each)), QUESTION)
    assert [str(denial) for denial in denials] == [
        "role launch may not ec2:RunInstances on arn:b (implicitDeny)"
    ]


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({}, "(explicitDeny)"),
        ({"OrganizationsDecisionDetail": {"AllowedByOrganizations": True}}, "(explicitDeny)"),
        (
            {"OrganizationsDecisionDetail": {"AllowedByOrganizations": False}},
            "(explicitDeny, by the organization's policies)",
        ),
        (
            {"PermissionsBoundaryDecisionDetail": {"AllowedByPermissionsBoundary": False}},
            "(explicitDeny, by the role's permissions boundary)",
        ),
    ],
)
def test_a_denial_says_what_stands_behind_it(more: dict[str, Any], said: str) -> None:
    [denial] = rights.ask(Iam(result("explicitDeny", **more)), QUESTION)
    assert str(denial) == f"role launch may not ec2:RunInstances on arn:a {said}"
