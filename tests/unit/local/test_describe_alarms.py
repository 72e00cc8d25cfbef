"""DescribeAlarms gives back what PutMetricAlarm was given."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlencode

import botocore.session
import pytest
from botocore.parsers import QueryParser
from ministack.core.responses import request_scope
from ministack.services import cloudwatch

from scripts.local import describe_alarms

ALARM = {
    "AlarmName": "reap-silent",
    "AlarmDescription": "nothing & <nobody>",
    "Namespace": "AWS/Lambda",
    "MetricName": "Invocations",
    "Statistic": "Sum",
    "Period": 600,
    "EvaluationPeriods": 3,
    "ComparisonOperator": "LessThanThreshold",
    "Threshold": 1.0,
    "TreatMissingData": "breaching",
}


@pytest.fixture(autouse=True)
def whole(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(cloudwatch, "_describe_alarms", cloudwatch._describe_alarms)
    describe_alarms.register()
    with request_scope("000000000000", "us-east-1"):
        yield
        cloudwatch._alarms.pop(ALARM["AlarmName"], None)


def ask(action: str, **parameters: object) -> bytes:
    body = urlencode({"Action": action, **parameters}).encode()
    headers = {"content-type": "application/x-www-form-urlencoded"}
    request = cloudwatch.handle_request("POST", "/", headers, body, {})
    status, _, answer = asyncio.run(request)
    assert status == 200, answer
    return bytes(answer)


def described() -> Any:
    model = botocore.session.get_session().get_service_model("cloudwatch")
    shape = model.operation_model("DescribeAlarms").output_shape
    assert shape is not None
    answer = {"status_code": 200, "headers": {}, "body": ask("DescribeAlarms")}
    return QueryParser().parse(answer, shape)["MetricAlarms"]


def test_an_alarm_is_described_whole() -> None:
    more = {
        "Dimensions.member.1.Name": "FunctionName",
        "Dimensions.member.1.Value": "parris-reap",
        "AlarmActions.member.1": "arn:aws:sns:us-east-1:000000000000:a",
        "OKActions.member.1": "arn:aws:sns:us-east-1:000000000000:b",
    }
    ask("PutMetricAlarm", **ALARM, **more)
    [alarm] = described()
    assert {key: alarm[key] for key in ALARM} == ALARM
    assert alarm["Dimensions"] == [{"Name": "FunctionName", "Value": "parris-reap"}]
    assert alarm["AlarmActions"] == ["arn:aws:sns:us-east-1:000000000000:a"]
    assert alarm["OKActions"] == ["arn:aws:sns:us-east-1:000000000000:b"]
    assert alarm["ActionsEnabled"] is True
    assert alarm["StateUpdatedTimestamp"].tzinfo is not None
