"""Measure how a machine stores what changed of its checkpoints, as it does at an interruption."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from unittest.mock import patch

import boto3

from scripts.local import cloud
from tests.bench.figures import Figure
from trainer.runtime.agent.aws import Aws
from trainer.runtime.agent.limits import TICK_SECONDS
from trainer.runtime.agent.store import Store

FILES = 100
FILE_BYTES = 5_000_000
CHANGED = 10
"""A tenth of 5 GB, of which a tenth changed, as of the folder that has two minutes to be stored."""


def bench_upload(folder: Path) -> Iterator[Figure]:
    """Store a folder, change a tenth of it, and store that: by the agent, then by aws s3 sync."""
    home, run = folder / "cloud", folder / "run"
    for part in ("checkpoints", "output"):
        (run / part).mkdir(parents=True)
    _write(run, range(FILES))
    cloud.up(home, 0)
    try:
        environ = cloud.local_environ(dict(os.environ), home)
        environ["PATH"] = f"{Path(sys.executable).parent}:{environ['PATH']}"
        with patch.dict(os.environ, environ):
            s3 = boto3.Session(region_name="us-east-1").client("s3")
            s3.create_bucket(Bucket="results")
            store = Store(Aws(), run, "s3://results/run")
            whole = _seconds(lambda: _stored(store))
            time.sleep(2 * TICK_SECONDS)
            _stored(store)  # what was written within the clock's last tick is sent twice
            _write(run, range(CHANGED))
            ours = _seconds(lambda: _stored(store))
            newest = s3.get_object(Bucket="results", Key="run/checkpoints/0")["Body"].read()
            if newest != (run / "checkpoints/0").read_bytes():
                raise SystemExit("error: the agent stored something else")
            time.sleep(1)  # S3 tells times in whole seconds
            _write(run, range(CHANGED))
            command = ["aws", "s3", "sync", "--only-show-errors", str(run), "s3://results/run"]
            theirs = _seconds(lambda: subprocess.run(command, check=True))
    finally:
        cloud.down(home)
    what = f"{FILES * FILE_BYTES / 1e6:.0f} MB of checkpoints stored, {FILES} files"
    yield Figure(what=what, value=whole, unit="s")
    what = f"{CHANGED * FILE_BYTES / 1e6:.0f} MB of them changed, stored again"
    yield Figure(what=what, value=ours, unit="s")
    yield Figure(what=f"{what}, by aws s3 sync", value=theirs, unit="s")
    yield Figure(what=f"{what}, to aws s3 sync", value=ours / theirs, unit="times as long", goal=1)


def _write(run: Path, numbers: range) -> None:
    for number in numbers:
        (run / "checkpoints" / str(number)).write_bytes(os.urandom(FILE_BYTES))


def _stored(store: Store) -> None:
    if problems := store.finish(time.time() + 600):
        raise SystemExit(f"error: {problems[0]}")


def _seconds(act: Callable[[], object]) -> float:
    began = time.perf_counter()
    act()
    return time.perf_counter() - began
