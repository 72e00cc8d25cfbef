"""Policy variables on the embedded cloud, as the IAM user guide has them."""

from __future__ import annotations

import pytest
from ministack.core import iam_evaluator
from ministack.core.iam_evaluator import EvalContext, ParsedStatement

from scripts.local import policy_variables

OWN = "arn:aws:s3:::b/runs/j/r/machines/AROA:i-1/log.txt"


def decide(resource: str, keys: dict[str, str], effect: str = "Allow") -> str:
    context = EvalContext(
        principal_arn="arn:aws:sts::000000000000:assumed-role/m/i-1",
        principal_type="AssumedRole",
        principal_account="000000000000",
        action="s3:PutObject",
        resource_arn=resource,
        region="us-east-1",
        principal_keys=keys,
        service_context={"s3:prefix": "AROA:i-1/x"},
    )
    statement = ParsedStatement(
        sid="own",
        effect=effect,
        actions=["s3:PutObject"],
        resources=["arn:aws:s3:::b/runs/*/machines/${aws:userid}/*"],
        conditions={"StringLike": {"s3:prefix": ["${aws:userid}/*"]}},
    )
    return str(iam_evaluator.evaluate(context, [[statement]]).decision)


def test_a_variable_is_the_requests_value(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(iam_evaluator, "_first_match", iam_evaluator._first_match)
    policy_variables.register()
    assert decide(OWN, {"aws:userid": "AROA:i-1"}) == "Allow"
    assert decide(OWN, {"aws:userid": "AROA:i-1"}, "Deny") == "Deny"
    assert decide(OWN, {"aws:userid": "AROA:i-2"}) == "ImplicitDeny"
    assert decide(OWN, {}) == "ImplicitDeny"  # no value, no match
    assert decide(OWN.replace("AROA:i-1", "${aws:userid}"), {"aws:userid": "AROA:i-1"}) != "Allow"
