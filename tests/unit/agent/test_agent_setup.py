"""A job's setup script runs once for its inputs; later runs of the job find what it left."""

from __future__ import annotations

import io
import json
import os
import shutil
import signal
import tarfile
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.unit.agent.machine import OWN_NAME, OWN_URI, Machine, eventually
from trainer.runtime.agent import archive
from trainer.runtime.agent.setup import read_noted

pytestmark = pytest.mark.processes

OWN = OWN_URI.removeprefix("s3://results/") + "/"
SETUP = """#!/bin/bash
mkdir "$PARRIS_SETUP_DIR/bin"
echo "$(cat requirements.txt)" > "$PARRIS_SETUP_DIR/installed"
ln -s /bin/true "$PARRIS_SETUP_DIR/bin/true"
echo "setting up"
"""
TRAINER = 'cat "$PARRIS_SETUP_DIR/installed"; [[ -L "$PARRIS_SETUP_DIR/bin/true" ]] && echo linked'


@pytest.fixture
def warm(machine: Machine) -> Machine:
    machine.receipt |= {
        "image": "ami-1",
        "setup": {"script": "setup.sh", "inputs": [], "earlier": OWN},
    }
    machine.patience |= {"RESTORE_ATTEMPTS, RESTORE_PAUSE_SECONDS": "2, 0.1"}
    machine.script(SETUP, "setup.sh")
    machine.script("numpy", "requirements.txt")
    return machine


def train(machine: Machine, script: str = TRAINER) -> list[str]:
    """Run the job on a new machine, which has its name and its folder in S3; return its log."""
    for name in ("setup", "setup-source", "output", "checkpoints"):
        shutil.rmtree(machine.home / name, ignore_errors=True)
    (machine.home / "log.txt").unlink(missing_ok=True)
    outcome = machine.run(script)
    assert outcome["state"] == "succeeded", outcome["reason"]
    return log_of(machine)


def log_of(machine: Machine) -> list[str]:
    return (machine.stored("log.txt") or b"").decode().splitlines()


def printed(machine: Machine) -> str:
    path = machine.home / "log.txt"
    return path.read_text() if path.exists() else ""


def kept(machine: Machine) -> Path:
    """Return the only archive in S3."""
    (path,) = (machine.folder / "s3/results/setups").rglob("*.tar.*")
    return path


def flipped(content: bytes) -> bytes:
    """Return content of which one byte in the middle is another."""
    middle = len(content) // 2
    return content[:middle] + bytes([content[middle] ^ 255]) + content[middle + 1 :]


def is_restored(log: list[str]) -> bool:
    assert ("setting up" in log) == (not log[0].startswith("parris: setup.sh need not run: "))
    assert log[-2:] == ["numpy", "linked"]
    return "setting up" not in log


@pytest.fixture(params=["gzip", "zstd"])
def compressed(request: pytest.FixtureRequest, warm: Machine) -> Machine:
    if request.param == "zstd":
        found = shutil.which("zstd")
        if found is None:
            pytest.skip("there is no zstd")
        (warm.bin / "zstd").symlink_to(found)
    return warm


def test_the_second_run_restores_what_the_first_ones_setup_left(compressed: Machine) -> None:
    first = train(compressed)
    assert first[0] == "parris: setup.sh runs: nothing is stored of these inputs"
    assert first[1] == "setting up"
    assert first[2].startswith("parris: setup.sh ran for ")
    assert "; what it left, 6 bytes in 1 files, is stored for later runs: " in first[2]
    assert not is_restored(first)
    assert kept(compressed).parent.name == OWN_NAME
    second = train(compressed)
    assert is_restored(second)
    assert "what it left, 6 bytes in 1 files, was restored in " in second[0]
    assert f": {kept(compressed).stat().st_size:,} bytes fetched in " in second[0]
    assert compressed.messages[0] == first[0]
    assert [path.name for path in compressed.home.iterdir() if ".tar" in path.name] == []


