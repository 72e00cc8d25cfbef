"""A clone of the repository, deployed on an embedded cloud of its own, as a person has it."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3

from scripts import package_lambda
from scripts.local import cloud


@dataclass(frozen=True)
class Clone:
    """Its folder, in which `make` is called."""

    folder: Path

    def make(self, *arguments: str) -> str:
        """Return what make prints; end the program if it fails."""
        # As a person would call make, not as a child of `make bench`: no "Entering directory".
        inherited = {name for name in os.environ if name.startswith(("MAKE", "MFLAGS"))}
        result = subprocess.run(
            ["make", *arguments, "LOCAL=1"],
            cwd=self.folder,
            env={name: value for name, value in os.environ.items() if name not in inherited},
            capture_output=True,
            text=True,
            check=False,
        )
        if result.returncode:
            raise SystemExit(f"error: make {' '.join(arguments)}\n{result.stdout}{result.stderr}")
        return result.stdout

    def client(self, service: str) -> Any:
        """Return a client of its cloud."""
        environ = cloud.local_environ(os.environ, self.folder / ".parris/local")
        return boto3.client(  # type: ignore[call-overload]
            service,
            endpoint_url=environ["AWS_ENDPOINT_URL"],
            region_name=environ["AWS_REGION"],
            aws_access_key_id=environ["AWS_ACCESS_KEY_ID"],
            aws_secret_access_key=environ["AWS_SECRET_ACCESS_KEY"],
        )


@contextlib.contextmanager
def deployed_clone(folder: Path, variables: str = "") -> Iterator[Clone]:
    """Make a clone in `folder`, start a cloud there, and deploy with Terraform `variables`."""
    root = package_lambda.ROOT
    names = subprocess.run(
        ["git", "ls-files"], cwd=root, capture_output=True, text=True, check=True
    ).stdout.splitlines()
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(root / name, folder / name)  # with its mode: make calls ./parris
    (folder / ".venv").symlink_to(root / ".venv")
    if variables:
        (folder / "terraform.tfvars").write_text(variables)
    clone = Clone(folder)
    try:
        clone.make("local-up", "LOCAL_PORT=0")
        clone.make("deploy", "YES=1")
        yield clone
    finally:
        clone.make("local-down")
