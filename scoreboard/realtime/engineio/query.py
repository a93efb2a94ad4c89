"""Query of a request to Engine.IO, checked as the protocol's reference server does (Node's engine.io, its method ``verify``)."""

from __future__ import annotations

from collections.abc import Container, Mapping, Sequence
from typing import Final

from scoreboard.domain.refusals import Reason, Refusal, Refused
from scoreboard.domain.value import Value
from scoreboard.net.http.refusals import refused
from scoreboard.net.http.response import JSON, NO_STORE, Response

TRANSPORTS: Final = ("polling", "websocket")


def _bad_request(message: str) -> Refusal:
    return Refusal(reason=Reason.MALFORMED_REQUEST, message=message)


UNKNOWN_TRANSPORT: Final = _bad_request("Transport unknown")
UNKNOWN_SID: Final = _bad_request("Session ID unknown")
BAD_METHOD: Final = _bad_request("Bad handshake method")
BAD_REQUEST: Final = _bad_request("Bad request")
WRONG_VERSION: Final = _bad_request("Unsupported protocol version")
#: The reference server's number of each refusal. Clients and their users know the number and the message.
_CODES: Final = {UNKNOWN_TRANSPORT: 0, UNKNOWN_SID: 1, BAD_METHOD: 2, BAD_REQUEST: 3, WRONG_VERSION: 5}


class EngineQuery(Value, frozen=True):
    """Name of a transport, and a session's id; None asks for a new session."""

    transport: str
    sid: str | None


def read_query(query: Mapping[str, Sequence[str]], method: str, sids: Container[str], *, upgrade: bool) -> EngineQuery:
    """Check a request, whose method may ``upgrade`` to a WebSocket, in the order of the reference server. Raises Refused.

    ``sids`` are the ids of the present sessions. Of a parameter that comes more than once, the last value counts.
    """
    given = {name: values[-1] for name, values in query.items()}
    transport, sid = given.get("transport", ""), given.get("sid") or None
    right_version = given.get("EIO") == "4"
    if transport not in TRANSPORTS:
        raise Refused(UNKNOWN_TRANSPORT)
    if sid is not None:
        if sid not in sids:
            raise Refused(UNKNOWN_SID)
        if not right_version:
            raise Refused(BAD_REQUEST)
    elif method != "GET":
        raise Refused(BAD_METHOD)
    if transport == "websocket" and not upgrade:
        raise Refused(BAD_REQUEST)
    if not right_version:
        raise Refused(WRONG_VERSION)
    return EngineQuery(transport, sid)


def engine_refused(refusal: Refusal, status: int | None = None) -> Response:
    """The response to a refused request: with the reference server's body where it refuses too, else with the API's own."""
    code = _CODES.get(refusal)
    if code is None:
        return refused(refusal, status=status)
    return Response(400, b'{"code":%d,"message":"%b"}' % (code, refusal.message.encode()), JSON + NO_STORE)
