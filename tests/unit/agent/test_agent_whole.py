"""A checkpoint that was sent while it was written is not gone on from."""

from __future__ import annotations

import hashlib
import json
import subprocess
import threading
import time
from pathlib import Path
from typing import Any, cast

import pytest

from tests.unit.agent.machine import Machine, eventually, metadata
from trainer.runtime.agent import whole
from trainer.runtime.agent.aws import Answer
from trainer.runtime.agent.whole import Mended, Whole, mend

UNTIL_END = "until [[ -e end ]]; do sleep 0.1; done"
URI = "s3://results/runs/digits/r1/machines/A:i-1"
PREFIX = "runs/digits/r1/machines/A:i-1/"


def etag(content: str) -> str:
    return hashlib.md5(content.encode()).hexdigest()  # noqa: S324 - as S3 does


def begin(machine: Machine, script: str) -> subprocess.Popen[bytes]:
    machine.receipt["sync-interval-seconds"] = 0.3
    machine.script(script)
    process = machine.start()
    eventually(lambda: machine.messages)
    return process


def noted(machine: Machine) -> Any:
    return json.loads(machine.stored("whole.json") or b"{}")


def end(machine: Machine, process: subprocess.Popen[bytes]) -> None:
    (machine.home / "source/end").touch()
    process.wait(30)
    assert machine.outcome()["state"] == "succeeded"
    assert machine.outcome()["warnings"] == []


@pytest.mark.processes
def test_what_nobody_wrote_while_it_was_sent_is_noted_as_whole(machine: Machine) -> None:
    process = begin(
        machine,
        "mkdir $PARRIS_CHECKPOINT_DIR/deep; echo 1 > $PARRIS_CHECKPOINT_DIR/deep/c\n"
        f"echo o > $PARRIS_OUTPUT_DIR/o; echo ready; {UNTIL_END}",
    )
    assert eventually(lambda: noted(machine)) == {"checkpoints/deep/c": etag("1\n")}
    end(machine, process)


@pytest.mark.processes
def test_what_is_written_while_it_is_sent_keeps_its_whole_version(machine: Machine) -> None:
    process = begin(
        machine,
        f"echo 1 > $PARRIS_CHECKPOINT_DIR/c; touch $PARRIS_CHECKPOINT_DIR/b; {UNTIL_END} &"
        "\necho ready; wait",
    )
    eventually(lambda: len(noted(machine)) == 2)
    hook = machine.folder / "hook"
    hook.write_text('#!/bin/bash\n[[ "$1" != */c ]] || echo more >>"$1"\n')
    hook.chmod(0o755)
    checkpoints = machine.home / "checkpoints"
    (checkpoints / "c").write_text("half")
    eventually(lambda: (machine.stored("checkpoints/c") or b"").startswith(b"half"))
    (checkpoints / "b").write_text("2")
    eventually(lambda: noted(machine).get("checkpoints/b") == etag("2"))
    assert noted(machine)["checkpoints/c"] == etag("1\n")
    hook.unlink()
    now = (checkpoints / "c").read_text
    eventually(lambda: noted(machine).get("checkpoints/c") == etag(now()))
    end(machine, process)


@pytest.mark.processes
@pytest.mark.parametrize("match", ["list-objects-v2", "whole.json"])
def test_a_note_that_is_denied_costs_nothing_more(machine: Machine, match: str) -> None:
    said = "An error occurred (AccessDenied) when calling"
    machine.break_aws({"match": match, "status": 254, "said": said})
    process = begin(
        machine,
        "date +%s.%N > $PARRIS_CHECKPOINT_DIR/c\n"  # which nobody writes while it is sent
        "until [[ -e end ]]; do date > $PARRIS_OUTPUT_DIR/o; echo ready; sleep 0.5; done",
    )
    eventually(lambda: sum(call.startswith("aws s3 cp /") for call in machine.calls) >= 4)
    end(machine, process)
    assert machine.console.count("could not note which checkpoints are whole") == 1
    assert machine.stored("checkpoints/c") == (machine.home / "checkpoints/c").read_bytes()


@pytest.mark.processes
def test_a_note_that_hangs_does_not_delay_the_end(machine: Machine) -> None:
    machine.break_aws({"match": "list-objects-v2", "sleep": 60})
    process = begin(machine, f"echo 1 > $PARRIS_CHECKPOINT_DIR/c; echo ready; {UNTIL_END}")
    eventually(lambda: machine.stored("checkpoints/c"))
    end(machine, process)
    assert machine.stored("whole.json") is None


