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


@pytest.mark.parametrize("shown", [False, True])
def test_yes_goes_on_and_a_plan_that_was_shown_is_not_offered(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], shown: bool
) -> None:
    monkeypatch.setattr(sys, "stdin", Typed(" yes \n"))
    terraform._ask("apply", shown=shown)
    assert ("PLAN=1" in capsys.readouterr().out) != shown
