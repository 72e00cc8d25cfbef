"""What could not be dealt with in one invocation, while everything else was."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from ..errors import ParrisError

log = logging.getLogger(__name__)

# What others wrote may break whoever reads it in ways that nobody lists: JSON that is nested too
# deep is a RecursionError, a price that is no number an ArithmeticError. No list ends a sweep.
ANYTHING = Exception
"""What may go wrong with one stack, or one object, while the others wait."""

Careful = Callable[[str, Callable[[], Any]], None]
"""Does a thing, given what to call it; what goes wrong is noted, and hinders nothing else."""

Stack = Mapping[str, Any]
"""A stack as CloudFormation describes it."""

_AT_ONCE = 8


class Failures:
    """Collects what went wrong, a line each."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def careful(self, what: str, do: Callable[[], Any]) -> None:
        """Do a thing; see `Careful`."""
        try:
            do()
        except ANYTHING as error:
            log.exception("%s could not be dealt with", what)
            self.lines.append(f"{what}: {error}")

    def each(self, act: Callable[[Stack], Stack | None], stacks: Iterable[Stack]) -> list[Stack]:
        """Return what `act` returned for each stack; none waits for another that failed."""

        def careful(stack: Stack) -> Stack | None:
            try:
                return act(stack)
            except ANYTHING as error:
                log.exception("stack %s could not be dealt with", stack["StackName"])
                self.lines.append(f"{stack['StackName']}: {error}")
                return None

        with ThreadPoolExecutor(max_workers=_AT_ONCE) as pool:
            return [done for done in pool.map(careful, stacks) if done is not None]

    def raise_any(self) -> None:
        """End the invocation as failed if anything was.

        Raises:
            ParrisError: with every line.
        """
        if self.lines:
            count = len(self.lines)
            raise ParrisError(f"{count} things could not be dealt with: {'; '.join(self.lines)}")
