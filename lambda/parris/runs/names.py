"""What a run's objects and its stack's tags are called."""

KEEP_TAG = "parris:keep-stack"
"""What a stack says of itself, so that the reap function needs no other word to delete it."""


def run_prefix(job: str, run_id: str) -> str:
    """Return where in the results bucket everything about a run lies."""
    return f"runs/{job}/{run_id}/"


def trial_run_id(grid_id: str, number: int) -> str:
    """Return the id of a grid's trial: its own, counted on, so that no two are alike.

    Eight digits of a hash would be alike for two of 10,000 trials with a chance of 1 %.
    """
    moment, _, digits = grid_id.rpartition("-")
    return f"{moment}-{(int(digits, 16) + number) % 16**8:08x}"


def trial_stack_name(name: str, grid_id: str, number: int) -> str:
    """Return the name of a trial's stack, given that of its job."""
    return f"{name}-{grid_id.rpartition('-')[2]}-{number:03}"
