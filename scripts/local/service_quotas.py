"""Service Quotas' GetServiceQuota and GetAWSDefaultServiceQuota, for EC2's quotas in vCPUs.

Stands in for the API (Service Quotas API reference), which MiniStack lacks. No quota has a value of
the account's own, so that GetServiceQuota has none to give, but where a fault says so (faults.py,
``quotas``). The defaults are such that all runs: a new account's are 5 vCPUs, and 0 for GPUs.
"""

from __future__ import annotations

import json
from typing import Any

from ministack import app
from ministack.core import iam_actions, router
from ministack.core.responses import get_account_id, get_region

from scripts.local import faults
from scripts.planning import quotas

_TARGET = "ServiceQuotasV20190624"
DEFAULT_VCPUS = 1152
_Answer = tuple[int, dict[str, str], bytes]


def register() -> None:
    """Teach MiniStack the service, its routing and its IAM actions."""
    app.SERVICE_HANDLERS["servicequotas"] = _handle_request
    router.SERVICE_PATTERNS["servicequotas"] = {"target_prefixes": [_TARGET]}
    iam_actions.SERVICE_TO_IAM_NAMESPACE["servicequotas"] = "servicequotas"


async def _handle_request(
    _method: str, _path: str, headers: dict[str, str], body: bytes, _query: dict[str, Any]
) -> _Answer:
    asked, action = json.loads(body or b"{}"), headers.get("x-amz-target", "").rpartition(".")[2]
    quota = quotas.by_code().get(asked.get("QuotaCode", ""))
    if action not in ("GetServiceQuota", "GetAWSDefaultServiceQuota"):
        return _json(400, {"__type": "UnknownOperationException", "message": action})
    if quota is None or asked.get("ServiceCode") != quotas.SERVICE:
        return _missing("no such quota here")
    vcpus: int | None = DEFAULT_VCPUS
    if action == "GetServiceQuota":
        vcpus = faults.quota(quota.code)
    if vcpus is None:
        return _missing(f"the account has no value of its own of {quota.code}")
    owner = get_account_id() if action == "GetServiceQuota" else ""
    arn = f"arn:aws:servicequotas:{get_region()}:{owner}:{quotas.SERVICE}/{quota.code}"
    held = {
        "ServiceCode": quotas.SERVICE,
        "ServiceName": "Amazon Elastic Compute Cloud (Amazon EC2)",
        "QuotaArn": arn,
        "QuotaCode": quota.code,
        "QuotaName": quota.name,
        "Value": float(vcpus),
        "Unit": "None",
        "Adjustable": True,
        "GlobalQuota": False,
    }
    return _json(200, {"Quota": held})


def _missing(message: str) -> _Answer:
    return _json(400, {"__type": "NoSuchResourceException", "Message": message})


def _json(status: int, document: dict[str, Any]) -> _Answer:
    return status, {"Content-Type": "application/x-amz-json-1.1"}, json.dumps(document).encode()
