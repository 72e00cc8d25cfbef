"""What every script says of a place that it cannot write to; the rest of console is elsewhere."""

from __future__ import annotations

import errno
import os

import pytest

from scripts.cli import console


@pytest.mark.parametrize(
    ("number", "said"),
    [
        (errno.ENOSPC, "No space left on device; the disk is full: make room and try again"),
        (errno.EROFS, "Read-only file system; that disk is read-only: work in a clone that you"),
        (errno.EACCES, "Permission denied; you may not write there: work in a clone that is yours"),
        (errno.EDQUOT, "your quota on that disk is used up: make room and try again"),
    ],
)
@pytest.mark.parametrize("name", ["results/x", None])
def test_a_place_that_cannot_be_written_to_is_one_line_that_says_what_to_do(
    capsys: pytest.CaptureFixture[str], number: int, said: str, name: str | None
) -> None:
    def work() -> int:
        raise OSError(number, os.strerror(number), name)

    assert console.status_of(work) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"error: {name or 'a file'}: ")
    assert said in line


def test_another_trouble_with_a_file_is_ours_and_not_hidden() -> None:
    def work() -> int:
        raise FileNotFoundError(errno.ENOENT, "No such file or directory", "x")

    with pytest.raises(FileNotFoundError):
        console.status_of(work)
