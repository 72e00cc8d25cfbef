"""Which quota a machine counts against, what runs, and what EC2 would refuse for it."""

from __future__ import annotations

from collections import Counter
from types import SimpleNamespace
from typing import Any

import pytest
from botocore.exceptions import ClientError

from scripts.jobs import price_table
from scripts.planning import quotas
from scripts.planning.quotas import Standing, quota_of


@pytest.mark.parametrize(
    ("kind", "market", "code"),
    [
        ("t3.medium", "on-demand", "L-1216C47A"),
        ("c7i.large", "spot", "L-34B43A08"),
        ("is4gen.large", "spot", "L-34B43A08"),
        ("im4gn.large", "on-demand", "L-1216C47A"),
        ("inf2.xlarge", "on-demand", "L-1945791B"),
        ("i3en.large", "on-demand", "L-1216C47A"),
        ("g5.xlarge", "on-demand", "L-DB2E81BA"),
        ("gr6.4xlarge", "spot", "L-3819A6DF"),
        ("vt1.3xlarge", "spot", "L-3819A6DF"),
        ("p3.2xlarge", "spot", "L-7212CCBC"),
        ("p4d.24xlarge", "spot", "L-7212CCBC"),
        ("p5en.48xlarge", "spot", "L-C4BD4855"),
        ("p5.48xlarge", "on-demand", "L-417A185B"),
        ("p6-b200.48xlarge", "on-demand", "L-417A185B"),
        ("dl1.24xlarge", "on-demand", "L-6E869C2A"),
        ("d3.xlarge", "on-demand", "L-1216C47A"),
        ("trn1.2xlarge", "spot", "L-6B0D517C"),
        ("t4g.small", "spot", "L-34B43A08"),
        ("x2gd.large", "on-demand", "L-7295265B"),
        ("f2.6xlarge", "spot", "L-88CF9481"),
        ("hpc7a.12xlarge", "on-demand", "L-F7808C92"),
        ("u-6tb1.metal", "on-demand", "L-43DA4232"),
        ("u7i-12tb.224xlarge", "on-demand", "L-43DA4232"),
    ],
)
def test_a_machine_counts_against_the_quota_of_its_family(
    kind: str, market: str, code: str
) -> None:
    quota = quota_of(kind, market)
    assert quota is not None
    assert quota.code == code


def test_nearly_every_type_that_is_sold_by_the_hour_has_a_quota_on_demand() -> None:
    lacking = {kind for kind in price_table.HOURLY_USD if quota_of(kind, "on-demand") is None}
    assert lacking == {"cr1.8xlarge"}  # of 2013; the page of quotas does not name its family


@pytest.mark.parametrize("kind", ["p6-b200.48xlarge", "hpc7a.12xlarge", "u-6tb1.metal"])
def test_what_has_no_known_quota_is_not_guessed(kind: str) -> None:
    assert quota_of(kind, "spot") is None


def test_no_quota_has_two_names() -> None:
    held = [
        row[market] for row in quotas._ROWS for market in ("on-demand", "spot") if market in row
    ]
    assert len({code for code, *_ in held}) == len({tuple(each) for each in held})


class Service:
    """Service Quotas of an account that has some values of its own."""

    def __init__(self, own: dict[str, float], error: str = "NoSuchResourceException") -> None:
        self.own, self.error = own, error

    def get_service_quota(self, *, ServiceCode: str, QuotaCode: str) -> Any:  # noqa: N803
        assert ServiceCode == "ec2"
        if QuotaCode in self.own:
            return {"Quota": {"Value": self.own[QuotaCode]}}
        raise ClientError({"Error": {"Code": self.error, "Message": "no"}}, "GetServiceQuota")

    def get_aws_default_service_quota(self, *, ServiceCode: str, QuotaCode: str) -> Any:  # noqa: N803
        assert ServiceCode == "ec2"
        assert QuotaCode not in self.own
        return {"Quota": {"Value": 5.0}}


def test_an_accounts_own_value_counts_and_else_awss_default() -> None:
    quota = quota_of("g5.xlarge", "on-demand")
    assert quota is not None
    assert quotas.read_limit(Service({quota.code: 0.0}), quota) == 0
    assert quotas.read_limit(Service({}), quota) == 5
    with pytest.raises(ClientError):
        quotas.read_limit(Service({}, "AccessDeniedException"), quota)


def machine(kind: str, state: str, lifecycle: str = "") -> dict[str, Any]:
    found: dict[str, Any] = {"InstanceType": kind, "State": {"Name": state}}
    return found | ({"InstanceLifecycle": lifecycle} if lifecycle else {})


def test_what_counts_is_what_runs_and_of_spot_also_what_is_asked_for() -> None:
    instances = [
        machine("t3.large", "running"),
        machine("t3.large", "pending"),
        machine("m5.large", "pending", "spot"),
        machine("p5.48xlarge", "running", "capacity-block"),
    ]
    pages = [{"Reservations": [{"Instances": instances}]}]
    listing = SimpleNamespace(paginate=lambda **_: pages)
    found = quotas.running(SimpleNamespace(get_paginator=lambda _name: listing))
    assert found == {("t3.large", "on-demand"): 1, ("m5.large", "spot"): 1}


def test_vcpus_are_counted_by_quota_whatever_the_type() -> None:
    machines = Counter(
        {("t3.large", "on-demand"): 2, ("c5.xlarge", "on-demand"): 1, ("g5.xlarge", "on-demand"): 3}
    )
    vcpus = {"t3.large": 2, "c5.xlarge": 4, "g5.xlarge": 4}
    standard = quota_of("m7i.large", "on-demand")
    assert standard is not None
    assert quotas.used(machines, vcpus, standard) == 8
    assert quotas.types_in(machines, [standard.code]) == {"t3.large", "c5.xlarge"}


@pytest.mark.parametrize(
    ("limit", "used", "refused"),
    [(0, 0, True), (3, 0, True), (4, 0, False), (8, 4, False), (8, 5, True), (4, 9, True)],
)
def test_a_machine_is_refused_where_the_rest_of_its_quota_is_less_than_it_has(
    limit: int, used: int, refused: bool
) -> None:
    quota = quota_of("g5.xlarge", "on-demand")
    assert quota is not None
    standing = Standing(quota=quota, limit=limit, used=used)
    said = quotas.refusal("g5.xlarge", 4, standing, "eu-west-1")
    assert (said is not None) == refused
    if said:
        assert "g5.xlarge needs 4 vCPUs" in said
        assert f"is {limit} in eu-west-1" in said
        assert f"--quota-code L-DB2E81BA --desired-value {used + 4} --region eu-west-1" in said
