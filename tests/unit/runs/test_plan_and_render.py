"""A plan follows from its event, and is rendered as one CloudFormation call."""

from __future__ import annotations

import base64
import subprocess
from datetime import timedelta
from decimal import Decimal
from pathlib import Path

import pytest

from parris.errors import InvalidConfig
from parris.launch.render import (
    MAX_TEMPLATE_BYTES,
    MAX_USER_DATA_BYTES,
    render_template,
    render_user_data,
    stack_parameters,
    stack_tags,
)
from parris.runs.images import default_image
from parris.runs.plan import event_digest
from parris.runs.receipt import receipt
from tests.plans import NOW, plan, read_request

ROOT = Path(__file__).resolve().parents[3]
TEMPLATE = (ROOT / "cloudformation/training-stack.yaml").read_text()
USER_DATA = (ROOT / "trainer/runtime/user-data.sh").read_text()


def test_the_run_id_sorts_by_the_events_own_time() -> None:
    assert plan().run_id.startswith("20261124-115958-")


def test_an_event_is_the_same_an_hour_later_and_differs_by_job() -> None:
    event = {"event-id": "e", "time": "2026-11-24T03:00:00Z"}
    ids = {event_digest(read_request(event, request)) for request in ("r1", "r2")}
    assert len(ids) == 1
    assert event_digest(read_request(event | {"job": "b"}, "r1")) not in ids


def test_an_event_without_identity_is_known_by_its_request() -> None:
    first, again, other = (event_digest(read_request({}, name)) for name in ("r1", "r1", "r2"))
    assert first == again != other


def test_a_time_limit_is_the_deadline() -> None:
    planned = plan('{"termination-method": "at-fixed-time", "time-limit": 90}')
    assert planned.deadline == NOW + timedelta(minutes=90)
    assert receipt(planned)["time-limit-minutes"] == 90


def test_completion_ends_at_the_deployments_cap_and_tells_the_trainer_never() -> None:
    planned = plan(
        '{"termination-method": "training-completion", "time-limit": 10, "cost-limit": 2}'
    )
    assert planned.deadline == NOW + timedelta(hours=24)
    assert receipt(planned)["time-limit-minutes"] is None
    assert planned.budget_usd is None
    why = "has no effect with termination-method training-completion; leave that key out"
    assert planned.notes == (f"time-limit {why}", f"cost-limit {why}")


def test_a_limit_counts_where_no_method_is_named() -> None:
    timed = plan('{"time-limit": 10, "cost-limit": 2}')
    assert timed.deadline == NOW + timedelta(minutes=10)
    assert (timed.config.termination_method, timed.budget_usd) == ("at-fixed-time", Decimal(2))
    costed = plan('{"termination-options": {"cost-limit": 2}}')
    assert (costed.config.termination_method, costed.budget_usd) == ("around-cost", Decimal(2))
    assert plan("{}").config.termination_method == "training-completion"


def test_the_cap_shortens_a_longer_limit_and_says_so() -> None:
    planned = plan('{"termination-method": "at-fixed-time", "time-limit": 10000}')
    assert planned.deadline == NOW + timedelta(hours=24)
    assert "max_run_hours" in planned.notes[0]


def test_a_role_that_the_deployment_does_not_allow_is_refused() -> None:
    with pytest.raises(InvalidConfig, match="instance_role_names"):
        plan('{"instance-iam-role-name": "admin"}')
    assert plan('{"instance-iam-role-name": "extra"}').instance_profile == "extra"


def test_the_events_parameters_win_however_they_are_spelled() -> None:
    planned = plan(
        '{"parameters": {"learning-rate": 0.1, "epochs": 3}}',
        {"event-id": "e", "parameters": {"learning_rate": 0.5}},
    )
    assert planned.parameters == {"learning-rate": "0.5", "epochs": "3"}


@pytest.mark.parametrize(
    ("instance_type", "image"),
    [
        ("c7i.large", "al2023-ami-kernel-default-x86_64"),
        ("t4g.small", "al2023-ami-kernel-default-arm64"),
        ("g4dn.xlarge", "deeplearning/ami/x86_64"),
        ("g5g.xlarge", "deeplearning/ami/arm64"),
        ("p2.xlarge", "deeplearning/ami/x86_64"),
    ],
)
def test_the_image_fits_the_machine(instance_type: str, image: str) -> None:
    assert image in default_image(instance_type)


