#!/usr/bin/env python3
"""Let Optuna choose the parameters of a Parris job, run by run.

Each trial is one ordinary launch, by an event with an id of its own. An event that is sent again
starts nothing, and answers with the run that it started once. So Optuna's own file is all that has
to be remembered: stop this whenever you like, and the same command goes on.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
import time
import uuid
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal

try:
    import boto3
    import optuna
    from botocore.exceptions import BotoCoreError, ClientError
    from optuna.trial import FrozenTrial, Trial, TrialState
    from sqlalchemy.exc import SQLAlchemyError  # what Optuna lets through of its file's troubles
except ImportError as missing:
    sys.exit(f"error: {missing.name} is not installed; requirements.txt beside this file names it")

# What is yours: the job, the metric that its trainer writes, and what may vary.
JOB, METRIC = "peak", "score"
GOAL: Literal["maximize", "minimize"] = "maximize"


def choose(trial: Trial) -> None:
    """Let Optuna choose values for parameters of the job, by their names there."""
    trial.suggest_float("x", 0, 10)
    trial.suggest_float("rate", 0.0001, 1, log=True)


RUNNING, COMPLETE, FAIL = TrialState.RUNNING, TrialState.COMPLETE, TrialState.FAIL
FOR_GOOD = ("InvalidConfig", "InvalidEvent", "UnknownJob")
"""Errors of the launch function that the same event would meet again."""
ENOUGH = 5
"""Runs in a row that come to nothing, after which no other is begun."""
LOOK_SECONDS, RETRY_SECONDS = 5, 60


class Search:
    """A study whose trials are runs. It keeps the run id of each trial, under its number."""

    def __init__(self, file: str, deployed: dict[str, str]) -> None:
        self.function, self.bucket = deployed["launch_function"], deployed["results_bucket"]
        self.functions = boto3.client("lambda", region_name=deployed["region"])
        self.s3 = boto3.client("s3", region_name=deployed["region"])
        self.waiting: set[int] = set()
        self.failures = 0
        self.study = optuna.create_study(
            # In one file another goal, or another deployment, is another study.
            study_name=f"{GOAL} {METRIC} of {JOB} at {' '.join(deployed.values())}",
            storage=f"sqlite:///{file}",
            direction=GOAL,
            sampler=optuna.samplers.TPESampler(),
            load_if_exists=True,
        )

    def go(self, options: argparse.Namespace, pause: Callable[[float], object]) -> None:
        """Ask, launch, look and tell, until as many runs as are wanted are over."""
        while True:
            for trial in self.trials(RUNNING):
                self.look_at(trial)
            going, good = len(self.trials(RUNNING)), len(self.trials(COMPLETE))
            bad = sum(self.run_of(trial) is not None for trial in self.trials(FAIL))
            room = going < options.parallel and not self.waiting
            if room and going + good + bad < options.trials:
                asked = self.study.ask()
                try:
                    choose(asked)
                except ValueError as error:
                    sys.exit(
                        f"error: choose() at the top of this file: {error}; if a parameter was of "
                        "another kind before, another file, as --study two.db, begins anew"
                    )
                # Last, so that a trial that has its id has all its parameters too.
                asked.set_user_attr("event-id", f"optuna-{uuid.uuid4()}")
            elif going:
                pause(RETRY_SECONDS if self.waiting else LOOK_SECONDS)
            else:
                return

    def trials(self, state: TrialState) -> list[FrozenTrial]:
        return self.study.get_trials(deepcopy=False, states=(state,))

    def run_of(self, trial: FrozenTrial) -> str | None:
        return self.study.user_attrs.get(str(trial.number))

    def look_at(self, trial: FrozenTrial) -> None:
        """Take a trial one step further, from wherever it was left."""
        if "event-id" not in trial.user_attrs:  # in the midst of choosing, so never launched
            self.study.tell(trial.number, state=FAIL)
        elif not (run_id := self.run_of(trial)):
            self.launch(trial)
        elif outcome := self.outcome(run_id):
            self.tell(trial, outcome)

    def launch(self, trial: FrozenTrial) -> None:
        """Launch a trial, or find the run that was launched."""
        event = {"job": JOB, "parameters": trial.params, "grid": False}
        event["event-id"] = trial.user_attrs["event-id"]
        result = self.functions.invoke(FunctionName=self.function, Payload=json.dumps(event))
        answer = json.loads(result["Payload"].read())
        if "FunctionError" in result:
            why = f"trial {trial.number} is not launched: {answer.get('errorMessage')}"
            if answer.get("errorType") in FOR_GOOD:
                self.study.tell(trial.number, state=FAIL)
                sys.exit(f"error: {why}")
            if trial.number not in self.waiting:  # for room, for dollars of the month, for AWS
                print(f"{why}\n  it is tried again every minute", flush=True)
            self.waiting.add(trial.number)
        elif answer["stack-id"] or self.outcome(answer["run-id"]):
            self.waiting.discard(trial.number)
            self.study.set_user_attr(str(trial.number), answer["run-id"])
            print(f"trial {trial.number} is run {answer['run-id']}: {shown(trial)}", flush=True)
        # Else another launch of it is under way, or has died: it is sent again.

    def outcome(self, run_id: str) -> Any:
        """Return how a run ended; None while it goes on."""
        key = f"runs/{JOB}/{run_id}/outcome.json"
        try:
            return json.loads(self.s3.get_object(Bucket=self.bucket, Key=key)["Body"].read())
        except self.s3.exceptions.NoSuchKey:
            return None

    def tell(self, trial: FrozenTrial, outcome: dict[str, Any]) -> None:
        """Tell Optuna how a run ended: only one that succeeded has a value."""
        value, state = (outcome.get("metrics") or {}).get(METRIC), outcome["state"]
        good = state == "succeeded" and isinstance(value, int | float) and math.isfinite(value)
        self.study.tell(trial.number, value if good else None, COMPLETE if good else FAIL)
        said = f"trial {trial.number}: {METRIC}={value!r}, ${outcome.get('cost-usd') or 0:.4f}"
        print(said if good else f"{said}, {state}: {outcome['reason']!r}", flush=True)
        self.failures = 0 if good else self.failures + 1
        if self.failures == ENOUGH:
            sys.exit(f"error: {ENOUGH} runs in a row came to nothing; the same command goes on")


def shown(trial: FrozenTrial) -> str:
    return " ".join(f"{name}={value}" for name, value in trial.params.items())


def read_outputs(path: Path) -> dict[str, str]:
    """Return what is needed of what `terraform output -json` printed."""
    needed = ("account_id", "region", "launch_function", "results_bucket")
    try:
        outputs = json.loads(path.read_text())
        return {name: outputs[name]["value"] for name in needed}
    except (OSError, ValueError, LookupError, TypeError) as error:
        sys.exit(
            f"error: {path} does not say where Parris is ({error!r}): in the folder that you "
            f"deployed from, terraform output -json >{path} makes it"
        )


def count(text: str) -> int:
    number = int(text)
    if number < 1:
        raise ValueError
    return number


def main(argv: Sequence[str] | None = None, pause: Callable[[float], object] = time.sleep) -> int:
    """Search; 0 done, 1 refused, 2 usage, 130 Ctrl-C."""
    parser = argparse.ArgumentParser(description=str(__doc__).partition("\n")[0])
    add = parser.add_argument
    add("--trials", type=count, default=20, help="runs in all, those of earlier starts too")
    add("--parallel", type=count, default=1, help='at once; needs "several-at-once" in the job')
    add("--study", default="study.db", help="Optuna's SQLite file")
    add("--outputs", type=Path, default="outputs.json", help="of terraform output -json")
    options = parser.parse_args(argv)
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    again = "runs go on, and the same command finds them again"
    try:
        search = Search(options.study, read_outputs(options.outputs))
        search.go(options, pause)
    except KeyboardInterrupt:
        print(f"\nstopped; {again}", file=sys.stderr)
        return 130
    except (BotoCoreError, ClientError, SQLAlchemyError) as error:
        sys.exit(f"error: {error}; {again}")
    if not search.trials(COMPLETE):
        sys.exit(f"error: no run of job {JOB} told {METRIC}")
    best = search.study.best_trial
    print(f"best: trial {best.number}, {METRIC}={best.value}, {shown(best)}")
    print(f"make rerun RUN={search.run_of(best)} runs it again")
    return 0


if __name__ == "__main__":
    sys.exit(main())
