"""What a refusal of EC2's means for the next try, row by row."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from parris.runs import refusals
from parris.runs.ladder import Ladder, Rung
from parris.runs.refusals import cause_of

LADDER = Ladder(
    instance_types=("g5.xlarge", "g5.2xlarge", "g4dn.xlarge"),
    markets=("spot", "on-demand"),
    subnets=("subnet-a", "subnet-b"),
)


def left(refused: Rung, text: str) -> list[tuple[str, str, str]]:
    """Return the rungs that are still worth asking for, as (type, market, subnet)."""
    cause = cause_of(text)
    return [
        (rung.instance_type, rung.market, rung.subnet_id)
        for rung in LADDER.rungs()
        if not cause.rules_out(refused, rung)
    ]


FIRST = LADDER.rungs()[0]


def without(*ruled_out: tuple[str, str, str]) -> list[tuple[str, str, str]]:
    every = [(rung.instance_type, rung.market, rung.subnet_id) for rung in LADDER.rungs()]
    return [rung for rung in every if rung not in ruled_out]


def test_another_place_comes_before_another_type_and_that_before_another_market() -> None:
    rungs = LADDER.rungs()
    assert [rung.subnet_id for rung in rungs[:2]] == ["subnet-a", "subnet-b"]
    assert [rung.instance_type for rung in rungs[:6:2]] == list(LADDER.instance_types)
    assert [rung.market for rung in rungs] == ["spot"] * 6 + ["on-demand"] * 6


@pytest.mark.parametrize(
    "text",
    [
        "We currently do not have sufficient g5.xlarge capacity in the Availability Zone you "
        "requested (us-east-1a). Our system will be working on provisioning additional capacity.",
        "InsufficientInstanceCapacity",
        "There is no Spot capacity available that matches your request.",
        "UnfulfillableCapacity: Unable to fulfill capacity due to your request configuration",
        "SpotMaxPriceTooLow",
        "Your Spot request price of 0.001 is lower than the minimum required Spot request "
        "fulfillment price of 0.3.",
        "Instance i-0123456789abcdef0 failed to stabilize. Current state: shutting-down. Reason: "
        "Server.SpotInstanceTermination: Spot instance termination",
    ],
)
def test_want_of_capacity_rules_out_this_rung_alone(text: str) -> None:
    assert left(FIRST, text) == without(("g5.xlarge", "spot", "subnet-a"))
    assert cause_of(text).passes


def test_a_type_that_a_zone_does_not_have_is_not_asked_for_there_in_any_market() -> None:
    text = (
        "Unsupported: Your requested instance type (g5.xlarge) is not supported in your requested "
        "Availability Zone (us-east-1e). Please retry your request by not specifying one."
    )
    gone = [("g5.xlarge", market, "subnet-a") for market in ("spot", "on-demand")]
    assert left(FIRST, text) == without(*gone)
    assert not cause_of(text).passes


def test_a_full_subnet_rules_out_that_subnet() -> None:
    text = "InsufficientFreeAddressesInSubnet"
    assert {subnet for _, _, subnet in left(FIRST, text)} == {"subnet-b"}


def test_the_quota_of_spot_machines_leaves_those_on_demand() -> None:
    assert {market for _, market, _ in left(FIRST, "Max spot instance count exceeded")} == {
        "on-demand"
    }


def test_a_quota_leaves_other_families_and_other_markets() -> None:
    text = (
        "You have requested more vCPU capacity than your current vCPU limit of 8 allows for the "
        "instance bucket that the specified instance type belongs to."
    )
    assert {(kind, market) for kind, market, _ in left(FIRST, text)} == {
        ("g4dn.xlarge", "spot"),
        *((kind, "on-demand") for kind in LADDER.instance_types),
    }


@pytest.mark.parametrize("text", ["RequestLimitExceeded", "InternalError", "Unavailable"])
def test_when_ec2_itself_is_unwell_the_same_rung_is_tried_later(text: str) -> None:
    assert left(FIRST, text) == without()
    assert cause_of(text).passes


@pytest.mark.parametrize(
    "text",
    [
        "OptInRequired",
        "Blocked",
        "You are not authorized to perform this operation. Encoded authorization failure message",
        "The image id '[ami-1]' does not exist (InvalidAMIID.NotFound)",
        "Client.InternalError: Client error on launch",
        "Unsupported: The requested configuration is currently not supported.",
        "something that nobody has seen",
    ],
)
def test_what_no_other_machine_would_cure_ends_the_tries(text: str) -> None:
    assert left(FIRST, text) == []
    assert not cause_of(text).passes


def test_each_cause_is_known_by_its_word() -> None:
    assert all(refusals.CAUSES[cause.word] is cause for cause in refusals.CAUSES.values())
    assert len(refusals.CAUSES) == 8


SEEN = json.loads((Path(__file__).parents[2] / "data" / "ec2-refusals.json").read_text())
MEANS = {
    "InsufficientInstanceCapacity": refusals.CAPACITY,
    "UnfulfillableCapacity": refusals.CAPACITY,
    "InsufficientFreeAddressesInSubnet": refusals.ADDRESSES,
    "SpotMaxPriceTooLow": refusals.SPOT_PRICE,
    "MaxSpotInstanceCountExceeded": refusals.SPOT_QUOTA,
    "VcpuLimitExceeded": refusals.QUOTA,
    "InstanceLimitExceeded": refusals.QUOTA,
    "RequestLimitExceeded": refusals.LATER,
    "InternalError": refusals.LATER,
    "Unavailable": refusals.LATER,
    "OptInRequired": refusals.FOR_GOOD,
    "Blocked": refusals.FOR_GOOD,
    "UnauthorizedOperation": refusals.FOR_GOOD,
    "InvalidParameterValue": refusals.FOR_GOOD,
}


@pytest.mark.parametrize("seen", SEEN, ids=lambda seen: f"{seen['code']}-{len(seen['text'])}")
def test_texts_as_they_were_seen_in_the_field_mean_what_their_codes_do(
    seen: dict[str, str],
) -> None:
    means = MEANS.get(seen["code"])
    if seen["code"] == "Unsupported":
        means = refusals.NOT_OFFERED if "Availability Zone" in seen["text"] else refusals.FOR_GOOD
    assert cause_of(seen["text"]) is means, seen["text"]
