"""A checkpoint that was sent while it was written is not gone on from."""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
import threading
import time
from functools import partial
from pathlib import Path
from typing import Any, cast

import pytest

from tests.unit.agent.machine import OWN_URI, Machine, eventually, metadata
from trainer.runtime.agent import mend as mending
from trainer.runtime.agent.aws import Answer
from trainer.runtime.agent.mend import Mended, leave, mend, patterns, wanted
from trainer.runtime.agent.whole import MOST, Whole

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
    assert noted(machine) == {"present": ["checkpoints/c"]}


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
        "present": ["checkpoints/new"],
        "cut-short": ["checkpoints/c", "checkpoints/new"],
    }
    assert machine.stored("checkpoints/c") == b"half"  # for whoever wants to see it


@pytest.mark.processes
def test_what_a_trainer_saves_in_its_grace_is_whole_if_it_ends_by_itself(machine: Machine) -> None:
    assert stopped(machine, quick=True) == {
        "checkpoints/c": etag("whole"),  # which somebody has yet to note as it is now
        "checkpoints/d": etag("whole too"),
        "present": ["checkpoints/new"],
    }
    assert machine.stored("checkpoints/c") == b"whole at the end"


class S3:
    """A versioned bucket, as the aws CLI shows it."""

    def __init__(self) -> None:
        self.versions: dict[str, list[str]] = {}
        self.denied = ""
        self.calls: list[str] = []
        self.noted = b""

    def put(self, name: str, *contents: str) -> None:
        self.versions[name] = list(contents)

    def call(self, *words: str, **more: Any) -> Answer:
        self.calls.append(words[1])
        self.noted = more.get("stdin", self.noted)
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
    monkeypatch.setattr(mending, "RESTORE_ATTEMPTS", 1)
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
    said = "2 left out: deleted by the trainer, or never stored whole"
    assert str(mended(s3, folder)) == said
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
    one.see(["checkpoints/c"])
    one.sent(["checkpoints/c"], {"checkpoints/c": 1.0})
    stop.set()
    one.note(stop)
    assert s3.calls == ["list-objects-v2"]
    stop.clear()
    one.note(stop)
    assert s3.calls == ["list-objects-v2", "list-objects-v2", "cp"]
    one.note(stop)
    assert len(s3.calls) == 3  # there is nothing new


KEEPS_TWO = """import os, sys, time
folder = os.environ["PARRIS_CHECKPOINT_DIR"]
names = sorted(os.listdir(folder), key=lambda name: int(name[1:]))
print("began with", *names, flush=True)
first = int(names[-1][1:]) + 1 if names else 1
for epoch in range(first, first + int(sys.argv[1])):
    with open(f"{folder}/new", "w") as file:
        file.write(str(epoch))
    os.rename(f"{folder}/new", f"{folder}/c{epoch}")
    if epoch > 2 and os.path.exists(f"{folder}/c{epoch - 2}"):
        os.unlink(f"{folder}/c{epoch - 2}")
    while not os.path.exists(f"{epoch}"):
        time.sleep(0.05)
"""
FIRST = "runs/digits/r1/machines/AROATESTTESTTESTTEST1:i-0fedcba9876543210/"


def rotating(machine: Machine, epochs: int) -> subprocess.Popen[bytes]:
    machine.receipt["sync-interval-seconds"] = 0.2
    machine.script(KEEPS_TWO, "train.py")
    machine.script(f"exec python3 train.py {epochs}")
    return machine.start()


def go_on(machine: Machine, until: int) -> None:
    """Let the trainer come to an epoch, when S3 has all of those before."""
    for epoch in range(1, until):
        eventually(partial(_is_noted, machine, f"checkpoints/c{epoch}"))
        (machine.home / f"source/{epoch}").touch()
    eventually(partial(_is_noted, machine, f"checkpoints/c{until}"))


def _is_noted(machine: Machine, name: str) -> bool:
    return name in noted(machine)


def is_there(machine: Machine) -> set[str]:
    """Return the checkpoints that S3 has of a machine."""
    folder = machine.folder / "s3" / OWN_URI.removeprefix("s3://") / "checkpoints"
    return {path.name for path in folder.iterdir()}


@pytest.mark.processes
@pytest.mark.parametrize("at_its_end", [False, True])
def test_what_a_trainer_rotated_away_does_not_come_back(
    machine: Machine, *, at_its_end: bool
) -> None:
    process = rotating(machine, 4)
    go_on(machine, 4)
    eventually(lambda: set(noted(machine)) == {"checkpoints/c3", "checkpoints/c4"})
    if at_its_end:
        (machine.home / "source/4").touch()
        process.wait(30)
        assert set(noted(machine)) == {"checkpoints/c3", "checkpoints/c4", "present"}
    else:
        process.kill()
        (machine.home / "source/4").touch()  # its trainer goes on, and ends
        time.sleep(0.3)
    assert is_there(machine) == {"c1", "c2", "c3", "c4"}  # nothing is lost
    next_machine(machine)
    outcome = machine.run("cd $PARRIS_CHECKPOINT_DIR; echo began with *")
    assert outcome["state"] == "succeeded"
    assert (machine.stored("log.txt") or b"").endswith(b"\nbegan with c3 c4\n")


