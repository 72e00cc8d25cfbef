"""training-config.json: what is read, and how every fault is reported."""

from __future__ import annotations

import json
from decimal import Decimal

import pytest

from parris.errors import InvalidConfig
from parris.jobs.config import read_config
from parris.jobs.retry import Retry

# The sample of the original Parris, value by value (its config/training-config.json).
ORIGINAL = """{
  "_comment": "This is an example configuration file.",
  "training-job-name": "Test-Training-Job",
  "training-script-filename": "trainer-script.sh",
  "cloudformation_template_filename": "cloudformation.json",
  "termination-method": "training-completion",
  "termination-options": {"time-limit": 10.0, "cost-limit": 300.0},
  "instance-type": "p2.xlarge",
  "security-group-id": "sg-2ff91848",
  "subnet-id": "subnet-634f5c06",
  "ec2-keypair-name": "Oregon-Key-Pair"
}"""


def problems(config: object) -> tuple[str, ...]:
    with pytest.raises(InvalidConfig) as caught:
        read_config(json.dumps(config), "training-config.json")
    return caught.value.problems


def test_a_config_of_the_original_works_unchanged() -> None:
    config = read_config(ORIGINAL, "training-config.json")
    assert config.stack_name == "Test-Training-Job"
    assert config.termination_method == "training-completion"
    assert (config.time_limit_minutes, config.cost_limit_usd) == (10, Decimal("300.0"))
    assert (config.instance_types, config.markets) == (("p2.xlarge",), ("on-demand",))
    assert (config.subnet_ids, config.security_group_id) == (("subnet-634f5c06",), "sg-2ff91848")
    assert config.key_name == "Oregon-Key-Pair"


def test_an_empty_config_has_its_defaults() -> None:
    config = read_config("{}", "training-config.json")
    assert config.stack_name == "parris-stack"
    assert config.script == "trainer-script.sh"
    assert config.stack_replacement is False
    assert (config.sync_interval_seconds, config.stop_grace_seconds) == (60, 30)


def test_a_setup_and_a_container_are_read() -> None:
    given = {"setup-script": "setup.sh", "setup_inputs": "lock.txt", "container": "a.b:5000/c@d"}
    config = read_config(json.dumps(given), "c")
    assert config.scripts == ("trainer-script.sh", "setup.sh", ("lock.txt",))
    assert config.container == "a.b:5000/c@d"
    assert read_config("{}", "c").scripts == ("trainer-script.sh", "", ())
    assert problems({"setup-inputs": ["/etc/passwd"], "container": "a b"}) == (
        'setup-inputs: "/etc/passwd" is not a file or a folder below the job\'s folder',
        'container: "a b" is not a container image such as python:3.12-slim',
    )


def test_a_ladder_is_a_list_or_one_value() -> None:
    given = {
        "instance-type": ["g5.xlarge", "g4dn.xlarge"],
        "market": "spot-then-on-demand",
        "subnet-id": "",
        "retry": {"on": "failure", "exit_statuses": [75], "attempts": 3, "_why": "a comment"},
        "max-wait-minutes": 0,
    }
    config = read_config(json.dumps(given), "c")
    assert config.instance_types == ("g5.xlarge", "g4dn.xlarge")
    assert (config.markets, config.subnet_ids) == (("spot", "on-demand"), ())
    assert config.retry == Retry(
        on=("failure",), exit_statuses=(75,), attempts=3, max_wait_minutes=0
    )
    assert read_config("{}", "c").retry == Retry(
        on=("interruption", "capacity"), attempts=10, max_wait_minutes=60
    )
    assert read_config('{"retry": {"on": []}}', "c").retry.on == ()


def test_what_a_ladder_may_not_be_is_said() -> None:
    assert problems({"instance-type": []}) == (
        "instance-type: [] is not a list of 1 to 10 different ones",
    )
    assert problems({"subnet-id": ["subnet-634f5c06", "subnet-634f5c06"]})[0].endswith(
        "is not a list of 1 to 10 different ones"
    )
    assert problems({"market": "cheap"}) == (
        'market: "cheap" is not one of on-demand, spot, or a list of such, or '
        '"spot-then-on-demand"',
    )
    assert problems({"market": ["spot-then-on-demand"]})[0].startswith('market: "spot-then')
    assert problems({"retry": {"on": ["capcity"], "exit-statuses": 0, "tries": 3}}) == (
        "retry.tries: not a key of this file; keys are attempts, exit-statuses, on",
        'retry.on: "capcity" is not one of interruption, capacity, failure',
        "retry.exit-statuses: 0 is not a whole number (1 to 255), or a list of such",
    )
    assert problems({"retry": "always"}) == ('retry: "always" is not an object',)


