"""What `make status` shows at any width, of refused launches, and of one run."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import boto3
import pytest
from moto import mock_aws

from parris.aws.ledger import Ledger
from scripts.cli import console
from scripts.cli.columns import Column, fitting
from scripts.commands import status
from scripts.deployment.outputs import Deployment
from tests.ledger import NAME, make_table, note_run, table_of
from tests.plans import NOW
from tests.unit.test_plain_text import Lines, Terminal

RUN_ID = "20261124-193233-ee09f120"
REASON = "the trainer exited with 1: ValueError: could not convert string to float: 'n/a'"


def receipt(job: str, run_id: str, minutes: int, **more: Any) -> dict[str, Any]:
    claimed = datetime.now(UTC) - timedelta(minutes=minutes, seconds=1)
    return {
        "run-id": run_id,
        "job": job,
        "claimed": claimed.isoformat(),
        "deadline": "2026-11-24T21:32:33Z",
        "instance-type": "t3.medium",
        "market": "on-demand",
        "trigger": {"kind": "schedule", "name": "nightly"},
        "parameters": {"epochs": "40"},
        "price": {"hourly-usd": "0.0464", "source": "the AWS Price List"},
        **more,
    }


@pytest.fixture
def deployment(monkeypatch: pytest.MonkeyPatch) -> Iterator[Deployment]:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "test")
    monkeypatch.setenv("LOCAL", "")
    values: dict[str, Any] = dict.fromkeys(Deployment.__dataclass_fields__, "parris")
    values |= {"region": "us-east-1", "results_bucket": "results", "ledger_table": NAME}
    made = Deployment(**values)
    monkeypatch.setattr(status, "read_deployment", lambda: made)
    with mock_aws():
        Ledger(make_table()).note_adoption("", NOW)
        yield made


@pytest.fixture
def s3(deployment: Deployment) -> Any:
    client = deployment.client("s3")
    client.create_bucket(Bucket="results")
    return client


def put(s3: Any, said: dict[str, Any], **outcome: Any) -> None:
    whole = {"run-id": said["run-id"], "job": said["job"], **outcome} if outcome else None
    note_run(table_of(boto3.client("dynamodb", region_name="us-east-1")), said, whole)
    prefix = f"runs/{said['job']}/{said['run-id']}/"
    s3.put_object(Bucket="results", Key=prefix + "run.json", Body=json.dumps(said).encode())
    if whole:
        body = json.dumps(whole).encode()
        s3.put_object(Bucket="results", Key=prefix + "outcome.json", Body=body)


def failed(s3: Any, job: str = "monte-carlo") -> None:
    said = receipt(job, RUN_ID, 3, **{"stack-id": "arn:aws:cloudformation:stack"})
    facts = {"started": "2026-11-24T19:33:00Z", "finished": "2026-11-24T19:35:00Z"}
    facts |= {"ended-by": "trainer", "instance-id": "i-0aaaaaaaaaaaaaaaa"}
    put(s3, said, state="failed", reason=REASON, **facts, **{"cost-usd": 0.0031})


def refuse(s3: Any, count: int, job: str = "mine", state: str = "") -> None:
    for number in range(count):
        said = receipt(job, f"20261125-{number:06}-00000000", 1)
        said |= {"state": state or "launch-failed", "reason": f"stack {job} exists"}
        put(s3, said)


def shown(monkeypatch: pytest.MonkeyPatch, *arguments: str, width: int = 0) -> list[str]:
    """Return the lines of `make status`: on a terminal of that width, or else in a pipe."""
    said = Terminal() if width else Lines()
    with monkeypatch.context() as patch:
        patch.setenv("COLUMNS", str(width))
        patch.setenv("TERM", "xterm")
        patch.setattr(sys, "argv", ["status", *arguments])
        patch.setattr(sys, "stdout", said)
        with pytest.raises(SystemExit) as ended:
            console.run(status.main)
    assert ended.value.code == 0
    return re.sub(r"\x1b\[[0-9;]*m", "", said.getvalue()).splitlines()


@pytest.mark.parametrize("width", [20, 40, 60, 80, 100, 120, 200])
def test_an_id_is_whole_on_one_line_at_any_width(
    s3: Any, monkeypatch: pytest.MonkeyPatch, width: int
) -> None:
    failed(s3)
    lines = shown(monkeypatch, width=width)
    (line,) = [line for line in lines if line.startswith(RUN_ID)]
    assert line.split()[0] == RUN_ID
    assert "failed" in line.split()
    if width >= 40:
        table = [line for line in lines if not line.startswith("make ")]
        assert max(map(len, table)) <= width
    if width >= 60:
        assert line.split()[1] == "monte-carlo"


def test_a_reason_that_does_not_fit_wraps_in_its_own_column(
    s3: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    failed(s3)
    lines = shown(monkeypatch, width=80)
    assert lines[0].split() == ["RUN", "JOB", "STATE", "CLAIMED", "WHY"]
    column = lines[0].index("WHY")
    assert lines[-1] == f"make status RUN={RUN_ID} shows a run in full"
    rows = lines[1:-1]
    assert len(rows) > 1
    assert " ".join(line[column:].strip() for line in rows) == REASON
    assert all(not line[:column].strip() for line in rows[1:])


def test_what_has_no_room_is_named_and_all_is_shown_where_there_is(
    s3: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    failed(s3)
    assert not any("in full" in line for line in shown(monkeypatch, width=220))
    headings = shown(monkeypatch, width=220)[0].split()
    assert headings == [
        *("RUN", "JOB", "STATE", "ENDED"),
        *("BY", "STACK", "CLAIMED"),
        *headings[7:],
    ]
    assert headings[7:] == ["DEADLINE", "COST", "WHY"]


def test_a_pipe_gets_a_line_for_each_run_and_no_boxes(
    s3: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    failed(s3)
    heading, line = shown(monkeypatch)
    assert line.startswith(f"{RUN_ID}  monte-carlo  failed  trainer")
    assert line.endswith(f"$0.0031  {REASON}")
    assert heading.index("WHY") == line.index(REASON)
    assert line.isascii()


def test_a_run_that_goes_on_has_its_metrics_beside_it(
    s3: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    failed(s3)
    going = "20261125-193233-ee09f121"
    table = table_of(boto3.client("dynamodb", region_name="us-east-1"))
    note_run(table, receipt("digits", going, 5, state="launching"))
    ledger = Ledger(table)
    record = ledger.read("digits", going)
    assert record is not None
    metrics: dict[str, float | str] = {
        "epochs": 20,
        "loss": 0.123456,
        "acc": 0.97,
        "note": "x" * 100,
        "epoch": 14,
    }
    ledger.note_progress(record, "AROAROLE:i-0aaaaaaaaaaaaaaaa", metrics)
    heading, live, over = shown(monkeypatch)
    at = heading.index("METRICS")
    assert live[at:].startswith("loss 0.1235 acc 0.97 … epoch 14/20  ")
    assert over[at:].startswith("-  ")
    capsys.readouterr()
    status.main(["--json"])
    assert json.loads(capsys.readouterr().out)["runs"][0]["metrics"] == metrics


@pytest.mark.parametrize("count", [1, 7, 45])
def test_refused_launches_do_not_push_a_run_out_of_sight(
    s3: Any, monkeypatch: pytest.MonkeyPatch, count: int
) -> None:
    failed(s3)
    refuse(s3, count)
    lines = shown(monkeypatch)
    assert lines[1].startswith(RUN_ID)
    launches = "1 launch" if count == 1 else f"{count} launches"
    last = "" if count == 1 else ", the last"
    newest = f"20261125-{count - 1:06}-00000000"
    assert f"{launches} of job mine refused{last} 1 min ago, {newest}: stack mine exists" in lines


def test_refused_and_skipped_launches_are_counted_by_job(
    s3: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    refuse(s3, 2)
    refuse(s3, 3, job="other", state="skipped")
    lines = shown(monkeypatch)
    assert lines[0].startswith("no run yet; make upload-config and then make launch starts")
    assert [line[:26] for line in lines[1:]] == [
        "3 launches of job other sk",
        "2 launches of job mine ref",
    ]


@pytest.mark.parametrize("job", ["", "mine"])
def test_more_refusals_than_are_looked_through_are_not_no_run(
    s3: Any, monkeypatch: pytest.MonkeyPatch, job: str
) -> None:
    put(s3, receipt("mine", "20261124-193233-ee09f120", 9), state="failed", reason=REASON)
    refuse(s3, 20)
    named = ("--job", job) if job else ()
    of, typed = (" of job mine", " JOB=mine") if job else ("", "")
    first, *more = shown(monkeypatch, *named, "--count", "1")
    assert first == (
        f"the newest 10 launches{of} came to nothing; make status{typed} COUNT=5 looks further"
    )
    assert [line[:34] for line in more] == ["10 launches of job mine refused, t"]
    assert shown(monkeypatch, *named, "--count", "5")[1].startswith(RUN_ID)


def test_machines_get_the_runs_and_the_refusals_apart(
    s3: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    failed(s3)
    refuse(s3, 2)
    told = json.loads("\n".join(shown(monkeypatch, "--json")))
    assert [run["run-id"] for run in told["runs"]] == [RUN_ID]
    assert [run["state"] for run in told["refused"]] == ["launch-failed"] * 2
    assert told["stacks"] == []
    one = json.loads("\n".join(shown(monkeypatch, "--json", "--run", RUN_ID)))
    assert (one["run-id"], one["reason"]) == (RUN_ID, REASON)


def test_what_never_became_a_plan_and_ids_of_older_versions_hide_no_run(
    s3: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(s3, receipt("mine", RUN_ID, 9), state="failed", reason=REASON)
    for number in range(3):
        put(s3, receipt("mine", f"r-{number:016x}", 9999), state="succeeded", reason="")
    ledger = Ledger(table_of(boto3.client("dynamodb", region_name="us-east-1")))
    for number in range(60):
        ledger.claim("mine", f"20261125-0000{number:02}-00000000", "n", NOW)
    for named in ((), ("--job", "mine")):
        assert shown(monkeypatch, *named, "--count", "2")[1].startswith(RUN_ID)


def test_until_older_runs_are_taken_in_the_bucket_is_looked_through_too(
    deployment: Deployment, s3: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = deployment.client("dynamodb")
    client.delete_item(TableName=NAME, Key={"pk": {"S": "adopted"}, "sk": {"S": "adopted"}})
    for number in range(3):
        put(s3, receipt("mine", f"20261124-00000{number}-00000000", 9), state="failed", reason="")
    body = json.dumps(receipt("other", RUN_ID, 1)).encode()
    s3.put_object(Bucket="results", Key=f"runs/other/{RUN_ID}/run.json", Body=body)
    lines = shown(monkeypatch, "--count", "2")
    assert [line.split()[0] for line in lines[1:3]] == [RUN_ID, "20261124-000002-00000000"]
    assert lines[3].startswith("older runs are not shown")


def test_runs_are_sought_by_state_and_by_time(s3: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    failed(s3)
    put(s3, receipt("mine", "20261123-000000-00000000", 1), state="succeeded", reason="")
    put(s3, receipt("other", "20261123-100000-00000000", 1), state="failed", reason="")
    refuse(s3, 2)

    def ids(*arguments: str) -> list[str]:
        lines = shown(monkeypatch, *arguments)
        return [line.split()[0] for line in lines if line.startswith("2026")]

    assert ids("--state", "failed") == [RUN_ID, "20261123-100000-00000000"]
    assert ids("--state", "FAILED, succeeded", "--count", "5") == [
        *(RUN_ID, "20261123-100000-00000000"),
        "20261123-000000-00000000",
    ]
    assert ids("--state", "launch-failed")[0] == "20261125-000001-00000000"
    assert ids("--since", "2026-11-24") == [RUN_ID]
    assert ids("--since", "2026-11-23T05:00", "--job", "other") == ["20261123-100000-00000000"]
    lines = shown(monkeypatch, "--state", "failed", "--since", "2026-11-23", "--count", "1")
    assert lines[1].startswith(RUN_ID)
    assert lines[2] == (
        "older runs are not shown; make status STATE=failed SINCE=2026-11-23 COUNT=5 shows some"
    )
    assert shown(monkeypatch, "--state", "stopped,queued", "--job", "mine") == [
        "no run of job mine is stopped or queued; make status JOB=mine shows the newest"
    ]


def test_a_run_that_goes_on_is_found_by_what_its_stack_says(
    s3: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    stack = {"StackName": "parris-mine", "StackStatus": "CREATE_COMPLETE", "StackId": "arn"}
    stack |= {"Tags": [{"Key": "parris:run-id", "Value": RUN_ID}]}  # type: ignore[dict-item]
    monkeypatch.setattr(status, "list_stacks", lambda _deployment: [stack])
    put(s3, receipt("mine", RUN_ID, 60, **{"stack-id": "arn"}))
    for number in range(30):
        put(s3, receipt("mine", f"20261125-0000{number}-0", 1), state="succeeded", reason="")
    assert shown(monkeypatch, "--state", "running", "--count", "1")[1].startswith(RUN_ID)
    assert shown(monkeypatch, "--state", "launching")[0].startswith("no run is launching; ")


def test_no_more_runs_are_shown_than_asked_for(s3: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(3):
        put(s3, receipt("job", f"r-{number:016x}", 1), state="succeeded", reason="")
    lines = shown(monkeypatch, "--count", "1")
    assert lines[1].startswith("r-0000000000000002")
    assert lines[2:] == ["older runs are not shown; make status COUNT=5 shows some"]


@pytest.mark.parametrize(
    "wrong",
    [
        {"claimed": "yesterday"},
        {"claimed": 5, "deadline": None},
        {"price": {"hourly-usd": "dear"}},
        {"parameters": [], "trigger": "nobody", "price": "dear"},
    ],
)
def test_a_receipt_that_is_not_as_it_should_be_is_a_note_and_no_traceback(
    s3: Any,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    wrong: dict[str, Any],
) -> None:
    failed(s3)
    put(s3, receipt("mine", "20261124-203233-ee09f120", 9, **wrong))
    lines = shown(monkeypatch)
    assert [line.split()[0] for line in lines[1:3]] == ["20261124-203233-ee09f120", RUN_ID]
    assert shown(monkeypatch, "--run", "20261124-2032")[0] == "run       20261124-203233-ee09f120"
    assert f"{', '.join(wrong)}: not of its kind" in capsys.readouterr().err


def test_a_receipt_of_a_newer_schema_is_shown_with_a_note(
    s3: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    put(s3, receipt("mine", RUN_ID, 9, schema=3))
    assert shown(monkeypatch, "--run", RUN_ID)[0] == f"run       {RUN_ID}"
    assert "schema 3 is of a newer version, and this one reads 2" in capsys.readouterr().err


def test_an_object_that_nobody_can_read_is_a_note_too(
    s3: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    failed(s3)
    for body in (b"{", b"[" * 100_000, b"\xff", b"5"):
        key = f"runs/monte-carlo/{RUN_ID}/run.json"
        s3.put_object(Bucket="results", Key=key, Body=body)
        assert f"reason    {REASON}" in shown(monkeypatch, "--run", RUN_ID)
        assert f"{key}: no JSON object" in capsys.readouterr().err
    client = boto3.client("dynamodb", region_name="us-east-1")
    item = {"pk": "run#x", "sk": "20261125-1", "kind": "run", "state": "accepted", "lease": "?"}
    client.put_item(TableName=NAME, Item={name: {"S": value} for name, value in item.items()})
    assert shown(monkeypatch)[1].startswith(RUN_ID)
    assert "an item of the ledger holds no run: run#x 20261125-1" in capsys.readouterr().err


def test_one_run_is_shown_in_full(s3: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    failed(s3)
    lines = shown(monkeypatch, "--run", RUN_ID, width=60)
    facts = [(line[:9].strip(), line[9:].strip()) for line in lines]
    told = dict(facts)
    assert told["run"] == RUN_ID
    assert (told["job"], told["state"], told["reason"]) == ("monte-carlo", "failed", REASON)
    assert told["began"].startswith("2026-11-24T19:33:00Z (")
    assert told["ended"].startswith("2026-11-24T19:35:00Z (")
    assert told["deadline"] == "2026-11-24T21:32:33Z"
    assert told["machine"] == "i-0aaaaaaaaaaaaaaaa, t3.medium on-demand"
    assert told["price"] == "$0.0464 an hour (the AWS Price List)"
    assert told["cost"] == "$0.0031"
    assert told["trigger"] == "schedule (name nightly)"
    assert "parameter epochs 40" in lines
    commands = [value for name, value in facts if name == "next"]
    wanted = ("make logs RUN=", "make results RUN=", "make launch RESUME=")
    assert commands == [f"{command}{RUN_ID}" for command in wanted]


def test_a_run_under_way_says_what_can_be_done_with_it_here(
    s3: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    stack = {"StackName": "parris-mine", "StackStatus": "CREATE_COMPLETE", "StackId": "arn"}
    stack |= {"Tags": [{"Key": "parris:run-id", "Value": RUN_ID}]}  # type: ignore[dict-item]
    monkeypatch.setattr("scripts.deployment.runs.list_stacks", lambda _deployment: [stack])
    monkeypatch.setattr("scripts.cli.which_cloud.is_local", lambda: True)
    put(s3, receipt("mine", RUN_ID, 60, **{"stack-id": "arn"}))
    lines = shown(monkeypatch, "--run", RUN_ID)
    assert "state     running" in lines
    assert "stack     parris-mine, CREATE_COMPLETE" in lines
    (cost,) = [line for line in lines if line.startswith("cost ")]
    assert re.fullmatch(r"cost      \$0\.046\d so far", cost)
    assert [line[10:] for line in lines if line.startswith("next")] == [
        f"make logs RUN={RUN_ID} WAIT=1 LOCAL=1",
        f"make results RUN={RUN_ID} LOCAL=1",
        f"make stop RUN={RUN_ID} LOCAL=1",
        f"make extend RUN={RUN_ID} MINUTES=30 LOCAL=1",
    ]


def test_one_stack_stands_and_two_stand(s3: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    failed(s3)
    stack = {"StackName": "s", "StackStatus": "CREATE_COMPLETE", "StackId": "arn"}
    stack |= {"Tags": [{"Key": "parris:run-id", "Value": RUN_ID}]}  # type: ignore[dict-item]
    monkeypatch.setattr(status, "list_stacks", lambda _deployment: [stack])
    assert shown(monkeypatch)[-1] == (
        "1 stack of a run that is over still stands; make clean-stacks removes it"
    )


def test_what_matters_less_never_takes_the_place_of_what_matters_more() -> None:
    columns = [Column(heading=name, rank=rank) for name, rank in (("a", 2), ("b", 0), ("c", 1))]
    assert fitting(columns, [1, 5, 10], 17) == [1, 2]
    assert fitting(columns, [1, 5, 10], 16) == [1]
    assert fitting(columns, [1, 5, 10], 20) == [0, 1, 2]
    assert fitting(columns, [1, 50, 10], 20) == [1]
