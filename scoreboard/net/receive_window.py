"""Receive window monitor: for how long a peer's program has not read what its kernel has received.

The kernel of a client that does not read still acknowledges data until its buffer (64 KiB to megabytes) is full. But it makes
no new room, and TCP shows this: the right edge of the window (bytes acknowledged + receive window) stays where it is. The edge of
a client that reads moves by what it reads.

Only time with evidence counts: while nothing is sent, or the network is down, nothing is known about the reader.
"""

from __future__ import annotations

import socket
import struct
from typing import Any, Final

#: ``struct tcp_info`` of Linux 5.4 and newer: its size, and the offsets of two fields.
_INFO_BYTES: Final = 232
_BYTES_ACKED: Final = struct.Struct("=120xQ104x")
_WINDOW: Final = struct.Struct("=228xI")
#: A peer is judged when its window is shut, or after it acknowledged this many bytes (several TCP segments, whatever their size)
#: within SPAN_S_MAX seconds.
TAKEN_BYTES_MIN: Final = 16_384
SPAN_S_MAX: Final = 3.0
#: Without a reader, a kernel frees only a little space (its window grows, it compacts its buffers). With a reader, it frees as
#: many bytes as the program reads.
TAKEN_PER_ROOM_MAX: Final = 3
#: A window that is this many times narrower than the widest one is shut: a peer that had read all would announce a wider one.
WIDEST_PER_SHUT_MIN: Final = 4


class ReceiveWindow:
    """The receive window of one peer. Each measurement asks the kernel, which takes about a microsecond."""

    __slots__ = ("_edge", "_handle", "_marked_s", "_taken", "_unread_s", "_widest")

    def __init__(self, handle: Any) -> None:
        tcp = handle is not None and handle.family in (socket.AF_INET, socket.AF_INET6)
        self._handle = handle if tcp and hasattr(socket, "TCP_INFO") else None
        self._marked_s = float("-inf")
        self._taken = self._edge = self._widest = 0
        self._unread_s = 0.0

    def measure(self, now_s: float) -> float:
        """For how many seconds the peer has read nothing; 0 where this cannot be known."""
        if self._handle is None:
            return 0.0
        try:
            info = self._handle.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _INFO_BYTES)
        except OSError:  # it is closed
            info = b""
        if len(info) < _INFO_BYTES:  # or the kernel is an old one
            self._handle = None
            return 0.0
        (taken,), (window,) = _BYTES_ACKED.unpack(info), _WINDOW.unpack(info)
        return self.judge(now_s, taken, window)

    def judge(self, now_s: float, taken: int, window: int) -> float:
        """The result of `measure` from the kernel's numbers: ``taken`` bytes acknowledged so far, and the ``window`` in bytes."""
        span_s, took, room = now_s - self._marked_s, taken - self._taken, taken + window - self._edge
        self._widest = max(self._widest, window)
        shut = window * WIDEST_PER_SHUT_MIN <= self._widest
        if span_s > SPAN_S_MAX:  # too little in too long a time, or the first look
            span_s = 0.0
        elif took < TAKEN_BYTES_MIN and not shut:
            return self._unread_s
        elif room * TAKEN_PER_ROOM_MAX > took:
            self._unread_s = 0.0
        else:
            self._unread_s += span_s
        self._marked_s, self._taken, self._edge = now_s, taken, taken + window
        return self._unread_s
