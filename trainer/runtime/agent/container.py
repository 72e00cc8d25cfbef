"""The container that a job's scripts run in, by docker or podman, whichever the image has."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import subprocess
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Optional

from .aws import Aws
from .limits import ENGINE_SECONDS
from .ranks import node_rank
from .words import RunError, say

ENGINES = ("docker", "podman")
NOT_RUN = 125
"""With which either of them says that there is no container (docker-run(1), podman-run(1))."""
SHARED = ("source", "output", "checkpoints", "setup-source", "setup")
"""Of the machine's folder, what a container has at the same place."""
OURS = ("PARRIS_", "AWS_")
"""How the machine's own variables begin that a script may need."""
_ECR = re.compile(
    r"(?P<host>[0-9]{12}\.dkr\.ecr\.(?P<region>[a-z0-9-]+)\.amazonaws\.com(?:\.cn)?)/"
)
FIRST_PROCESS = """
[ $$ = 1 ] || exec "$@"
trap 'told=1; kill -s TERM -- -1' TERM
"$@" & script=$!
while :; do
  wait "$script"; status=$?
  kill -s 0 "$script" 2>/dev/null || break
done
while [ -n "$told" ] && kill -s 0 -- -1 2>/dev/null; do sleep 0.1; done
exit "$status"
"""
"""What a container begins with, in any shell: the first process of a container gets no signal that
it does not ask for (pid_namespaces(7)), and when it ends, all others are killed. This one hands
SIGTERM to all of them, as the machine does without a container, and waits until they have ended.
Where it is not the first, all of them would be all of the machine's (kill(2))."""


def container_of(receipt: Mapping[str, Any]) -> Optional[Container]:
    """Return the container of a run; None if its job names none.

    Raises:
        RunError: if the machine has no program for it.
    """
    image = receipt.get("container")
    if not image:
        return None
    engine = next((found for name in ENGINES if (found := shutil.which(name))), None)
    if engine is None:
        raise RunError(
            f"container: the machine has neither docker nor podman for {image}; choose an "
            '"image" that has one (docs/reference.md, "Containers")'
        )
    name = f"parris-{receipt['run-id']}-{receipt.get('attempt', 1)}"
    name += f"-{node_rank()}" if node_rank() else ""
    return Container(engine, image, name)


class Container:
    """One container at a time of an image, under a name by which it is removed."""

    def __init__(self, engine: str, image: str, name: str) -> None:
        self._engine, self.image, self._name = engine, image, name

    @property
    def engine(self) -> str:
        return Path(self._engine).name

    @property
    def pull(self) -> list[str]:
        """The command that fetches the image."""
        return [self._engine, "pull", self.image]

    def log_in(self, aws: Aws) -> None:
        """Let the machine pull from Amazon ECR, if the image is there and its role may.

        ECR user guide, "Private registry authentication". What is denied shows in the pull.
        """
        found = _ECR.match(self.image)
        if not found:
            return
        answer = aws.call("ecr", "get-login-password", "--region", found["region"])
        if answer.status:
            say(f"no password for {found['host']}: {answer.said}")
            return
        login = ("login", "--username", "AWS", "--password-stdin", found["host"])
        self._ask(*login, given=answer.output)

    def image_id(self) -> str:
        """Return what names the image's content; "" while the machine does not have it."""
        return self._ask("image", "inspect", "--format", "{{.Id}}", self.image).strip()

    def command(self, words: Sequence[str], folder: Path, variables: Iterable[str]) -> list[str]:
        """Return the command that runs `words` in the container, as this user, in `folder`.

        Args:
            folder: right below the machine's own.
            variables: by name, since their values may be secrets, which `ps` shows to anybody;
                docker and podman take them from their own environment.
        """
        given = sorted({*variables, *(name for name in os.environ if name.startswith(OURS))})
        places = [str(folder.parent / name) for name in SHARED if (folder.parent / name).exists()]
        return [
            *(self._engine, "run", "--rm", "--name", self._name),
            # The machine's network, since a container's own is one hop too far from IMDS; its
            # shared memory, of which a container's own has 64 MiB.
            *("--network", "host", "--ipc", "host", "--security-opt", "label=disable"),
            *("--log-driver", "none", "--user", f"{os.getuid()}:{os.getgid()}"),
            *("--workdir", str(folder), *self._graphics()),
            *(word for place in places for word in ("--volume", f"{place}:{place}")),
            *(word for name in given for word in ("--env", name)),
            *("--entrypoint", "/bin/sh", self.image, "-c", FIRST_PROCESS, "parris", *words),
        ]

    def remove(self) -> None:
        """Let nothing of the container be left, whether it runs or has ended."""
        self._ask("rm", "--force", self._name)

    def _graphics(self) -> tuple[str, ...]:
        """Return what gives the container the machine's GPUs, where there are any.

        NVIDIA Container Toolkit documentation, "Running a Sample Workload".
        """
        if not shutil.which("nvidia-smi"):
            return ()
        return ("--gpus", "all") if self.engine == "docker" else ("--device", "nvidia.com/gpu=all")

    def _ask(self, *words: str, given: bytes = b"") -> str:
        with contextlib.suppress(OSError, subprocess.SubprocessError):
            command = [self._engine, *words]
            answer = subprocess.run(
                command, check=False, timeout=ENGINE_SECONDS, capture_output=True, input=given
            )
            return answer.stdout.decode(errors="replace") if answer.returncode == 0 else ""
        return ""
