"""EC2 takes a run's machine away, because somebody wants to see what the run makes of it."""

from __future__ import annotations

from scripts.cli.console import Refused
from scripts.cli.which_cloud import LOCAL_HOME, is_local
from scripts.deployment.machines import find_machine
from scripts.deployment.outputs import Deployment
from scripts.deployment.runs import Run

NOTICE_SECONDS = 10
"""Between notice and end, if nobody says how long: on AWS it is 120, but here somebody waits."""


def check_cloud() -> None:
    """Refuse to interrupt anything on an AWS account.

    Raises:
        Refused: saying what does it there.
    """
    if not is_local():
        raise Refused(
            "only EC2 interrupts a machine: on an AWS account ask AWS Fault Injection Service for "
            "aws:ec2:send-spot-instance-interruptions, which Parris does not set up; "
            "make fire TRIGGER=interruption LOCAL=1 does it on the embedded cloud"
        )


def interrupt(deployment: Deployment, run: Run, notice: int | None) -> str:
    """Let the embedded cloud take the machine of a run away; return what was done.

    Args:
        notice: seconds of notice, 0 for none; None leaves it to the machine's market.

    Raises:
        Refused: if the run has no machine that runs, or EC2 would give it no notice.
    """
    from scripts.local import interruptions  # the embedded cloud is not needed on a real account

    machine = find_machine(deployment, run.run_id)
    identifier, state = machine["InstanceId"], machine["State"]["Name"]
    if state != "running":
        raise Refused(f"run {run.run_id} of job {run.job} has no machine that runs: {state}")
    spot = machine.get("InstanceLifecycle") == "spot"
    if notice and not spot:
        raise Refused(
            f"machine {identifier} of run {run.run_id} is no spot machine, and EC2 gives notice to "
            "those only; NOTICE=0 lets its host fail"
        )
    seconds = NOTICE_SECONDS if notice is None and spot else notice or 0
    interruptions.ask(LOCAL_HOME, identifier, seconds)
    if not spot:
        return f"let the host of machine {identifier} fail, run {run.run_id} of job {run.job}"
    said = f"{seconds} s after its notice" if seconds else "without notice"
    return f"let EC2 take spot machine {identifier} {said}, run {run.run_id} of job {run.job}"
