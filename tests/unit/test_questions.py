"""What is asked before anything is changed, and what counts as an answer."""

from __future__ import annotations

import io
import sys
from functools import partial

import pytest

from scripts import terraform
from scripts.commands import clean_stacks
from scripts.console import Refused


class Typed(io.StringIO):
    """A terminal on which this was typed, and Ctrl-D after it."""

    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize("words", ["", "no\n", "\n", "y\n"])
def test_what_is_not_yes_changes_nothing(monkeypatch: pytest.MonkeyPatch, words: str) -> None:
    for ask in (partial(terraform._ask, "apply"), partial(clean_stacks._ask, 2)):
        monkeypatch.setattr(sys, "stdin", Typed(words))
        with pytest.raises(Refused, match=r"^nothing was (changed|deleted)$"):
            ask()


def test_yes_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", Typed(" yes \n"))
    terraform._ask("apply")
