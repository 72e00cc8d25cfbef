"""A run of several machines, as it is configured, priced, rendered and judged."""

from __future__ import annotations

import base64
import gzip
import json
import re
import subprocess
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from parris.aws.instances import _heads, read_machine
from parris.errors import InvalidConfig
from parris.jobs.config import MOST_NODES, read_config
from parris.launch import prepare
from parris.launch.nodes import Network
from parris.launch.render import MAX_TEMPLATE_BYTES, NODE_TYPES, RESOURCE_TYPES
from parris.runs.budget import Price
from parris.runs.lifecycle import Facts, Machine, judge
from parris.runs.priced import within_budget
from parris.runs.receipt import receipt
from tests.plans import NOW, SETTINGS, plan

ROOT = Path(__file__).resolve().parents[3]
MACHINE = prepare.Machine(
    template=(ROOT / "cloudformation/training-stack.yaml").read_text(),
    user_data=(ROOT / "trainer/runtime/user-data.sh").read_text(),
)
IMAGE = "ami-0123456789abcdef0"
PRICE = Price(
    parts={"instance": Decimal("0.10"), "volume": Decimal("0.01"), "public-ipv4": Decimal("0.005")},
    source="test",
    read=NOW,
    spot=False,
)


def template(nodes: int) -> str:
    return prepare.stack_call(
        plan(f'{{"nodes": {nodes}}}'), SETTINGS, MACHINE.template, IMAGE, MACHINE
    ).template


def lint(text: str, folder: Path) -> None:
    path = folder / "stack.yaml"
    path.write_text(text)
    command = [ROOT / ".venv/bin/python", ROOT / ".venv/bin/cfn-lint", path]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("nodes", [0, MOST_NODES + 1, "2", 1.5, True])
def test_a_number_of_nodes_is_a_whole_one_within_bounds(nodes: Any) -> None:
    with pytest.raises(InvalidConfig, match="nodes: "):
        read_config(json.dumps({"nodes": nodes}), "test")


def test_a_jobs_own_template_makes_one_machine() -> None:
    with pytest.raises(InvalidConfig, match="a job's own template makes one machine"):
        read_config('{"nodes": 2, "cloudformation-template-filename": "own.yaml"}', "test")
    original = '{"nodes": 2, "cloudformation-template-filename": "cloudformation.json"}'
    assert read_config(original, "test").nodes == 2


def test_one_node_is_rendered_as_a_run_without_the_key() -> None:
    without = prepare.stack_call(plan(), SETTINGS, MACHINE.template, IMAGE, MACHINE)
    assert template(1) == without.template
    assert "nodes" not in without.template
    assert "nodes" not in receipt(plan())
    assert receipt(plan('{"nodes": 3}'))["nodes"] == 3


def test_the_longest_run_of_nodes_fits_into_a_template_with_many_tags() -> None:
    tags = {f"tag-{number}": "v" * 100 for number in range(20)}
    settings = replace(SETTINGS, stack_tags=tags)
    many = plan(f'{{"nodes": {MOST_NODES}}}')
    network = Network(vpc="vpc-0123456789abcdef0", is_cluster=True)
    call = prepare.stack_call(many, settings, MACHINE.template, IMAGE, MACHINE, network)
    assert len(call.template.encode()) < MAX_TEMPLATE_BYTES
    assert len(re.findall("Type: AWS::EC2::Instance\n", call.template)) == MOST_NODES


@pytest.mark.parametrize("nodes", [2, MOST_NODES])
def test_what_is_rendered_for_nodes_is_sound(nodes: int, tmp_path: Path) -> None:
    lint(template(nodes), tmp_path)