def test_user_data_keeps_its_shebang_and_survives_any_value() -> None:
    text = render_user_data("#!/bin/bash\necho body\n", plan())
    first, second = text.splitlines()[:2]
    assert first == "#!/bin/bash"
    assert second == "export PARRIS_JOB=default"
    assert "export PARRIS_LIMIT_MINUTES=1440" in text
    subprocess.run(["bash", "-n"], input=text, text=True, check=True)


def test_a_machine_of_the_deployments_own_role_is_told_its_id() -> None:
    text = render_user_data(USER_DATA, plan())
    assert "\nexport PARRIS_ROLE=parris-instance:AROAEXAMPLE\n" in text


def test_a_machine_of_another_role_is_told_none() -> None:
    text = render_user_data(USER_DATA, plan('{"instance-iam-role-name": "extra"}'))
    assert "\nexport PARRIS_ROLE=''\n" in text


def test_the_real_user_data_fits_ec2() -> None:
    assert len(render_user_data(USER_DATA, plan()).encode()) <= MAX_USER_DATA_BYTES


def test_the_template_carries_user_data_as_base64() -> None:
    user_data = render_user_data(USER_DATA, plan())
    body = render_template(TEMPLATE, user_data, 1, "training-stack.yaml")
    assert base64.b64encode(user_data.encode()).decode() in body
    assert len(body.encode()) <= MAX_TEMPLATE_BYTES


def test_a_template_without_a_slot_is_refused() -> None:
    with pytest.raises(InvalidConfig, match=r"\{\{user-data\}\}"):
        render_template("Resources: {}", "x", 1, "own.yaml")


def test_a_template_that_is_too_long_is_refused_before_aws_does() -> None:
    with pytest.raises(InvalidConfig, match="51200"):
        render_template("{{user-data}}" + "#" * 51_200, "x", 1, "own.yaml")


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("Type: AWS::IAM::Role", "resource type AWS::IAM::Role"),
        ("'Type' : 'Custom::Thing'", "resource type Custom::Thing"),
        ('{"Type": "AWS::CloudFormation::Stack"}', "resource type AWS::CloudFormation::Stack"),
        (r'{"T\u0079pe": "AWS::S3::\x42ucket"}', "resource type AWS::S3::Bucket"),
        ("Type: Us::Own::Thing::MODULE", "resource type Us::Own::Thing::MODULE"),
        ("DeletionPolicy: Retain", "DeletionPolicy: only Delete"),
        ("? DeletionPolicy # so\n: Retain", "DeletionPolicy: only Delete"),
        ('"Deletion\\\n  Policy": Retain', "DeletionPolicy: only Delete"),
        ("DeletionPolicy: !If [A, Retain, Delete]", "DeletionPolicy: only Delete"),
        ('{"UpdateReplacePolicy": "Snapshot"}', "UpdateReplacePolicy: only Delete"),
        ("Transform: AWS::Include", "Transform: macros"),
        ('{"Fn::Transform": {}}', "Transform: macros"),
    ],
)
def test_a_template_that_reaches_beyond_a_run_is_refused(line: str, said: str) -> None:
    with pytest.raises(InvalidConfig, match=said):
        render_template(f"{line}\n{{{{user-data}}}}", "x", 1, "own.yaml")


def test_a_template_may_say_that_all_goes_with_its_stack() -> None:
    said = '{"DeletionPolicy": "Delete"}\nUpdateReplacePolicy: Delete # as always\n'
    parameters = "Type: AWS::EC2::Subnet::Id\nType: AWS::SSM::Parameter::Value<String>\n"
    assert render_template(f"{said}{parameters}{{{{user-data}}}}", "x", 1, "own.yaml")


def test_the_parameters_are_exactly_those_of_the_template() -> None:
    declared = TEMPLATE.split("\nConditions:")[0].split("\nParameters:\n")[1]
    names = [line.strip(" :") for line in declared.splitlines() if line[:3].strip(" ") != ""]
    assert list(stack_parameters(plan(), "ami-1", "arn:r", "g")) == names


def test_the_stack_is_tagged_as_ours_and_as_theirs() -> None:
    tags = stack_tags(plan(), {"team": "vision", "parris:job": "forged"})
    assert tags["team"] == "vision"
    assert tags["parris:job"] == "default"
    assert tags["parris:deadline"] == "2026-11-25T12:00:00Z"
