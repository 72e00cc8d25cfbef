"""A plan on moto: what it says of a job, of its ladder and of who is not allowed to ask."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any, cast

import boto3
import pytest
from botocore.client import BaseClient
from botocore.exceptions import ClientError
from moto import mock_aws

from parris.errors import LaunchRefused
from parris.settings import Settings
from scripts.cli.console import Refused
from scripts.commands.launch import plan_of
from scripts.deployment.outputs import Deployment
from scripts.jobs import jobs
from scripts.planning import clients, reading, show, summary
from scripts.planning.job_plan import JobPlan, make_plan
from tests.plans import NOW, SETTINGS
from tests.reap_world import IMAGE
from tests.world import PriceList, World

CALLS = 30
"""Of a job with one machine, at most: side by side and at 30 ms each they take a second."""


UNKNOWN = "ami-0123456789abcdef0"


class Quotas:
    """Service Quotas of an account, whatever the code."""

    def __init__(self) -> None:
        self.vcpus = 32.0

    def get_service_quota(self, **_: str) -> Any:
        return {"Quota": {"Value": self.vcpus}}


class Iam:
    """IAM's simulator of roles that may do all, but for some actions."""

    def __init__(self) -> None:
        self.denied: set[str] = set()

    def simulate_principal_policy(self, *, ActionNames: list[str], **_: Any) -> Any:  # noqa: N803
        return {
            "EvaluationResults": [
                {
                    "EvalActionName": name,
                    "EvalDecision": "implicitDeny" if name in self.denied else "allowed",
                }
                for name in ActionNames
            ]
        }


class Ec2:
    """moto's EC2, with the public image and the spot prices that it lacks."""

    def __init__(self, ec2: Any) -> None:
        self._ec2 = ec2

    def describe_images(self, *, ImageIds: list[str]) -> Any:  # noqa: N803
        if ImageIds == [UNKNOWN]:
            return self._ec2.describe_images(ImageIds=ImageIds)
        about = {"ImageOwnerAlias": "amazon", "Architecture": "x86_64", "Name": "al2023"}
        return {"Images": [{"ImageId": ImageIds[0], **about}]}

    def describe_spot_price_history(self, **_: Any) -> Any:
        return {"SpotPriceHistory": [{"SpotPrice": "0.0100"}]}

    def __getattr__(self, name: str) -> Any:
        return getattr(self._ec2, name)


class Refusing:
    """A client that AWS lets do nothing."""

    def __getattr__(self, name: str) -> Any:
        def call(**_: Any) -> Any:
            raise ClientError({"Error": {"Code": "AccessDeniedException", "Message": "no"}}, name)

        return call


class Planned(World):
    """A deployment, seen by a person who plans."""

    def __init__(self) -> None:
        super().__init__()
        self.quotas, self.iam = Quotas(), Iam()
        self.stand_ins: dict[str, Any] = {"service-quotas": self.quotas, "iam": self.iam}
        self.stand_ins["ec2"] = Ec2(self.ec2)
        self.configure()

    def configure(self, **config: Any) -> None:
        known = {"termination-method": "at-fixed-time", "time-limit": 60}
        self.config = json.dumps({"training-job-name": "one", **known, **config})
        self.put("training-config.json", self.config)

    def client(self, service: str) -> Any:
        return self.stand_ins.get(service) or boto3.client(
            cast("Any", service), region_name="us-east-1"
        )

    @property
    def deployment(self) -> Deployment:
        values: dict[str, Any] = dict.fromkeys(Deployment.__dataclass_fields__, "")
        values |= {"deployment": "parris", "region": "us-east-1", "account_id": "123456789012"}
        values |= {"config_bucket": "parris-config", "results_bucket": "parris-results"}
        values |= {"ledger_table": self.table.name, "launch_role_arn": "arn:aws:iam::1:role/launch"}
        values |= {"instance_role_arn": "arn:aws:iam::1:role/machine"}
        values |= {"schedules": {}, "instance_profiles": ["parris-instance"]}

        class Seen(Deployment):
            def client(_, service: str) -> Any:  # noqa: N805 - the world's
                return self.client(service)

        return Seen(**values)

    def plan(self, job: str = "default", **parameters: str) -> JobPlan:
        return make_plan(self.deployment, job, parameters, NOW)


