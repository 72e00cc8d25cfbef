"""The supervisor, as a process on a machine whose aws CLI and power switch are recorded."""

from __future__ import annotations

import contextlib
import http.server
import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from scripts import package_lambda

AGENT = Path(__file__).resolve().parents[3] / "trainer/runtime/agent"
RUN_URI = "s3://results/runs/digits/r1"
OWN_NAME = "AROATESTTESTTESTTEST1:i-0123456789abcdef0"
OWN_URI = f"{RUN_URI}/machines/{OWN_NAME}"
LOG_STREAM = "digits/r1/secret"
TOOLS = (
    *("bash", "cat", "date", "dd", "env", "false", "head", "kill", "ln", "mkdir", "mv"),
    *("rm", "seq", "setsid", "sleep", "timeout", "touch", "tr", "yes"),
)

FAKE_AWS = """
import fnmatch, hashlib, json, os, pathlib, subprocess, sys, time
root = pathlib.Path({root!r})
words = [w for w in sys.argv[1:] if w not in ("--only-show-errors", "--recursive")]
left_out = []
while "--exclude" in words:
    at = words.index("--exclude")
    left_out.append(words[at + 1])
    del words[at : at + 2]
for limit in ("--cli-connect-timeout", "--cli-read-timeout"):
    while limit in words:
        at = words.index(limit)
        del words[at : at + 2]
call = " ".join(words)
for rule in json.loads((root / "faults.json").read_text()):
    if rule["match"] in call and time.time() < rule.get("before", time.time() + 1):
        time.sleep(rule.get("sleep", 0))
        if "status" in rule:
            print(rule["said"])
            sys.exit(rule["status"])

def local(name):
    return root / "s3" / name[5:] if name.startswith("s3://") else pathlib.Path(name)

def copy(source, target):
    assert source.is_file(), f"not a file: {{source}}"
    store(source, target)

def store(source, target):
    content = source.read_bytes()
    hook = root / "hook"  # what happens while a file is being sent: read, and not yet stored
    if hook.exists():
        subprocess.run([str(hook), str(source.resolve())], check=True)
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_bytes(content)
    skew = root / "s3-clock"
    now = time.time() + (float(skew.read_text()) if skew.exists() else 0)
    os.utime(target, (now, now))

if words[:2] == ["s3", "cp"]:
    source, target = words[2:]
    if target == "-":
        sys.stdout.buffer.write(local(source).read_bytes())
    elif source == "-":
        local(target).parent.mkdir(parents=True, exist_ok=True)
        local(target).write_bytes(sys.stdin.buffer.read())
    elif source.endswith("/") or local(source).is_dir():
        for path in local(source).rglob("*"):
            if path.is_file():
                copy(path, local(target) / path.relative_to(local(source)))
    elif target.endswith("/"):
        copy(local(source), local(target) / local(source).name)
    else:
        copy(local(source), local(target))
elif words[:2] == ["s3", "sync"]:
    source, target = words[2:]
    for path in local(source).rglob("*"):
        name = str(path.relative_to(local(source)))
        if path.is_file() and not any(fnmatch.fnmatchcase(name, each) for each in left_out):
            copy(path, local(target) / name)
elif words[:2] == ["s3api", "list-objects-v2"]:
    bucket = root / "s3" / words[words.index("--bucket") + 1]
    prefix = words[words.index("--prefix") + 1]
    names = [str(path.relative_to(bucket)) for path in bucket.rglob("*") if path.is_file()]
    etags = {{name: hashlib.md5((bucket / name).read_bytes()).hexdigest() for name in names}}
    print(json.dumps([[name, etag] for name, etag in etags.items() if name.startswith(prefix)]))
elif words[0] in ("ssm", "secretsmanager"):
    held = json.loads((root / "secrets.json").read_text())
    name = words[words.index("--name" if words[0] == "ssm" else "--secret-id") + 1]
    value = held[f"{{words[0]}}:{{name}}"]
    ssm = {{"Parameter": {{"Name": name, "Type": "SecureString", "Value": value}}}}
    print(json.dumps(ssm if words[0] == "ssm" else {{"Name": name, "SecretString": value}}))
elif words[:2] == ["sts", "get-caller-identity"]:
    print({own_name!r})
elif words[:2] == ["logs", "put-log-events"]:
    request = json.loads(pathlib.Path(words[3].removeprefix("file://")).read_bytes())
    events = request["logEvents"]
    sizes = [len(event["message"].encode()) for event in events]
    times = [event["timestamp"] for event in events]
    assert min(sizes) >= 1 and max(sizes) <= 256 * 1024, "InvalidParameterException: size"
    assert sum(sizes) + 26 * len(sizes) <= 1_048_576, "InvalidParameterException: batch"
    assert len(events) <= 10_000 and times == sorted(times), "InvalidParameterException"
    stream = root / "logs" / request["logGroupName"].strip("/") / request["logStreamName"]
    stream.parent.mkdir(parents=True, exist_ok=True)
    with stream.open("a") as file:
        for event in events:
            file.write(json.dumps({{"seen": time.time(), **event}}) + "\\n")
with (root / "journal").open("a") as file:
    file.write(f"{{time.time()}} aws {{call}}\\n")
"""

