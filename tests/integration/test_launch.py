"""The use case against S3, SSM and CloudFormation as moto has them, in process."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest
from moto import mock_aws

from parris import __version__
from parris.aws.storage import Storage
from parris.errors import InvalidConfig, LaunchFailed, LaunchRefused, PriceUnknown, UnknownJob
from parris.runs.receipt import receipt
from parris.runs.record import LEASE
from tests.plans import NOW, plan
from tests.world import BARE, EVENT, TEMPLATE, World


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


def test_receipt_and_outcome_name_their_schema_and_the_version_that_launched_the_run(
    world: World,
) -> None:
    answer = world.launch()
    receipt = world.receipt(answer["run-id"])
    assert (receipt["schema"], receipt["parris-version"]) == (2, __version__)
    assert (world.ledger.table.get("run#default", answer["run-id"]) or {})["schema"] == 2
    world.cloudformation.delete_stack(StackName=answer["stack-id"])
    world.reap(minutes=10)
    key = f"runs/default/{answer['run-id']}/outcome.json"
    stored = json.loads(world.s3.get_object(Bucket="parris-results", Key=key)["Body"].read())
    assert (stored["schema"], stored["parris-version"]) == (2, __version__)


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
    assert tags["parris:attempt"] == "1"


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
    run_id = plan("{}", EVENT).run_id
    world.ledger.claim("default", run_id, "another launch's", NOW)
    early = world.launch(minutes=1)
    assert (early["duplicate"], early["stack-name"], early["deadline"]) == (True, None, None)
    assert world.stacks() == []
    late = LEASE.total_seconds() / 60 + 1
    assert world.launch(minutes=late)["duplicate"] is False
    assert world.record(run_id).claims == 2
    assert len(world.stacks()) == 1


def test_a_run_that_a_version_without_ledger_launched_is_not_launched_again(world: World) -> None:
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
    over(world, first["run-id"])
    world.reap(minutes=1)
    again = world.launch({"event-id": "e2", "job": "b"}, minutes=2, max_concurrent_runs=1)
    assert again["duplicate"] is False
    assert [stack["StackId"] for stack in world.stacks()] == [again["stack-id"]]
    told = [(one["event"], one["run-id"]) for one in world.topic.heard()]
    assert sorted(told) == sorted(
        [
            ("started", first["run-id"]),
            ("succeeded", first["run-id"]),
            ("started", again["run-id"]),
        ]
    )


def test_a_launch_makes_no_more_calls_beside_fifty_kept_stacks(world: World) -> None:
    calls: list[str] = []
    for client in world.clients:
        client.meta.events.register("before-call", lambda model, **_: calls.append(model.name))
    world.launch({"event-id": "e0"})  # the first of a deployment makes the item of its slots
    world.put("training-config.json", '{"training-job-name": "two"}')
    calls.clear()
    world.launch({"event-id": "e1"})
    few = Counter(calls)
    world.put("training-config.json", '{"training-job-name": "three"}')
    for number in range(50):
        tags = {"parris:deployment": "parris", "parris:run-id": f"20261101-000000-{number:08}"}
        world.cloudformation.create_stack(
            StackName=f"kept-{number}",
            TemplateBody=BARE,
            Tags=[{"Key": key, "Value": value} for key, value in tags.items()],
        )
    calls.clear()
    world.launch({"event-id": "e2"})
    assert Counter(calls) == few
    assert "DescribeStacks" not in calls


def test_a_byte_order_mark_before_any_of_a_jobs_files_does_no_harm(world: World) -> None:
    """`upload_config` takes such files too (test_jobs.py), so a launch must."""
    mark = "\ufeff"
    world.put("training-config.json", mark + '{"training-job-name": "marked"}')
    world.put("trainer-script.sh", mark + "#!/bin/bash\ntrue\n")
    assert world.launch()["stack-name"] == "marked"


def test_a_configuration_in_utf_16_launches_nothing_and_says_how_to_save_it(world: World) -> None:
    body = '{"training-job-name": "wide"}'.encode("utf-16")
    world.s3.put_object(Bucket="parris-config", Key="training-config.json", Body=body)
    with pytest.raises(InvalidConfig, match="save it as UTF-8"):
        world.launch()
    assert world.stacks() == []


def over(world: World, run_id: str, where: str = "", **said: Any) -> None:
    """Store an outcome of a run of the default job, in a folder of the run's."""
    outcome = {"run-id": run_id, "job": "default", "state": "succeeded", "reason": ""} | said
    key = f"runs/default/{run_id}/{where}outcome.json"
    world.s3.put_object(Bucket="parris-results", Key=key, Body=json.dumps(outcome).encode())


def test_a_run_that_is_over_leaves_room_when_the_reap_function_has_noted_it(world: World) -> None:
    first = world.launch(max_concurrent_runs=1)
    over(world, first["run-id"])
    world.put("jobs/b/training-config.json", '{"training-job-name": "two"}')
    world.put("jobs/b/trainer-script.sh", "true")
    world.reap()
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
    world.reap()
    world.put("jobs/b/training-config.json", '{"training-job-name": "two"}')
    world.put("jobs/b/trainer-script.sh", "true")
    with pytest.raises(LaunchRefused, match="max_concurrent_runs allows 1"):
        world.launch({"event-id": "e2", "job": "b"}, max_concurrent_runs=1)


def test_an_unknown_job_names_the_command_that_uploads_it(world: World) -> None:
    with pytest.raises(UnknownJob, match="run make upload-config JOB=nowhere"):
        world.launch({"job": "nowhere"})
    assert world.objects() == set()


def test_a_missing_script_is_refused_before_anything_is_written(world: World) -> None:
    world.put("training-config.json", '{"training-script-filename": "other.sh"}')
    with pytest.raises(InvalidConfig, match=r"there is no file other\.sh beside it"):
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
