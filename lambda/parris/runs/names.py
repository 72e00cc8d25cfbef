"""What a run's objects and its stack's tags are called."""

KEEP_TAG = "parris:keep-stack"
"""What a stack says of itself, so that the reap function needs no other word to delete it."""


def run_prefix(job: str, run_id: str) -> str:
    """Return where in the results bucket everything about a run lies."""
    return f"runs/{job}/{run_id}/"
