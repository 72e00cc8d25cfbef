"""What a drill does to its machine, its network, its receipt."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from scripts.local import interruptions
from tests.boot.drill import Scene
from tests.boot.network import S3

Action = Callable[[Scene], None]


def let_s3(behave: S3) -> Action:
    """Let S3 refuse, or hang, from now on."""

    def action(scene: Scene) -> None:
        scene.front.s3 = behave

    return action


def cut_network(scene: Scene) -> None:
    """Pull the machine's cable."""
    scene.machine.command("set_link", name="nic", up=False)


def press_power_button(scene: Scene) -> None:
    """Press the power button, as EC2 does when an instance is stopped or terminated."""
    scene.machine.command("system_powerdown")


def extend(scene: Scene) -> None:
    """Give the run half an hour, as ``make extend`` does."""
    scene.stage.change_receipt(scene.run, deadline=_iso(minutes=30))


def stop(scene: Scene) -> None:
    """Ask the run to end, as ``make stop`` does."""
    scene.stage.change_receipt(scene.run, stop={"requested": _iso(), "by": "make stop"})


def give_spot_notice(scene: Scene) -> None:
    """Let EC2 say that it takes the spot machine back in two minutes."""
    notice = {"action": "terminate", "time": _iso(minutes=2)}
    (scene.run.directory / "spot-notice.json").write_text(json.dumps(notice))


def take_spot_machine(scene: Scene) -> None:
    """Let EC2 take the spot machine back: the notice, its event, and after two minutes the end."""
    interruptions.ask(scene.stage.home, scene.run.instance, 120)


def _iso(minutes: float = 0) -> str:
    return (datetime.now(UTC) + timedelta(minutes=minutes)).strftime("%Y-%m-%dT%H:%M:%SZ")
