"""The whole system on this machine, from terraform apply to a trained model: `parris demo`."""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from scripts.cli import console
from scripts.cli.arguments import parse
from scripts.cli.plain_text import one_line
from scripts.cli.which_cloud import hint
from scripts.commands import clean_stacks, upload_config
from scripts.commands import launch as launching
from scripts.deployment import terraform
from scripts.deployment.fetch import fetch
from scripts.deployment.follow import follow
from scripts.deployment.interruption import interrupt
from scripts.deployment.one_run import attempts_of
from scripts.deployment.outputs import ROOT, Deployment, read_deployment
from scripts.deployment.runs import Run, find_run
from scripts.local import cloud, owners


def main(argv: list[str]) -> int:
    """Start the embedded cloud, apply, upload, launch, follow, fetch, clean, and stop it again."""
    options = parse("demo", argv)
    os.environ["LOCAL"] = "1"
    started = time.monotonic()
    was_up = cloud.read_cloud() is not None
    try:
        status = _demo(was_up, options.port) or (_interrupted() if options.interrupt else 0)
    except KeyboardInterrupt:
        print("\nthe demo was stopped", file=sys.stderr)
        return 130
    finally:
        if not was_up:
            with _step("stop the embedded cloud"):
                cloud.main(["down"])
    print(f"\nthe whole demo took {time.monotonic() - started:.0f} s")
    return status


def _demo(was_up: bool, port: int) -> int:
    if not was_up:
        owners.own()
        with _step("start the embedded cloud: AWS on loopback, IAM enforced"):
            _must(cloud.main, ["up", f"--port={port}"])
    with _step("terraform init and apply, the module as it stands"):
        _must(terraform.main, ["apply", "--quiet", "--yes"])
    with _step("make upload-config: check the jobs and upload them"):
        _must(upload_config.main, [])
    with _step("make launch WAIT=1: the function builds the stack, its machine trains"):
        deployment = read_deployment()
        answer = launching.invoke(deployment, {"job": "default", "event-id": f"demo-{time.time()}"})
        launching.show(answer)
        status = follow(deployment, answer["job"], answer["run-id"])
    with _step("make results: fetch what it stored"):
        run = find_run(deployment, answer["job"], answer["run-id"])
        folder = ROOT / "results" / run.job / run.run_id
        fetch(deployment, run, folder)
        _show(folder)
    with _step("make clean-stacks: the reap function has been there before"):
        _must(clean_stacks.main, ["--wait"])
    return status


SPOT_JOB = "demo-spot"
_EPOCHS = 120
_NOTICE_SECONDS = 8
"""EC2's are two minutes; the machine asks for one every five seconds."""


def _interrupted() -> int:
    """Train the default job on a spot machine, and take that away midway."""
    deployment = read_deployment()
    taken: list[str] = []

    def heard(run: Run, line: str) -> None:
        if line.startswith("epoch 10:") and not taken:
            taken.append(interrupt(deployment, run, _NOTICE_SECONDS))
            print(hint(f"== make fire TRIGGER=interruption: {taken[0]}"), flush=True)

    with _step("make launch of the same on a spot machine, which EC2 takes away midway"):
        _upload_spot_job(deployment)
        event = {"job": SPOT_JOB, "event-id": f"demo-{time.time()}"}
        answer = launching.invoke(deployment, event)
        launching.show(answer)
        status = follow(deployment, SPOT_JOB, answer["run-id"], heard)
        _must(clean_stacks.main, ["--wait"])
        run = find_run(deployment, SPOT_JOB, answer["run-id"])
        print(*(one_line(f"attempt {said}") for said in attempts_of(run)), sep="\n")
    return status


def _upload_spot_job(deployment: Deployment) -> None:
    """Upload the default job once more, to train longer and on spot machines."""
    config = json.loads((ROOT / "trainer/training-config.json").read_text())
    config |= {"training-job-name": SPOT_JOB, "market": "spot-then-on-demand"}
    config |= {"sync-interval-seconds": 5, "parameters": {"epochs": _EPOCHS}}
    files = {
        path.name: path.read_bytes() for path in (ROOT / "trainer").iterdir() if path.is_file()
    }
    files["training-config.json"] = json.dumps(config).encode()
    for name, body in files.items():
        deployment.client("s3").put_object(
            Bucket=deployment.config_bucket, Key=f"jobs/{SPOT_JOB}/{name}", Body=body
        )


def _show(folder: Path) -> None:
    summary = folder / "output" / "summary.json"
    if summary.exists():
        print(f"the model's own words: {json.dumps(json.loads(summary.read_text()))}")
    for name in ("learning-curve.png", "model.joblib"):
        path = folder / "output" / name
        if path.exists():
            print(f"look at {path.relative_to(ROOT)}")


def _must(step: Callable[[list[str]], int], argv: list[str]) -> None:
    if step(argv) != 0:
        raise console.Refused("the demo stopped at the step above")


@contextmanager
def _step(name: str) -> Iterator[None]:
    print(f"\n== {name}", flush=True)
    started = time.monotonic()
    yield
    print(f"   ({time.monotonic() - started:.1f} s)", flush=True)
