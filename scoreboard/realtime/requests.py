"""What a client may ask for: from the specification's events to calls on its visitor, the same for every transport."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Annotated, Any, Final, TypeVar

import msgspec

from scoreboard.domain.refusals import Refusal, Refused, malformed
from scoreboard.domain.values import BoardChanged, Event, Value
from scoreboard.realtime.payloads import encode
from scoreboard.realtime.visitor import Visitor

Wanted = TypeVar("Wanted")


class Answer(Value, frozen=True, kw_only=True):
    """What was asked is done: ``data`` (JSON) for whoever wants an acknowledgement, then ``event`` for this client alone."""

    data: bytes
    event: Event | None = None


Outcome = Answer | Refusal
Handler = Callable[[Visitor, msgspec.Raw], Outcome | Coroutine[Any, Any, Outcome]]


class _Nothing(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    pass


class _Token(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    token: Annotated[str, msgspec.Meta(pattern=r"\A[!-~]{1,4096}\Z")]


class _Known(msgspec.Struct, frozen=True, rename="camel"):
    user_id: str
    expires_at: int


class _At(msgspec.Struct, frozen=True):
    epoch: int
    seq: int


_token = msgspec.json.Decoder(_Token)
_nothing = msgspec.json.Decoder(_Nothing | None)


def decoded(decoder: msgspec.json.Decoder[Wanted], raw: bytes | msgspec.Raw, field: str) -> Wanted:
    """The JSON as the type that the decoder wants; raises Refused, naming the field. Nothing else escapes."""
    try:
        return decoder.decode(raw)
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError) as error:
        raise Refused(malformed(field, str(error))) from None


def ask(visitor: Visitor, event: str, data: msgspec.Raw) -> Outcome | Coroutine[Any, Any, Outcome]:
    """Do what the client asks; at once where that is possible. ``data`` is JSON, empty or null for none."""
    handler = _HANDLERS.get(event)
    if handler is None:
        return malformed("event", "there is no such event")
    try:
        return handler(visitor, data)
    except Refused as refused:
        return refused.refusal


def _auth(visitor: Visitor, data: msgspec.Raw) -> Outcome:
    refusal = visitor.prove(decoded(_token, data or b"null", "data").token)
    if refusal is not None:
        return refusal
    player = visitor.player
    return Answer(data=encode(_Known(player.user_id, player.expires_at_s * 1000)))


def _join(visitor: Visitor, data: msgspec.Raw) -> Coroutine[Any, Any, Outcome]:
    decoded(_nothing, data or b"null", "data")
    return _joined(visitor)


async def _joined(visitor: Visitor) -> Outcome:
    page = await visitor.join()
    if isinstance(page, Refusal):
        return page
    return Answer(data=encode(_At(page.cursor.epoch, page.cursor.seq)), event=BoardChanged(page=page))


def _leave(visitor: Visitor, data: msgspec.Raw) -> Outcome:
    decoded(_nothing, data or b"null", "data")
    return visitor.quit() or Answer(data=b"{}")


_HANDLERS: Final[dict[str, Handler]] = {
    "auth": _auth,
    "auth:refresh": _auth,
    "join:leaderboard": _join,
    "leave:leaderboard": _leave,
}
