"""A run that is run again as it was, whatever became of its job."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

import pytest
from moto import mock_aws

from parris.errors import InvalidEvent, LaunchRefused, StackInTheWay
from parris.runs.fleet import Fleet
from tests.world import World

THEN = {"training-job-name": "one", "parameters": {"epochs": 20, "lr": "0.1"}}
MACHINE = "AROATEST:i-0123456789abcdef0"


@pytest.fixture
def world(credentials: None) -> Iterator[World]:  # noqa: ARG001 - only that they are there
    with mock_aws():
        world = World()
        # moto's EC2 does not know the images that its SSM names.
        image = world.ec2.register_image(Name="ours")["ImageId"]
        config(world, **THEN, image=image, **{"instance-type": ["t3.large", "m5.large"]})
        world.put("train.py", "print('then')")
        yield world


def config(world: World, **keys: Any) -> None:
    world.put("training-config.json", json.dumps(keys))


def over(world: World, number: int = 0, **event: Any) -> str:
    """Return the id of a run that is over, its stack gone."""
    sent = {"event-id": f"e{number}", "time": f"2026-11-24T1{number}:00:00Z", **event}
    run_id = str(world.launch(sent)["run-id"])
    end(world, run_id)
    return run_id


def end(world: World, run_id: str) -> None:
    world.ledger.end("default", run_id, {"state": "succeeded", "machine": MACHINE})
    world.cloudformation.delete_stack(StackName="one")
    world.reap()


def rerun(world: World, run_id: object, **event: Any) -> Mapping[str, Any]:
    sent = {"event-id": "again", "time": "2026-11-24T20:00:00Z", "rerun": run_id, **event}
    return world.launch(sent)


def source(world: World, run_id: str) -> dict[str, bytes]:
    prefix = f"runs/default/{run_id}/source/"
    keys = [key for key in world.objects() if key.startswith(prefix)]
    found = {}
    for key in keys:
        body = world.s3.get_object(Bucket="parris-results", Key=key)["Body"].read()
        found[key.removeprefix(prefix)] = body
    return found


def change_receipt(world: World, run_id: str, **changes: Any) -> None:
    receipt = {**world.receipt(run_id), **changes}
    left = {key: value for key, value in receipt.items() if value is not ...}
    key = f"runs/default/{run_id}/run.json"
    world.s3.put_object(Bucket="parris-results", Key=key, Body=json.dumps(left).encode())


def test_it_has_the_files_and_parameters_of_then_though_the_job_was_changed(world: World) -> None:
    first = over(world, parameters={"lr": "0.5"})
    config(world, **{"training-job-name": "two", "instance-type": "c7i.large"})
    world.put("train.py", "print('now')")
    world.put("new.py", "")
    answer = rerun(world, first)
    again = answer["run-id"]
    assert again != first
    assert (answer["rerun-of"], answer["stack-name"]) == (first, "one")
    assert source(world, again) == source(world, first)
    assert source(world, again)["train.py"] == b"print('then')"
    old, new = world.receipt(first), world.receipt(again)
    assert new["rerun-of"] == first
    assert "rerun-of" not in old
    same = ("parameters", "image", "instance-type", "market", "volume-size-gb", "script")
    assert {key: new[key] for key in same} == {key: old[key] for key in same}
    assert new["parameters"] == {"epochs": "20", "lr": "0.5"}
    [stack] = world.stacks()
    parameters = {one["ParameterKey"]: one["ParameterValue"] for one in stack["Parameters"]}
    assert parameters["ImageId"] == old["image"]
    assert parameters["InstanceType"] == "t3.large"
    assert rerun(world, first)["duplicate"] is True


def test_it_needs_nothing_that_is_left_in_the_config_bucket(world: World) -> None:
    first = over(world)
    for name in ("training-config.json", "trainer-script.sh", "train.py"):
        world.s3.delete_object(Bucket="parris-config", Key=name)
    again = rerun(world, first)["run-id"]
    assert source(world, again) == source(world, first)
    end(world, again)
    third = rerun(world, again, **{"event-id": "third", "time": "2026-11-24T21:00:00Z"})
    assert third["rerun-of"] == again
    assert source(world, third["run-id"]) == source(world, first)


def test_parameters_may_be_given_anew_if_the_job_of_then_had_them(world: World) -> None:
    first = over(world, parameters={"lr": "0.5"})
    config(world, **{"training-job-name": "one", "parameters": {"depth": 1}})
    again = rerun(world, first, parameters={"epochs": 40})["run-id"]
    assert world.receipt(again)["parameters"] == {"epochs": "40", "lr": "0.5"}
    end(world, again)
    with pytest.raises(InvalidEvent, match="depth is not a parameter of job default"):
        rerun(world, first, parameters={"depth": 2}, **{"event-id": "x"})


def test_its_machine_is_the_last_one_of_then_and_no_other(world: World) -> None:
    """The job would do with two types, and its first was not to be had then."""
    first = over(world)
    image = world.ec2.register_image(Name="what a parameter held then")["ImageId"]
    then = {"instance-type": "m5.large", "volume-size-gb": 50, "image": image}
    change_receipt(world, first, **then)
    receipt = world.receipt(rerun(world, first)["run-id"])
    assert receipt["image"] == image
    assert receipt["instance-type"] == "m5.large"
    assert receipt["volume-size-gb"] == 50
    assert receipt["ladder"]["instance-types"] == ["m5.large"]


def test_of_todays_subnets_that_of_then_comes_first(world: World) -> None:
    subnets = ["subnet-0000000a", "subnet-0000000b", "subnet-0000000c"]
    image = world.ec2.register_image(Name="another")["ImageId"]
    config(world, **THEN, image=image, **{"subnet-id": subnets})
    first = over(world)
    change_receipt(world, first, **{"subnet-id": "subnet-0000000c"})
    receipt = world.receipt(rerun(world, first)["run-id"])
    assert receipt["subnet-id"] == "subnet-0000000c"
    assert receipt["ladder"]["subnets"] == [subnets[2], *subnets[:2]]


def test_a_run_that_went_on_from_another_begins_with_the_same_checkpoints(world: World) -> None:
    first = over(world)
    key = f"runs/default/{first}/machines/{MACHINE}/checkpoints/1"
    world.s3.put_object(Bucket="parris-results", Key=key, Body=b"x")
    second = over(world, 1, resume=first)
    receipt = world.receipt(rerun(world, second)["run-id"])
    assert (receipt["rerun-of"], receipt["resumes"]) == (second, first)
    assert receipt["restore"] == f"runs/default/{first}/machines/{MACHINE}/checkpoints/"


def test_an_image_that_is_gone_is_refused_before_there_is_a_stack(world: World) -> None:
    first = over(world)
    image = world.receipt(first)["image"]
    world.ec2.deregister_image(ImageId=image)
    with pytest.raises(LaunchRefused, match=f"{image}, is no longer to be had .* make launch"):
        rerun(world, first)
    assert not world.stacks()
    refused = world.ledger.newest(1)[0][0]
    assert refused.state == "launch-failed"
    assert "is no longer to be had" in refused.reason


def test_what_cannot_be_run_again_is_refused_with_what_to_do(world: World) -> None:
    with pytest.raises(LaunchRefused, match=r"job default has no run 20261124-120000-00000000; ma"):
        rerun(world, "20261124-120000-00000000")
    going = world.launch({"event-id": "g", "time": "2026-11-24T09:00:00Z"})["run-id"]
    with pytest.raises(LaunchRefused, match=f"run {going} is not over.* make stop RUN={going}"):
        rerun(world, going)
    with pytest.raises(StackInTheWay):
        world.launch({"event-id": "b", "time": "2026-11-24T19:00:00Z"})
    refused = world.ledger.newest(1)[0][0].run_id
    with pytest.raises(LaunchRefused, match=f"run {refused} .launch-failed. never had a machine"):
        rerun(world, refused)
    with pytest.raises(LaunchRefused, match=f"job other has no run {going}"):
        rerun(world, going, job="other")
    for wrong in ("../x", 5, "last", None):
        with pytest.raises(InvalidEvent, match=r"rerun: .* is not the id of a run"):
            rerun(world, wrong)
    with pytest.raises(InvalidEvent, match="give one of the two"):
        rerun(world, going, resume="last")


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"image": "/aws/service/x"}, "does not say which image it had; make results"),
        ({"image": ..., "market": 5}, "does not say which market, image it had"),
        ({"parris-version": ..., "volume-size-gb": ...}, "of version before 0.2.0.* volume-size"),
        ({"instance-type": ["m5.large"]}, "which instance-type"),
        ({"parameters": {"a": None}}, "which parameters"),
    ],
)
def test_a_receipt_that_lacks_something_is_refused(
    world: World, changes: dict[str, Any], said: str
) -> None:
    first = over(world)
    change_receipt(world, first, **changes)
    with pytest.raises(LaunchRefused, match=said):
        rerun(world, first)
    assert not world.stacks()


@pytest.mark.parametrize("body", [b"", b"[]", b"{", b"\xff", b"[" * 100_000, None])
def test_a_receipt_that_cannot_be_read_is_refused(world: World, body: bytes | None) -> None:
    first = over(world)
    where = {"Bucket": "parris-results", "Key": f"runs/default/{first}/run.json"}
    if body is None:
        world.s3.delete_object(**where)
    else:
        world.s3.put_object(**where, Body=body)
    with pytest.raises(LaunchRefused, match=f"{where['Key']} in the results bucket, is no JSON"):
        rerun(world, first)


def test_a_run_without_its_files_or_with_a_config_of_no_use_is_refused(world: World) -> None:
    first = over(world)
    prefix = f"runs/default/{first}/source/"
    body = b'{"training-job-name": "one", "gpu": 1}'
    world.s3.put_object(Bucket="parris-results", Key=f"{prefix}training-config.json", Body=body)
    with pytest.raises(LaunchRefused, match=f"run {first} cannot be run here again .*gpu: not a"):
        rerun(world, first)
    for name in source(world, first):
        world.s3.delete_object(Bucket="parris-results", Key=prefix + name)
    with pytest.raises(LaunchRefused, match=f"run {first} has no source/training-config.json"):
        rerun(world, first)


def test_what_the_deployment_no_longer_allows_is_refused(world: World) -> None:
    first = over(world)
    sent = {"event-id": "again", "time": "2026-11-24T20:00:00Z", "rerun": first}
    with pytest.raises(LaunchRefused, match=r"cannot be run here again .*allowed_instance_types"):
        world.launch(sent, fleet=Fleet(types=["c7i.*"]))
    assert not world.stacks()
