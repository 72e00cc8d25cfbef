"""The use case against S3, SSM and CloudFormation as moto has them, in process."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from typing import Any

import boto3
import pytest
from moto import mock_aws

from parris.aws.storage import Storage
from parris.errors import InvalidConfig, LaunchFailed, LaunchRefused, PriceUnknown, UnknownJob
from parris.launch.claim import LEASE
from parris.launch.launch import Clients, Machine, launch
from parris.runs.plan import receipt
from tests.notices import Topic
from tests.plans import NOW, SETTINGS, plan

PARAMETERS = (
    *("RunId", "Job", "Deployment", "ImageId", "InstanceType", "InstanceProfile", "Market"),
    *("MaxPrice", "VolumeSize", "SubnetId", "SecurityGroupId", "KeyName"),
    *("Deadline", "DeleteAt", "SchedulerRole", "ScheduleGroup"),
)

# moto cannot start an instance whose image is in a launch template (moto 5.2); what the machine
# looks like is for e2e, so this stack holds no more than a launch template.
TEMPLATE = json.dumps(
    {
        "Parameters": {name: {"Type": "String", "Default": ""} for name in PARAMETERS},
        "Resources": {
            "Machine": {
                "Type": "AWS::EC2::LaunchTemplate",
                "Properties": {
                    "LaunchTemplateData": {"InstanceType": "t3.micro"},
                    "VersionDescription": {"Ref": "RunId"},
                },
                "Metadata": {"user-data": "{{user-data}}"},
            }
        },
    }
)
BARE = '{"Resources": {"Topic": {"Type": "AWS::SNS::Topic"}}}'  # somebody else's
MACHINE = Machine(template=TEMPLATE, user_data="#!/bin/bash\ntrue\n")
EVENT = {"event-id": "e1", "time": "2026-11-24T11:00:00Z"}


class PriceList:
    """The AWS Price List, which moto lacks, for one machine and its volume, in its own shape."""

    def __init__(self) -> None:
        self.usd = {"instanceType": "0.0400", "volumeApiName": "0.0730"}

    def get_products(self, ServiceCode: str, Filters: Any) -> Any:  # noqa: N803 - boto3's names
        assert ServiceCode == "AmazonEC2"
        [usd] = [self.usd[item["Field"]] for item in Filters if item["Field"] in self.usd]
        dimension = {"unit": "Hrs", "pricePerUnit": {"USD": usd}}
        item = {"terms": {"OnDemand": {"A.B": {"priceDimensions": {"A.B.C": dimension}}}}}
        return {"PriceList": [json.dumps(item)] if usd else []}


class World:
    """The buckets of one deployment, and what a launch does to them."""

    def __init__(self) -> None:
        self.s3 = boto3.client("s3", region_name="us-east-1")
        self.cloudformation = boto3.client("cloudformation", region_name="us-east-1")
        self.scheduler = boto3.client("scheduler", region_name="us-east-1")
        self.scheduler.create_schedule_group(Name=SETTINGS.schedule_group)
        self.topic = Topic(SETTINGS.topic_arn)
        self.prices = PriceList()
        self.made: list[str] = []
        for bucket in ("parris-config", "parris-results"):
            self.s3.create_bucket(Bucket=bucket)
        self.s3.put_bucket_versioning(
            Bucket="parris-results", VersioningConfiguration={"Status": "Enabled"}
        )
        self.agent_version = self.upload_agent(b"print('this deployment')")
        self.put("training-config.json", '{"training-job-name": "one"}')
        self.put("trainer-script.sh", "#!/bin/bash\ntrue\n")

    def put(self, key: str, body: str) -> None:
        self.s3.put_object(Bucket="parris-config", Key=key, Body=body.encode())

    def upload_agent(self, program: bytes) -> str:
        """Upload the machine's supervisor as Terraform does, and return its version."""
        answer = self.s3.put_object(Bucket="parris-results", Key="agent.pyz", Body=program)
        return str(answer["VersionId"])

    def launch(
        self, event: dict[str, Any] | None = None, minutes: float = 0, **settings: Any
    ) -> dict[str, Any]:
        def storage() -> Storage:
            self.made.append("s3")
            return Storage(
                s3=self.s3, config_bucket="parris-config", results_bucket="parris-results"
            )

        def cloudformation() -> Any:
            self.made.append("cloudformation")
            return self.cloudformation

        def ssm() -> Any:
            self.made.append("ssm")
            return boto3.client("ssm", region_name="us-east-1")

        def ec2() -> Any:
            self.made.append("ec2")
            return boto3.client("ec2", region_name="us-east-1")

        return launch(
            EVENT if event is None else event,
            "request-1",
            settings=replace(SETTINGS, agent_version=self.agent_version, **settings),
            clients=Clients(
                storage=storage,
                cloudformation=cloudformation,
                ssm=ssm,
                pricing=lambda: self.prices,  # type: ignore[arg-type, return-value] # one method
                ec2=ec2,
                sns=lambda: self.topic.sns,
                scheduler=lambda: self.scheduler,
            ),
            machine=MACHINE,
            now=NOW + timedelta(minutes=minutes),
        )

    def receipt(self, run_id: str, job: str = "default") -> dict[str, Any]:
        key = f"runs/{job}/{run_id}/run.json"
        read: dict[str, Any] = json.loads(
            self.s3.get_object(Bucket="parris-results", Key=key)["Body"].read()
        )
        return read

    def objects(self) -> set[str]:
        found = self.s3.list_objects_v2(Bucket="parris-results").get("Contents", [])
        return {item["Key"] for item in found if item["Key"].startswith("runs/")}

    def stacks(self) -> list[dict[str, Any]]:
        return [dict(stack) for stack in self.cloudformation.describe_stacks()["Stacks"]]