def test_nodes_are_in_a_group_of_their_own_in_the_vpc_of_the_subnet() -> None:
    where = '"placement": "any", "subnet-id": "subnet-0123456789abcdef0"'
    subnet = plan(f'{{"nodes": 2, {where}}}')
    asked: list[Any] = []

    def describe_subnets(**words: Any) -> Any:
        asked.append(words)
        return {"Subnets": [{"VpcId": "vpc-1"}]}

    clients: Any = SimpleNamespace(ec2=lambda: SimpleNamespace(describe_subnets=describe_subnets))
    network = prepare.read_network(subnet, clients)
    assert network == Network(vpc="vpc-1")
    assert asked == [{"SubnetIds": ["subnet-0123456789abcdef0"]}]
    without = '{"nodes": 2, "placement": "any"}', '{"subnet-id": "subnet-0123456789abcdef0"}'
    for config in without:
        assert prepare.read_network(plan(config), clients) == Network()
    call = prepare.stack_call(subnet, SETTINGS, MACHINE.template, IMAGE, MACHINE, network)
    assert "      VpcId: vpc-1\n" in call.template
    assert "VpcId" not in template(2)
    # Its own group, and those that are named beside it.
    groups = call.template.partition("SecurityGroupIds:")[2].splitlines()[1:4]
    assert [line.strip() for line in groups] == [
        "- HasSecurityGroup",
        '- !Split [",", !Join [",", [!GetAtt Nodes.GroupId, !Ref SecurityGroupId]]]',
        "- [!GetAtt Nodes.GroupId]",
    ]
    assert call.resource_types == (*RESOURCE_TYPES, *NODE_TYPES)


@pytest.mark.parametrize(
    ("strategies", "is_cluster"),
    [(["cluster", "partition", "spread"], True), (["partition", "spread"], False), (None, False)],
)
def test_nodes_are_in_a_placement_group_where_their_type_has_one(
    strategies: list[str] | None, is_cluster: bool, tmp_path: Path
) -> None:
    asked: list[Any] = []

    def describe_instance_types(**words: Any) -> Any:
        asked.append(words)
        info = {} if strategies is None else {"SupportedStrategies": strategies}
        return {"InstanceTypes": [{"PlacementGroupInfo": info}]}

    ec2 = SimpleNamespace(describe_instance_types=describe_instance_types)
    clients: Any = SimpleNamespace(ec2=lambda: ec2)
    two = plan('{"nodes": 2, "instance-type": "c7i.large"}')
    network = prepare.read_network(two, clients)
    assert network == Network(is_cluster=is_cluster)
    assert asked == [{"InstanceTypes": ["c7i.large"]}]
    text = prepare.stack_call(two, SETTINGS, MACHINE.template, IMAGE, MACHINE, network).template
    assert text.count("      PlacementGroupName: !Ref Cluster\n") == (2 if is_cluster else 0)
    assert ("Type: AWS::EC2::PlacementGroup" in text) is is_cluster
    lint(text, tmp_path)


def test_a_template_of_the_jobs_own_that_bears_our_name_is_refused() -> None:
    own = MACHINE.template.replace("      # {{nodes}}\n", "")
    with pytest.raises(InvalidConfig, match="a job's own template makes one machine"):
        prepare.stack_call(plan('{"nodes": 2}'), SETTINGS, own, IMAGE, MACHINE)


