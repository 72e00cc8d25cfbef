"""AWS Price List's GetProducts, for what a training stack is made of.

Stands in for the query API ("GetProducts", AWS Price List API reference; "Reading the price list
files" of the billing user guide for the items' shape): on-demand instances and gp3 storage under
``AmazonEC2``, public IPv4 addresses under ``AmazonVPC``. Beside the row that a person means there
are those which the real list has too, so that a filter left out is noticed here already.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

from ministack import app
from ministack.core import iam_actions, router

from scripts.jobs import price_table

_TARGET = "AWSPriceListService"
_MAXIMUM_RESULTS = 100
_ON_DEMAND_TERM, _HOURLY_RATE = "JRTCKXETXF", "6YS6EN2CT7"  # the same in every real rate code
_Product = dict[str, Any]
_Answer = tuple[int, dict[str, str], bytes]


class _Refused(Exception):
    """An error of the API: code and message."""


def register() -> None:
    """Teach MiniStack the service, its routing and its IAM actions."""
    app.SERVICE_HANDLERS["pricing"] = _handle_request
    router.SERVICE_PATTERNS["pricing"] = {"target_prefixes": [_TARGET]}
    iam_actions.SERVICE_TO_IAM_NAMESPACE["pricing"] = "pricing"


async def _handle_request(
    _method: str, _path: str, headers: dict[str, str], body: bytes, _query: dict[str, Any]
) -> _Answer:
    try:
        if headers.get("x-amz-target") != f"{_TARGET}.GetProducts":
            raise _Refused("UnknownOperationException", "only GetProducts is known here")
        return _json(200, get_products(json.loads(body or b"{}")))
    except _Refused as refusal:
        code, message = refusal.args
        return _json(400, {"__type": code, "message": message})


def get_products(request: dict[str, Any]) -> dict[str, Any]:
    """Return GetProducts' answer to a request."""
    service = request.get("ServiceCode")
    if service not in _PRODUCTS:
        raise _Refused("NotFoundException", f"no service {service} in this price list")
    wanted = {}
    for item in request.get("Filters") or []:
        if item.get("Type") != "TERM_MATCH":
            raise _Refused("InvalidParameterException", "only TERM_MATCH is known here")
        wanted[item["Field"]] = item["Value"].lower()
    found = [product for product in _PRODUCTS[service] if _matches(product, wanted)]
    begin = int(request.get("NextToken") or 0)
    end = begin + min(int(request.get("MaxResults") or _MAXIMUM_RESULTS), _MAXIMUM_RESULTS)
    answer: dict[str, Any] = {
        "FormatVersion": "aws_v1",
        "PriceList": [json.dumps(product) for product in found[begin:end]],
    }
    return answer | ({"NextToken": str(end)} if end < len(found) else {})


def _matches(product: _Product, wanted: dict[str, str]) -> bool:
    has = product["product"]["attributes"] | {
        "productFamily": product["product"].get("productFamily", ""),
        "ServiceCode": product["serviceCode"],
        "sku": product["product"]["sku"],
    }
    return all(has.get(field, "").lower() == value for field, value in wanted.items())


def _product(
    service: str, family: str | None, usd: Decimal, unit: str, description: str, **more: str
) -> _Product:
    """Return an item of the price list with its one on-demand rate."""
    attributes = {
        "servicecode": service,
        "location": price_table.LOCATION,
        "locationType": "AWS Region",
        "regionCode": price_table.REGION,
        **more,
    }
    digest = hashlib.sha256(json.dumps(attributes, sort_keys=True).encode()).hexdigest()
    sku = digest[:16].upper()
    term = f"{sku}.{_ON_DEMAND_TERM}"
    rate = {
        "unit": unit,
        "endRange": "Inf",
        "description": f"${usd} {description}",
        "appliesTo": [],
        "rateCode": f"{term}.{_HOURLY_RATE}",
        "beginRange": "0",
        "pricePerUnit": {"USD": f"{usd:.10f}"},
    }
    offer = {
        "priceDimensions": {rate["rateCode"]: rate},
        "sku": sku,
        "effectiveDate": price_table.PUBLISHED,
        "offerTermCode": _ON_DEMAND_TERM,
        "termAttributes": {},
    }
    families = {"productFamily": family} if family else {}
    return {
        "product": {**families, "attributes": attributes, "sku": sku},
        "serviceCode": service,
        "terms": {"OnDemand": {term: offer}},
        "version": "".join(filter(str.isdigit, price_table.PUBLISHED)),
        "publicationDate": price_table.PUBLISHED,
    }


def _instances() -> Iterator[_Product]:
    for instance_type, usd in price_table.HOURLY_USD.items():
        for capacity, tenancy, usage, price in (
            ("Used", "Shared", "BoxUsage", usd),
            ("UnusedCapacityReservation", "Shared", "UnusedBox", usd),
            ("AllocatedCapacityReservation", "Shared", "Reservation", Decimal(0)),
            ("Used", "Dedicated", "DedicatedUsage", usd * Decimal("1.1")),
        ):
            yield _product(
                "AmazonEC2",
                "Compute Instance",
                price,
                "Hrs",
                f"per {tenancy} Linux {instance_type} Instance Hour",
                instanceType=instance_type,
                marketoption="OnDemand",
                capacitystatus=capacity,
                tenancy=tenancy,
                operatingSystem="Linux",
                preInstalledSw="NA",
                licenseModel="No License required",
                operation="RunInstances",
                usagetype=f"{usage}:{instance_type}",
            )


def _storage() -> Iterator[_Product]:
    for family, usd, unit, usage in (
        ("Storage", price_table.GP3_MONTHLY_USD, "GB-Mo", "EBS:VolumeUsage.gp3"),
        ("System Operation", Decimal("0.005"), "IOPS-Mo", "EBS:VolumeP-IOPS.gp3"),
    ):
        words = f"per {unit} of gp3 - {price_table.LOCATION}"
        names = {"volumeApiName": "gp3", "usagetype": usage}
        yield _product("AmazonEC2", family, usd, unit, words, **names)


def _addresses() -> Iterator[_Product]:
    # The real list gives these no product family.
    for usage, usd in (
        ("InUseAddress", price_table.IPV4_HOURLY_USD),
        ("IdleAddress", price_table.IPV4_HOURLY_USD),
        ("ContiguousBlock", Decimal("0.008")),
    ):
        words, group = f"per {usage} public IPv4 address per hour", "VPCPublicIPv4Address"
        names = {"group": group, "usagetype": f"USE1-PublicIPv4:{usage}"}
        yield _product("AmazonVPC", None, usd, "Hrs", words, **names)


_PRODUCTS = {"AmazonEC2": [*_instances(), *_storage()], "AmazonVPC": [*_addresses()]}


def _json(status: int, document: dict[str, Any]) -> _Answer:
    return status, {"Content-Type": "application/x-amz-json-1.1"}, json.dumps(document).encode()
