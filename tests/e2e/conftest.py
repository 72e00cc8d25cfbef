"""One clone of the repository, deployed on an embedded cloud of its own, for all of e2e."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
import sys
import time
import venv
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from scripts.local import cloud, owners
from tests.e2e import neighbour
from tests.e2e.embedded_world import World
from tests.notices import Topic
from tests.proof import recorded

ROOT = Path(__file__).resolve().parents[2]
E2E_SECONDS = 600
JOBS: dict[str, tuple[dict[str, Any], str]] = {
    "failing": ({}, "#!/bin/bash\necho about to fail\nexit 3\n"),
    "stubborn": (
        {"termination-method": "at-fixed-time", "time-limit": 1, "stop-grace-seconds": 2},
        "#!/bin/bash\ntrap '' TERM\necho kept > $PARRIS_OUTPUT_DIR/early.txt\n"
        "(trap '' TERM; while :; do sleep 1; done) &\nwhile :; do sleep 1; done\n",
    ),
    "chatty": ({}, "#!/bin/bash\nyes 0123456789abcde | head --lines=12500000\n"),
    "long-script": (
        {},
        "#!/bin/bash\n" + "# a comment of a script that is long\n" * 8200 + "pwd\n",
    ),
    "private": ({}, "#!/bin/bash\necho kept > $PARRIS_OUTPUT_DIR/x.txt\n"),
    "clocked": (
        {"parameters": {"why": ""}},
        "#!/bin/bash\necho $PARRIS_PARAM_WHY > $PARRIS_OUTPUT_DIR/why.txt\n",
    ),
    "many": ({}, "#!/bin/bash\nsleep 5\n"),
    "skipping": ({}, "#!/bin/bash\nsleep 75\n"),
    "queueing": ({}, "#!/bin/bash\nsleep 75\n"),
    "told-failing": ({}, "#!/bin/bash\necho about to fail\nexit 3\n"),
    "crowded": ({}, "#!/bin/bash\nsleep 5\n"),
    "long": (
        {"termination-method": "at-fixed-time", "time-limit": 10, "stop-grace-seconds": 5},
        "#!/bin/bash\necho kept > $PARRIS_OUTPUT_DIR/x\nsleep 600\n",
    ),
    "told": (
        {"parameters": {"why": ""}},
        "#!/bin/bash\necho $PARRIS_PARAM_WHY > $PARRIS_OUTPUT_DIR/why.txt\n",
    ),
    "fresh": ({}, "#!/bin/bash\nenv | grep PARRIS_PARAM > $PARRIS_OUTPUT_DIR/env.txt\n"),
    "kept-on": ({"keep-stack": "always"}, "#!/bin/bash\ntrue\n"),
    "kept": ({"keep-stack": "always"}, "#!/bin/bash\ntrue\n"),
    "patient": (
        {"termination-method": "at-fixed-time", "time-limit": 10, "stop-grace-seconds": 5},
        "#!/bin/bash\necho kept > $PARRIS_OUTPUT_DIR/x\nsleep 600\n",
    ),
    "taken": (
        {"market": "spot", "retry": {"on": []}},
        "#!/bin/bash\nsleep 600\n",
    ),
    "thrifty": (
        {"termination-method": "around-cost", "cost-limit": 0.01, "market": "spot"},
        "#!/bin/bash\ntrue\n",
    ),
    "replaced": (
        {"stack-replacement": True, "keep-stack": "always"},
        "#!/bin/bash\necho $PARRIS_RUN_ID > $PARRIS_OUTPUT_DIR/run.txt\n",
    ),
    "unlucky": ({"image": "/aws/service/no/such/image"}, "#!/bin/bash\ntrue\n"),
    "powering-off": ({}, "#!/bin/bash\necho kept > $PARRIS_OUTPUT_DIR/x.txt\nsudo poweroff\n"),
}
"""Jobs by name: what their config says beside the stack's name, and their script."""