@pytest.mark.processes
def test_a_note_that_hangs_does_not_delay_a_notice_s_upload(machine: Machine) -> None:
    machine.receipt["market"] = "spot"
    machine.patience["SPOT_SECONDS"] = "0.2"
    machine.break_aws({"match": "list-objects-v2", "sleep": 60})
    when = {"action": "terminate", "time": machine.iso_in(120)}
    notice = {"meta-data/spot/instance-action": json.dumps(when)}
    machine.receipt["sync-interval-seconds"] = 0.3
    machine.script(f"echo 1 > $PARRIS_CHECKPOINT_DIR/c; echo ready; {UNTIL_END}")
    with metadata({}) as service:
        process = machine.start(AWS_EC2_METADATA_SERVICE_ENDPOINT=service.endpoint)
        eventually(lambda: machine.stored("checkpoints/c"))
        time.sleep(0.5)
        service.documents |= notice
        process.wait(20)
    assert machine.outcome()["ended-by"] == "spot"


TORN = """import os, signal, time
folder = os.environ["PARRIS_CHECKPOINT_DIR"]
def put(name, text):
    with open(f"{folder}/{name}", "w") as file:
        file.write(text)
def save(*_):
    put("c", "half")  # and then nothing for long: it is sent as it is
    put("new", "half")
    time.sleep(0 if os.path.exists("quick") else 60)
    put("c", "whole at the end")
    os._exit(0)
put("c", "whole")
put("d", "whole too")
signal.signal(signal.SIGTERM, save)
print("ready", flush=True)
time.sleep(60)
"""


def stopped(machine: Machine, *, quick: bool = False) -> Any:
    """Stop a trainer that saves as it is asked to end, and return what is noted at the end."""
    machine.receipt["stop-grace-seconds"] = 2
    machine.patience["CONTROL_SECONDS"] = "0.2"
    machine.script(TORN, "save.py")
    if quick:
        machine.script("", "quick")
    (machine.home / "whole.json").write_text("{}")  # of the machine that the image was made of
    process = begin(machine, "exec python3 save.py")
    eventually(lambda: len(noted(machine)) == 2)
    machine.receipt["stop"] = {"by": "test"}
    machine.store_receipt()
    process.wait(30)
    assert machine.outcome()["state"] == "stopped"
    return noted(machine)


@pytest.mark.processes
def test_what_a_trainer_was_writing_when_it_had_to_be_killed_is_not_whole(machine: Machine) -> None:
    assert stopped(machine) == {
        "checkpoints/c": etag("whole"),
        "checkpoints/d": etag("whole too"),
        "cut-short": ["checkpoints/c", "checkpoints/new"],
    }
    assert machine.stored("checkpoints/c") == b"half"  # for whoever wants to see it


@pytest.mark.processes
def test_what_a_trainer_saves_in_its_grace_is_whole_if_it_ends_by_itself(machine: Machine) -> None:
    assert set(stopped(machine, quick=True)) == {"checkpoints/c", "checkpoints/d"}
    assert machine.stored("checkpoints/c") == b"whole at the end"


class S3:
    """A versioned bucket, as the aws CLI shows it."""

    def __init__(self) -> None:
        self.versions: dict[str, list[str]] = {}
        self.denied = ""
        self.calls: list[str] = []

    def put(self, name: str, *contents: str) -> None:
        self.versions[name] = list(contents)

    def call(self, *words: str, **_: Any) -> Answer:
        self.calls.append(words[1])
        if self.denied and self.denied in words:
            return Answer(254, "An error occurred (AccessDenied) when calling", b"[]")
        if words[1] == "get-object":
            named = dict(zip(words[2:8:2], words[3:9:2], strict=True))
            versions = self.versions[named["--key"].removeprefix(PREFIX)]
            Path(words[8]).write_text(versions[int(named["--version-id"][1:])])
            return Answer(0, "", b"{}")
        rows: list[list[Any]] = []
        for name, contents in self.versions.items():
            for number in reversed(range(len(contents))):
                row: list[Any] = [PREFIX + name, etag(contents[number])]
                if words[1] == "list-object-versions":
                    row += [f"v{number}", number == len(contents) - 1]
                rows.append(row)
        return Answer(0, "", json.dumps(rows or None).encode())


@pytest.fixture
def s3(monkeypatch: pytest.MonkeyPatch) -> S3:
    monkeypatch.setattr(whole, "RESTORE_ATTEMPTS", 1)
    return S3()


def fetched(s3: S3, folder: Path, **words: str) -> Path:
    """Have the last versions of all, as aws s3 sync fetches them."""
    for name, contents in s3.versions.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(contents[-1])
    for name, content in words.items():
        (folder / f"{name}.json").write_text(content)
    return folder


def mended(s3: S3, folder: Path) -> Mended:
    return mend(cast(Any, s3), URI, folder, threading.Event())


