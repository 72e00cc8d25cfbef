"""EventBridge Scheduler: deletes a stack at its deadline, launches when data has settled."""

from tests.proof.common import ANOTHERS, OURS, STACK
from tests.proof.table import Rows

_FUNCTION = "arn:aws:lambda:{region}:{account}:function"

NEEDS: Rows = [
    ("cloudformation:DeleteStack", STACK, "training-stack.yaml, Deadman", OURS),
    ("lambda:InvokeFunction", f"{_FUNCTION}:{{deployment}}-launch", "settle._end_later"),
]

REFUSALS: Rows = [
    ("cloudformation:DeleteStack", STACK, "another's stack", ANOTHERS),
    ("cloudformation:DeleteStack", STACK, "nobody's stack"),
    ("lambda:InvokeFunction", f"{_FUNCTION}:another", "another's function"),
]
