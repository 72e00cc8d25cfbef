"""What a cold launch costs.

It is taken in fresh processes against an endpoint that answers after the same delay
for all three: ours is the built zip, run as Lambda would run it; the bare one is the least a boto3
script can do, one GetObject and one CreateStack; the original Parris' handler reads three objects
one after another and makes the stack (2018, lambda/lambda-function.py).
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, unquote

from tests.bench.figures import Figure

PAIRS = 7
CLEAR_SECONDS = 0.4
"""Of a call, long against what a busy machine adds to calls that go side by side."""

GOALS = {10: 1.15, 30: 1.20}
"""Of the ratio to the bare one, by the milliseconds that a call takes: in its region, about."""

BARE = """
import boto3, time
s3 = boto3.client("s3")
cloudformation = boto3.client("cloudformation")
body = s3.get_object(Bucket="config", Key="training-config.json")["Body"].read()
cloudformation.create_stack(StackName="bare", TemplateBody="{}")
"""
ORIGINAL = """
import boto3, time
s3 = boto3.client("s3")
cloudformation = boto3.client("cloudformation")
for name in ("training-config.json", "trainer-script.sh", "cloudformation.json"):
    s3.get_object(Bucket="config", Key=name)["Body"].read()
cloudformation.create_stack(StackName="original", TemplateBody="{}")
"""
OURS = """
from types import SimpleNamespace
from parris.launch.handler import handle as launch
launch({"event-id": "bench", "time": "2026-11-24T12:00:00Z"}, SimpleNamespace(aws_request_id="r"))
"""
PRODUCT = json.dumps(
    {"terms": {"OnDemand": {"A": {"priceDimensions": {"B": {"pricePerUnit": {"USD": "0.1"}}}}}}}
)
FILES = {
    "training-config.json": b'{"training-job-name": "bench"}',
    "trainer-script.sh": b"#!/bin/bash\ntrue\n",
}


class Aws(BaseHTTPRequestHandler):
    """The few AWS answers a launch waits for, each after the same delay."""

    protocol_version = "HTTP/1.1"
    # Headers and body are two writes: held together, the second waits for the acknowledgment of the
    # first, which a kept connection delays by 40 ms.
    disable_nagle_algorithm = True
    delay = 0.0
    calls: list[tuple[float, float, str]] = []  # noqa: RUF012 - one server at a time

    def _serve(self) -> None:
        started = time.perf_counter()
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        time.sleep(self.delay)
        name, content = self._answer(body.decode(errors="replace"))
        self.send_response(200)
        self.send_header("Content-Length", str(len(content)))
        self.send_header("ETag", '"0"')
        self.end_headers()
        self.wfile.write(content)
        self.calls.append((started, time.perf_counter(), name))

    do_GET = do_PUT = do_POST = _serve  # noqa: N815 - http.server's names

    def _answer(self, body: str) -> tuple[str, bytes]:
        path = unquote(self.path)
        target = self.headers.get("X-Amz-Target", "")
        if target.endswith("GetProducts"):
            return "GetProducts", json.dumps({"PriceList": [PRODUCT]}).encode()
        if target.startswith("DynamoDB"):
            return target.rpartition(".")[2], b'{"Attributes": {}}'
        if target:
            return "GetParameter", json.dumps({"Parameter": {"Value": "ami-0123456789"}}).encode()
        if self.command == "POST":
            action = parse_qs(body)["Action"][0]
            if action == "DescribeStacks":
                text = "<DescribeStacksResult><Stacks/></DescribeStacksResult>"
                return action, f"<{action}Response>{text}</{action}Response>".encode()
            text = f"<{action}Response><{action}Result><StackId>arn:x</StackId></{action}Result>"
            return action, f"{text}</{action}Response>".encode()
        if "list-type=2" in path:
            rows = "".join(
                f'<Contents><Key>{name}</Key><Size>{len(content)}</Size><ETag>"0"</ETag></Contents>'
                for name, content in FILES.items()
            )
            return "ListObjectsV2", (
                f"<ListBucketResult>{rows}<IsTruncated>false</IsTruncated></ListBucketResult>"
            ).encode()
        if self.command == "PUT" and "x-amz-copy-source" in self.headers:
            return "CopyObject", b"<CopyObjectResult><ETag>0</ETag></CopyObjectResult>"
        if self.command == "PUT":
            return "PutObject", b""
        return "GetObject", FILES.get(path.rsplit("/", 1)[-1], b"{}")

    def log_message(self, format: str, *arguments: object) -> None:  # noqa: A002 - its name
        """Print nothing."""


def cold_seconds(program: str, environ: dict[str, str]) -> tuple[float, list[str]]:
    """Return the time from a new process to CreateStack accepted, and the calls in their order."""
    Aws.calls.clear()
    started = time.perf_counter()
    subprocess.run([sys.executable, "-c", program], env=environ, check=True)
    calls = sorted(Aws.calls)
    accepted = next(end for _, end, name in calls if name == "CreateStack")
    return accepted - started, [name for _, _, name in calls]


def serial_trips(calls: list[tuple[float, float, str]]) -> int:
    """Return how many calls up to CreateStack came one after another."""
    trips, free = 0, 0.0
    for started, ended, name in sorted(calls):
        if started >= free:
            trips, free = trips + 1, ended
        if name == "CreateStack":
            return trips
    raise AssertionError("there was no CreateStack")


@contextmanager
def serving(package: Path) -> Iterator[dict[str, str]]:
    """Serve those answers, and give the environment in which a launch finds them."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Aws)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": str(package),
        "PYTHONDONTWRITEBYTECODE": "1",  # as Lambda, which cannot write beside the code
        "AWS_ENDPOINT_URL": f"http://127.0.0.1:{server.server_port}",
        "AWS_REGION": "us-east-1",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "PARRIS_DEPLOYMENT": "parris",
        "PARRIS_CONFIG_BUCKET": "config",
        "PARRIS_RESULTS_BUCKET": "results",
        "PARRIS_LEDGER_TABLE": "parris-ledger",
        "PARRIS_STACK_ROLE_ARN": "arn:aws:iam::123456789012:role/stack",
        "PARRIS_INSTANCE_PROFILES": "parris-instance",
        "PARRIS_INSTANCE_ROLE": "",
        "PARRIS_TRAINING_LOG_GROUP": "/parris/training",
        "PARRIS_SCHEDULER_ROLE_ARN": "arn:aws:iam::123456789012:role/scheduler",
        "PARRIS_SCHEDULE_GROUP": "parris",
        "PARRIS_MAX_RUN_HOURS": "24",
        "PARRIS_MAX_RUN_USD": "",
        "PARRIS_MONTHLY_BUDGET_USD": "",
        "PARRIS_MAX_CONCURRENT_RUNS": "10",
        "PARRIS_GRACE_MINUTES": "15",
        "PARRIS_STACK_TAGS": "{}",
        "PARRIS_TOPIC_ARN": "arn:aws:sns:us-east-1:123456789012:parris-notifications",
        "PARRIS_BUTTONS": "{}",
        "PARRIS_DATA_TRIGGERS": "{}",
        "PARRIS_FLEET": "{}",
        "PARRIS_LAUNCH_FUNCTION_ARN": "arn:aws:lambda:us-east-1:123456789012:function:launch",
        "PARRIS_REAP_FUNCTION_ARN": "arn:aws:lambda:us-east-1:123456789012:function:reap",
        "PARRIS_AGENT_VERSION": "v1",
    }
    server.shutdown()


def bench_launch(package: Path, pairs: int = PAIRS) -> Iterator[Figure]:
    """Measure cold launches, ours against the bare and the original's, in turns."""
    with serving(package) as environ:
        for milliseconds, goal in GOALS.items():
            Aws.delay = milliseconds / 1000
            cold_seconds(OURS, environ)  # warms the page cache
            took: dict[str, list[float]] = {OURS: [], BARE: [], ORIGINAL: []}
            for _ in range(pairs):
                for program, seconds in took.items():
                    seconds.append(cold_seconds(program, environ)[0])
            what = f"cold launch, {milliseconds} ms a call"
            yield Figure(what=what, value=statistics.median(took[OURS]), unit="s")
            for name, program, limit in (("bare", BARE, goal), ("original's", ORIGINAL, 1.0)):
                ratios = [a / b for a, b in zip(took[OURS], took[program], strict=True)]
                what = f"cold launch, {milliseconds} ms a call, to the {name}"
                yield Figure(
                    what=what, value=statistics.median(ratios), unit="times as long", goal=limit
                )
        Aws.delay = CLEAR_SECONDS
        cold_seconds(OURS, environ)
        what = "serial round trips of a launch"
        yield Figure(what=what, value=serial_trips(Aws.calls), goal=3)
