"""A job's scripts run in a container where its configuration names one.

What is called docker here records how it is called, and runs what it is given as the first process
of a namespace, with the variables it is given and no image of its own. Where podman works, one test
asks it for a real container.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.unit.agent.cluster import TALK, Cluster
from tests.unit.agent.machine import Machine, eventually

pytestmark = pytest.mark.processes

IMAGE = "registry.example/team/trainer:1"
CLONE_NEWPID = 0x20000000

SAVING = """
(trap 'sleep 1; echo saved > "$PARRIS_OUTPUT_DIR/x"; exit' TERM; echo begun; sleep 60 & wait) &
wait
"""
"""A trainer that takes a second to save what its child has."""

STAND_IN = """#!{python}
import ctypes, json, os, pathlib, signal, sys
root = pathlib.Path({root!r})
words = sys.argv[1:]
with (root / "docker").open("a") as file:
    file.write(json.dumps(words) + chr(10))
if words[0] == "pull":
    print("pulling")
    (root / "image").touch()
if words[:2] == ["image", "inspect"]:
    if not (root / "image").exists():
        sys.exit(1)
    print("sha256:" + (root / "image").read_text())
if words[0] == "rm" and (root / "first-process").exists():  # with it all of its namespace goes
    os.kill(int((root / "first-process").read_text()), signal.SIGKILL)
if words[0] != "run":
    sys.exit(0)
at = words.index({image!r})
given = dict(zip(words[1:at], words[2:at]))
names = [words[i + 1] for i, word in enumerate(words[:at]) if word == "--env"]
environ = {{name: os.environ[name] for name in names if name in os.environ}}
environ["PATH"] = "/bin:/usr/bin"
assert ctypes.CDLL(None).unshare({newpid}) == 0
child = os.fork()
if not child:
    os.setsid()  # as a container is: no child of the client, and not in its group
    os.chdir(given["--workdir"])
    entry = given["--entrypoint"]
    os.execve(entry, [entry, *words[at + 1:]], environ)
