"""What is deployed: Terraform's outputs, and the clients that reach it."""

from __future__ import annotations

import ipaddress
import json
import os
import shutil
import subprocess
import threading
from collections.abc import Mapping, Sequence
from dataclasses import MISSING, dataclass, fields
from functools import cached_property
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import boto3
from botocore.config import Config

from scripts.cli.console import Refused
from scripts.cli.which_cloud import LOCAL_HOME, forgotten, is_local, say_forgotten

ROOT = Path(__file__).resolve().parents[2]

CLIENT_CONFIG = Config(
    retries={"mode": "adaptive", "max_attempts": 8}, max_pool_connections=16, read_timeout=90
)

_making = threading.Lock()
"""A session is not for two threads at once (boto3 guide, "Multithreading")."""


def make_client(
    service: str, region: str, endpoint_url: str | None = None, signature: str | None = None
) -> Any:
    """Return a boto3 client; no script makes one in another way.

    Args:
        signature: the version of its signatures; by default what botocore takes for the service.

    Raises:
        Refused: if LOCAL=1 asks for the embedded cloud, and the client would go elsewhere.
    """
    config = CLIENT_CONFIG
    if signature:
        config = config.merge(Config(signature_version=signature))
    with _making:
        client = boto3.client(  # type: ignore[call-overload]
            service, region_name=region, endpoint_url=endpoint_url, config=config
        )
    if is_local() and not _is_loopback(client.meta.endpoint_url):
        raise Refused(
            f"LOCAL=1, but {service} would be called at {client.meta.endpoint_url}, which is not "
            "on this machine; nothing was sent. Look for what in the environment says so (env)"
        )
    return client


def _is_loopback(url: str) -> bool:
    host = urlsplit(url).hostname or ""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def environment() -> dict[str, str]:
    """Return the environment in which AWS and Terraform are to be called.

    Raises:
        Refused: if LOCAL=1 asks for an embedded cloud and none is running.
    """
    environ = dict(os.environ)
    if is_local():
        from scripts.local import cloud  # the embedded cloud is not needed on a real account

        if cloud.read_cloud(LOCAL_HOME) is None:
            raise Refused(
                "LOCAL=1, but no embedded cloud is running here; start it with make local-up"
            )
        environ = cloud.local_environ(environ, LOCAL_HOME)
        environ["TF_DATA_DIR"] = str(LOCAL_HOME / "terraform")
    config = environ.get("TF_CLI_CONFIG_FILE")
    if config and not Path(config).exists():
        del environ["TF_CLI_CONFIG_FILE"]  # terraform would warn about it above every answer
    environ["TF_IN_AUTOMATION"] = "1"
    return environ


def state_arguments() -> list[str]:
    """Return where Terraform's state lies: the embedded cloud has one of its own."""
    return [f"-state={LOCAL_HOME / 'terraform.tfstate'}"] if is_local() else []


@dataclass(frozen=True, kw_only=True)
class Deployment:
    """One applied module, by its outputs."""

    deployment: str
    region: str
    account_id: str
    config_bucket: str
    results_bucket: str
    ledger_table: str
    launch_function: str
    launch_role_arn: str
    instance_role_arn: str
    launch_settings: Mapping[str, str]
    """The launch function's environment (parris/settings.py)."""
    reap_function: str
    max_run_hours: int
    grace_minutes: int
    instance_profiles: Sequence[str]
    """What jobs may name as instance-iam-role-name; the first is the default."""
    training_log_group: str
    schedules: Mapping[str, Mapping[str, Any]]
    data_triggers: Mapping[str, Mapping[str, Any]]
    # Terraform leaves out an output that is null.
    max_run_usd: float | None = None
    monthly_budget_usd: float | None = None
    iot_topic: str | None = None
    launch_topic: str | None = None

    @cached_property
    def _clients(self) -> dict[str, Any]:
        return {}

    def client(self, service: str) -> Any:
        """Return the boto3 client in the deployment's own region, whatever AWS_REGION says.

        It is the same one each time: who looks every few seconds keeps its connections.
        """
        if service not in self._clients:
            self._clients[service] = make_client(service, self.region)
        return self._clients[service]


def read_outputs(environ: Mapping[str, str]) -> tuple[dict[str, Any], str]:
    """Return what `terraform output` says by name, nothing if nothing is applied, and its error."""
    result = subprocess.run(
        ["terraform", "output", "-json", "-no-color", *state_arguments()],
        cwd=ROOT,
        env=dict(environ),
        capture_output=True,
        text=True,
        check=False,
    )
    if result.returncode:
        lines = [line.strip("│ ") for line in result.stderr.splitlines() if "Error:" in line]
        return {}, (lines or ["no word why"])[0]
    outputs = json.loads(result.stdout or "{}")
    return {name: output["value"] for name, output in outputs.items()}, ""


def read_deployment() -> Deployment:
    """Return what `terraform output` describes, and turn this process to where it lives.

    Raises:
        Refused: if there is no terraform, or nothing has been applied.
    """
    settings = environment()
    os.environ.clear()
    os.environ.update(settings)
    if shutil.which("terraform") is None:
        raise Refused(
            "terraform is not on PATH; install version 1.9 or newer "
            "(https://developer.hashicorp.com/terraform/install)"
        )
    outputs, trouble = read_outputs(os.environ)
    apply = "make deploy" if is_local() else "make deploy (or terraform apply)"
    local = f". But {words}" if (words := forgotten()) else ""
    if trouble and not _ever_initialised():
        raise Refused(
            f"nothing is deployed from here yet; run {apply} first, or make init where the state "
            f"is kept elsewhere{local}"
        )
    if trouble:
        raise Refused(f"terraform output failed ({trouble}); run make init and try again{local}")
    if "launch_function" not in outputs:
        if _has_resources():
            raise Refused(
                "Terraform's state has resources but no outputs, as a destroy that was refused "
                f"leaves it; run {apply}, which changes nothing else{local}"
            )
        raise Refused(f"nothing is deployed from here yet; run {apply} first{local}")
    known = {field.name: field.default is MISSING for field in fields(Deployment)}
    if missing := {name for name, demanded in known.items() if demanded} - outputs.keys():
        raise Refused(
            f"what is deployed was applied by another version of Parris (it has no output "
            f"{', '.join(sorted(missing))}); run {apply}"
        )
    deployment = Deployment(**{name: outputs[name] for name in known if name in outputs})
    say_forgotten(f"AWS account {deployment.account_id}, {deployment.region}")
    return deployment


def _ever_initialised() -> bool:
    """Return whether this clone has a state, or a way to one, on the cloud that is asked.

    What terraform says where it has neither depends on whether it was used on the embedded cloud.
    """
    data = Path(os.environ.get("TF_DATA_DIR", ROOT / ".terraform"))
    return is_local() or data.exists() or (ROOT / "terraform.tfstate").exists()


def _has_resources() -> bool:
    listed = subprocess.run(
        ["terraform", "state", "list", *state_arguments()],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    return bool(listed.stdout.strip())
