"""File descriptors: how many connections fit into the process's limit of open files. A leaf.

Every connection holds a descriptor. A process without free descriptors resets any connections, also those of operators, and
cannot open its stores again. So the connections that the settings allow must fit into the limit, and a few descriptors are
reserved for the process itself.
"""

from __future__ import annotations

import resource
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

#: For the process itself: stores, ports, logs, and connections that are only being closed (about 80 are in use at most).
OWN: Final = 128
HANDSHAKING_MAX: Final = 1_000
#: With fewer connections than this the server would be of no use.
CONNECTIONS_MIN: Final = 64


@dataclass(frozen=True, kw_only=True)
class Capacity:
    """How many connections of each kind there may be: open sockets, sockets in a handshake, and HTTP."""

    sockets_max: int
    http_connections_max: int
    handshaking_max: int = HANDSHAKING_MAX

    @property
    def descriptors(self) -> int:
        """How many files the process may have open with these connections."""
        return self.sockets_max + self.http_connections_max + self.handshaking_max + OWN


class TooFewDescriptors(Exception):
    """The limit of open files is below what the settings allow: a message for the operator, in one line."""


def raise_limit(wanted: int) -> int:
    """Raise the soft limit of open files to ``wanted``, as far as the hard limit allows; returns the new soft limit."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    allowed = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    if soft == resource.RLIM_INFINITY or soft >= allowed:
        return wanted if soft == resource.RLIM_INFINITY else soft
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (allowed, hard))
    except (OSError, ValueError):  # a sandbox may forbid it
        return soft
    return allowed


def fitted(wanted: Capacity, limit: int, *, promised: int, warn: Callable[[str], None]) -> Capacity:
    """The wanted capacity if it fits into the limit; else less of each kind, and a warning.

    Raises TooFewDescriptors when the limit is below the ``promised`` connections, or allows fewer than CONNECTIONS_MIN.
    """
    if wanted.descriptors <= limit:
        return wanted
    trouble = (
        f"SOCKETS_MAX ({wanted.sockets_max}) and HTTP_CONNECTIONS_MAX ({wanted.http_connections_max}) need {wanted.descriptors}"
        f" open files, but the limit is {limit}: raise it (LimitNOFILE= in the unit, ulimit -n) or lower them"
    )
    room = limit - OWN
    if limit < promised or room < CONNECTIONS_MIN:
        raise TooFewDescriptors(trouble)
    share = room / (wanted.descriptors - OWN)
    less = Capacity(
        sockets_max=max(1, int(wanted.sockets_max * share)),
        http_connections_max=max(1, int(wanted.http_connections_max * share)),
        handshaking_max=max(1, int(wanted.handshaking_max * share)),
    )
    warn(f"{trouble}. Until then at most {less.sockets_max} sockets and {less.http_connections_max} HTTP connections are taken")
    return less
