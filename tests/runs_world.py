"""One deployment on moto whose machines a test starts, and EC2 takes away."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import pytest
from moto.cloudformation.models import cloudformation_backends
from moto.ec2.models import ec2_backends
from moto.s3.models import s3_backends

from parris.contract import EndedBy
from tests.plans import NOW
from tests.reap_world import ROLE_ID, machine_event
from tests.world import World, start_machine

SPOT = "Server.SpotInstanceTermination"
CONFIG = {"training-job-name": "one", "market": "spot-then-on-demand", "time-limit": 600}
CONFIG |= {"termination-method": "at-fixed-time"}


class Runs(World):
    """One deployment whose machines a test starts and takes away."""

    def begin(self, **config: Any) -> str:
        """Launch a run; return its id."""
        self.put("training-config.json", json.dumps({**CONFIG, **config}))
        return str(self.launch()["run-id"])

    def machine(self, run_id: str, minutes: float = 0, *, began: bool = True) -> str:
        """Start the machine that the run's stack would hold; return its id."""
        tags = {"parris:deployment": "parris", "parris:job": "default", "parris:run-id": run_id}
        at = NOW + timedelta(minutes=minutes)
        instance_id = start_machine(self.ec2, self.stack()["StackId"], tags, at)
        if began:
            self.store(run_id, instance_id, "alive.json", "{}")
        return instance_id

    def instance(self, instance_id: str) -> Any:
        return ec2_backends["123456789012"]["us-east-1"].get_instance(instance_id)

    def store(self, run_id: str, instance_id: str, name: str, body: str) -> None:
        key = f"runs/default/{run_id}/machines/{ROLE_ID}:{instance_id}/{name}"
        self.s3.put_object(Bucket="parris-results", Key=key, Body=body.encode())

    def heard(self, run_id: str, instance_id: str, minutes: float) -> None:
        """Let S3 have heard of a machine last at so many minutes by its own clock."""
        bucket = s3_backends["123456789012"]["aws"].buckets["parris-results"]
        for key, kept in bucket.keys.items():
            if key.startswith(f"runs/default/{run_id}/machines/{ROLE_ID}:{instance_id}/"):
                kept.last_modified = (NOW + timedelta(minutes=minutes)).replace(tzinfo=None)

    def take(self, instance_id: str, reason: str = SPOT) -> None:
        """Let EC2 end a machine."""
        self.ec2.terminate_instances(InstanceIds=[instance_id])
        held = self.instance(instance_id)
        held.state_reason.code = reason
        held._reason = ""  # moto's has the time of the test

    def stack(self) -> Any:
        return self.cloudformation.describe_stacks(StackName="one")["Stacks"][0]

    def attempt(self) -> str:
        return str({tag["Key"]: tag["Value"] for tag in self.stack()["Tags"]}["parris:attempt"])

    def deliver(self, minutes: float = 0) -> list[Any]:
        """Hand the launch function what the reap function sent; return its answers."""
        sent, self.sent = self.sent, []
        return [self.launch(event, minutes) for event in sent]

    def ask_to_stop(self, run_id: str, **stop: str) -> None:
        """Do what `make stop` does to the receipt, or what `stop` says."""
        receipt = {**self.receipt(run_id), "stop": stop or {"by": "make stop"}}
        key = f"runs/default/{run_id}/run.json"
        self.s3.put_object(Bucket="parris-results", Key=key, Body=json.dumps(receipt).encode())

    def end_refused(self, minutes: float = 0) -> None:
        """Hand the reap function what the launch function sent."""
        sent, self.refused = self.refused, []
        for event in sent:
            self.reap(minutes, event)

    def outcome(self, run_id: str) -> Any:
        key = f"runs/default/{run_id}/outcome.json"
        return json.loads(self.s3.get_object(Bucket="parris-results", Key=key)["Body"].read())

    def price(self, usd: str) -> None:
        """Let EC2 and the Price List ask so much for an hour of any machine, its volume free."""
        self.prices.usd["instanceType"] = usd


def refuse(patch: pytest.MonkeyPatch, said: str) -> None:
    """Let CloudFormation say that the machine of the stack could not be made."""
    backend = cloudformation_backends["123456789012"]["us-east-1"]
    backend.get_stack("one").status = "ROLLBACK_COMPLETE"
    patch.setattr("parris.reap.relaunch.first_failure", lambda *_: f"Instance: {said}")
    by_reap = (EndedBy.REAP, NOW)  # moto keeps no token
    patch.setattr("parris.reap.between.last_deletion", lambda *_: by_reap)


def interrupted(runs: Runs, minutes: float = 10, **config: Any) -> tuple[str, str]:
    """Return a run whose first machine EC2 took after so many minutes, and that machine."""
    run_id = runs.begin(**config)
    first = runs.machine(run_id)
    runs.take(first)
    runs.reap(minutes, machine_event(first))
    return run_id, first
