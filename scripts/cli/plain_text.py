"""What is printed is read, never obeyed: the one place that all text passes on its way out.

Logs, reasons, keys, serial numbers and CloudFormation's words are written by trainers, by devices
and by whoever else may write to a bucket or a topic. A terminal would obey the escapes in them.
"""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout, suppress
from pathlib import Path
from typing import TextIO, cast

from parris.errors import plain


class PlainOutput:
    """A text stream in front of another, which gets what is written as plain text."""

    def __init__(self, stream: TextIO) -> None:
        self.stream = stream
        self.encoding = stream.encoding

    def write(self, text: str) -> int:
        self.stream.write(plain(text))
        return len(text)

    def flush(self) -> None:
        self.stream.flush()

    def isatty(self) -> bool:
        return self.stream.isatty()

    def close(self) -> None:
        self.stream.close()


@contextmanager
def plain_output() -> Iterator[None]:
    """Let everything that is printed, errors too, be plain text."""
    with (
        redirect_stdout(cast(TextIO, PlainOutput(sys.stdout))),
        redirect_stderr(cast(TextIO, PlainOutput(sys.stderr))),
    ):
        yield


def nobody_reads() -> None:
    """Let what is still to be written go nowhere: whoever read it is gone.

    Python flushes its streams when it ends, and would find that out once more (Python library
    reference, "signal", note on SIGPIPE).
    """
    for stream in (sys.stdout, sys.stderr):
        real = stream.stream if isinstance(stream, PlainOutput) else stream
        with suppress(io.UnsupportedOperation), Path(os.devnull).open("wb") as nowhere:
            os.dup2(nowhere.fileno(), real.fileno())


def terminal() -> TextIO:
    """Return standard output itself, for what draws with escapes of its own (rich).

    What is drawn there has to be plain before.
    """
    stream = sys.stdout
    return stream.stream if isinstance(stream, PlainOutput) else stream


def one_line(text: str) -> str:
    """Return `text` as plain text without line breaks, which could pass for lines of ours."""
    return plain(text).replace("\n", "\\n").replace("\t", " ")