def let_it_be_of_an_earlier_run(machine: Machine) -> None:
    """Let what the machine has noted be the word of another one, in another folder."""
    earlier = "runs/digits/r0/machines/X:i-1/"
    (machine.folder / "s3/results" / earlier).mkdir(parents=True)
    noted = machine.folder / "s3/results" / OWN / "setup.json"
    noted.rename(machine.folder / "s3/results" / earlier / "setup.json")
    machine.receipt["setup"]["earlier"] = earlier


def test_what_a_machine_knows_goes_on_to_the_next_though_it_has_nothing_to_store(
    warm: Machine,
) -> None:
    train(warm)
    noted = warm.stored("setup.json")
    let_it_be_of_an_earlier_run(warm)
    assert is_restored(train(warm))
    assert warm.stored("setup.json") == noted


def test_a_setup_that_fails_leaves_the_next_run_what_was_known_before(warm: Machine) -> None:
    train(warm)
    let_it_be_of_an_earlier_run(warm)
    warm.script("exit 3", "setup.sh")
    shutil.rmtree(warm.home / "setup")
    assert warm.run(TRAINER)["state"] == "failed"
    warm.script(SETUP, "setup.sh")
    warm.receipt["setup"]["earlier"] = OWN
    assert is_restored(train(warm))


def test_another_machine_of_the_run_begins_with_the_setup_of_the_one_before(warm: Machine) -> None:
    train(warm)
    warm.receipt |= {"attempt": 2, "earlier-attempt": OWN}
    del warm.receipt["setup"]["earlier"]
    log = train(warm)
    assert log[-3].startswith("parris: setup.sh need not run: ")
    assert log[-2:] == ["numpy", "linked"]


def test_the_packages_of_an_environment_that_the_setup_made_are_listed(warm: Machine) -> None:
    made = 'mkdir "$PARRIS_SETUP_DIR/venv"; echo version=3.99 > "$PARRIS_SETUP_DIR/venv/pyvenv.cfg"'
    warm.script(made, "setup.sh")
    train(warm, "echo trained")
    assert (
        f"# python 3.99 of {warm.home}/setup/venv\n"
        in (warm.stored("packages.txt") or b"").decode()
    )


def change_input(machine: Machine) -> None:
    machine.script("numpy\n", "requirements.txt")


def change_script(machine: Machine) -> None:
    machine.script(SETUP + "# another\n", "setup.sh")


def change_image(machine: Machine) -> None:
    machine.receipt["image"] = "ami-2"


def flip_bits(machine: Machine) -> None:
    kept(machine).write_bytes(flipped(kept(machine).read_bytes()))


def expire(machine: Machine) -> None:
    kept(machine).unlink()


def forget(machine: Machine) -> None:
    (machine.folder / "s3/results" / OWN / "setup.json").write_text('{"x": [1]}')


@pytest.mark.parametrize(
    "change", [change_input, change_script, change_image, flip_bits, expire, forget]
)
def test_it_runs_again_where_anything_is_another_or_what_is_kept_cannot_be_used(
    warm: Machine, change: Callable[[Machine], None]
) -> None:
    train(warm)
    change(warm)
    log = train(warm)
    assert not is_restored(log)
    unusable = change in (flip_bits, expire)
    assert ("what is stored of them cannot be used (" in log[0]) == unusable
    assert is_restored(train(warm))


