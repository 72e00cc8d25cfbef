"""What a run costs, asked as on AWS: GetProducts, the spot price history, and the subnet."""

from __future__ import annotations

import json
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError

from scripts.local import cloud
from tests.e2e.embedded_world import World

INSTANCE = {
    "regionCode": "us-east-1",
    "marketoption": "OnDemand",
    "capacitystatus": "Used",
    "preInstalledSw": "NA",
    "tenancy": "Shared",
    "operatingSystem": "Linux",
}


@pytest.fixture
def pricing(world: World, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A client as a Lambda function makes it: the endpoint comes from the environment."""
    for name, value in cloud.environment(world.home).items():
        monkeypatch.setenv(name, value)
    return boto3.client("pricing", region_name="us-east-1")


def products(pricing: Any, service: str, **fields: str) -> list[dict[str, Any]]:
    filters = [{"Type": "TERM_MATCH", "Field": f, "Value": v} for f, v in fields.items()]
    answer = pricing.get_products(ServiceCode=service, Filters=filters)
    return [json.loads(item) for item in answer["PriceList"]]


def usd(product: dict[str, Any], unit: str) -> Decimal:
    (term,) = product["terms"]["OnDemand"].values()
    (rate,) = term["priceDimensions"].values()
    assert rate["unit"] == unit
    return Decimal(rate["pricePerUnit"]["USD"])


def test_the_price_list_tells_what_instance_volume_and_address_cost(pricing: Any) -> None:
    (instance,) = products(pricing, "AmazonEC2", instanceType="g5.xlarge", **INSTANCE)
    assert usd(instance, "Hrs") == Decimal("1.006")
    assert instance["publicationDate"].endswith("Z")
    volume_fields = {"volumeApiName": "gp3", "productFamily": "Storage"}
    (volume,) = products(pricing, "AmazonEC2", regionCode="us-east-1", **volume_fields)
    assert usd(volume, "GB-Mo") == Decimal("0.08")
    group = "VPCPublicIPv4Address"
    addresses = products(pricing, "AmazonVPC", regionCode="us-east-1", group=group)
    (used,) = [a for a in addresses if "InUseAddress" in a["product"]["attributes"]["usagetype"]]
    assert usd(used, "Hrs") == Decimal("0.005")
    assert len(addresses) == 3  # as on AWS, the idle ones and those of a block have rows too


def test_a_filter_left_out_and_an_unknown_type_are_answered_as_on_aws(pricing: Any) -> None:
    assert products(pricing, "AmazonEC2", instanceType="x9.huge", **INSTANCE) == []
    elsewhere = INSTANCE | {"regionCode": "eu-west-1"}
    assert products(pricing, "AmazonEC2", instanceType="g5.xlarge", **elsewhere) == []
    loose = {name: value for name, value in INSTANCE.items() if name != "capacitystatus"}
    assert len(products(pricing, "AmazonEC2", instanceType="g5.xlarge", **loose)) == 3
    pages = pricing.get_paginator("get_products").paginate(
        ServiceCode="AmazonVPC", PaginationConfig={"PageSize": 2}
    )
    assert [len(page["PriceList"]) for page in pages] == [2, 1]


def test_the_spot_price_is_below_on_demand_and_differs_by_zone(world: World) -> None:
    history = world.ec2.describe_spot_price_history(
        InstanceTypes=["m5.large", "x9.huge"],  # type: ignore[list-item]
        ProductDescriptions=["Linux/UNIX"],
        StartTime="2026-01-01T00:00:00Z",
    )["SpotPriceHistory"]
    prices = {item["AvailabilityZone"]: Decimal(item["SpotPrice"]) for item in history}
    assert {item["InstanceType"] for item in history} == {"m5.large"}
    assert len(set(prices.values())) == len(prices) >= 3
    assert all(Decimal("0.03") < price < Decimal("0.048") for price in prices.values())
    zone = world.ec2.describe_subnets()["Subnets"][0]["AvailabilityZone"]
    (one,) = world.ec2.describe_spot_price_history(
        InstanceTypes=["m5.large"], AvailabilityZone=zone
    )["SpotPriceHistory"]
    assert Decimal(one["SpotPrice"]) == prices[zone]
    windows = world.ec2.describe_spot_price_history(ProductDescriptions=["Windows"])
    assert windows["SpotPriceHistory"] == []


def test_a_subnet_tells_whether_its_machines_get_a_public_address(world: World) -> None:
    default = world.ec2.describe_subnets()["Subnets"][0]
    assert default["MapPublicIpOnLaunch"] is True
    private = world.ec2.create_subnet(VpcId=default["VpcId"], CidrBlock="172.31.240.0/24")
    identifier = private["Subnet"]["SubnetId"]
    (found,) = world.ec2.describe_subnets(SubnetIds=[identifier])["Subnets"]
    assert found["MapPublicIpOnLaunch"] is False


def test_prices_and_subnets_are_told_to_those_who_may_ask_only(world: World) -> None:
    world.iam.create_user(UserName="asks")
    key = world.iam.create_access_key(UserName="asks")["AccessKey"]
    session = boto3.Session(
        aws_access_key_id=key["AccessKeyId"],
        aws_secret_access_key=key["SecretAccessKey"],
        region_name="us-east-1",
    )
    endpoint = world.ec2.meta.endpoint_url
    ec2 = session.client("ec2", endpoint_url=endpoint)
    prices = session.client("pricing", endpoint_url=endpoint)
    calls: dict[str, Callable[[], object]] = {
        "pricing:GetProducts": lambda: prices.get_products(ServiceCode="AmazonVPC"),
        "ec2:DescribeSpotPriceHistory": lambda: ec2.describe_spot_price_history(),
        "ec2:DescribeSubnets": lambda: ec2.describe_subnets(),
    }
    for action, call in calls.items():
        with pytest.raises(ClientError, match=f"AccessDenied|Unauthorized.*{action}"):
            call()
        allowed = {"Effect": "Allow", "Action": action, "Resource": "*"}
        document = json.dumps({"Version": "2012-10-17", "Statement": [allowed]})
        world.iam.put_user_policy(UserName="asks", PolicyName="p", PolicyDocument=document)
        assert call()
