"""What `make status` asks AWS for does not grow with the runs that there were."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import boto3
import pytest
from moto import mock_aws

from parris.aws.ledger import Ledger
from parris.runs.plan import iso
from scripts.commands import status
from scripts.deployment.outputs import Deployment
from tests.ledger import NAME, make_table
from tests.plans import NOW

RUNS = 10_000
CALLS = 5


def fill(runs: int) -> None:
    """Put runs into the ledger, a minute between each and the next, of ten jobs; all are over."""
    client = boto3.client("dynamodb", region_name="us-east-1")
    Ledger(make_table(client)).note_adoption("", NOW)
    requests: list[Any] = []
    for number in range(runs):
        begun = NOW - timedelta(minutes=runs - number)
        job, run_id = f"job-{number % 10}", f"{begun:%Y%m%d-%H%M%S}-{number:08x}"
        outcome = {"state": "succeeded", "reason": "", "ended-by": "trainer", "cost-usd": 0.01}
        receipt = {"job": job, "run-id": run_id, "claimed": iso(begun), "stack-id": "arn"}
        item = {
            "pk": f"run#{job}",
            "sk": run_id,
            "kind": "run",
            "state": "succeeded",
            "lease": iso(begun),
            "stack_id": "arn",
            "receipt": json.dumps(receipt),
            "outcome": json.dumps(outcome),
        }
        put = {"Item": {name: {"S": value} for name, value in item.items()}}
        requests.append({"PutRequest": put})
    for start in range(0, runs, 25):
        client.batch_write_item(RequestItems={NAME: requests[start : start + 25]})


@pytest.mark.usefixtures("credentials")
@pytest.mark.parametrize("job", ["", "job-3"])
def test_the_newest_of_ten_thousand_runs_take_five_calls(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], job: str
) -> None:
    values: dict[str, Any] = dict.fromkeys(Deployment.__dataclass_fields__, "parris")
    known = {"region": "us-east-1", "results_bucket": "results", "ledger_table": NAME}
    deployment, calls = Deployment(**values | known), []
    make = Deployment.client

    def counted(self: Deployment, service: str) -> Any:
        client = make(self, service)
        client.meta.events.register("before-call", lambda model, **_: calls.append(model.name))
        return client

    monkeypatch.setenv("LOCAL", "")
    monkeypatch.setattr(Deployment, "client", counted)
    monkeypatch.setattr(status, "read_deployment", lambda: deployment)
    with mock_aws():
        fill(RUNS)
        assert status.main(["--json", *(["--job", job] if job else [])]) == 0
    shown = json.loads(capsys.readouterr().out)["runs"]
    last = [number for number in range(RUNS) if not job or number % 10 == int(job[-1])][-20:]
    assert [run["run-id"][-8:] for run in shown] == [f"{number:08x}" for number in last[::-1]]
    assert 0 < len(calls) <= CALLS, calls
