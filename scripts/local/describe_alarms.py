"""Stands in for CloudWatch's DescribeAlarms, whose Query answer MiniStack cuts short.

AWS answers with all of a MetricAlarm (CloudWatch API reference, "MetricAlarm"). MiniStack keeps it
all and gives it to callers of JSON and CBOR; as XML it leaves out period, statistic, dimensions,
actions and TreatMissingData, so that version 5 of Terraform's provider, which asks for XML, sees a
change in each plan.
"""

from __future__ import annotations

import re
from typing import Any
from xml.sax.saxutils import escape

from ministack.services import cloudwatch

_MEMBER = re.compile(rb"<member><AlarmName>([^<]*)</AlarmName>.*?</member>", re.DOTALL)
_TIMES = (
    "StateUpdatedTimestamp",
    "AlarmConfigurationUpdatedTimestamp",
    "StateTransitionedTimestamp",
)


def register() -> None:
    """Let DescribeAlarms tell all of each metric alarm that it tells of."""
    answer = cloudwatch._describe_alarms

    def whole(params: Any, data: Any, is_cbor: bool, is_json: bool = False) -> Any:
        status, headers, body = answer(params, data, is_cbor, is_json)
        if not (is_cbor or is_json):
            body = _MEMBER.sub(_whole_member, body)
        return status, headers, body

    cloudwatch._describe_alarms = whole


def _whole_member(match: re.Match[bytes]) -> bytes:
    alarm = cloudwatch._alarms.get(match[1].decode())
    return match[0] if alarm is None else _element("member", alarm).encode()  # a composite one


def _element(name: str, value: Any) -> str:
    """Return a value of an alarm as the Query protocol has it; nothing for what is not set."""
    if value is None:
        return ""
    if isinstance(value, dict):
        text = "".join(_element(key, part) for key, part in value.items())
    elif isinstance(value, list):
        text = "".join(_element("member", part) for part in value)
    elif isinstance(value, bool):
        text = str(value).lower()
    elif name in _TIMES:
        text = cloudwatch._ts_iso(value)
    else:
        text = escape(str(value))
    return f"<{name}>{text}</{name}>"
