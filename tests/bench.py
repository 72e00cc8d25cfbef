"""Measure what a launch and a run cost beside the training: `make bench`.

Launch latency is taken in fresh processes against an endpoint that answers after the same delay
for both: ours is the built zip, run as Lambda would run it; the bare one is the least a boto3
script can do, one GetObject and one CreateStack.
"""

from __future__ import annotations

import json
import os
import re
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, unquote

from scripts import package_lambda
from scripts.local import owners
from tests.bench_clean import bench_clean_stacks

RUNS = 7
DELAYS_MS = (10, 30)
"""Time an AWS call takes within its region, about."""

BARE = """
import boto3, time
s3 = boto3.client("s3")
cloudformation = boto3.client("cloudformation")
body = s3.get_object(Bucket="config", Key="training-config.json")["Body"].read()
cloudformation.create_stack(StackName="bare", TemplateBody="{}")
"""
OURS = """
from types import SimpleNamespace
from parris.launch.handler import handle as launch
launch({"event-id": "bench", "time": "2026-11-24T12:00:00Z"}, SimpleNamespace(aws_request_id="r"))
"""
FILES = {
    "training-config.json": b'{"training-job-name": "bench"}',
    "trainer-script.sh": b"#!/bin/bash\ntrue\n",
}


class Aws(BaseHTTPRequestHandler):
    """The few AWS answers a launch waits for, each after the same delay."""

    protocol_version = "HTTP/1.1"
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
            return "GetProducts", b'{"PriceList": []}'
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
                f"<Contents><Key>{name}</Key><Size>{len(content)}</Size></Contents>"
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
        "PARRIS_MAX_CONCURRENT_RUNS": "10",
        "PARRIS_GRACE_MINUTES": "15",
        "PARRIS_STACK_TAGS": "{}",
        "PARRIS_TOPIC_ARN": "arn:aws:sns:us-east-1:123456789012:parris-notifications",
        "PARRIS_BUTTONS": "{}",
        "PARRIS_DATA_TRIGGERS": "{}",
        "PARRIS_FLEET": "{}",
        "PARRIS_LAUNCH_FUNCTION_ARN": "arn:aws:lambda:us-east-1:123456789012:function:launch",
        "PARRIS_AGENT_VERSION": "v1",
    }
    server.shutdown()


def bench_launch(package: Path) -> None:
    """Print cold launch latency, ours against the bare script, in pairs."""
    with serving(package) as environ:
        for milliseconds in DELAYS_MS:
            Aws.delay = milliseconds / 1000
            cold_seconds(OURS, environ)  # writes nothing, but warms the page cache
            ours, bare = [], []
            for _ in range(RUNS):
                ours.append(cold_seconds(OURS, environ)[0])
                trips = serial_trips(Aws.calls)
                bare.append(cold_seconds(BARE, environ)[0])
            ratio = statistics.median(a / b for a, b in zip(ours, bare, strict=True))
            print(
                f"cold launch to CreateStack accepted, {milliseconds} ms a call: "
                f"ours {statistics.median(ours) * 1000:.0f} ms, "
                f"bare boto3 {statistics.median(bare) * 1000:.0f} ms, "
                f"ratio {ratio:.2f} (goal: under 1.25; medians of {RUNS} pairs)"
            )
        print(f"serial round trips up to CreateStack: {trips} (goal: at most 4)")


def bench_machine(folder: Path) -> None:
    """Print the machine's own times, from runs of the second sample job on the embedded cloud."""
    root = package_lambda.ROOT
    # As a person would call make, not as a child of `make bench`: no "Entering directory".
    inherited = {name for name in os.environ if name.startswith(("MAKE", "MFLAGS"))}
    environ = {name: value for name, value in os.environ.items() if name not in inherited}

    def make(*arguments: str) -> str:
        result = subprocess.run(
            ["make", *arguments, "LOCAL=1"],
            cwd=folder,
            env=environ,
            capture_output=True,
            text=True,
            check=False,
        )
        if result.returncode:
            raise SystemExit(f"error: make {' '.join(arguments)}\n{result.stdout}{result.stderr}")
        return result.stdout

    names = subprocess.run(
        ["git", "ls-files"], cwd=root, capture_output=True, text=True, check=True
    ).stdout.splitlines()
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes((root / name).read_bytes())
    for name in (".ci/test", ".ci/check"):
        (folder / name).chmod(0o755)
    (folder / ".venv").symlink_to(root / ".venv")
    script = folder / "trainer/jobs/monte-carlo/trainer-script.sh"
    script.write_text("#!/bin/bash\ndate +%s.%N\necho x > $PARRIS_OUTPUT_DIR/x\ndate +%s.%N\n")
    try:
        make("local-up", "LOCAL_PORT=0")
        make("deploy", "YES=1")
        make("upload-config")
        run = make("launch", "JOB=monte-carlo", "WAIT=1").split()[1]
        time.sleep(3)
        instance = next((folder / ".parris/local/instances").glob("i-*"))
        boot = (instance / "console.log").stat()
        make("results", f"RUN={run}")
        stored = folder / "results/monte-carlo" / run
        first, last = (float(line) for line in (stored / "log.txt").read_text().split())
        console = (instance / "console.log").read_text(errors="replace")
    finally:
        make("local-down")
    match = re.search(r"parris: user data began at ([\d.]+)", console)
    if match:
        print(f"user data start to first trainer line: {first - float(match[1]):.1f} s")
    print(f"trainer exit to power-off: {boot.st_mtime - last:.1f} s, final upload included")


def main() -> int:
    """Print every figure, from one run."""
    owners.own()
    size = package_lambda.build("launch")
    print(f"package: {size} bytes (goal: under {package_lambda.MAX_BYTES})")
    with tempfile.TemporaryDirectory() as temporary:
        package = Path(temporary) / "package"
        with zipfile.ZipFile(package_lambda.ZIPS["launch"]) as archive:
            archive.extractall(package)
        bench_launch(package)
        bench_machine(Path(temporary) / "clone")
        bench_clean_stacks(Path(temporary) / "cloud")
    return 0


if __name__ == "__main__":
    sys.exit(main())
