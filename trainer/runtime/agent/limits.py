"""How long the machine waits for what, in seconds, and how the end of a run shares its time."""

from __future__ import annotations

import math

RESERVE_SECONDS = 30
"""Kept before the deadline for the last upload, beside the trainer's own grace."""
LAST_MOMENT_SECONDS = 3
"""For a trainer to end by itself when the machine is told to stop: it may have said `poweroff`."""
DRAIN_SECONDS = 5
"""For a slow disk to take what the trainer printed last: its pipe holds up to 1 MiB."""
SHUTDOWN_GRACE_SECONDS = 60
"""The most grace when the machine is told to stop: systemd waits for us for 300 s in all
(TimeoutStopSec in user-data.sh), and the upload is to come."""
END_SECONDS = 120
"""The most between the trainer's end and power-off while nothing gets through to AWS, and how far
past its deadline an upload that works may go on. It is shared out: DRAIN_SECONDS, then
`Store.finish` tries for RETRY_SECONDS, the log has 5 s more, the outcome OUTCOME_SECONDS, the
power-off ORDERLY_SECONDS, and what is written to disk before the force 5 s. Where S3 answers and
only the log does not get through, LAST_SIGN_SECONDS and STREAM_SECONDS take the place of the first.
A systemd that hangs is not in it: systemd-run is waited for 10 s before the orderly way begins."""
RETRY_SECONDS = 60
LAST_SIGN_SECONDS = 3
"""For `alive.json`, if it is not there yet when all else is."""
STREAM_SECONDS = 40
OUTCOME_SECONDS = 30
ORDERLY_SECONDS = 15
HUNG_SECONDS = 50
"""How long a call of the aws CLI takes at most to see that nobody answers: CALL_ATTEMPTS times
READ_SECONDS, and the pauses between."""
ENGINE_SECONDS = 20
"""The most for a question to docker or podman."""
IDENTITY_SECONDS = 5
"""The most that metadata is waited for, which says the image that a setup was made on."""
SMI_SECONDS = 30
"""The most for nvidia-smi, which nobody waits for: it may have to load the driver first."""
LONGEST_LOOK_SECONDS = 30
"""The longest between two looks at what interpreters the trainer has started."""
CONNECT_SECONDS, READ_SECONDS, CALL_ATTEMPTS = 10, 15, 3
RESTORE_ATTEMPTS, RESTORE_PAUSE_SECONDS = 4, 10
PROGRESS_SECONDS = 30
"""How often the log says how much of a job's data is there."""
RESTORE_THREADS = 4
"""How many calls of the aws CLI fetch older versions side by side; each fetches one."""
OUTCOME_PAUSES = (1, 3, 9, 0)
"""Seconds after each attempt to store the outcome."""
CONTROL_SECONDS = 15
"""How often the receipt is read again: a stop, another deadline or a price may have come."""
SPOT_SECONDS = 5
"""How often EC2 is asked for a notice, as its user guide says ("Spot Instance interruption
notices"); only a spot machine asks."""
LAST_READ_SECONDS = 1
"""The most that a price is waited for once all else is stored."""
NODES_SECONDS = 300
"""How long the nodes of a run wait for each other to appear: CloudFormation makes the workers when
it has the head, whose address they need, and machines boot at their own pace."""
NODE_BEAT_SECONDS, NODE_SILENT_SECONDS = 5, 20
"""How often nodes speak to each other, and after how long a silent one is gone: within 30 seconds
of a machine's end the others know."""
NOLOGIN_MINUTES = 5
"""How long before a power-off logins are refused (shutdown(8))."""
ALIVE_SECONDS = 120
"""How long a machine whose trainer runs may store nothing before it says that it is alive."""
SAMPLE_SECONDS, LOOK_SECONDS = 60, 10
"""How often it is noted how busy the machine is, and how often metrics and, where idle GPUs end a
run, those are looked at."""
NVIDIA_SECONDS = 10
"""The most that nvidia-smi is waited for: without its persistence mode it first loads the driver,
for some seconds (NVIDIA, "Driver Persistence")."""
FIRST_PAUSE, LONGEST_PAUSE, FAILURE_PAUSE = 0.5, 3.0, 15.0
"""Seconds that lines are gathered for: each call of the aws CLI costs most of a CPU second. Who
follows the log sees a line within 5 seconds: it waits for LONGEST_PAUSE, for a call, and for the
next look (scripts/deployment/follow.py)."""

TICK_SECONDS = 2
"""The coarsest clock of a file system: two writes within it may bear one time (FAT's)."""


def grace_within(seconds: float, grace: float) -> float:
    """Return the trainer's share of the `seconds` that are left, at most `grace`.

    The upload has the rest: RESERVE_SECONDS, or a third if there are not so many.
    """
    return min(grace, max(seconds - RESERVE_SECONDS, seconds * 2 / 3))


def stop_times(now: float, deadline: float, grace: float) -> tuple[float, float]:
    """Return when to ask the trainer to stop, and the seconds it then has.

    A short run does not lose more than a quarter of itself to grace and upload.
    """
    margin = min(grace + RESERVE_SECONDS, max(deadline - now, 0.0) / 4)
    return deadline - margin, grace_within(margin, grace)


def notice_times(seconds: float, grace: float) -> tuple[float, float]:
    """Return how EC2's notice shares out the `seconds` that are left before the trainer is asked.

    First how long the trainer may run on while what it has changed is stored: what its whole
    `grace` and the last upload leave. Then when that upload is given up at the latest, in seconds
    from now: it may go on through the grace, and the last upload has its time all the same.
    """
    wait = max(0.0, seconds - RESERVE_SECONDS - grace)
    return wait, max(0.0, grace_within(seconds, math.inf))
