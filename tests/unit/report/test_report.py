"""What `make report` gathers from ledger and bucket, writes and publishes."""

from __future__ import annotations

import json
import random
import urllib.parse
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from types import MappingProxyType
from typing import Any

import boto3
import pytest
from moto import mock_aws

from parris.aws.ledger import Ledger
from scripts.cli import console
from scripts.commands import report
from scripts.deployment.outputs import Deployment
from scripts.metrics.stored import Output
from scripts.report import gather as gathering
from scripts.report import images, publish
from tests.ledger import NAME, make_table, note_run, table_of
from tests.plans import NOW
from tests.report_page import Read, written
from tests.report_world import HOSTILE, picture, run_of
from tests.unit.metrics.test_curves import SIMPLE, event, mlflow, record

FOLDER = "AROAROLE:i-0aaaaaaaaaaaaaaaa"
RNG = random.Random(3)  # noqa: S311 - made-up runs


@pytest.fixture
def deployment(monkeypatch: pytest.MonkeyPatch) -> Iterator[Deployment]:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "test")
    monkeypatch.delenv("AWS_SESSION_TOKEN", raising=False)
    monkeypatch.setenv("LOCAL", "")
    values: dict[str, Any] = dict.fromkeys(Deployment.__dataclass_fields__, "parris")
    values |= {"region": "us-east-1", "results_bucket": "results", "ledger_table": NAME}
    made = Deployment(**values)
    monkeypatch.setattr(report, "read_deployment", lambda: made)
    with mock_aws():
        Ledger(make_table()).note_adoption("", NOW)
        made.client("s3").create_bucket(Bucket="results")
        yield made


def note(
    deployment: Deployment,
    number: int,
    job: str = "digits",
    stored: Mapping[str, bytes | str] = MappingProxyType({}),
    **more: Any,
) -> str:
    """Put a run that is over into the ledger, and objects of its machine; return its id.

    Args:
        more: of its outcome.
    """
    run = run_of(number, job, RNG)
    outcome = {**(run_of(number + 1, job, RNG).outcome or {}), "run-id": run.run_id}
    outcome |= {"machine": FOLDER, "job": job, **more}
    table = table_of(boto3.client("dynamodb", region_name="us-east-1"))
    note_run(table, run.receipt, outcome)
    s3 = deployment.client("s3")
    for name, kept in (("run.json", run.receipt), ("outcome.json", outcome)):
        body = json.dumps(kept).encode()
        s3.put_object(Bucket="results", Key=f"{run.prefix}{name}", Body=body)
    for name, content in stored.items():
        s3.put_object(Bucket="results", Key=f"{run.prefix}machines/{FOLDER}/{name}", Body=content)
    return run.run_id


