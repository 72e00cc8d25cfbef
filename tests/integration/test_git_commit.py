"""The receipt of a run names the git commit that its files were uploaded from."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from moto import mock_aws

from scripts.cli.console import Refused
from scripts.jobs import uploads
from scripts.jobs.commits import read_commit
from tests.world import World


@pytest.fixture
def world(credentials: None) -> Iterator[World]:  # noqa: ARG001 - only that they are there
    with mock_aws():
        yield World()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The folder of job "mine" in a git clone, all of it committed."""
    folder = tmp_path / "a b" / "trainer" / "jobs" / "mine"
    folder.mkdir(parents=True)
    (folder / "training-config.json").write_text('{"training-job-name": "mine"}')
    (folder / "trainer-script.sh").write_text("#!/bin/bash\ntrue\n")
    (folder / ".gitignore").write_text("*.csv\n__pycache__/\n")
    (tmp_path / "README").write_text("x")
    git(tmp_path, "init", "--quiet")
    commit(folder)
    return folder


def git(folder: Path, *words: str) -> str:
    who = ("-c", "user.name=a", "-c", "user.email=a@b", "-c", "commit.gpgsign=false")
    command = ["git", *who, *words]
    return subprocess.run(command, cwd=folder, check=True, capture_output=True, text=True).stdout


def commit(folder: Path) -> str:
    git(folder, "add", "--all", ":/")
    git(folder, "commit", "--quiet", "--allow-empty", "--message", "x")
    return git(folder, "rev-parse", "HEAD").strip()


def upload(world: World, folder: Path) -> None:
    deployment: Any = SimpleNamespace(client=lambda _: world.s3, config_bucket="parris-config")
    uploads.apply(deployment, "mine", uploads.compare(deployment, "mine", folder))


def launched(world: World, event_id: str, **event: Any) -> dict[str, Any]:
    """Return the receipt of a run that is over again."""
    sent = {"job": "mine", "event-id": event_id, "time": f"2026-11-24T1{event_id}:00:00Z", **event}
    run_id = world.launch(sent)["run-id"]
    world.ledger.end("mine", run_id, {"state": "succeeded", "machine": None})
    world.cloudformation.delete_stack(StackName="mine")
    world.reap()
    return world.receipt(run_id, "mine")


def test_a_receipt_names_the_commit_and_whether_the_folder_differed(
    world: World, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first = git(folder, "rev-parse", "HEAD").strip()
    upload(world, folder)
    assert f"at commit {first[:12]}\n" in capsys.readouterr().out
    assert launched(world, "0")["git"] == {"commit": first, "dirty": False}

    (folder / "train.py").write_text("print(1)")  # another file than the configuration
    upload(world, folder)
    assert "with changes that are not committed" in capsys.readouterr().out
    dirty = launched(world, "1")
    assert dirty["git"] == {"commit": first, "dirty": True}

    second = commit(folder)
    upload(world, folder)  # nothing but the commit is new
    assert launched(world, "2")["git"] == {"commit": second, "dirty": False}

    commit(folder)  # the same files at another commit are still those of the second
    upload(world, folder)
    assert launched(world, "3")["git"] == {"commit": second, "dirty": False}

    (folder / "train.py").unlink()
    upload(world, folder)
    assert launched(world, "4")["git"]["dirty"] is True


def test_a_run_that_is_run_again_keeps_the_commit_of_then(world: World, folder: Path) -> None:
    image = world.ec2.register_image(Name="ours")["ImageId"]
    config = f'{{"training-job-name": "mine", "image": "{image}"}}'
    (folder / "training-config.json").write_text(config)
    commit(folder)
    upload(world, folder)
    first = launched(world, "0")
    (folder / "train.py").write_text("print(1)")
    upload(world, folder)
    assert launched(world, "1", rerun=first["run-id"])["git"] == first["git"]


@pytest.mark.parametrize("name", ["trainer-script.sh", "new.py", "training-config.json"])
def test_what_somebody_else_has_put_there_since_is_of_no_commit(
    world: World, folder: Path, name: str
) -> None:
    upload(world, folder)
    body = '{"training-job-name": "mine", "keep-stack": "never"}'
    world.put(f"jobs/mine/{name}", body)
    assert "git" not in launched(world, "0")


@pytest.mark.parametrize(
    ("name", "dirty"),
    [("data.csv", True), ("__pycache__/x.pyc", False), ("../other/x", False), ("x/y.py", True)],
)
def test_dirty_is_what_would_be_uploaded(folder: Path, name: str, dirty: bool) -> None:
    (folder / name).parent.mkdir(exist_ok=True)
    (folder / name).write_text("x")
    found = read_commit("mine", folder)
    assert found is not None
    assert found["dirty"] is dirty


def test_without_a_clone_or_a_commit_nothing_is_said(
    world: World, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    git(tmp_path, "update-ref", "-d", "HEAD")
    assert read_commit("mine", folder) is None
    (tmp_path / ".git").rename(tmp_path / "gone")
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    assert read_commit("mine", folder) is None
    monkeypatch.setenv("PATH", "")
    assert read_commit("mine", folder) is None
    upload(world, folder)
    assert "git" not in launched(world, "0")


@pytest.mark.parametrize("fault", [FileNotFoundError(2, "No such file"), PermissionError(13, "No")])
def test_a_file_that_cannot_be_read_while_others_are_sent_leaves_the_configuration_as_it_was(
    world: World, folder: Path, monkeypatch: pytest.MonkeyPatch, fault: OSError
) -> None:
    """The configuration names the commit of all others, so it may not come before them."""
    upload(world, folder)
    read = {"Bucket": "parris-config", "Key": "jobs/mine/training-config.json"}
    before = world.s3.get_object(**read)
    (folder / "training-config.json").write_text('{"training-job-name": "newer"}')
    for name in ("a.py", "z.py"):
        (folder / name).write_text("x")
    commit(folder)
    whole, reads = Path.read_bytes, list[str]()

    def read_bytes(path: Path) -> bytes:
        reads.append(path.name)
        if path.name == "z.py" and reads.count("z.py") == 2:  # compared, and then gone
            raise fault
        return whole(path)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "read_bytes", read_bytes)
        with pytest.raises(Refused, match=r"z\.py: No.*make upload-config again"):
            upload(world, folder)
    assert world.s3.get_object(**read)["ETag"] == before["ETag"]
    upload(world, folder)
    assert world.s3.get_object(**read)["ETag"] != before["ETag"]
