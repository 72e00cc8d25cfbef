"""Delete stacks whose run is over: `parris clean-stacks`."""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from parris.aws.stacks import delete_stack, stack_tags
from parris.contract import EndedBy
from scripts.cli import console
from scripts.cli.arguments import parse
from scripts.cli.console import Refused
from scripts.cli.which_cloud import hint, is_local
from scripts.cli.words import counted
from scripts.deployment.outputs import Deployment, read_deployment
from scripts.deployment.runs import list_stacks, read_runs

Stack = Mapping[str, Any]

AT_ONCE = 16
"""Deletions asked for side by side. CloudFormation throttles long before that many are slow, and
the client then slows down by itself (boto3 guide, "Retries", adaptive mode)."""

MAX_LISTED = 20


def main(argv: list[str]) -> int:
    """Delete this deployment's stacks whose run is over, and no others; results stay in S3."""
    options = parse("clean-stacks", argv)
    deployment = read_deployment()
    over, live = sort_stacks(deployment, list_stacks(deployment))
    _announce("delete", over)
    _announce("delete" if options.all else "keep", live)
    if options.all and live and not options.yes:
        _ask(len(live))
    chosen = [stack for stack, _ in over + (live if options.all else [])]
    if not chosen:
        print("no stack to delete")
        if options.json:
            console.print_json({"asked": [], "failed": {}})
        return 0
    failed = delete(deployment, chosen)
    asked = [stack for stack in chosen if stack["StackName"] not in failed]
    print(f"{counted(len(asked), 'deletion')} asked for; what was stored stays in S3")
    if options.wait:
        failed |= wait_until_gone(deployment, asked)
        print(f"{counted(len(chosen) - len(failed), 'stack is', 'stacks are')} gone")
    elif asked:
        print(hint("CloudFormation carries them out; make status shows what is left, WAIT=1 waits"))
    if options.json:
        names = [stack["StackName"] for stack in asked]
        console.print_json({"asked": names, "failed": failed})
    for name, reason in failed.items():
        console.fail(f"stack {name} was not deleted: {reason}; run make clean-stacks again")
    return 1 if failed else 0


def sort_stacks(
    deployment: Deployment, stacks: Sequence[Stack]
) -> tuple[list[tuple[Stack, str]], list[tuple[Stack, str]]]:
    """Return (over, live): stacks that are not being deleted yet, with the state of their run."""
    stacks = [stack for stack in stacks if stack["StackStatus"] != "DELETE_IN_PROGRESS"]
    tagged = [stack_tags(stack) for stack in stacks]
    keys = [(tags.get("parris:job", ""), tags.get("parris:run-id", "")) for tags in tagged]
    over: list[tuple[Stack, str]] = []
    live: list[tuple[Stack, str]] = []
    for stack, run in zip(stacks, read_runs(deployment, keys, stacks), strict=True):
        (over if run.is_over else live).append((stack, run.state))
    return over, live


def delete(deployment: Deployment, stacks: Sequence[Stack]) -> dict[str, str]:
    """Ask for the deletion of `stacks`, once each; return, by name, why one was refused.

    A run cut short is taken up by the next: what is being deleted is not asked for again.
    """
    cloudformation = deployment.client("cloudformation")
    failed: dict[str, str] = {}
    with ThreadPoolExecutor(max_workers=AT_ONCE) as pool:
        # By id: a stack of the same name that is made meanwhile is not the one that was shown.
        asking = {
            pool.submit(
                delete_stack, cloudformation, stack["StackId"], by=EndedBy.CLEAN_STACKS
            ): stack
            for stack in stacks
        }
        try:
            for future in console.progress(
                as_completed(asking), len(asking), "deletions asked for"
            ):
                try:
                    future.result()
                except ClientError as error:
                    failed[asking[future]["StackName"]] = console.explain(error)
                except BotoCoreError as error:
                    failed[asking[future]["StackName"]] = str(error)
        except KeyboardInterrupt:
            pool.shutdown(cancel_futures=True)
            raise
    return failed


def wait_until_gone(deployment: Deployment, stacks: Sequence[Stack]) -> dict[str, str]:
    """Wait for the deletions, by one listing pass each time; return, by name, what failed."""
    waiting = {stack["StackId"] for stack in stacks}
    deadline = time.monotonic() + 1800
    while time.monotonic() < deadline:
        left = [stack for stack in list_stacks(deployment) if stack["StackId"] in waiting]
        under_way = [stack for stack in left if stack["StackStatus"] == "DELETE_IN_PROGRESS"]
        if not under_way:
            return {
                stack["StackName"]: stack.get("StackStatusReason", stack["StackStatus"])
                for stack in left
            }
        time.sleep(0.5 if is_local() else 10)
    return {stack["StackName"]: "still being deleted after 30 minutes" for stack in under_way}


def _announce(verb: str, stacks: Sequence[tuple[Stack, str]]) -> None:
    for stack, state in stacks[:MAX_LISTED]:
        print(f"{verb:6} {stack['StackName']}: its run is {state}")
    if len(stacks) > MAX_LISTED:
        print(f"{verb:6} {len(stacks) - MAX_LISTED} more")


def _ask(count: int) -> None:
    if not sys.stdin.isatty():
        raise Refused(
            f"{counted(count, 'live run')} would be ended; say --yes "
            "(make clean-stacks ALL=1 YES=1)"
        )
    if console.answer(f"End {counted(count, 'live run')}? Type yes: ") != "yes":
        raise Refused("nothing was deleted")