RECORDER = """#!/bin/bash
echo "$(date +%s.%N) {name} $*" >>{root}/journal
{then}
"""

# systemd-run's service: nothing of the caller's environment, and not waited for.
SYSTEMD_RUN = """
environment=()
while [[ "$1" != -- ]]; do
  [[ "$1" == --setenv=* ]] && environment+=("${1#--setenv=}")
  shift
done
env -i "${environment[@]}" setsid "${@:2}" </dev/null &>>CONSOLE &
"""


class Machine:
    """A folder that stands in for a training machine, with nothing on its PATH but `bin`."""

    def __init__(self, folder: Path, python: str = sys.executable) -> None:
        self.folder, self.home, self.bin = folder, folder / "home", folder / "bin"
        for name in ("home/source", "home/output", "home/checkpoints", "bin", "s3"):
            (folder / name).mkdir(parents=True)
        for tool in TOOLS:
            (self.bin / tool).symlink_to(shutil.which(tool) or tool)
        self.put("python3", f'#!/bin/bash\nexec {shlex.quote(python)} "$@"\n')
        (folder / "aws.py").write_text(FAKE_AWS.format(root=str(folder), own_name=OWN_NAME))
        words = shlex.join([sys.executable, "-I", "-S", str(folder / "aws.py")])
        self.put("aws", f'#!/bin/bash\nexec {words} "$@"\n')
        for name in ("shutdown", "poweroff"):
            self.record(name)
        self.record("systemd-run", SYSTEMD_RUN.replace("CONSOLE", str(folder / "console")))
        (folder / "journal").touch()
        self.break_aws()
        # The agent's own patience is not what most tests wait for.
        self.patience = {
            "LAST_MOMENT_SECONDS": "1",
            "OUTCOME_PAUSES": "(0.1, 0.2, 0)",
            "RETRY_SECONDS": "4",
        }
        self.receipt: dict[str, Any] = {
            "run-id": "r1",
            "job": "digits",
            "deadline": self.iso_in(3600),
            "time-limit-minutes": 60,
            "script": "trainer-script.sh",
            "parameters": {},
            "sync-interval-seconds": 60,
            "stop-grace-seconds": 5,
            "log-group": "/parris/runs",
            "market": "on-demand",
            "price": {"hourly-usd": "0.0464"},
        }

    @staticmethod
    def iso_in(seconds: float) -> str:
        return (datetime.now(UTC) + timedelta(seconds=seconds)).strftime("%Y-%m-%dT%H:%M:%SZ")

    @property
    def environ(self) -> dict[str, str]:
        return {
            "PATH": str(self.bin),
            "HOME": str(self.folder),
            "PARRIS_HOME": str(self.home),
            "PARRIS_RUN_URI": RUN_URI,
            "PARRIS_MACHINE_URI": OWN_URI,
            "PARRIS_LOG_STREAM": LOG_STREAM,
            "PARRIS_JOB": "digits",
            "PARRIS_RUN_ID": "r1",
            "PARRIS_LIMIT_MINUTES": "60",
            "PARRIS_BOOTED": "2026-01-01T12:00:00Z",
            "AWS_DEFAULT_REGION": "eu-central-1",
            "AWS_EC2_METADATA_SERVICE_ENDPOINT": "http://127.0.0.1:9",
        }

    def put(self, command: str, content: str) -> None:
        path = self.bin / command
        path.unlink(missing_ok=True)
        path.write_text(content)
        path.chmod(0o755)

    def record(self, command: str, then: str = "") -> None:
        """Put a command on the machine that writes its call down, then runs the bash `then`."""
        self.put(command, RECORDER.format(name=command, root=self.folder, then=then))

    def break_aws(self, *faults: dict[str, Any]) -> None:
        """Let calls of the aws CLI that contain `match`, `before` a time, sleep or fail."""
        (self.folder / "faults.json").write_text(json.dumps(faults))

    def script(self, content: str | bytes, name: str = "trainer-script.sh") -> None:
        path = self.home / "source" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)

    def agent(self) -> bytes:
        """Return agent.pyz, less patient."""
        files = package_lambda.agent_contents()
        limits = files["agent/limits.py"].decode()
        for name, value in self.patience.items():
            limits, found = re.subn(rf"^{name} = .*$", f"{name} = {value}", limits, flags=re.M)
            assert found == 1, name
        return package_lambda.archive({**files, "agent/limits.py": limits.encode()})

    def store_receipt(self, content: str | None = None) -> None:
        """Put the receipt, or what stands in for it, in S3."""
        path = self.folder / "s3" / RUN_URI.removeprefix("s3://") / "run.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        new = path.with_suffix(".new")
        new.write_text(json.dumps(self.receipt) if content is None else content)
        new.replace(path)

    def start(self, **environ: str) -> subprocess.Popen[bytes]:
        (self.home / "agent.pyz").write_bytes(self.agent())
        (self.home / "run.json").write_text(json.dumps(self.receipt))
        self.store_receipt()
        with (self.folder / "console").open("ab") as console:
            return subprocess.Popen(
                [self.bin / "python3", self.home / "agent.pyz", self.home],
                env=self.environ | environ,
                stdout=console,
                stderr=console,
                start_new_session=True,
            )

    def run(self, script: str | bytes = "", seconds: float = 30, **environ: str) -> dict[str, Any]:
        """Run the agent to its end, and return the outcome in S3."""
        if script:
            self.script(script)
        agent = self.start(**environ)
        try:
            agent.wait(seconds)
        finally:
            agent.kill()
        return self.outcome()

    def unplug(self) -> None:
        """Kill what a test has left running; all of it has the machine's PATH."""
        path = f"PATH={self.bin}".encode()
        for environ in Path("/proc").glob("[0-9]*/environ"):
            with contextlib.suppress(OSError):  # it has ended, or is none of ours
                if path in environ.read_bytes().split(b"\0"):
                    os.kill(int(environ.parent.name), signal.SIGKILL)

    def outcome(self) -> dict[str, Any]:
        content = self.stored("outcome.json")
        assert content is not None, self.console
        outcome: dict[str, Any] = json.loads(content)
        return outcome

    def stored(self, name: str) -> bytes | None:
        path = self.folder / "s3" / OWN_URI.removeprefix("s3://") / name
        return path.read_bytes() if path.is_file() else None

    @property
    def console(self) -> str:
        path = self.folder / "console"
        return path.read_text(errors="replace") if path.exists() else ""

    @property
    def journal(self) -> list[tuple[float, str]]:
        """Every call of aws (when it ended) and of the power commands (when it began)."""
        lines = (self.folder / "journal").read_text().splitlines()
        return sorted((float(line.split(" ")[0]), line.split(" ", 1)[1]) for line in lines)

    @property
    def calls(self) -> list[str]:
        return [call for _, call in self.journal]

    @property
    def streamed(self) -> list[dict[str, Any]]:
        path = self.folder / "logs/parris/runs" / LOG_STREAM
        return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []

    @property
    def messages(self) -> list[str]:
        return [event["message"] for event in self.streamed]


