"""A trainer begins with its job's data and secrets, or does not begin."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

from tests.unit.agent.machine import Machine, eventually

pytestmark = pytest.mark.processes

WORD = "hunter2-swordfish"
HELD = {
    "ssm:/team/wandb": WORD,
    "secretsmanager:team/db": json.dumps({"password": WORD, "port": 5432}),
}


@pytest.fixture
def trusted(machine: Machine) -> Machine:
    (machine.folder / "secrets.json").write_text(json.dumps(HELD))
    machine.receipt["secrets"] = {
        "WANDB_API_KEY": "ssm:/team/wandb",
        "DB": "secretsmanager:team/db#password",
        "PORT": "secretsmanager:team/db#port",
    }
    machine.patience |= {"RESTORE_ATTEMPTS, RESTORE_PAUSE_SECONDS": "2, 0.1"}
    return machine


def put_data(machine: Machine, name: str, content: str = "x") -> None:
    path = machine.folder / "s3" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content)


def refused(machine: Machine, script: str = "echo trained") -> str:
    """Return why a run trained nothing."""
    outcome = machine.run(script)
    assert (outcome["state"], outcome["ended-by"]) == ("failed", "agent")
    assert b"trained" not in (machine.stored("log.txt") or b"")
    return str(outcome["reason"])


def test_a_secret_is_in_the_trainers_environment_and_nowhere_else(trusted: Machine) -> None:
    script = '[ "$WANDB_API_KEY" = "$DB" ] && echo "$PORT ${#DB}" > $PARRIS_OUTPUT_DIR/seen'
    assert trusted.run(script)["state"] == "succeeded"
    assert trusted.stored("output/seen") == f"5432 {len(WORD)}\n".encode()
    kept = [path for path in trusted.folder.rglob("*") if path.is_file()]
    assert len(kept) > 10
    holders = [path.name for path in kept if WORD.encode() in path.read_bytes()]
    assert holders == ["secrets.json"]  # where AWS holds it


@pytest.mark.parametrize(
    ("reference", "fault", "said"),
    [
        (
            "ssm:/team/wandb",
            "An error occurred (AccessDeniedException) when calling the GetParameter operation: no",
            "An error occurred (AccessDeniedException) when calling the GetParameter operation: "
            "no; add its ARN to the Terraform variable secret_arns, and apply",
        ),
        (
            "ssm:/team/wandb",
            "An error occurred (ParameterNotFound) when calling the GetParameter operation: ",
            "An error occurred (ParameterNotFound) when calling the GetParameter operation:",
        ),
        ("secretsmanager:team/db#user", "", "what it holds is no JSON object with the key user"),
        ("secretsmanager:plain#user", "", "what it holds is no JSON object with the key user"),
    ],
)
def test_a_secret_that_cannot_be_had_ends_the_run_before_it_begins(
    trusted: Machine, reference: str, fault: str, said: str
) -> None:
    (trusted.folder / "secrets.json").write_text(json.dumps({**HELD, "secretsmanager:plain": WORD}))
    trusted.receipt["secrets"] = {"KEY": reference}
    if fault:
        trusted.break_aws({"match": "get-parameter", "status": 254, "said": fault})
    assert refused(trusted) == f"the secret KEY ({reference}) could not be fetched: {said}"
    assert WORD not in trusted.console


def test_data_is_there_when_the_trainer_starts(trusted: Machine) -> None:
    for name in ("digits/train/a.csv", "digits/train/deep/b.csv", "digits/test.csv", "digits/no"):
        put_data(trusted, name, name)
    trusted.receipt["data"] = [
        {"s3": "s3://digits/train/", "to": "data/train/"},
        {"s3": "s3://digits/test.csv", "to": "data/"},
    ]
    assert (
        trusted.run("cat data/train/deep/b.csv; echo; echo data/* data/train/*")["state"]
        == "succeeded"
    )
    said, *rest = (trusted.stored("log.txt") or b"").decode().splitlines()
    assert said.startswith("parris: s3://digits/train/, s3://digits/test.csv: about ")
    assert " bytes, fetched in " in said
    files = "data/test.csv data/train data/train/a.csv data/train/deep"
    assert rest == ["digits/train/deep/b.csv", files]


def test_a_long_fetch_says_how_far_it_is(trusted: Machine) -> None:
    put_data(trusted, "digits/a")
    trusted.receipt["data"] = [{"s3": "s3://digits/a", "to": "data/"}]
    trusted.patience["PROGRESS_SECONDS"] = "0.1"
    trusted.break_aws({"match": "s3://digits/a", "sleep": 1})
    assert trusted.run("true")["state"] == "succeeded"
    said = (trusted.stored("log.txt") or b"").decode().splitlines()
    assert re.fullmatch(r"parris: s3://digits/a: about [\d,]+ bytes after 0 s", said[0])
    assert said[0] in trusted.messages


@pytest.mark.parametrize(
    ("fault", "calls", "said"),
    [
        (
            "fatal error: An error occurred (403) when calling the HeadObject operation: Forbidden",
            1,
            "fatal error: An error occurred (403) when calling the HeadObject operation: Forbidden"
            "; add its s3:// address to the Terraform variable data_sources, and apply",
        ),
        ("An error occurred (NoSuchBucket) when calling", 1, "An error occurred (NoSuchBucket)"),
        ("Could not connect", 2, "Could not connect"),
        ("", 1, "there is nothing"),
    ],
)
def test_data_that_cannot_be_had_ends_the_run_before_it_begins(
    trusted: Machine, fault: str, calls: int, said: str
) -> None:
    trusted.receipt["data"] = [{"s3": "s3://digits/train/", "to": "data/"}]
    if fault:
        trusted.break_aws({"match": "s3://digits/train/", "status": 1, "said": fault})
    reason = refused(trusted)
    assert reason.startswith(f"s3://digits/train/ could not be fetched: {said}")
    asked = [call for call in trusted.calls if "s3://digits/train/" in call]
    assert len(asked) == (0 if fault else calls)  # one that failed is not in the journal
    retried = trusted.console.count("could not fetch all of s3://digits/train/")
    assert retried == (calls if fault else 0)


def test_a_prefix_without_objects_is_noticed_in_a_folder_with_files(
    trusted: Machine,
) -> None:
    put_data(trusted, "digits/labels.csv")
    trusted.script("x", "data/of-the-job")
    trusted.receipt["data"] = [
        {"s3": "s3://digits/labels.csv", "to": "data/"},
        {"s3": "s3://digits/trian/", "to": "data/"},
    ]
    assert refused(trusted) == "s3://digits/trian/ could not be fetched: there is nothing"


@pytest.mark.parametrize("what", ["data", "secrets"])
def test_a_run_that_is_stopped_during_the_fetch_trains_nothing(trusted: Machine, what: str) -> None:
    put_data(trusted, "digits/a")
    trusted.receipt["data"] = [{"s3": "s3://digits/a", "to": "data/"}]
    if what == "data":
        del trusted.receipt["secrets"]
    match = "s3://digits/a" if what == "data" else "ssm get-parameter"
    trusted.break_aws({"match": match, "sleep": 3})
    trusted.script("echo trained")
    process = trusted.start()
    eventually(lambda: match in trusted.broken)
    process.terminate()
    process.wait(30)
    outcome: dict[str, Any] = trusted.outcome()
    where = "s3://digits/a" if what == "data" else "the secret WANDB_API_KEY (ssm:/team/wandb)"
    assert outcome["state"] == "interrupted"
    assert outcome["reason"] == f"the machine was told to power off during the fetch of {where}"
    assert b"trained" not in (trusted.stored("log.txt") or b"")
