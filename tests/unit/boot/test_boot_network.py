"""The front of `make test-boot`: AWS's names over TLS on loopback, and S3 as a drill wants it."""

from __future__ import annotations

import contextlib
import socket
import socketserver
import ssl
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.boot import certificates
from tests.boot.network import Front

ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"


class Cloud(socketserver.BaseRequestHandler):
    def handle(self) -> None:
        while self.request.recv(65536):
            self.request.sendall(ANSWER)


@pytest.fixture
def front(tmp_path: Path) -> Iterator[Front]:
    _, chain = certificates.ensure(tmp_path)
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Cloud) as cloud:
        cloud.daemon_threads = True
        threading.Thread(target=cloud.serve_forever, args=(0.01,), daemon=True).start()
        port = cloud.server_address[1]
        made = Front(chain, port, port)
        yield made
        made.close()
        cloud.shutdown()


def connect(front: Front, folder: Path, host: str) -> ssl.SSLSocket:
    context = ssl.create_default_context(cafile=str(folder / "authority.pem"))
    plain = socket.create_connection(("127.0.0.1", front.ports["aws"]), timeout=10)
    return context.wrap_socket(plain, server_hostname=host)


def ask(connection: ssl.SSLSocket, host: str) -> bytes:
    connection.sendall(f"GET / HTTP/1.1\r\nHost: {host}\r\n\r\n".encode())
    return connection.recv(65536)


BUCKET = "parris-results-1.s3.us-east-1.amazonaws.com"


def test_a_bucket_answers_under_its_own_name_until_s3_refuses(front: Front, tmp_path: Path) -> None:
    with connect(front, tmp_path, BUCKET) as connection:
        assert ask(connection, BUCKET) == ANSWER
        front.s3 = "refuses"
        with contextlib.suppress(OSError):  # it is reset, or it ends
            assert ask(connection, BUCKET) == b""
    logs = "logs.us-east-1.amazonaws.com"
    with connect(front, tmp_path, logs) as connection:
        assert ask(connection, logs) == ANSWER


def test_s3_hangs_and_goes_on(front: Front, tmp_path: Path) -> None:
    with connect(front, tmp_path, BUCKET) as connection:
        front.s3 = "hangs"
        connection.settimeout(0.5)
        with pytest.raises(TimeoutError):
            ask(connection, BUCKET)
        front.s3 = "answers"
        connection.settimeout(10)
        assert connection.recv(65536) == ANSWER