@pytest.fixture
def world(credentials: None, monkeypatch: pytest.MonkeyPatch) -> Iterator[Planned]:  # noqa: ARG001
    with mock_aws():
        made = Planned()

        def settings_of(_: Deployment) -> Settings:
            told = replace(SETTINGS, region="us-east-1", agent_version=made.agent_version)
            return replace(told, monthly_budget_usd=made.budget)

        monkeypatch.setattr(reading, "settings_of", settings_of)
        monkeypatch.setattr(summary, "settings_of", settings_of)
        monkeypatch.setattr(clients, "make_client", lambda *_: made.prices)
        monkeypatch.setattr(jobs, "job_folders", dict)
        yield made


def test_a_sound_job_goes_and_its_price_is_the_launchs(world: Planned) -> None:
    plan = world.plan()
    assert plan.problems == []
    answer, launched = show.answer(plan), world.launch()
    for key in ("instance-type", "market", "hourly-usd", "most-usd", "deadline", "stack-name"):
        assert launched[key] == answer[key], key
    assert answer["summary"] == (
        "t3.medium on-demand: $0.0480 an hour, $0.0480 at most, ends by 2026-11-24T13:00:00Z"
    )
    [machine] = answer["machines"]
    assert machine["zones"][0] == "us-east-1a"
    assert machine["quota"]["vcpus"] == 32
    assert json.dumps(answer)


@pytest.mark.parametrize(
    ("limits", "said"),
    [
        ({}, "6 trials, 4 at once: $0.2880 at most for all of them"),
        ({"cost-limit": 9}, "6 trials, 4 at once: $0.2880 at most for all of them"),
        (
            {"cost-limit": 0.2, "max-parallel": 2},
            "6 trials, 2 at once: $0.2000 at most for all of them, its cost-limit: it may end "
            "before the last one begins",
        ),
        (
            {"metric": "loss", "goal": "min", "stop-early": "median"},
            "6 trials, 4 at once: $0.2880 at most for all of them; the worse by loss are stopped "
            "early",
        ),
    ],
)
def test_of_a_job_that_begins_a_grid_it_says_what_all_trials_cost_at_most(
    world: Planned, capsys: pytest.CaptureFixture[str], limits: dict[str, Any], said: str
) -> None:
    world.configure(parameters={"seed": 0})
    world.put("grid.json", json.dumps({"parameters": {"seed": "1..6"}, **limits}))
    plan = world.plan()
    assert plan.problems == []
    show.show(plan)
    assert f"grid      {said}\n" in capsys.readouterr().out
    assert show.answer(plan)["grid"]["most-usd"] == said.split("$")[1].split()[0]
    assert show.answer(plan)["grid"]["stop-early"] == limits.get("stop-early")
    world.put("grid.json", '{"parameters": {}}')
    with pytest.raises(Refused, match=r"default/grid\.json"):
        world.plan()


class ByType(PriceList):
    """Prices of two types, of which the second one costs twice as much."""

    def __init__(self) -> None:
        super().__init__()
        self.dear = PriceList()
        self.dear.usd["instanceType"] = "0.0800"

    def get_products(self, ServiceCode: str, Filters: Any) -> Any:  # noqa: N803 - boto3's names
        if any(one["Value"] == "c5.large" for one in Filters):
            return self.dear.get_products(ServiceCode=ServiceCode, Filters=Filters)
        return super().get_products(ServiceCode=ServiceCode, Filters=Filters)


BUDGET = {"termination-method": "around-cost", "cost-limit": 0.02}
LADDER = ["t3.medium", "c5.large"]
ONCE: dict[str, Any] = {"retry": {"on": []}}