VARIABLES = """
schedules = {
  often    = { expression = "rate(1 minute)", job = "clocked", parameters = { why = "the clock" } }
  skipping = { expression = "rate(1 minute)", job = "skipping", enabled = false }
  queueing = {
    expression = "rate(1 minute)", job = "queueing", overlap = "queue-one", enabled = false
  }
}
data_triggers = {
  fresh = { bucket = "e2e-data", prefix = "in/", job = "fresh", settle_seconds = 10 }
}
secret_arns = [
  "arn:aws:ssm:us-east-1:000000000000:parameter/team/*",
  "arn:aws:secretsmanager:us-east-1:000000000000:secret:team/*",
]
data_sources     = ["s3://e2e-pictures/train/", "s3://e2e-pictures/b"]
shell            = true
alarm_topic_arns = []
dashboard        = true
button_jobs      = { long-button = "long", low = "told", many-button = "crowded" }
"""


@dataclass(frozen=True, kw_only=True)
class Clone:
    """A deployed clone: its folder, and AWS as its commands see it."""

    folder: Path
    environ: dict[str, str]
    outputs: dict[str, Any]

    def make(self, *arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        return run_make(self.folder, *arguments, check=check)

    @property
    def access(self) -> dict[str, str]:
        """Where AWS is and as whom, in boto3's words."""
        return {
            "endpoint_url": self.environ["AWS_ENDPOINT_URL"],
            "region_name": self.environ["AWS_REGION"],
            "aws_access_key_id": self.environ["AWS_ACCESS_KEY_ID"],
            "aws_secret_access_key": self.environ["AWS_SECRET_ACCESS_KEY"],
        }

    def client(self, service: str) -> Any:
        config = Config(max_pool_connections=60, read_timeout=180, retries={"max_attempts": 1})
        return boto3.client(service, **self.access, config=config)  # type: ignore[call-overload]

    def put_job(self, job: str, files: Mapping[str, str]) -> None:
        """Put a job's files where an upload puts them, as they are."""
        s3, bucket = self.client("s3"), self.outputs["config_bucket"]
        for name, text in files.items():
            s3.put_object(Bucket=bucket, Key=f"jobs/{job}/{name}", Body=text.encode())

    def invoke(self, event: object) -> dict[str, Any]:
        """Return the launch function's answer, or its error as {"errorMessage": …}."""
        result = self.client("lambda").invoke(
            FunctionName=self.outputs["launch_function"], Payload=json.dumps(event).encode()
        )
        answer: dict[str, Any] = json.loads(result["Payload"].read())
        return answer

    def listen(self, name: str) -> Topic:
        """Return the notification topic as a listener of that name hears it from now on."""
        return Topic(self.outputs["notification_topic_arn"], name, **self.access)

    def publish(self, topic: str, payload: bytes) -> None:
        self.client("iot-data").publish(topic=topic, qos=1, payload=payload)

    def key(self, job: str, run_id: str, name: str) -> str:
        """Return where an object of a run lies.

        What a machine stores is in a folder of its own; a run here has one machine.
        """
        prefix = f"runs/{job}/{run_id}/"
        own = ("log.txt", "packages.txt", "machine.jsonl", "output/", "checkpoints/")
        if name.startswith(own):
            listed = self.client("s3").list_objects_v2(
                Bucket=self.outputs["results_bucket"], Prefix=f"{prefix}machines/", Delimiter="/"
            )
            prefix = next((one["Prefix"] for one in listed.get("CommonPrefixes", [])), prefix)
        return prefix + name

    def read(self, job: str, run_id: str, name: str) -> bytes | None:
        """Return an object of a run, or of its machine; None while it is not there."""
        try:
            answer = self.client("s3").get_object(
                Bucket=self.outputs["results_bucket"], Key=self.key(job, run_id, name)
            )
        except ClientError as error:
            if error.response["Error"]["Code"] != "NoSuchKey":
                raise
            return None
        content: bytes = answer["Body"].read()
        return content

    def run_ids(self, job: str) -> list[str]:
        answer = self.client("s3").list_objects_v2(
            Bucket=self.outputs["results_bucket"], Prefix=f"runs/{job}/", Delimiter="/"
        )
        return [found["Prefix"].split("/")[2] for found in answer.get("CommonPrefixes", [])]

    def outcome(self, job: str, run_id: str, seconds: float = 90) -> dict[str, Any]:
        """Wait for the run's outcome and return it."""
        content = wait_for(lambda: self.read(job, run_id, "outcome.json"), seconds)
        outcome: dict[str, Any] = json.loads(content)
        return outcome

    def instances(self, job: str) -> list[dict[str, Any]]:
        answer = self.client("ec2").describe_instances(
            Filters=[{"Name": "tag:parris:job", "Values": [job]}]
        )
        return [found for each in answer["Reservations"] for found in each["Instances"]]

    def delete_stack(self, name: str) -> None:
        cloudformation = self.client("cloudformation")
        cloudformation.delete_stack(StackName=name)
        cloudformation.get_waiter("stack_delete_complete").wait(
            StackName=name, WaiterConfig={"Delay": 1, "MaxAttempts": 60}
        )


def wait_for(look: Callable[[], Any], seconds: float) -> Any:
    """Return what `look` finds once it finds something; fail after `seconds`."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if found := look():
            return found
        time.sleep(0.3)
    raise AssertionError(f"nothing came within {seconds} s")


def run_make(folder: Path, *arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
    # `make test` runs this within a make: what that one says to its own children is not for ours.
    # Compiling every module anew would be a fifth of what a command takes.
    outer = (
        *("PYTHONPATH", "PYTHONDONTWRITEBYTECODE", "MAKEFLAGS", "MFLAGS", "MAKELEVEL"),
        *("LOCAL", "JOB", "RUN", "WAIT"),
    )
    inherited = {name: value for name, value in os.environ.items() if name not in outer}
    result = subprocess.run(
        ["make", *arguments],
        cwd=folder,
        env=inherited,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    if check and result.returncode:
        raise AssertionError(f"make {' '.join(arguments)}\n{result.stdout}\n{result.stderr}")
    return result


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Give a test of e2e the time that a deployment and a run take."""
    for item in items:
        if item.path.is_relative_to(Path(__file__).parent):
            item.add_marker(pytest.mark.timeout(E2E_SECONDS))


@pytest.fixture(scope="session", autouse=True)
def owned() -> None:
    """Let every embedded cloud end with this process, and with the one that started it."""
    if "PYTEST_XDIST_WORKER" in os.environ:
        owners.own(os.getppid())
    owners.own()


@pytest.fixture(scope="session")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Clone]:
    """The clone that the files share whose jobs do not meet."""
    with beside_neighbour(tmp_path_factory) as made:
        yield made


