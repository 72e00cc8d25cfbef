"""The resources that some calls are authorised on, where MiniStack asks IAM about another.

Stands in for the services' own authorisation (service authorization reference): CreateLogStream,
GetLogEvents and PutLogEvents have the resource type log-stream, where MiniStack takes the group;
ListTargetsByRule has the rule, where MiniStack takes none; SimulatePrincipalPolicy has the
principal that it is about.
"""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import parse_qs

from ministack.core import iam_actions

ON_STREAM = ("CreateLogStream", "GetLogEvents", "PutLogEvents")


def register() -> None:
    """Name the right resource in what the cloud's IAM is asked."""
    named = iam_actions.extract_resource_arn

    def extract(
        service: str,
        method: str,
        path: str,
        headers: dict[str, str],
        body: bytes,
        query: dict[str, Any],
        region: str,
        account: str,
    ) -> str:
        resource = str(named(service, method, path, headers, body, query, region, account))
        action = headers.get("x-amz-target", "").rpartition(".")[2]
        if service == "logs" and action in ON_STREAM and resource != "*":
            return f"{resource}:log-stream:{_said(body, 'logStreamName')}"
        if action == "ListTargetsByRule" and service in ("events", "eventbridge"):
            return f"arn:aws:events:{region}:{account}:rule/{_said(body, 'Rule')}"
        form = parse_qs(body.decode(errors="replace")) if service == "iam" else {}
        if form.get("Action") == ["SimulatePrincipalPolicy"]:
            return form.get("PolicySourceArn", ["*"])[0]
        return resource

    iam_actions.extract_resource_arn = extract


def _said(body: bytes, name: str) -> str:
    try:
        request = json.loads(body)
    except ValueError:
        return ""
    return str(request.get(name, "")) if isinstance(request, dict) else ""
