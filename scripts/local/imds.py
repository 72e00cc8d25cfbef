"""Instance metadata service, one endpoint per instance on loopback.

Stands in for http://169.254.169.254 ("Access instance metadata for an EC2 instance" and "Retrieve
security credentials from instance metadata", EC2 user guide): IMDSv2 sessions, the categories a
training run reads, and the instance role's temporary credentials, which the cloud's IAM enforces.
"""

from __future__ import annotations

import base64
import json
import re
import secrets
import socketserver
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from ministack.core.responses import request_scope
from ministack.services import iam

from scripts.local import roles

_MAXIMUM_TOKEN_SECONDS = 21600
_CREDENTIAL_SECONDS = 6 * 3600
_RENEWED_BEFORE_SECONDS = 15 * 60
_CREDENTIALS = "meta-data/iam/security-credentials"
_VERSION = re.compile(r"^/(latest|20\d\d-\d\d-\d\d)/", re.ASCII)
_TOKEN = "X-aws-ec2-metadata-token"  # noqa: S105  # a header's name


class MetadataServer(ThreadingHTTPServer):
    """The metadata endpoint of one instance; its spot notice is the file `notice`, once there."""

    daemon_threads = True

    def __init__(self, record: dict[str, Any], account: str, region: str, notice: Path) -> None:
        """Listen on a free port of 127.0.0.1 for the instance that `record` describes."""
        super().__init__(("127.0.0.1", 0), _Handler)
        self.record, self.account, self.region = record, account, region
        self.notice = notice
        self.tokens: dict[str, float] = {}
        self.credentials: dict[str, str] = {}
        self.credentials_until = 0.0
        self.lock = threading.Lock()
        self.thread = threading.Thread(target=self.serve_forever, args=(0.1,), daemon=True)
        self.thread.start()

    def server_bind(self) -> None:
        """Bind without HTTPServer's look-up of the host's name, which may ask DNS."""
        socketserver.TCPServer.server_bind(self)
        self.server_name, self.server_port = "127.0.0.1", self.server_address[1]

    @property
    def url(self) -> str:
        """The endpoint, for ``AWS_EC2_METADATA_SERVICE_ENDPOINT``."""
        return f"http://127.0.0.1:{self.server_address[1]}"

    def close(self) -> None:
        """Stop listening."""
        self.shutdown()
        self.server_close()

    def role(self) -> tuple[dict[str, Any], dict[str, Any]] | None:
        """Return the instance profile and its role, or None."""
        arn = (self.record.get("IamInstanceProfile") or {}).get("Arn")
        profile = iam._lookup_instance_profile(arn=arn) if arn else None
        names = profile["Roles"] if profile else []
        role = iam._roles.get(names[0]) if names else None
        return (profile, role) if profile and role else None

    def role_credentials(self, role: dict[str, Any]) -> dict[str, str]:
        """Return the role's credentials document, renewed before it expires."""
        with self.lock:
            if time.time() + _RENEWED_BEFORE_SECONDS < self.credentials_until:
                return self.credentials
            now = _timestamp(time.time())
            if not roles.trusts(role, "ec2.amazonaws.com"):
                message = f"EC2 cannot assume the role {role['RoleName']}."
                code = "AssumeRoleUnauthorizedAccess"
                return {"Code": code, "Message": message, "LastUpdated": now}
            self.credentials_until = time.time() + _CREDENTIAL_SECONDS
            self.credentials = {
                "Code": "Success",
                "LastUpdated": now,
                "Type": "AWS-HMAC",
                **roles.assume(role, self.record["InstanceId"], _CREDENTIAL_SECONDS),
                "Expiration": _timestamp(self.credentials_until),
            }
            return self.credentials

    def read(self, path: str) -> str | None:
        """Return what is found at a path below /latest/, or None."""
        found = self.role()
        if found and path == f"{_CREDENTIALS}/{found[1]['RoleName']}":
            return _json(self.role_credentials(found[1]))
        return self.documents().get(path)

    def list_folder(self, path: str) -> str | None:
        """Return the names in a folder below /latest/, those of folders with a slash, or None."""
        found = self.role()
        there = [name for name, text in self.documents().items() if text is not None]
        if found:
            there.append(f"{_CREDENTIALS}/{found[1]['RoleName']}")
        below = [name.removeprefix(path) for name in there if name.startswith(path)]
        names = {name.partition("/")[0] for name in below}
        folders = {name.partition("/")[0] for name in below if "/" in name}
        listed = sorted(f"{name}/" if name in folders else name for name in names)
        return "\n".join(listed) or None

    def documents(self) -> dict[str, str | None]:
        """Return what is found below /latest/, the role's credentials excepted."""
        record = self.record
        zone = record["Placement"]["AvailabilityZone"]
        documents: dict[str, str | None] = {
            "meta-data/ami-id": record["ImageId"],
            "meta-data/instance-id": record["InstanceId"],
            "meta-data/instance-type": record["InstanceType"],
            "meta-data/instance-life-cycle": record.get("InstanceLifecycle", "on-demand"),
            "meta-data/local-ipv4": record["PrivateIpAddress"],
            "meta-data/public-ipv4": record["PublicIpAddress"],
            "meta-data/placement/region": self.region,
            "meta-data/placement/availability-zone": zone,
            "meta-data/spot/instance-action": (
                self.notice.read_text() if self.notice.exists() else None
            ),
            "dynamic/instance-identity/document": _json(self.identity(record, zone)),
            "user-data": base64.b64decode(record["UserData"]).decode(errors="replace") or None,
        }
        if found := self.role():
            profile, role = found
            documents[_CREDENTIALS] = role["RoleName"]
            documents["meta-data/iam/info"] = _json(
                {
                    "Code": "Success",
                    "LastUpdated": _timestamp(time.time()),
                    "InstanceProfileArn": profile["Arn"],
                    "InstanceProfileId": profile["InstanceProfileId"],
                }
            )
        return documents

    def identity(self, record: dict[str, Any], zone: str) -> dict[str, Any]:
        """Return the instance identity document."""
        return {
            "accountId": self.account,
            "architecture": record["Architecture"],
            "availabilityZone": zone,
            "imageId": record["ImageId"],
            "instanceId": record["InstanceId"],
            "instanceType": record["InstanceType"],
            "pendingTime": record["LaunchTime"],
            "privateIp": record["PrivateIpAddress"],
            "region": self.region,
            "version": "2017-09-30",
        }


