"""What the power commands of the embedded cloud's instances order, and what they refuse."""

from __future__ import annotations

import datetime

import pytest

from scripts.local import commands

NOW = datetime.datetime(2024, 5, 6, 10, 30, tzinfo=datetime.UTC)


@pytest.mark.parametrize("arguments", [["-h", "now"], ["now"], ["-P", "now"], ["-P", "+0", "bye"]])
def test_shutdown_now_powers_off(arguments: list[str]) -> None:
    assert commands.shutdown(arguments, NOW) == {"do": "poweroff"}


@pytest.mark.parametrize(
    ("arguments", "seconds"),
    [
        (["--poweroff", "+90"], 5400),
        (["-h", "90"], 5400),
        ([], 60),
        (["11:00"], 1800),
        (["10:00"], 23.5 * 3600),
    ],
)
def test_shutdown_waits_until_its_time(arguments: list[str], seconds: float) -> None:
    assert commands.shutdown(arguments, NOW) == {"do": "schedule", "seconds": seconds}


def test_shutdown_can_be_cancelled() -> None:
    assert commands.shutdown(["-c"], NOW) == {"do": "cancel"}


@pytest.mark.parametrize(
    "arguments", [["soon"], ["-h", "+1.5"], ["25:00"], ["--wat"], ["-r", "now"]]
)
def test_shutdown_refuses_what_it_does_not_understand(arguments: list[str]) -> None:
    with pytest.raises(commands.Refused):
        commands.shutdown(arguments, NOW)


def test_poweroff_takes_no_time() -> None:
    assert commands.poweroff([]) == {"do": "poweroff", "force": False}
    assert commands.poweroff(["--force"]) == {"do": "poweroff", "force": True}
    with pytest.raises(commands.Refused, match="Too many arguments"):
        commands.poweroff(["now"])


def test_systemctl_powers_off_and_does_nothing_else() -> None:
    assert commands.systemctl(["--no-wall", "poweroff"]) == {"do": "poweroff", "force": False}
    for asked in (["enable", "/x.service"], ["list-jobs", "--full"], ["is-system-running"]):
        assert commands.systemctl(asked) == {"do": "nothing"}
    with pytest.raises(commands.Refused, match="does not know stop sshd"):
        commands.systemctl(["stop", "sshd"])


def test_systemd_run_passes_on_only_the_variables_it_is_given() -> None:
    arguments = [
        "--collect",
        "-u",
        "agent",
        "-p",
        "KillMode=mixed",
        "--setenv=A",
        "--setenv",
        "B=2",
        "--",
        "sh",
        "-c",
        "true",
    ]
    order = commands.systemd_run(arguments, {"A": "1", "C": "3"})
    assert (order["unit"], order["properties"]) == ("agent.service", {"KillMode": "mixed"})
    assert order["setenv"] == {"A": "1", "B": "2"}
    argv = order["argv"]
    assert isinstance(argv, list)
    assert argv[0].endswith("/sh")
    assert argv[1:] == ["-c", "true"]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--unit=x"], "Command line to execute required"),
        (["/no/such"], "Failed to find executable /no/such"),
        (["--on-active=30", "true"], "does not know --on-active"),
        (["--wait", "true"], "does not know --wait"),
    ],
)
def test_systemd_run_refuses_what_would_not_run(arguments: list[str], words: str) -> None:
    with pytest.raises(commands.Refused, match=words):
        commands.systemd_run(arguments, {})
