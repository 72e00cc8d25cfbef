"""The JSON Schema for editors accepts exactly what the launch function accepts."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from parris.errors import InvalidConfig
from parris.jobs.config import FIELDS, LIMITS, OUR_TEMPLATES, RETRY, read_config
from parris.jobs.config import OPTIONS as GROUPS
from parris.jobs.fields import (
    MOST,
    Amount,
    Choice,
    Data,
    Field,
    Flag,
    Secrets,
    Several,
    Text,
    Whole,
)
from parris.jobs.inputs import FOLDER, REFERENCE, URI, VARIABLE
from scripts.reference import config_schema
from scripts.reference.config_schema import AGAIN, OPTIONS, spellings

VALIDATOR = Draft202012Validator(config_schema.schema())

# Half a surrogate pair is a string to JSON and to nothing else: it belongs to "any text".
ANY_TEXT = st.text(st.characters(), max_size=20)
JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.integers(min_value=10**300, max_value=10**400)
    | st.floats(allow_nan=False, allow_infinity=False)
    | ANY_TEXT,
    lambda children: (
        st.lists(children, max_size=3) | st.dictionaries(ANY_TEXT, children, max_size=3)
    ),
    max_leaves=5,
)
TEXTS = st.sampled_from(
    [
        *("", "a", "trainer-script.sh", "../x", "/x", "a/../b", "c7i.large", "sg-2ff91848"),
        *("subnet-634f5c06", "ami-12345678", "/aws/service/x", "at-fixed-time", "around-cost"),
        *("training-completion", "spot", "on-demand", "true", "é", "\u2028", "😀", "\ud800"),
        *("x" * length for length in (64, 65, 128, 129, 200, 201, 255, 256, 1024, 1025)),
    ]
)
WHOLE = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=20)
LINES = st.builds("{}{}".format, TEXTS, st.sampled_from(["\n", "\r", "\r\n", "\n\n", " ", "\0"]))
NUMBERS = st.sampled_from([0, -1, -0.0, 10.0, 90.5, 1e9, 1e308, 5e-324, 0.01, 10**30, True, False])
PARAMETER_NAMES = (
    st.sampled_from(["epochs", "a-b", "a_b", "9", "", "x\n", "_x", "A" * 64, "A" * 65]) | ANY_TEXT
)
PARAMETER_VALUES = (
    JSON | TEXTS | LINES | NUMBERS | st.sampled_from(["x" * 1023 + "\n", "😀" * 1024, "😀" * 1025])
)
PARAMETERS = st.dictionaries(PARAMETER_NAMES, PARAMETER_VALUES, max_size=3) | st.integers(
    min_value=49, max_value=51
).map(lambda count: {f"p{number}": number for number in range(count)})


def fitting(field: Field) -> st.SearchStrategy[Any]:
    """Return values that `field` allows."""
    if isinstance(field, Several):
        one = fitting(field.field)
        some = st.lists(one, min_size=field.least, max_size=MOST, unique=True)
        return st.one_of(one, some, *map(st.just, field.words))
    if isinstance(field, Text):
        return st.from_regex(field.pattern, fullmatch=True)
    if isinstance(field, Choice):
        return st.sampled_from(field.values)
    if isinstance(field, Whole):
        whole = st.integers(min_value=field.minimum, max_value=field.maximum)
        return whole | whole.map(float)
    if isinstance(field, Amount):
        return st.floats(min_value=0, max_value=field.maximum, exclude_min=True)
    if isinstance(field, Flag):
        return st.booleans()
    if isinstance(field, Secrets):
        names, held = (st.from_regex(one, fullmatch=True) for one in (VARIABLE, REFERENCE))
        return st.dictionaries(names, held, max_size=3)
    if isinstance(field, Data):
        uris, folders = (st.from_regex(one, fullmatch=True) for one in (URI, FOLDER))
        source = st.fixed_dictionaries({"s3": uris}, optional={"to": folders})
        return st.lists(source, max_size=3)
    return st.dictionaries(
        st.from_regex("[A-Za-z][A-Za-z0-9_-]{0,5}", fullmatch=True),
        st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | WHOLE,
        max_size=3,
    )


def near(field: Field) -> st.SearchStrategy[Any]:
    """Return values at the bounds of what `field` allows, and just outside."""
    if isinstance(field, Several):
        one = near(field.field)
        some = st.lists(one | fitting(field.field), max_size=MOST + 1)
        return st.one_of(one, some, *map(st.just, field.words))
    if isinstance(field, Text):
        ends = st.sampled_from(["\n", "\r", "\r\n", "\u2028", " ", "é", "x" * 200])
        return st.builds("{}{}".format, fitting(field), ends)
    if isinstance(field, Choice):
        return st.sampled_from([*(value + "\n" for value in field.values), *field.values, ""])
    if isinstance(field, (Whole, Amount)):
        least = field.minimum if isinstance(field, Whole) else 0
        bounds = [end + by for end in (least, field.maximum) for by in (-1, -0.5, 0, 0.5, 1, 1.0)]
        return st.sampled_from([*bounds, *map(str, bounds)]) | NUMBERS
    if isinstance(field, Flag):
        return st.sampled_from([0, 1, 0.0, "true", "", None, True])
    return PARAMETERS


def entries(
    fields: dict[str, Field], values: dict[str, st.SearchStrategy[Any]], most: int
) -> st.SearchStrategy[dict[str, Any]]:
    """Return objects of `fields`, each spelled somehow, now and then in two ways."""
    names = [(name, key) for key in [*fields, *values] for name in spellings(key)]
    one = st.sampled_from(names).flatmap(
        lambda named: st.tuples(
            st.just(named[0]), values[named[1]] if named[1] in values else near(fields[named[1]])
        )
    )
    return st.lists(one, max_size=most).map(dict)


LIMIT_FIELDS = dict(LIMITS)
SOUND = st.fixed_dictionaries(
    {}, optional={key: fitting(field) for key, field in FIELDS.items()}
).flatmap(
    lambda config: st.tuples(*(st.sampled_from(spellings(key)) for key in config)).map(
        lambda names: dict(zip(names, config.values(), strict=True))
    )
)
OPTIONS_NEAR = entries(LIMIT_FIELDS, {}, 3) | JSON
ODD = st.dictionaries(
    st.sampled_from(["_comment", "_", "instance", "Time-limit", "time-limit\n", " _x", ""])
    | ANY_TEXT,
    JSON,
    max_size=1,
)
RETRY_NEAR = entries(dict(RETRY), {}, 3) | JSON
NEAR = entries(dict(FIELDS), {OPTIONS: OPTIONS_NEAR, AGAIN: RETRY_NEAR}, 4)
WRONG = st.dictionaries(
    st.sampled_from([name for key in [*FIELDS, *GROUPS] for name in spellings(key)]),
    JSON | TEXTS | LINES | NUMBERS | PARAMETERS,
    max_size=3,
)


def merged(*parts: dict[str, Any]) -> dict[str, Any]:
    return {name: value for part in parts for name, value in part.items()}


def accepted(config: Any) -> bool:
    """Return whether both accept `config`, and fail if only one does."""
    try:
        read_config(json.dumps(config), "test")
    except InvalidConfig as error:
        why = str(error)
        why.encode()  # whoever prints it can
    else:
        why = ""
    refusals = [refusal.message for refusal in VALIDATOR.iter_errors(config)]
    assert (not why) == (not refusals), (why or "read_config accepts it", refusals)
    return not why


def test_the_schema_in_docs_is_the_one_that_is_generated() -> None:
    assert config_schema.PATH.read_text() == config_schema.text()  # make format writes it


def test_an_editor_has_something_to_say_about_every_key() -> None:
    schema = config_schema.schema()
    assert set(schema["$defs"]) == {*FIELDS, *RETRY, *GROUPS} == set(config_schema.MEANINGS)
    for key, field in {**FIELDS, **RETRY}.items():
        assert schema["$defs"][key]["description"]
        default = getattr(field, "default", None)
        if default is not None:
            said = schema["$defs"][key]["default"]
            assert default in ((said,), said) or list(default) == said


@settings(max_examples=3 * settings().max_examples, suppress_health_check=[HealthCheck.too_slow])
@given(SOUND)
def test_both_accept_what_is_sound(config: dict[str, Any]) -> None:
    methods = {config.get(name) for name in spellings("termination-method")}
    limits = {key for key in LIMITS for name in spellings(key) if name in config}
    needs = {"at-fixed-time": "time-limit", "around-cost": "cost-limit"}
    missing = {limit for method, limit in needs.items() if method in methods} - limits
    both = any(config.get(name) for name in spellings("several-at-once")) and any(
        config.get(name) for name in spellings("stack-replacement")
    )
    template = {config.get(name) for name in spellings("cloudformation-template-filename")}
    own = config.get("nodes", 1) > 1 and bool(template - {None, *OUR_TEMPLATES})
    assert accepted(config) == (not missing and not both and not own)


@settings(max_examples=6 * settings().max_examples, suppress_health_check=[HealthCheck.too_slow])
@given(st.builds(merged, NEAR, ODD) | st.builds(merged, SOUND, NEAR) | WRONG | JSON)
def test_function_and_schema_always_agree(config: Any) -> None:
    accepted(config)


@settings(max_examples=3 * settings().max_examples)
@given(
    method=st.sampled_from(["training-completion", "at-fixed-time", "around-cost"]),
    options=OPTIONS_NEAR,
    top=entries(LIMIT_FIELDS, {}, 2),
)
def test_they_agree_on_limits_in_either_place(
    method: str, options: Any, top: dict[str, Any]
) -> None:
    accepted({"termination_method": method, "termination-options": options, **top})


@pytest.mark.parametrize(
    ("config", "sound"),
    [
        ({"termination-method": "at-fixed-time"}, False),
        ({"termination-method": "at-fixed-time", "time_limit": 10.0}, True),
        ({"termination-method": "around-cost", "termination_options": {"cost_limit": 1}}, True),
        ({"termination-method": "around-cost", "termination-options": {"time-limit": 1}}, False),
        ({"time-limit": 1, "termination-options": {"time_limit": 1}}, False),
        ({"time-limit": 1, "termination-options": {"cost-limit": 1, "_why": []}}, True),
        ({"time-limit": 1, "time_limit": 1}, False),
        ({"termination-options": {"cost-limit": 1, "cost_limit": 1}}, False),
        ({"termination-options": {"market": "spot"}}, False),
        ({"time-limit": True}, False),
        ({"time-limit": 90.5}, False),
        ({"training-job-name": "a\n"}, False),
        ({"several-at-once": True, "training-job-name": "a" * 119}, True),
        ({"several_at_once": True, "training_job_name": "a" * 120}, False),
        ({"several-at-once": False, "training-job-name": "a" * 128}, True),
        ({"several-at-once": True, "stack-replacement": True}, False),
        ({"several-at-once": True, "stack_replacement": False}, True),
        ({"several-at-once": False, "stack-replacement": True}, True),
        ({"time-limit\n": 1}, False),
        ({"_anything": {"at": ["all"]}}, True),
        ({"parameters": {"rate": 0.1, "on": True, "many": 10**400}}, True),
        ({"parameters": {"text": "😀" * 1024}}, True),
        ({"parameters": {"text": "😀" * 1025}}, False),
        ({"parameters": {"text": "a\0b"}}, False),
        ({"parameters": {"text": "\ud800"}}, False),
        ({"parameters": {"none": None}}, False),
        ({"parameters": {f"p{number}": 1 for number in range(51)}}, False),
    ],
)
def test_each_rule_holds_in_both(config: dict[str, Any], sound: bool) -> None:
    assert accepted(config) == sound


BROKEN = st.builds(
    lambda config, at, put: json.dumps(config).encode()[:at] + put,
    st.builds(merged, NEAR, ODD),
    st.integers(min_value=0, max_value=80),
    st.binary(max_size=3),
)


@settings(max_examples=3 * settings().max_examples, suppress_health_check=[HealthCheck.too_slow])
@given(st.text(st.characters()) | st.binary() | BROKEN)
def test_no_text_raises_anything_but_invalid_config(text: str | bytes) -> None:
    try:
        read_config(text, "test")
    except InvalidConfig as error:
        assert error.problems  # noqa: PT017 - it may also be accepted


@pytest.mark.parametrize(
    "text",
    [
        *("[" * 100_000, '{"a":' * 100_000, '{"time-limit": ' + "9" * 5000 + "}"),
        *(b"", b"\xff\xfe{", b"\x80", b'{"a": "\xff"}', b"\0\0\0\0", "\ud800", "\ufeff{}"),
        *('{"time-limit": NaN}', '{"cost-limit": 1e400}', '{"parameters": {"a": -Infinity}}'),
        '{"parameters": {"a": 1, "a": 2}}',
    ],
    ids=lambda text: repr(text[:20]),
)
def test_text_that_breaks_parsers_is_refused(text: str | bytes) -> None:
    with pytest.raises(InvalidConfig):
        read_config(text, "test")


@pytest.mark.parametrize("key", ["time-limit", "image", "parameters", "termination-options"])
def test_a_nest_that_can_just_be_read_is_refused_like_any_other(key: str) -> None:
    for depth in range(900, 1010):  # around Python's limit, whatever the frames above take
        with pytest.raises(InvalidConfig):
            read_config(f'{{"{key}": {"[" * depth}{"]" * depth}}}', "test")
