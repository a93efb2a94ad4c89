"""Client addresses: the client's address when trusted proxies forward the request, and the key under which limits count it.

A client can send any `X-Forwarded-For`, so only the entries that our own proxies wrote count. An IPv6 client
owns a whole /64, so limits count the /64.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from ipaddress import IPv4Network, IPv6Address, IPv6Network, ip_address
from typing import Final

from scoreboard.domain.value import Value

#: The name of a peer on a unix socket. The mode of its file decides which users may connect.
UNIX: Final = "unix"


class Proxies(Value, frozen=True, kw_only=True):
    """The proxies that we trust: peers in ``networks``, and every peer on our unix socket."""

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
        """The address of the client behind a peer: the peer itself, or behind a proxy the last entry that is no proxy.

        It is the peer's own address if an entry cannot be read.
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
    """The canonical spelling: IPv4 for an IPv4 client on an IPv6 socket, no zone, and UNIX for an empty address."""
    if ":" not in address:
        return address or UNIX
    ip = IPv6Address(address.partition("%")[0])
    return str(ip.ipv4_mapped or ip)


@lru_cache(maxsize=4_096)
def counted_as(address: str) -> str:
    """The name under which limits count an address: itself, or its /64 for IPv6."""
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
