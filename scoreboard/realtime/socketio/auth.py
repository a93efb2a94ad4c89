"""Auth object of a Socket.IO client: its token, and the session that it wants to recover."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec

from scoreboard.domain.cursor import NO_CURSOR, Cursor
from scoreboard.domain.refusals import Refused
from scoreboard.domain.value import Value
from scoreboard.net.http.bearer import UNAUTHORIZED
from scoreboard.realtime.requests import decoded


class Auth(Value, frozen=True, kw_only=True):
    """Token; whether the client wants recovery; the private id and the offset of the session that it had, if any."""

    token: str
    recovery: bool
    pid: str | None
    since: Cursor


class _Given(msgspec.Struct, frozen=True):
    token: msgspec.Raw = msgspec.Raw()
    recovery: msgspec.Raw = msgspec.Raw()
    pid: msgspec.Raw = msgspec.Raw()
    offset: msgspec.Raw = msgspec.Raw()


_given = msgspec.json.Decoder(_Given)
_token = msgspec.json.Decoder(str)
_flag = msgspec.json.Decoder(bool)
_text = msgspec.json.Decoder(Annotated[str, msgspec.Meta(max_length=64)])


def read_auth(raw: bytes) -> Auth:
    """Decode the auth object of a CONNECT (JSON, or empty). Raises Refused without a token.

    A field of a wrong type counts as empty or absent.
    """
    given = decoded(_given, raw or b"{}", "auth", parent="auth")
    if not given.token:
        raise Refused(UNAUTHORIZED)
    return Auth(
        token=_optional(_token, given.token) or "",
        recovery=_optional(_flag, given.recovery) is not False,
        pid=_optional(_text, given.pid),
        since=Cursor.read(_optional(_text, given.offset) or "") or NO_CURSOR,
    )


def _optional(decoder: msgspec.json.Decoder[Any], raw: msgspec.Raw) -> Any:
    try:
        return decoder.decode(raw)
    except msgspec.MsgspecError:  # absent, or of another type
        return None