def test_it_sees_its_inputs_and_no_other_file_of_the_job(warm: Machine) -> None:
    listing = 'ls=(* src/*); echo "${ls[@]}" > "$PARRIS_SETUP_DIR/installed"; echo "$KEY"\n'
    for name in ("src/a.c", "src/deep/b.c", "other.txt", "trainer-script.sh"):
        warm.script("x", name)
    warm.script(listing, "setup.sh")
    warm.receipt["setup"]["inputs"] = ["src/"]
    (warm.folder / "secrets.json").write_text('{"ssm:/key": "hunter2"}')
    warm.receipt["secrets"] = {"KEY": "ssm:/key"}
    log = train(warm, 'cat "$PARRIS_SETUP_DIR/installed"')
    assert log[-1] == "setup.sh src src/a.c src/deep"
    assert log[1] == "hunter2"  # a private index of packages may ask for it
    warm.script("y", "other.txt")
    assert train(warm, 'cat "$PARRIS_SETUP_DIR/installed"')[0].startswith("parris: setup.sh need")
    warm.script("y", "src/deep/b.c")
    assert train(warm, 'cat "$PARRIS_SETUP_DIR/installed"')[0].startswith("parris: setup.sh runs")


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"inputs": ["gone.txt"]}, "setup-inputs: there is no file gone.txt in the job's folder"),
        ({"script": "gone.sh"}, "setup-script: there is no file gone.sh in the job's folder"),
    ],
)
def test_a_file_that_is_missing_ends_the_run(
    warm: Machine, given: dict[str, Any], said: str
) -> None:
    warm.receipt["setup"] |= given
    outcome = warm.run(TRAINER)
    assert (outcome["state"], outcome["reason"]) == ("failed", said)


def test_a_setup_that_fails_ends_the_run_before_the_trainer(warm: Machine) -> None:
    warm.script("echo no such package\nexit 3\n", "setup.sh")
    outcome = warm.run("echo trained")
    assert (outcome["state"], outcome["ended-by"]) == ("failed", "agent")
    said = "setup: setup.sh exited with status 3; its last line: no such package"
    assert outcome["reason"] == said
    assert outcome["exit-status"] is None
    assert outcome["started"] is None
    assert log_of(warm)[-1] == "no such package"
    assert not (warm.folder / "s3/results/setups").exists()
    assert warm.stored("alive.json") is None


def test_a_machine_told_to_stop_ends_its_setup_gently(warm: Machine) -> None:
    warm.script("trap 'echo asked; exit 0' TERM\necho begun\nsleep 60 & wait\n", "setup.sh")
    warm.script("echo trained")
    agent = warm.start()
    eventually(lambda: "begun" in printed(warm))
    agent.send_signal(signal.SIGTERM)
    agent.wait(30)
    outcome = warm.outcome()
    assert outcome["state"] == "interrupted"
    assert outcome["reason"] == "the machine was told to power off while setup.sh ran"
    assert log_of(warm)[1:] == ["begun", "asked"]


def test_a_request_to_stop_says_that_it_came_during_the_setup(warm: Machine) -> None:
    warm.patience["CONTROL_SECONDS"] = "0.2"
    warm.script("echo begun\nsleep 60\n", "setup.sh")
    warm.script("echo trained")
    agent = warm.start()
    eventually(lambda: "begun" in printed(warm))
    warm.receipt["stop"] = {"requested": "now", "by": "make stop"}
    warm.store_receipt()
    agent.wait(30)
    outcome = warm.outcome()
    assert (outcome["state"], outcome["ended-by"]) == ("stopped", "stop")
    assert outcome["reason"] == "stopped by make stop during the setup"


def test_a_setup_counts_against_the_deadline(warm: Machine) -> None:
    warm.receipt |= {"deadline": warm.iso_in(4), "stop-grace-seconds": 1}
    warm.script("sleep 60", "setup.sh")
    outcome = warm.run("echo trained")
    assert outcome["state"] == "timed-out"
    assert outcome["reason"].startswith("setup.sh was still running near its deadline, ")


def test_a_setup_that_leaves_nothing_is_not_kept(warm: Machine) -> None:
    """It has installed something elsewhere, which no later machine would have."""
    warm.script("true", "setup.sh")
    for _ in range(2):
        log = train(warm, "echo trained")
        assert log[0].startswith("parris: setup.sh runs: ")
        assert log[1].endswith(" and left nothing in PARRIS_SETUP_DIR, so that it runs each time")


