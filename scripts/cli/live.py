"""What is drawn again in its place while something goes on; plain lines without a terminal."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Sequence
from typing import Any, Self

from scripts.cli.columns import GAP, Column, fitting
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


class LiveTable:
    """A table that is drawn again in its place; without a terminal a line for each row that is new.

    A terminal that cannot move its cursor gets such lines too.
    """

    def __init__(self, columns: Sequence[Column], moving: Sequence[str] = ()) -> None:
        """Make it.

        Args:
            columns: the first one tells the rows apart.
            moving: headings of those whose change alone is nothing new.
        """
        self._columns = columns
        self._still = [place for place, one in enumerate(columns) if one.heading not in moving]
        self._told: dict[str, list[str]] | None = None
        self._notes: Sequence[str] = ()
        self._live: Any = None

    def __enter__(self) -> Self:
        console = _console()
        if sys.stdout.isatty() and not console.is_dumb_terminal:
            from rich.live import Live  # only whoever looks pays for the import

            self._live = Live(
                console=console, auto_refresh=False, redirect_stdout=False, redirect_stderr=False
            )
            self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._live:
            self._live.stop()

    def show(
        self, moment: str, rows: Sequence[Sequence[str]], below: str, notes: Sequence[str]
    ) -> None:
        """Show what there is now.

        Args:
            moment: when it was read.
            below: a line that a terminal has below the table.
            notes: what else is to be said, a line each.
        """
        rows = [[one_line(cell) for cell in row] for row in rows]
        notes = [one_line(note) for note in notes]
        if self._live:
            self._draw(rows, one_line(below), notes)
        else:
            self._print(moment, rows, notes)

    def _draw(self, rows: Sequence[Sequence[str]], below: str, notes: Sequence[str]) -> None:
        from rich.text import Text

        size = self._live.console.size
        room = max(1, size.height - len(notes) - 3)
        heading, *lines = draw(self._columns, rows[:room], size.width)
        hidden = f", {len(rows) - room} more rows below" if len(rows) > room else ""
        whole = Text(no_wrap=True, overflow="crop")
        whole.append(heading, "bold")
        whole.append("".join(f"\n{line}" for line in (*lines, below + hidden, *notes)))
        self._live.update(whole, refresh=True)

    def _print(self, moment: str, rows: Sequence[Sequence[str]], notes: Sequence[str]) -> None:
        if self._told is None:
            self._told = {}
            print(*("TIME", *(column.heading for column in self._columns)), sep=" " * GAP)
        for row in rows:
            known = [row[place] for place in self._still]
            if self._told.get(row[0]) != known:
                self._told[row[0]] = known
                print(*(moment, *(cell or "-" for cell in row)), sep=" " * GAP, flush=True)
        for note in notes if notes != self._notes else ():
            print(f"{moment}{' ' * GAP}{note}", flush=True)
        self._notes = notes


def draw(columns: Sequence[Column], rows: Sequence[Sequence[str]], room: int) -> list[str]:
    """Return the lines of a table, heading first, each at most `room` cells wide.

    What a column may be wrapped to elsewhere, it is cut to here: a row is one line.
    """
    from rich.cells import cell_len, set_cell_size

    whole = [[column.heading for column in columns], *rows]
    widths = [max(map(cell_len, cells)) for cells in zip(*whole, strict=True)]
    shown = fitting(columns, widths, room)
    least = {place: min(widths[place], columns[place].least or widths[place]) for place in shown}
    left = room - sum(least.values()) - GAP * (len(shown) - 1)
    for place in shown:
        more = max(0, min(left, widths[place] - least[place]))
        least[place], left = least[place] + more, left - more

    def fit(text: str, width: int) -> str:
        if cell_len(text) > width:
            text = set_cell_size(text, max(0, width - 1)) + "…"
        return set_cell_size(text, width)

    join: Callable[[Sequence[str]], str] = (" " * GAP).join
    lines = (join([fit(row[place], width) for place, width in least.items()]) for row in whole)
    return [set_cell_size(line, min(room, cell_len(line))).rstrip() for line in lines]


def _console() -> Any:
    from rich.console import Console

    # Neither markup nor names of emoji in what is shown mean anything.
    return Console(file=terminal(), highlight=False, markup=False, emoji=False)