(root / "first-process").write_text(str(child))
signal.signal(signal.SIGTERM, lambda number, _: os.kill(child, number))
status = os.waitpid(child, 0)[1]
(root / "first-process").unlink()
sys.exit(os.waitstatus_to_exitcode(status))
"""


def has_namespaces() -> bool:
    """Return whether a process here may make a namespace of processes."""
    look = f"import ctypes, sys; sys.exit(ctypes.CDLL(None).unshare({CLONE_NEWPID}) != 0)"
    return subprocess.run([sys.executable, "-c", look], check=False).returncode == 0


@pytest.fixture
def docker(machine: Machine) -> Machine:
    return with_docker(machine)


def with_docker(machine: Machine) -> Machine:
    if not has_namespaces():
        pytest.skip("no namespace of processes may be made here")
    machine.put(
        "docker",
        STAND_IN.format(
            python=sys.executable, root=str(machine.folder), image=IMAGE, newpid=CLONE_NEWPID
        ),
    )
    machine.receipt["container"] = IMAGE
    return machine


def calls(machine: Machine) -> list[list[str]]:
    return [json.loads(line) for line in (machine.folder / "docker").read_text().splitlines()]


def printed(machine: Machine) -> str:
    path = machine.home / "log.txt"
    return path.read_text() if path.exists() else ""


def test_the_trainer_runs_in_the_container_as_it_would_on_the_machine(docker: Machine) -> None:
    (docker.folder / "secrets.json").write_text('{"ssm:/key": "hunter2"}')
    docker.receipt |= {"secrets": {"KEY": "ssm:/key"}, "parameters": {"rate": "0.1"}}
    script = 'echo $$; pwd; echo "$PARRIS_PARAM_RATE $KEY $PARRIS_JOB $AWS_DEFAULT_REGION"\n'
    outcome = docker.run(script + 'echo x > "$PARRIS_OUTPUT_DIR/x"; exit 3')
    log = (docker.stored("log.txt") or b"").decode().splitlines()
    assert log == ["pulling", "2", str(docker.home / "source"), "0.1 hunter2 digits eu-central-1"]
    assert docker.stored("output/x") == b"x\n"
    assert (outcome["state"], outcome["exit-status"]) == ("failed", 3)
    assert outcome["reason"].startswith("trainer-script.sh exited with status 3; its last line: ")
    assert outcome["peak-memory-bytes"] is None  # of the client only
    inspect, pull, run, remove = calls(docker)
    assert (inspect[:2], pull) == (["image", "inspect"], ["pull", IMAGE])
    name = "parris-r1-1"
    assert remove == ["rm", "--force", name]
    options = run[: run.index(IMAGE)]
    assert options[:4] == ["run", "--rm", "--name", name]
    for folder in ("source", "output", "checkpoints"):
        assert f"{docker.home / folder}:{docker.home / folder}" in options
    assert options[options.index("--user") + 1] == f"{os.getuid()}:{os.getgid()}"
    assert "--gpus" not in options
    assert not [word for word in run if "hunter2" in word]  # ps shows it to anybody


@pytest.mark.parametrize(
    ("engine", "words"), [("docker", "--gpus all"), ("podman", "--device nvidia.com/gpu=all")]
)
def test_the_container_has_the_machines_gpus(docker: Machine, engine: str, words: str) -> None:
    (docker.bin / "docker").rename(docker.bin / engine)
    docker.put("nvidia-smi", "#!/bin/bash\n")
    (docker.folder / "image").touch()
    assert docker.run("true")["state"] == "succeeded"
    assert words in " ".join(calls(docker)[1])


def test_a_signal_reaches_every_process_in_the_container(docker: Machine) -> None:
    (docker.folder / "image").touch()
    docker.script(SAVING)
    agent = docker.start()
    eventually(lambda: "begun" in printed(docker))
    agent.send_signal(signal.SIGTERM)
    agent.wait(30)
    assert docker.outcome()["state"] == "interrupted"
    assert docker.stored("output/x") == b"saved\n"  # though bash, its parent, was gone at once
    assert calls(docker)[-1] == ["rm", "--force", "parris-r1-1"]


def test_a_container_that_does_not_end_is_removed(docker: Machine) -> None:
    (docker.folder / "image").touch()
    docker.receipt |= {"deadline": docker.iso_in(4), "stop-grace-seconds": 1}
    outcome = docker.run("trap '' TERM\nwhile :; do sleep 1; done")
    assert outcome["state"] == "timed-out"
    assert calls(docker)[-1] == ["rm", "--force", "parris-r1-1"]
    first = Path("/proc") / (docker.folder / "first-process").read_text()
    eventually(lambda: not first.exists())


def test_the_password_of_ecr_is_asked_for_and_given_to_docker(machine: Machine) -> None:
    host = "123456789012.dkr.ecr.eu-west-1.amazonaws.com"
    machine.receipt["container"] = f"{host}/team/trainer:1"
    machine.record("docker", f'[[ "$1" != login ]] || cat >{machine.folder}/given; exit 1')
    machine.break_aws({"match": "ecr get-login-password", "status": 0, "said": "hunter2"})
    assert "docker pull" in machine.run("echo trained")["reason"]
    assert (machine.folder / "given").read_text() == "hunter2\n"
    login = f"docker login --username AWS --password-stdin {host}"
    assert [call for call in machine.calls if "docker login" in call] == [login]
    machine.break_aws({"match": "get-login-password", "status": 1, "said": "AccessDenied"})
    machine.run("echo trained")
    assert f"no password for {host}: AccessDenied" in machine.console


def test_an_image_that_cannot_be_pulled_ends_the_run(docker: Machine) -> None:
    docker.record("docker", 'echo "manifest unknown"; exit 1')
    outcome = docker.run("echo trained")
    assert (outcome["state"], outcome["ended-by"]) == ("failed", "agent")
    assert outcome["reason"] == (
        f"container: {docker.bin}/docker pull {IMAGE} exited with status 1; its last line: "
        "manifest unknown"
    )


def test_a_container_that_cannot_be_started_is_named_as_the_reason(docker: Machine) -> None:
    docker.record("docker", '[[ "$1" != run ]] || { echo "no shell"; exit 125; }; echo an-id')
    assert docker.run("echo trained")["reason"] == (
        "trainer-script.sh exited with status 125, with which docker says that it could not start "
        f"{IMAGE}; its last line: no shell"
    )


def test_nodes_meet_from_within_their_containers(tmp_path: Path) -> None:
    with contextlib.ExitStack() as held:
        pair = Cluster(tmp_path, 2, held)
        for machine in pair.machines:
            held.callback(machine.unplug)
            with_docker(machine)
            (machine.home / "source/talk.py").write_text(TALK)
        pair.start(f"exec {sys.executable} talk.py")
        head, worker = pair.wait()
        assert (head["state"], worker["state"]) == ("succeeded", "succeeded"), pair.messages(0)
        assert "ranks 1" in pair.messages(0)
        for rank in (0, 1):
            assert any(f"nodes {pair.addresses}" in line for line in pair.messages(rank))
        names = [call[3] for machine in pair.machines for call in calls(machine) if "run" in call]
        assert names == ["parris-r1-1", "parris-r1-1-1"]


def test_a_machine_without_docker_and_podman_says_what_to_do(machine: Machine) -> None:
    machine.receipt["container"] = IMAGE
    outcome = machine.run("echo trained")
    assert outcome["state"] == "failed"
    assert outcome["reason"] == (
        f"container: the machine has neither docker nor podman for {IMAGE}; choose an "
        '"image" that has one (docs/reference.md, "Containers")'
    )


def test_the_setup_runs_in_the_container_and_is_made_for_its_image(docker: Machine) -> None:
    def run() -> list[str]:
        for name in ("setup", "setup-source"):
            shutil.rmtree(docker.home / name, ignore_errors=True)
        (docker.home / "log.txt").unlink(missing_ok=True)
        assert docker.run('cat "$PARRIS_SETUP_DIR/pid"')["state"] == "succeeded"
        return (docker.stored("log.txt") or b"").decode().splitlines()

    own = "runs/digits/r1/machines/AROATESTTESTTESTTEST1:i-0123456789abcdef0/"
    docker.receipt["setup"] = {"script": "setup.sh", "inputs": [], "earlier": own}
    docker.script('echo set up; echo $$ > "$PARRIS_SETUP_DIR/pid"', "setup.sh")
    assert run()[-1] == "2"
    assert "set up" not in run()
    (docker.folder / "image").write_text("another")
    assert "set up" in run()


@pytest.fixture
def podman(machine: Machine) -> Iterator[Machine]:
    """A machine with podman, which has an image with bash and little else."""
    found = shutil.which("podman")
    if found is None:
        pytest.skip("there is no podman")
    root, image = machine.folder / "rootfs", "localhost/parris-test:1"
    for name in ("bash", "cat", "env", "sleep", "id"):
        path = Path(shutil.which(name) or name)
        _put(root / "bin" / name, path)
        linked = subprocess.run(["ldd", path], capture_output=True, text=True, check=True).stdout
        for word in linked.split():
            if word.startswith("/"):
                _put(root / word.lstrip("/"), Path(word))
    (root / "bin/sh").symlink_to("bash")
    (root / "etc").mkdir()
    packed = machine.folder / "rootfs.tar"
    subprocess.run(["tar", "-C", root, "-cf", packed, "."], check=True)
    # A sandbox may have no room for the limits that podman asks for by itself.
    (machine.folder / "containers.conf").write_text(
        '[containers]\ndefault_ulimits = ["nofile=1000:1000", "nproc=1000:1000"]\n'
        + ('[engine]\nruntime = "runc"\n' if shutil.which("runc") else "")
    )
    environ = {**os.environ, "CONTAINERS_CONF": str(machine.folder / "containers.conf")}
    subprocess.run([found, "import", "--quiet", packed, image], check=True, env=environ)
    try:
        command = [found, "run", "--rm", "--network", "host", image, "/bin/bash", "-c", "true"]
        tried = subprocess.run(command, check=False, env=environ, capture_output=True, text=True)
        if tried.returncode:
            pytest.skip(f"podman does not work here: {tried.stderr.strip()[:200]}")
        (machine.bin / "podman").symlink_to(found)
        machine.receipt["container"] = image
        yield machine
    finally:
        subprocess.run([found, "rmi", "--force", image], check=False, env=environ)


def _put(path: Path, content: Path) -> None:
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(content, path)


def test_podman_runs_a_setup_and_a_trainer_in_a_real_container(podman: Machine) -> None:
    conf = str(podman.folder / "containers.conf")
    podman.receipt["setup"] = {"script": "setup.sh", "inputs": []}
    podman.script('[[ ! -e /usr/bin/git ]] && echo ours > "$PARRIS_SETUP_DIR/x"', "setup.sh")
    podman.script('echo "$(id -u) $PWD $(cat "$PARRIS_SETUP_DIR/x")"\n' + SAVING)
    agent = podman.start(CONTAINERS_CONF=conf)
    eventually(lambda: "begun" in printed(podman), 60)
    agent.send_signal(signal.SIGTERM)
    agent.wait(60)
    outcome = podman.outcome()
    assert outcome["state"] == "interrupted", outcome
    assert f"{os.getuid()} {podman.home / 'source'} ours" in printed(podman)
    assert podman.stored("output/x") == b"saved\n"
    left = ["podman", "ps", "--all", "--quiet", "--filter", "name=parris-r1-1"]
    assert subprocess.run(left, capture_output=True, check=True).stdout == b""