@pytest.mark.parametrize(
    ("config", "most"),
    [
        ({"market": "spot"}, "0.0480"),
        ({"market": "spot-then-on-demand"}, "0.0480"),
        ({"market": "spot", **BUDGET}, "0.0180"),  # what it bids, for the hour
        ({"market": "spot-then-on-demand", **BUDGET}, "0.0200"),
        ({"market": "spot-then-on-demand", **BUDGET, **ONCE}, "0.0180"),
        ({"instance-type": LADDER, **BUDGET}, "0.0200"),
        ({"instance-type": LADDER, **ONCE}, "0.0480"),
    ],
)
def test_plan_upload_and_launch_tell_the_same_most(
    world: Planned, tmp_path: Path, config: dict[str, Any], most: str
) -> None:
    world.configure(**config)
    world.prices, world.ec2 = ByType(), world.client("ec2")
    (tmp_path / "training-config.json").write_text(world.config)
    uploaded = summary.summaries(world.deployment, {"default": tmp_path})["default"]
    planned: Any = show.answer(world.plan())
    launched: Any = world.launch()
    assert (planned["most-usd"], launched["most-usd"]) == (most, most)
    assert plan_of(launched) == planned["summary"]
    assert f", ${most} at most, ends by " in uploaded
    assert uploaded.split(", ends")[0] == planned["summary"].split(", ends")[0]


def test_where_only_a_plan_asks_for_the_dearer_types_price_the_others_say_so(
    world: Planned, tmp_path: Path
) -> None:
    world.configure(**{"instance-type": LADDER})
    world.prices, world.ec2 = ByType(), world.client("ec2")
    (tmp_path / "training-config.json").write_text(world.config)
    uploaded = summary.summaries(world.deployment, {"default": tmp_path})["default"]
    planned: Any = show.answer(world.plan())
    launched: Any = world.launch()
    assert planned["most-usd"] == "0.0880"
    assert (launched["most-usd"], launched["most-usd-of"]) == ("0.0480", "this-machine")
    said = "$0.0480 at most if it stays on this machine"
    assert said in plan_of(launched)
    assert said in uploaded


def test_a_plan_asks_little_and_writes_nothing(
    world: Planned, monkeypatch: pytest.MonkeyPatch
) -> None:
    call: Any = BaseClient._make_api_call  # type: ignore[attr-defined]
    made: list[str] = []

    def counted(client: Any, name: str, arguments: Any) -> Any:
        made.append(name)
        return call(client, name, arguments)

    monkeypatch.setattr(BaseClient, "_make_api_call", counted)
    world.plan()
    assert len(made) < CALLS
    assert {name for name in made if not name.startswith(("Describe", "Get", "List"))} == {"Query"}


def test_what_machines_of_the_account_take_of_a_quota_counts(world: Planned) -> None:
    world.ec2.run_instances(ImageId=IMAGE, MinCount=2, MaxCount=2, InstanceType="m5.4xlarge")
    plan = world.plan()
    assert not plan.goes
    assert "t3.medium needs 2 vCPUs" in plan.problems[0]
    assert "is 32 in us-east-1, of which 32 run" in plan.problems[0]
    assert "--desired-value 34" in plan.problems[0]
    world.quotas.vcpus = 34
    assert world.plan().goes


def test_a_ladder_is_told_rung_by_rung_and_its_worst_case_is_the_dearest(world: Planned) -> None:
    world.configure(**{"market": "spot-then-on-demand", "instance-type": ["t3.medium", "c5.large"]})
    plan = world.plan()
    assert [(kind.market, kind.instance_type) for kind in plan.kinds] == [
        ("spot", "t3.medium"),
        ("spot", "c5.large"),
        ("on-demand", "t3.medium"),
        ("on-demand", "c5.large"),
    ]
    answer = show.answer(plan)
    assert (answer["market"], answer["hourly-usd"]) == ("spot", "0.0180")
    assert answer["most-usd"] == "0.0480"  # on demand for the hour that it may take
    assert answer["machines"][0]["most-hourly-usd"] == "0.0480"


def test_a_budget_caps_the_worst_case(world: Planned) -> None:
    limits = {"termination-method": "around-cost", "cost-limit": 0.02}
    world.configure(**limits, market="spot-then-on-demand")
    answer = show.answer(world.plan())
    assert answer["most-usd"] == "0.0200"
    world.configure(**{**limits, "cost-limit": 0.001})
    assert "the smallest budget that would do" in world.plan().problems[0]