def test_a_node_boots_what_a_machine_alone_boots_with_its_rank_and_the_heads_address(
    tmp_path: Path,
) -> None:
    text = template(2)
    (script,) = re.findall(r"^      Script: (\".*\")$", text, re.MULTILINE)
    (begin,) = re.findall(r'- - ("#!.*RANK=1")', text)
    boot = json.loads(begin) + " PARRIS_HEAD=" + "10.0.0.7" + json.loads(script)
    assert len(boot) < 16_384
    tools = tmp_path / "bin"
    tools.mkdir()
    # What it execs is printed instead; whatever switches a machine off fails the test.
    (tools / "bash").write_text('#!/bin/sh\nexec cat "$1"\n')
    for name in ("shutdown", "poweroff"):
        (tools / name).write_text("#!/bin/sh\necho OFF\n")
    for path in tools.iterdir():
        path.chmod(0o755)
    done = subprocess.run(
        ["/bin/bash", "-c", boot],
        env={"PATH": f"{tools}:/usr/bin:/bin", "TMPDIR": str(tmp_path)},
        capture_output=True,
        text=True,
        check=True,
    )
    first, rest = done.stdout.split("\n", 1)
    assert first == "export PARRIS_NODE_RANK=1 PARRIS_HEAD=10.0.0.7"
    assert "export PARRIS_NODES=2\n" in rest
    assert rest.replace("export PARRIS_NODES=2\n", "").endswith(MACHINE.user_data.split("\n", 1)[1])
    packed = re.search("<<<(\\S+)", json.loads(script))
    assert packed
    damaged = boot.replace(packed[1], base64.b64encode(gzip.compress(b"x")[:-4]).decode())
    done = subprocess.run(
        ["/bin/bash", "-c", damaged],
        env={"PATH": f"{tools}:/usr/bin:/bin", "TMPDIR": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout == "OFF\n"


def test_dollars_are_of_all_nodes() -> None:
    four = replace(PRICE, nodes=4)
    assert four.hourly_usd == 4 * PRICE.hourly_usd == Decimal("0.460")
    record = four.record()
    assert record["hourly-usd"] == "0.460000"
    assert record["instance-hourly-usd"] == "0.400000"
    spot = replace(four, spot=True, on_demand=Decimal("0.30"))
    assert spot.max_spot_price == "0.10"  # of one machine, as EC2 is asked for each
    assert spot.record()["on-demand-hourly-usd"] == f"{4 * (0.30 + 0.015):.6f}"


def test_a_budget_buys_four_nodes_a_quarter_of_the_time() -> None:
    config = '{{"nodes": {}, "termination-method": "around-cost", "cost-limit": 1}}'
    one = within_budget(plan(config.format(1)), PRICE)
    four = within_budget(plan(config.format(4)), replace(PRICE, nodes=4))
    assert one.limit_minutes // 4 == four.limit_minutes
    assert four.deadline == NOW + timedelta(minutes=four.limit_minutes)


def instance(rank: int, state: str = "running", stack: str = "s-1") -> dict[str, Any]:
    tags = {
        "parris:deployment": "parris",
        "parris:run-id": "r-1",
        "parris:stack": stack,
        "parris:node": str(rank),
    }
    return {
        "InstanceId": f"i-{stack}-{rank}",
        "State": {"Name": state},
        "LaunchTime": NOW + timedelta(seconds=rank),
        "Tags": [{"Key": key, "Value": value} for key, value in tags.items()],
    }


def test_a_runs_machine_is_its_head_which_knows_of_a_worker_that_is_over() -> None:
    whole = _heads([instance(0), instance(1), instance(2)])["r-1"]
    assert (whole.instance_id, whole.lost) == ("i-s-1-0", "")
    short = _heads([instance(0), instance(1), instance(2, "terminated")])["r-1"]
    assert short.instance_id == "i-s-1-0"
    assert "node 2 of it (i-s-1-2) is terminated" in short.lost
    # That of an attempt before says nothing of this one.
    again = _heads([instance(1, "terminated"), instance(0, stack="s-2"), instance(1, stack="s-2")])
    assert (again["r-1"].instance_id, again["r-1"].lost) == ("i-s-2-0", "")


def test_word_of_a_worker_is_word_of_its_head() -> None:
    def describe(**asked: Any) -> dict[str, Any]:
        found = [instance(1)] if "InstanceIds" in asked else [instance(0), instance(1)]
        return {"Reservations": [{"Instances": found}]}

    ec2: Any = SimpleNamespace(describe_instances=describe)
    found = read_machine(ec2, "i-s-1-1", "parris")
    assert found is not None
    assert found[0].instance_id == "i-s-1-0"


@pytest.mark.parametrize("lost", ["", "node 1 of it (i-1) is terminated"])
def test_a_node_that_is_over_under_a_silent_head_ends_the_attempt(lost: str) -> None:
    head = Machine(instance_id="i-0", state="running", reason="", launched=NOW)
    facts = Facts(
        status="CREATE_COMPLETE",
        changed=NOW,
        deadline=NOW + timedelta(hours=1),
        keep="never",
        machine=head,
        outcome_state=None,
        over_since=None,
        lost=lost,
    )
    decision = judge(facts, NOW, timedelta(minutes=5))
    assert decision.delete is bool(lost)
    if decision.ending is not None:
        assert (decision.ending.state, decision.ending.ended_by) == ("interrupted", "node")