def test_on_an_image_that_nobody_knows_nothing_is_restored_in_another_run(warm: Machine) -> None:
    warm.receipt["image"] = "/aws/service/ami-amazon-linux-latest/x"  # and metadata does not answer
    train(warm)
    warm.receipt["run-id"] = "r2"
    assert not is_restored(train(warm))


def test_what_cannot_be_stored_does_not_keep_the_trainer_from_training(warm: Machine) -> None:
    denied = "upload failed: An error occurred (AccessDenied) when calling the PutObject operation"
    warm.break_aws({"match": "s3://results/setups", "status": 1, "said": denied})
    log = train(warm)
    assert log[2].endswith(f"; what it left could not be stored: {denied}")
    assert log[-2:] == ["numpy", "linked"]


def member(name: str, kind: bytes = tarfile.REGTYPE, link: str = "") -> tarfile.TarInfo:
    made = tarfile.TarInfo(name)
    made.type, made.linkname, made.mode = kind, link, 0o6777
    return made


HOSTILE = {
    "above": [member("../escaped")],
    "absolute": [member("{root}/escaped")],
    "inside and above": [member("a/../../escaped")],
    "through a link": [member("a", tarfile.SYMTYPE, "{root}"), member("a/escaped")],
    "a link through a link": [
        member("a", tarfile.SYMTYPE, "{root}"),
        member("a/escaped", tarfile.SYMTYPE, "/bin/true"),
    ],
    "a second name of a file outside": [member("a", tarfile.LNKTYPE, "{root}/outside")],
    "a device": [member("null", tarfile.CHRTYPE)],
    "a pipe": [member("pipe", tarfile.FIFOTYPE)],
    "a name twice, as file and folder": [member("a"), member("a/escaped")],
}


@pytest.mark.parametrize("what", HOSTILE)
def test_nothing_of_an_archive_gets_outside_its_folder(tmp_path: Path, what: str) -> None:
    (tmp_path / "outside").write_text("mine")
    packed = tmp_path / "x.tar.gz"
    with tarfile.open(packed, "w:gz") as tar:
        for one in HOSTILE[what]:
            one = tarfile.TarInfo.frombuf(one.tobuf(), "utf-8", "strict")
            one.name = one.name.replace("{root}", str(tmp_path))
            one.linkname = one.linkname.replace("{root}", str(tmp_path))
            tar.addfile(one, io.BytesIO())
    with pytest.raises(archive.ERRORS):
        archive.unpack(packed, tmp_path / "in", threading.Event())
    assert {path.name for path in tmp_path.iterdir()} <= {"outside", "x.tar.gz", "in"}
    assert (tmp_path / "outside").stat().st_nlink == 1
    assert (tmp_path / "outside").stat().st_mode & 0o7000 == 0


