"""Whose request it is: the client's address, through proxies we trust, and the name it is counted under.

`X-Forwarded-For` is a client's claim; it counts only as far as proxies of ours wrote it. An IPv6 client
owns a whole /64, so limits count that.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from ipaddress import IPv4Network, IPv6Address, IPv6Network, ip_address
from typing import Final

from scoreboard.domain.value import Value

#: What a peer on a unix socket is called. Its file mode has said who may connect.
UNIX: Final = "unix"


class Proxies(Value, frozen=True, kw_only=True):
    """The peers whose word on who is behind them we take: networks of ours, and whoever may open our unix socket."""

    networks: tuple[IPv4Network | IPv6Network, ...] = ()

    def trusts(self, address: str) -> bool:
        """Whether this address is a proxy of ours."""
        if address == UNIX:
            return True
        if not self.networks:
            return False
        ip = ip_address(address)
        return any(ip in network for network in self.networks)

    def client(self, peer: str, forwarded: Sequence[bytes]) -> str:
        """Whose request a peer brings: its own; from a proxy of ours, that of the first address from the right that is not ours.

        What cannot be read is the peer's own.
        """
        if not self.trusts(peer):
            return peer
        chain = b",".join(forwarded).decode("latin-1").split(",") if forwarded else []
        address = peer
        for entry in reversed(chain):
            try:
                address = _address_in(entry.strip())
            except ValueError:
                return peer
            if not self.trusts(address):
                break
        return address


@lru_cache(maxsize=1_024)
def is_loopback(address: str) -> bool:
    """Whether a peer is on this machine."""
    return address == UNIX or ip_address(address).is_loopback


def plain(address: str) -> str:
    """An address as we write it: an IPv4 client on an IPv6 socket is an IPv4 client, zones are dropped, none is a unix socket."""
    if ":" not in address:
        return address or UNIX
    ip = IPv6Address(address.partition("%")[0])
    return str(ip.ipv4_mapped or ip)


@lru_cache(maxsize=4_096)
def counted_as(address: str) -> str:
    """The name under which an address is limited: itself, or its /64."""
    if ":" not in address:
        return address
    return str(IPv6Network((int(IPv6Address(address)) >> 64 << 64, 64)))


def _address_in(entry: str) -> str:
    """``1.2.3.4``, ``1.2.3.4:5678``, ``::1`` or ``[::1]:5678``; raises ValueError for anything else."""
    if entry.startswith("["):
        entry = entry[1:].partition("]")[0]
    elif entry.count(":") == 1:
        entry = entry.partition(":")[0]
    return plain(str(ip_address(entry)))