def test_the_months_money_is_shown_with_what_this_run_would_reserve(
    world: Planned, capsys: pytest.CaptureFixture[str]
) -> None:
    world.budget = Decimal("0.1")
    plan = world.plan()
    assert plan.goes
    assert show.answer(plan)["month"] == {
        "spent-usd": "0.0000",
        "reserved-usd": "0.0000",
        "budget-usd": "0.10",
    }
    launched = world.launch()
    held = world.receipt(launched["run-id"])["reserved-usd"]
    assert str(plan.run.reserved_usd) == held == "0.0608"
    show.show(world.plan())
    assert (
        "month     $0.0000 spent, $0.0608 reserved of $0.10; this run would reserve $0.0608"
        in capsys.readouterr().out.splitlines()
    )


def test_a_month_that_has_no_room_is_a_problem_in_the_launchs_words(world: Planned) -> None:
    world.budget = Decimal("0.05")
    plan = world.plan()
    [problem] = plan.problems
    assert problem.startswith("this run may cost $0.0608, and $0.0500 are left")
    assert not plan.goes
    with pytest.raises(LaunchRefused) as refused:
        world.launch()
    assert problem in str(refused.value)
    world.budget = Decimal("0.0608")
    assert world.plan().goes


def test_a_month_cannot_be_kept_to_without_a_price(world: Planned) -> None:
    world.budget = Decimal(1)
    world.prices.usd = {"instanceType": "", "volumeApiName": ""}
    [problem] = world.plan().problems
    assert "without a price nobody can keep to monthly_budget_usd" in problem


def test_a_plan_in_words_has_the_machines_the_stack_the_slots_and_what_is_written(
    world: Planned, capsys: pytest.CaptureFixture[str]
) -> None:
    world.configure(**{"market": "spot-then-on-demand"})
    plan = world.plan()
    show.show(plan)
    said = capsys.readouterr().out.splitlines()
    rows = [re.split(r"\s{2,}", line) for line in said]
    zones = ", ".join(show.answer(plan)["machines"][0]["zones"])
    for row in (
        ["MACHINE", "MARKET", "$ AN HOUR", "VCPUS", "QUOTA", "ZONES"],
        ["t3.medium", "spot", "0.0180 (to 0.0480)", "2", "0 of 32 used", zones],
        ["t3.medium", "on-demand", "0.0480", "2", "0 of 32 used", zones],
        ["stack", "one, a name that is free"],
        ["slots", "0 of 10 runs under way"],
        ["month", "without a budget (monthly_budget_usd)"],
        ["rights", "the roles may do all that it takes"],
        ["writes", f"the run and its slot in the ledger; its id begins with {plan.run.run_id[:8]}"],
    ):
        assert row in rows
    below = said.index(next(line for line in said if line.startswith("writes"))) + 1
    assert re.fullmatch(
        r" {10}s3://parris-results/runs/default/<run id>/: run.json, .+, source/ \(2 files\)",
        said[below],
    )
    assert said[below + 1].startswith(" " * 10 + "stack one: launch template, instance with ")
    assert said[-1] == show.answer(plan)["summary"]
    world.launch()
    show.show(world.plan())
    again = capsys.readouterr().out.splitlines()
    assert "stack     one, which exists (CREATE_COMPLETE)" in again
    assert "slots     1 of 10 runs under way" in again


def test_every_thing_in_the_way_is_told_at_once(world: Planned) -> None:
    world.launch()
    world.quotas.vcpus = 0
    world.iam.denied = {"ec2:RunInstances"}
    world.configure(**{"image": "/aws/service/no/such"})
    said = "\n".join(world.plan().problems)
    for part in (
        "stack one exists: CREATE_COMPLETE",
        "t3.medium needs 2 vCPUs",
        "role stack may not ec2:RunInstances",
        "no public SSM parameter /aws/service/no/such",
    ):
        assert part in said


INPUTS = {"data": [{"s3": "s3://pictures/train/"}], "secrets": {"KEY": "ssm:/team/wandb"}}


