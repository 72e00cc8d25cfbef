"""The runs as they go, looked at again every few seconds: `make status WATCH=1`.

A look takes one listing of the stacks, two queries, one look at the machines, and a call for the
last log line of each run that goes on, of LINES at most.
"""

from __future__ import annotations

import io
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import redirect_stderr
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import NoReturn

from botocore.exceptions import BotoCoreError, ClientError

from parris.contract import State
from parris.runs.metrics import metrics_line
from parris.runs.times import iso, read_time
from scripts.cli.columns import Column
from scripts.cli.console import explain
from scripts.cli.live import LiveTable
from scripts.cli.which_cloud import hint, is_local
from scripts.cli.words import ago, duration
from scripts.deployment.folders import log_stream
from scripts.deployment.newest import Wanted, read_live_first
from scripts.deployment.one_run import cost_of, limit_of
from scripts.deployment.outputs import Deployment
from scripts.deployment.runs import Run, list_stacks

LOOK_SECONDS, LOCAL_LOOK_SECONDS = 5.0, 2.0
LINES = 10
"""Runs whose last log line is read at a look: CloudWatch Logs answers GetLogEvents 25 times a
second in all (CloudWatch Logs quotas)."""

_BAR = 10
_COLUMNS = (
    Column(heading="RUN", rank=0),
    Column(heading="STATE", rank=0),
    Column(heading="JOB", rank=2),
    Column(heading="PROGRESS", rank=1),
    Column(heading="COST", rank=3),
    Column(heading="METRICS", rank=4, least=16),
    Column(heading="LAST LINE", rank=5, least=20),
)
_MOVING = ("PROGRESS", "COST")


@dataclass(kw_only=True)
class Watch:
    """What is looked at."""

    deployment: Deployment
    wanted: Wanted
    lines: dict[str, str] = field(default_factory=dict)
    """The last log line of each run that has one, by run id."""

    def look(self) -> tuple[list[Run], list[str]]:
        """Return the runs as they are now, those that go on first, and what else is to be said."""
        said = io.StringIO()
        with redirect_stderr(said):  # notes on receipts, which would stand in the table
            stacks = list_stacks(self.deployment)
            newest = read_live_first(self.deployment, self.wanted, stacks)
        notes = [*said.getvalue().splitlines(), *newest.problems]
        if newest.more:
            notes.append("more runs are not shown; COUNT= shows more")
        going = [run for run in newest.runs if not run.is_over and log_stream(run)][:LINES]
        with ThreadPoolExecutor(max_workers=LINES) as pool:
            for run, (line, trouble) in zip(going, pool.map(self._last_line, going), strict=True):
                if line:
                    self.lines[run.run_id] = line
                if trouble and trouble not in notes:
                    notes.append(trouble)
        return newest.runs, notes

    def _last_line(self, run: Run) -> tuple[str, str]:
        """Return a run's last log line, and why that is not known."""
        try:
            page = self.deployment.client("logs").get_log_events(
                logGroupName=self.deployment.training_log_group,
                logStreamName=log_stream(run),
                startFromHead=False,
                limit=1,
            )
        except ClientError as error:
            if error.response["Error"]["Code"] == "ResourceNotFoundException":
                return "", ""
            return "", hint(explain(error))
        return next((str(event["message"]).rstrip() for event in page["events"]), ""), ""


def watch(deployment: Deployment, wanted: Wanted) -> NoReturn:
    """Show the runs until Ctrl-C. What AWS does not answer in between is said, and asked again."""
    seconds = LOCAL_LOOK_SECONDS if is_local() else LOOK_SECONDS
    watched = Watch(deployment=deployment, wanted=wanted)
    runs, notes = watched.look()
    read = datetime.now(UTC)
    with LiveTable(_COLUMNS, _MOVING) as shown:
        while True:
            now = datetime.now(UTC)
            rows = [row(run, watched.lines, read) for run in runs]
            shown.show(iso(now), rows, below(runs, read, seconds), notes)
            time.sleep(seconds)
            try:
                runs, notes = watched.look()
                read = datetime.now(UTC)
            except (ClientError, BotoCoreError) as error:
                why = explain(error) if isinstance(error, ClientError) else f"AWS: {error}"
                notes = [hint(f"{why}; this is of {iso(read)}, and it is asked again")]


def row(run: Run, lines: Mapping[str, str], now: datetime) -> tuple[str, ...]:
    """Return the cells of a run, in the order of the columns."""
    limit = limit_of(run)
    return (
        run.run_id,
        run.state,
        run.job,
        progress(run, now),
        cost_of(run, now) + (f" of {limit}" if limit else ""),
        metrics_line(run.metrics, 60),
        hint(run.reason) or lines.get(run.run_id, ""),
    )


def progress(run: Run, now: datetime) -> str:
    """Return how much of its time a run has had, and what is left; of one that is over, since when.

    A bar is full at the deadline, not when the training is done: nobody knows that.
    """
    claimed, deadline = (read_time(run.receipt.get(key)) for key in ("claimed", "deadline"))
    if run.is_over:
        ended = read_time((run.outcome or {}).get("finished"))
        return f"ended {ago(ended, now)}" if ended else "ended"
    if claimed is None or deadline is None or run.state == State.QUEUED:
        return "waits"
    share = (now - claimed) / max(deadline - claimed, timedelta(seconds=1))
    full = min(_BAR, max(0, int(share * _BAR)))
    left = deadline - now
    words = f"{duration(left.total_seconds())} left" if left > timedelta(0) else "past its deadline"
    return f"[{'#' * full}{'.' * (_BAR - full)}] {words}"


def below(runs: Sequence[Run], read: datetime, seconds: float) -> str:
    """Return the line below the table."""
    going = [run for run in runs if not run.is_over]
    spent = sum(float(usd[1:]) for run in going if (usd := cost_of(run, read)) != "-")
    return (
        f"{len(going)} under way, ${spent:.4f} so far; {iso(read)}, looked at every "
        f"{seconds:.0f} s; Ctrl-C ends this, not the runs"
    )
