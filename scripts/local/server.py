"""The process of the embedded cloud: MiniStack with the stand-ins registered, on loopback.

Started by cloud.py as ``python -m scripts.local.server <home> <listening socket's descriptor>``.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import socket
import sys
from pathlib import Path

from scripts.local import aws_cli, owners

REGION = "us-east-1"


def settings(home: Path, port: int) -> dict[str, str]:
    """Return MiniStack's settings: real IAM, loopback, nothing outside `home`, no Docker."""
    return {
        "AUTH": "true",
        "BIND_HOST": "127.0.0.1",
        "GATEWAY_PORT": str(port),
        "MINISTACK_REGION": REGION,
        "TMPDIR": str(home / "tmp"),
        "S3_DATA_DIR": str(home / "data" / "s3"),
        "STATE_DIR": str(home / "data" / "state"),
        "LAMBDA_EXECUTOR": "local",
        # Listeners nobody asked for: MQTT over TLS on port 8883 of every interface, SFTP.
        "IOT_MTLS_ENABLED": "0",
        "SFTP_ENABLED": "0",
        # MiniStack removes containers it takes for its own; here it has none.
        "DOCKER_HOST": f"unix://{home}/no-docker.sock",
        # Neither the functions nor Scheduler's own calls are this person's.
        "AWS_CONFIG_FILE": os.devnull,
        "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
        "LOG_LEVEL": "INFO",
    }


def clean(environment: dict[str, str]) -> dict[str, str]:
    """Return an environment without a person's AWS settings and emulator switches.

    Lambda functions inherit what the server has.
    """
    foreign = ("AWS_", "MINISTACK_", "LOCALSTACK_", "LAMBDA_", "S3_", "IOT_", "EC2_")
    return {
        name: value
        for name, value in environment.items()
        if name == "AWS_CA_BUNDLE" or not name.startswith(foreign)
    }


def register(home: Path, endpoint: str) -> None:
    """Register every stand-in with MiniStack."""
    from scripts.local import (
        async_invocations,
        authorizations,
        call_counts,
        call_resources,
        describe_alarms,
        ec2_actions,
        ec2_tags,
        events,
        failing_calls,
        faults,
        images,
        instance_resource,
        instance_types,
        instances,
        interruptions,
        launch_template_resource,
        mail,
        object_events,
        passed_roles,
        placement_group,
        policy_simulation,
        policy_variables,
        pricing,
        resource_types,
        rule_actions,
        schedules,
        security_group_rule,
        service_quotas,
        spot_prices,
        stack_operations,
        stack_role,
        stack_tags,
        stack_updates,
        transport,
        universal_targets,
    )

    authorizations.register(home)
    faults.register(home)
    instances.register(home, endpoint)
    mail.register(home)
    universal_targets.register(endpoint)
    for module in (
        async_invocations,
        call_resources,
        describe_alarms,
        ec2_actions,
        ec2_tags,
        events,
        images,
        instance_resource,
        instance_types,
        interruptions,
        launch_template_resource,
        object_events,
        placement_group,
        policy_simulation,
        pricing,
        rule_actions,
        schedules,
        security_group_rule,
        service_quotas,
        spot_prices,
        stack_operations,
        stack_tags,
        stack_updates,
        transport,
        # Around what the others have put in place: who may is asked first.
        stack_role,
        resource_types,
        passed_roles,
        policy_variables,
        failing_calls,
    ):
        module.register()
    call_counts.register(home)


async def serve(descriptor: int) -> None:
    """Serve on an open socket until SIGTERM or SIGINT, then kill every machine and worker."""
    from hypercorn.asyncio import serve as serve_asgi
    from hypercorn.config import Config
    from ministack import app
    from ministack.core import lambda_runtime

    from scripts.local import instances, latency

    config = Config()
    config.bind = [f"fd://{descriptor}"]
    config.keep_alive_timeout = 75
    config.backlog = 1024  # of 50 machines that boot at once, each with three commands and more
    config.graceful_timeout = 1
    config.loglevel = "WARNING"
    told_to_stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, told_to_stop.set)

    async def stop() -> None:
        await told_to_stop.wait()
        await asyncio.to_thread(instances.kill_all)
        await asyncio.to_thread(lambda_runtime.reset)

    await serve_asgi(latency.delayed(app.app), config, shutdown_trigger=stop)
    logging.shutdown()
    os._exit(0)  # threads of functions that still run would hold the interpreter open


def main(argv: list[str]) -> int:
    """Run the server until it is told to stop."""
    home, descriptor = Path(argv[0]), int(argv[1])
    with socket.socket(fileno=os.dup(descriptor)) as listening:
        port = listening.getsockname()[1]
    owners.end_with_them(os.environ)
    environment = clean(dict(os.environ)) | settings(home, port)
    os.environ.clear()
    os.environ.update(environment)
    for name in ("tmp", "data", "instances"):
        (home / name).mkdir(parents=True, exist_ok=True)
    loaded = aws_cli.start(home)
    register(home, f"http://127.0.0.1:{port}")
    logging.getLogger("hypercorn.access").setLevel(logging.WARNING)
    with loaded:
        asyncio.run(serve(descriptor))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
