"""Auth object of a Socket.IO client: its token, and the session that it wants to recover."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec

from scoreboard.domain.cursor import NO_CURSOR, Cursor
from scoreboard.domain.value import Value
from scoreboard.realtime.requests import decoded


class Auth(Value, frozen=True, kw_only=True):
    """Token; whether the client wants recovery; the private id and the offset of the session that it had, if any."""

    token: str
    recovery: bool
    pid: str | None
    since: Cursor


class _Auth(msgspec.Struct, frozen=True):
    token: Annotated[str, msgspec.Meta(pattern=r"\A[!-~]{1,4096}\Z")]
    recovery: msgspec.Raw = msgspec.Raw()
    pid: msgspec.Raw = msgspec.Raw()
    offset: msgspec.Raw = msgspec.Raw()


_auth = msgspec.json.Decoder(_Auth)
_flag = msgspec.json.Decoder(bool)
_text = msgspec.json.Decoder(Annotated[str, msgspec.Meta(max_length=64)])


def read_auth(raw: bytes) -> Auth:
    """Decode the auth object of a CONNECT (JSON, or empty). Raises Refused without a token. Other bad fields count as absent."""
    auth = decoded(_auth, raw or b"null", "auth")
    return Auth(
        token=auth.token,
        recovery=_optional(_flag, auth.recovery) is not False,
        pid=_optional(_text, auth.pid),
        since=Cursor.read(_optional(_text, auth.offset) or "") or NO_CURSOR,
    )


def _optional(decoder: msgspec.json.Decoder[Any], raw: msgspec.Raw) -> Any:
    try:
        return decoder.decode(raw)
    except msgspec.MsgspecError:  # absent, or of another type
        return None
