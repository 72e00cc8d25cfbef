"""The policies as they are applied: what is needed is granted, what is granted is needed."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator

import pytest

from tests.proof import deployed
from tests.proof.deployed import Deployed
from tests.proof.proof import prove


@pytest.fixture(scope="module")
def policies() -> Iterator[Deployed]:
    with deployed.deployment() as state:
        yield deployed.read(state)


def test_every_need_is_granted_and_every_refusal_holds(policies: Deployed) -> None:
    assert prove(policies).problems == ()


def test_no_policy_can_lose_or_widen_anything_unnoticed(policies: Deployed) -> None:
    proof = prove(policies)
    assert proof.survivors == ()
    assert proof.killed > 250


def test_a_policy_that_grants_too_little_fails_the_proof(policies: Deployed) -> None:
    statements = policies.policies["reap"]["reap"]["Statement"]
    kept = [each for each in statements if each["Sid"] != "DeleteOurStacks"]
    broken = _with(policies, "reap", {"Statement": kept})
    proof = prove(broken)
    assert any("cloudformation:DeleteStack" in problem for problem in proof.problems)
    assert proof.granted == prove(policies).granted - 1


def test_a_policy_that_grants_too_much_fails_the_proof(policies: Deployed) -> None:
    statements = policies.policies["reap"]["reap"]["Statement"]
    more = {"Sid": "More", "Effect": "Allow", "Action": "ec2:RebootInstances", "Resource": "*"}
    proof = prove(_with(policies, "reap", {"Statement": [*statements, more]}))
    assert "reap/reap/More: without the statement" in proof.survivors
    assert any("ec2:RebootInstances" in problem for problem in proof.problems)


@pytest.mark.parametrize("principal", ["stack", "launch"])
def test_a_policy_that_reaches_a_deployment_whose_name_begins_alike_fails_the_proof(
    policies: Deployed, principal: str
) -> None:
    [(name, document)] = policies.policies[principal].items()
    wider = json.loads(json.dumps(document).replace(":schedule/parris/", ":schedule/parris*/"))
    assert wider != document
    more = {**policies.policies, principal: {name: wider}}
    problems = prove(dataclasses.replace(policies, policies=more)).problems
    assert any("schedule/parris-2/" in problem for problem in problems)


def test_a_condition_of_a_key_that_aws_does_not_give_fails_the_proof(policies: Deployed) -> None:
    statements = [
        {**each, "Condition": {"StringEquals": {"sns:ResourceTag/x": "y"}}}
        if each["Sid"] == "Notify"
        else each
        for each in policies.policies["reap"]["reap"]["Statement"]
    ]
    problems = prove(_with(policies, "reap", {"Statement": statements})).problems
    assert any("gives sns:Publish no key sns:ResourceTag/x" in problem for problem in problems)


def test_a_principal_without_a_table_fails_the_proof(policies: Deployed) -> None:
    more = {**policies.policies, "newcomer": policies.policies["iot"]}
    problems = prove(dataclasses.replace(policies, policies=more)).problems
    assert "newcomer: a policy without a table" in problems


def test_an_excuse_for_what_is_not_there_fails_the_proof(policies: Deployed) -> None:
    excuses = {"survivors": {"reap/reap/Gone: without the statement": "once"}}
    assert any(found.startswith("stale") for found in prove(policies, excused=excuses).problems)


def _with(policies: Deployed, role: str, document: deployed.Document) -> Deployed:
    return dataclasses.replace(policies, policies={**policies.policies, role: {role: document}})
