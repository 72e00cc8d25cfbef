"""A machine that EC2 does not list is not followed by another while S3 may still hear of it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import timedelta

import pytest
from botocore.exceptions import ClientError
from moto import mock_aws
from moto.cloudformation.models import cloudformation_backends
from moto.s3.models import s3_backends

from parris.aws.results import Results
from parris.contract import State
from parris.errors import ParrisError
from tests.plans import NOW
from tests.reap_world import ROLE_ID
from tests.runs_world import Runs

ACCOUNT = "123456789012"


@pytest.fixture
def runs() -> Iterator[Runs]:
    with mock_aws():
        yield Runs()


@pytest.fixture
def unlisted(runs: Runs, monkeypatch: pytest.MonkeyPatch) -> tuple[str, str]:
    """Return a run, and its machine, which runs and which EC2 does not list."""
    run_id = runs.begin()
    machine = runs.machine(run_id)
    backend = cloudformation_backends[ACCOUNT]["us-east-1"]
    backend.get_stack("one").creation_time = NOW.replace(tzinfo=None)
    monkeypatch.setattr("parris.reap.sweep.list_machines", lambda *_: {})
    monkeypatch.setattr(
        "parris.reap.review.run_tags",
        lambda stack: {
            **{tag["Key"]: tag["Value"] for tag in stack["Tags"]},
            "parris:instance-id": machine,
        },
    )
    return run_id, machine


def stored(runs: Runs, run_id: str, machine: str, minutes: float, says: str = "") -> None:
    """Store a sign of life at so many minutes by S3's clock; `says` is the machine's own."""
    runs.store(run_id, machine, "alive.json", json.dumps({"attempt": 1, "time": says}))
    key = f"runs/default/{run_id}/machines/{ROLE_ID}:{machine}/alive.json"
    bucket = s3_backends[ACCOUNT]["aws"].buckets["parris-results"]
    at = (NOW + timedelta(minutes=minutes)).replace(tzinfo=None)
    bucket.keys.getlist(key)[-1].last_modified = at


def goes_on(runs: Runs, run_id: str) -> bool:
    record = runs.record(run_id)
    return (runs.sent, record.state, record.attempts) == ([], State.ACCEPTED, ())


def test_while_s3_does_not_say_what_it_heard_last_no_machine_is_given_up(
    runs: Runs, unlisted: tuple[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    run_id, machine = unlisted
    error = {"Error": {"Code": "SlowDown", "Message": "S3 is down"}}

    def down(*_: object) -> None:
        raise ClientError(error, "ListObjectsV2")  # type: ignore[arg-type]

    with monkeypatch.context() as patch:
        patch.setattr(Results, "last_write", down)
        for minutes in range(20, 41, 2):
            with pytest.raises(ParrisError, match="S3 is down"):
                runs.reap(minutes)
            assert goes_on(runs, run_id)
    assert runs.stack()["StackStatus"] == "CREATE_COMPLETE"
    stored(runs, run_id, machine, 41)
    runs.reap(42)
    assert goes_on(runs, run_id)


@pytest.mark.parametrize("says", ["2001-01-01T00:00:00Z", "2099-01-01T00:00:00Z"])
def test_a_machine_whose_clock_is_wrong_is_judged_by_s3s(
    runs: Runs, unlisted: tuple[str, str], says: str
) -> None:
    run_id, machine = unlisted
    for minutes in (20, 29):
        stored(runs, run_id, machine, minutes, says)
        runs.reap(minutes + 9)
        assert goes_on(runs, run_id)
    assert runs.stack()["StackStatus"] == "CREATE_COMPLETE"
    runs.reap(29 + 11)  # silent for longer than a machine may be
    assert runs.record(run_id).state == State.RELAUNCHING


def test_a_clock_of_s3_that_is_ahead_of_the_reap_functions_ends_no_run(
    runs: Runs, unlisted: tuple[str, str]
) -> None:
    run_id, machine = unlisted
    stored(runs, run_id, machine, 60)
    for minutes in range(20, 60, 8):
        runs.reap(minutes)
        assert goes_on(runs, run_id)
