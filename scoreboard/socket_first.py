"""Socket-first writes: bytes go to the socket at once where it takes them, else to the transport's buffer.

``writeSomeData`` saves a turn of the reactor and two ``epoll_ctl`` for each write that the kernel takes at once. That is nearly
every write, and saves 6 µs of 42 for a read of the board. A leaf: the network edge and the Redis client use it.
"""

from __future__ import annotations

from typing import Any

from twisted.internet.abstract import FileDescriptor


def is_bare(transport: Any) -> bool:
    """Whether a transport is the socket itself. If it is wrapped, a write to the socket would bypass TLS."""
    return isinstance(transport, FileDescriptor) and not getattr(transport, "TLS", False)


def write_socket_first(transport: Any, data: bytes) -> None:
    """Write to the socket of a bare transport if its buffer is empty; what the socket does not take goes to the buffer."""
    if transport.connected and not has_unsent(transport):
        sent = transport.writeSomeData(data)
        if sent == len(data):
            return
        if sent.__class__ is int:  # otherwise the connection is lost, and the write below shows it to the reactor
            data = data[sent:]
    transport.write(data)


def has_unsent(transport: Any) -> bool:
    """Whether a transport holds bytes that its socket has not taken. Twisted has no public name for this."""
    return bool(transport.dataBuffer or transport._tempDataBuffer)
