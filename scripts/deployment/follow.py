"""Follow a run: its state and its log until the end."""

from __future__ import annotations

import codecs
import time
from collections.abc import Callable, Iterator
from typing import Any

from botocore.exceptions import ClientError

from parris.contract import State
from parris.errors import plain
from scripts.cli.console import RUN_FAILED, Moving, Refused
from scripts.cli.plain_text import one_line
from scripts.cli.which_cloud import hint, is_local
from scripts.deployment.folders import believed_folder, log_stream
from scripts.deployment.one_run import consoles_end
from scripts.deployment.outputs import Deployment
from scripts.deployment.runs import Run, find_run


def follow(
    deployment: Deployment,
    job: str,
    run_id: str,
    heard: Callable[[Run, str], None] = lambda *_: None,
) -> int:
    """Print the run's states and log lines until it is over; 0 if it succeeded, else RUN_FAILED.

    Args:
        heard: is told of each line.
    """
    pause = 0.5 if is_local() else 3.0
    tail = LogTail(deployment)
    started = time.monotonic()
    state = ""
    waiting: Moving | None = Moving()
    while True:
        run = find_run(deployment, job, run_id)
        if run.state != state:
            state = run.state
            if waiting:
                waiting.clear()
            elapsed = time.monotonic() - started
            why = f": {hint(run.reason)}" if run.reason else ""
            print(one_line(f"[{elapsed:5.0f} s] {state}{why}"), flush=True)
        for line in tail.new_lines(run):
            if waiting:
                waiting.clear()
                waiting = None
            # A carriage return begins a line too, which must not pass for one of ours.
            print(*(f"  | {part}" for part in plain(line).split("\n")), sep="\n", flush=True)
            heard(run, line)
        if run.is_over:
            return conclude(run)
        if waiting:
            waiting.show("waiting for its machine's first words")
        time.sleep(pause)


def conclude(run: Run) -> int:
    """Say how the run ended; 0 if it succeeded, else RUN_FAILED."""
    outcome = run.outcome or {}
    if outcome.get("trainer-seconds") is not None:
        memory = outcome.get("peak-memory-bytes")
        print(
            f"trained for {outcome['trainer-seconds']:.1f} s"
            + (f", peak memory {memory / 2**20:.0f} MiB" if memory else "")
            + f", {outcome.get('bytes-stored') or 0:,} bytes stored"
        )
    for warning in outcome.get("warnings", []):
        print(f"warning: {one_line(str(warning))}")
    print(*(f"{line}\n" for line in consoles_end(run)), sep="", end="")
    return 0 if run.state == State.SUCCEEDED else RUN_FAILED


class LogTail:
    """What CloudWatch Logs has of one run, as it grows."""

    def __init__(self, deployment: Deployment) -> None:
        self._logs = deployment.client("logs")
        self._group = deployment.training_log_group
        self._stream = ""
        self._token: str | None = None

    def new_lines(self, run: Run) -> Iterator[str]:
        """Yield the lines that came since the last call; nothing while there is no stream.

        Args:
            run: as it is known now; its stack has the stream's name once it is there.
        """
        self._stream = self._stream or log_stream(run)
        while self._stream:
            more: dict[str, Any] = {"nextToken": self._token} if self._token else {}
            try:
                page = self._logs.get_log_events(
                    logGroupName=self._group,
                    logStreamName=self._stream,
                    startFromHead=True,
                    **more,
                )
            except ClientError as error:
                if error.response["Error"]["Code"] != "ResourceNotFoundException":
                    raise
                return
            for event in page["events"]:
                yield event["message"].rstrip("\n")
            # The same token again means there is no more for now (API reference, GetLogEvents).
            if page["nextForwardToken"] == self._token:
                return
            self._token = page["nextForwardToken"]


def read_log(deployment: Deployment, run: Run) -> Iterator[str]:
    """Yield the whole log in parts: from S3 when the run has stored it, else what was streamed.

    Raises:
        Refused: if there is none yet.
    """
    try:
        body = deployment.client("s3").get_object(
            Bucket=deployment.results_bucket, Key=believed_folder(deployment, run) + "log.txt"
        )["Body"]
    except ClientError as error:
        if error.response["Error"]["Code"] != "NoSuchKey":
            raise
        lines = list(LogTail(deployment).new_lines(run))
        lines = lines or consoles_end(run)
        if not lines:
            raise Refused(f"run {run.run_id} has no log yet; it is {run.state}") from error
        yield "\n".join(lines) + "\n"
        return
    # Characters may lie across two chunks.
    yield from codecs.iterdecode(body.iter_chunks(), "utf-8", errors="replace")
