"""What is kept of a machine's console when it left no outcome."""

from __future__ import annotations

from parris.reap.outcome import CONSOLE_BYTES, excerpt

NOISE = [f"[  {second}.0] systemd[1]: Stopped target Unit {second}." for second in range(400)]


def test_lines_about_the_run_come_before_the_noise_of_a_shutdown() -> None:
    said = ["parris: user data began", "cloud-init[512]: Failed to run module"]
    lines = excerpt("\n".join([*said, *NOISE])).splitlines()
    assert lines[:2] == said
    assert lines[-1] == NOISE[-1]


def test_it_is_no_longer_than_what_is_kept_and_ends_with_the_newest() -> None:
    many = [f"parris: line {number}" for number in range(1000)]
    kept = excerpt("\n".join([*NOISE, *many]))
    assert len(kept) == CONSOLE_BYTES
    assert kept.endswith(many[-1])
    assert "systemd" not in kept
    assert len(excerpt("x" * 10_000)) == CONSOLE_BYTES - 1


def test_a_short_console_is_kept_whole() -> None:
    assert excerpt("a\nb") == "a\nb"
    assert excerpt("") == ""