def test_underscores_and_hyphens_are_the_same() -> None:
    config = read_config('{"training_job-name": "a", "time_limit": 5}', "c")
    assert (config.stack_name, config.time_limit_minutes) == ("a", 5)


def test_every_fault_is_reported_at_once() -> None:
    found = problems({"time-limit": 90.5, "termination-method": "at-fixed-tme", "instance": "x"})
    assert found == (
        "instance: not a key of this file; did you mean instance-type?",
        'termination-method: "at-fixed-tme" is not one of training-completion, at-fixed-time, '
        "around-cost",
        "time-limit: 90.5 is not a whole number of minutes (1 to 10080)",
    )


@pytest.mark.parametrize(
    ("config", "says"),
    [
        ({"time-limit": True}, "time-limit: true is not a whole number"),
        ({"time-limit": 0}, "time-limit: 0 is not"),
        ({"cost-limit": 0}, "cost-limit: 0 is not an amount"),
        ({"cost-limit": "5"}, 'cost-limit: "5" is not an amount'),
        ({"training-job-name": "1st"}, "the first a letter"),
        ({"training-job-name": "ok\n"}, "the first a letter"),
        ({"training-script-filename": "../x.sh"}, "a file below the job's folder"),
        ({"training-script-filename": "/x.sh"}, "a file below the job's folder"),
        ({"stack-replacement": "true"}, "is not true or false"),
        ({"termination-method": "at-fixed-time"}, "time-limit: missing"),
        ({"termination-method": "around-cost"}, "cost-limit: missing"),
        ({"time-limit": 5, "termination-options": {"time-limit": 5}}, "keep one"),
        ({"time-limit": 5, "time_limit": 6}, "spelled in two ways"),
        ({"termination-options": []}, "termination-options: [] is not an object"),
        ({"termination-options": {"minutes": 5}}, "termination-options.minutes: not a key"),
        ({"parameters": {"9": 1}}, "parameters: '9' is not a name"),
        ({"secrets": ["KEY"]}, 'secrets: ["KEY"] is not an object of variables and where'),
        ({"secrets": {"PARRIS_JOB": "ssm:/a"}}, "secrets: 'PARRIS_JOB' is not a variable's name"),
        ({"secrets": {"KEY": "ssm:"}}, "secrets: KEY: not where a secret is held (ssm:/team/name,"),
        ({"secrets": {f"K{n}": "ssm:/a" for n in range(21)}}, "secrets: 21 secrets are too many"),
        ({"data": {"s3": "s3://b/x"}}, 'data: {"s3": "s3://b/x"} is not a list of at most 10'),
        ({"data": ["s3://b/x"]}, 'data: 1: "s3://b/x" is not {"s3": '),
        ({"data": [{"s3": "s3://b"}]}, 'data: 1: s3: "s3://b" is not s3://bucket/object or'),
        ({"data": [{"s3": "s3://bbb/", "to": "../x"}]}, 'data: 1: to: "../x" is not a folder'),
        ({"market": "cheap"}, "not one of on-demand, spot"),
        ([], "[] is not an object"),
    ],
)
def test_a_fault_names_key_value_and_what_is_allowed(config: object, says: str) -> None:
    assert says in "\n".join(problems(config))


def test_what_is_no_reference_may_be_the_secret_itself_and_is_not_repeated() -> None:
    with pytest.raises(InvalidConfig) as refused:
        read_config('{"secrets": {"KEY": "hunter2"}}', "training-config.json")
    assert "hunter2" not in str(refused.value)


def test_data_goes_below_a_folder_of_its_own_by_default() -> None:
    given = {"data": [{"s3": "s3://pictures/train/"}, {"s3": "s3://pictures/a", "to": "in"}]}
    assert read_config(json.dumps(given), "training-config.json").data == (
        {"s3": "s3://pictures/train/", "to": "data/"},
        {"s3": "s3://pictures/a", "to": "in/"},
    )


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ('{"a": 1,}', "line 1, column 9: not JSON"),
        ('{"time-limit": NaN}', "NaN is not JSON"),
        ('{"time-limit": 1, "time-limit": 2}', "stands there twice"),
        ("", "line 1, column 1"),
    ],
)
def test_broken_json_is_named_by_its_place(text: str, says: str) -> None:
    with pytest.raises(InvalidConfig, match=says.replace("(", r"\(")):
        read_config(text, "training-config.json")
