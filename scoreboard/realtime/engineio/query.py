"""Query of a request to Engine.IO: the transport, and the session if the client has one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from scoreboard.domain.refusals import Reason, Refusal, Refused
from scoreboard.domain.value import Value
from scoreboard.net.http.cors import Cors
from scoreboard.net.websocket.handshake import check_page

TRANSPORTS: Final = ("polling", "websocket")


def bad_request(message: str) -> Refusal:
    """Make the refusal of a request. The messages are those of the reference server, because users search for them."""
    return Refusal(reason=Reason.MALFORMED_REQUEST, message=message)


UNKNOWN_SID: Final = bad_request("Session ID unknown")
BAD_METHOD: Final = bad_request("Bad handshake method")
BAD_REQUEST: Final = bad_request("Bad request")
_UNKNOWN_TRANSPORT: Final = bad_request("Transport unknown")
_WRONG_VERSION: Final = bad_request("Unsupported protocol version")


class EngineQuery(Value, frozen=True):
    """Name of a transport, and a session's id; None asks for a new session."""

    transport: str
    sid: str | None


def read_query(query: Mapping[str, Sequence[str]], headers: Mapping[str, str], cors: Cors) -> EngineQuery:
    """Read a query. Raises Refused, also for a page of an origin that is not allowed. ``headers`` have lower-case names."""
    check_page(query, headers, cors)
    if query.get("EIO") != ["4"]:
        raise Refused(_WRONG_VERSION)
    transport, *more = query.get("transport", ("",))
    if transport not in TRANSPORTS or more:
        raise Refused(_UNKNOWN_TRANSPORT)
    sids = query.get("sid")
    if sids is not None and len(sids) > 1:
        raise Refused(UNKNOWN_SID)
    return EngineQuery(transport, sids[0] if sids else None)
