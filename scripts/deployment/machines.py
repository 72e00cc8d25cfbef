"""The machines of a deployment's runs, as EC2 describes them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

from parris.aws.instances import node_rank
from parris.runs.lifecycle import APPEARING
from scripts.deployment.outputs import Deployment

_VALUES = 200
"""Of one filter (EC2 API reference, DescribeInstances)."""


def find_machine(deployment: Deployment, run_id: str) -> dict[str, Any]:
    """Return a run's newest instance, of several nodes the newest head.

    Its state is "none" if EC2 does not know one (any more).
    """
    answer = deployment.client("ec2").describe_instances(
        Filters=[
            {"Name": "tag:parris:run-id", "Values": [run_id]},
            {"Name": "tag:parris:deployment", "Values": [deployment.deployment]},
        ]
    )
    every = [found for each in answer["Reservations"] for found in each["Instances"]]
    found = [one for one in every if node_rank(one) == "0"]
    # A run may have had several, of which EC2 lists the last for about an hour after its end.
    found.sort(key=lambda instance: instance["LaunchTime"])
    return dict(found[-1]) if found else {"InstanceId": "", "State": {"Name": "none"}}


def instance_of(stack: Mapping[str, Any] | None) -> str:
    """Return the id of a stack's instance; "" where the stack names none."""
    outputs = (stack or {}).get("Outputs", [])
    return next((str(o["OutputValue"]) for o in outputs if o["OutputKey"] == "InstanceId"), "")


def machine_states(deployment: Deployment, stacks: Iterable[Mapping[str, Any]]) -> dict[str, str]:
    """Return the states of the instances of `stacks` by id; "missing" if EC2 knows none any more.

    EC2 forgets a terminated instance after about an hour. One whose stack was changed so lately
    that EC2 may not know it yet is left out while it does not, as `judge` waits for it too. A
    filter finds what there is of many; a list of ids would be refused for one that is missing.
    """
    long_ago = datetime.now(UTC) - APPEARING
    changed = {
        machine: one.get("LastUpdatedTime", one["CreationTime"])
        for one in stacks
        if (machine := instance_of(one))
    }
    states = {machine: "missing" for machine, when in changed.items() if when < long_ago}
    asked = sorted(changed)
    for start in range(0, len(asked), _VALUES):
        some = asked[start : start + _VALUES]
        pages = deployment.client("ec2").get_paginator("describe_instances")
        for page in pages.paginate(Filters=[{"Name": "instance-id", "Values": some}]):
            for reservation in page["Reservations"]:
                for found in reservation["Instances"]:
                    states[found["InstanceId"]] = found["State"]["Name"]
    return states