def test_data_and_secrets_that_the_machine_may_not_read_are_in_the_way(world: Planned) -> None:
    world.configure(**INPUTS)
    assert world.plan().goes
    world.iam.denied = {"s3:GetObject", "ssm:GetParameter"}
    assert world.plan().problems == [
        "role machine may not s3:GetObject on * (implicitDeny); add s3://pictures/train/ to the "
        "Terraform variable data_sources, and apply",
        "role machine may not ssm:GetParameter on * (implicitDeny); add the ARN of ssm:/team/wandb "
        "to the Terraform variable secret_arns, and apply",
    ]
    world.configure()
    assert world.plan().goes


def test_what_the_machine_may_do_is_not_guessed(world: Planned) -> None:
    world.iam.denied = {"s3:GetObject", "secretsmanager:GetSecretValue"}
    world.configure(secrets={"KEY": "secretsmanager:team/db"})  # of its ARN six characters lack
    plan = world.plan()
    assert (plan.goes, plan.denials) == (True, [])
    assert any("may not secretsmanager:GetSecretValue" in note for note in plan.notes)
    world.configure(**INPUTS, **{"instance-iam-role-name": "extra"})
    plan = world.plan()
    assert plan.denials == []
    assert any("whether extra may read the job's data" in note for note in plan.notes)


def test_an_image_that_this_account_may_not_use_is_named(world: Planned) -> None:
    world.configure(image=UNKNOWN)
    [problem] = world.plan().problems
    assert problem == f"image: {UNKNOWN} is not in us-east-1, or not shared with this account"


def test_an_image_of_another_architecture_is_named(world: Planned) -> None:
    world.configure(**{"instance-type": "t4g.micro", "image": IMAGE})
    [problem] = world.plan().problems
    assert problem == f"image: {IMAGE} is for x86_64, and t4g.micro runs arm64 only"


def test_a_job_or_a_parameter_that_does_not_exist_is_refused(world: Planned) -> None:
    with pytest.raises(Refused, match="job gone would not be launched: job 'gone' has no"):
        world.plan("gone")
    with pytest.raises(Refused, match="epoch is not a parameter of job default"):
        world.plan(epoch="3")
    world.put("training-config.json", '{"time-limit": "much"}')
    with pytest.raises(Refused, match="time-limit"):
        world.plan()


def test_a_job_that_only_lies_here_is_planned_and_not_said_to_go(
    world: Planned, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "training-config.json").write_text('{"time-limit": 60}')
    (tmp_path / "trainer-script.sh").write_text("#!/bin/bash\ntrue\n")
    monkeypatch.setattr(jobs, "job_folders", lambda: {"mine": tmp_path})
    plan = world.plan("mine")
    assert plan.problems == ["the bucket has no job mine yet: make upload-config JOB=mine"]
    assert (plan.uploaded, sorted(plan.files)) == (
        False,
        ["trainer-script.sh", "training-config.json"],
    )
    world.put("jobs/mine/training-config.json", "{}")
    world.put("jobs/mine/trainer-script.sh", "#!/bin/bash\ntrue\n")
    plan = world.plan("mine")
    assert plan.goes
    assert any("the job's folder differs from the bucket" in note for note in plan.notes)


def test_who_may_not_ask_is_told_what_was_not_looked_at(world: Planned) -> None:
    world.stand_ins |= {"service-quotas": Refusing(), "iam": Refusing()}
    plan = world.plan()
    assert plan.goes
    assert plan.denials is None
    said = "\n".join(plan.notes)
    assert "quotas: not looked at, AWS does not let these credentials ask" in said
    assert "the roles' rights: not looked at" in said
    assert show.answer(plan)["machines"][0]["quota"] is None


def test_without_a_price_the_worst_case_is_unknown_and_said_so(world: Planned) -> None:
    world.prices = PriceList()
    world.prices.usd = {"instanceType": "", "volumeApiName": ""}
    answer = show.answer(world.plan())
    assert (answer["hourly-usd"], answer["most-usd"], answer["goes"]) == (None, None, True)
    assert "price unknown, ends by" in answer["summary"]
