"""What `make results` fetches, and that nothing lands outside of the run's folder."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import boto3
import pytest
from botocore.exceptions import ResponseStreamingError
from moto import mock_aws
from moto.s3.models import s3_backends

from parris.runs.times import iso
from scripts.cli.console import Refused
from scripts.cli.inside import NotInside, path_inside
from scripts.commands import results
from scripts.deployment import fetch as fetching
from scripts.deployment.fetch import fetch
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


def run(outcome: Any, **more: Any) -> Run:
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
    done = fetch(deployment(s3), run({"machine": OURS}), folder)
    assert (done.count, done.refused) == (7, [])
    assert fetched(folder) == {name: name for name in RECORD} | {
        name.removeprefix(f"machines/{OURS}/"): name for name in mine
    }


def test_what_other_nodes_of_a_run_say_is_fetched_by_their_rank(s3: Any, tmp_path: Path) -> None:
    worker, foreign = "AROAROLE:i-0bbbbbbbbbbbbbbbb", "AROAROLE:i-0cccccccccccccccc"
    put(s3, *(f"machines/{OURS}/{name}" for name in ("output/a", "log.txt")))
    for machine in (worker, foreign):
        names = ("log.txt", "machine.jsonl", "outcome.json", "output/forged", "alive.json")
        put(s3, *(f"machines/{machine}/{name}" for name in names))
    named = [OURS, worker, "", "../../other", 5]
    folder = tmp_path / "job" / RUN_ID
    done = fetch(deployment(s3), run({"machine": OURS, "machines": named}), folder)
    assert done.refused == []
    of_worker = ("log.txt", "machine.jsonl", "outcome.json")
    assert fetched(folder) == {
        "output/a": f"machines/{OURS}/output/a",
        "log.txt": f"machines/{OURS}/log.txt",
    } | {f"nodes/1/{name}": f"machines/{worker}/{name}" for name in of_worker}


def test_an_older_run_has_its_results_at_its_root(s3: Any, tmp_path: Path) -> None:
    put(s3, *RECORD, "output/a", "checkpoints/c", "log.txt", f"machines/{OURS}/output/a")
    folder = tmp_path / "job" / RUN_ID
    done = fetch(deployment(s3), run({"state": "succeeded"}), folder)
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
    done = fetch(deployment(s3), run({"machine": OURS}), folder)
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
    done = fetch(deployment(s3), run({"machine": OURS}), to / "job" / RUN_ID)
    assert (done.count, len(done.refused)) == (0, 1)
    assert "symbolic link" in done.refused[0]
    assert list(elsewhere.iterdir()) == []


def test_a_file_where_a_folder_is_to_be_is_refused(s3: Any, tmp_path: Path) -> None:
    put(s3, f"machines/{OURS}/output/a", f"machines/{OURS}/output/a/b")
    folder = tmp_path / "job" / RUN_ID
    done = fetch(deployment(s3), run({"machine": OURS}), folder)
    assert (done.count, len(done.refused)) == (1, 1)


def test_an_absolute_name_is_refused(tmp_path: Path) -> None:
    with pytest.raises(NotInside, match="absolute"):
        path_inside(tmp_path, "/etc/passwd")
    assert path_inside(tmp_path, "output/ä b/…") == tmp_path / "output/ä b/…"


@pytest.mark.parametrize(
    ("job", "run_id"), [("../x", None), ("a/b", None), (None, "../x"), (None, "r 1"), ("-x", None)]
)
def test_a_job_or_run_that_is_none_is_refused(s3: Any, job: str | None, run_id: str | None) -> None:
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


def cut_short(s3: Any, after: int, broken: int = 1) -> list[str]:
    """Let the first so many downloads break off after so many bytes; return the ranges asked."""
    ranges: list[str] = []
    make = s3.get_object

    class Breaks:
        def __init__(self, body: Any) -> None:
            self._body = body

        def close(self) -> None:
            self._body.close()

        def iter_chunks(self, _size: int) -> Iterator[bytes]:
            yield self._body.read(after)
            raise ResponseStreamingError(error="reset by peer")

    def get_object(**asked: Any) -> Any:
        ranges.append(asked.get("Range", ""))
        answer = make(**asked)
        return answer | {"Body": Breaks(answer["Body"])} if len(ranges) <= broken else answer

    s3.get_object = get_object
    return ranges


def test_only_what_is_new_is_fetched_again(s3: Any, tmp_path: Path) -> None:
    put(s3, "run.json", f"machines/{OURS}/output/a", f"machines/{OURS}/output/b")
    folder = tmp_path / "job" / RUN_ID
    first = fetch(deployment(s3), run({"machine": OURS}), folder)
    assert (first.count, first.new) == (3, 3)
    again = fetch(deployment(s3), run({"machine": OURS}), folder)
    assert (again.count, again.new, again.stored) == (3, 0, first.stored)
    # Of the same length, perhaps within the same second.
    other = f"machines/{OURS}/output/A".encode()
    s3.put_object(Bucket="results", Key=f"{PREFIX}machines/{OURS}/output/a", Body=other)
    (folder / "output/b").write_text("mine")
    third = fetch(deployment(s3), run({"machine": OURS}), folder)
    assert (third.count, third.new) == (3, 2)
    assert fetched(folder)["output/a"] == other.decode()
    assert fetched(folder)["output/b"] == f"machines/{OURS}/output/b"


def test_a_download_that_breaks_off_goes_on_where_it_was(s3: Any, tmp_path: Path) -> None:
    put(s3, f"machines/{OURS}/output/a")
    ranges = cut_short(s3, after=9)
    folder = tmp_path / "job" / RUN_ID
    assert fetch(deployment(s3), run({"machine": OURS}), folder).new == 1
    assert ranges == ["", "bytes=9-"]
    assert fetched(folder) == {"output/a": f"machines/{OURS}/output/a"}


def test_what_did_not_come_whole_has_no_name_and_the_next_fetch_goes_on(
    s3: Any, tmp_path: Path
) -> None:
    put(s3, f"machines/{OURS}/output/a")
    ranges = cut_short(s3, after=4, broken=5)
    folder = tmp_path / "job" / RUN_ID
    (line,) = fetch(deployment(s3), run({"machine": OURS}), folder).refused
    size = len(f"machines/{OURS}/output/a")
    assert f"20 of its {size} bytes came: " in line
    assert "reset by peer" in line
    assert not (folder / "output/a").exists()
    assert fetch(deployment(s3), run({"machine": OURS}), folder).new == 1
    assert ranges[-1] == "bytes=20-"
    assert fetched(folder) == {"output/a": f"machines/{OURS}/output/a"}


def test_ctrl_c_ends_a_fetch_and_leaves_no_half_file_under_its_name(
    s3: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    put(s3, f"machines/{OURS}/output/a", f"machines/{OURS}/output/b")

    def typed(_coming: Any) -> Iterator[Any]:
        raise KeyboardInterrupt

    def reads_until_told(_s3: Any, *rest: Any) -> None:
        *_, file, _tick, stop = rest
        file.write(b"half")
        assert stop.wait(60)
        raise fetching._Stopped

    monkeypatch.setattr(fetching, "as_completed", typed)
    monkeypatch.setattr(fetching, "_append", reads_until_told)
    monkeypatch.setattr(results, "read_deployment", lambda: deployment(s3))
    monkeypatch.setattr(results, "pick_run", lambda *_: run({"machine": OURS}))
    monkeypatch.setenv("LOCAL", "")
    assert results.main(["--to", str(tmp_path), "--only", "output/*"]) == 130
    assert f"make results RUN={RUN_ID} ONLY='output/*' goes on" in capsys.readouterr().err
    folder = tmp_path / "job" / RUN_ID / "output"
    assert {path.suffix for path in folder.iterdir()} == {".part"}


def test_an_object_that_changes_meanwhile_comes_as_it_is_then(s3: Any, tmp_path: Path) -> None:
    put(s3, f"machines/{OURS}/output/a", f"machines/{OURS}/output/gone")
    make = s3.get_object

    def get_object(**asked: Any) -> Any:
        s3.get_object = make
        key = f"{PREFIX}machines/{OURS}/output/"
        s3.put_object(Bucket="results", Key=key + "a", Body=b"newer")
        s3.delete_object(Bucket="results", Key=key + "gone")
        return make(**asked)

    s3.get_object = get_object
    folder = tmp_path / "job" / RUN_ID
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(fetching, "_SIDE_BY_SIDE", 1)
        done = fetch(deployment(s3), run({"machine": OURS}), folder)
    assert fetched(folder) == {"output/a": "newer"}
    assert (done.count, done.new) == (1, 1)
    assert done.refused[0].endswith("it is gone since it was listed")
    assert fetch(deployment(s3), run({"machine": OURS}), folder).new == 0


def test_two_fetches_at_once_do_not_write_into_one_file(
    s3: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(s3, f"machines/{OURS}/output/a")
    folder = tmp_path / "job" / RUN_ID
    append, others = fetching._append, []

    def meanwhile(*given: Any) -> None:
        monkeypatch.setattr(fetching, "_append", append)
        others.append(fetch(deployment(s3), run({"machine": OURS}), folder))
        append(*given)

    monkeypatch.setattr(fetching, "_append", meanwhile)
    assert fetch(deployment(s3), run({"machine": OURS}), folder).new == 1
    assert [one.count for one in others] == [0]
    assert others[0].refused[0].endswith("another make results is fetching it")
    assert fetched(folder) == {"output/a": f"machines/{OURS}/output/a"}


@pytest.mark.parametrize(
    ("only", "names"),
    [
        ("output/*.png", {"output/a.png", "output/deep/b.png"}),
        ("output/?.*", {"output/a.png", "output/a.PNG"}),
        ("output", {"output/a.png", "output/a.PNG", "output/deep/b.png"}),
        ("output/deep/", {"output/deep/b.png"}),
        ("run.json", {"run.json"}),
        ("*", {"output/a.png", "output/a.PNG", "output/deep/b.png", "run.json"}),
    ],
)
def test_only_what_matches_is_fetched(s3: Any, tmp_path: Path, only: str, names: set[str]) -> None:
    stored = [f"machines/{OURS}/output/{name}" for name in ("a.png", "a.PNG", "deep/b.png")]
    put(s3, "run.json", *stored)
    folder = tmp_path / "job" / RUN_ID
    done = fetch(deployment(s3), run({"machine": OURS}), folder, only)
    assert (set(fetched(folder)), done.count) == (names, len(names))


def test_a_pattern_that_matches_nothing_is_told_what_there_is(s3: Any, tmp_path: Path) -> None:
    with pytest.raises(Refused, match="has stored nothing yet that ONLY='x' could match"):
        fetch(deployment(s3), run({"machine": OURS}), tmp_path, "x")
    put(s3, "run.json", *(f"machines/{OURS}/output/{number:02}" for number in range(25)))
    put(s3, f"machines/{OURS}/output/00\n  forged")
    with pytest.raises(Refused) as refused:
        fetch(deployment(s3), run({"machine": OURS}), tmp_path, "output/*.jpg")
    first, *named = str(refused.value).splitlines()
    assert first == (
        f"ONLY='output/*.jpg' matches none of the 27 objects of run {RUN_ID}; there are"
    )
    assert named[:4] == ["  run.json", "  output/00", "  output/00\\n  forged", "  output/01"]
    assert (len(named), named[-1]) == (21, "  and 7 more")
    assert list(tmp_path.iterdir()) == []
