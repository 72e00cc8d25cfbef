"""What a drill is, and what is known when its machine is off."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from tests.boot import image

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
"""From power-on to user data on an idle host that emulates."""


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
        machines: how many the run has, one after another; the action is the first one's.
        suite: the Debian that boots.
        limit: seconds, less those that it waits for the host, after which a machine is switched off
            and the drill has failed.
    """

    name: str
    about: str
    script: str
    holds: Holds
    config: Mapping[str, Any] = field(default_factory=dict)
    files: Mapping[str, str] = field(default_factory=dict)
    action: Callable[[Scene], None] | None = None
    mark: str = TRAINER_BEGAN
    machines: int = 1
    suite: str = image.SUITE
    limit: float = 900


@dataclass(frozen=True, kw_only=True)
class Result:
    """What is left of a run when its machine, the last one, is off.

    Attributes:
        off: whether the machine went off by itself.
        pressed: whether EC2 pressed its power button, as the deletion of its stack makes it.
        record: the run's outcome, which the reap function writes; empty if there is none.
        stored: what the machine stored, by name.
        boots: how often its kernel began.
        seen: seconds from power-on after which the marks that were looked for were on the console.
        boot, end, total: seconds from power-on to user data, from the trainer's end to power-off,
            from power-on to power-off.
        waited, waits: seconds for which it waited for the host's processors: in all, and until
            each of the marks.
        before: the same of the machines before it, whose `record` is still empty.
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
    waited: float = 0.0
    waits: Mapping[str, float] = field(default_factory=dict)
    before: Sequence[Result] = ()

    def delay_since(self, mark: str) -> float:
        """Return by how many seconds the host has delayed what came after `mark`.

        It is the time for which the machine waited for the host's processors, and at least what
        its boot took too long: a slow host is as late as a busy one.
        """
        slow = (self.boot or 0.0) - IDLE_BOOT_SECONDS
        return max(0.0, slow, self.waited - self.waits.get(mark, self.waited))
