"""What a person, and a machine, is told of a run."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from parris.runs import messages, messages_of_ends
from parris.runs.documents import Answer
from parris.runs.messages import BODY_BYTES, Notice

OUTCOME: Any = {
    "state": "failed",
    "reason": "trainer-script.sh exited with status 3",
    "ended-by": "trainer",
    "finished": "2026-11-24T12:30:00Z",
    "trainer-seconds": 1500.0,
    "cost-usd": 0.0193,
    "console": "long",
    "metrics": {"loss": 0.12, "epochs": 20, "epoch": 14},
    "warnings": ["carriage returns were removed"],
}


def forms(told: Notice) -> dict[str, str]:
    said: dict[str, str] = json.loads(told.message()["Message"])
    return said


def test_an_email_says_job_run_times_cost_log_and_what_to_do() -> None:
    told = messages_of_ends.ended(
        "digits", "r-1", {"claimed": "2026-11-24T12:00:00Z"}, OUTCOME, "a\nb\n"
    )
    assert told.message()["Subject"] == "Parris: digits failed after 25 min, $0.02"
    assert forms(told)["email"].splitlines() == [
        "Job digits failed: trainer-script.sh exited with status 3",
        "run       r-1",
        "launched  2026-11-24T12:00:00Z, over 2026-11-24T12:30:00Z",
        "trained   25 min",
        "cost      $0.0193",
        "ended by  trainer",
        "metrics   loss 0.12 epoch 14/20",
        "carriage returns were removed",
        "",
        "The end of its log:",
        "  a",
        "  b",
        "",
        "Look closer: make logs RUN=r-1; fetch what it stored: make results RUN=r-1",
        "Begin a new run with its checkpoints, if it has some: make launch RESUME=r-1",
    ]


def test_an_email_has_a_line_for_each_machine_and_each_refusal() -> None:
    refused: Any = {"number": 1, "instance-type": "c5.large", "market": "spot"}
    refused |= {"subnet-id": "subnet-1", "zone": "", "cost-usd": 0.0, "refusal": "capacity"}
    refused |= {"state": "launch-failed", "reason": "no Spot capacity"}
    last: Any = {**refused, "number": 2, "market": "on-demand", "subnet-id": ""}
    last |= {"zone": "us-east-1a", "cost-usd": None, "refusal": None}
    last |= {"state": "failed", "reason": "exited with status 3"}
    outcome: Any = {**OUTCOME, "attempts": [refused, last]}
    told = messages_of_ends.ended("digits", "r-1", {}, outcome, "")
    lines = [line for line in forms(told)["email"].splitlines() if line.startswith("attempt")]
    assert lines == [
        "attempt 1 c5.large spot subnet-1, $0.0000: launch-failed, no Spot capacity",
        "attempt 2 c5.large on-demand us-east-1a: failed, exited with status 3",
    ]


@pytest.mark.parametrize(
    ("outcome", "offered"),
    [
        ({"state": "timed-out"}, True),
        ({"state": "stopped"}, True),
        ({"state": "interrupted"}, True),
        ({"state": "failed"}, True),
        ({"state": "stopped", "bytes-stored": None}, True),  # nobody knows
        ({"state": "stopped", "bytes-stored": 0}, False),
        ({"state": "launch-failed"}, False),
        ({"state": "succeeded"}, False),
    ],
)
def test_the_command_that_goes_on_is_named_where_there_is_something_to_go_on_from(
    outcome: Any, offered: bool
) -> None:
    told = messages_of_ends.ended("digits", "r-1", {}, outcome, "")
    assert ("make launch RESUME=r-1" in forms(told)["email"]) == offered


@pytest.mark.parametrize(
    ("prices", "line"),
    [
        (("0.0480", "1.1520"), "cost      $0.0480 an hour, $1.1520 at most"),
        (("0.0480", None), "cost      $0.0480 an hour"),
        ((None, None), "cost      price unknown"),
    ],
)
def test_a_start_says_what_it_costs(prices: tuple[str | None, str | None], line: str) -> None:
    answer: Answer = {"job": "digits", "run-id": "r-1", "stack-name": "s", "deadline": "d"}
    costs: Answer = {"hourly-usd": prices[0], "most-usd": prices[1]}
    assert line in forms(messages.started(answer | costs, "direct"))["email"].splitlines()


def test_a_start_says_of_what_machine_the_most_is() -> None:
    answer: Answer = {"job": "digits", "run-id": "r-1", "stack-name": "s", "deadline": "d"}
    costs: Answer = {"hourly-usd": "0.0480", "most-usd": "1.1520", "most-usd-of": "this-machine"}
    body = forms(messages.started(answer | costs, "direct"))["email"]
    assert "$1.1520 at most if it stays on this machine" in body


def test_a_machine_gets_the_same_as_json() -> None:
    told = messages_of_ends.ended("digits", "r-1", {}, OUTCOME, "")
    record = json.loads(forms(told)["default"])
    assert (record["event"], record["job"], record["run-id"]) == ("failed", "digits", "r-1")
    assert (record["cost-usd"], record["log"]) == (0.0193, [])
    assert "console" not in record
    attributes = told.message()["MessageAttributes"]
    assert attributes["event"] == {"DataType": "String", "StringValue": "failed"}


@pytest.mark.parametrize(
    ("state", "subject"),
    [
        ("timed-out", "Parris: digits was ended at its deadline"),
        ("launch-failed", "Parris: digits could not be launched"),
        ("stopped", "Parris: digits stopped"),
        ("interrupted", "Parris: digits interrupted"),
    ],
)
def test_each_end_has_words_of_its_own(state: str, subject: str) -> None:
    told = messages_of_ends.ended("digits", "r-1", {}, {"state": state}, "")
    assert told.message()["Subject"] == subject


def test_a_status_says_on_the_phones_screen_whether_anything_runs() -> None:
    run = {"job": "digits", "run-id": "r-1", "state": "running", "reason": ""}
    over = {**run, "state": "failed"}
    assert messages.status([run, over], "").subject == "Parris: 1 running"
    assert messages.status([over], "").subject == "Parris: nothing is running, digits failed last"
    low = messages.status([], "the button's battery is low (1100mV)")
    assert low.subject == "Parris: nothing is running"
    assert "the button's battery is low (1100mV)" in forms(low)["email"]


@given(
    reason=st.text(max_size=5000),
    log=st.text(max_size=5000),
    event=st.recursive(st.none() | st.text(), lambda leaf: st.dictionaries(st.text(), leaf)),
)
def test_whatever_was_said_can_be_published(reason: str, log: str, event: Any) -> None:
    outcome: Any = {"state": "failed", "reason": reason}
    for told in (
        messages_of_ends.ended("j", "r", {}, outcome, log),
        messages_of_ends.failed(event, reason, "InvalidEvent"),
        messages.held_back("skipped", "j", "r", reason),
    ):
        message = told.message()
        assert message["Subject"].isascii()
        assert 0 < len(message["Subject"]) < 100
        assert "\n" not in message["Subject"]
        said = forms(told)
        assert set(said) == {"default", "email", "sms"}
        assert all(len(form.encode()) <= BODY_BYTES for form in said.values())
        assert json.loads(said["default"])["job"] == told.job
        assert message["MessageAttributes"]["job"]["StringValue"]


@pytest.mark.parametrize(("kind", "launched"), [("LaunchFailed", False), ("LaunchUnclear", True)])
def test_what_nobody_knows_is_not_told_as_a_refusal(kind: str, launched: bool) -> None:
    told = messages_of_ends.failed({"job": "digits"}, "CloudFormation did not say", kind)
    assert told.subject == f"Parris: digits {'may have been' if launched else 'was not'} launched"
    assert ("Nothing was launched" in forms(told)["email"]) != launched


def test_nothing_that_a_terminal_obeys_reaches_an_email() -> None:
    hostile = "a\x1b]0;owned\x07b\u202ec\x9bd\ud800\r\n\te"
    told = messages.held_back("skipped", hostile, "r", hostile).message()
    said = json.loads(told["Message"])
    assert "a\\x1b]0;owned\\x07b\\u202ec\\x9bd\\ud800\n\te" in said["email"]
    for text in (told["Subject"], *said.values()):
        assert not [letter for letter in text if not letter.isprintable() and letter not in "\n\t"]
