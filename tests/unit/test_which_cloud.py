"""Where a command goes, what it says of LOCAL=1, and that its hints go where it went."""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from unittest.mock import Mock

import boto3
import pytest
from botocore.exceptions import NoCredentialsError

from scripts.cli import console, which_cloud
from scripts.cli.console import Refused
from scripts.commands import init
from scripts.deployment import outputs, terraform
from scripts.local import cloud

ROOT = Path(__file__).resolve().parents[2]
ALONE = {
    *(
        "help",
        "demo",
        "drill",
        "test",
        "test-fast",
        "test-boot",
        "test-report",
        "coverage",
        "check",
        "check-image",
        "prove",
        "faults",
        "bench",
        "package",
        "format",
        "lock",
    ),
    *("local-up", "local-down", "local-env", "local-mail"),
}
"""Targets that LOCAL=1 changes nothing of."""


@pytest.fixture
def local(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOCAL", "1")


@pytest.fixture
def running(monkeypatch: pytest.MonkeyPatch) -> Iterator[pytest.MonkeyPatch]:
    """An embedded cloud in this clone, and a person who forgot it."""
    monkeypatch.setenv("LOCAL", "")
    monkeypatch.setattr(cloud, "read_cloud", lambda _home: SimpleNamespace())
    which_cloud.say_forgotten.cache_clear()
    yield monkeypatch
    which_cloud.say_forgotten.cache_clear()


@pytest.mark.parametrize(
    ("said", "typed"),
    [
        ("run make deploy first", "run make deploy LOCAL=1 first"),
        ("make logs RUN=r-1 WAIT=1; or", "make logs RUN=r-1 WAIT=1 LOCAL=1; or"),
        (
            "follow it with make logs or make status.",
            "follow it with make logs LOCAL=1 or make status LOCAL=1.",
        ),
        ("make compare RUNS=a,b,c DIFF=1", "make compare RUNS=a,b,c DIFF=1 LOCAL=1"),
        ("make logs RUN=a, or make stop", "make logs RUN=a LOCAL=1, or make stop LOCAL=1"),
        ("(make stop RUN=…)", "(make stop RUN=… LOCAL=1)"),
        (
            "make launch JOB=x PARAMETERS='a=1 b=2' now",
            "make launch JOB=x PARAMETERS='a=1 b=2' LOCAL=1 now",
        ),
        ("make status LOCAL=1 shows", "make status LOCAL=1 shows"),
        ("start it with make local-up", "start it with make local-up"),
        ("this deployment did not make it", "this deployment did not make it"),
        ("make deployments, make launch-pads", "make deployments, make launch-pads"),
    ],
)
@pytest.mark.usefixtures("local")
def test_a_hint_is_what_has_to_be_typed(said: str, typed: str) -> None:
    assert which_cloud.hint(said) == typed
    assert which_cloud.hint(typed) == typed


def test_a_hint_of_a_real_account_is_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOCAL", "0")
    assert which_cloud.hint("run make deploy first") == "run make deploy first"


@pytest.mark.usefixtures("local")
def test_a_refusal_of_a_function_too_says_what_to_type(capsys: pytest.CaptureFixture[str]) -> None:
    console.fail("job x has no training-config.json; run make upload-config JOB=x")
    assert capsys.readouterr().err.endswith("run make upload-config JOB=x LOCAL=1\n")


def test_every_target_is_known_to_go_with_local_or_to_be_alone() -> None:
    makefile = (ROOT / "Makefile").read_text()
    targets = set(re.findall(r"^([a-z-]+):.*## ", makefile, flags=re.MULTILINE))
    assert targets
    assert targets <= ALONE.union(which_cloud.TURNED_BY_LOCAL)


def test_every_hint_that_is_printed_goes_through_the_one_function() -> None:
    """Refusals do by themselves; what else is printed and names a command has to be handed over."""
    named = re.compile(rf"make ({'|'.join(which_cloud.TURNED_BY_LOCAL)})\b")
    bare = []
    for path in sorted((ROOT / "scripts").rglob("*.py")):
        tree = ast.parse(path.read_text())
        hinted = {
            id(inner)
            for node in ast.walk(tree)
            if isinstance(node, ast.Call) and ast.unparse(node.func) == "hint"
            for inner in ast.walk(node)
        }
        for node in ast.walk(tree):
            if not (isinstance(node, ast.Call) and ast.unparse(node.func) in ("print", "input")):
                continue
            bare += [
                f"{path.name}:{inner.lineno}: {inner.value}"
                for inner in ast.walk(node)
                if isinstance(inner, ast.Constant)
                and isinstance(inner.value, str)
                and named.search(inner.value)
                and id(inner) not in hinted
            ]
    assert bare == []


def test_a_forgotten_local_is_said_once_with_where_the_command_goes(
    running: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    values = dict.fromkeys(outputs.Deployment.__dataclass_fields__, "x")
    values |= {"account_id": "123456789012", "region": "eu-central-1"}
    running.setattr(outputs, "environment", lambda: {})
    running.setattr("shutil.which", lambda _name: "/usr/bin/terraform")
    running.setattr(outputs, "read_outputs", lambda _environ: (values, ""))
    running.setattr("os.environ", {})
    outputs.read_deployment()
    outputs.read_deployment()
    assert capsys.readouterr().err == (
        "note: this command goes to AWS account 123456789012, eu-central-1; an embedded cloud "
        "runs in this clone, and LOCAL=1 would go there\n"
    )


def test_a_deploy_says_of_a_forgotten_local_what_it_is_about_to_change(
    running: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    session = Mock(region_name="eu-central-1")
    sts = Mock(**{"get_caller_identity.return_value": {"Account": "123456789012"}})
    running.setattr(boto3, "Session", lambda: session)
    running.setattr(terraform, "make_client", lambda _service, _region: sts)
    running.setattr(terraform, "read_outputs", lambda _environ: ({}, ""))
    terraform.say_where("apply")
    said = capsys.readouterr()
    assert said.out == "terraform apply: account 123456789012, region eu-central-1\n"
    assert said.err == (
        "note: this command goes to AWS account 123456789012, eu-central-1; an embedded cloud "
        "runs in this clone, and LOCAL=1 would go there\n"
    )


def test_an_init_says_that_it_was_not_the_embedded_clouds(
    running: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    running.setattr(terraform, "prepare", dict)
    running.setattr(terraform, "init", lambda _environ: None)
    running.setattr("os.environ", {})
    assert init.main([]) == 0
    said = capsys.readouterr()
    assert said.out == "terraform is ready\n"
    assert said.err.startswith("note: this command goes to AWS; an embedded cloud runs in")


def test_where_nothing_is_deployed_a_forgotten_local_is_offered(
    running: pytest.MonkeyPatch,
) -> None:
    running.setattr(outputs, "environment", lambda: {})
    running.setattr("shutil.which", lambda _name: "/usr/bin/terraform")
    running.setattr(outputs, "_has_resources", lambda: False)
    running.setattr("os.environ", {})
    for trouble in ("", "Error: Backend initialization required"):
        running.setattr(outputs, "read_outputs", Mock(return_value=({}, trouble)))
        with pytest.raises(Refused, match="LOCAL=1 would go there"):
            outputs.read_deployment()


def test_where_there_are_no_credentials_a_forgotten_local_is_offered(
    running: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def main(_argv: list[str]) -> int:
        raise NoCredentialsError

    running.setattr(sys, "argv", ["status"])
    with pytest.raises(SystemExit):
        console.run(main)
    assert "LOCAL=1 would go there" in capsys.readouterr().err
    running.setattr(cloud, "read_cloud", lambda _home: None)
    with pytest.raises(SystemExit):
        console.run(main)
    assert "make local-up starts an embedded cloud" in capsys.readouterr().err


@pytest.mark.parametrize("given", ["1", ""])
def test_nothing_is_said_where_nothing_is_forgotten(
    running: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], given: str
) -> None:
    if given:
        running.setenv("LOCAL", given)
    else:
        running.setattr(cloud, "read_cloud", lambda _home: None)
    which_cloud.say_forgotten("AWS account 123456789012")
    assert capsys.readouterr().err == ""