class _Handler(BaseHTTPRequestHandler):
    server: MetadataServer
    server_version, sys_version = "EC2ws", ""

    def do_PUT(self) -> None:
        """Begin an IMDSv2 session."""
        if self.path != "/latest/api/token":
            return self.answer(404)
        if self.headers["X-Forwarded-For"]:
            return self.answer(403)
        seconds = self.headers[f"{_TOKEN}-ttl-seconds"] or ""
        if not seconds.isdigit() or not 1 <= int(seconds) <= _MAXIMUM_TOKEN_SECONDS:
            return self.answer(400)
        token = base64.b64encode(secrets.token_bytes(40)).decode()
        self.server.tokens[token] = time.time() + int(seconds)
        return self.answer(200, token, {f"{_TOKEN}-ttl-seconds": seconds})

    def do_GET(self) -> None:
        """Read a category, with a session's token unless the instance allows IMDSv1."""
        with request_scope(self.server.account, self.server.region):
            options = self.server.record.get("MetadataOptions", {})
            if options.get("HttpEndpoint") == "disabled":
                return self.answer(403)
            token = self.headers[_TOKEN]
            valid = self.server.tokens.get(token or "", 0) > time.time()
            if not valid and (token or options.get("HttpTokens") == "required"):
                return self.answer(401)
            path = _VERSION.sub("", self.path)
            text = None
            if path != self.path:
                name = path.rstrip("/")
                text = self.server.read(name) or self.server.list_folder(f"{name}/")
            return self.answer(404) if text is None else self.answer(200, text)

    def answer(self, status: int, text: str = "", headers: dict[str, str] | None = None) -> None:
        """Send one plain answer."""
        body = text.encode()
        self.send_response(status)
        for name, value in {"Content-Type": "text/plain", **(headers or {})}.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Keep quiet, as the service does."""


def _timestamp(seconds: float) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(seconds))


def _json(document: dict[str, Any]) -> str:
    return json.dumps(document, indent=2)
