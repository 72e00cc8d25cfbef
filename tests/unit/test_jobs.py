"""What is read from the files of a clone, when they hold something else than they should."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path

import pytest

from parris.errors import InvalidConfig
from parris.jobs.config import read_config
from parris.jobs.files import decode
from parris.launch.render import render_user_data
from scripts.cli.console import Refused
from scripts.jobs import jobs, uploads
from scripts.package_lambda import contents
from tests.plans import plan


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ('schedules = "x"', "schedules: not a map"),
        ('schedules = ["x"]', "schedules: not a map"),
        ("schedules = []", "schedules: not a map"),
        ('schedules = ""', "schedules: not a map"),
        ('schedules = { night = "x" }', "schedule night: not { expression"),
        ('schedules = { night = { job = "gone" } }', 'job "gone" does not exist; jobs: default'),
        ('data_triggers = { fresh = { job = "gone" } }', 'data trigger fresh: job "gone" does'),
        ('button_actions = { LONG = { job = "gone" } }', 'click LONG: job "gone" does not'),
        ('button_jobs = { G030 = "gone" }', 'button G030: job "gone" does not exist'),
        ("button_jobs = { G030 = {} }", "button G030: not the name of a job"),
    ],
)
def test_a_schedule_of_another_form_is_named(tmp_path: Path, text: str, problem: str) -> None:
    (tmp_path / "terraform.tfvars").write_text(text + "\n")
    [(source, variables)] = jobs.read_tfvars(tmp_path).items()
    [said] = jobs.check_triggers(variables, ["default"], source)
    assert said.startswith("terraform.tfvars: ")
    assert problem in said


def test_a_schedule_without_a_job_is_the_default_jobs(tmp_path: Path) -> None:
    (tmp_path / "terraform.tfvars").write_text(
        'schedules = { night = { expression = "rate(1 day)" } }\n'
    )
    [(source, variables)] = jobs.read_tfvars(tmp_path).items()
    assert jobs.check_triggers(variables, ["default"], source) == []


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("terraform.tfvars", "schedules = {\n"),
        ("a.auto.tfvars.json", "[1]"),
        ("a.auto.tfvars.json", "{"),
        ("a.auto.tfvars.json", '{"a":' * 100_000),
        ("terraform.tfvars", "a = " + "[" * 2_000),
        ("terraform.tfvars", "\xff"),
    ],
)
def test_a_variable_file_that_is_none_is_refused_by_name(
    tmp_path: Path, name: str, text: str
) -> None:
    (tmp_path / name).write_text(text, encoding="latin-1")
    with pytest.raises(Refused, match=f"{name}: cannot be read as a variable file"):
        jobs.read_tfvars(tmp_path)


def test_a_folder_in_place_of_a_variable_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "terraform.tfvars").mkdir()
    with pytest.raises(Refused, match=r"terraform.tfvars: cannot be read: Is a directory"):
        jobs.read_tfvars(tmp_path)


def test_a_job_that_is_not_there_is_refused_with_those_that_are(tmp_path: Path) -> None:
    folders = {"default": tmp_path, "mine": tmp_path / "jobs/mine"}
    with pytest.raises(Refused, match="there is no folder trainer/jobs/x; jobs: default, mine"):
        jobs.choose(folders, "x")


TEMPLATE = '{"Resources": {"M": {"UserData": "{{user-data}}"}}}'


def job(folder: Path, config: bytes = b"{}", **files: bytes) -> Path:
    """Make a job of `config`, a script and `files`."""
    folder.mkdir()
    whole = {"training-config.json": config, "trainer-script.sh": b"true\n"}
    whole |= {name.replace("__", "."): body for name, body in files.items()}
    for name, body in whole.items():
        (folder / name).write_bytes(body)
    return folder


def faults(folder: Path) -> list[str]:
    return jobs.check_job("mine", folder)[1]


def test_a_byte_order_mark_is_taken_by_upload_and_launch_alike(tmp_path: Path) -> None:
    config = b'\xef\xbb\xbf{"time-limit": 5}'
    assert faults(job(tmp_path / "mine", config)) == []
    assert read_config(decode(config, ""), "").time_limit_minutes == 5


@pytest.mark.parametrize(
    ("config", "said"),
    [
        (b'{"setup-script": "setup.sh"}', "setup-script: there is no file setup.sh beside it; "),
        (b'{"setup-script": "empty.sh"}', "setup-script: empty.sh is empty"),
        (
            b'{"setup-script": "trainer-script.sh", "setup-inputs": ["requirements.txt", "src/"]}',
            "setup-inputs: there is no file or folder src/ beside it",
        ),
        (b'{"setup-inputs": ["x"]}', "setup-inputs: nothing uses them without a setup-script"),
        (b'{"setup-script": "../x"}', 'setup-script: "../x" is not a file below the job'),
        (b'{"container": "--privileged"}', 'container: "--privileged" is not a container image '),
    ],
)
def test_a_setup_that_lacks_a_file_is_refused_by_the_upload(
    tmp_path: Path, config: bytes, said: str
) -> None:
    files = {"requirements__txt": b"numpy\n", "empty__sh": b""}
    assert said in faults(job(tmp_path / "mine", config, **files))[0]


@pytest.mark.parametrize("body", ['{"time-limit": 5}'.encode("utf-16"), b"{\xe9}"])
def test_a_config_that_is_not_utf_8_is_refused_by_upload_and_launch_alike(
    tmp_path: Path, body: bytes
) -> None:
    [fault] = faults(job(tmp_path / "mine", body))
    assert "not UTF-8 text" in fault
    assert "save it as UTF-8" in fault
    with pytest.raises(InvalidConfig, match="save it as UTF-8"):
        decode(body, "mine/training-config.json")


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b"\x00\xff" + TEMPLATE.encode(), "not UTF-8 text"),
        (TEMPLATE.encode() + b" " * 40_000, "bytes with user data; CloudFormation takes 51200"),
        (b"{}", 'it has no UserData: "{{user-data}}"'),
    ],
)
def test_a_template_that_no_launch_would_take_is_refused_at_upload(
    tmp_path: Path, body: bytes, said: str
) -> None:
    config = json.dumps({"cloudformation-template-filename": "t.json"}).encode()
    [fault] = faults(job(tmp_path / "mine", config, t__json=body))
    assert said in fault


def test_what_upload_counts_for_user_data_is_what_a_run_has() -> None:
    script = contents("launch")["trainer/runtime/user-data.sh"].decode()
    rendered = len(render_user_data(script, plan()).encode())
    assert rendered < jobs._USER_DATA_BYTES < rendered + 1_000


def test_a_file_that_cannot_be_uploaded_is_named_before_anything_is(tmp_path: Path) -> None:
    folder = job(tmp_path / "mine")
    (folder / "gone").symlink_to(folder / "nowhere")  # no file, and left out
    assert faults(folder) == []
    (Path(os.fsdecode(bytes(folder) + b"/caf\xe9"))).write_text("x")
    (folder / "bell\a").write_text("x")
    said = faults(folder)
    assert len(said) == 2
    assert all("its name has characters that no key may have" in fault for fault in said)
    assert all(fault.isprintable() for fault in said)


def test_a_file_beyond_what_one_call_takes_is_named(tmp_path: Path) -> None:
    folder = job(tmp_path / "mine")
    with (folder / "data.bin").open("wb") as file:
        file.truncate(5 * 1024**3 + 1)  # sparse: it takes no room
    [fault] = faults(folder)
    assert "data.bin: 5368709121 bytes, over 5 GiB; keep data in a bucket of its own" in fault


def test_a_file_that_vanishes_before_it_is_sent_is_named_with_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(Refused, match="it changed while it was read: make upload-config again"):
        uploads._read(tmp_path / "gone")


def test_sixteen_thousand_keys_are_read_in_no_time() -> None:
    keys = {f"_{number}": 1 for number in range(16_000)}
    began = time.process_time()
    read_config(json.dumps(keys), "many")
    assert time.process_time() - began < 1
