"""A run is named by the beginning of its id."""

from __future__ import annotations

import pytest

from scripts.cli.console import Refused
from scripts.deployment.run_ids import begun_with

KEYS = [
    ("mine", "20261124-050149-fb4d15ce"),
    ("mine", "20261124-040000-00000000"),
    ("yours", "20261123-040000-00000000"),
    ("yours", "r-0123456789abcdef"),
]


def test_a_beginning_of_one_id_is_that_run() -> None:
    assert begun_with("20261124-05", KEYS) == KEYS[0]
    assert begun_with("r", KEYS) == KEYS[3]
    for key in KEYS:
        assert begun_with(key[1], KEYS) == key


def test_a_beginning_of_several_is_refused_with_them() -> None:
    with pytest.raises(Refused) as refused:
        begun_with("2026", KEYS)
    lines = str(refused.value).splitlines()
    assert lines[0] == "3 runs' ids begin with 2026; give more of the one you mean"
    assert lines[1:] == [f"  {run_id}  {job}" for job, run_id in KEYS[:3]]
    many = [("mine", f"20261124-{number:06}-00000000") for number in range(30)]
    with pytest.raises(Refused, match="and 20 older ones") as refused:
        begun_with("2", many)
    assert len(str(refused.value).splitlines()) == 12


def test_a_beginning_of_none_is_refused_with_the_newest() -> None:
    with pytest.raises(Refused) as refused:
        begun_with("2027", KEYS)
    lines = str(refused.value).splitlines()
    assert lines[0] == "no run's id begins with '2027'; the newest runs are"
    assert lines[1:] == [f"  {run_id}  {job}" for job, run_id in KEYS]
    with pytest.raises(Refused, match="a job's name goes with JOB="):
        begun_with("mine", KEYS)


def test_an_id_that_is_whole_in_two_jobs_is_refused_with_both() -> None:
    twice = [("mine", "r-0123456789abcdef"), ("yours", "r-0123456789abcdef")]
    with pytest.raises(Refused, match="2 runs' ids"):
        begun_with("r-0123456789abcdef", twice)
