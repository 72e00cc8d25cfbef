"""A run.json as commands read it: a note says what of it cannot be used."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any

from parris.runs import stored_receipt
from parris.runs.documents import Receipt
from scripts.cli.plain_text import one_line


def read_receipt(body: bytes, key: str) -> Receipt:
    """Return the receipt in `body`; a note on standard error says what of it cannot be used."""
    receipt, wrong = stored_receipt.read_receipt(body)
    return _noted(receipt, key, wrong)


def sound(given: Mapping[str, Any], name: str) -> Receipt:
    """Return a receipt without what is not of its kind, of which a note says what and where."""
    receipt, wrong = stored_receipt.sound(given)
    return _noted(receipt, name, wrong)


def _noted(receipt: Receipt, name: str, wrong: str) -> Receipt:
    if wrong:
        print(one_line(f"note: {name}: {wrong}"), file=sys.stderr)
    return receipt
