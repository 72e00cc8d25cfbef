"""What a trainer prints: all of it in log.txt, and live in CloudWatch Logs as far as it fits."""

from __future__ import annotations

import signal
import time

import pytest

from tests.unit.agent.machine import LOG_STREAM, OWN_URI, Machine, eventually

pytestmark = pytest.mark.processes


def test_the_first_line_is_streamed_while_the_trainer_runs(machine: Machine) -> None:
    machine.script("date +%s.%N; sleep 60")
    agent = machine.start()
    eventually(lambda: machine.streamed)
    (event,) = machine.streamed
    assert event["seen"] - float(event["message"]) < 2
    agent.send_signal(signal.SIGTERM)
    agent.wait(20)


def test_lines_follow_each_other_into_the_stream(machine: Machine) -> None:
    machine.run("echo a; sleep 1; echo; echo b; sleep 1.5; printf 'no end'")
    assert machine.messages == ["a", " ", "b", "no end"]  # an empty message would be refused
    assert machine.stored("log.txt") == b"a\n\nb\nno end"


def test_twenty_megabytes_are_all_kept_and_what_was_not_streamed_is_counted(
    machine: Machine,
) -> None:
    line = "0123456789" * 9 + "abcdefghi"
    begun = time.monotonic()
    outcome = machine.run(f"yes {line} | head --lines 200000")
    assert outcome["state"] == "succeeded"
    assert time.monotonic() - begun < 15
    log = machine.stored("log.txt") or b""
    assert log == f"{line}\n".encode() * 200_000
    lines = [message for message in machine.messages if message == line]
    skipped = 200_000 - len(lines)
    assert skipped > 0
    assert machine.messages[-1] == (
        f"… {skipped:,} lines not streamed; the whole log is in log.txt in {OWN_URI}"
    )
    assert outcome["warnings"] == [
        f"{skipped:,} log lines were not streamed; log.txt has the whole log"
    ]


def test_a_batch_holds_no_more_lines_than_cloudwatch_takes(machine: Machine) -> None:
    # What comes while the backlog is full is not streamed: the last line waits for one that was.
    stream = machine.folder / "logs/parris/runs" / LOG_STREAM
    streamed = f'[[ -e {stream} && "$(<{stream})" == *again* ]]'
    outcome = machine.run(f"seq 30000; until {streamed}; do echo again; sleep 0.2; done; echo last")
    assert {"1", "9000", "last"} <= set(machine.messages)
    assert outcome["warnings"][0].endswith("were not streamed; log.txt has the whole log")


def test_a_slow_cloudwatch_does_not_slow_the_trainer(machine: Machine) -> None:
    machine.break_aws({"match": "logs", "sleep": 2})
    outcome = machine.run("yes 0123456789 | head --bytes 5000000")
    assert outcome["trainer-seconds"] < 1.5
    assert len(machine.stored("log.txt") or b"") == 5_000_000


def test_binary_output_is_kept_byte_for_byte_and_streamed_as_text(machine: Machine) -> None:
    # 600 kB without a newline, none of it UTF-8: longer than one event, three times so as text.
    outcome = machine.run(
        r"""head --bytes 600000 /dev/zero | tr '\0' '\377'; printf '\ncaf\351\n\0x\n'"""
    )
    assert outcome["state"] == "succeeded"
    assert machine.stored("log.txt") == b"\xff" * 600_000 + b"\ncaf\xe9\n\0x\n"
    assert machine.messages[0].startswith("\ufffd" * 80_000)
    assert {"caf\ufffd", "\0x"} < set(machine.messages)
    assert "InvalidParameter" not in str(outcome["warnings"])


def test_a_line_longer_than_an_event_is_cut_and_not_dropped(machine: Machine) -> None:
    outcome = machine.run("head --bytes 600000 /dev/zero | tr '\\0' 'x'; echo; echo after")
    assert outcome["warnings"] == []
    assert "".join(machine.messages) == "x" * 600_000 + "after"


def test_a_long_line_whose_end_comes_later_leaves_no_empty_one(machine: Machine) -> None:
    length = 250_001  # one more than an event holds, so it is cut when all of it is there
    machine.run(f"head --bytes {length} /dev/zero | tr '\\0' 'x'; sleep 0.5; echo; echo after")
    assert "".join(machine.messages) == "x" * length + "after"


def test_a_stream_that_is_refused_is_a_warning_and_not_a_failure(machine: Machine) -> None:
    machine.break_aws({"match": "logs", "status": 254, "said": "AccessDeniedException: no"})
    outcome = machine.run("echo a; echo b")
    assert outcome["state"] == "succeeded"
    assert outcome["warnings"] == [
        "2 log lines were not streamed (AccessDeniedException: no); log.txt has the whole log"
    ]


def test_lines_that_are_still_on_their_way_at_the_end_are_told_of(machine: Machine) -> None:
    machine.patience["STREAM_SECONDS"] = "0"
    machine.break_aws({"match": "put-log", "sleep": 20})
    machine.run("echo one; echo two")
    assert machine.outcome()["warnings"] == [
        "2 log lines were not streamed; log.txt has the whole log"
    ]


def test_a_batch_that_takes_longer_than_an_answer_may_is_not_dropped(machine: Machine) -> None:
    """A batch of a MiB takes minutes on a slow network; only one that is silent is soon over."""
    machine.patience["HUNG_SECONDS"] = "1"
    machine.break_aws({"match": "put-log", "sleep": 2})
    machine.run("echo one; echo two")
    assert machine.messages == ["one", "two"]
    assert machine.outcome()["warnings"] == []


def test_a_stream_that_could_not_be_created_is_tried_again(machine: Machine) -> None:
    machine.patience |= {"FIRST_PAUSE, LONGEST_PAUSE, FAILURE_PAUSE": "0.1, 0.2, 1"}
    said = "ThrottlingException: Rate exceeded"
    machine.break_aws({"match": "create-log-stream", "status": 254, "said": said})
    machine.script("echo a; while [[ ! -e end ]]; do sleep 0.1; done")
    process = machine.start()
    eventually((machine.home / "log.txt").exists)
    time.sleep(0.6)
    assert machine.messages == []
    machine.break_aws()
    eventually(lambda: machine.messages == ["a"])
    (machine.home / "source/end").touch()
    process.wait(20)
    assert machine.outcome()["warnings"] == []


def test_a_full_disk_ends_the_run_with_that_reason(machine: Machine) -> None:
    (machine.home / "log.txt").symlink_to("/dev/full")
    outcome = machine.run("echo kept > $PARRIS_OUTPUT_DIR/a; echo hello; sleep 60")
    assert outcome["state"] == "failed"
    assert outcome["reason"] == (
        "the disk is full: log.txt cannot be written: No space left on device; raise volume-size-gb"
    )
    assert machine.stored("output/a") == b"kept\n"
    assert machine.messages == ["hello"]
    assert machine.calls[-1] == "shutdown --poweroff now"


def test_a_full_disk_does_not_stop_the_trainer_from_ending(machine: Machine) -> None:
    machine.receipt["stop-grace-seconds"] = 10
    (machine.home / "log.txt").symlink_to("/dev/full")
    machine.run(
        "trap 'head --bytes 3000000 /dev/zero; echo saved > $PARRIS_OUTPUT_DIR/a; exit 1' TERM\n"
        "echo hello; sleep 60 & wait"
    )
    assert machine.stored("output/a") == b"saved\n"  # its pipe was read on to the end
