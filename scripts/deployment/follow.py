"""Follow a run: its state and its log until the end."""

from __future__ import annotations

import codecs
import time
from collections.abc import Callable, Iterator
from datetime import datetime
from itertools import count
from typing import Any

from botocore.exceptions import ClientError

from parris.aws.stacks import stack_tags
from parris.contract import State
from parris.errors import plain
from scripts.cli.console import RUN_FAILED, Moving, Refused
from scripts.cli.plain_text import one_line
from scripts.cli.which_cloud import hint, is_local
from scripts.deployment.folders import believed_folder, log_stream
from scripts.deployment.one_run import consoles_end
from scripts.deployment.outputs import Deployment
from scripts.deployment.runs import Run, find_run

LOOK_SECONDS, LOCAL_LOOK_SECONDS = 1.0, 0.5
"""Between two looks at the log."""
_LOOKS = 3
"""So many looks at the log for one at how the run stands, which takes several calls."""


def follow(
    deployment: Deployment,
    job: str,
    run_id: str,
    heard: Callable[[Run, str], None] = lambda *_: None,
    since: datetime | None = None,
) -> int:
    """Print the run's states and log lines until it is over; 0 if it succeeded, else RUN_FAILED.

    Args:
        heard: is told of each line.
        since: lines from before are left out.
    """
    pause, every = (LOCAL_LOOK_SECONDS, 1) if is_local() else (LOOK_SECONDS, _LOOKS)
    tail = LogTail(deployment, since)
    started = time.monotonic()
    state = ""
    waiting: Moving | None = Moving()
    for look in count():
        if look % every == 0:
            run = find_run(deployment, job, run_id)
        if run.state != state:
            state = run.state
            if waiting:
                waiting.clear()
            elapsed = time.monotonic() - started
            why = f": {hint(run.reason)}" if run.reason else ""
            print(one_line(f"[{elapsed:5.0f} s] {state}{why}"), flush=True)
        if run.is_over:
            time.sleep(pause)  # what the machine sent last can be read a moment later
        for line in tail.new_lines(run):
            if waiting:
                waiting.clear()
                waiting = None
            # A carriage return begins a line too, which must not pass for one of ours.
            print(*(f"  | {part}" for part in plain(line).split("\n")), sep="\n", flush=True)
            heard(run, line)
        if run.is_over:
            break
        if waiting:
            waiting.show("waiting for its machine's first words")
        time.sleep(pause)
    return conclude(run)


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
    """What CloudWatch Logs has of one run, as it grows; of several nodes each line with its rank.

    All machines of a run write to one stream, whose name its stack's tag holds. Where that tag was
    lost with its stack, the next machine has a stream of its own.
    """

    def __init__(self, deployment: Deployment, since: datetime | None = None) -> None:
        self._logs = deployment.client("logs")
        self._group = deployment.training_log_group
        self._stream = ""
        self._tokens: dict[str, str] = {}
        self._since = {"startTime": int(since.timestamp() * 1000)} if since else {}

    def new_lines(self, run: Run) -> Iterator[str]:
        """Yield the lines that came since the last call; nothing while there is no stream.

        Args:
            run: as it is known now; its stack has the stream's name once it is there.
        """
        stream, nodes = log_stream(run) or self._stream, run.receipt.get("nodes", 1)
        if self._stream not in ("", stream):
            yield from self._lines(self._stream, nodes)  # what its last machine said meanwhile
            attempt = stack_tags(run.stack or {}).get("parris:attempt") or run.receipt.get(
                "attempt"
            )
            yield f"parris: what follows is of another machine, attempt {attempt}"
        self._stream = stream
        yield from self._lines(stream, nodes)

    def _lines(self, stream: str, nodes: int) -> Iterator[str]:
        if nodes == 1:
            yield from (line for _, line in self._read(stream))
            return
        found = [
            (moment, f"[{rank}] {line}")
            for rank in range(nodes)
            for moment, line in self._read(f"{stream}-{rank}" if rank and stream else stream)
        ]
        yield from (line for _, line in sorted(found, key=lambda each: each[0]))

    def _read(self, stream: str) -> Iterator[tuple[int, str]]:
        """Yield what has come to a stream since it was read last, with the time of each line."""
        while stream:
            token = self._tokens.get(stream)
            more: dict[str, Any] = {"nextToken": token} if token else {}
            try:
                page = self._logs.get_log_events(
                    logGroupName=self._group,
                    logStreamName=stream,
                    startFromHead=True,
                    **self._since,
                    **more,
                )
            except ClientError as error:
                if error.response["Error"]["Code"] != "ResourceNotFoundException":
                    raise
                return
            for event in page["events"]:
                yield event["timestamp"], event["message"].rstrip("\n")
            # The same token again means there is no more for now (API reference, GetLogEvents).
            if page["nextForwardToken"] == token:
                return
            self._tokens[stream] = page["nextForwardToken"]


def read_log(deployment: Deployment, run: Run, since: datetime | None = None) -> Iterator[str]:
    """Yield the log of all machines of a run in parts.

    Of a run that goes on that is what was streamed: what S3 has may be a minute old. Of one that is
    over it is what its last machine stored, which is complete.

    Args:
        since: lines from before are left out; only what was streamed has times.

    Raises:
        Refused: if there is none yet.
    """
    streamed = (f"{line}\n" for line in LogTail(deployment, since).new_lines(run))
    if since is not None:
        yield from streamed
        return
    several = run.receipt.get("nodes", 1) > 1  # what is stored is the head's alone
    begun = next(streamed, None) if several or not run.is_over else None
    if begun is not None:
        yield begun
        yield from streamed
        return
    try:
        body = deployment.client("s3").get_object(
            Bucket=deployment.results_bucket, Key=believed_folder(deployment, run) + "log.txt"
        )["Body"]
    except ClientError as error:
        if error.response["Error"]["Code"] != "NoSuchKey":
            raise
        text = "".join(streamed) or "".join(f"{line}\n" for line in consoles_end(run))
        if not text:
            raise Refused(f"run {run.run_id} has no log yet; it is {run.state}") from error
        yield text
        return
    # Characters may lie across two chunks.
    yield from codecs.iterdecode(body.iter_chunks(), "utf-8", errors="replace")
