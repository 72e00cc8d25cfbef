"""Boot the machine's real user data and agent in a virtual machine: ``make test-boot``."""

from __future__ import annotations

import argparse
import fcntl
import os
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from botocore.exceptions import ClientError

from tests.boot import certificates, image, table, tools, vm
from tests.boot.actions import Action
from tests.boot.cases import DRILLS
from tests.boot.drill import (
    KERNEL,
    TRAINER_BEGAN,
    TRAINER_ENDED,
    USER_DATA,
    Drill,
    Result,
    Scene,
)
from tests.boot.network import Front
from tests.boot.stage import ROOT, Launched, Stage, StageError, deployed
from tests.debian import Missing

FOLDER = ROOT / ".parris" / "boot"


def main(argv: list[str] | None = None) -> int:
    """Run the drills: 0 all passed, 1 one failed, 2 usage, or the host lacks something."""
    parser = argparse.ArgumentParser(prog="python -m tests.boot", description=__doc__)
    parser.add_argument("drills", nargs="*", help="which; all by default")
    parser.add_argument("--list", action="store_true", help="print what each drill does")
    parser.add_argument(
        "--or-skip", action="store_true", help="succeed, and say so, where the host lacks something"
    )
    arguments = parser.parse_args(argv)
    named = [*arguments.drills, *os.environ.get("DRILLS", "").replace(",", " ").split()]
    known = {drill.name: drill for drill in DRILLS}
    if unknown := [name for name in named if name not in known]:
        parser.error(f"no such drill: {', '.join(unknown)}; there are: {', '.join(known)}")
    if arguments.list:
        print("\n".join(f"{drill.name:16} {drill.about}" for drill in DRILLS))
        return 0
    try:
        with _alone():
            return _run([known[name] for name in named] or list(DRILLS))
    except BlockingIOError:
        print(f"error: another make test-boot is under way in {FOLDER}", file=sys.stderr)
        return 2
    except Missing as error:
        print(f"skipped: {error}" if arguments.or_skip else f"error: {error}", file=sys.stderr)
        return 0 if arguments.or_skip else 2
    except (StageError, image.Broken) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nstopped; no machine runs", file=sys.stderr)
        return 130


@contextmanager
def _alone() -> Iterator[None]:
    """Keep a second run out, whose machine would take the first one's folder away."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    with (FOLDER / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield


@dataclass(frozen=True, kw_only=True)
class _Host:
    """What machines run on: the programs, an image for each suite, the front's certificate."""

    tools: tools.Tools
    images: Mapping[str, image.Image]
    chain: Path
    accelerator: str


def _run(drills: list[Drill]) -> int:
    host = _prepared(sorted({drill.suite for drill in drills}))
    failed = 0
    with deployed(FOLDER / "clone", drills) as stage:
        print(table.HEAD, flush=True)
        for drill in drills:
            try:
                result = _boot(drill, host, stage)
            except (AssertionError, ClientError, OSError, RuntimeError) as error:
                row = table.broken(drill.name, error)  # the others have their turn
                failed += 1
            else:
                problems = list(drill.holds.problems(result))
                failed += bool(problems)
                row = table.row(drill.name, result, problems)
            print(row, flush=True)
    print(f"accelerator: {host.accelerator}")
    print(f"boot: {len(drills)} drills, {failed} failed")
    return 1 if failed else 0


def _prepared(suites: list[str]) -> _Host:
    """Return the host with an image of each suite, made where it is not there yet."""
    found = tools.find(FOLDER / "tools")
    authority, chain = certificates.ensure(FOLDER / "certificates")
    images = {}
    for suite in suites:
        began = time.monotonic()
        print(f"image: Debian's {suite}, kept once it is made …", flush=True)
        images[suite] = image.build(found, FOLDER / "image" / suite, authority, suite)
        print(f"image: ready after {time.monotonic() - began:.0f} s", flush=True)
    accelerator = vm.accelerator(found, images[suites[0]], FOLDER)
    print(f"machines run on {accelerator}", flush=True)
    return _Host(tools=found, images=images, chain=chain, accelerator=accelerator)


def _boot(drill: Drill, host: _Host, stage: Stage) -> Result:
    """Launch a drill's job, boot the machines of its run, and say what is left of it."""
    log = FOLDER / "consoles" / f"{drill.name}.log"
    log.parent.mkdir(exist_ok=True)
    log.unlink(missing_ok=True)
    machines = [stage.launch(drill.name)]
    results = [_power_on(drill, host, stage, machines[0], drill.action)]
    while results[-1].off and len(machines) < drill.machines:
        machines.append(stage.after(machines))
        results.append(_power_on(drill, host, stage, machines[-1], None))
    return replace(results[-1], record=stage.outcome(machines[-1]), before=results[:-1])


def _power_on(
    drill: Drill, host: _Host, stage: Stage, run: Launched, action: Action | None
) -> Result:
    """Boot a machine of the run, act, and wait until it is off; `record` is yet to come."""
    front = Front(host.chain, stage.endpoint, run.metadata)
    marks = [USER_DATA, TRAINER_BEGAN, TRAINER_ENDED, drill.mark]
    try:
        with vm.running(
            host.tools,
            host.images[drill.suite],
            FOLDER / "machine",
            run.directory / "console.log",
            accelerator=host.accelerator,
            network=front.option(),
        ) as machine:
            scene = Scene(machine=machine, front=front, stage=stage, run=run)
            pressed = False
            while machine.look(marks) and machine.seconds_run < drill.limit:
                if action and drill.mark in machine.seen:
                    action(scene)
                    action = None
                if not pressed and (run.directory / "power-button").exists():
                    machine.command("system_powerdown")
                    pressed = True
                time.sleep(vm.LOOK_SECONDS)
            off, total = machine.process.poll() is not None, machine.seconds
    finally:
        (run.directory / "off").touch()
        front.close()
    text = machine.text()
    with (FOLDER / "consoles" / f"{drill.name}.log").open("a") as log:
        log.write(text)  # of a run's machines, one after another
    ended = machine.seen.get(TRAINER_ENDED)
    return Result(
        off=off,
        pressed=pressed,
        record={},
        stored=stage.stored(run),
        user_data=stage.user_data(run),
        console=text,
        boots=text.count(KERNEL),
        seen=machine.seen,
        boot=machine.seen.get(USER_DATA),
        end=total - ended if off and ended is not None else None,
        total=total,
        waited=machine.waited,
        waits=machine.waits,
    )


if __name__ == "__main__":
    sys.exit(main())
