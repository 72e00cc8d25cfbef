"""The deployment that drills run on: a copy of the clone, deployed on an embedded cloud of its own.

Its instances have no machines (fault ``no-machine``): the virtual machine is their hardware.
"""

from __future__ import annotations

import base64
import contextlib
import json
import os
import shutil
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from botocore.exceptions import ClientError

from scripts.local import faults, owners
from tests.boot.drill import Drill
from tests.e2e.conftest import Clone, as_deployed, copy_files, run_make, wait_for

ROOT = Path(__file__).resolve().parents[2]
START_SECONDS = 120
OUTCOME_SECONDS = 90

_HEAD = '#!/bin/bash\nmark() { echo "drill: $*" >/dev/console; }\n'
_HEAD += "trap 'mark trainer ends' EXIT\nmark trainer begins\n"


class StageError(RuntimeError):
    """The embedded cloud could not be had, or refused a launch; the text says why."""


@dataclass(frozen=True, kw_only=True)
class Launched:
    """A run, and that instance of it which waits for its hardware."""

    job: str
    run_id: str
    instance: str
    directory: Path

    @property
    def metadata(self) -> int:
        """The port of the instance's metadata."""
        return int((self.directory / "metadata-endpoint").read_text().rpartition(":")[2])


@dataclass(frozen=True, kw_only=True)
class Stage:
    """The deployed clone."""

    clone: Clone

    @property
    def endpoint(self) -> int:
        """The port of the embedded cloud."""
        return int(self.clone.access["endpoint_url"].rpartition(":")[2])

    def launch(self, job: str) -> Launched:
        """Launch a job as anybody does, and wait for its instance."""
        answer = self.clone.invoke({"job": job, "event-id": f"boot-{os.getpid()}-{job}"})
        if "run-id" not in answer:
            raise StageError(f"the launch function refused {job}: {answer}")
        found = self._hardware(job, ())
        return Launched(job=job, run_id=answer["run-id"], instance=found.name, directory=found)

    def after(self, machines: Sequence[Launched]) -> Launched:
        """Wait for the instance that follows these of a run."""
        last = machines[-1]
        try:
            found = self._hardware(last.job, [one.instance for one in machines])
        except AssertionError as error:
            raise StageError(f"the run got no machine after {last.instance}: {error}") from error
        return replace(last, instance=found.name, directory=found)

    def _hardware(self, job: str, known: Collection[str]) -> Path:
        """Wait for a job's instance that is none of `known`; return its directory."""

        def directory() -> Path | None:
            for instance in self.clone.instances(job):
                found = self.home / "instances" / instance["InstanceId"]
                if (
                    instance["InstanceId"] not in known
                    and instance["State"]["Name"] == "running"
                    and (found / "metadata-endpoint").exists()
                ):
                    return Path(found)
            return None

        found: Path = wait_for(directory, START_SECONDS)
        return found

    @property
    def home(self) -> Path:
        """Where the embedded cloud keeps its files."""
        return self.clone.folder / ".parris" / "local"

    def user_data(self, run: Launched) -> bytes:
        """Return the user data of the run's instance."""
        answer = self.clone.client("ec2").describe_instance_attribute(
            InstanceId=run.instance, Attribute="userData"
        )
        return base64.b64decode(answer["UserData"]["Value"])

    def stored(self, run: Launched) -> dict[str, bytes]:
        """Return what this machine of the run stored, by its name below the machine's folder."""
        s3, bucket = self.clone.client("s3"), self.clone.outputs["results_bucket"]
        prefix = f"runs/{run.job}/{run.run_id}/machines/"
        found = {}
        for one in s3.list_objects_v2(Bucket=bucket, Prefix=prefix).get("Contents", []):
            folder, _, name = one["Key"].removeprefix(prefix).partition("/")
            if folder.endswith(f":{run.instance}"):
                found[name] = s3.get_object(Bucket=bucket, Key=one["Key"])["Body"].read()
        return found

    def outcome(self, run: Launched) -> dict[str, Any]:
        """Return the run's record, once the reap function has made it; empty if none comes."""
        with contextlib.suppress(AssertionError):
            return self.clone.outcome(run.job, run.run_id, OUTCOME_SECONDS)
        return {}

    def change_receipt(self, run: Launched, **changes: Any) -> None:
        """Change keys of the run's receipt, as ``make stop`` and ``make extend`` do."""
        s3, bucket = self.clone.client("s3"), self.clone.outputs["results_bucket"]
        key = f"runs/{run.job}/{run.run_id}/run.json"
        receipt = json.loads(s3.get_object(Bucket=bucket, Key=key)["Body"].read())
        body = json.dumps(receipt | {name.replace("_", "-"): to for name, to in changes.items()})
        s3.put_object(Bucket=bucket, Key=key, Body=body.encode())


@contextlib.contextmanager
def deployed(folder: Path, drills: Iterable[Drill]) -> Iterator[Stage]:
    """Deploy a copy of the clone in `folder`, with a job for each drill; it ends with this.

    Raises:
        StageError: if it cannot be deployed.
    """
    owners.own()  # whatever befalls this process, the cloud ends with it
    os.environ.pop("TF_CLI_CONFIG_FILE", None)
    if folder.exists():  # one that was killed has left its cloud to end by itself
        run_make(folder, "local-down", check=False)
    shutil.rmtree(folder, ignore_errors=True)
    copy_files(folder)
    (folder / ".venv").symlink_to((ROOT / ".venv").resolve())
    # No sweep of the reap function comes between a machine's end and what is looked at.
    (folder / "terraform.tfvars").write_text("sweep_minutes = 60\ngrace_minutes = 120\n")
    for drill in drills:
        _write_job(folder / "trainer" / "jobs" / drill.name, drill)
    home = folder / ".parris" / "local"
    try:
        run_make(folder, "local-up", "LOCAL_PORT=0")
        run_make(folder, "deploy", "LOCAL=1", "YES=1")
        run_make(folder, "upload-config", "LOCAL=1")
        faults.write(home, {"machines": {"*": ["no-machine"]}})
        yield Stage(clone=as_deployed(folder))
    except (AssertionError, ClientError) as error:
        raise StageError(str(error)) from error
    finally:
        run_make(folder, "local-down", check=False)


def _write_job(folder: Path, drill: Drill) -> None:
    folder.mkdir(parents=True)
    config = {
        "training-job-name": f"boot-{drill.name}",
        "sync-interval-seconds": 10,
        "stop-grace-seconds": 10,
        **drill.config,
    }
    (folder / "training-config.json").write_text(json.dumps(config))
    (folder / "trainer-script.sh").write_text(_HEAD + drill.script)
    for name, source in drill.files.items():
        shutil.copy(ROOT / source, folder / name)
