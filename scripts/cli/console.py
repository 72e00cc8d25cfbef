"""How every script speaks: one clear error, plain lines, JSON for machines."""

from __future__ import annotations

import errno
import json
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import nullcontext, redirect_stdout
from functools import partial
from typing import Any, TextIO, TypeVar

from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    EndpointConnectionError,
    NoCredentialsError,
    PartialCredentialsError,
    TokenRetrievalError,
    UnauthorizedSSOTokenError,
)

from scripts.cli.columns import GAP, Column, fitting
from scripts.cli.plain_text import nobody_reads, one_line, plain_output, terminal
from scripts.cli.which_cloud import forgotten, hint

T = TypeVar("T")

PROGRESS_SECONDS = 2.0

RUN_FAILED = 3
"""The exit status of whoever followed a run that did not succeed."""

_answers: TextIO | None = None
"""Where answers in JSON go while standard output is for them alone."""


class Refused(Exception):
    """Something a person can mend; the text says what was found and what to do."""


_CREDENTIAL_CODES = {
    "ExpiredToken",
    "ExpiredTokenException",
    "InvalidAccessKeyId",
    "InvalidClientTokenId",
    "SignatureDoesNotMatch",
    "UnrecognizedClientException",
}


_PLACES = {
    errno.ENOSPC: "the disk is full: make room and try again",
    errno.EDQUOT: "your quota on that disk is used up: make room and try again",
    errno.EROFS: "that disk is read-only: work in a clone that you may write to",
    errno.EACCES: "you may not write there: work in a clone that is yours",
}


def run(main: Callable[[list[str]], int]) -> None:
    """Run `main` on the command line and exit: 0 done, 1 refused or failed, 2 usage, 130 Ctrl-C."""
    sys.exit(status_of(partial(main, sys.argv[1:])))


def status_of(work: Callable[[], int], *, as_json: bool = False) -> int:
    """Return the exit status of `work`, having said what it was refused.

    It is also 0 if whoever read the output, `head` for one, has seen enough.

    Args:
        as_json: whether standard output is for `print_json` alone, and all else goes to standard
            error.
    """
    global _answers
    with plain_output():
        _answers = sys.stdout if as_json else None
        try:
            with redirect_stdout(sys.stderr) if as_json else nullcontext():
                status = _run(work)
            sys.stdout.flush()  # or the interpreter would find nobody there when it ends
        except BrokenPipeError:
            nobody_reads()
            status = 0
        finally:
            _answers = None
    return status


def _run(work: Callable[[], int]) -> int:
    try:
        status = work()
    except Refused as error:
        status = fail(str(error))
    except (NoCredentialsError, PartialCredentialsError) as error:
        status = fail(f"{_no_credentials()} ({error})")
    except (TokenRetrievalError, UnauthorizedSSOTokenError) as error:
        status = fail(f"{_no_credentials()} ({error})")
    except EndpointConnectionError as error:
        status = fail(f"{error}; is the region right, and the network there?")
    except ClientError as error:
        status = fail(explain(error))
    except BotoCoreError as error:
        status = fail(f"AWS: {error}")
    except OSError as error:
        if error.errno not in _PLACES:
            raise
        status = fail(f"{error.filename or 'a file'}: {error.strerror}; {_PLACES[error.errno]}")
    except KeyboardInterrupt:
        print("\nstopped; nothing on AWS was undone by that", file=sys.stderr)
        status = 130
    return status


def explain(error: ClientError) -> str:
    """Return AWS's refusal as one line with what to do next."""
    code, message = error.response["Error"]["Code"], error.response["Error"].get("Message", "")
    if code in _CREDENTIAL_CODES:
        return f"{_no_credentials()} (AWS says {code}: {message})"
    if code in ("AccessDenied", "AccessDeniedException"):
        return (
            f"AWS refused {error.operation_name}: {message}; are these credentials for the "
            "account and the deployment you mean (terraform output account_id)?"
        )
    if code in ("NoSuchBucket", "ResourceNotFoundException"):
        return (
            f"{error.operation_name}: {message}; the deployment that terraform output describes "
            "is not there with these credentials: check the account, or run make deploy"
        )
    return f"AWS refused {error.operation_name}: {code}: {message}"


