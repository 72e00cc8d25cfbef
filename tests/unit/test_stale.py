"""A job that has changed since it was uploaded is not launched as it was without a word."""

from __future__ import annotations

import io
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import boto3
import pytest
from moto import mock_aws

from scripts.cli.console import Refused
from scripts.commands import launch
from scripts.jobs import jobs, stale, uploaded, uploads


@pytest.fixture(autouse=True)
def aws(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "test")
    monkeypatch.setenv("LOCAL", "")
    monkeypatch.setattr(jobs, "TRAINER", tmp_path / "trainer")
    monkeypatch.setattr(jobs.job_folders, "__defaults__", (tmp_path / "trainer",))
    monkeypatch.setattr(jobs, "read_tfvars", dict)
    monkeypatch.setattr(uploaded, "PATH", tmp_path / "uploaded.json")
    monkeypatch.setattr(uploaded.read, "__defaults__", (tmp_path / "uploaded.json",))
    monkeypatch.setattr(uploaded.note, "__defaults__", (tmp_path / "uploaded.json",))
    with mock_aws():
        yield


@pytest.fixture
def s3() -> Any:
    client = boto3.client("s3", region_name="us-east-1")
    client.create_bucket(Bucket="config-bucket")
    return client


@pytest.fixture
def deployment(s3: Any) -> Any:
    clients = {"s3": s3, "ec2": boto3.client("ec2", region_name="us-east-1")}
    return SimpleNamespace(client=clients.get, config_bucket="config-bucket", instance_profiles=())


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "trainer/jobs/mine"
    folder.mkdir(parents=True)
    (folder / "training-config.json").write_text("{}")
    (folder / "trainer-script.sh").write_text("#!/bin/bash\necho old\n")
    return folder


@pytest.fixture
def edited(deployment: Any, folder: Path) -> Path:
    """A job that was uploaded and then changed: one file other, one new, one gone."""
    (folder / "gone.txt").write_text("old")
    uploads.apply(deployment, "mine", uploads.compare(deployment, "mine", folder))
    (folder / "gone.txt").unlink()
    (folder / "new.txt").write_text("new")
    (folder / "trainer-script.sh").write_text("#!/bin/bash\necho new\n")
    return folder


def script(s3: Any) -> str:
    body = s3.get_object(Bucket="config-bucket", Key="jobs/mine/trainer-script.sh")["Body"].read()
    return str(body.decode().split()[-1])


@pytest.fixture
def calls(s3: Any) -> Iterator[list[str]]:
    """The names of the calls to S3 from here on."""
    made: list[str] = []

    def note(model: Any, **_: Any) -> None:
        made.append(model.name)

    s3.meta.events.register("before-call.s3", note)
    yield made
    s3.meta.events.unregister("before-call.s3", note)


def answering(monkeypatch: pytest.MonkeyPatch, words: str) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO(f"{words}\n" if words else ""))