@pytest.fixture
def world(credentials: None) -> Iterator[World]:  # noqa: ARG001
    with mock_aws():
        yield World()


def test_a_machine_gets_the_supervisor_that_goes_with_the_function(world: World) -> None:
    """Also while the next deployment has uploaded another and not changed the function yet."""
    world.upload_agent(b"print('the next deployment')")
    answer = world.launch()
    key = f"runs/default/{answer['run-id']}/agent.pyz"
    copied = world.s3.get_object(Bucket="parris-results", Key=key)["Body"].read()
    assert copied == b"print('this deployment')"


def test_a_launch_leaves_receipt_snapshot_and_stack(world: World) -> None:
    world.put("data/labels.txt", "a b c")
    world.put("jobs/other/secret.txt", "not ours")
    answer = world.launch()
    prefix = f"runs/default/{answer['run-id']}/"
    assert world.objects() == {
        prefix + name
        for name in (
            "run.json",
            "agent.pyz",
            "source/training-config.json",
            "source/trainer-script.sh",
            "source/data/labels.txt",
        )
    }
    (stack,) = world.stacks()
    tags = {tag["Key"]: tag["Value"] for tag in stack["Tags"]}
    assert (stack["StackName"], tags["parris:run-id"]) == ("one", answer["run-id"])
    assert (tags["parris:deployment"], tags["team"]) == ("parris", "vision")
    held = world.receipt(answer["run-id"])
    assert (held["stack-id"], held["state"]) == (stack["StackId"], "accepted")
    assert held["image"].startswith("ami-")


def test_the_same_event_later_is_a_duplicate_with_the_same_answer(world: World) -> None:
    first = world.launch()
    again = world.launch(minutes=60)
    assert again["duplicate"] is True
    for key in ("run-id", "stack-id", "deadline"):
        assert again[key] == first[key]
    assert len(world.stacks()) == 1


def test_an_event_without_a_time_has_one_run_in_the_one_style_of_ids(world: World) -> None:
    first = world.launch({"event-id": "mine"})
    again = world.launch({"event-id": "mine"}, minutes=60)
    assert first["run-id"].startswith("20261124-120000-")
    assert (again["duplicate"], again["run-id"]) == (True, first["run-id"])
    assert len(world.stacks()) == 1
    world.put("training-config.json", '{"training-job-name": "two"}')
    other = world.launch({"event-id": "yours"}, minutes=60)
    assert other["run-id"].startswith("20261124-130000-")
    assert other["run-id"][-8:] != first["run-id"][-8:]


