"""make clean-stacks with a thousand stacks: how often it calls AWS, and what throttling does."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import botocore.client
import pytest

from parris.aws import stacks
from scripts.commands import clean_stacks
from scripts.deployment.outputs import Deployment
from scripts.local import cloud, faults
from tests.many_stacks import make_runs

STACKS = 1000


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A cloud of its own, since no reap function may be there: it would clean the stacks first."""
    folder = tmp_path_factory.mktemp("scale")
    cloud.up(folder, 0)
    yield folder
    cloud.down(folder)


@pytest.fixture
def deployment(home: Path, monkeypatch: pytest.MonkeyPatch) -> Deployment:
    environ = cloud.local_environ(os.environ, home)
    for name in set(os.environ) - set(environ):
        monkeypatch.delenv(name)
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    found = make_runs("scale", 0)
    monkeypatch.setattr(clean_stacks, "read_deployment", lambda: found)
    return found


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """Count every operation that is called, once however often it is tried."""
    counted: Counter[str] = Counter()
    call: Callable[..., Any] = botocore.client.BaseClient._make_api_call  # type: ignore[attr-defined]

    def counting(self: Any, operation: str, arguments: Any) -> Any:
        counted[operation] += 1
        return call(self, operation, arguments)

    monkeypatch.setattr(botocore.client.BaseClient, "_make_api_call", counting)
    return counted


def names(deployment: Deployment) -> set[str]:
    pages = deployment.client("cloudformation").get_paginator("describe_stacks").paginate()
    gone = ("DELETE_IN_PROGRESS", "DELETE_COMPLETE")
    return {
        stack["StackName"]
        for page in pages
        for stack in page["Stacks"]
        if stack["StackStatus"] not in gone
    }


def test_a_thousand_stacks_take_one_listing_pass_and_one_deletion_each(
    deployment: Deployment, calls: Counter[str], capsys: pytest.CaptureFixture[str]
) -> None:
    make_runs("scale", STACKS)
    deployment.client("cloudformation").create_stack(
        StackName="foreign", TemplateBody='{"Resources": {"T": {"Type": "AWS::SNS::Topic"}}}'
    )
    calls.clear()
    assert clean_stacks.main([]) == 0
    assert calls["DeleteStack"] == STACKS
    # A page holds at most 100 stacks or 1 MB of them (API reference, DescribeStacks).
    assert calls["DescribeStacks"] <= STACKS // 100 + 1
    assert set(calls) <= {"DeleteStack", "DescribeStacks", "GetItem", "GetObject"}
    assert "1000 deletions asked for" in capsys.readouterr().out
    assert names(deployment) == {"foreign"}


def test_throttling_costs_time_and_no_stack(
    home: Path, deployment: Deployment, calls: Counter[str]
) -> None:
    make_runs("scale", 20)
    faults.write(home, {"throttle": 3})
    try:
        calls.clear()
        assert clean_stacks.main(["--wait"]) == 0
    finally:
        faults.write(home, {})
    assert calls["DeleteStack"] == 20
    assert names(deployment) == {"foreign"}


def test_what_was_cut_short_is_taken_up_again(
    deployment: Deployment, monkeypatch: pytest.MonkeyPatch, calls: Counter[str]
) -> None:
    make_runs("scale", 40)
    delete = stacks.delete_stack
    asked: list[Any] = []

    def until_ctrl_c(*arguments: Any, **more: Any) -> None:
        if len(asked) >= 10:
            raise KeyboardInterrupt
        asked.append(arguments)
        delete(*arguments, **more)

    monkeypatch.setattr(clean_stacks, "delete_stack", until_ctrl_c)
    with pytest.raises(KeyboardInterrupt):
        clean_stacks.main([])
    left = len(names(deployment)) - 1
    assert 0 < left <= 30
    monkeypatch.setattr(clean_stacks, "delete_stack", delete)
    calls.clear()
    assert clean_stacks.main([]) == 0
    assert calls["DeleteStack"] == left
    assert names(deployment) == {"foreign"}
