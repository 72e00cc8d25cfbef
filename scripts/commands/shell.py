"""Open a shell on the machine of a run: `parris shell`."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

from scripts.cli.arguments import parse
from scripts.cli.console import Refused
from scripts.cli.which_cloud import LOCAL_HOME, hint, is_local
from scripts.deployment.machines import find_machine
from scripts.deployment.outputs import environment, read_deployment
from scripts.deployment.runs import Run
from scripts.deployment.several import pick_run_to_change

PLUGIN = "session-manager-plugin"
HOW_TO_INSTALL = "AWS Systems Manager user guide, “Install the Session Manager plugin”"


def main(argv: list[str]) -> int:
    """Open a shell on a run's machine, and return the status with which that ends."""
    options = parse("shell", argv)
    deployment = read_deployment()
    run = pick_run_to_change(deployment, options.job or None, options.run or None, "make shell")
    if run.is_over:
        raise Refused(
            f"run {run.run_id} of job {run.job} is over: {run.state}; what it left is with "
            f"make results RUN={run.run_id}"
        )
    machine = find_machine(deployment, run.run_id)
    state = machine["State"]["Name"]
    if state != "running":
        raise Refused(
            f"run {run.run_id} of job {run.job} has no machine that is on (EC2 says {state}); "
            f"try again when its trainer has begun: make logs RUN={run.run_id} WAIT=1"
        )
    if is_local():
        return _enter(LOCAL_HOME / "instances" / machine["InstanceId"], run)
    return _open_session(machine["InstanceId"], deployment.region)


def _enter(folder: Path, run: Run) -> int:
    """Open a shell in the folder that is a machine's disk on the embedded cloud."""
    home = folder / "parris"
    print(
        f"the machine of run {run.run_id}; its folders: source, output, checkpoints",
        file=sys.stderr,
    )
    shell = os.environ.get("SHELL") or "bash"
    return subprocess.run([shell], cwd=home if home.is_dir() else folder, check=False).returncode


def _open_session(instance_id: str, region: str) -> int:
    """Open a session of AWS Systems Manager.

    Raises:
        Refused: if what opens it is not installed here.
    """
    for program, where in (("aws", "AWS CLI user guide"), (PLUGIN, HOW_TO_INSTALL)):
        if shutil.which(program) is None:
            raise Refused(f"there is no {program} on PATH, which opens sessions; see {where}")
    command = ["aws", "ssm", "start-session", "--target", instance_id, "--region", region]
    status = subprocess.run(command, env=environment(), check=False).returncode
    if status:
        said = (
            "where it says TargetNotConnected, the machine takes no sessions: set shell = true in "
            "terraform.tfvars, make deploy, and launch anew; its image needs the SSM agent, and "
            "its subnet a way to Systems Manager"
        )
        print(hint(said), file=sys.stderr)
    return status