def test_a_run_is_there_with_its_curves_log_images_and_receipt(
    deployment: Deployment, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = [json.dumps({"epoch": n, "loss": 1 / n}) for n in range(1, 6)]
    stored: dict[str, bytes | str] = {
        "output/metrics.jsonl": "\n".join(lines),
        "output/plots/confusion.png": picture(RNG),
        "output/model.bin": b"x" * 1000,
        "machine.jsonl": '{"time": 0, "cpu-percent": 50}\n{"time": 60, "cpu-percent": 70}\n',
        "log.txt": "epoch 5: all is well\n",
    }
    run_id = note(deployment, 2, stored=stored)
    (row,) = written(tmp_path)["runs"]
    assert (row["id"], row["job"], row["state"]) == (run_id, "digits", row["outcome"]["state"])
    assert row["curves"] == [
        {"name": "loss", "axis": "epoch", "steps": [1, 2, 3, 4, 5]}
        | {"values": [1, 0.5, 0.3333333, 0.25, 0.2]}
    ]
    assert row["metrics"] == {"loss": 0.2}
    assert row["machineCurves"][0]["seconds"] == [0, 60]
    assert row["log"] == "epoch 5: all is well\n"
    assert [(one["name"], one["type"]) for one in row["images"]] == [
        ("plots/confusion.png", "image/png")
    ]
    assert row["receipt"]["parameters"] == row["parameters"]
    assert f"make results RUN={run_id}" in row["next"]
    said = capsys.readouterr().out
    size = (tmp_path / "report.html").stat().st_size
    assert f"report.html: 1 run, {size:,} bytes" in said


def test_each_node_of_a_run_has_curves_of_its_machine(
    deployment: Deployment, tmp_path: Path
) -> None:
    worker = "AROAROLE:i-0bbbbbbbbbbbbbbbb"
    busy = '{{"time": 0, "cpu-percent": {}}}\n'
    stored = {"machine.jsonl": busy.format(50)}
    run_id = note(deployment, 2, stored=stored, machines=[FOLDER, worker])
    key = f"runs/digits/{run_id}/machines/{worker}/machine.jsonl"
    deployment.client("s3").put_object(Bucket="results", Key=key, Body=busy.format(70))
    (row,) = written(tmp_path)["runs"]
    curves = {one["name"]: one["values"] for one in row["machineCurves"]}
    assert curves == {"cpu-percent": [50], "[1] cpu-percent": [70]}


def test_curves_of_tensorboard_and_mlflow_are_there_too(
    deployment: Deployment, tmp_path: Path
) -> None:
    events = b"".join(record(event(step, b"acc", SIMPLE)) for step in (1, 2))
    rows = [("loss", 1 / step, 1795521600500, "a" * 32, step, 0) for step in (1, 2)]
    mlflow(tmp_path / "mlflow.db", *rows)
    stored = {
        "output/runs/events.out.tfevents.1.host": events,
        "output/deep/mlflow.db": (tmp_path / "mlflow.db").read_bytes(),
        "output/../not-mlflow.db": b"which read_curves passes over",
        "output/../events.out.tfevents.2.host": events,
    }
    note(deployment, 1, stored=stored)
    (run,) = written(tmp_path)["runs"]
    curves = {one["name"]: (one["axis"], one["steps"], one["values"]) for one in run["curves"]}
    assert curves == {"acc": ("step", [1, 2], [0.5, 0.5]), "loss": ("step", [1, 2], [1, 0.5])}
    assert run["metrics"]["loss"] == 0.5
    (outside,) = run["lacking"]
    assert outside.startswith("curves: output/../events.out.tfevents.2.host: its name has a part")


def test_another_machines_folder_is_nobodys_word(deployment: Deployment, tmp_path: Path) -> None:
    run_id = note(deployment, 2)
    forged = f"runs/digits/{run_id}/machines/AROAROLE:i-0bbbbbbbbbbbbbbbb/output/metrics.jsonl"
    deployment.client("s3").put_object(Bucket="results", Key=forged, Body=b'{"step":1,"loss":0}')
    (row,) = written(tmp_path)["runs"]
    assert row["curves"] == []
    assert row["log"] == ""


def test_what_a_hostile_trainer_stored_is_text(deployment: Deployment, tmp_path: Path) -> None:
    names = [text for text in HOSTILE if "\ud800" not in text and len(text) < 500]
    stored: dict[str, bytes | str] = {f"output/{name}.png": picture(RNG) for name in names[:3]}
    stored |= {
        "output/metrics.jsonl": json.dumps({"step": 1, **dict.fromkeys(HOSTILE, 0.5)}),
        "output/liar.png": "<svg xmlns='http://www.w3.org/2000/svg' onload='x()'/>",
        "log.txt": "\n".join(names).encode() + b"\xff\xfe",
    }
    note(deployment, 2, stored=stored)
    data = written(tmp_path)
    read = Read((tmp_path / "report.html").read_text())
    assert len(read.inside["script"]) == 3
    (row,) = data["runs"]
    assert "\\x1b]0;title" in row["log"]
    assert HOSTILE[0] in {curve["name"] for curve in row["curves"]}
    assert {one["type"] for one in row["images"]} == {"image/png"}
    assert "liar.png" not in {one["name"] for one in row["images"]}


def test_images_are_bounded_and_those_left_out_are_named(
    deployment: Deployment, tmp_path: Path
) -> None:
    stored: dict[str, bytes | str] = {f"output/{n}.png": picture(RNG) for n in range(6)}
    note(deployment, 2, stored=stored | {"output/large.png": b"\x89PNG" + b"x" * 300_000})
    (row,) = written(tmp_path)["runs"]
    assert [one["name"] for one in row["images"]] == ["0.png", "1.png", "2.png", "3.png"]
    assert row["lacking"] == [
        "image large.png: 300,004 bytes, more than 200,000",
        "2 more images of its output",
    ]


def test_all_images_together_have_a_limit_and_the_newest_runs_come_first() -> None:
    each = [[Output(key=f"{n}", name="a.png", size=150_000)] for n in range(60)]
    kept = images.within_budget(each)
    assert [len(some) for some in kept] == [1] * 40 + [0] * 20


def test_only_the_newest_runs_are_read_whole_and_the_page_says_so(
    deployment: Deployment, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gathering, "MOST_DETAILED", 2)
    monkeypatch.setattr(report, "MOST_DETAILED", 2)
    ids = [note(deployment, number) for number in (2, 3, 4)]
    data = written(tmp_path)
    assert [row["id"] for row in data["runs"]] == ids
    assert ["receipt" in row for row in data["runs"]] == [True, True, False]
    assert "of the newest 2 runs" in data["notes"][0]


def test_runs_are_named_by_their_beginnings_and_a_job_alone(
    deployment: Deployment, tmp_path: Path
) -> None:
    first, second, third = (note(deployment, n, job) for n, job in [(2, "a"), (3, "b"), (4, "b")])
    both = written(tmp_path, "--runs", f"{third[:-2]}, {first}")
    assert [row["id"] for row in both["runs"]] == [first, third]
    assert [row["id"] for row in written(tmp_path, "b")["runs"]] == [second, third]
    one = written(tmp_path, "--count", "1")
    assert [row["id"] for row in one["runs"]] == [first]
    assert one["notes"] == ["Older runs are not in it: COUNT=1 runs were asked for."]


@pytest.mark.usefixtures("deployment")
def test_a_refused_launch_is_a_row_and_costs_no_call(tmp_path: Path) -> None:
    refused = {"run-id": "20261125-000000-00000000", "job": "mine", "state": "launch-failed"}
    refused |= {"claimed": "2026-11-25T00:00:00Z", "reason": "stack mine exists"}
    note_run(table_of(boto3.client("dynamodb", region_name="us-east-1")), refused)
    (row,) = written(tmp_path)["runs"]
    assert (row["state"], row["why"]) == ("launch-failed", "stack mine exists")
    assert "receipt" not in row


@pytest.mark.usefixtures("deployment")
def test_without_a_run_nothing_is_written(tmp_path: Path) -> None:
    with pytest.raises(console.Refused, match="no run of job mine to report; make launch starts"):
        written(tmp_path, "mine")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.usefixtures("deployment")
def test_a_folder_is_no_file_to_write(tmp_path: Path) -> None:
    with pytest.raises(console.Refused, match="is a folder; name a file"):
        report.main(["--output", str(tmp_path)])


def test_a_report_is_whole_or_not_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "below" / "report.html"
    assert report.write(path, "first") == 5

    def full(_: Path, __: Path) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "replace", full)
    with pytest.raises(OSError, match="No space"):
        report.write(path, "second")
    assert [one.name for one in path.parent.iterdir()] == ["report.html"]
    assert path.read_text() == "first"


