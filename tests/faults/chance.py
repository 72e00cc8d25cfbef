"""A part of all calls goes wrong, chosen by a seed, in the ways of `injector`."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeVar

from botocore.exceptions import ClientError, ReadTimeoutError

from tests.faults.injector import CODES, KINDS, Death

Answer = TypeVar("Answer")


@dataclass
class Chance:
    """What goes wrong with the calls of some processes, of which one runs at a time."""

    random: random.Random
    rate: float
    """The part of all calls."""
    struck: Counter[str] = field(default_factory=Counter)
    """How many calls went wrong how."""
    dead: bool = False
    """Whether the process is gone. Whatever else it had begun does no call any more."""

    def call(self, do: Callable[[], Answer]) -> Answer:
        """Make a call; `do` is its effect, which it may have once, twice or not at all."""
        if self.dead:
            raise Death
        if self.random.random() >= self.rate:
            return do()
        kind = self.random.choice(KINDS)
        self.struck[kind] += 1
        if kind in CODES:
            raise ClientError({"Error": {"Code": CODES[kind], "Message": "by chance"}}, "Call")
        if kind in ("timed-out", "dies-before"):
            raise self._without_answer(kind)
        do()
        if kind == "sent-again":
            return do()
        raise self._without_answer(kind)

    def _without_answer(self, kind: str) -> BaseException:
        self.dead = kind.startswith("dies")
        return Death() if self.dead else ReadTimeoutError(endpoint_url="https://aws.example")