def _no_credentials() -> str:
    local = forgotten() or "make local-up starts an embedded cloud, which LOCAL=1 uses"
    return (
        "there are no usable AWS credentials; run aws configure (or aws sso login), or set "
        f"AWS_PROFILE; {local}"
    )


def answer(question: str) -> str:
    """Return what is typed as the answer to `question`; nothing if the input ends (Ctrl-D)."""
    try:
        return input(question).strip()
    except EOFError:
        print()  # what is said next would stand behind the question
        return ""


def progress(items: Iterable[T], total: int, what: str) -> Iterator[T]:
    """Yield `items` and show how many of `total` have come; plain lines without a terminal."""
    if sys.stdout.isatty():
        from rich.console import Console  # only whoever looks pays for the import
        from rich.progress import Progress

        # What is printed meanwhile goes its own way, through `plain_output`, not through rich.
        drawn = Progress(
            console=Console(file=terminal()), redirect_stdout=False, redirect_stderr=False
        )
        with drawn:
            yield from drawn.track(items, total=total, description=what)
        return
    shown = time.monotonic()
    for count, item in enumerate(items, 1):
        yield item
        if time.monotonic() - shown > PROGRESS_SECONDS:
            shown = time.monotonic()
            print(f"{count} of {total} {what}", flush=True)


class Moving:
    """One line that tells how far something is; without a terminal, a line now and then."""

    def __init__(self) -> None:
        self._started = self._shown = time.monotonic()
        self._text = ""

    def show(self, text: str) -> None:
        """Show `text` and the seconds since the beginning, if they say something new."""
        now = time.monotonic()
        if sys.stdout.isatty():
            text = f"{text}, {now - self._started:.0f} s"
            if text != self._text:
                self._text = text
                print(f"\r{one_line(text)}\x1b[K", end="", file=terminal(), flush=True)
        elif text != self._text and now - self._shown > PROGRESS_SECONDS:
            self._text, self._shown = text, now
            print(f"{text}, {now - self._started:.0f} s", flush=True)

    def clear(self) -> None:
        """Take the line away, before something else is printed."""
        if self._text and sys.stdout.isatty():
            print("\r\x1b[K", end="", file=terminal(), flush=True)
            self._text = ""


def print_table(columns: Sequence[Column], rows: Sequence[Sequence[str]]) -> bool:
    """Print a table: on a terminal what fits its width, else whole lines for grep and for files.

    Returns:
        Whether every column was shown.
    """
    headings = [column.heading for column in columns]
    rows = [[one_line(cell) for cell in row] for row in rows]
    if not sys.stdout.isatty():
        widths = [max(map(len, column)) for column in zip(headings, *rows, strict=True)]
        for row in (headings, *rows):
            cells = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
            print((" " * GAP).join(cells).rstrip())
        return True
    from rich.cells import cell_len  # only whoever looks pays for the import
    from rich.console import Console
    from rich.table import Table

    # Neither markup nor names of emoji in a cell mean anything.
    drawn = Console(file=terminal(), highlight=False, markup=False, emoji=False)
    widths = [max(map(cell_len, column)) for column in zip(headings, *rows, strict=True)]
    shown = fitting(columns, widths, drawn.width)
    table = Table(box=None, pad_edge=False, padding=(0, GAP, 0, 0))
    for place in shown:
        whole = columns[place].least is None
        least = widths[place] if whole else None
        table.add_column(headings[place], overflow="fold", no_wrap=whole, min_width=least)
    for row in rows:
        table.add_row(*(row[place] for place in shown))
    needed = sum(widths[place] + GAP for place in shown if columns[place].least is None) - GAP
    # A terminal too narrow for what is always shown breaks its lines itself, and copies them whole.
    drawn.width = max(drawn.width, needed)
    drawn.print(table)
    return len(shown) == len(columns)


def fail(message: str) -> int:
    """Print an error, with its commands as they have to be typed; return the exit status."""
    print(f"error: {hint(message)}", file=sys.stderr)
    return 1


def print_json(value: Any) -> None:
    """Print an answer for machines."""
    print(json.dumps(value, indent=2, default=str), file=_answers or sys.stdout)