def eventually(found: Callable[[], Any], seconds: float = 30) -> Any:
    limit = time.monotonic() + seconds
    while time.monotonic() < limit:
        if value := found():
            return value
        time.sleep(0.05)
    raise AssertionError(f"not within {seconds} s")


class Metadata:
    """An instance metadata service: what it has below /latest/, and what it was asked for."""

    def __init__(self, endpoint: str, documents: dict[str, str]) -> None:
        self.endpoint, self.documents = endpoint, documents
        self.asked: list[str] = []


@contextlib.contextmanager
def metadata(documents: dict[str, str]) -> Iterator[Metadata]:
    """Serve IMDSv2 on loopback."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_PUT(self) -> None:
            assert self.path == "/latest/api/token"
            assert self.headers["X-aws-ec2-metadata-token-ttl-seconds"]
            self._answer(200, "secret")

        def do_GET(self) -> None:
            path = self.path.removeprefix("/latest/")
            service.asked.append(path)
            if self.headers["X-aws-ec2-metadata-token"] != "secret":
                self._answer(401)
            else:
                text = service.documents.get(path)
                self._answer(404 if text is None else 200, text or "")

        def _answer(self, status: int, body: str = "") -> None:
            self.send_response(status)
            self.end_headers()
            self.wfile.write(body.encode())

        def log_message(self, *_: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        service = Metadata(f"http://127.0.0.1:{server.server_address[1]}", documents)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield service
        server.shutdown()


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[Machine]:
    # The oldest Python of an image is tried with PARRIS_TEST_PYTHON=/path/to/python3.9
    machine = Machine(tmp_path / "m", os.environ.get("PARRIS_TEST_PYTHON", sys.executable))
    yield machine
    machine.unplug()


def test_a_trainer_that_succeeds_is_stored_before_the_power_goes_off(machine: Machine) -> None:
    outcome = machine.run(
        "echo one; echo two >&2; echo model > $PARRIS_OUTPUT_DIR/m; "
        "echo c > $PARRIS_CHECKPOINT_DIR/c; sleep 0.2"
    )
    assert outcome["state"] == "succeeded"
    assert outcome["ended-by"] == "trainer"
    assert outcome["reason"] == "trainer-script.sh exited with status 0"
    assert outcome["exit-status"] == 0
    assert outcome["run-id"] == "r1"
    assert outcome["job"] == "digits"
    assert outcome["booted"] == "2026-01-01T12:00:00Z"
    assert outcome["booted"] < outcome["started"] <= outcome["finished"]
    assert 0.2 <= outcome["trainer-seconds"] < 3
    assert outcome["peak-memory-bytes"] > 1_000_000
    assert outcome["bytes-stored"] == len("one\ntwo\n") + len("model\n") + len("c\n")
    assert outcome["warnings"] == []
    assert machine.stored("log.txt") == b"one\ntwo\n"
    assert machine.stored("output/m") == b"model\n"
    assert machine.stored("checkpoints/c") == b"c\n"
    assert machine.messages == ["one", "two"]
    stored, forced, off = machine.calls[-3:]
    assert stored == f"aws s3 cp - {OWN_URI}/outcome.json"
    assert forced.startswith("systemd-run --quiet --unit=parris-force ")
    assert off == "shutdown --poweroff now"
    assert f"parris outcome: {json.dumps(outcome)}" in machine.console


def test_the_machine_goes_off_within_two_seconds_of_the_trainer(machine: Machine) -> None:
    machine.run("echo a > $PARRIS_OUTPUT_DIR/a; date +%s.%N")
    ended = float(machine.stored("log.txt") or b"")
    (went_off,) = [when for when, call in machine.journal if call == "shutdown --poweroff now"]
    assert went_off - ended < 2


def test_the_end_of_a_run_starts_the_aws_cli_three_times(machine: Machine) -> None:
    """Each start costs about a second of CPU: one for all files, one for the log, one for the word.

    The log's last lines are sent beside the files.
    """
    machine.script(
        "echo a > $PARRIS_OUTPUT_DIR/a; echo b > $PARRIS_CHECKPOINT_DIR/b; echo first\n"
        "until [[ -e go ]]; do sleep 0.1; done; date +%s.%N > end; echo last"
    )
    process = machine.start()
    eventually(lambda: machine.messages == ["first"])
    eventually(lambda: machine.stored("alive.json"))
    (machine.home / "source/go").touch()
    process.wait(20)
    ended = float((machine.home / "source/end").read_text())
    calls = [
        call.split()[1:3]
        for when, call in machine.journal
        if when > ended and call.startswith("aws ")
    ]
    assert sorted(calls) == [["logs", "put-log-events"], ["s3", "cp"], ["s3", "cp"]]


def test_a_trainer_is_told_about_its_run(machine: Machine) -> None:
    machine.receipt["parameters"] = {"learning-rate": "0.1", "tëst.x": "a b"}
    machine.run("pwd; env")
    log = (machine.stored("log.txt") or b"").decode().splitlines()
    assert log[0] == str(machine.home / "source")
    for line in (
        "PARRIS_JOB=digits",
        "PARRIS_RUN_ID=r1",
        f"PARRIS_OUTPUT_DIR={machine.home}/output",
        f"PARRIS_CHECKPOINT_DIR={machine.home}/checkpoints",
        f"PARRIS_DEADLINE={machine.receipt['deadline']}",
        "PARRIS_PARAM_LEARNING_RATE=0.1",
        "PARRIS_PARAM_T_ST_X=a b",
        "TERMINATION_TIME_LIMIT=60",
        f"HOME={machine.folder}",
    ):
        assert line in log


def test_without_a_time_limit_the_trainer_reads_never(machine: Machine) -> None:
    machine.receipt["time-limit-minutes"] = None
    machine.run('echo "$TERMINATION_TIME_LIMIT"')
    assert machine.stored("log.txt") == b"never\n"


def test_a_script_runs_under_the_interpreter_it_names(machine: Machine) -> None:
    machine.receipt["script"] = "code/train.py"
    machine.script(
        "#!/usr/bin/env python3\nimport sys; print(sys.version_info[0])", "code/train.py"
    )
    assert machine.run()["state"] == "succeeded"
    assert machine.stored("log.txt") == b"3\n"


def test_a_script_of_300_kilobytes_runs(machine: Machine) -> None:
    assert machine.run("#!/bin/bash\n" + "# padding\n" * 30_000 + "echo end\n")["exit-status"] == 0
    assert machine.stored("log.txt") == b"end\n"


def test_windows_line_endings_are_repaired_with_a_warning(machine: Machine) -> None:
    outcome = machine.run("#!/bin/bash\r\nif true; then\r\n  echo fine\r\nfi\r\n")
    assert outcome["state"] == "succeeded"
    assert outcome["warnings"] == [
        "trainer-script.sh had Windows line endings (CRLF); they were repaired for this run"
    ]
    assert machine.stored("log.txt") == b"fine\n"


@pytest.mark.parametrize(
    ("script", "content", "reason"),
    [
        ("nowhere.sh", None, "nowhere.sh cannot be read or repaired: No such file or directory"),
        ("../run.json", None, "../run.json lies outside the job's folder"),
        ("/etc/passwd", None, "/etc/passwd lies outside the job's folder"),
        (
            "t.sh",
            "#!/no/such/interpreter\n",
            "t.sh cannot be started: No such file or directory; "
            "does the image have the interpreter its first line names?",
        ),
    ],
)
def test_a_script_that_cannot_run_is_reported(
    machine: Machine, script: str, content: str | None, reason: str
) -> None:
    machine.receipt["script"] = script
    if content is not None:
        machine.script(content, script)
    outcome = machine.run()
    assert (outcome["state"], outcome["reason"]) == ("failed", reason)
    assert outcome["exit-status"] is None
    assert outcome["started"] is None
    assert machine.calls[-1] == "shutdown --poweroff now"


def test_a_symlink_out_of_the_job_is_refused(machine: Machine) -> None:
    (machine.home / "source/trainer-script.sh").symlink_to("/bin/bash")
    assert "lies outside the job's folder" in machine.run()["reason"]


def test_a_trainer_that_fails_is_reported_with_its_last_line(machine: Machine) -> None:
    outcome = machine.run(r"echo step 1; printf '10%%\r20%%\rno more data\n\n'; exit 3")
    assert (outcome["state"], outcome["ended-by"], outcome["exit-status"]) == (
        *("failed", "trainer"),
        3,
    )
    assert outcome["reason"] == (
        "trainer-script.sh exited with status 3; its last line: no more data"
    )


def test_a_trainer_ended_by_a_signal_has_its_negative_number(machine: Machine) -> None:
    outcome = machine.run("kill -SEGV $$")
    assert (outcome["state"], outcome["exit-status"]) == ("failed", -signal.SIGSEGV)
    assert outcome["reason"] == "trainer-script.sh was ended by signal 11"


def test_what_the_trainer_leaves_in_its_group_is_ended(machine: Machine) -> None:
    assert machine.run("sleep 300 & echo $!")["state"] == "succeeded"
    left = int(machine.stored("log.txt") or b"")
    eventually(lambda: not _is_alive(left))


def test_a_daemon_that_keeps_the_output_open_is_not_waited_for(machine: Machine) -> None:
    begun = time.monotonic()
    outcome = machine.run("setsid sleep 8 & echo started")
    assert outcome["state"] == "succeeded"
    assert time.monotonic() - begun < 6


@pytest.mark.processes
def test_a_slow_disk_does_not_cut_the_log_off(machine: Machine) -> None:
    # A pipe in place of log.txt that takes 400 kB a second: most of it waits as the trainer ends.
    log = machine.home / "log.txt"
    os.mkfifo(log)
    taken = bytearray()

    def disk() -> None:
        with log.open("rb", buffering=0) as pipe:
            while block := pipe.read(40_000):
                taken.extend(block)
                time.sleep(0.1)

    reader = threading.Thread(target=disk, daemon=True)
    reader.start()
    outcome = machine.run("head --bytes 1000000 /dev/zero; echo end")
    reader.join(10)
    assert outcome["trainer-seconds"] < 2  # it did not wait for the disk
    assert len(taken) == 1_000_004
    assert taken.endswith(b"end\n")


@pytest.mark.processes
def test_a_daemon_that_never_falls_silent_is_not_waited_for(machine: Machine) -> None:
    begun = time.monotonic()
    assert machine.run("setsid timeout 90 yes & sleep 0.2", 60)["state"] == "succeeded"
    assert time.monotonic() - begun < 45


@pytest.mark.processes
def test_a_lost_s3_costs_neither_the_outcome_nor_the_power_off(machine: Machine) -> None:
    machine.break_aws({"match": "s3 ", "status": 1, "said": "Could not connect"})
    machine.script("echo a > $PARRIS_OUTPUT_DIR/a; echo b")
    machine.start().wait(30)
    (line,) = [line for line in machine.console.splitlines() if "parris outcome: " in line]
    outcome = json.loads(line.partition("parris outcome: ")[2])
    assert (outcome["state"], outcome["bytes-stored"]) == ("succeeded", 0)
    assert outcome["warnings"] == ["not everything was stored: Could not connect"]
    assert machine.stored("outcome.json") is None
    assert machine.calls[-1] == "shutdown --poweroff now"


def test_the_machine_is_named_by_its_metadata_service(machine: Machine) -> None:
    values = {"instance-id": "i-0a", "instance-type": "c7i.large", "ami-id": "ami-1"}
    with metadata({f"meta-data/{name}": value for name, value in values.items()}) as service:
        outcome = machine.run("sleep 0.3", AWS_EC2_METADATA_SERVICE_ENDPOINT=service.endpoint)
    assert outcome["instance-id"] == "i-0a"
    assert outcome["instance-type"] == "c7i.large"
    assert outcome["image"] == "ami-1"


def test_a_broken_receipt_is_an_outcome_and_not_a_machine_left_on(machine: Machine) -> None:
    del machine.receipt["log-group"]
    outcome = machine.run("echo never")
    assert outcome["state"] == "failed"
    assert outcome["reason"] == "the supervisor failed: KeyError: 'log-group'"
    assert machine.calls[-1] == "shutdown --poweroff now"


def test_a_fault_of_the_agent_still_ends_the_trainer_and_stores_its_work(machine: Machine) -> None:
    machine.receipt["stop-grace-seconds"] = "soon"
    (machine.home / "output/a").write_text("kept")  # the fault may come before the script's work
    outcome = machine.run(f"exec -a {machine.home} sleep 300")
    assert outcome["state"] == "failed"
    assert "the supervisor failed: ValueError" in outcome["reason"]
    assert machine.stored("output/a") == b"kept"
    running = subprocess.run(["ps", "-eo", "args"], capture_output=True, text=True, check=True)
    assert f"{machine.home} 300" not in running.stdout


def test_the_second_power_command_is_tried_when_the_first_fails(machine: Machine) -> None:
    machine.record("shutdown", "exit 1")
    machine.run("true")
    assert machine.calls[-2:] == ["shutdown --poweroff now", "poweroff --force"]


def _is_alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state not in "ZX"
