"""What `make results` fetches, and that nothing lands outside of the run's folder."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import boto3
import pytest
from moto import mock_aws
from moto.s3.models import s3_backends

from parris.runs.times import iso
from scripts.cli.inside import NotInside, path_inside
from scripts.commands import results
from scripts.deployment.folders import believed_folder, log_stream
from scripts.deployment.outputs import Deployment
from scripts.deployment.runs import Run, find_run

RUN_ID = "r-0123456789abcdef"
PREFIX = f"runs/job/{RUN_ID}/"
OURS = "AROAROLE:i-0aaaaaaaaaaaaaaaa"


@pytest.fixture
def s3() -> Iterator[Any]:
    with mock_aws():
        client = boto3.client(
            "s3",
            region_name="us-east-1",
            aws_access_key_id="testing",
            aws_secret_access_key="testing",
        )
        client.create_bucket(Bucket="results")
        yield client


def deployment(s3: Any, instances: tuple[str, ...] = ()) -> Deployment:
    listed = [{"InstanceId": name, "LaunchTime": name} for name in instances]
    found = [{"Instances": listed}] if instances else []

    def describe(**_: object) -> dict[str, Any]:
        return {"Reservations": found}

    clients = {"s3": s3, "ec2": SimpleNamespace(describe_instances=describe)}
    made = SimpleNamespace(
        client=clients.get, results_bucket="results", config_bucket="config", deployment="parris"
    )
    return cast("Deployment", made)


def run(outcome: dict[str, Any] | None, **more: Any) -> Run:
    facts: dict[str, Any] = {"receipt": {}, "stack": None, "state": "", "reason": ""}
    return Run(job="job", run_id=RUN_ID, outcome=outcome, ended_by="", **{**facts, **more})


def put(s3: Any, *names: str) -> None:
    for name in names:
        s3.put_object(Bucket="results", Key=PREFIX + name, Body=name.encode())


def fetched(folder: Path) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): path.read_text()
        for path in folder.rglob("*")
        if path.is_file()
    }


RECORD = ("run.json", "outcome.json", "agent.pyz", "source/train.py")


def test_what_the_believed_machine_stored_is_fetched_and_no_other_machines(
    s3: Any, tmp_path: Path
) -> None:
    other = "AROAROLE:i-0bbbbbbbbbbbbbbbb"
    put(s3, *RECORD, "output/forged", "log.txt", f"machines/{other}/output/a")
    mine = [f"machines/{OURS}/{name}" for name in ("output/a", "checkpoints/c", "log.txt")]
    put(s3, *mine, f"machines/{OURS}/outcome.json")
    folder = tmp_path / "job" / RUN_ID
    done = results.fetch(deployment(s3), run({"machine": OURS}), folder)
    assert (done.count, done.refused) == (7, [])
    assert fetched(folder) == {name: name for name in RECORD} | {
        name.removeprefix(f"machines/{OURS}/"): name for name in mine
    }


def test_an_older_run_has_its_results_at_its_root(s3: Any, tmp_path: Path) -> None:
    put(s3, *RECORD, "output/a", "checkpoints/c", "log.txt", f"machines/{OURS}/output/a")
    folder = tmp_path / "job" / RUN_ID
    done = results.fetch(deployment(s3), run({"state": "succeeded"}), folder)
    assert (done.count, done.refused) == (7, [])
    assert fetched(folder)["output/a"] == "output/a"


def test_a_run_under_way_is_believed_by_its_instance(s3: Any) -> None:
    put(s3, f"machines/{OURS}/log.txt", "machines/AROAROLE:i-0bbbbbbbbbbbbbbbb/log.txt")
    found = believed_folder(deployment(s3, (OURS.split(":")[1],)), run(None))
    assert found == f"{PREFIX}machines/{OURS}/"
    assert believed_folder(deployment(s3), run(None)) == PREFIX


@pytest.mark.parametrize("name", ["../../other", "x/y", "", "AROA:i-1/../..", 5])
def test_a_folder_that_is_no_machines_is_not_believed(s3: Any, name: object) -> None:
    assert believed_folder(deployment(s3), run({"machine": name})) == PREFIX


@pytest.mark.parametrize(
    "name",
    ["output/../../../x", "output/..", "output//x", "output/./x", "output/a\\b", "output/\x1b[2Jx"],
)
def test_a_key_that_leads_out_is_refused_by_name_and_the_rest_comes(
    s3: Any, tmp_path: Path, name: str
) -> None:
    put(s3, "run.json", f"machines/{OURS}/output/a")
    folder = tmp_path / "job" / RUN_ID
    put(s3, f"machines/{OURS}/{name}")
    done = results.fetch(deployment(s3), run({"machine": OURS}), folder)
    assert done.count == 2
    (line,) = done.refused
    assert line.startswith(repr(f"{PREFIX}machines/{OURS}/{name}"))
    assert set(fetched(tmp_path)) == {f"job/{RUN_ID}/run.json", f"job/{RUN_ID}/output/a"}


@pytest.mark.parametrize("link", ["job", f"job/{RUN_ID}", f"job/{RUN_ID}/output"])
def test_a_link_that_is_there_is_not_followed(s3: Any, tmp_path: Path, link: str) -> None:
    put(s3, f"machines/{OURS}/output/a")
    elsewhere, to = tmp_path / "elsewhere", tmp_path / "to"
    elsewhere.mkdir()
    (to / link).parent.mkdir(parents=True)
    (to / link).symlink_to(elsewhere)
    done = results.fetch(deployment(s3), run({"machine": OURS}), to / "job" / RUN_ID)
    assert (done.count, len(done.refused)) == (0, 1)
    assert "symbolic link" in done.refused[0]
    assert list(elsewhere.iterdir()) == []


def test_a_file_where_a_folder_is_to_be_is_refused(s3: Any, tmp_path: Path) -> None:
    put(s3, f"machines/{OURS}/output/a", f"machines/{OURS}/output/a/b")
    folder = tmp_path / "job" / RUN_ID
    done = results.fetch(deployment(s3), run({"machine": OURS}), folder)
    assert (done.count, len(done.refused)) == (1, 1)


def test_an_absolute_name_is_refused(tmp_path: Path) -> None:
    with pytest.raises(NotInside, match="absolute"):
        path_inside(tmp_path, "/etc/passwd")
    assert path_inside(tmp_path, "output/ä b/…") == tmp_path / "output/ä b/…"


@pytest.mark.parametrize(
    ("job", "run_id"), [("../x", None), ("a/b", None), (None, "../x"), (None, "r 1"), ("-x", None)]
)
def test_a_job_or_run_that_is_none_is_refused(s3: Any, job: str | None, run_id: str | None) -> None:
    from scripts.cli.console import Refused

    with pytest.raises(Refused, match="is not a"):
        find_run(deployment(s3), job, run_id)


def test_the_logs_name_comes_from_the_stack_then_the_record_then_an_older_receipt() -> None:
    stack = {"Tags": [{"Key": "parris:log-stream", "Value": "of-the-stack"}]}
    old, over = {"log-stream": "of-the-receipt"}, {"log-stream": "of-the-outcome"}
    assert log_stream(run(over, stack=stack, receipt=old)) == "of-the-stack"
    assert log_stream(run(over, receipt=old)) == "of-the-outcome"
    assert log_stream(run(None, receipt=old)) == "of-the-receipt"
    assert log_stream(run(None)) == ""


def said(s3: Any, capsys: pytest.CaptureFixture[str], tmp_path: Path, found: Run) -> list[str]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(results, "read_deployment", lambda: deployment(s3, (OURS.split(":")[1],)))
        patch.setattr(results, "pick_run", lambda *_: found)
        assert results.main(["--to", str(tmp_path)]) == 0
    return [line for line in capsys.readouterr().out.splitlines() if not line.startswith("  ")]


def test_a_run_that_goes_on_says_how_old_its_results_are(
    s3: Any, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    going = run(None, state="running", receipt={"sync-interval-seconds": 60})
    put(s3, "run.json")
    *_, counted, age = said(s3, capsys, tmp_path, going)
    assert counted.startswith(f"run {RUN_ID} of job job: running; 1 file in ")
    assert age == (
        "the run goes on: its machine has stored nothing yet (it stores every 60 s); "
        f"make results RUN={RUN_ID} fetches what has come since"
    )
    put(s3, f"machines/{OURS}/output/a", f"machines/{OURS}/log.txt")
    now = datetime.now(UTC).replace(microsecond=0)
    stored = {f"machines/{OURS}/output/a": 500, f"machines/{OURS}/log.txt": 200, "run.json": 0}
    for name, seconds in stored.items():  # run.json changes too, as when make extend moves it
        key = s3_backends["123456789012"]["aws"].buckets["results"].keys[PREFIX + name]
        key.last_modified = (now - timedelta(seconds=seconds)).replace(tzinfo=None)
    *_, counted, age = said(s3, capsys, tmp_path, going)
    assert "; 3 files in " in counted
    newest = iso(now - timedelta(seconds=200))
    assert f"its machine stored the newest of this 3 min ago, {newest} (it st" in age


def test_a_run_that_is_over_has_results_of_no_age(
    s3: Any, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    put(s3, "run.json", f"machines/{OURS}/output/a")
    lines = said(s3, capsys, tmp_path, run({"machine": OURS}, state="succeeded"))
    assert len(lines) == 1


def test_where_nothing_was_fetched_no_folder_is_named(
    s3: Any, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    (line,) = said(s3, capsys, tmp_path, run(None, state="launch-failed"))
    assert line == f"run {RUN_ID} of job job: launch-failed; 0 files"
    assert list(tmp_path.iterdir()) == []
