"""What a drill is, and what is known when its machine is off."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tests.boot.checks import Holds
    from tests.boot.network import Front
    from tests.boot.stage import Launched, Stage
    from tests.boot.vm import Machine

KERNEL = "Linux version "
USER_DATA = "parris: user data began"
TRAINER_BEGAN = "drill: trainer begins"
TRAINER_ENDED = "drill: trainer ends"

IDLE_BOOT_SECONDS = 60
"""From power-on to user data on an idle host that emulates; one that takes longer is busy."""


@dataclass(frozen=True, kw_only=True)
class Scene:
    """What a drill's action may lay its hands on while the machine runs."""

    machine: Machine
    front: Front
    stage: Stage
    run: Launched


@dataclass(frozen=True, kw_only=True)
class Drill:
    """One boot: what trains, what is done to the machine, and what must hold afterwards.

    Attributes:
        script: of the trainer, behind lines that tell the console when it begins and ends.
        config: what the job's config says beside the usual.
        files: what else its folder has, by name: paths below the repository.
        action: what happens to the machine once `mark` is on the console.
        limit: seconds after which the machine is switched off and the drill has failed.
    """

    name: str
    about: str
    script: str
    holds: Holds
    config: Mapping[str, Any] = field(default_factory=dict)
    files: Mapping[str, str] = field(default_factory=dict)
    action: Callable[[Scene], None] | None = None
    mark: str = TRAINER_BEGAN
    limit: float = 900


@dataclass(frozen=True, kw_only=True)
class Result:
    """What is left of a run when its machine is off.

    Attributes:
        off: whether the machine went off by itself.
        pressed: whether EC2 pressed its power button, as the deletion of its stack makes it.
        record: the run's outcome, which the reap function writes; empty if there is none.
        stored: what the machine stored, by name.
        boots: how often its kernel began.
        seen: seconds from power-on after which the marks that were looked for were on the console.
        boot, end, total: seconds from power-on to user data, from the trainer's end to power-off,
            from power-on to power-off.
    """

    off: bool
    pressed: bool
    record: Mapping[str, Any]
    stored: Mapping[str, bytes]
    user_data: bytes
    console: str
    boots: int
    seen: Mapping[str, float]
    boot: float | None
    end: float | None
    total: float

    @property
    def delay(self) -> float:
        """Seconds by which the host's other work delayed the boot, and may delay the end."""
        return max(0.0, (self.boot or 0.0) - IDLE_BOOT_SECONDS)
