"""One run on its machine, from its receipt to its outcome."""

from __future__ import annotations

import contextlib
import json
import os
import threading
import time
from pathlib import Path
from typing import Any

from parris.contract import EndedBy, State

from .aws import Aws
from .container import Container, container_of
from .control import Control, WorkerControl
from .environment import Environment
from .head import Head
from .inputs import Inputs
from .limits import (
    END_SECONDS,
    IDENTITY_SECONDS,
    OUTCOME_PAUSES,
    OUTCOME_SECONDS,
    STREAM_SECONDS,
)
from .log import LogStreamer
from .machine import read_identity
from .nodes import Node, node_environment, node_of
from .process import Process
from .ranks import node_rank
from .restore import Restore, source_of
from .script import SETUP_DIR, trainer_environment
from .setup import Setup
from .steps import Step, Work, fetch_first, supervise
from .store import FOLDERS, Store
from .usage import GpuCount
from .watch import Watch
from .words import Ending, Events, RunError, disk_reason, iso, say
from .worker import Worker

TOLD = "outcome-stored"
"""A file that is there once the outcome is in S3."""


class Run:
    """One run from its receipt to its outcome."""

    def __init__(self, home: Path, events: Events) -> None:
        self._home, self._events = home, events
        self._uri = os.environ.get("PARRIS_RUN_URI", "")
        self._own_uri = os.environ["PARRIS_MACHINE_URI"]
        self._aws = Aws()
        # What a run makes is its head's; of a worker there are its log and its samples.
        self._store = Store(self._aws, home, self._own_uri, () if node_rank() else FOLDERS)
        self._node: Node | None = None
        self._identity: dict[str, str] = {}
        self._version: str | None = None
        self._control: Control | None = None
        self._trainer: Process | None = None
        self._begun: list[Process] = []
        self._most_grace = 0.0
        self._streamer: LogStreamer | None = None
        self._environment: Environment | None = None
        self._watch: Watch | None = None
        self._ending: Ending | None = None

    def train(self) -> None:
        """Run the trainer until it is over."""
        identity = threading.Thread(target=read_identity, args=(self._identity,), daemon=True)
        identity.start()
        counting = GpuCount()
        receipt = json.loads((self._home / "run.json").read_text())
        self._version = receipt.get("parris-version")
        self._streamer = LogStreamer(self._aws, receipt, self._own_uri)
        self._streamer.start()
        self._trainer = Process(self._home, receipt["script"], "the trainer", self._events)
        self._node = node_of(receipt, self._home, self._trainer, self._events, self._own_uri)
        self._control = self._control_of(receipt)
        try:
            for name in FOLDERS:
                (self._home / name).mkdir(exist_ok=True)
            self._most_grace = float(receipt["stop-grace-seconds"])
            self._control.start()
            if self._node is not None:
                self._node.start(self._control)
            resumed, source = False, source_of(receipt)
            if source is not None:
                fetch = Restore(self._aws, self._home, self._uri, receipt, source)
                if self._is_over_after(fetch):
                    return
                resumed = fetch.resumed
            inputs = Inputs(self._aws, self._home, receipt, self._note)
            if inputs.are_there and self._is_over_after(inputs):
                return
            container = container_of(receipt)
            if container is not None and self._is_over_without(container):
                return
            if receipt.get("setup"):
                identity.join(IDENTITY_SECONDS)
                if self._is_over_in_setup(receipt, container, inputs.secrets):
                    return
            if self._node and self._is_over_after(Work("arrival", "all nodes", self._node.wait)):
                return
            variables = {
                **inputs.secrets,
                **trainer_environment(self._home, receipt, resumed),
                **node_environment(self._node, counting.result()),
            }
            self._begin(self._trainer, "source", variables, container)
            self._environment = Environment(self._home)
            self._environment.start(self._trainer.group)
            self._watch = Watch(self._home, receipt, self._events)
            self._watch.start()
        except RunError as error:
            self._ending = Ending(State.FAILED, str(error), EndedBy.AGENT)
        except OSError as error:
            self._ending = Ending(State.FAILED, disk_reason(str(error)), EndedBy.AGENT)
        else:
            interval = float(receipt["sync-interval-seconds"])
            self._store.start(interval, receipt.get("attempt", 1), restored=source is not None)
            self._ending = self._supervise(self._trainer)
            if self._node is not None:
                self._ending = self._node.explain(self._ending)

    def _control_of(self, receipt: dict[str, Any]) -> Control:
        """Return what is asked of this machine's run: by its receipt, or by its head."""
        if isinstance(self._node, Worker):
            report = self._node.report
            return WorkerControl(self._aws, self._home, receipt, self._events, report)
        return Control(self._aws, self._home, self._uri, receipt, self._events)

    def _is_over_after(self, step: Step) -> bool:
        """Return whether the run has ended during a step that comes before the trainer."""
        if self._control is not None:
            self._ending = fetch_first(step, self._control, self._most_grace, self._events)
        if self._ending is None and step.told:
            self._note(f"parris: {step.told}")
        return self._ending is not None

    def _is_over_without(self, container: Container) -> bool:
        """Return whether the run has ended while the container's image was fetched."""
        if container.image_id():
            return False
        container.log_in(self._aws)
        pull = Process(self._home, " ".join(container.pull), "the container's image", self._events)
        self._begun.append(pull)
        if self._streamer is not None:
            pull.start(container.pull, self._home, os.environ, self._streamer)
        return self._is_over_with(pull, "container")

    def _is_over_in_setup(
        self, receipt: dict[str, Any], container: Container | None, secrets: dict[str, str]
    ) -> bool:
        """Return whether the run has ended in its setup, which is restored, or else runs."""
        setup = Setup(self._aws, self._home, receipt, self._own_uri)
        image = self._identity.get("image") or str(receipt.get("image"))
        if not image.startswith("ami-"):  # what a parameter names is another one next week
            image = f"of run {receipt['run-id']}"
        setup.prepare({"image": image, "container": container.image_id() if container else ""})
        what = f"what {setup.script} leaves"
        if self._is_over_after(Work("fetch", what, setup.restore)):
            return True
        if setup.is_there:
            return False
        process = Process(self._home, setup.script, setup.script, self._events)
        variables = {**secrets, SETUP_DIR: str(setup.folder)}
        self._begin(process, setup.workplace.name, variables, container)
        if self._is_over_with(process, "setup"):
            return True
        if node_rank():
            return False  # the head's is enough
        seconds = process.seconds or 0.0
        return self._is_over_after(
            Work("storage", what, lambda given_up: setup.store(given_up, seconds))
        )

    def _is_over_with(self, process: Process, what: str) -> bool:
        """Return whether the run has ended with a process that comes before the trainer."""
        ending = self._supervise(process)
        if ending.state == State.SUCCEEDED:
            return False
        if ending.ended_by == EndedBy.TRAINER:
            ending = Ending(ending.state, f"{what}: {ending.reason}", EndedBy.AGENT)
        elif process.name not in ending.reason:
            ending = ending._replace(reason=f"{ending.reason} during the {what}")
        self._ending = ending
        return True

    def _begin(
        self,
        process: Process,
        folder: str,
        variables: dict[str, str],
        container: Container | None,
    ) -> None:
        if self._streamer is not None:
            self._begun.append(process)
            process.start_script(self._home / folder, variables, self._streamer, container)

    def _supervise(self, process: Process) -> Ending:
        assert self._control is not None  # noqa: S101 - made before any process
        return supervise(process, self._control, self._store, self._most_grace, self._events)

    def _note(self, text: str) -> None:
        if self._trainer is not None and self._streamer is not None:
            self._trainer.note(text, self._streamer)

    def take_over(self, ending: Ending) -> None:
        """Let `keep` end a run that another process began."""
        self._ending = ending
        read_identity(self._identity)
        with contextlib.suppress(OSError, ValueError, KeyError):
            receipt = json.loads((self._home / "run.json").read_text())
            self._version = receipt.get("parris-version")
            self._control = Control(self._aws, self._home, self._uri, receipt, self._events)
            self._watch = Watch(self._home, receipt, self._events)

    def keep(self, error: BaseException | None) -> None:
        """Store everything, then the outcome: on the console first, then in S3."""
        ending = self._ending or Ending(
            State.FAILED, f"the supervisor failed: {type(error).__name__}: {error}", EndedBy.AGENT
        )
        if self._ending is None:
            for process in self._begun[-1:]:  # the others are over
                process.stop(10)
                process.drain()
        if self._node is not None:
            self._node.finish(ending, self._most_grace)
        if self._streamer is not None:
            self._streamer.end()
        if self._environment is not None:
            self._environment.write()
        now = deadline = time.time()
        if self._control is not None:
            self._control.end()
            deadline = self._control.deadline
        if self._watch is not None:
            self._watch.finish()
        warnings = [warning for process in self._begun for warning in process.warnings]
        warnings += self._store.finish(max(now, deadline) + END_SECONDS)
        if self._streamer is not None:
            self._streamer.join(max(5.0, now + STREAM_SECONDS - time.time()))
            if skipped := self._streamer.not_sent():
                why = f" ({self._streamer.failure})" if self._streamer.failure else ""
                count = f"{skipped:,} log lines were not streamed{why}"
                warnings.append(f"{count}; log.txt has the whole log")
        text = json.dumps(self._outcome(ending, warnings))
        say(f"outcome: {text}")
        target, until = f"{self._own_uri}/outcome.json", time.monotonic() + OUTCOME_SECONDS
        for pause in OUTCOME_PAUSES:
            # From memory: a full disk has no room even for this.
            call = ("s3", "cp", "--only-show-errors", "-", target)
            left = until - time.monotonic()
            answer = self._aws.call(*call, stdin=text.encode(), timeout=left)
            if answer.status == 0:
                with contextlib.suppress(OSError):
                    (self._home / TOLD).touch()
                break
            say(f"could not store outcome.json: {answer.said}")
            if time.monotonic() + pause > until:
                break
            time.sleep(pause)

    def _outcome(self, ending: Ending, warnings: list[str]) -> dict[str, Any]:
        trainer = self._trainer
        started = trainer.started if trainer else None
        finished = trainer.finished if trainer else None
        seconds = trainer.seconds if trainer else None
        booted = os.environ.get("PARRIS_BOOTED")
        return {
            "run-id": os.environ.get("PARRIS_RUN_ID"),
            "job": os.environ.get("PARRIS_JOB"),
            "state": ending.state,
            "reason": ending.reason,
            "ended-by": ending.ended_by,
            "exit-status": trainer.exit_status if trainer else None,
            **{key: self._identity.get(key) for key in ("instance-id", "instance-type", "image")},
            "booted": booted,
            "started": iso(started) if started else None,
            "finished": iso(finished) if finished else None,
            "trainer-seconds": None if seconds is None else round(seconds, 3),
            "peak-memory-bytes": trainer.peak_memory if trainer else None,
            "cost-usd": self._control.cost(booted) if self._control else None,
            "bytes-stored": self._store.bytes_stored(),
            "warnings": warnings,
            **(self._watch.outcome() if self._watch else {}),
            **({"machines": self._node.folders} if isinstance(self._node, Head) else {}),
            "parris-version": self._version,
        }
