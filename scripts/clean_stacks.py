"""Delete stacks whose run is over: `make clean-stacks [ALL=1]`."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from botocore.exceptions import ClientError

from scripts import console
from scripts.console import Refused
from scripts.deployment import Deployment, is_local, read_deployment
from scripts.runs import list_stacks, read_runs, stack_tags


def main(argv: list[str]) -> int:
    """Delete this deployment's stacks whose run is over, and no others; results stay in S3."""
    parser = argparse.ArgumentParser(prog="make clean-stacks", description=main.__doc__)
    parser.add_argument("--all", action="store_true", help="also stacks of live runs, after asking")
    parser.add_argument("--yes", action="store_true", help="do not ask")
    options = parser.parse_args(argv)
    deployment = read_deployment()
    over, live = sort_stacks(deployment, list_stacks(deployment))
    for stack, state in over:
        print(f"delete {stack['StackName']}: its run is over ({state})")
    for stack, state in live:
        verb = "delete" if options.all else "keep  "
        print(f"{verb} {stack['StackName']}: its run is {state}")
    if options.all and live and not options.yes:
        _ask(len(live))
    doomed = [stack for stack, _ in over + (live if options.all else [])]
    if not doomed:
        print("no stack to delete")
        return 0
    failed = delete(deployment, doomed)
    print(f"{len(doomed) - len(failed)} stacks deleted; what their runs stored stays in S3")
    for name, reason in failed.items():
        console.fail(f"stack {name} was not deleted: {reason}; run make clean-stacks again")
    return 1 if failed else 0


def sort_stacks(
    deployment: Deployment, stacks: Sequence[dict[str, Any]]
) -> tuple[list[tuple[dict[str, Any], str]], list[tuple[dict[str, Any], str]]]:
    """Return (over, live): stacks with the state of their run."""
    tagged = [(stack, stack_tags(stack)) for stack in stacks]
    keys = [(tags.get("parris:job", ""), tags.get("parris:run-id", "")) for _, tags in tagged]
    over: list[tuple[dict[str, Any], str]] = []
    live: list[tuple[dict[str, Any], str]] = []
    for stack, run in zip(stacks, read_runs(deployment, keys, stacks), strict=True):
        (over if run.is_over else live).append((stack, run.state))
    return over, live


def delete(deployment: Deployment, stacks: Sequence[dict[str, Any]]) -> dict[str, str]:
    """Delete `stacks` side by side and wait; return, by name, why one is still there."""
    cloudformation = deployment.client("cloudformation")
    pause = 0.3 if is_local() else 5.0

    def delete_one(stack: dict[str, Any]) -> str | None:
        # By id: a stack of the same name that is made meanwhile is not the one that was shown.
        cloudformation.delete_stack(StackName=stack["StackId"])
        deadline = time.monotonic() + 900
        while time.monotonic() < deadline:
            try:
                now = cloudformation.describe_stacks(StackName=stack["StackId"])["Stacks"][0]
            except ClientError as error:
                if "does not exist" in error.response["Error"]["Message"]:
                    return None
                raise
            if now["StackStatus"] == "DELETE_COMPLETE":
                return None
            if now["StackStatus"] == "DELETE_FAILED":
                return str(now.get("StackStatusReason", "DELETE_FAILED"))
            time.sleep(pause)
        return "still being deleted after 15 minutes"

    with ThreadPoolExecutor(max_workers=8) as pool:
        outcomes = pool.map(delete_one, stacks)
        return {
            stack["StackName"]: reason
            for stack, reason in zip(stacks, outcomes, strict=True)
            if reason is not None
        }


def _ask(count: int) -> None:
    if not sys.stdin.isatty():
        raise Refused(
            f"{count} live runs would be ended; say --yes (make clean-stacks ALL=1 YES=1)"
        )
    if input(f"End {count} live runs? Type yes: ").strip() != "yes":
        raise Refused("nothing was deleted")


if __name__ == "__main__":
    console.run(main)
