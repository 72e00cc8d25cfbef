"""Which launch a rule of capacity refuses, and EC2's words for it."""

from __future__ import annotations

import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from scripts.local import capacity, faults

SAMPLES = json.loads((Path(__file__).parents[2] / "data" / "ec2-refusals.json").read_text())
LAUNCH = {
    "instance-type": "g5.xlarge",
    "market": "spot",
    "zone": "us-east-1a",
    "subnet": "subnet-00000001",
}
FACTS = {
    "type": "g5.xlarge",
    "zone": "us-east-1a",
    "subnet": "subnet-00000001",
    "others": "us-east-1b, us-east-1c",
    "most": "0.3",
    "price": "0.4",
}


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(faults, "_home", tmp_path)
    return tmp_path


def write(home: Path, *rules: dict[str, Any]) -> None:
    faults.write(home, {"capacity": list(rules)})


def refused(**other: str) -> str | None:
    rule = faults.of_capacity(LAUNCH | other)
    return rule.error if rule else None


def test_the_first_rule_that_fits_refuses(home: Path) -> None:
    write(
        home,
        {"instance-type": "p5.*", "error": "Blocked"},
        {"instance-type": "g5.*", "zone": "us-east-1a", "error": "InsufficientInstanceCapacity"},
        {"market": "spot", "error": "MaxSpotInstanceCountExceeded"},
    )
    assert refused() == "InsufficientInstanceCapacity"
    assert refused(zone="us-east-1b") == "MaxSpotInstanceCountExceeded"
    assert refused(zone="us-east-1b", market="on-demand") is None
    assert refused(**{"instance-type": "p5.48xlarge", "market": "on-demand"}) == "Blocked"


def test_a_rule_is_spent_after_its_times_until_it_is_written_again(home: Path) -> None:
    rule = {"error": "InternalError", "times": 2}
    write(home, rule)
    for _ in range(2):
        found = faults.of_capacity(LAUNCH)
        assert found is not None
        faults.strike(found)
    assert refused() is None
    write(home, rule)
    assert refused() == "InternalError"


def test_a_price_moves_everywhere_or_in_one_zone(home: Path) -> None:
    prices = {"m5.large": "0.05", "g5.xlarge": {"us-east-1b": "0.3"}}
    faults.write(home, {"spot-usd": prices, "not-offered": {"p5.*": ["us-east-1c"]}})
    assert faults.spot_usd("m5.large", "us-east-1a") == Decimal("0.05")
    assert faults.spot_usd("g5.xlarge", "us-east-1b") == Decimal("0.3")
    assert faults.spot_usd("g5.xlarge", "us-east-1a") is None
    assert not faults.is_offered("p5.48xlarge", "us-east-1c")
    assert faults.is_offered("p5.48xlarge", "us-east-1a")


@pytest.mark.parametrize(
    "wrong",
    [
        {"capacity": [{"error": "NoSuchCode"}]},
        {"capacity": [{"instance-type": "g5.*"}]},
        {"capacity": [{"type": "g5.*", "error": "Blocked"}]},
        {"spot-usd": {"m5.large": "cheap"}},
        {"spot-usd": {"m5.large": {"us-east-1a": "cheap"}}},
    ],
)
def test_a_rule_that_means_nothing_is_not_written(home: Path, wrong: dict[str, Any]) -> None:
    with pytest.raises(faults.UnknownFault, match="no such fault"):
        faults.write(home, wrong)


@pytest.mark.parametrize(
    ("code", "named", "spot", "others", "said"),
    [
        (
            "InsufficientInstanceCapacity",
            *(True, False, "us-east-1b"),
            "sufficient g5.xlarge capacity in the Availability Zone you requested (us-east-1a). "
            "Our system will be working on provisioning additional capacity. You can currently "
            "get g5.xlarge capacity by not specifying an Availability Zone in your request or "
            "choosing us-east-1b.",
        ),
        (
            "InsufficientInstanceCapacity",
            *(True, False, ""),
            "(us-east-1a). Our system will be working on provisioning additional capacity.",
        ),
        (
            "InsufficientInstanceCapacity",
            *(False, False, ""),
            "sufficient g5.xlarge capacity in zones with support for 'gp3' volumes.",
        ),
        (
            "InsufficientInstanceCapacity",
            *(True, True, "us-east-1b"),
            "There is no Spot capacity available that matches your request.",
        ),
        (
            "SpotMaxPriceTooLow",
            *(True, True, ""),
            "price of 0.3 is lower than the minimum required Spot request fulfillment price of "
            "0.4.",
        ),
        (
            "InsufficientFreeAddressesInSubnet",
            *(True, False, ""),
            "free addresses in subnet 'subnet-00000001'",
        ),
    ],
)
def test_the_words_are_ec2s(code: str, named: bool, spot: bool, others: str, said: str) -> None:
    text = capacity.message(code, named=named, spot=spot, facts=FACTS | {"others": others})
    assert said in text


def test_cloudformation_reports_text_and_status_but_not_the_code() -> None:
    refusal = capacity.refused("InsufficientInstanceCapacity", "No machine.")
    words = str(refusal)
    assert refusal.code == "InsufficientInstanceCapacity"
    assert words.startswith(
        'Resource handler returned message: "No machine. (Service: Ec2, Status Code: 500, '
        "Request ID: "
    )
    assert words.endswith("HandlerErrorCode: GeneralServiceException)")
    assert refusal.code not in words


def test_each_refusal_has_samples_with_and_without_its_code() -> None:
    for code in capacity.REFUSALS:
        texts = [sample["text"] for sample in SAMPLES if sample["code"] == code]
        assert [text for text in texts if code in text], code
        assert [text for text in texts if code not in text], code
    assert all(sample["source"] for sample in SAMPLES)
