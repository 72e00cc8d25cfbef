"""Curves are read from whatever a trainer wrote them to, and nothing in it does any harm."""

from __future__ import annotations

import json
import math
import random
import sqlite3
import struct
from contextlib import closing, suppress
from pathlib import Path

import pytest

from scripts.metrics.curves import read_curves, read_machine
from scripts.metrics.points import MAX_CURVES, Curves, Point
from scripts.metrics.tensorboard import DamagedError, crc32c, masked_crc, read_event, read_events

DATA = Path(__file__).resolve().parents[2] / "data"


@pytest.fixture
def output(tmp_path: Path) -> Path:
    folder = tmp_path / "output"
    folder.mkdir()
    return folder


def points(curves: Curves) -> dict[str, list[Point]]:
    return {name: curve.points for name, curve in curves.by_name.items()}


def test_rows_are_points_by_step_or_epoch_or_row(output: Path) -> None:
    rows = [
        '{"epoch": 1, "loss": 0.5, "time": 1795521600}',
        '{"step": 10, "epoch": 2, "loss": NaN, "note": "x", "time": "2026-11-24T12:00:10Z"}',
        "not JSON",
        '{"loss": 0.25, "ok": true, "epochs": 20, "nested": {"a": 1}}',
        "x" * 200_000,
        '{"acc": 1',
    ]
    (output / "metrics.jsonl").write_text("\n".join(rows))
    read = points(read_curves(output.parent))
    assert list(read) == ["loss"]
    first, second, third = read["loss"]
    assert first == Point(1, 1795521600, 0.5)
    assert second[:2] == (10, 1795521610)
    assert math.isnan(second.value)
    assert third == Point(3, None, 0.25)


