"""A program that launches trainings: ``terraform output -raw caller_policy``."""

from tests.proof.table import Rows

_FUNCTION = "arn:aws:lambda:{region}:{account}:function"

NEEDS: Rows = [
    (
        "lambda:InvokeFunction",
        f"{_FUNCTION}:{{deployment}}-launch",
        "README, programs",
        {},
        "e2e has no program of its own, but the operator and the functions do the same",
    )
]

REFUSALS: Rows = [("lambda:InvokeFunction", f"{_FUNCTION}:{{deployment}}-reap", "another function")]
