"""What the embedded cloud keeps of the e-mails that AWS would have sent."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from email import message_from_bytes
from email.policy import default
from pathlib import Path
from types import SimpleNamespace

import pytest
from ministack.services import sns

from parris.runs.messages import Notice
from scripts.local import cloud, mail, mailbox

NOTICE = Notice(
    event="failed",
    job="mine",
    subject="Parris: mine failed",
    lines=["Job mine failed: naïve café", "", "Look closer: make logs RUN=r-1"],
    facts={"run-id": "r-1"},
)


@pytest.fixture
def topic(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A topic of the emulator, in this process, with the stand-in registered."""
    monkeypatch.setattr(sns, "_fanout", sns._fanout)  # and back, at the end
    mail.register(tmp_path)
    sns._create_topic({"Name": ["parris"]})
    yield next(iter(sns._topics))
    sns.reset()


def subscribe(topic: str, protocol: str, endpoint: str, policy: object = None) -> None:
    asked = {"TopicArn": [topic], "Protocol": [protocol], "Endpoint": [endpoint]}
    if policy is not None:
        asked |= {"Attributes.entry.1.key": ["FilterPolicy"]}
        asked |= {"Attributes.entry.1.value": [json.dumps(policy)]}
    assert sns._subscribe(asked)[0] == 200


def publish(topic: str, notice: Notice = NOTICE) -> None:
    said = notice.message()
    asked = {
        "TopicArn": [topic],
        "Message": [said["Message"]],
        "MessageStructure": ["json"],
        "Subject": [said["Subject"]],
    }
    for number, (name, value) in enumerate(said["MessageAttributes"].items(), 1):
        entry = f"MessageAttributes.entry.{number}"
        asked[f"{entry}.Name"] = [name]
        asked[f"{entry}.Value.DataType"] = [value["DataType"]]
        asked[f"{entry}.Value.StringValue"] = [value["StringValue"]]
    assert sns._publish(asked)[0] == 200


def test_an_e_mail_subscription_gets_the_body_for_people(topic: str, tmp_path: Path) -> None:
    subscribe(topic, "email", "me@example.org")
    publish(topic)
    (path,) = mailbox.read(tmp_path)
    read = message_from_bytes(path.read_bytes(), policy=default)
    assert (read["To"], read["Subject"]) == ("me@example.org", "Parris: mine failed")
    assert read.get_content() == "\n".join(NOTICE.lines) + "\n"
    assert "naïve café" in path.read_text()  # for whoever opens the file
    assert read["Date"].datetime.tzinfo is not None


def test_email_json_gets_the_whole_and_a_filter_holds(topic: str, tmp_path: Path) -> None:
    subscribe(topic, "email-json", "machine@example.org", {"event": ["failed"]})
    subscribe(topic, "email", "not-me@example.org", {"event": ["succeeded"]})
    subscribe(topic, "sqs", "arn:aws:sqs:us-east-1:000000000000:none")
    publish(topic)
    (path,) = mailbox.read(tmp_path)
    content = message_from_bytes(path.read_bytes(), policy=default).get_content()
    assert json.loads(json.loads(content)["Message"])["event"] == "failed"


def test_nothing_else_is_kept(topic: str, tmp_path: Path) -> None:
    publish(topic)
    assert mailbox.read(tmp_path) == {}


def test_the_command_prints_them_oldest_first_with_commands_to_type(
    topic: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("LOCAL", "1")
    running = SimpleNamespace(endpoint="http://127.0.0.1:1", region="us-east-1")
    monkeypatch.setattr(cloud, "read_cloud", lambda _home: running)
    assert cloud.main(["mail", "--home", str(tmp_path)]) == 0
    assert "No e-mail yet" in capsys.readouterr().out
    subscribe(topic, "email", "me@example.org")
    for number in range(12):
        publish(topic, Notice(event="started", job="x", subject=f"number {number}", lines=["one"]))
    publish(topic)
    assert cloud.main(["mail", "--home", str(tmp_path)]) == 0
    said = capsys.readouterr().out
    subjects = re.findall(r"^Subject: (.*)$", said, flags=re.MULTILINE)
    assert subjects == [*(f"number {number}" for number in range(12)), "Parris: mine failed"]
    assert said.count(f"== {tmp_path}/mail/") == 13
    assert "make logs RUN=r-1 LOCAL=1" in said