@contextlib.contextmanager
def beside_neighbour(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Clone]:
    """Make a clone and deploy there as `deployed_clone` does, beside what must be left alone."""
    with deployed_clone(tmp_path_factory) as made:
        beside = neighbour.deploy(made.folder, made.folder / ".parris/local/neighbour.tfstate")
        yield made
        assert beside.changes() == []


def copy_files(folder: Path) -> None:
    """Copy what git would clone into `folder`."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    for name in listed.stdout.split("\0"):
        if (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, folder / name)


def copy_clone(folder: Path) -> Path:
    """Make `folder` a clone, with an environment as after a rename."""
    copy_files(folder)
    moved_environment(folder / ".venv")
    return folder


def moved_environment(folder: Path) -> None:
    """Make `folder` what the repository's .venv is in a clone that was renamed.

    An interpreter of its own that finds the same packages; scripts whose line ``#!`` names a place
    that is no more.
    """
    venv.create(folder, symlinks=True, with_pip=False)
    packages = [place for place in sys.path if place.endswith("site-packages")]
    (found,) = folder.glob("lib/python3*/site-packages")
    (found / "moved.pth").write_text("\n".join(packages))
    for name in ("requirements.txt", "requirements-local.txt", "requirements-dev.txt"):
        if (ROOT / ".venv" / name).exists():
            shutil.copy2(ROOT / ".venv" / name, folder / name)
    for path in (ROOT / ".venv" / "bin").iterdir():
        mine = folder / "bin" / path.name
        if mine.exists() or path.is_dir():
            continue
        content = path.read_bytes()
        if content.startswith(b"#!"):
            mine.write_bytes(b"#!/no/such place/python\n" + content.partition(b"\n")[2])
            mine.chmod(0o755)
        else:
            mine.symlink_to(path)


@contextlib.contextmanager
def deployed_clone(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Clone]:
    """Make a clone, start a cloud there, and deploy with a schedule."""
    folder = copy_clone(tmp_path_factory.mktemp("a b 模"))  # a path as a person may have it
    _write_jobs(folder)
    (folder / "terraform.tfvars").write_text(VARIABLES)
    home = folder / ".parris" / "local"
    try:
        run_make(folder, "local-up", "LOCAL_PORT=0")
        _deploy(folder)
        run_make(folder, "upload-config", "LOCAL=1")
        yield as_deployed(folder)
        calls = recorded.read(home)
    finally:
        run_make(folder, "local-down", check=False)
    recorded.keep(calls, f"{os.getpid()}-{folder.name}")
    assert list(recorded.strange(calls)) == []  # what the tables lack, and what was denied


def as_deployed(folder: Path) -> Clone:
    """Return the clone in `folder` with what its deployment on its own embedded cloud says."""
    home = folder / ".parris" / "local"
    outputs = subprocess.run(
        ["terraform", "output", "-json", f"-state={home}/terraform.tfstate"],
        cwd=folder,
        env=os.environ | {"TF_DATA_DIR": str(home / "terraform")},
        capture_output=True,
        text=True,
        check=True,
    )
    return Clone(
        folder=folder,
        environ=cloud.local_environ(os.environ, home),
        outputs={name: item["value"] for name, item in json.loads(outputs.stdout).items()},
    )


def _deploy(folder: Path) -> None:
    """Deploy, and where that fails add what the provider tried again and why.

    Seen now and then: AddPermission is refused with 409 for five minutes, as if an answer to it had
    been lost.
    """
    log = folder / ".parris" / "terraform.log"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TF_LOG", "DEBUG")
        patch.setenv("TF_LOG_PATH", str(log))
        try:
            run_make(folder, "deploy", "LOCAL=1", "YES=1")
        except AssertionError as error:
            lines = log.read_text(errors="replace").splitlines() if log.exists() else []
            tried = [line[:400] for line in lines if "retr" in line or "attempt=2" in line]
            raise AssertionError("\n".join([str(error), *tried[:20], *tried[-20:]])) from error


def _write_jobs(folder: Path) -> None:
    for job, (config, script) in JOBS.items():
        path = folder / "trainer" / "jobs" / job
        path.mkdir(parents=True)
        config = {"training-job-name": f"e2e-{job}", "sync-interval-seconds": 5} | config
        (path / "training-config.json").write_text(json.dumps(config))
        (path / "trainer-script.sh").write_text(script)


@pytest.fixture(scope="session")
def data_bucket(clone: Clone) -> str:
    """The bucket that the data trigger looks at: it keeps versions, and tells of its objects."""
    name, s3 = "e2e-data", clone.client("s3")
    s3.create_bucket(Bucket=name)
    s3.put_bucket_versioning(Bucket=name, VersioningConfiguration={"Status": "Enabled"})
    s3.put_bucket_notification_configuration(
        Bucket=name, NotificationConfiguration={"EventBridgeConfiguration": {}}
    )
    return name


@pytest.fixture(scope="session")
def stubborn(clone: Clone) -> Iterator[Future[dict[str, Any]]]:
    """The run that has to be ended: begun early, since it takes its whole minute."""
    with ThreadPoolExecutor(max_workers=1) as pool:
        answer = clone.invoke({"job": "stubborn", "event-id": "stubborn"})
        yield pool.submit(clone.outcome, "stubborn", answer["run-id"], 150)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    home = tmp_path_factory.mktemp("cloud")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PARRIS_LOCAL_STOP_SECONDS", "3")  # 90 on a machine, and here by default
        cloud.up(home, port=0)
    try:
        made = World(home)
        made.prepare()
        yield made
    finally:
        cloud.down(home)
