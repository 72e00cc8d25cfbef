"""Each rule says which it is in the words that the launch function knows."""

from __future__ import annotations

import re
from pathlib import Path

from parris.events.router import RULES

ROOT = Path(__file__).resolve().parents[2]
TRIGGERS = (ROOT / "triggers.tf").read_text()
CONTRACTS = (ROOT / "docs/contracts.md").read_text()


def test_every_rule_names_itself_and_no_rule_hands_a_payload_over_as_it_is() -> None:
    topics = re.findall(r"SELECT '(\w+)' AS rule", TRIGGERS)
    inputs = re.findall(r'"rule": "(\w+)"\n +}', TRIGGERS)  # last, after what others chose
    windows = re.findall(r'"rule": "(\w+)"', (ROOT / "lambda/parris/events/router.py").read_text())
    assert [*topics, *inputs, *windows] == list(RULES)
    assert len(re.findall(r"(?m)^  sql +=", TRIGGERS)) == len(topics)
    assert "SELECT *" not in TRIGGERS
    assert len(inputs) == TRIGGERS.count("input_template =")


def test_the_contract_lists_every_rule() -> None:
    for rule in RULES:
        assert f'`{{"rule": "{rule}"' in CONTRACTS