def test_a_checkpoint_that_was_not_stored_whole_is_fetched_as_it_was_before(
    s3: S3, tmp_path: Path
) -> None:
    s3.put("checkpoints/c", "old", "whole", "half")
    s3.put("checkpoints/deep/d", "whole too")
    noted = {"checkpoints/c": etag("whole"), "checkpoints/deep/d": etag("whole too")}
    folder = fetched(s3, tmp_path, whole=json.dumps(noted))
    assert str(mended(s3, folder)) == "1 of an older version, since the last was not stored whole"
    assert (folder / "checkpoints/c").read_text() == "whole"
    assert (folder / "checkpoints/deep/d").read_text() == "whole too"
    assert s3.calls.count("get-object") == 1


def test_a_checkpoint_that_was_never_stored_whole_is_left_out(s3: S3, tmp_path: Path) -> None:
    s3.put("checkpoints/c", "whole")
    s3.put("checkpoints/new", "ha", "half")
    s3.put("checkpoints/gone", "half")  # and the version that was whole has expired
    noted = {"checkpoints/c": etag("whole"), "checkpoints/gone": etag("whole")}
    folder = fetched(s3, tmp_path, whole=json.dumps(noted))
    assert str(mended(s3, folder)) == "2 left out, of which none was stored whole"
    assert [path.name for path in (folder / "checkpoints").iterdir()] == ["c"]


def test_after_an_end_only_what_was_cut_short_is_of_an_older_version(
    s3: S3, tmp_path: Path
) -> None:
    s3.put("checkpoints/c", "whole", "half")
    s3.put("checkpoints/d", "1", "2")  # whose last version nobody came to note
    s3.put("checkpoints/new", "half")
    s3.put("checkpoints/unsent", "whole")
    noted: dict[str, Any] = {"checkpoints/c": etag("whole"), "checkpoints/unsent": etag("whole")}
    noted["cut-short"] = ["checkpoints/c", "checkpoints/new", "checkpoints/unsent", "../../x", 1]
    folder = fetched(s3, tmp_path, whole=json.dumps(noted), outcome="{}")
    assert mended(s3, folder) == Mended(older=1, left_out=1)
    contents = {path.name: path.read_text() for path in (folder / "checkpoints").iterdir()}
    assert contents == {"c": "whole", "d": "2", "unsent": "whole"}


@pytest.mark.parametrize("words", [{}, {"whole": "[1]"}, {"whole": "{"}, {"outcome": "{}"}])
def test_without_a_note_or_with_an_end_all_is_taken_as_it_is(
    s3: S3, tmp_path: Path, words: dict[str, str]
) -> None:
    s3.put("checkpoints/c", "1", "2")
    noted = {"whole": json.dumps({"checkpoints/c": etag("1")})} if "outcome" in words else {}
    folder = fetched(s3, tmp_path, **noted, **words)
    assert mended(s3, folder) == Mended()
    assert (folder / "checkpoints/c").read_text() == "2"
    assert s3.calls == []


@pytest.mark.parametrize("denied", ["list-object-versions", "get-object"])
def test_where_versions_are_denied_all_is_taken_as_it_is_and_told(
    s3: S3, tmp_path: Path, denied: str
) -> None:
    s3.denied = denied
    s3.put("checkpoints/c", "1", "2")
    folder = fetched(s3, tmp_path, whole=json.dumps({"checkpoints/c": etag("1")}))
    assert str(mended(s3, folder)).startswith("whether all were stored whole is unknown: An error")
    assert (folder / "checkpoints/c").read_text() == "2"


def test_a_name_in_the_note_leads_nowhere(s3: S3, tmp_path: Path) -> None:
    (tmp_path / "outside").write_text("mine")
    s3.put("checkpoints/c", "1")
    noted = {"checkpoints/../../outside": etag("2"), "checkpoints/c": ["x"]}
    folder = fetched(s3, tmp_path / "fetched", whole=json.dumps(noted))
    assert mended(s3, folder).left_out == 1
    assert (tmp_path / "outside").read_text() == "mine"


def test_an_upload_that_begins_meanwhile_leaves_the_note_as_it_was(s3: S3) -> None:
    s3.put("checkpoints/c", "1")
    one, stop = Whole(cast(Any, s3), URI), threading.Event()
    one.sent(["checkpoints/c"], {"checkpoints/c"})
    stop.set()
    one.note(stop)
    assert s3.calls == ["list-objects-v2"]
    stop.clear()
    one.note(stop)
    assert s3.calls == ["list-objects-v2", "list-objects-v2", "cp"]
    one.note(stop)
    assert len(s3.calls) == 3  # there is nothing new