def test_it_answers_in_json(
    deployment: Deployment, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    answers: list[Any] = []
    monkeypatch.setattr(console, "print_json", answers.append)
    note(deployment, 2)
    written(tmp_path, "--json")
    path = tmp_path / "report.html"
    known = {"file": str(path), "bytes": path.stat().st_size, "runs": 1}
    assert answers == [{**known, "link": None, "expires": None}]


@pytest.mark.parametrize("token", ["", "a-session"])
def test_a_published_report_can_be_read_by_its_link_until_it_expires(
    deployment: Deployment,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    token: str,
) -> None:
    if token:
        monkeypatch.setenv("AWS_SESSION_TOKEN", token)
        monkeypatch.setattr(boto3, "DEFAULT_SESSION", None)
    note(deployment, 2)
    written(tmp_path, "--publish")
    said = capsys.readouterr().out.splitlines()
    link = urllib.parse.urlsplit(said[-1])
    given = urllib.parse.parse_qs(link.query)
    assert given["X-Amz-Algorithm"] == ["AWS4-HMAC-SHA256"]
    assert given["X-Amz-Expires"] == ["604800"]
    assert said[-2].endswith(", or with the credentials that signed it:" if token else "Z:")
    (listed,) = deployment.client("s3").list_objects_v2(Bucket="results", Prefix="reports/")[
        "Contents"
    ]
    assert f"published as s3://results/{listed['Key']}" in said
    assert urllib.parse.unquote(link.path).endswith(listed["Key"])
    stored = deployment.client("s3").get_object(Bucket="results", Key=listed["Key"])
    assert stored["ContentType"] == "text/html; charset=utf-8"
    assert stored["Body"].read() == (tmp_path / "report.html").read_bytes()


def test_two_reports_of_one_second_have_two_keys(deployment: Deployment, tmp_path: Path) -> None:
    (tmp_path / "a.html").write_text("a")
    now = datetime(2026, 11, 24, 12, tzinfo=UTC)
    keys = {publish.publish(deployment, tmp_path / "a.html", "x", now).key for _ in range(2)}
    assert len(keys) == 2
    assert all(key.startswith("reports/x-20261124-120000-") for key in keys)
