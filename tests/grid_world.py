"""One deployment on moto in which grids go on by themselves: events are delivered, trials end."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import Any

from moto.ec2.models import ec2_backends
from moto.s3.models import s3_backends

from parris.aws.trials import Trials
from parris.errors import ParrisError
from parris.events.router import grid_event
from parris.runs.grid import GridRecord
from scripts.deployment.outputs import Deployment
from tests.ledger import NAME
from tests.plans import NOW, SETTINGS
from tests.reap_world import IMAGE, ROLE_ID, machine_event
from tests.world import World

CONFIG = {
    **{"training-job-name": "one", "termination-method": "at-fixed-time", "time-limit": 60},
    "parameters": {"lr": 0.5, "seed": 0, "note": "none"},
}
GRID = {"parameters": {"lr": [0.1, 0.01], "seed": "1..3"}, "max-parallel": 2, "metric": "accuracy"}
GRID_ID = "20261124-110000-97811d3c"

Score = Callable[[Mapping[str, str]], float]


def accuracy(parameters: Mapping[str, str]) -> float:
    return float(parameters["lr"]) * 10 - float(parameters["seed"]) / 10


class GridWorld(World):
    """One deployment; a minute goes by with each round."""

    def __init__(self, config: Any = None, **more: Any) -> None:
        super().__init__(config)
        self.put("training-config.json", json.dumps(CONFIG | more))
        self.minutes = 0.0
        self.settings: dict[str, Any] = {}
        self.errors: list[str] = []
        self.score: Score = accuracy
        self.usd = 0.01
        """What a trial costs."""
        self.machines: dict[str, str] = {}
        """The machines that stand, by the ids of their runs."""

    def begin(self, grid: Any = None, **event: Any) -> Mapping[str, Any]:
        """Send the event of a grid; return the answer."""
        wanted = GRID if grid is None else grid
        whole = {"event-id": "e1", "time": "2026-11-24T11:00:00Z", "grid": wanted, **event}
        return self.launch(whole, **self.settings)

    def deliver(self) -> int:
        """Deliver what the functions have sent each other; return how many events that were."""
        to_launch, self.sent = self.sent, []
        to_reap, self.refused = self.refused, []
        for event in to_launch:
            try:
                self.launch(event, self.minutes, **self.settings)
            except ParrisError as error:
                self.errors.append(str(error))
                self.reap(self.minutes, {"requestPayload": event})
        for event in to_reap:
            self.reap(self.minutes, event)
        return len(to_launch) + len(to_reap)

    def settle_down(self) -> None:
        """Deliver events until there are none left."""
        while self.deliver():
            pass

    def train(self, run_id: str, state: str = "succeeded", **more: Any) -> None:
        """Let a run that stands end, and the reap function hear of it."""
        self.reap(self.minutes, machine_event(self.end_machine(run_id, state, **more)))

    def machine(self, run_id: str) -> str:
        """Return the id of a run's machine, which is started if it has none."""
        if run_id in self.machines:
            return self.machines[run_id]
        receipt = self.receipt(run_id)
        tags = {"parris:deployment": "parris", "parris:job": "default", "parris:run-id": run_id}
        tags["parris:stack"] = receipt.get("stack-id", "")
        [instance] = self.ec2.run_instances(
            ImageId=IMAGE,
            MinCount=1,
            MaxCount=1,
            TagSpecifications=[
                {
                    "ResourceType": "instance",
                    "Tags": [{"Key": key, "Value": value} for key, value in tags.items()],
                }
            ],
        )["Instances"]
        self.machines[run_id] = str(instance["InstanceId"])
        return self.machines[run_id]

    def store(self, run_id: str, name: str, body: bytes) -> None:
        """Let the machine of a run store something in its folder, now by S3's clock."""
        key = f"runs/default/{run_id}/machines/{ROLE_ID}:{self.machine(run_id)}/{name}"
        self.s3.put_object(Bucket="parris-results", Key=key, Body=body)
        stored = s3_backends["123456789012"]["aws"].get_object("parris-results", key)
        assert stored is not None
        stored.last_modified = self.now.replace(tzinfo=None)

    def end_machine(self, run_id: str, state: str = "succeeded", **more: Any) -> str:
        """Let the machine of a run that stands end its training; return its id."""
        receipt = self.receipt(run_id)
        said = {"run-id": run_id, "job": "default", "state": state, "reason": "", **more}
        said = {"ended-by": "trainer", "cost-usd": self.usd, **said}
        said["metrics"] = {"accuracy": self.score(receipt["parameters"])}
        instance_id = self.machine(run_id)
        self.store(run_id, "outcome.json", json.dumps(said).encode())
        self.ec2.terminate_instances(InstanceIds=[instance_id])
        # EC2's times say what it has cost.
        hourly = (receipt.get("price") or {}).get("hourly-usd")
        lasted = timedelta(hours=self.usd / float(hourly) if hourly else 0)
        held = ec2_backends["123456789012"]["us-east-1"].get_instance(instance_id)
        held.launch_time = self.now - lasted
        held._reason = f"User initiated ({self.now:%Y-%m-%d %H:%M:%S} GMT)"
        return instance_id

    def standing(self) -> list[str]:
        """Return the ids of the runs whose stacks stand, in the order of their trials."""
        return sorted(
            tag["Value"]
            for stack in self.stacks()
            for tag in stack["Tags"]
            if tag["Key"] == "parris:run-id"
        )

    def go_on(self, rounds: int = 100) -> None:
        """Let trials end, one each minute, until the grid is over."""
        for _ in range(rounds):
            self.minutes += 1
            self.settle_down()
            for run_id in self.standing()[:1]:
                self.train(run_id)
            if not self.grid().is_open:
                return
            if not self.standing():
                self.minutes += 10
                self.reap(self.minutes)

    def configure(self, **more: Any) -> None:
        """Upload a configuration with an image that there is: moto lacks those its SSM names."""
        image = self.ec2.register_image(Name=f"image {self.minutes} {sorted(more)}")["ImageId"]
        self.put("training-config.json", json.dumps({**CONFIG, "image": image, **more}))

    @property
    def deployment(self) -> Deployment:
        """It as the commands see it; what they invoke is the world's own launch function."""
        values: dict[str, Any] = dict.fromkeys(Deployment.__dataclass_fields__, "parris")
        values |= {"region": "us-east-1", "ledger_table": NAME, "launch_function": "parris-launch"}
        values |= {"config_bucket": "parris-config", "results_bucket": "parris-results"}
        made = Deployment(**values)
        made._clients["lambda"] = _Launches(self)
        return made

    def grid(self, grid_id: str = "") -> GridRecord:
        found, problems = Trials(self.table).newest(1, grid_id)
        assert not problems
        return found[0]

    def look(self) -> None:
        grid = self.grid()
        self.reap(self.minutes, grid_event(grid.job, grid.grid_id))

    @property
    def now(self) -> Any:
        return NOW + timedelta(minutes=self.minutes)


class _Launches:
    """The client of Lambda, for the world's launch function."""

    def __init__(self, world: GridWorld) -> None:
        self.world = world

    def invoke(self, *, FunctionName: str, Payload: bytes) -> Any:  # noqa: N803 - boto3's names
        assert FunctionName == "parris-launch"
        event = {**json.loads(Payload), "time": NOW.isoformat()}
        answer = self.world.launch(event, self.world.minutes, **self.world.settings)
        return {"Payload": io.BytesIO(json.dumps(answer).encode())}


assert SETTINGS.max_concurrent_runs == 10
