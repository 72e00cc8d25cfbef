"""The file of faults: what it may say, and what a fault makes of a machine's user data."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import pytest

from scripts.local import faults, guest_faults


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(faults, "_home", tmp_path)
    monkeypatch.setattr(faults, "disk_can_be_full", lambda: True)
    return tmp_path


@pytest.mark.usefixtures("home")
def test_without_a_file_nothing_is_wrong() -> None:
    assert faults.of_machine("any") == []
    assert faults.of_creation("any") is None
    assert not faults.scheduler_is_down()


def test_faults_are_those_of_the_stack_and_of_every_stack(home: Path) -> None:
    machines = {"*": ["no-endpoint"], "mine": ["no-shutdown", "disk-full:64"]}
    faults.write(home, {"machines": machines, "cloudformation": {"mine": "no capacity"}})
    assert faults.of_machine("mine") == ["no-endpoint", "no-shutdown", "disk-full:64"]
    assert faults.of_machine("other") == ["no-endpoint"]
    assert (faults.of_creation("mine"), faults.of_creation("other")) == ("no capacity", None)
    faults.write(home, {"scheduler": "down"})
    assert faults.scheduler_is_down()
    assert faults.of_machine("mine") == []


def test_a_quota_is_what_a_fault_says_or_not_said(home: Path) -> None:
    faults.write(home, {"quotas": {"L-1216C47A": 0}})
    assert (faults.quota("L-1216C47A"), faults.quota("L-DB2E81BA")) == (0, None)


def test_a_part_of_the_calls_of_some_roles_fails(home: Path) -> None:
    assert faults.failing() == (0, "*")
    faults.write(home, {"failing": {"part": 0.05, "roles": "parris-[lr]*"}})
    assert faults.failing() == (0.05, "parris-[lr]*")


@pytest.mark.parametrize(
    "wrong",
    [
        {"machine": {}},
        {"failing": {"share": 0.1}},
        {"machines": {"*": ["no-shutdwon"]}},
        {"machines": {"*": ["disk-full:much"]}},
        {"machines": {"*": ["no-endpoint:1"]}},
        {"quotas": {"L-1216C47A": "many"}},
        {"quotas": {"L-1216C47A": -1}},
    ],
)
def test_a_fault_that_does_not_exist_is_not_written(home: Path, wrong: dict[str, Any]) -> None:
    with pytest.raises(faults.UnknownFault, match="no such fault"):
        faults.write(home, wrong)
    assert not (home / "faults.json").exists()


def test_a_disk_that_cannot_be_full_here_is_refused(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(faults, "disk_can_be_full", lambda: False)
    with pytest.raises(faults.UnknownFault, match="needs user namespaces"):
        faults.write(home, {"machines": {"*": ["disk-full"]}})


def test_a_broken_file_counts_as_none(home: Path, caplog: pytest.LogCaptureFixture) -> None:
    (home / "faults.json").write_text('{"scheduler": ')
    assert not faults.scheduler_is_down()
    assert "is ignored" in caplog.text


def test_user_data_dies_before_its_own_first_line(tmp_path: Path) -> None:
    script = tmp_path / "script"
    script.write_bytes(guest_faults.user_data(b"#!/bin/bash\necho LIVES\n"))
    script.chmod(0o700)
    done = subprocess.run([script], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (1, "[fault user-data-dies]\n")
    assert guest_faults.user_data(b"") == b""