def test_a_run_id_that_s3_would_not_hold_is_written_again(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    busy = [False, False]  # two writes at once: S3 takes neither

    def mark(storage: Storage, key: str, content: Any = None) -> bool:
        return busy.pop() if busy and key.startswith("event-ids/") else held(storage, key, content)

    held = Storage.mark
    monkeypatch.setattr(Storage, "mark", mark)
    assert world.launch({"event-id": "mine"})["run-id"].startswith("20261124-120000-")
    assert busy == []


SEVERAL = '{"training-job-name": "one", "several-at-once": true}'


def test_a_job_may_have_several_runs_at_once_each_in_a_stack_of_its_own(world: World) -> None:
    world.put("training-config.json", SEVERAL)
    answers = [world.launch({"event-id": f"e{number}"}) for number in range(6)]
    names = [f"one-{answer['run-id'][-8:]}" for answer in answers]
    assert [answer["stack-name"] for answer in answers] == names
    assert {stack["StackName"] for stack in world.stacks()} == set(names)
    for answer in answers:
        assert world.receipt(answer["run-id"])["stack-name"] == answer["stack-name"]
    again = world.launch({"event-id": "e0"})
    assert (again["duplicate"], again["stack-name"]) == (True, names[0])
    with pytest.raises(LaunchRefused, match="max_concurrent_runs allows 6"):
        world.launch({"event-id": "e6"}, max_concurrent_runs=6)


def test_a_schedule_of_such_a_job_neither_waits_for_the_last_run_nor_replaces_it(
    world: World,
) -> None:
    world.put("training-config.json", SEVERAL)
    for number, overlap in enumerate(("skip", "replace", "queue-one")):
        event = {"rule": "schedule", "schedule": "night", "overlap": overlap}
        answer = world.launch({**event, "event-id": f"e{number}"})
        assert answer["stack-id"] is not None
        assert "held-back" not in answer
    assert len(world.stacks()) == 3


def test_a_second_run_is_refused_by_default_and_told_how_to_be_allowed(world: World) -> None:
    world.launch()
    with pytest.raises(LaunchRefused, match='"several-at-once": true in the job\'s config allows'):
        world.launch({"event-id": "e2"})


def test_no_client_is_made_that_the_launch_does_not_use(world: World) -> None:
    world.put("training-config.json", '{"image": "ami-12345678"}')
    world.launch()
    assert sorted(world.made) == ["cloudformation", "s3"]


def test_a_duplicate_asks_cloudformation_for_nothing(world: World) -> None:
    world.launch()
    world.made.clear()
    world.launch()
    assert "cloudformation" not in world.made


def test_a_stack_in_the_way_is_refused_and_the_event_may_come_again(world: World) -> None:
    first = world.launch()
    event = {"event-id": "e2"}
    with pytest.raises(LaunchRefused, match=f"CREATE_COMPLETE, run {first['run-id']}"):
        world.launch(event)
    world.cloudformation.delete_stack(StackName="one")
    answer = world.launch(event)
    assert answer["duplicate"] is False
    tags = {tag["Key"]: tag["Value"] for tag in world.stacks()[0]["Tags"]}
    assert tags["parris:attempt"] == "2"


def test_a_foreign_stack_is_never_updated(world: World) -> None:
    world.cloudformation.create_stack(StackName="one", TemplateBody=TEMPLATE)
    world.put("training-config.json", '{"training-job-name": "one", "stack-replacement": true}')
    with pytest.raises(LaunchRefused, match="this deployment did not make it"):
        world.launch()


def test_replacement_updates_the_stack(world: World) -> None:
    world.put("training-config.json", '{"training-job-name": "one", "stack-replacement": true}')
    first, second = world.launch(), world.launch({"event-id": "e2"})
    assert first["stack-id"] == second["stack-id"]
    (stack,) = world.stacks()
    tags = {tag["Key"]: tag["Value"] for tag in stack["Tags"]}
    assert (stack["StackStatus"], tags["parris:run-id"]) == ("UPDATE_COMPLETE", second["run-id"])


def test_a_claim_without_a_stack_is_respected_until_its_lease_ends(world: World) -> None:
    planned = plan("{}", EVENT)
    storage = Storage(s3=world.s3, config_bucket="parris-config", results_bucket="parris-results")
    assert storage.claim(planned.prefix, receipt(planned))
    assert world.launch(minutes=1)["duplicate"] is True
    assert world.stacks() == []
    late = LEASE.total_seconds() / 60 + 1
    assert world.launch(minutes=late)["duplicate"] is False
    assert len(world.stacks()) == 1


def test_a_run_with_an_outcome_is_never_launched_again(world: World) -> None:
    planned = plan("{}", EVENT)
    storage = Storage(s3=world.s3, config_bucket="parris-config", results_bucket="parris-results")
    storage.claim(planned.prefix, receipt(planned))
    world.s3.put_object(Bucket="parris-results", Key=planned.prefix + "outcome.json", Body=b"{}")
    assert world.launch(minutes=600)["duplicate"] is True
    assert world.stacks() == []


def test_an_image_that_does_not_exist_frees_the_event(world: World) -> None:
    world.put("training-config.json", '{"image": "/aws/service/none"}')
    with pytest.raises(LaunchFailed, match="no public SSM parameter /aws/service/none"):
        world.launch()
    (run_id,) = {key.split("/")[2] for key in world.objects()}
    assert world.receipt(run_id)["state"] == "launch-failed"
    assert world.stacks() == []
    world.put("training-config.json", "{}")
    assert world.launch()["duplicate"] is False


COST = '{"training-job-name": "one", "termination-method": "around-cost", "cost-limit": %s%s}'
"""0.04 + 0.073 * 30 / 730 + 0.005 = 0.048 US dollars an hour for the default machine."""


def test_a_budget_becomes_a_deadline_in_every_place(world: World) -> None:
    world.put("training-config.json", COST % ("0.048", ""))
    answer = world.launch()
    assert answer["deadline"] == "2026-11-24T13:00:00Z"
    assert answer["hourly-usd"] == "0.0480"
    held = world.receipt(answer["run-id"])
    assert held["deadline"] == answer["deadline"]
    assert (held["time-limit-minutes"], held["cost-limit-usd"]) == (60, "0.048")
    assert held["price"]["hourly-usd"] == "0.048000"
    assert held["price"]["source"] == "AWS Price List"
    assert held["price"]["read"].startswith("20")
    (stack,) = world.stacks()
    given = {item["ParameterKey"]: item["ParameterValue"] for item in stack["Parameters"]}
    assert given["Deadline"] == "2026-11-24T13:00:00Z"
    assert given["DeleteAt"] == "2026-11-24T13:15:00"
    assert given["MaxPrice"] == ""


def test_of_two_limits_the_earlier_wins(world: World) -> None:
    world.put("training-config.json", COST % ("0.048", ', "time-limit": 20'))
    assert world.launch()["deadline"] == "2026-11-24T12:20:00Z"
    world.put("training-config.json", (COST % ("0.048", ', "time-limit": 90')).replace("one", "b"))
    assert world.launch({"event-id": "e2"})["deadline"] == "2026-11-24T13:00:00Z"


def test_a_large_budget_ends_at_the_deployments_cap(world: World) -> None:
    world.put("training-config.json", COST % ("1000", ""))
    assert world.launch()["deadline"] == "2026-11-25T12:00:00Z"


def test_a_budget_below_five_minutes_is_refused_with_the_smallest_that_would_do(
    world: World,
) -> None:
    world.put("training-config.json", COST % ("0.0039", ""))
    with pytest.raises(InvalidConfig, match=r"0\.0480 an hour; the smallest .* is 0\.0040"):
        world.launch()
    assert world.stacks() == []
    world.put("training-config.json", COST % ("0.004", ""))
    assert world.launch()["duplicate"] is False  # and the event may come again


def test_a_price_that_cannot_be_had_is_an_error_for_a_budget_only(world: World) -> None:
    world.prices.usd["instanceType"] = ""
    world.put("training-config.json", COST % ("5", ""))
    with pytest.raises(PriceUnknown, match=r"no price for t3\.medium in eu-west-1"):
        world.launch()
    assert world.stacks() == []
    world.put("training-config.json", '{"training-job-name": "one"}')
    answer = world.launch()
    assert answer["notes"][0].startswith("price unknown: AWS lists no price for t3.medium")
    assert world.receipt(answer["run-id"])["price"] is None


FIXED = (
    '{"training-job-name": "one", "termination-method": "at-fixed-time", "time-limit": 90, '
    '"cost-limit": 0.048}'
)


def test_with_a_fixed_time_a_budget_is_a_cap_where_a_price_is_known(world: World) -> None:
    world.put("training-config.json", FIXED)
    assert world.launch()["deadline"] == "2026-11-24T13:00:00Z"


def test_with_a_fixed_time_a_budget_is_a_note_where_no_price_is_known(world: World) -> None:
    world.prices.usd["instanceType"] = ""
    world.put("training-config.json", FIXED)
    answer = world.launch()
    assert answer["deadline"] == "2026-11-24T13:30:00Z"
    (note,) = answer["notes"]
    assert note.startswith("cost-limit 0.048 has no effect, since the price is unknown")
    assert "the time-limit ends the run after 90 minutes" in note
    held = world.receipt(answer["run-id"])
    assert (held["cost-limit-usd"], held["price"]) == (None, None)


def test_every_launch_says_what_it_costs_an_hour_and_at_most(world: World) -> None:
    answer = world.launch()
    assert (answer["hourly-usd"], answer["most-usd"]) == ("0.0480", "1.1520")  # for 24 hours
    again = world.launch()
    assert (again["hourly-usd"], again["most-usd"]) == ("0.0480", "1.1520")
    (told,) = world.topic.heard()
    assert (told["event"], told["most-usd"]) == ("started", "1.1520")


@pytest.mark.parametrize(
    "answer", [{}, {"PriceList": ["{"]}, {"PriceList": ['{"terms": {"OnDemand": {"A": {}}}}']}]
)
def test_no_launch_hangs_on_a_price_list_that_answers_in_a_form_of_its_own(
    world: World, monkeypatch: pytest.MonkeyPatch, answer: dict[str, Any]
) -> None:
    monkeypatch.setattr(world.prices, "get_products", lambda **_: answer)
    launched = world.launch()
    assert (launched["hourly-usd"], launched["most-usd"]) == (None, None)
    assert launched["notes"][0].startswith("price unknown: ")
    assert world.receipt(launched["run-id"])["stack-id"] == launched["stack-id"]


def test_a_spot_price_is_said_to_move_where_no_budget_holds_it(world: World) -> None:
    config = '{"training-job-name": "one", "market": "spot", "instance-type": "c5.large"}'
    world.put("training-config.json", config)
    assert world.launch()["notes"] == ["the spot price may rise, to the on-demand price at most"]


def test_a_spot_budget_is_the_requests_maximum_price(world: World) -> None:
    more = ', "market": "spot", "instance-type": "c5.large"'
    world.put("training-config.json", COST % ("1", more))
    answer = world.launch()
    price = world.receipt(answer["run-id"])["price"]
    assert price["source"] == "EC2 spot price history"
    (stack,) = world.stacks()
    given = {item["ParameterKey"]: item["ParameterValue"] for item in stack["Parameters"]}
    assert float(given["MaxPrice"]) == float(price["instance-hourly-usd"]) > 0


def test_a_launch_beyond_the_cap_is_refused_with_what_is_running(world: World) -> None:
    first = world.launch(max_concurrent_runs=1)
    world.put("jobs/b/training-config.json", '{"training-job-name": "two"}')
    world.put("jobs/b/trainer-script.sh", "true")
    with pytest.raises(LaunchRefused, match=rf"one \(run {first['run-id']}\).*make stop"):
        world.launch({"event-id": "e2", "job": "b"}, max_concurrent_runs=1)
    assert [stack["StackName"] for stack in world.stacks()] == ["one"]


def over(world: World, run_id: str, where: str = "", **said: Any) -> None:
    """Store an outcome of a run of the default job, in a folder of the run's."""
    outcome = {"run-id": run_id, "job": "default", "state": "succeeded", "reason": ""} | said
    key = f"runs/default/{run_id}/{where}outcome.json"
    world.s3.put_object(Bucket="parris-results", Key=key, Body=json.dumps(outcome).encode())


def test_a_run_that_is_over_leaves_room(world: World) -> None:
    first = world.launch(max_concurrent_runs=1)
    over(world, first["run-id"])
    world.put("jobs/b/training-config.json", '{"training-job-name": "two"}')
    world.put("jobs/b/trainer-script.sh", "true")
    assert world.launch({"event-id": "e2", "job": "b"}, max_concurrent_runs=1)["stack-id"]


@pytest.mark.parametrize(
    ("where", "said"),
    [
        ("machines/AROAEXAMPLE:i-0123456789abcdef0/", {"ended-by": "trainer"}),
        ("", {"state": "gone"}),
        ("", {"run-id": "20261124-000000-00000000"}),
        ("", {"finished": "x"}),
    ],
)
def test_what_is_no_outcome_of_the_run_itself_leaves_no_room(
    world: World, where: str, said: dict[str, str]
) -> None:
    first = world.launch(max_concurrent_runs=1)
    over(world, first["run-id"], where, **said)
    world.put("jobs/b/training-config.json", '{"training-job-name": "two"}')
    world.put("jobs/b/trainer-script.sh", "true")
    with pytest.raises(LaunchRefused, match="max_concurrent_runs allows 1"):
        world.launch({"event-id": "e2", "job": "b"}, max_concurrent_runs=1)


def test_of_launches_at_the_same_moment_the_later_stacks_withdraw(world: World) -> None:
    tags: Any = [
        {"Key": "parris:deployment", "Value": "parris"},
        {"Key": "parris:job", "Value": "x"},
        {"Key": "parris:run-id", "Value": "earlier"},
    ]
    real = world.cloudformation.create_stack
    made: list[Any] = []

    def create_stack(**call: Any) -> Any:  # another launch is there first, by a hair
        if not made:
            made.append(real(StackName="earlier", TemplateBody=BARE, Tags=tags))
        return real(**call)

    world.cloudformation.create_stack = create_stack  # type: ignore[method-assign]
    with pytest.raises(LaunchRefused, match=r"earlier \(run earlier\)"):
        world.launch(max_concurrent_runs=1)
    assert [stack["StackName"] for stack in world.stacks()] == ["earlier"]


def test_an_unknown_job_names_the_command_that_uploads_it(world: World) -> None:
    with pytest.raises(UnknownJob, match="run make upload-config JOB=nowhere"):
        world.launch({"job": "nowhere"})
    assert world.objects() == set()


def test_a_missing_script_is_refused_before_anything_is_written(world: World) -> None:
    world.put("training-config.json", '{"training-script-filename": "other.sh"}')
    with pytest.raises(InvalidConfig, match=r"other\.sh is not among the job's files"):
        world.launch()
    assert world.objects() == set()


def test_the_originals_template_name_means_the_packaged_one(world: World) -> None:
    config = (
        '{"training-job-name": "one", "cloudformation_template_filename": "cloudformation.json"}'
    )
    world.put("training-config.json", config)
    assert world.launch()["stack-name"] == "one"


def test_a_template_of_the_jobs_own_is_used(world: World) -> None:
    own = json.loads(TEMPLATE)
    own["Resources"]["Mine"] = own["Resources"]["Machine"]
    config = '{"training-job-name": "one", "cloudformation_template_filename": "own.json"}'
    world.put("training-config.json", config)
    world.put("own.json", json.dumps(own))
    world.launch()
    resources = world.cloudformation.describe_stack_resources(StackName="one")["StackResources"]
    assert {found["LogicalResourceId"] for found in resources} == {"Machine", "Mine"}
