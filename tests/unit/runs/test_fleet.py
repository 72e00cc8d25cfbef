"""What a deployment says of its machines reaches every one of them, and refuses others in words."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from parris.aws.prices import price_region
from parris.errors import InvalidConfig, PriceUnknown
from parris.jobs.config import read_config
from parris.launch.render import stack_parameters
from parris.runs.fleet import Fleet, fill_slots
from parris.runs.plan import RunPlan, plan_run, run_id_for
from tests.plans import NOW, SETTINGS, read_request

ROOT = Path(__file__).resolve().parents[3]
TEMPLATE = (ROOT / "cloudformation/training-stack.yaml").read_text()
KINDS = ["instance", "volume", "network-interface", "spot-instances-request"]


class Template(yaml.SafeLoader):
    """YAML whose !If, !Ref and !Sub are read as what they hold."""


def _held(loader: yaml.SafeLoader, _name: str, node: yaml.Node) -> Any:
    if isinstance(node, yaml.SequenceNode):
        return loader.construct_sequence(node, deep=True)
    return loader.construct_scalar(node)  # type: ignore[arg-type]


Template.add_multi_constructor("!", _held)


def machine(template: str) -> dict[str, Any]:
    read = yaml.load(template, Loader=Template)  # noqa: S506 - a SafeLoader
    data: dict[str, Any] = read["Resources"]["Machine"]["Properties"]["LaunchTemplateData"]
    return data


def tags_by_kind(template: str) -> dict[str, dict[str, str]]:
    found = machine(template)["TagSpecifications"]
    found = [one[1] if isinstance(one, list) else one for one in found]  # what !If holds
    return {one["ResourceType"]: {tag["Key"]: tag["Value"] for tag in one["Tags"]} for one in found}


def planned(fleet: Fleet, config: str = "{}", event: str = "e") -> RunPlan:
    request = read_request({"event-id": event}, "r")
    settings = replace(SETTINGS, fleet=fleet)
    run_id = run_id_for(request, NOW)
    read = read_config(config, "test")
    return plan_run(request, read, settings, NOW, run_id=run_id, nonce="nonce")


def test_own_tags_reach_everything_that_a_launch_makes() -> None:
    own = {"cost-centre": "42: lab", "Owner": 'Ada "A." \U0001f680 #1 ${x}'}
    tags = tags_by_kind(fill_slots(TEMPLATE, own, ""))
    assert list(tags) == KINDS
    for kind in KINDS:
        assert {key: tags[kind][key] for key in own} == own, kind
        assert tags[kind]["parris:deployment"] == "Deployment"  # what !Ref holds


def test_a_tag_is_named_once() -> None:
    text = fill_slots(TEMPLATE, {"Name": "theirs", "parris:job": "forged"}, "")
    assert text == fill_slots(TEMPLATE, {}, "")
    assert "{{tags}}\n" not in text


def test_the_deployments_key_encrypts_the_volume_and_no_key_is_the_accounts_own() -> None:
    key = "arn:aws:kms:eu-west-1:123456789012:key/1"
    [volume] = machine(fill_slots(TEMPLATE, {}, key))["BlockDeviceMappings"]
    assert volume["Ebs"]["KmsKeyId"] == key
    assert volume["Ebs"]["DeleteOnTermination"] is True
    [volume] = machine(fill_slots(TEMPLATE, {}, ""))["BlockDeviceMappings"]
    assert "KmsKeyId" not in volume["Ebs"]


def test_a_template_without_slots_stays_as_it_is() -> None:
    own = '{"Resources": {"A": {"UserData": "{{user-data}}"}}}'
    assert fill_slots(own, {"team": "vision"}, "arn:key") == own


def test_runs_spread_over_the_subnets_and_each_keeps_its_own() -> None:
    fleet = Fleet(subnets=("subnet-a", "subnet-b", "subnet-c"))
    found = [planned(fleet, event=f"e{number}").rung.subnet_id for number in range(50)]
    assert set(found) == set(fleet.subnets)
    assert found == [planned(fleet, event=f"e{number}").rung.subnet_id for number in range(50)]


def test_the_deployments_network_is_used_where_the_job_names_none() -> None:
    fleet = Fleet(subnets=("subnet-a",), groups=("sg-1", "sg-2"))
    parameters = stack_parameters(planned(fleet), "ami-1", "arn:r", "g")
    assert (parameters["SubnetId"], parameters["SecurityGroupId"]) == ("subnet-a", "sg-1,sg-2")
    own = planned(
        fleet,
        '{"subnet-id": "subnet-0123456789abcdef0", "security-group-id": "sg-0123456789abcdef0"}',
    )
    parameters = stack_parameters(own, "ami-1", "arn:r", "g")
    assert (parameters["SubnetId"], parameters["SecurityGroupId"]) == (
        "subnet-0123456789abcdef0",
        "sg-0123456789abcdef0",
    )
    parameters = stack_parameters(planned(Fleet()), "ami-1", "arn:r", "g")
    assert (parameters["SubnetId"], parameters["SecurityGroupId"]) == ("", "")


@pytest.mark.parametrize(
    ("wanted", "allowed"),
    [("t3.small", True), ("g5.xlarge", True), ("g5.12xlarge", False), ("p5.48xlarge", False)],
)
def test_only_allowed_instance_types_are_launched(wanted: str, allowed: bool) -> None:
    fleet = Fleet(types=("t3.*", "g5.?large"))
    config = f'{{"instance-type": "{wanted}"}}'
    if allowed:
        assert planned(fleet, config).rung.instance_type == wanted
        return
    with pytest.raises(InvalidConfig, match=r"t3\.\*.*allowed_instance_types"):
        planned(fleet, config)


def test_default_images_are_refused_where_only_other_owners_are_allowed() -> None:
    fleet = Fleet(owners=("123456789012",))
    with pytest.raises(InvalidConfig, match=r"123456789012.*allowed_image_owners.*ami-"):
        planned(fleet)
    assert planned(fleet, '{"image": "ami-0123456789abcdef0"}').image.startswith("ami-")
    assert planned(Fleet(owners=("amazon",))).image.startswith("/aws/")


@pytest.mark.parametrize(
    ("region", "asked"),
    [
        ("eu-west-1", "eu-central-1"),
        ("ap-southeast-2", "ap-south-1"),
        ("us-west-2", "us-east-1"),
        ("sa-east-1", "us-east-1"),
    ],
)
def test_prices_are_asked_for_nearby(region: str, asked: str) -> None:
    assert price_region(region) == asked


@pytest.mark.parametrize("region", ["cn-north-1", "us-gov-west-1", "us-iso-east-1"])
def test_where_there_is_no_price_list_in_dollars_it_is_said_in_words(region: str) -> None:
    with pytest.raises(PriceUnknown, match=f"{region}.*at-fixed-time"):
        price_region(region)