def test_a_long_curve_is_thinned_and_there_is_an_end_to_names(
    output: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("scripts.metrics.points.MAX_POINTS", 1_000)
    with (output / "metrics.jsonl").open("w") as file:
        for step in range(5_000):
            file.write(json.dumps({"step": step, "loss": step}) + "\n")
        file.write(json.dumps({f"k{number}": 1 for number in range(3 * MAX_CURVES)}) + "\n")
    read = read_curves(output.parent).by_name
    steps = [point.step for point in read["loss"].points]
    assert 500 <= len(steps) <= 1_000
    assert (steps[0] < 10, steps[-1] > 4_990) == (True, True)
    assert read["loss"].last == Point(4_999, None, 4_999)
    assert len(read) == MAX_CURVES


def test_a_byte_that_is_no_text_costs_no_number(output: Path) -> None:
    (output / "metrics.jsonl").write_bytes(b'{"step": 1, "loss": 2, "note": "caf\xe9"}\n')
    assert points(read_curves(output.parent))["loss"] == [Point(1, None, 2)]


def test_names_are_text_whatever_they_are(output: Path) -> None:
    row = {"<script>\x1b[2J\u202ea": 1, "n" * 1000: 1, "\x1b": 1}
    (output / "metrics.jsonl").write_text(json.dumps(row))
    assert list(read_curves(output.parent).by_name) == ["<script>[2Ja", "n" * 100]


def test_the_machine_has_curves_of_its_own(tmp_path: Path) -> None:
    sample = '{"time": "2026-11-24T12:00:00Z", "cpu-percent": 50.5}\n'
    (tmp_path / "machine.jsonl").write_text(sample * 2)
    assert points(read_machine(tmp_path))["cpu-percent"][1] == Point(2, 1795521600, 50.5)
    assert read_machine(tmp_path / "none").by_name == {}


# --- TensorBoard ---------------------------------------------------------------------------------


def field(number: int, wire: int, data: bytes) -> bytes:
    return bytes([number << 3 | wire]) + (bytes([len(data)]) if wire == 2 else b"") + data


def event(step: int, tag: bytes, scalar: bytes) -> bytes:
    value = field(5, 2, field(1, 2, field(1, 2, tag) + scalar))
    return field(1, 1, struct.pack("<d", 1795521600.5)) + field(2, 0, bytes([step])) + value


def record(data: bytes) -> bytes:
    length = struct.pack("<Q", len(data))
    sums = (struct.pack("<I", masked_crc(part)) for part in (length, data))
    return length + next(sums) + data + next(sums)


SIMPLE = field(2, 5, struct.pack("<f", 0.5))
TENSOR = field(8, 2, field(1, 0, b"\1") + field(2, 2, b"") + field(4, 2, struct.pack("<f", 0.5)))


def test_the_checksum_is_crc_32c() -> None:
    assert crc32c(b"123456789") == 0xE3069283  # as every list of checksums has it ("check")
    assert crc32c(bytes(32)) == 0x8A9136AA  # RFC 3720, B.4


@pytest.mark.parametrize(
    "scalar",
    [
        SIMPLE,
        TENSOR,
        field(8, 2, field(1, 0, b"\1") + field(5, 5, struct.pack("<f", 0.5))),
        field(8, 2, field(1, 0, b"\1") + field(5, 2, struct.pack("<f", 0.5))),
        field(8, 2, field(1, 0, b"\2") + field(4, 2, struct.pack("<d", 0.5))),
    ],
)
def test_scalars_of_both_versions_are_read(output: Path, scalar: bytes) -> None:
    whole = b"".join(record(event(step, b"loss", scalar)) for step in (1, 2))
    version = record(field(3, 2, b"brain.Event:2"))
    image = record(event(1, b"image", field(4, 2, b"\0" * 20)))
    (output / "events.out.tfevents.1.host").write_bytes(version + image + whole + whole[:30])
    curves = read_curves(output.parent)
    assert points(curves) == {"loss": [Point(step, 1795521600.5, 0.5) for step in (1, 2)]}
    assert curves.problems == []  # it is still being written


def test_each_folder_of_events_is_named(output: Path) -> None:
    for name in ("train", "validation"):
        (output / "logs" / name).mkdir(parents=True)
        path = output / "logs" / name / "events.out.tfevents.1.host"
        path.write_bytes(record(event(1, b"loss", SIMPLE)))
    assert list(read_curves(output.parent).by_name) == ["logs/train/loss", "logs/validation/loss"]


def test_what_is_damaged_is_named_and_what_came_before_is_read(output: Path) -> None:
    sound = record(event(1, b"loss", SIMPLE))
    broken = sound[:20] + bytes([sound[20] ^ 1]) + sound[21:]
    (output / "events.out.tfevents.1.host").write_bytes(sound + broken + sound)
    (output / "events.out.tfevents.2.host").write_bytes(b"not a record at all")
    (output / "metrics.jsonl").write_text('{"acc": 1}\n')
    curves = read_curves(output.parent)
    assert {name: len(found) for name, found in points(curves).items()} == {"acc": 1, "loss": 1}
    assert curves.problems == [
        "events.out.tfevents.1.host: damaged after 1 records",
        "events.out.tfevents.2.host: no event file, or damaged after 0 records",
    ]


@pytest.mark.parametrize("length", [2**41, 2**63 - 13, 2**63 - 4, 2**63, 2**64 - 1])
def test_a_record_that_no_file_has_room_for_is_damage(output: Path, length: int) -> None:
    head = struct.pack("<Q", length)
    said = head + struct.pack("<I", masked_crc(head))
    sound = record(event(1, b"loss", SIMPLE))
    (output / "events.out.tfevents.1.host").write_bytes(sound + said + sound)
    curves = read_curves(output.parent)
    assert len(points(curves)["loss"]) == 1
    assert curves.problems == ["events.out.tfevents.1.host: damaged after 1 records"]


def test_no_bytes_break_the_reader() -> None:
    chance = random.Random(7)  # noqa: S311 - the same bytes each time
    sound = event(1, b"loss", TENSOR)
    for _ in range(20_000):
        data = bytearray(sound)
        for _ in range(chance.randrange(1, 4)):
            data[chance.randrange(len(data))] = chance.randrange(256)
        with suppress(DamagedError):
            read_event(bytes(data[: chance.randrange(len(data) + 1)]))


def test_a_file_that_a_library_wrote_is_read() -> None:  # tensorboardX 2.6.5
    curves = Curves()
    read_events(DATA / "events.out.tfevents.tensorboardX", curves)
    steps = [(point.step, round(point.value, 3)) for point in curves.by_name["loss/train"].points]
    assert steps == [(0, 1.0), (1, 0.5), (2, 0.333)]
    assert curves.by_name["loss/train"].points[0].time == 1795521600
    assert list(curves.by_name) == ["loss/train"]


# --- MLflow --------------------------------------------------------------------------------------

# As mlflow 3 makes them (`.schema runs`, `.schema metrics`), with the columns that are read.
TABLES = """
CREATE TABLE runs (run_uuid VARCHAR(32) NOT NULL PRIMARY KEY, name VARCHAR(250));
CREATE TABLE metrics (key VARCHAR(250) NOT NULL, value FLOAT NOT NULL, timestamp BIGINT NOT NULL,
  run_uuid VARCHAR(32) NOT NULL, step BIGINT DEFAULT '0' NOT NULL, is_nan BOOLEAN NOT NULL);
"""


def mlflow(path: Path, *rows: tuple[object, ...], names: dict[str, str] | None = None) -> None:
    with closing(sqlite3.connect(path)) as database:
        database.executescript(TABLES)
        database.executemany("INSERT INTO runs VALUES (?, ?)", (names or {"a" * 32: "one"}).items())
        database.executemany("INSERT INTO metrics VALUES (?, ?, ?, ?, ?, ?)", rows)
        database.commit()


def test_metrics_of_mlflow_are_read(output: Path) -> None:
    run = "a" * 32
    first, second = ("loss", 0.5, 1795521600500, run, 1, 0), ("loss", 0, 1795521601000, run, 2, 1)
    mlflow(output / "mlflow.db", second, first)
    before = (output / "mlflow.db").read_bytes()
    one, two = points(read_curves(output.parent))["loss"]
    assert one == Point(1, 1795521600.5, 0.5)
    assert math.isnan(two.value)
    assert [path.name for path in output.iterdir()] == ["mlflow.db"]
    assert (output / "mlflow.db").read_bytes() == before


def test_several_runs_of_mlflow_are_told_apart(output: Path) -> None:
    rows = [("loss", 0.5, 1, letter * 32, 1, 0) for letter in "ab"]
    mlflow(output / "mlflow.db", *rows, names={"a" * 32: "small", "b" * 32: ""})
    assert list(read_curves(output.parent).by_name) == ["small/loss", "bbbbbbbb/loss"]


@pytest.mark.parametrize("content", [b"", b"SQLite format 3\0" + b"\xff" * 5000, b"x" * 5000])
def test_what_is_no_file_of_mlflow_is_named(output: Path, content: bytes) -> None:
    (output / "mlflow.db").write_bytes(content)
    curves = read_curves(output.parent)
    assert (curves.by_name, len(curves.problems)) == ({}, 1)


def test_values_of_any_type_break_nothing(output: Path) -> None:
    odd = [("a", "x", None, "r", "y", 0), (b"\xff", 1, "z", b"\xff", b"\0", 0), (1, 2, 3, 4, 5, 0)]
    with closing(sqlite3.connect(output / "mlflow.db")) as database:
        database.executescript(
            "CREATE TABLE runs (run_uuid, name); CREATE TABLE metrics"
            " (key, value, timestamp, run_uuid, step, is_nan);"
        )
        database.executemany("INSERT INTO metrics VALUES (?, ?, ?, ?, ?, ?)", odd)
        database.commit()
    assert read_curves(output.parent).problems == []


def test_a_step_or_a_time_that_no_axis_has_is_none_of_a_point(output: Path) -> None:
    with closing(sqlite3.connect(output / "mlflow.db")) as database:
        database.executescript(TABLES)
        database.execute("INSERT INTO metrics VALUES ('loss', 0.5, 9e999, 'a', -9e999, 0)")
        database.commit()
    assert points(read_curves(output.parent)) == {"loss": [Point(0, None, 0.5)]}


ENDLESS = "WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c)"
ROW = "SELECT 'loss' key, 1.0 value, 0 timestamp, 'r' run_uuid, x step, 0 is_nan FROM c"
NAMES = "SELECT x run_uuid, x name FROM c"
SLOW = "replace(hex(zeroblob(200000)), '0', '1') LIKE '%1%1%1%1%1%1%2'"


@pytest.mark.parametrize(
    "program",
    [
        f"CREATE TABLE runs (run_uuid, name); CREATE VIEW metrics AS {ENDLESS} {ROW}",
        f"{TABLES} DROP TABLE runs; CREATE VIEW runs AS {ENDLESS} {NAMES}",
        "CREATE TABLE runs (run_uuid, name); CREATE TABLE metrics"
        f" (key, value, timestamp, run_uuid, step, is_nan, odd AS ({SLOW}))",
        "CREATE TABLE runs (run_uuid, name); CREATE VIRTUAL TABLE metrics USING"
        " fts4(key, value, timestamp, run_uuid, step, is_nan)",
    ],
)
def test_a_file_of_mlflow_that_holds_a_program_is_not_asked(output: Path, program: str) -> None:
    with closing(sqlite3.connect(output / "mlflow.db")) as database:
        database.executescript(program)
    curves = read_curves(output.parent)
    assert curves.by_name == {}
    assert curves.problems == [
        "mlflow.db: no file of MLflow's: it lacks metrics or runs as a plain table"
    ]


def test_a_file_of_mlflow_that_takes_too_long_is_named(
    output: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("scripts.metrics.mlflow.MAX_SECONDS", -1)
    rows = [("loss", 0.5, 1, f"{run}", 1, 0) for run in range(20_000)]
    mlflow(output / "mlflow.db", *rows)
    (output / "metrics.jsonl").write_text('{"acc": 1}\n')
    curves = read_curves(output.parent)
    assert list(curves.by_name) == ["acc"]
    (problem,) = curves.problems
    assert "seconds to read" in problem


def test_links_are_not_followed(output: Path, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text('{"secret": 1}\n')
    (output / "metrics.jsonl").symlink_to(tmp_path / "secret")
    assert read_curves(output.parent).by_name == {}
