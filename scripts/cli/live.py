"""What is drawn again in its place while something goes on; plain lines without a terminal."""

from __future__ import annotations

import sys
import threading
from typing import Any, Self

from scripts.cli.plain_text import one_line, terminal


class Bytes:
    """How much of so many bytes has come, below a line for each thing that is there."""

    def __init__(self, total: int) -> None:
        self._total, self._lock = total, threading.Lock()
        self._drawn: Any = None
        self._task: Any = None

    def __enter__(self) -> Self:
        if self._total and sys.stdout.isatty():
            from rich import progress  # only whoever looks pays for the import

            self._drawn = progress.Progress(
                progress.BarColumn(),
                progress.DownloadColumn(),
                progress.TransferSpeedColumn(),
                progress.TimeRemainingColumn(),
                console=_console(),
                redirect_stdout=False,
                redirect_stderr=False,
                transient=True,
            )
            self._drawn.start()
            self._task = self._drawn.add_task("", total=self._total)
        return self

    def __exit__(self, *_: object) -> None:
        if self._drawn:
            self._drawn.stop()

    def advance(self, count: int) -> None:
        """Note that so many bytes more are here."""
        if self._drawn:
            with self._lock:
                self._drawn.advance(self._task, count)

    def say(self, line: str) -> None:
        """Print a line above."""
        if self._drawn:
            self._drawn.console.print(one_line(line), soft_wrap=True)
        else:
            print(one_line(line))


def _console() -> Any:
    from rich.console import Console

    # Neither markup nor names of emoji in what is shown mean anything.
    return Console(file=terminal(), highlight=False, markup=False, emoji=False)
