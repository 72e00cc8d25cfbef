"""What a status costs, however many runs there were."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from contextlib import redirect_stdout
from io import BytesIO, StringIO
from typing import Any
from unittest.mock import patch
from urllib.parse import parse_qs

from botocore.awsrequest import AWSPreparedRequest, AWSResponse

from scripts.commands import status
from scripts.deployment.outputs import Deployment
from tests.bench.figures import Figure
from tests.integration.test_many_runs import RUNS, items, known_deployment

CALL_SECONDS = 0.03
MOST_BYTES = 2**20
"""What DynamoDB reads in one call (API reference, Query)."""


class Aws:
    """A ledger of many runs and no stack, which answers each call after the same time.

    moto looks through all items at each query; DynamoDB's index does not.
    """

    def __init__(self) -> None:
        self.calls = 0
        self.runs = [(item["state"]["S"], json.dumps(item)) for item in reversed(items(RUNS))]

    def answer(self, request: AWSPreparedRequest, **_: Any) -> AWSResponse:
        self.calls += 1
        time.sleep(CALL_SECONDS)
        body: Any = request.body
        said = body.decode() if isinstance(body, bytes) else str(body)
        target = request.headers.get("X-Amz-Target", "")  # text before it is signed, then bytes
        target = target.decode() if isinstance(target, bytes) else str(target)
        text = self._query(json.loads(said)) if target.endswith(".Query") else '{"Item": {}}'
        if target.endswith(".GetItem"):
            text = '{"Item": {"done": {"S": "2026-11-24T12:00:00Z"}}}'
        if not target:
            action = parse_qs(said)["Action"][0]
            text = (
                f"<{action}Response><{action}Result><Stacks/></{action}Result></{action}Response>"
            )
        return AWSResponse(request.url, 200, {}, _Raw(text.encode()))  # type: ignore[arg-type]

    def _query(self, asked: dict[str, Any]) -> str:
        begins = int(asked.get("ExclusiveStartKey", {}).get("at", {}).get("N", 0))
        values, found, size, at = asked["ExpressionAttributeValues"], [], 0, begins
        sought = {values[name]["S"] for name in values if name.startswith(":sought")}
        none = ":beginning" in values or asked.get("IndexName") == "open"
        runs = [] if none else self.runs  # of an older version, or under way
        while at < len(runs) and at - begins < asked.get("Limit", RUNS) and size < MOST_BYTES:
            state, text = runs[at]
            at, size = at + 1, size + len(text)
            if not sought or state in sought:
                found.append(text)
        more = f', "LastEvaluatedKey": {{"at": {{"N": "{at}"}}}}' if at < len(runs) else ""
        return f'{{"Items": [{", ".join(found)}]{more}}}'


class _Raw(BytesIO):
    def stream(self, **_: Any) -> Iterator[bytes]:
        yield self.read()


def bench_status() -> Iterator[Figure]:
    """Measure `make status` beside 10,000 runs, 30 ms a call; terraform's answer is not in it."""
    keys = {"AWS_ACCESS_KEY_ID": "testing", "AWS_SECRET_ACCESS_KEY": "testing", "LOCAL": ""}
    aws, make = Aws(), Deployment.client

    def client(self: Deployment, service: str) -> Any:
        made = make(self, service)
        made.meta.events.register("before-send", aws.answer, unique_id="bench")
        return made

    with (
        patch.dict(os.environ, keys),
        patch.object(Deployment, "client", client),
        patch.object(status, "read_deployment", known_deployment),
    ):
        for what, arguments, rows in (
            ("", [], 20),
            (" STATE=failed", ["--state", "failed"], 1),
        ):
            aws.calls, said = 0, StringIO()
            began = time.perf_counter()
            with redirect_stdout(said):
                status.main(arguments)
            took = time.perf_counter() - began
            if len(said.getvalue().splitlines()) < rows + 1:
                raise SystemExit(f"error: make status shows too few runs:\n{said.getvalue()}")
            name = f"make status{what} of {RUNS:,} runs"
            yield Figure(what=f"{name}, calls", value=aws.calls, goal=15 if what else 5)
            yield Figure(what=f"{name}, 30 ms a call", value=took, unit="s", goal=2)
