"""The curves of one run, read from where its machine stored them in the results bucket."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from botocore.exceptions import ClientError

from scripts.cli.inside import NotInside, path_inside
from scripts.metrics.curves import read_curves
from scripts.metrics.jsonl import read_jsonl
from scripts.metrics.points import Curves

METRICS_FILE = "metrics.jsonl"
_MOST_BYTES = 20_000_000
"""Of a run's own file, and of all others together."""


@dataclass(frozen=True, kw_only=True)
class Output:
    """One object of a run's output."""

    key: str
    name: str
    """Below ``output/``."""
    size: int
    """Bytes."""


@dataclass(frozen=True, kw_only=True)
class Place:
    """Where the objects of one run lie."""

    s3: Any
    bucket: str
    folder: str
    """Of the machine that is believed, with a slash at its end."""

    def get(self, key: str, part: str = "") -> bytes | None:
        """Return an object, or a part of it; None if it is not there, or empty.

        An empty object has no range (S3 API reference, GetObject: InvalidRange).
        """
        ranged = {"Range": part} if part else {}
        try:
            answer = self.s3.get_object(Bucket=self.bucket, Key=key, **ranged)
        except ClientError as error:
            if error.response["Error"]["Code"] not in ("NoSuchKey", "InvalidRange"):
                raise
            return None
        body: bytes = answer["Body"].read()
        return body

    def list_output(self) -> tuple[list[Output], bool]:
        """Return the first thousand objects of a run's output, and whether there are more."""
        prefix = f"{self.folder}output/"
        answer = self.s3.list_objects_v2(Bucket=self.bucket, Prefix=prefix)
        listed: Iterable[Mapping[str, Any]] = answer.get("Contents", [])
        return [
            Output(key=item["Key"], name=item["Key"].removeprefix(prefix), size=item["Size"])
            for item in listed
        ], bool(answer.get("IsTruncated"))


def read_file(place: Place, name: str) -> Curves:
    """Return the curves of one file in the form of ``metrics.jsonl``; none if it is not there."""
    read = Curves()
    body = place.get(place.folder + name, f"bytes=0-{_MOST_BYTES - 1}")
    if body is not None:
        with tempfile.NamedTemporaryFile() as file:
            file.write(body)
            file.flush()
            read_jsonl(Path(file.name), read)
    return read


def read_trained(place: Place, outputs: Sequence[Output], lacking: list[str]) -> list[Curves]:
    """Return the curves of a run's own file, and those of TensorBoard's and MLflow's.

    Args:
        lacking: to which is added what of them is left out, and why.
    """
    sizes = {one.name: one.size for one in outputs}
    own = Curves()
    if sizes.get(METRICS_FILE, 0) > _MOST_BYTES:
        lacking.append(f"curves: output/{METRICS_FILE} has {sizes[METRICS_FILE]:,} bytes")
    elif METRICS_FILE in sizes:
        own = read_file(place, f"output/{METRICS_FILE}")
    return [own, _read_others(place, outputs, lacking)]


def last_values(place: Place) -> dict[str, float]:
    """Return the last value of each metric that a run's files hold."""
    outputs, _ = place.list_output()
    return {
        name: curve.last.value
        for read in reversed(read_trained(place, outputs, []))
        for name, curve in read.by_name.items()
        if curve.last is not None
    }


def _read_others(place: Place, outputs: Sequence[Output], lacking: list[str]) -> Curves:
    files = [
        one
        for one in outputs
        if ".tfevents." in one.name or one.name.rpartition("/")[2] == "mlflow.db"
    ]
    left = _MOST_BYTES
    with tempfile.TemporaryDirectory() as folder:
        for one in files:
            if one.size > left:
                lacking.append(f"curves: output/{one.name} has {one.size:,} bytes")
                continue
            left -= one.size
            try:  # the trainer has chosen the name
                path = path_inside(Path(folder) / "output", one.name)
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(place.get(one.key) or b"")
            except (NotInside, OSError) as error:
                lacking.append(f"curves: output/{one.name}: {error}")
        read = read_curves(Path(folder))
    lacking += [f"curves: {problem}" for problem in read.problems]
    return read
