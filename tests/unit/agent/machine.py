"""A machine whose aws CLI and power switch are recorded, on which the supervisor is a process."""

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
filters = []
while option := next((w for w in words if w in ("--exclude", "--include")), None):
    at = words.index(option)
    filters.append((option, words[at + 1]))
    del words[at : at + 2]

def left_out(name):
    # The last one that fits counts (AWS CLI reference, "Use of Exclude and Include Filters").
    fits = [option for option, pattern in filters if fnmatch.fnmatchcase(name, pattern)]
    return fits[-1:] == ["--exclude"]

for limit in ("--cli-connect-timeout", "--cli-read-timeout"):
    while limit in words:
        at = words.index(limit)
        del words[at : at + 2]
call = " ".join(words)
faults = json.loads((root / "faults.json").read_text())
for rule in faults:
    fits = "match" in rule and rule["match"] in call
    if fits and time.time() < rule.get("before", time.time() + 1):
        with (root / "broken").open("a") as broken:
            broken.write(call + "\\n")
        time.sleep(rule.get("sleep", 0))
        if "status" in rule:
            print(rule["said"])
            sys.exit(rule["status"])

def local(name):
    return root / "s3" / name[5:] if name.startswith("s3://") else pathlib.Path(name)

def same_size(source, target):
    return target.exists() and target.stat().st_size == source.stat().st_size

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
    if source.startswith("s3://") and not source.endswith("/") and not local(source).exists():
        print("fatal error: An error occurred (404) when calling the HeadObject operation")
        sys.exit(1)
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
    breaks = [rule for rule in faults if "at" in rule and not (root / "broken").exists()]
    for path in sorted(local(source).rglob("*")):
        name = str(path.relative_to(local(source)))
        if not path.is_file() or left_out(name) or same_size(path, local(target) / name):
            continue
        if rule := next((r for r in breaks if name == r["at"]), None):
            half = local(target) / (name + ".0aF19bC3")
            half.parent.mkdir(parents=True, exist_ok=True)
            half.write_bytes(path.read_bytes()[:1])
            (root / "broken").touch()
            if rule["how"] == "killed":
                os.kill(os.getpid(), 9)
            half.unlink()
            print("download failed: " + name)
            sys.exit(1)
        copy(path, local(target) / name)
        (root / "fetched").open("a").write(name + "\\n")
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
        """Let calls of the aws CLI that contain `match`, `before` a time, sleep or fail.

        One with `at` breaks off, once, as it fetches that file: `how` is ``killed`` or ``failed``.
        """
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
        """End what a test has left running, all of it, also what began meanwhile."""
        eventually(lambda: not self._killed())

    def _killed(self) -> list[int]:
        """Kill what runs here, and return which processes; each has the machine's PATH."""
        path, killed = f"PATH={self.bin}".encode(), []
        for environ in Path("/proc").glob("[0-9]*/environ"):
            with contextlib.suppress(OSError):  # it has ended, or is none of ours
                if path in environ.read_bytes().split(b"\0"):
                    os.kill(int(environ.parent.name), signal.SIGKILL)
                    killed.append(int(environ.parent.name))
        return killed

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
    def broken(self) -> str:
        """The calls of aws that `break_aws` has met, each as it began."""
        path = self.folder / "broken"
        return path.read_text() if path.exists() else ""

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
