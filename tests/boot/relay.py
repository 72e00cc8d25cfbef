"""One connection of the guest: standard input and output to a port of loopback, given as argv[1].

QEMU starts it for each connection (``guestfwd … cmd:``), as ``python -ISE``: it must start fast.
"""

import os
import select
import socket
import sys


def main() -> None:
    """Carry bytes both ways until one side ends."""
    upstream = socket.create_connection(("127.0.0.1", int(sys.argv[1])))
    while True:
        ready, _, _ = select.select([0, upstream.fileno()], [], [])
        if upstream.fileno() in ready:
            data = upstream.recv(65536)
            if not data:
                return
            while data:
                data = data[os.write(1, data) :]
        if 0 in ready:
            data = os.read(0, 65536)
            if not data:
                return
            upstream.sendall(data)


if __name__ == "__main__":
    main()
