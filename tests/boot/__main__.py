"""Boot the machine's real user data and agent in a virtual machine: ``make test-boot``."""

from __future__ import annotations

import argparse
import os
import sys
import time
from pathlib import Path

from botocore.exceptions import ClientError

from tests.boot import certificates, image, table, tools, vm
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
from tests.boot.stage import ROOT, Stage, StageError, deployed
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
        return _run([known[name] for name in named] or list(DRILLS))
    except Missing as error:
        print(f"skipped: {error}" if arguments.or_skip else f"error: {error}", file=sys.stderr)
        return 0 if arguments.or_skip else 2
    except (StageError, image.Broken) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nstopped; no machine runs", file=sys.stderr)
        return 130


def _run(drills: list[Drill]) -> int:
    found = tools.find(FOLDER / "tools")
    authority, chain = certificates.ensure(FOLDER / "certificates")
    began = time.monotonic()
    print("image: Debian 12, kept once it is made …", flush=True)
    made = image.build(found, FOLDER / "image", authority)
    accelerator = vm.accelerator(found, made, FOLDER)
    print(f"image: ready after {time.monotonic() - began:.0f} s; machines run on {accelerator}")
    rows, failed = [], 0
    with deployed(FOLDER / "clone", drills) as stage:
        print(table.HEAD, flush=True)
        for drill in drills:
            try:
                result = _boot(drill, found, made, stage, chain, accelerator)
            except (AssertionError, ClientError, OSError, RuntimeError) as error:
                rows.append(table.broken(drill.name, error))  # the others have their turn
                failed += 1
            else:
                problems = list(drill.holds.problems(result))
                failed += bool(problems)
                rows.append(table.row(drill.name, result, problems))
            print(rows[-1], flush=True)
    print(f"accelerator: {accelerator}")
    print(f"boot: {len(drills)} drills, {failed} failed")
    return 1 if failed else 0


def _boot(
    drill: Drill,
    found: tools.Tools,
    made: image.Image,
    stage: Stage,
    chain: Path,
    accelerator: str,
) -> Result:
    """Launch a drill's job, boot its machine, act, and wait until it is off."""
    run = stage.launch(drill.name)
    front = Front(chain, stage.endpoint, run.metadata)
    console = run.directory / "console.log"
    marks = [USER_DATA, TRAINER_BEGAN, TRAINER_ENDED, drill.mark]
    try:
        with vm.running(
            found,
            made,
            FOLDER / "machine",
            console,
            accelerator=accelerator,
            network=front.option(),
        ) as machine:
            scene = Scene(machine=machine, front=front, stage=stage, run=run)
            action, pressed = drill.action, False
            while machine.look(marks) and machine.seconds < drill.limit:
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
    log = FOLDER / "consoles" / f"{drill.name}.log"
    log.parent.mkdir(exist_ok=True)
    log.write_text(text)
    ended = machine.seen.get(TRAINER_ENDED)
    return Result(
        off=off,
        pressed=pressed,
        record=stage.outcome(run),
        stored=stage.stored(run),
        user_data=stage.user_data(run),
        console=text,
        boots=text.count(KERNEL),
        seen=machine.seen,
        boot=machine.seen.get(USER_DATA),
        end=total - ended if off and ended is not None else None,
        total=total,
    )


if __name__ == "__main__":
    sys.exit(main())
