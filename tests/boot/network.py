"""What the guest finds on its network: AWS by its real names over TLS, metadata, a resolver.

All of it listens on loopback and is reached through QEMU's user network alone, which lets nothing
else through (``restrict=on``).
"""

from __future__ import annotations

import asyncio
import contextlib
import ssl
import struct
import sys
import threading
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Literal

AWS_ADDRESS = "169.1.0.80"
"""Where AWS's names lead to. QEMU forwards only what is inside the network, so that is 169/8."""

_FORWARDED = {"169.254.169.254:80": "metadata", f"{AWS_ADDRESS}:443": "aws"}
_RESOLVER = "169.254.169.253:53"
_PIECE = 65536

S3 = Literal["answers", "refuses", "hangs"]
Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


class Front:
    """The three listeners; `s3` says how S3 behaves from now on.

    Args:
        chain: file of the certificate and key to speak TLS with.
        endpoint: port of the embedded cloud.
        metadata: port of the instance's metadata.
    """

    def __init__(self, chain: Path, endpoint: int, metadata: int) -> None:
        self.s3: S3 = "answers"
        self.ports: dict[str, int] = {}
        self._chain, self._endpoint, self._metadata = chain, endpoint, metadata
        self._loop = asyncio.new_event_loop()
        listening = asyncio.run_coroutine_threadsafe(self._listen(), self._loop)
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        listening.result(10)

    def close(self) -> None:
        """Stop listening, and drop every connection."""

        async def drop() -> None:
            tasks = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

        asyncio.run_coroutine_threadsafe(drop(), self._loop).result(10)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(5)
        self._loop.close()

    def option(self) -> str:
        """Return the value of QEMU's ``-netdev``."""
        relay = Path(__file__).with_name("relay.py")
        forwarded = "".join(
            f",guestfwd=tcp:{address}-cmd:"
            + f"'{sys.executable}' -ISE '{relay}' {self.ports[name]}".replace(",", ",,")
            for address, name in {**_FORWARDED, _RESOLVER: "names"}.items()
        )
        return (
            "user,id=net,restrict=on,net=169.0.0.0/8,dhcpstart=169.1.0.15,host=169.1.0.2,"
            f"dns=169.1.0.3,ipv6=off{forwarded}"
        )

    async def _listen(self) -> None:
        tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        tls.load_cert_chain(self._chain)
        for name, handler, context in (
            ("aws", self._aws, tls),
            ("metadata", self._to_metadata, None),
            ("names", answer_names, None),
        ):
            server = await asyncio.start_server(handler, "127.0.0.1", 0, ssl=context)
            self.ports[name] = server.sockets[0].getsockname()[1]

    async def _to_metadata(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        await self._join(reader, writer, self._metadata, b"", is_s3=False)

    async def _aws(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = await reader.readuntil(b"\r\n\r\n")
        except (asyncio.IncompleteReadError, asyncio.LimitOverrunError, OSError):
            writer.close()
            return
        await self._join(reader, writer, self._endpoint, head, is_s3=is_for_s3(head))

    async def _join(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        port: int,
        head: bytes,
        *,
        is_s3: bool,
    ) -> None:
        """Carry bytes both ways, as far as S3 behaves."""
        upstream = await asyncio.open_connection("127.0.0.1", port)

        async def carry(source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
            while data := await source.read(_PIECE):
                await self._wait_for_s3(is_s3)
                target.write(data)
                await target.drain()

        try:
            await self._wait_for_s3(is_s3)
            upstream[1].write(head)
            ways = [carry(reader, upstream[1]), carry(upstream[0], writer)]
            tasks = [asyncio.ensure_future(way) for way in ways]
            _, pending = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in pending:
                task.cancel()
        except (OSError, asyncio.CancelledError):
            pass  # the machine is off, and what still hangs is cancelled: no reason for a traceback
        finally:
            for end in (writer, upstream[1]):
                with contextlib.suppress(OSError, RuntimeError):
                    end.close()

    async def _wait_for_s3(self, is_s3: bool) -> None:
        """Return when bytes may go on.

        Raises:
            ConnectionResetError: while S3 refuses.
        """
        while is_s3 and self.s3 == "hangs":
            await asyncio.sleep(0.2)
        if is_s3 and self.s3 == "refuses":
            raise ConnectionResetError


def is_for_s3(head: bytes) -> bool:
    """Return whether the head of an HTTP request is for S3, by its Host."""
    for line in head.split(b"\r\n"):
        name, _, value = line.partition(b":")
        if name.lower() == b"host":
            return b"s3" in value.strip().split(b".")
    return False


async def answer_names(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answer DNS over TCP (RFC 7766): a message after its length, again and again."""
    with contextlib.suppress(asyncio.IncompleteReadError, OSError):
        while True:
            (length,) = struct.unpack("!H", await reader.readexactly(2))
            answer = answer_name(await reader.readexactly(length))
            writer.write(struct.pack("!H", len(answer)) + answer)
            await writer.drain()
    writer.close()


def answer_name(query: bytes) -> bytes:
    """Return the answer to one DNS query (RFC 1035): AWS's names have one IPv4 address."""
    labels, place = [], 12
    while query[place]:
        labels.append(query[place + 1 : place + 1 + query[place]].lower())
        place += 1 + query[place]
    kind = struct.unpack("!H", query[place + 1 : place + 3])[0]
    known = labels[-2:] == [b"amazonaws", b"com"]
    question = query[12 : place + 5]
    found = known and kind == 1
    head = query[:2] + struct.pack("!HHHHH", 0x8180 | (0 if known else 3), 1, int(found), 0, 0)
    if not found:
        return head + question
    address = bytes(int(part) for part in AWS_ADDRESS.split("."))
    return head + question + struct.pack("!HHHIH", 0xC00C, 1, 1, 60, 4) + address