@pytest.mark.parametrize("suffix", [".gz", ".zst"])
@pytest.mark.parametrize(
    "damage",
    [
        lambda content: content[:0],
        lambda content: content[2:],
        lambda content: content[:-20],
        lambda content: content[: len(content) // 2],
        flipped,
    ],
)
def test_an_archive_that_is_damaged_is_none(
    tmp_path: Path, suffix: str, damage: Callable[[bytes], bytes]
) -> None:
    if suffix == ".zst" and not shutil.which("zstd"):
        pytest.skip("there is no zstd")
    folder, packed = tmp_path / "setup", tmp_path / f"x.tar{suffix}"
    folder.mkdir()
    (folder / "data").write_bytes(os.urandom(3_000_000))
    archive.pack(folder, packed, threading.Event())
    archive.unpack(packed, tmp_path / "sound", threading.Event())
    packed.write_bytes(damage(packed.read_bytes()))
    with pytest.raises(archive.ERRORS):
        archive.unpack(packed, tmp_path / "out", threading.Event())


def test_a_disk_that_is_full_is_named_as_the_reason(tmp_path: Path) -> None:
    (tmp_path / "data").write_bytes(os.urandom(3_000_000))
    for name in ("zst", "gz"):
        packed = tmp_path / f"x.tar.{name}"
        packed.symlink_to("/dev/full")
        if name == "gz" or shutil.which("zstd"):
            with pytest.raises(OSError, match="No space left"):
                archive.pack(tmp_path, packed, threading.Event())


def test_a_folder_comes_out_of_its_archive_as_it_went_in(tmp_path: Path) -> None:
    folder = tmp_path / "setup"
    (folder / "bin").mkdir(parents=True)
    (folder / "bin/tool").write_text("#!/bin/sh\n")
    (folder / "bin/tool").chmod(0o755)
    os.link(folder / "bin/tool", folder / "bin/same")
    (folder / "lib").symlink_to("bin")
    (folder / "python").symlink_to("/usr/bin/python3")
    (folder / ("long" * 60)).write_text("x")
    os.mkfifo(folder / "pipe")
    os.utime(folder / "bin/tool", (1e9, 1e9))
    packed, out = tmp_path / "x.tar.gz", tmp_path / "out"
    assert archive.pack(folder, packed, threading.Event()) == archive.Size(3, 21)
    assert archive.unpack(packed, out, threading.Event()) == archive.Size(3, 21)
    names = {str(path.relative_to(folder)) for path in folder.rglob("*")} - {"pipe"}
    assert {str(path.relative_to(out)) for path in out.rglob("*")} == names
    assert (out / "bin/tool").stat().st_mode & 0o777 == 0o755
    assert (out / "bin/tool").stat().st_mtime == 1e9  # by which Python knows what it has compiled
    assert (out / "bin/same").read_text() == "#!/bin/sh\n"
    assert (out / "lib").readlink() == Path("bin")
    assert (out / "python").readlink() == Path("/usr/bin/python3")


def test_scripts_that_name_their_folder_name_it_where_it_is_now(tmp_path: Path) -> None:
    for name in ("venv/bin", "venv/lib"):
        (tmp_path / name).mkdir(parents=True)
    texts = {"venv/bin/pip": "#!/old/setup/venv/bin/python\n", "venv/pyvenv.cfg": "/old/setup\n"}
    others = {"venv/bin/tool": "\0/old/setup", "venv/lib/x.py": "/old/setup"}
    for name, text in {**texts, **others}.items():
        (tmp_path / name).write_text(text)
    (tmp_path / "outside").mkdir()
    archive.relocate(tmp_path, "/old/setup")
    for name, text in texts.items():
        assert (tmp_path / name).read_text() == text.replace("/old/setup", str(tmp_path))
    for name, text in others.items():
        assert (tmp_path / name).read_text() == text


DIGEST = "a" * 64
SOUND = {"key": f"setups/AROA1:i-0a/{DIGEST}.tar.gz", "folder": "/var/lib/parris/setup"}


@pytest.mark.parametrize(
    "noted",
    [
        [],
        {DIGEST: None},
        {DIGEST: {**SOUND, "key": f"setups/AROA1:i-0a/{'b' * 64}.tar.gz"}},
        {DIGEST: {**SOUND, "key": f"runs/../setups/AROA1:i-0a/{DIGEST}.tar.gz"}},
        {DIGEST: {**SOUND, "key": f"setups/AROA1:i-0a/{DIGEST}.tar.gz/"}},
        {DIGEST: {**SOUND, "folder": "setup"}},
        {DIGEST: {**SOUND, "folder": 1}},
        {DIGEST: {"key": SOUND["key"]}},
    ],
)
def test_what_is_no_setup_is_not_read_as_one(noted: object) -> None:
    assert dict(read_noted(json.dumps(noted).encode())) == {}
    assert set(dict(read_noted(json.dumps({DIGEST: SOUND}).encode()))) == {DIGEST}
    assert dict(read_noted(b"{")) == {}
