"""How every script speaks: one clear error, plain lines, JSON for machines."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any, TypeVar

from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    EndpointConnectionError,
    NoCredentialsError,
    PartialCredentialsError,
    TokenRetrievalError,
    UnauthorizedSSOTokenError,
)

T = TypeVar("T")

PROGRESS_SECONDS = 2.0


class Refused(Exception):
    """Something a person can mend; the text says what was found and what to do."""


_CREDENTIALS = (
    "there are no usable AWS credentials; run aws configure (or aws sso login), set AWS_PROFILE, "
    "or add LOCAL=1 to use the embedded cloud"
)
_CREDENTIAL_CODES = {
    "ExpiredToken",
    "ExpiredTokenException",
    "InvalidAccessKeyId",
    "InvalidClientTokenId",
    "SignatureDoesNotMatch",
    "UnrecognizedClientException",
}


def run(main: Callable[[list[str]], int]) -> None:
    """Run `main` on the command line and exit: 0 done, 1 refused or failed, 2 usage, 130 Ctrl-C."""
    try:
        status = main(sys.argv[1:])
    except Refused as error:
        status = fail(str(error))
    except (NoCredentialsError, PartialCredentialsError) as error:
        status = fail(f"{_CREDENTIALS} ({error})")
    except (TokenRetrievalError, UnauthorizedSSOTokenError) as error:
        status = fail(f"{_CREDENTIALS} ({error})")
    except EndpointConnectionError as error:
        status = fail(f"{error}; is the region right, and the network there?")
    except ClientError as error:
        status = fail(explain(error))
    except BotoCoreError as error:
        status = fail(f"AWS: {error}")
    except BrokenPipeError:
        status = 1  # whoever read our output, `head` for one, has seen enough
        sys.stderr.close()
    except KeyboardInterrupt:
        print("\nstopped; nothing on AWS was undone by that", file=sys.stderr)
        status = 130
    sys.exit(status)


def explain(error: ClientError) -> str:
    """Return AWS's refusal as one line with what to do next."""
    code, message = error.response["Error"]["Code"], error.response["Error"].get("Message", "")
    if code in _CREDENTIAL_CODES:
        return f"{_CREDENTIALS} (AWS says {code}: {message})"
    if code in ("AccessDenied", "AccessDeniedException"):
        return (
            f"AWS refused {error.operation_name}: {message}; are these credentials for the "
            "account and the deployment you mean (terraform output account_id)?"
        )
    if code in ("NoSuchBucket", "ResourceNotFoundException"):
        return (
            f"{error.operation_name}: {message}; the deployment that terraform output describes "
            "is not there with these credentials: check the account, or run make deploy"
        )
    return f"AWS refused {error.operation_name}: {code}: {message}"


def progress(items: Iterable[T], total: int, what: str) -> Iterator[T]:
    """Yield `items` and show how many of `total` have come; plain lines without a terminal."""
    if sys.stdout.isatty():
        from rich.progress import track  # only whoever looks pays for the import

        yield from track(items, description=what, total=total)
        return
    shown = time.monotonic()
    for count, item in enumerate(items, 1):
        yield item
        if time.monotonic() - shown > PROGRESS_SECONDS:
            shown = time.monotonic()
            print(f"{count} of {total} {what}", flush=True)


def fail(message: str) -> int:
    print(f"error: {message}", file=sys.stderr)
    return 1


def print_json(value: Any) -> None:
    print(json.dumps(value, indent=2, default=str))
