"""What a client says of itself when it connects: who it is, and which session it was if it was one."""

from __future__ import annotations

from typing import Annotated, Any, Final

import msgspec

from scoreboard.domain.cursor import Cursor
from scoreboard.domain.value import Value
from scoreboard.realtime.requests import decoded

#: Of no board, so nothing is known of the time since.
_NEVER: Final = Cursor(epoch=0, seq=0)


class Auth(Value, frozen=True, kw_only=True):
    """A token; whether the client wants to be able to come back; if it does come back, by which pid and since which offset."""

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
    """The auth object of a CONNECT (JSON, empty for none); raises Refused without a token. What else is no good is not there."""
    auth = decoded(_auth, raw or b"null", "auth")
    return Auth(
        token=auth.token,
        recovery=_optional(_flag, auth.recovery) is not False,
        pid=_optional(_text, auth.pid),
        since=Cursor.read(_optional(_text, auth.offset) or "") or _NEVER,
    )


def _optional(decoder: msgspec.json.Decoder[Any], raw: msgspec.Raw) -> Any:
    try:
        return decoder.decode(raw)
    except msgspec.MsgspecError:  # nothing, or not what it should be
        return None
