"""Measure make clean-stacks against a shell loop of the aws CLI, on the embedded cloud."""

from __future__ import annotations

import contextlib
import io
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from unittest.mock import patch

from scripts.commands import clean_stacks
from scripts.local import cloud
from tests.bench.figures import Figure
from tests.many_stacks import make_runs

LOOP = """
aws cloudformation describe-stacks --query 'Stacks[].StackName' --output text | tr '\\t' '\\n' |
  while read -r name; do aws cloudformation delete-stack --stack-name "${name}"; done
"""
STACKS = 100
MANY = 1000


def bench_clean_stacks(home: Path) -> Iterator[Figure]:
    """Measure both for the same number of stacks, and ours for many more."""
    cloud.up(home, 0)
    before = dict(os.environ)
    try:
        environ = cloud.local_environ(before, home)
        environ["PATH"] = f"{Path(sys.executable).parent}:{environ['PATH']}"
        os.environ.clear()
        os.environ.update(environ)
        ours = _ours(STACKS)
        make_runs("bench", STACKS)
        started = time.perf_counter()
        subprocess.run(["bash", "-c", LOOP], check=True)
        loop = time.perf_counter() - started
        what = f"clean-stacks, {STACKS} stacks"
        yield Figure(what=what, value=ours, unit="s")
        yield Figure(
            what=f"{what}, to a loop of the aws CLI", value=ours / loop, unit="times as long"
        )
        yield Figure(what=f"clean-stacks, {MANY} stacks", value=_ours(MANY), unit="s")
    finally:
        cloud.down(home)
        os.environ.clear()
        os.environ.update(before)


def _ours(count: int) -> float:
    """Return the seconds of listing, telling what is over, and asking for each deletion."""
    deployment = make_runs("bench", count)
    started = time.perf_counter()
    with (
        patch.object(clean_stacks, "read_deployment", lambda: deployment),
        contextlib.redirect_stdout(io.StringIO()),
    ):
        status = clean_stacks.main([])
    if status != 0:
        raise SystemExit("error: clean-stacks failed")
    return time.perf_counter() - started
