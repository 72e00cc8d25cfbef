"""What a trainer writes as its metrics is followed, whatever it is, in bounded memory."""

from __future__ import annotations

import json
import os
import random
import tracemalloc
from pathlib import Path

import pytest

from parris.contract import MAX_METRICS, MAX_METRICS_BYTES, newest_metrics, read_metric
from trainer.runtime.agent.metrics import MAX_LINE, MAX_READ, Metrics


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "metrics.jsonl"


def test_the_last_value_of_each_key_counts(path: Path) -> None:
    metrics = Metrics(path)
    metrics.follow()
    assert metrics.values == {}  # there is no such file yet
    path.write_text('{"epoch": 1, "loss": 0.5, "time": 1795521600}\n{"epoch": 2, "loss": 0.4}\n')
    metrics.follow()
    assert metrics.values == {"epoch": 2, "loss": 0.4}
    with path.open("a") as file:
        file.write('{"accuracy": 0.9}\n{"epoch": 3, "lo')
        file.flush()
        metrics.follow()
        assert metrics.values == {"epoch": 2, "loss": 0.4, "accuracy": 0.9}
        file.write('ss": 0.3}')
    metrics.follow()
    assert metrics.values["epoch"] == 2  # the line may go on
    metrics.follow(last=True)
    assert metrics.values == {"accuracy": 0.9, "epoch": 3, "loss": 0.3}


HOSTILE = [
    *(
        b"",
        b"\0\0\xff\xfe",
        b"null",
        b"[1]",
        b'"x"',
        b"{",
        b"{}",
        b'{"a": {"b": 1}}',
        b'{"a": [1]}',
    ),
    *(b'{"": 1}', b'{"\\u001b[2J": 1}'[:-1] + b"", b"[" * 50_000, b'{"a":' * 20_000, b"9" * 60_000),
    *(b'{"a": ' + b"x" * MAX_LINE + b"}", b'{"\\ud800": "\\ud800"}', b'{"time": 1}', b"\r"),
]


def test_whatever_is_no_metric_is_left_out(path: Path) -> None:
    path.write_bytes(b"\n".join([*HOSTILE, b'{"loss": 1}', *HOSTILE, b""]))
    metrics = Metrics(path)
    metrics.follow(last=True)
    assert metrics.values == {"loss": 1}


def test_a_word_for_no_number_is_kept_as_a_word(path: Path) -> None:
    path.write_text('{"a": NaN, "b": Infinity, "c": -Infinity, "d": 1e999, "e": true, "f": "x"}\n')
    metrics = Metrics(path)
    metrics.follow()
    told = {"a": "nan", "b": "inf", "c": "-inf", "d": "inf", "e": "true", "f": "x"}
    assert metrics.values == told
    assert json.loads(json.dumps(metrics.values, allow_nan=False)) == told


def test_names_and_texts_are_cut_and_have_nothing_a_terminal_obeys() -> None:
    assert read_metric("\x1b[31mloss\u202e\n", "\x1b]0;x\x07ok") == ("[31mloss", "]0;xok")
    assert read_metric("n" * 1000, "t" * 1000) == ("n" * 64, "t" * 100)
    assert read_metric("big", 10**400) == ("big", "inf")
    assert read_metric("big", 2**60) == ("big", float(2**60))
    none: list[tuple[object, object]] = [("", 1), ("\x1b", 1), ("a", None), ("a", []), (1, 1)]
    for name, value in [*none, ("a", "")]:
        assert read_metric(name, value) is None


def test_the_newest_keys_are_kept(path: Path) -> None:
    lines = [json.dumps({f"key-{number}": number}) for number in range(200)]
    path.write_text("\n".join([*lines, '{"key-160": "again"}', ""]))
    metrics = Metrics(path)
    metrics.follow()
    assert len(metrics.values) == MAX_METRICS
    assert list(metrics.values)[-2:] == ["key-199", "key-160"]
    wide = {f"{number:064}": "\u4e00" * 100 for number in range(50)}
    kept = newest_metrics(wide)
    assert 0 < len(json.dumps(kept)) <= MAX_METRICS_BYTES
    assert list(kept) == list(wide)[-len(kept) :]


def test_a_file_cut_short_or_replaced_is_read_anew(path: Path) -> None:
    metrics = Metrics(path)
    path.write_text('{"a": 1}\n' * 100)
    metrics.follow()
    path.write_text('{"a": 2}\n')
    metrics.follow()
    assert metrics.values == {"a": 2}
    other = path.with_suffix(".new")
    other.write_text('{"b": "longer than what was there"}\n' * 10)
    other.replace(path)
    metrics.follow()
    assert metrics.values["b"] == "longer than what was there"
    path.unlink()
    metrics.follow()
    assert metrics.values["a"] == 2


def test_a_pipe_a_folder_or_a_device_holds_nobody_up(path: Path) -> None:
    os.mkfifo(path)
    Metrics(path).follow()
    path.unlink()
    path.mkdir()
    Metrics(path).follow()
    path.rmdir()
    path.symlink_to("/dev/zero")
    Metrics(path).follow()


def test_of_a_gigabyte_the_newest_is_read_in_little_memory(path: Path) -> None:
    with path.open("wb") as file:
        file.truncate(1 << 30)  # a hole of zeros, without an end of a line
        file.seek(0, os.SEEK_END)
        file.write(b'\n{"loss": 0.1}\n')
    metrics = Metrics(path)
    tracemalloc.start()
    metrics.follow()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert metrics.values == {"loss": 0.1}
    assert peak < MAX_READ


def test_however_a_file_grows_it_ends_in_the_same(path: Path) -> None:
    chance = random.Random(7)  # noqa: S311 - the same file each time
    whole = b"".join(
        json.dumps({f"k{chance.randrange(60)}": number}).encode() + b"\n" for number in range(500)
    )
    path.write_bytes(whole)
    at_once = Metrics(path)
    at_once.follow(last=True)
    path.unlink()
    bit_by_bit, at = Metrics(path), 0
    while at < len(whole):
        step = chance.randrange(1, 200)
        with path.open("ab") as file:
            file.write(whole[at : at + step])
        at += step
        bit_by_bit.follow()
    bit_by_bit.follow(last=True)
    assert list(bit_by_bit.values.items()) == list(at_once.values.items())
