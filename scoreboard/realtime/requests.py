"""What a client may ask for: from the specification's events to calls on its visitor, the same for every transport."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Annotated, Any, Final, Literal, TypeVar

import msgspec

from scoreboard.domain.refusals import Refusal, Refused, malformed
from scoreboard.domain.values import BoardChanged, Cursor, Event, Value
from scoreboard.realtime.payloads import encode
from scoreboard.realtime.visitor import Visitor

Wanted = TypeVar("Wanted")


class Answer(Value, frozen=True, kw_only=True):
    """What was asked is done: ``data`` (JSON) for whoever wants an acknowledgement, then for this client alone what it missed
    while it was away, and ``event``.
    """

    data: bytes
    missed: tuple[Event, ...] = ()
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


class _Join(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    mode: Literal["top", "rows"] = "top"
    since: Annotated[str, msgspec.Meta(max_length=32)] | None = None


class _At(msgspec.Struct, frozen=True, omit_defaults=True):
    epoch: int
    seq: int
    recovered: bool = False
    reset: bool = False


_token = msgspec.json.Decoder(_Token)
_nothing = msgspec.json.Decoder(_Nothing | None)
_wanted = msgspec.json.Decoder(_Join | None)


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
    wanted = decoded(_wanted, data or b"null", "data") or _Join()
    rows = wanted.mode == "rows"
    if rows and not visitor.reads_rows:
        raise Refused(malformed("data.mode", "there are no row operations here"))
    if wanted.since is None:
        return _joined(visitor, rows)
    since = Cursor.read(wanted.since)
    if since is None:
        raise Refused(malformed("data.since", "must be <epoch>.<seq>"))
    return _resumed(visitor, since, rows)


async def _joined(visitor: Visitor, rows: bool) -> Outcome:
    page = await visitor.join(rows=rows)
    if isinstance(page, Refusal):
        return page
    return Answer(data=encode(_At(page.cursor.epoch, page.cursor.seq)), event=BoardChanged(page=page))


async def _resumed(visitor: Visitor, since: Cursor, rows: bool) -> Outcome:
    back = await visitor.resume(since, rows=rows)
    if isinstance(back, Refusal):
        return back
    page = back.page
    known = back.missed is not None
    at = _At(page.cursor.epoch, page.cursor.seq, recovered=known, reset=not known)
    return Answer(data=encode(at), missed=back.missed or (), event=None if known else BoardChanged(page=page, reset=True))


def _leave(visitor: Visitor, data: msgspec.Raw) -> Outcome:
    decoded(_nothing, data or b"null", "data")
    return visitor.quit() or Answer(data=b"{}")


_HANDLERS: Final[dict[str, Handler]] = {
    "auth": _auth,
    "auth:refresh": _auth,
    "join:leaderboard": _join,
    "leave:leaderboard": _leave,
}
