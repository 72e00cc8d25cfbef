"""Where an instance goes, what EC2 says when it has no machine there, and what it costs now."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import pytest

from scripts.local import faults
from tests.e2e.embedded_world import World, eventually, template

SCRIPT = "#!/bin/bash\nsleep 600\n"
SPOT = {"MarketType": "spot"}
GONE = ("ROLLBACK_COMPLETE", "CREATE_COMPLETE")


@pytest.fixture(autouse=True)
def _sound_again(world: World) -> Iterator[None]:
    yield
    faults.write(world.home, {})


def subnets(world: World) -> dict[str, str]:
    """Return the default subnets by zone."""
    found = world.ec2.describe_subnets(Filters=[{"Name": "default-for-az", "Values": ["true"]}])
    return {one["AvailabilityZone"]: one["SubnetId"] for one in found["Subnets"]}


def launch(
    world: World, name: str, *, instance: dict[str, Any] | None = None, **data: Any
) -> dict[str, Any] | str:
    """Return the instance of a new stack, or why there is none; delete the stack."""
    made = world.cloudformation.create_stack(
        StackName=name, TemplateBody=template(SCRIPT, instance=instance, **data)
    )["StackId"]

    def stack() -> dict[str, Any]:
        return dict(world.cloudformation.describe_stacks(StackName=made)["Stacks"][0])

    eventually(lambda: stack()["StackStatus"] in GONE, "the stack has settled")
    if stack()["StackStatus"] == "CREATE_COMPLETE":
        found: dict[str, Any] | str = world.describe(world.instance_of(name))
    else:
        events = world.cloudformation.describe_stack_events(StackName=made)["StackEvents"]
        (found,) = [
            event["ResourceStatusReason"]
            for event in events
            if event["ResourceStatus"] == "CREATE_FAILED"
        ]
    world.cloudformation.delete_stack(StackName=made)
    return found


def test_an_instance_is_in_its_subnets_zone(world: World) -> None:
    places = subnets(world)
    assert len(places) >= 3
    zone, subnet = sorted(places.items())[1]
    found = launch(world, "by-subnet", instance={"SubnetId": subnet})
    assert isinstance(found, dict)
    assert (found["Placement"]["AvailabilityZone"], found["SubnetId"]) == (zone, subnet)
    found = launch(world, "by-zone", instance={"AvailabilityZone": zone})
    assert isinstance(found, dict)
    assert (found["Placement"]["AvailabilityZone"], found["SubnetId"]) == (zone, subnet)


def test_a_zone_without_machines_refuses_and_names_those_that_have_some(world: World) -> None:
    zone, subnet = sorted(subnets(world).items())[0]
    rule = {"instance-type": "m5.*", "zone": zone, "error": "InsufficientInstanceCapacity"}
    faults.write(world.home, {"capacity": [rule | {"times": 1}]})
    said = launch(world, "short", instance={"SubnetId": subnet})
    assert isinstance(said, str)
    assert said.startswith(
        'Resource handler returned message: "We currently do not have sufficient m5.large '
        f"capacity in the Availability Zone you requested ({zone}). Our system will be working on "
        "provisioning additional capacity. You can currently get m5.large capacity by not "
        "specifying an Availability Zone in your request or choosing us-east-1b, us-east-1c. "
        "(Service: Ec2, Status Code: 500, Request ID: "
    )
    assert isinstance(launch(world, "short-2", instance={"SubnetId": subnet}), dict)


def test_a_launch_without_a_zone_goes_where_a_machine_is(world: World) -> None:
    first, second, *_ = sorted(subnets(world))
    rule = {"zone": first, "error": "InsufficientInstanceCapacity"}
    faults.write(world.home, {"capacity": [rule]})
    found = launch(world, "anywhere")
    assert isinstance(found, dict)
    assert found["Placement"]["AvailabilityZone"] == second
    faults.write(world.home, {"capacity": [{"market": "spot", "error": rule["error"]}]})
    said = launch(world, "nowhere", InstanceMarketOptions=SPOT)
    assert "There is no Spot capacity available that matches your request." in said


def test_a_type_is_offered_in_some_zones_only(world: World) -> None:
    zones = sorted(subnets(world))
    faults.write(world.home, {"not-offered": {"m5.*": zones[:1]}})
    answer = world.ec2.describe_instance_type_offerings(
        LocationType="availability-zone",
        Filters=[{"Name": "instance-type", "Values": ["m5.large"]}],
    )["InstanceTypeOfferings"]
    assert [(one["InstanceType"], one["Location"]) for one in answer] == [
        ("m5.large", zone) for zone in zones[1:]
    ]
    in_region = world.ec2.describe_instance_type_offerings(
        Filters=[{"Name": "instance-type", "Values": ["m5.l*"]}]
    )["InstanceTypeOfferings"]
    assert [(one["InstanceType"], one["Location"]) for one in in_region] == [
        ("m5.large", "us-east-1")
    ]
    said = launch(world, "unoffered", instance={"AvailabilityZone": zones[0]})
    assert (
        f"Your requested instance type (m5.large) is not supported in your requested Availability "
        f"Zone ({zones[0]}). Please retry your request by not specifying an Availability Zone or "
        f"choosing {', '.join(zones[1:])}. (Service: Ec2, Status Code: 400, "
    ) in said


def test_a_spot_price_moves_and_refuses_who_pays_less(world: World) -> None:
    options = SPOT | {"SpotOptions": {"MaxPrice": "0.06"}}
    assert isinstance(launch(world, "enough", InstanceMarketOptions=options), dict)
    faults.write(world.home, {"spot-usd": {"m5.large": "0.07"}})
    history = world.ec2.describe_spot_price_history(InstanceTypes=["m5.large"])
    assert {Decimal(one["SpotPrice"]) for one in history["SpotPriceHistory"]} == {Decimal("0.07")}
    assert (
        "Your Spot request price of 0.06 is lower than the minimum required Spot request "
        "fulfillment price of 0.07. (Service: Ec2, Status Code: 400, "
    ) in launch(world, "too-little", InstanceMarketOptions=options)
    found = launch(world, "on-demands-price", InstanceMarketOptions=SPOT)  # 0.096 at most
    assert isinstance(found, dict)
