"""The JSON Schema for editors accepts exactly what the launch function accepts."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from parris.config import FIELDS, read_config
from parris.errors import InvalidConfig
from scripts import config_schema

VALIDATOR = Draft202012Validator(config_schema.schema())

JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=20),
    lambda children: (
        st.lists(children, max_size=3) | st.dictionaries(st.text(max_size=8), children, max_size=3)
    ),
    max_leaves=5,
)
TEXTS = st.sampled_from(
    [
        *("", "a", "a\n", "trainer-script.sh", "../x", "/x", "c7i.large", "sg-2ff91848", "true"),
        *("subnet-634f5c06", "ami-12345678", "/aws/service/x", "at-fixed-time", "around-cost"),
        *("training-completion", "spot", "on-demand", "é", "x" * 300),
    ]
)
NUMBERS = st.sampled_from([0, 1, 5, 8, 10.0, 90.5, 10080, 10081, -1, 1e9, 0.01, 100_000, 100_001])
PARAMETERS = st.dictionaries(
    st.sampled_from(["epochs", "a-b", "a_b", "9", "", "x\n", "A" * 64, "A" * 65])
    | st.text(max_size=3),
    JSON | TEXTS | NUMBERS | st.just("x" * 1025) | st.just("a\0b"),
    max_size=3,
)
LIMITS = st.dictionaries(
    st.sampled_from(["time-limit", "time_limit", "cost-limit", "cost_limit", "_note", "minutes"]),
    NUMBERS | JSON,
    max_size=3,
)
KEYS = st.sampled_from(
    [name for key in [*FIELDS, config_schema.OPTIONS] for name in config_schema.spellings(key)]
) | st.sampled_from(["_comment", "instance", "Time-limit", "time-limit\n", ""])
CONFIGS = st.dictionaries(KEYS, TEXTS | NUMBERS | st.booleans() | PARAMETERS | LIMITS, max_size=5)


def test_the_schema_in_docs_is_the_one_that_is_generated() -> None:
    assert json.loads(config_schema.PATH.read_text()) == config_schema.schema()  # make format


@settings(max_examples=1000, deadline=None)
@given(CONFIGS | JSON)
def test_function_and_schema_always_agree(config: Any) -> None:
    try:
        read_config(json.dumps(config), "test")
    except InvalidConfig as error:
        accepted, why = False, str(error)
    else:
        accepted, why = True, "accepted"
    refusals = [refusal.message for refusal in VALIDATOR.iter_errors(config)]
    assert accepted == (not refusals), (why, refusals)


@settings(max_examples=200, deadline=None)
@given(
    method=st.sampled_from(["training-completion", "at-fixed-time", "around-cost"]),
    limits=LIMITS,
    top=LIMITS,
)
def test_they_agree_on_limits_in_either_place(
    method: str, limits: dict[str, Any], top: dict[str, Any]
) -> None:
    test_function_and_schema_always_agree.hypothesis.inner_test(  # type: ignore[attr-defined]
        {"termination_method": method, "termination-options": limits, **top}
    )


@given(st.text() | st.binary())
def test_no_text_raises_anything_but_invalid_config(text: str | bytes) -> None:
    try:
        read_config(text, "test")
    except InvalidConfig as error:
        assert error.problems  # noqa: PT017 - it may also be accepted


@pytest.mark.parametrize(
    "text", ["[" * 100_000, b"\xff\xfe{", '{"time-limit": ' + "9" * 5000 + "}"]
)
def test_text_that_breaks_parsers_is_refused(text: str | bytes) -> None:
    with pytest.raises(InvalidConfig):
        read_config(text, "test")
