"""The pure parts of `make test-boot`: tools, image, what the guest is told, results, table."""

from __future__ import annotations

import ast
import contextlib
import os
import struct
import subprocess
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from scripts.package_lambda import agent_contents
from tests.boot import __main__ as boot_main
from tests.boot import certificates, image, network, table, tools, vm
from tests.boot.cases import DRILLS
from tests.boot.checks import Holds, attempts, by_itself, first, logs, off_after, say, stores
from tests.boot.drill import (
    IDLE_BOOT_SECONDS,
    TRAINER_BEGAN,
    TRAINER_ENDED,
    USER_DATA,
    Drill,
    Result,
)
from tests.debian import Missing

ROOT = Path(__file__).resolve().parents[3]


def result(**changes: Any) -> Result:
    made: dict[str, Any] = {
        "off": True,
        "pressed": False,
        "record": {"state": "succeeded", "reason": "trainer-script.sh exited with status 0"},
        "stored": {"log.txt": b"x"},
        "user_data": b"",
        "console": f"{TRAINER_BEGAN}\nparris outcome: {{}}\n",
        "boots": 1,
        "seen": {USER_DATA: 50.0},
        "boot": 50.0,
        "end": 20.0,
        "total": 80.0,
    }
    return Result(**made | changes)


def test_what_path_has_is_not_fetched() -> None:
    assert tools.wanted(tools.PACKAGES, root=False) == []
    assert tools.wanted(["mke2fs"], root=True) == ["qemu-system-x86", "mmdebstrap"]
    assert "fakeroot" in tools.wanted(["mke2fs"], root=False)


def test_a_host_that_lacks_something_is_told_what_and_how_it_is_had() -> None:
    assert tools.refusal("x86_64", tools.HOST, ["mmdebstrap"]) is None
    assert "this host arm64" in str(tools.refusal("arm64", tools.HOST, []))
    why = str(tools.refusal("x86_64", ["tar"], ["mmdebstrap"]))
    assert "no apt-get, dpkg, unshare, setpriv" in why
    assert "mmdebstrap" in why


@pytest.mark.parametrize(
    ("found", "ranges", "refused"),
    [
        (tools.RANGERS, ["root:1:9\nann:100000:65536\n", "ann:100000:65536\n"], False),
        (tools.RANGERS, ["ann:100000:65536\n", ""], True),
        (tools.RANGERS, ["anna:100000:65536\n", "anna:100000:65536\n"], True),
        (["newuidmap"], ["ann:100000:65536\n", "ann:100000:65536\n"], True),
    ],
)
def test_who_is_not_root_needs_ids_of_his_own(
    found: list[str], ranges: list[str], refused: bool
) -> None:
    why = tools.ids_refusal("ann", found, ranges)
    assert (why is not None) == refused
    if why:
        assert "--add-subgids 100000-165535 ann" in why


def test_an_image_of_another_recipe_is_another_image(monkeypatch: pytest.MonkeyPatch) -> None:
    before = image.recipe_hash("one authority")
    assert image.recipe_hash("one authority") == before
    assert image.recipe_hash("another") != before
    assert image.recipe_hash("one authority", image.NEWEST) != before
    monkeypatch.setattr(image, "PACKAGES", (*image.PACKAGES, "curl"))
    assert image.recipe_hash("one authority") != before


def test_what_is_put_in_the_image_is_root_s_and_all_may_read_it(tmp_path: Path) -> None:
    image._write_files(tmp_path / "files.tar", {"etc/a/b": "é\n"})
    with tarfile.open(tmp_path / "files.tar") as archive:
        (found,) = archive.getmembers()
        content = archive.extractfile(found)
        assert content is not None
        assert content.read() == "é\n".encode()
    assert (found.name, found.mode, found.uid, found.gid) == ("etc/a/b", 0o644, 0, 0)


def query(name: str, kind: int) -> bytes:
    labels = b"".join(bytes([len(part)]) + part.encode() for part in name.split("."))
    return struct.pack("!HHHHHH", 7, 0x0100, 1, 0, 0, 0) + labels + struct.pack("!BHH", 0, kind, 1)


