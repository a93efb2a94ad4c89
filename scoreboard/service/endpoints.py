"""Endpoints: the listening sockets that systemd opened, or the server's own. A leaf."""

from __future__ import annotations

import errno
from collections.abc import Mapping, Sequence
from socket import gaierror
from typing import Any, Final

from twisted.internet.defer import maybeDeferred
from twisted.internet.endpoints import TCP4ServerEndpoint, TCP6ServerEndpoint
from twisted.internet.error import CannotListenError
from twisted.internet.interfaces import IAddress, IListeningPort, IProtocolFactory, IStreamServerEndpoint

from scoreboard.systemd import activated_endpoints

#: Connections that wait to be accepted.
BACKLOG: Final = 4_096


class CannotListen(Exception):
    """A port cannot be opened. The message is one line that names the setting; ``is_temporary``: a later try may succeed."""

    def __init__(self, message: str, is_temporary: bool) -> None:
        super().__init__(message)
        self.is_temporary = is_temporary


async def listen(
    reactor: Any, environ: Mapping[str, str], address: str, listeners: Sequence[tuple[str, int | None, IProtocolFactory]]
) -> list[IListeningPort]:
    """Listen at each port: the name of its setting, its number (None: do not listen) and its factory.

    Sockets from systemd take the place of these ports, in the same order. Raises CannotListen, and then no port is open.
    """
    handed = activated_endpoints(reactor, environ)
    wanted = [(setting, port, factory) for setting, port, factory in listeners if port is not None]
    endpoints = handed or [_endpoint(reactor, address, port) for _, port, _ in wanted]
    opened: list[IListeningPort] = []
    for endpoint, (setting, _, factory) in zip(endpoints, wanted, strict=False):
        try:
            opened.append(await endpoint.listen(factory))
        except CannotListenError as error:
            for port in opened:
                await maybeDeferred(port.stopListening)
            raise explained(error, setting) from error
    return opened


def spelled(address: IAddress) -> str:
    """The address of a port in words; systemd may hand over a socket without a number."""
    host, port = getattr(address, "host", None), getattr(address, "port", None)
    return str(address) if port is None else f"{host} port {port}"


def explained(error: CannotListenError, setting: str) -> CannotListen:
    """The error in words. A port may become free and an address may appear; a forbidden port stays forbidden."""
    number, at = getattr(error.socketError, "errno", None), f"{error.port} on {error.interface}"
    if number in (errno.EADDRNOTAVAIL, errno.ENODEV) or isinstance(error.socketError, gaierror):  # or no such interface
        return CannotListen(f"BIND_ADDRESS: {error.interface} is not an address of this machine", is_temporary=True)
    if number == errno.EADDRINUSE:
        return CannotListen(f"{setting} {at} is taken by another program", is_temporary=True)
    if number == errno.EACCES:
        return CannotListen(
            f"{setting} {at} may not be opened by this user (below 1024 it needs CAP_NET_BIND_SERVICE)", is_temporary=False
        )
    return CannotListen(f"{setting} {at} cannot be opened: {error.socketError}", is_temporary=False)


def _endpoint(reactor: Any, address: str, port: int) -> IStreamServerEndpoint:
    kind = TCP6ServerEndpoint if ":" in address else TCP4ServerEndpoint
    return kind(reactor, port, backlog=BACKLOG, interface=address)
