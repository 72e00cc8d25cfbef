"""TensorBoard event files: the scalars in them.

The libraries that read them bring TensorBoard or TensorFlow along, or are no longer kept; what is
read here is small:

- The file: records of length (8 bytes), its checksum (4), data, its checksum (4), little-endian;
  a checksum is CRC-32C, rotated and shifted (tensorflow/core/lib/io/record_writer.h).
- The data: Event of tensorflow/core/util/event.proto, with Summary of core/framework/summary.proto
  and TensorProto of core/framework/tensor.proto, in the wire format of protobuf.dev, "Encoding".
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from pathlib import Path
from typing import IO, NamedTuple

from scripts.metrics.points import Curves, Point

MAX_RECORD = 1 << 20
"""Bytes; a larger record is an image, a sound or a graph, and is passed over."""
_LARGEST_RECORD = 1 << 40
"""Bytes; a length beyond it is none, and from 2**63 on no file can be read there."""

Field = tuple[int, int, "int | bytes"]
"""A field's number, its wire type, and its value: bytes of all types but VARINT."""
VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5

_NUMBERS = {1: ("<f", 5), 2: ("<d", 6), 3: ("<i", 7), 9: ("<q", 10)}
"""DataType (core/framework/types.proto) of a tensor that may be a scalar: how an element is packed
in tensor_content, and the field that may hold it instead."""


class Scalar(NamedTuple):
    """One scalar of one event."""

    tag: str
    point: Point


class DamagedError(ValueError):
    """A file that is no event file, or not from here on."""


def read_events(path: Path, curves: Curves, prefix: str = "") -> None:
    """Add the scalars of one event file; one that is still being written may end anywhere.

    Raises:
        DamagedError: if a checksum or a message is wrong; what came before is added.
        OSError: if it cannot be read.
    """
    with path.open("rb") as file:
        for data in _records(file):
            for scalar in read_event(data):
                curves.add(prefix + scalar.tag, scalar.point)


def read_event(data: bytes) -> list[Scalar]:
    """Return the scalars of an Event.

    Raises:
        DamagedError: if it is none.
    """
    time, step, summaries = 0.0, 0, []
    for number, wire, value in _fields(data):
        if (number, wire) == (1, FIXED64) and isinstance(value, bytes):
            time = struct.unpack("<d", value)[0]
        elif (number, wire) == (2, VARINT) and isinstance(value, int):
            step = value - (1 << 64) if value >> 63 else value
        elif (number, wire) == (5, BYTES) and isinstance(value, bytes):
            summaries.append(value)
    found = []
    for summary in summaries:
        for number, wire, value in _fields(summary):
            if (number, wire) == (1, BYTES) and isinstance(value, bytes):
                tag, scalar = _value(value)
                if tag and scalar is not None:
                    found.append(Scalar(tag, Point(float(step), time or None, scalar)))
    return found


def _value(data: bytes) -> tuple[str, float | None]:
    """Return tag and scalar of a Summary.Value."""
    tag, scalar = "", None
    for number, wire, value in _fields(data):
        if not isinstance(value, bytes):
            continue
        if (number, wire) == (1, BYTES):
            tag = value.decode(errors="replace")
        elif (number, wire) == (2, FIXED32):
            scalar = struct.unpack("<f", value)[0]
        elif (number, wire) == (8, BYTES):
            scalar = _tensor(value)
    return tag, scalar


def _tensor(data: bytes) -> float | None:
    """Return the one element of a TensorProto, as tf.summary.scalar writes it; else None."""
    fields = list(_fields(data))
    kind = next((value for number, _, value in fields if number == 1), 0)
    if kind not in _NUMBERS:
        return None
    packing, place = _NUMBERS[kind]
    for number, wire, value in fields:
        if number not in (4, place):
            continue
        if isinstance(value, bytes) and len(value) == struct.calcsize(packing):
            return float(struct.unpack(packing, value)[0])
        if isinstance(value, int):
            return float(value)
        if wire == BYTES and number == place and packing in ("<i", "<q"):  # packed varints
            values = list(_varints(value))
            return float(values[0]) if len(values) == 1 else None
    return None


def _records(file: IO[bytes]) -> Iterator[bytes]:
    count = 0
    while len(head := file.read(12)) == 12:
        (length,), (checksum,) = struct.unpack("<Q", head[:8]), struct.unpack("<I", head[8:])
        if masked_crc(head[:8]) != checksum:
            raise DamagedError(f"no event file, or damaged after {count} records")
        if length > _LARGEST_RECORD:
            raise DamagedError(f"damaged after {count} records")
        if length > MAX_RECORD:
            file.seek(length + 4, 1)
        else:
            data, end = file.read(length), file.read(4)
            if len(data) < length or len(end) < 4:
                return  # it is still being written
            if masked_crc(data) != struct.unpack("<I", end)[0]:
                raise DamagedError(f"damaged after {count} records")
            yield data
        count += 1


def _fields(data: bytes) -> Iterator[Field]:
    at = 0
    while at < len(data):
        key, at = _varint(data, at)
        number, wire = key >> 3, key & 7
        if wire == VARINT:
            value, at = _varint(data, at)
            yield number, wire, value
            continue
        if wire == BYTES:
            length, at = _varint(data, at)
        elif wire in (FIXED64, FIXED32):
            length = 8 if wire == FIXED64 else 4
        else:
            raise DamagedError(f"a record that is no event: wire type {wire}")
        if at + length > len(data):
            raise DamagedError("a record that is no event: it ends too soon")
        yield number, wire, data[at : at + length]
        at += length


def _varint(data: bytes, at: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 70, 7):
        if at >= len(data):
            break
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value & (2**64 - 1), at
    raise DamagedError("a record that is no event: a number without an end")


def _varints(data: bytes) -> Iterator[int]:
    at = 0
    while at < len(data):
        value, at = _varint(data, at)
        yield value - (1 << 64) if value >> 63 else value


def _table() -> list[int]:
    """Return the table of CRC-32C, whose polynomial reversed is 0x82F63B78 (RFC 3720, B.4)."""
    table = []
    for number in range(256):
        for _ in range(8):
            number = number >> 1 ^ (0x82F63B78 if number & 1 else 0)
        table.append(number)
    return table


_TABLE = _table()


def crc32c(data: bytes) -> int:
    crc = 0xFFFFFFFF
    for byte in data:
        crc = _TABLE[(crc ^ byte) & 0xFF] ^ crc >> 8
    return crc ^ 0xFFFFFFFF


def masked_crc(data: bytes) -> int:
    """Return the checksum of a record's part (tensorflow/core/lib/hash/crc32c.h, Mask)."""
    crc = crc32c(data)
    return ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF
