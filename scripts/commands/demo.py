"""The whole system on this machine, from terraform apply to a trained model: `parris demo`.

EC2 takes the machine away midway, and the run goes on with another one.
"""

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

JOB = "demo"
"""The default job once more, on a spot machine, and slower."""
_PAUSE_SECONDS = 0.4
"""After each epoch: else all are over before the machine has asked for a notice, which it does
every five seconds."""
_NOTICE_SECONDS = 20
"""EC2's are two minutes; a machine that has stored all is off earlier."""


def main(argv: list[str]) -> int:
    """Start the embedded cloud, apply, upload, launch, follow, fetch, clean, and stop it again."""
    options = parse("demo", argv)
    os.environ["LOCAL"] = "1"
    started = time.monotonic()
    was_up = cloud.read_cloud() is not None
    try:
        status = _demo(was_up, options.port)
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
    with _step("make launch WAIT=1: the function builds the stack, its spot machine trains"):
        deployment = read_deployment()
        is_sample = _upload(deployment)
        answer = launching.invoke(deployment, {"job": JOB, "event-id": f"demo-{time.time()}"})
        launching.show(answer)
        status = follow(deployment, JOB, answer["run-id"], _Interruption(deployment).hear)
    with _step("make results: fetch what it stored"):
        run = find_run(deployment, JOB, answer["run-id"])
        folder = ROOT / "results" / run.job / run.run_id
        fetch(deployment, run, folder)
        _show(folder)
    with _step("make status: its machines, and what they cost"):
        attempts = attempts_of(run)
        print(*(one_line(f"attempt {said}") for said in attempts), sep="\n")
    with _step("make clean-stacks: the reap function has been there before"):
        _must(clean_stacks.main, ["--wait"])
    if is_sample and status == 0 and len(attempts) < 2:
        raise console.Refused("the run was over before EC2 took its machine; try make demo again")
    return status


class _Interruption:
    """Lets EC2 take the run's machine away as soon as that has learnt something."""

    def __init__(self, deployment: Deployment) -> None:
        self._deployment = deployment
        self._is_taken = False

    def hear(self, run: Run, line: str) -> None:
        """Hear a line of the run's log."""
        if line.startswith("epoch") and not self._is_taken:
            self._is_taken = True
            did = interrupt(self._deployment, run, _NOTICE_SECONDS)
            print(hint(f"== make fire TRIGGER=interruption: {did}"), flush=True)


_SAVES = b"        save(model, history)\n"


def slowed(train: bytes) -> bytes:
    """Return the sample's train.py with a pause after each epoch; another one as it is."""
    return train.replace(_SAVES, _SAVES + b"        time.sleep(%.1f)\n" % _PAUSE_SECONDS)


def _upload(deployment: Deployment) -> bool:
    """Upload the default job once more, as the demo's own; return whether it is the sample."""
    files = {
        path.name: path.read_bytes() for path in (ROOT / "trainer").iterdir() if path.is_file()
    }
    config = json.loads(files["training-config.json"])
    config |= {"training-job-name": JOB, "market": "spot-then-on-demand"}
    config |= {"sync-interval-seconds": 5}
    train = files.get("train.py", b"")
    files |= {"training-config.json": json.dumps(config).encode(), "train.py": slowed(train)}
    for name, body in files.items():
        deployment.client("s3").put_object(
            Bucket=deployment.config_bucket, Key=f"jobs/{JOB}/{name}", Body=body
        )
    return _SAVES in train


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
