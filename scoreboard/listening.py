"""Where we listen: sockets that systemd opened for us, or our own. A leaf."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from twisted.internet.endpoints import TCP4ServerEndpoint, TCP6ServerEndpoint
from twisted.internet.interfaces import IListeningPort, IProtocolFactory, IStreamServerEndpoint

from scoreboard.systemd import activated_endpoints

#: Connections that wait to be accepted.
BACKLOG: Final = 4_096


async def listen(
    reactor: Any, environ: Mapping[str, str], address: str, doors: Sequence[tuple[int | None, IProtocolFactory]]
) -> list[IListeningPort]:
    """Open the doors, each a port (None: not at all) and its factory; systemd hands over the same, in the same order.

    Raises CannotListenError, and then none is open.
    """
    handed = activated_endpoints(reactor, environ)
    wanted = [(port, factory) for port, factory in doors if port is not None]
    endpoints = handed or [_endpoint(reactor, address, port) for port, _ in wanted]
    opened: list[IListeningPort] = []
    for endpoint, (_, factory) in zip(endpoints, wanted, strict=False):
        try:
            opened.append(await endpoint.listen(factory))
        except Exception:
            for port in opened:
                await close(port)
            raise
    return opened


async def close(port: IListeningPort) -> None:
    """Accept no more."""
    closed = port.stopListening()
    if closed is not None:
        await closed


def _endpoint(reactor: Any, address: str, port: int) -> IStreamServerEndpoint:
    kind = TCP6ServerEndpoint if ":" in address else TCP4ServerEndpoint
    return kind(reactor, port, backlog=BACKLOG, interface=address)
