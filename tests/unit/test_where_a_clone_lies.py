"""A machine of the embedded cloud in a clone whose path has a space, or that was renamed."""

from __future__ import annotations

import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast

import pytest
from botocore.exceptions import ClientError

from scripts.cli.console import RUN_FAILED
from scripts.deployment.follow import conclude, read_log
from scripts.deployment.one_run import describe
from scripts.deployment.outputs import Deployment
from scripts.deployment.runs import Run
from scripts.local import boot
from tests.e2e.conftest import moved_environment

pytestmark = pytest.mark.processes

SCRIPT = """#!/bin/bash
echo kept > $PARRIS_HOME/kept.txt
echo $HOME/*
aws --version
python3 -c 'import boto3; print("boto3 is there")'
pip --version
shutdown --poweroff now
"""


@pytest.mark.parametrize("name", ["plain", "a b", "模型 x"])
def test_a_machine_finds_what_it_needs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    moved_environment(tmp_path / name / ".venv")
    python = tmp_path / name / ".venv/bin/python"
    with pytest.raises(FileNotFoundError):  # what a line #! does in a clone that was renamed
        subprocess.run([python.with_name("aws"), "--version"], check=True)
    monkeypatch.setattr(sys, "executable", str(python))
    directory = tmp_path / name / "i-0"
    directory.mkdir()
    instance = f"i-{abs(hash(tmp_path)):017x}"
    machine = boot.start(
        instance,
        directory,
        user_data=SCRIPT.encode(),
        metadata_endpoint="http://127.0.0.1:9",
        endpoint="http://127.0.0.1:9",
    )
    machine.wait_until_off()
    console = (directory / "console.log").read_text()
    assert "aws-cli/" in console, console
    assert "boto3 is there" in console
    assert "pip 2" in console
    assert (directory / "parris/kept.txt").read_text() == "kept\n"
    assert not boot.link_of(instance).is_symlink()


def test_a_run_without_an_outcome_shows_its_consoles_end(
    capsys: pytest.CaptureFixture[str],
) -> None:
    run = Run(
        job="digits",
        run_id="r1",
        receipt={},
        outcome={"state": "interrupted", "console": "first\naws: not found \x1b[2J\n"},
        stack=None,
        state="interrupted",
        reason="its machine powered off by itself without an outcome",
        ended_by="machine",
    )
    assert conclude(run) == RUN_FAILED
    shown = "the end of its machine's console:\n  | first\n  | aws: not found"
    said = capsys.readouterr().out
    assert shown in said
    assert "\x1b" not in said
    nowhere = {"InstanceId": "", "State": {"Name": "none"}}
    assert shown in "\n".join(describe(run, nowhere, "results", datetime.now(UTC)))
    assert shown in "".join(read_log(cast(Deployment, WithoutALog()), run))


class WithoutALog:
    """A deployment in which no run has stored a log."""

    results_bucket = training_log_group = "parris"

    def client(self, _service: str) -> Any:
        return self

    def get_object(self, **_: str) -> None:
        raise ClientError({"Error": {"Code": "NoSuchKey"}}, "GetObject")