@pytest.mark.parametrize(
    ("name", "kind", "code", "answers"),
    [
        ("parris-results-1.s3.us-east-1.AMAZONAWS.com", 1, 0, 1),
        ("s3.us-east-1.amazonaws.com", 28, 0, 0),
        ("amazonaws.com.example", 1, 3, 0),
    ],
)
def test_only_names_of_aws_resolve(name: str, kind: int, code: int, answers: int) -> None:
    answer = network.answer_name(query(name, kind))
    identifier, flags, _, count = struct.unpack("!HHHH", answer[:8])
    assert (identifier, flags & 15, count) == (7, code, answers)
    if answers:
        assert answer.endswith(bytes([169, 1, 0, 80]))


def test_s3_is_told_by_its_host() -> None:
    head = b"PUT /s3.txt HTTP/1.1\r\nHost: %s\r\n\r\n"
    assert network.is_for_s3(head % b"bucket.s3.us-east-1.amazonaws.com")
    assert network.is_for_s3(head % b"s3.amazonaws.com")
    assert not network.is_for_s3(head % b"logs.us-east-1.amazonaws.com")


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({}, None),
        ({"off": False}, "still on after 80 s"),
        ({"end": 46.0}, "not within 45 s"),
        ({"end": 46.0, "boot": 2.0 + IDLE_BOOT_SECONDS}, None),
        ({"end": 46.0, "waited": 9.0, "waits": {TRAINER_ENDED: 7.0}}, None),
        ({"end": 46.0, "waited": 9.0, "waits": {TRAINER_ENDED: 9.0}}, "not within 45 s"),
        ({"record": {}}, "there is no outcome"),
        ({"record": {"state": "failed", "reason": "why"}}, "failed, not succeeded: why"),
        ({"record": {"state": "succeeded", "reason": "why"}}, "the reason lacks 'status 0'"),
        ({"boots": 2}, "it began 2 times"),
        ({"console": f"{TRAINER_BEGAN}\n{TRAINER_BEGAN}\nparris outcome\n"}, "it trained again"),
        ({"stored": {}}, "log.txt was not stored"),
        ({"console": "parris:\noutcome"}, "no line of the console has 'parris' and 'outcome'"),
    ],
)
def test_each_thing_that_does_not_hold_is_said(
    changes: dict[str, Any], problem: str | None
) -> None:
    more = (stores("log.txt"), say("parris", "outcome"))
    holds = Holds(state="succeeded", words=("status 0",), end=45, more=more)
    problems = list(holds.problems(result(**changes)))
    assert (problem is None) == (not problems)
    if problem:
        assert problem in problems[0]


def test_how_long_a_machine_may_stay_on_is_counted_from_a_mark() -> None:
    check = off_after(USER_DATA, 30)
    assert list(check(result())) == []
    assert "off 40 s after 'parris: user data began'" in next(check(result(total=90.0)))
    assert list(check(result(total=90.0, boot=10.0 + IDLE_BOOT_SECONDS))) == []
    assert "never had" in next(check(result(seen={})))


def test_what_a_run_of_two_machines_must_have_been_is_looked_at() -> None:
    record = {"attempts": [{"ended-by": "spot"}, {"ended-by": "trainer"}]}
    run = result(record=record, before=[result(stored={}, pressed=True)])
    assert list(attempts("spot", "trainer")(run)) == []
    assert "spot, trainer, not by spot" in next(attempts("spot")(run))
    assert list(first(stores("checkpoints/n"), by_itself)(run)) == [
        "machine 1: checkpoints/n was not stored",
        "machine 1: it went off only when EC2 was told to delete it",
    ]
    assert list(logs("x")(run)) == []
    assert "does not say 'resumed'" in next(logs("resumed")(run))


