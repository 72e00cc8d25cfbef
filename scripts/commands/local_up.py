"""Start the embedded cloud: `parris local-up`."""

from __future__ import annotations

from scripts.cli import console
from scripts.cli.arguments import parse
from scripts.local import cloud


def main(argv: list[str]) -> int:
    """Start the embedded cloud of this clone, or say that it runs."""
    options = parse("local-up", argv)
    status = cloud.main(["up", f"--port={options.port}"])
    if options.json and (running := cloud.read_cloud()):
        console.print_json(
            {
                "endpoint": running.endpoint,
                "region": running.region,
                "started": running.started,
            }
        )
    return status
