"""The evaluator by AWS's own words (IAM user guide, "IAM JSON policy elements")."""

from __future__ import annotations

from typing import Any

import pytest

from tests.proof.evaluate import allows, parse
from tests.proof.table import Call

OBJECT = "arn:aws:s3:::results/runs/a/b"


def call(action: str = "s3:GetObject", resource: str = OBJECT, **context: Any) -> Call:
    keys = {key.replace("__", ":"): value for key, value in context.items()}
    return Call(principal="p", action=action, resource=resource, context=keys, source="")


def judge(statement: dict[str, Any], request: Call) -> bool:
    whole = {"Effect": "Allow", "Action": "s3:*", "Resource": "*", **statement}
    if "NotAction" in statement:
        del whole["Action"]
    return allows(parse({"Statement": [whole]}), request)


def test_not_action_allows_all_others() -> None:
    assert judge({"NotAction": "iam:*"}, call())
    assert not judge({"NotAction": "s3:Get*"}, call())


def test_actions_are_compared_without_regard_to_case_and_resources_with() -> None:
    assert judge({"Action": "S3:getobject"}, call())
    assert not judge({"Resource": OBJECT.upper()}, call())


@pytest.mark.parametrize("operator", ["StringEquals", "StringLike", "ArnLike", "Bool"])
def test_a_key_that_is_missing_matches_nothing(operator: str) -> None:
    assert not judge({"Condition": {operator: {"iam:PassedToService": "x"}}}, call())


def test_a_key_that_is_missing_matches_its_negation_and_if_exists() -> None:
    assert judge({"Condition": {"StringNotEquals": {"iam:PassedToService": "x"}}}, call())
    assert judge({"Condition": {"StringEqualsIfExists": {"iam:PassedToService": "x"}}}, call())


def test_null_asks_whether_a_key_is_there() -> None:
    absent = {"Condition": {"Null": {"aws:RequestTag/a": "true"}}}
    present = {"Condition": {"Null": {"aws:RequestTag/a": "false"}}}
    assert judge(absent, call())
    assert not judge(present, call())
    tagged = Call(
        principal="p", action="s3:X", resource="*", context={"aws:RequestTag/a": "1"}, source=""
    )
    assert judge(present, tagged)
    assert not judge(absent, tagged)


def test_for_all_values_lets_none_through_and_for_any_value_does_not() -> None:
    keys = {"aws:TagKeys": ["a", "b"]}
    every = {"Condition": {"ForAllValues:StringEquals": keys}}
    some = {"Condition": {"ForAnyValue:StringEquals": keys}}
    assert judge(every, call())
    assert not judge(some, call())
    assert judge(every, call(aws__TagKeys=["a"]))
    assert not judge(every, call(aws__TagKeys=["a", "c"]))
    assert judge(some, call(aws__TagKeys=["a", "c"]))


def test_string_like_has_wildcards_and_string_equals_has_none() -> None:
    prefix = {"s3:prefix": "runs/*"}
    assert judge({"Condition": {"StringLike": prefix}}, call(s3__prefix="runs/a/"))
    assert not judge({"Condition": {"StringEquals": prefix}}, call(s3__prefix="runs/a/"))
    assert not judge({"Condition": {"StringLike": prefix}}, call(s3__prefix="RUNS/a/"))


def test_conditions_all_hold_and_of_a_keys_values_one() -> None:
    both = {"StringEquals": {"s3:prefix": ["a", "b"], "s3:delimiter": "/"}}
    assert judge({"Condition": both}, call(s3__prefix="b", s3__delimiter="/"))
    assert not judge({"Condition": both}, call(s3__prefix="b"))


def test_a_deny_wins() -> None:
    deny = {"Effect": "Deny", "Action": "s3:GetObject", "Resource": "*"}
    allow = {"Effect": "Allow", "Action": "*", "Resource": "*"}
    assert not allows(parse({"Statement": [allow, deny]}), call())


def test_a_variable_stands_for_what_the_request_says() -> None:
    own = {"Resource": "arn:aws:s3:::results/runs/*/machines/${aws:userid}/*"}
    mine = "arn:aws:s3:::results/runs/a/machines/R:i-1/log.txt"
    assert judge(own, call(resource=mine, aws__userid="R:i-1"))
    assert not judge(own, call(resource=mine, aws__userid="R:i-2"))


def test_a_variable_without_a_value_matches_nothing_but_its_default() -> None:
    assert not judge({"Resource": "arn:aws:s3:::${aws:userid}*"}, call())
    assert judge({"Resource": "arn:aws:s3:::${aws:userid, 'results'}/*"}, call())
    assert not judge(
        {"Condition": {"StringNotEquals": {"s3:prefix": "${aws:userid}"}}}, call(s3__prefix="a")
    )