@pytest.mark.processes
def test_whoever_stores_what_a_killed_supervisor_left_changes_no_note(machine: Machine) -> None:
    process = rotating(machine, 2)
    go_on(machine, 2)
    before = noted(machine)
    process.kill()
    (machine.home / "source/2").touch()
    process.wait(10)
    command = [f"{machine.bin}/python3", f"{machine.home}/agent.pyz", str(machine.home), "died"]
    subprocess.run(command, env=machine.environ, check=True, timeout=30)
    assert machine.outcome()["ended-by"] == "agent"
    assert noted(machine) == before  # all are fetched then, as without a list


def next_machine(machine: Machine) -> None:
    """Let the run go on from what its machine has stored, on another one with an empty disk."""
    s3 = machine.folder / "s3"
    (s3 / OWN_URI.removeprefix("s3://")).rename(s3 / "results" / FIRST)
    for name in ("checkpoints", "output", "source", "fetched"):
        shutil.rmtree(machine.home / name, ignore_errors=True)
    for name in ("log.txt", "whole.json"):
        (machine.home / name).unlink(missing_ok=True)
    machine.receipt |= {"attempt": 2, "earlier-attempt": FIRST}


def sent(s3: S3, one: Whole, **times: float) -> None:
    """Store and note checkpoints that are there, by when each was changed."""
    names = {f"checkpoints/{name}": at for name, at in times.items()}
    for name in names:
        s3.put(name, "1")
    one.see(names)
    one.sent(names, names)
    one.note(threading.Event())


def test_a_checkpoint_that_is_deleted_before_its_next_one_is_whole_stays_noted(
    s3: S3, tmp_path: Path
) -> None:
    one = Whole(cast(Any, s3), URI)
    sent(s3, one, best=1.0, last=2.0)
    one.see(["checkpoints/best"])  # the trainer writes `last` anew, and dies
    one.note(threading.Event())
    one.end(["checkpoints/best"], [], tmp_path)
    written = json.loads((tmp_path / "whole.json").read_bytes())
    assert written == {f"checkpoints/{n}": etag("1") for n in ("best", "last")} | {"present": []}


def test_what_is_no_more_there_is_not_noted_once_a_newer_one_is_whole(s3: S3) -> None:
    one = Whole(cast(Any, s3), URI)
    sent(s3, one, c1=1.0, c2=2.0)
    before = len(s3.calls)
    one.see(["checkpoints/c2"])
    one.note(threading.Event())
    assert s3.calls[before:] == ["cp"]  # nobody needs to ask S3 for that
    assert one._etags.keys() == {"checkpoints/c2"}


def test_of_very_many_checkpoints_nothing_is_noted(
    s3: S3, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    one = Whole(cast(Any, s3), URI)
    sent(s3, one, c=1.0)
    names = [f"checkpoints/{number}" for number in range(MOST + 1)]
    one.see(names)
    one.sent(names, dict.fromkeys(names, 2.0))
    for _ in range(3):
        one.note(threading.Event())
    assert s3.calls == ["list-objects-v2", "cp", "cp"]
    assert s3.noted == b"[]"  # which says that nothing is known, and not that nothing is whole
    one.end(names, [], tmp_path)
    assert not (tmp_path / "whole.json").exists()
    assert capsys.readouterr().out.count("over 20,000 checkpoint files") == 1


def test_only_what_is_still_there_is_fetched_by_name(s3: S3, tmp_path: Path) -> None:
    known: dict[str, Any] = {"checkpoints/a[1]*": etag("1")}
    folder = fetched(s3, tmp_path, whole=json.dumps(known))
    assert wanted(folder) == {"checkpoints/a[1]*"}
    assert patterns({"checkpoints/a[1]*", "log.txt"}) == [
        *("--exclude", "*"),
        *("--include", "a[[]1][*]"),
    ]
    (folder / "outcome.json").write_text("{}")
    assert wanted(folder) is None  # of an earlier version, whose note may be behind
    (folder / "whole.json").write_text(json.dumps({**known, "present": ["checkpoints/b", 1]}))
    assert wanted(folder) == {"checkpoints/a[1]*", "checkpoints/b"}
    for text in ("[]", "{", "[" * 100_000):
        (folder / "whole.json").write_text(text)
        assert wanted(folder) is None


def test_what_is_too_much_to_name_is_left_out_when_it_is_here(s3: S3, tmp_path: Path) -> None:
    for name in ("a", "deep/b", "old"):
        s3.put(f"checkpoints/{name}", "1")
    folder = fetched(s3, tmp_path)
    assert patterns({f"checkpoints/{number}" for number in range(1001)}) is None
    assert patterns({"checkpoints/" + "x" * 200_001}) is None
    assert patterns({"checkpoints/--delete"}) is None
    leave({"checkpoints/a", "checkpoints/deep/b", "../outside"}, folder)
    left = {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}
    assert left == {"checkpoints/a", "checkpoints/deep/b"}
