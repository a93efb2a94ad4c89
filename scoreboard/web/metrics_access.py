"""Access to the metrics: by an address or a token that the operator set.

The metrics show how many players there are and what fails.
"""

from __future__ import annotations

import hmac
from collections.abc import Sequence
from ipaddress import IPv4Network, IPv6Network, ip_address
from typing import Final

from scoreboard.domain.refusals import Refusal, Refused
from scoreboard.net.http.addresses import UNIX
from scoreboard.net.http.bearer import INVALID_TOKEN, bearer
from scoreboard.net.http.refusals import NOT_FOUND
from scoreboard.net.http.request import Request

#: What a proxy adds, beside `X-Forwarded-…`: a request with one of them has another sender than its peer.
_FORWARDED: Final = (b"x-real-ip", b"forwarded", b"via")


class MetricsAccess:
    """Who may read the metrics: clients of ``networks``, and those that show ``token``. Without a token others get 404."""

    def __init__(self, token: str | None, networks: Sequence[IPv4Network | IPv6Network]) -> None:
        self._token = None if token is None else token.encode()
        self._networks = networks

    def check(self, request: Request) -> None:
        """Raise Refused unless the client may read them. The token is compared in constant time."""
        if self._admits_address(request):
            return
        if self._token is None:
            raise Refused(NOT_FOUND)
        shown = bearer(request.requestHeaders.getRawHeaders(b"Authorization", ()))
        if isinstance(shown, Refusal):
            raise Refused(shown)
        if not hmac.compare_digest(shown.encode(), self._token):
            raise Refused(INVALID_TOKEN)

    def _admits_address(self, request: Request) -> bool:
        if any(not network.prefixlen for network in self._networks):
            return True
        address = request.client_address
        # A trusted proxy names its client. If it did not, or not in a readable form, the address is the proxy's own.
        if address == UNIX or (_is_forwarded(request) and (not request.channel.trusted or address == request.channel.peer)):
            return False
        ip = ip_address(address)
        return any(ip in network for network in self._networks)


def _is_forwarded(request: Request) -> bool:
    names = (name.lower() for name, _ in request.requestHeaders.getAllRawHeaders())
    return any(name in _FORWARDED or name.startswith(b"x-forwarded-") for name in names)
