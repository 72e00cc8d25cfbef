"""Check every job, then upload what changed: `parris upload-config`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from scripts.cli import console
from scripts.cli.arguments import parse
from scripts.cli.console import Refused
from scripts.cli.which_cloud import hint
from scripts.deployment.outputs import Deployment, read_deployment
from scripts.jobs import jobs, uploads
from scripts.planning.summary import summaries


def main(argv: list[str]) -> int:
    """Check all jobs (or one) and upload what changed; nothing is uploaded if anything is wrong."""
    options = parse("upload-config", argv)

    folders = jobs.job_folders()
    chosen = jobs.choose(folders, options.job or None)
    deployment = None if options.check else _deployment()
    uploads.refuse_problems(deployment, chosen, folders)
    if options.check:
        print(f"{', '.join(chosen)}: no problem found")
        if options.json:
            console.print_json(dict.fromkeys(chosen))
        return 0

    deployment = deployment or read_deployment()
    done: dict[str, dict[str, Any]] = {}
    changed: dict[str, Path] = {}
    for job, folder in chosen.items():
        changes = uploads.compare(deployment, job, folder)
        uploads.apply(deployment, job, changes)
        done[job] = {
            "uploaded": list(changes.upload),
            "removed": list(changes.delete),
            "unchanged": changes.unchanged,
            "plan": None,
        }
        if changes.upload or changes.delete:
            changed[job] = folder
    for job, line in (summaries(deployment, changed) if changed else {}).items():
        print(hint(f"{job}, launched now: {line}"))
        done[job]["plan"] = line
    if options.json:
        console.print_json(done)
    return 0


def _deployment() -> Deployment | None:
    """Return the deployment; None without one: what is wrong with the files is told first."""
    try:
        return read_deployment()
    except Refused:
        return None
