"""What AWS offers today: the images machines boot, and what machines cost."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import UTC, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from botocore.exceptions import BotoCoreError, ClientError

from ..errors import LaunchFailed, PriceUnknown
from ..runs.budget import Price

if TYPE_CHECKING:
    from mypy_boto3_ec2 import EC2Client
    from mypy_boto3_pricing import PricingClient
    from mypy_boto3_ssm import SSMClient

PUBLIC_IPV4_HOURLY = Decimal("0.005")
"""US dollars, in every region (AWS News Blog, 28 July 2023, "New - AWS Public IPv4 Address
Charge")."""

HOURS_PER_MONTH = 730
"""What AWS's calculator takes a GB-month of EBS for (AWS Pricing Calculator, "Assumptions")."""


_NO_PRICE = (ClientError, BotoCoreError, LookupError, ValueError, ArithmeticError)
"""An answer in a form that nobody expects is no price either, and no launch hangs on it."""


def resolve_image(ssm: SSMClient, parameter: str) -> str:
    """Return the image id that the public `parameter` holds today.

    Raises:
        LaunchFailed: if there is no such parameter in this region.
    """
    try:
        return ssm.get_parameter(Name=parameter)["Parameter"]["Value"]
    except ClientError as error:
        if error.response["Error"]["Code"] != "ParameterNotFound":
            raise
        raise LaunchFailed(
            f"image: there is no public SSM parameter {parameter} in this region; "
            "name an image id of your own (ami-…) as image"
        ) from error


def has_image(ec2: EC2Client, image: str) -> bool:
    """Return whether a machine may still be made of an image.

    A deprecated one can be used like any other (EC2 user guide, "Deprecate an Amazon EC2 AMI"). One
    that was deregistered is at first left out, later it is an error (EC2 API reference,
    DescribeImages).
    """
    try:
        found = ec2.describe_images(ImageIds=[image], IncludeDeprecated=True)["Images"]
    except ClientError as error:
        # InvalidAMIID.NotFound, .Unavailable (EC2 API reference, "Error codes").
        if not error.response["Error"]["Code"].startswith("InvalidAMIID."):
            raise
        return False
    return any(one.get("State") == "available" for one in found)


def price_region(region: str) -> str:
    """Return the region in which to ask for the prices of `region`.

    The Price List answers in three only (AWS Billing user guide, "Price List endpoints"). China has
    one of its own, in yuan; GovCloud and the other partitions have none.

    Raises:
        PriceUnknown: outside the partition that is billed in dollars and has a Price List.
    """
    if region.startswith(("cn-", "us-gov-", "us-iso", "eu-iso", "eusc-")):
        raise PriceUnknown(
            f"the AWS Price List has no prices in dollars for {region}; limit jobs by time there "
            "(termination-method at-fixed-time)"
        )
    return {"eu": "eu-central-1", "ap": "ap-south-1"}.get(region.split("-")[0], "us-east-1")


def read_price(
    pricing: Callable[[], PricingClient],
    ec2: Callable[[], EC2Client],
    *,
    instance_type: str,
    spot: bool,
    volume_gb: int,
    subnet_id: str,
    region: str,
) -> Price:
    """Return what a machine costs an hour: instance, volume and public IPv4 address.

    The three are asked for side by side. A spot machine is reckoned at the highest price of any
    zone now, since it may be started in any of them.

    Raises:
        PriceUnknown: if AWS gives no price, or does not answer; the text says which and why.
    """
    instance: Callable[[], Decimal]
    if spot:
        source = "EC2 spot price history"
        instance = lambda: _spot_hourly(ec2(), instance_type)  # noqa: E731 - one of two
    else:
        source = "AWS Price List"
        instance = lambda: _on_demand_hourly(pricing(), instance_type, region)  # noqa: E731
    with ThreadPoolExecutor(max_workers=4) as pool:
        whole = pool.submit(on_demand_hourly, pricing, instance_type, region) if spot else None
        parts = {
            "instance": pool.submit(instance),
            "volume": pool.submit(lambda: _volume_hourly(pricing(), volume_gb, region)),
            "public-ipv4": pool.submit(lambda: _address_hourly(ec2, subnet_id)),
        }
        try:
            return Price(
                parts={name: part.result() for name, part in parts.items()},
                source=source,
                read=datetime.now(UTC),
                spot=spot,
                on_demand=_if_known(whole) if whole else None,
            )
        except _NO_PRICE as error:
            raise PriceUnknown(
                f"the price of {instance_type} could not be read: {error}"
            ) from error


def on_demand_hourly(
    pricing: Callable[[], PricingClient], instance_type: str, region: str
) -> Decimal:
    """Return what an instance costs an hour on demand, in US dollars.

    Raises:
        PriceUnknown: as `read_price`.
    """
    try:
        return _on_demand_hourly(pricing(), instance_type, region)
    except _NO_PRICE as error:
        raise PriceUnknown(f"the price of {instance_type} could not be read: {error}") from error


def _if_known(price: Future[Decimal]) -> Decimal | None:
    try:
        return price.result()
    except PriceUnknown:
        return None


def _on_demand_hourly(pricing: PricingClient, instance_type: str, region: str) -> Decimal:
    prices = _list_prices(
        pricing,
        instanceType=instance_type,
        regionCode=region,
        marketoption="OnDemand",
        capacitystatus="Used",
        preInstalledSw="NA",
        tenancy="Shared",
        operatingSystem="Linux",
    )
    return _highest(prices, f"{instance_type} in {region}")


def _volume_hourly(pricing: PricingClient, volume_gb: int, region: str) -> Decimal:
    prices = _list_prices(pricing, volumeApiName="gp3", productFamily="Storage", regionCode=region)
    return _highest(prices, f"gp3 volumes in {region}") * volume_gb / HOURS_PER_MONTH


def _list_prices(pricing: PricingClient, **attributes: str) -> Iterator[Decimal]:
    """Yield the US dollar prices of the EC2 products that have `attributes`."""
    filters: Any = [
        {"Type": "TERM_MATCH", "Field": field, "Value": value}
        for field, value in attributes.items()
    ]
    answer = pricing.get_products(ServiceCode="AmazonEC2", Filters=filters)
    for item in answer["PriceList"]:  # each a string that holds JSON
        for term in json.loads(item)["terms"].get("OnDemand", {}).values():
            for dimension in term["priceDimensions"].values():
                yield Decimal(dimension["pricePerUnit"].get("USD", "0"))


def _spot_hourly(ec2: EC2Client, instance_type: str) -> Decimal:
    # From now on: the price in force in each zone (API reference, DescribeSpotPriceHistory).
    answer = ec2.describe_spot_price_history(
        InstanceTypes=[instance_type],  # type: ignore[list-item] # any that is configured
        ProductDescriptions=["Linux/UNIX"],
        StartTime=datetime.now(UTC),
    )
    prices = (Decimal(item["SpotPrice"]) for item in answer["SpotPriceHistory"])
    return _highest(prices, f"{instance_type} on the spot market")


def _highest(prices: Iterator[Decimal], what: str) -> Decimal:
    # The highest, so that a product nobody thought of shortens a budget rather than breaks it.
    price = max(prices, default=Decimal(0))
    if price <= 0:
        raise PriceUnknown(f"AWS lists no price for {what}")
    return price


def _address_hourly(ec2: Callable[[], EC2Client], subnet_id: str) -> Decimal:
    if subnet_id:
        (subnet,) = ec2().describe_subnets(SubnetIds=[subnet_id])["Subnets"]
        if not subnet["MapPublicIpOnLaunch"]:
            return Decimal(0)
    return PUBLIC_IPV4_HOURLY  # a default subnet gives one