def test_without_a_terminal_the_buckets_files_are_launched_and_one_line_says_so(
    deployment: Any, s3: Any, edited: Path, calls: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    capsys.readouterr()
    stale.settle(deployment, "mine", None, ask=False)
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err == (
        "note: trainer files of job mine differ from the bucket (new.txt, trainer-script.sh, "
        "gone.txt (only in the bucket)); the bucket's are launched; "
        "make launch JOB=mine UPLOAD=1 uploads them first\n"
    )
    assert calls == ["ListObjectsV2"]
    assert script(s3) == "old"
    assert edited.is_dir()


@pytest.mark.parametrize(("words", "there"), [("y", "new"), (" ", "new"), ("n", "old")])
@pytest.mark.usefixtures("edited")
def test_at_a_terminal_it_names_the_files_and_asks(
    deployment: Any,
    s3: Any,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    words: str,
    there: str,
) -> None:
    answering(monkeypatch, words)
    stale.settle(deployment, "mine", None, ask=True)
    said = capsys.readouterr().out
    assert "Job mine has changed since it was uploaded:\n  new.txt\n  trainer-script.sh\n" in said
    assert "gone.txt (only in the bucket)" in said
    assert script(s3) == there
    listed = s3.list_objects_v2(Bucket="config-bucket")["Contents"]
    assert ("jobs/mine/gone.txt" in {item["Key"] for item in listed}) == (there == "old")


@pytest.mark.usefixtures("folder")
def test_a_job_that_was_never_uploaded_is_not_called_changed(
    deployment: Any,
    s3: Any,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    stale.settle(deployment, "mine", None, ask=False)
    assert capsys.readouterr() == ("", "")
    answering(monkeypatch, "y")
    stale.settle(deployment, "mine", None, ask=True)
    assert "Job mine is not in the bucket yet:\n  trainer-script.sh\n" in capsys.readouterr().out
    assert script(s3) == "old"


@pytest.mark.parametrize("words", ["perhaps", ""])
@pytest.mark.usefixtures("edited")
def test_an_answer_that_is_none_launches_nothing(
    deployment: Any, s3: Any, monkeypatch: pytest.MonkeyPatch, words: str
) -> None:
    answering(monkeypatch, words)
    with pytest.raises(Refused, match="nothing was uploaded or launched"):
        stale.settle(deployment, "mine", None, ask=True)
    assert script(s3) == "old"


@pytest.mark.parametrize("ask", [True, False])
@pytest.mark.usefixtures("edited")
def test_upload_1_and_0_answer_beforehand(
    deployment: Any, s3: Any, calls: list[str], capsys: pytest.CaptureFixture[str], ask: bool
) -> None:
    capsys.readouterr()
    stale.settle(deployment, "mine", False, ask=ask)
    assert (calls, capsys.readouterr().err) == ([], "")
    stale.settle(deployment, "mine", True, ask=ask)
    assert calls.count("ListObjectsV2") == 1
    assert script(s3) == "new"
    calls.clear()
    stale.settle(deployment, "mine", None, ask=False)
    assert (calls, capsys.readouterr().err) == (["ListObjectsV2"], "")


@pytest.mark.parametrize(("answer", "ask"), [(True, False), (None, True)])
def test_what_is_wrong_is_neither_asked_about_nor_uploaded_nor_launched(
    deployment: Any,
    s3: Any,
    edited: Path,
    capsys: pytest.CaptureFixture[str],
    answer: bool | None,
    ask: bool,
) -> None:
    (edited / "training-config.json").write_text('{"time-limit": 90.5}')
    with pytest.raises(Refused, match=r"1 problem\n.*90\.5(.|\n)*UPLOAD=0"):
        stale.settle(deployment, "mine", answer, ask=ask)
    assert script(s3) == "old"
    assert "[Y/n]" not in capsys.readouterr().out


@pytest.mark.parametrize("lacking", ["folder", "config"])
def test_a_job_that_only_the_bucket_has_is_no_question(
    deployment: Any, s3: Any, calls: list[str], tmp_path: Path, lacking: str
) -> None:
    s3.put_object(Bucket="config-bucket", Key="jobs/mine/training-config.json", Body=b"{}")
    if lacking == "config":
        (tmp_path / "trainer/jobs/mine").mkdir(parents=True)
        (tmp_path / "trainer/jobs/mine/notes.txt").write_text("x")
    calls.clear()
    stale.settle(deployment, "mine", None, ask=True)
    assert calls == []


def test_whoever_may_not_look_there_may_still_launch_and_is_told(
    deployment: Any,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    folder: Path,
) -> None:
    from botocore.exceptions import ClientError

    def refuse(*_: Any) -> None:
        raise ClientError({"Error": {"Code": "AccessDenied"}}, "ListObjectsV2")

    monkeypatch.setattr(uploads, "compare", refuse)
    stale.settle(deployment, "mine", None, ask=True)
    assert capsys.readouterr().err == (
        "note: the bucket's files of job mine are launched; whether they differ from those here is "
        "unknown, since AWS refused ListObjectsV2\n"
    )
    with pytest.raises(ClientError):
        stale.settle(deployment, "mine", True, ask=True)
    assert folder.is_dir()


def test_a_bucket_whose_etags_do_not_tell_is_known_by_what_was_uploaded(
    deployment: Any, s3: Any, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As under SSE-KMS: the ETag is no digest of the content."""
    _foreign_etags(s3)
    changes = uploads.compare(deployment, "mine", folder)
    uploads.apply(deployment, "mine", changes)
    assert uploads.compare(deployment, "mine", folder).upload == {}
    (folder / "trainer-script.sh").write_text("#!/bin/bash\necho new\n")
    assert list(uploads.compare(deployment, "mine", folder).upload) == [
        "jobs/mine/trainer-script.sh"
    ]
    uploads.apply(deployment, "mine", uploads.compare(deployment, "mine", folder))
    s3.put_object(Bucket="config-bucket", Key="jobs/mine/trainer-script.sh", Body=b"another's")
    assert len(uploads.compare(deployment, "mine", folder).upload) == 1
    monkeypatch.setattr(uploaded.read, "__defaults__", (folder / "none",))
    assert len(uploads.compare(deployment, "mine", folder).upload) == 2


def _foreign_etags(s3: Any) -> None:
    def veil(parsed: dict[str, Any], **_: Any) -> None:
        for item in [parsed, *parsed.get("Contents", [])]:
            if "ETag" in item:
                item["ETag"] = f'"kms-{item["ETag"][1:9]}"'

    s3.meta.events.register("after-call.s3", veil)


@pytest.mark.parametrize(
    ("arguments", "answer"), [((), None), (("--upload", "1"), True), (("--upload", "0"), False)]
)
def test_a_launch_settles_that_before_it_launches(
    monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...], answer: bool | None
) -> None:
    order: list[Any] = []
    facts: dict[str, Any] = {"run-id": "r-1", "job": "mine", "stack-name": "s", "deadline": "d"}
    facts |= {"duplicate": False, "hourly-usd": None, "most-usd": None}

    def settled(_deployment: Any, job: str, said: bool | None, *, ask: bool) -> None:
        order.append((job, said, ask))

    def invoked(_deployment: Any, event: dict[str, Any]) -> dict[str, Any]:
        order.append(json.loads(json.dumps(event))["job"])
        return facts

    monkeypatch.setattr(launch, "read_deployment", lambda: None)
    monkeypatch.setattr(stale, "settle", settled)
    monkeypatch.setattr(launch, "invoke", invoked)
    assert launch.main(["--job", "mine", *arguments]) == 0
    assert order == [("mine", answer, False), "mine"]
