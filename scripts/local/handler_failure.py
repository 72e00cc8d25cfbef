"""How CloudFormation words what a resource handler failed with.

A handler returns a message and one of the codes of the handlers' contract ("Handler error codes",
CloudFormation CLI user guide); the SDK for Java adds service, status and request, but not the
service's own error code, to the message of the call that failed.
"""

from __future__ import annotations

from ministack.core.responses import new_uuid


def words(message: str, *, status: int, code: str, service: str = "Ec2") -> str:
    """Return the status reason of a resource whose handler's call failed.

    Args:
        message: the service's own.
        status: of HTTP.
        code: of the handlers' contract.
    """
    return (
        f'Resource handler returned message: "{message} (Service: {service}, '
        f'Status Code: {status}, Request ID: {new_uuid()})" '
        f"(RequestToken: {new_uuid()}, HandlerErrorCode: {code})"
    )