def test_a_run_s_machines_are_booted_one_after_another_until_one_stays_on(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    booted: list[tuple[str, bool]] = []
    left = [result(), result(off=False), result()]

    class Stage:
        def launch(self, job: str) -> str:
            return f"{job}-1"

        def after(self, machines: list[str]) -> str:
            return f"{machines[0][:-1]}{len(machines) + 1}"

        def outcome(self, machine: str) -> dict[str, str]:
            return {"state": machine}

    def power_on(_: Drill, __: Any, ___: Any, machine: str, action: Any) -> Result:
        booted.append((machine, action is not None))
        return left.pop(0)

    monkeypatch.setattr(boot_main, "FOLDER", tmp_path)
    monkeypatch.setattr(boot_main, "_power_on", power_on)
    drill = Drill(name="run", about="", script="", holds=Holds(), machines=3, action=lambda _: None)
    found = boot_main._boot(drill, None, Stage())  # type: ignore[arg-type]
    assert booted == [("run-1", True), ("run-2", False)]
    assert (found.record, found.off, len(found.before)) == ({"state": "run-2"}, False, 1)


def test_a_process_s_waiting_for_a_processor_is_what_its_threads_waited() -> None:
    pid = os.getpid()
    paths = [*Path("/proc", str(pid), "task").glob("*/schedstat")]
    before = vm.seconds_waited(pid)
    told = sum(int(path.read_text().split()[1]) for path in paths) / 1e9
    assert before <= told + 0.5
    assert told <= vm.seconds_waited(pid) + 0.5
    assert vm.seconds_waited(2**22 + 1) == 0.0  # there is none of that number


def test_a_drill_that_breaks_is_a_failure_and_the_others_have_their_turn(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    @contextlib.contextmanager
    def nothing(*_: Any) -> Iterator[None]:
        yield

    def boot(drill: Drill, *_: Any) -> Result:
        if drill.name == "failure":
            raise RuntimeError("QEMU refused system_powerdown: why")
        return result(record={"state": "interrupted", "reason": "it succeeded is unknown"})

    for module, name in ((tools, "find"), (image, "build"), (vm, "accelerator")):
        monkeypatch.setattr(module, name, lambda *_: "tcg")
    monkeypatch.setattr(certificates, "ensure", lambda *_: ("", Path()))
    monkeypatch.setattr(boot_main, "deployed", nothing)
    monkeypatch.setattr(boot_main, "_boot", boot)
    assert boot_main.main(["failure", "own-shutdown"]) == 1
    *_, first, second, _, last = capsys.readouterr().out.splitlines()
    assert first.split()[:2] == ["failure", "FAILED"]
    assert "QEMU refused system_powerdown: why" in first
    assert second.split()[:2] == ["own-shutdown", "passed"]
    assert last == "boot: 2 drills, 1 failed"


@pytest.mark.parametrize(
    ("arguments", "status", "said"),
    [
        ([], 2, "error: no QEMU here\n"),
        (["--or-skip", "success"], 0, "skipped: no QEMU here\n"),
    ],
)
def test_a_host_that_lacks_something_fails_or_is_skipped(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    status: int,
    said: str,
) -> None:
    def find(*_: Any) -> None:
        raise Missing("no QEMU here")

    monkeypatch.setattr(tools, "find", find)
    monkeypatch.delenv("DRILLS", raising=False)
    assert boot_main.main(arguments) == status
    assert capsys.readouterr() == ("", said)


@pytest.mark.parametrize(
    ("said", "kind"),
    [
        ("E: Failed to fetch http://… Temporary failure resolving 'deb.debian.org'", Missing),
        ("E: Unable to locate package awscli2", image.Broken),
    ],
)
def test_only_a_mirror_that_nobody_reaches_is_no_fault_of_the_recipe(
    tmp_path: Path, said: str, kind: type[Exception]
) -> None:
    class Failing:
        root = True

        def run(self, *argv: str) -> None:
            raise subprocess.CalledProcessError(1, argv, stderr=said)

    with pytest.raises(kind, match="the image could not be made"):
        image.build(Failing(), tmp_path / "image", "authority")  # type: ignore[arg-type]


def test_the_table_has_both_times_and_why_a_drill_failed() -> None:
    row = table.row("reboot", result(end=None), ["still on", "no outcome"])
    assert row.split()[:5] == ["reboot", "FAILED", "50", "-", "80"]
    assert row.endswith("still on; no outcome")
    assert table.row("success", result(), []).endswith("succeeded")
    assert "power button" in table.row("success", result(pressed=True), [])
    assert "waited 20 s for the host" in table.row("success", result(waited=20.0), [])
    assert list(by_itself(result(pressed=True))) != list(by_itself(result())) == []


def test_every_drill_has_a_name_of_its_own_that_a_job_can_have() -> None:
    names = [drill.name for drill in DRILLS]
    assert len({*names}) == len(names)
    assert all(name.replace("-", "").isalnum() for name in names)


def test_the_agent_is_of_python_3_9() -> None:
    files = agent_contents()
    assert {"__main__.py", "agent/main.py", "parris/contract.py"} <= {*files}
    for name, content in files.items():
        ast.parse(content, name, feature_version=(3, 9))
    with pytest.raises(SyntaxError):
        ast.parse("match 1:\n    case 1: pass\n", feature_version=(3, 9))
