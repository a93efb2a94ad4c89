"""Requests of clients: the specification's events become calls on the client's session, the same for every transport."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Annotated, Any, Final, TypeVar

import msgspec

from scoreboard.domain.board_pages import LIMIT_DEFAULT, LIMIT_MAX, OFFSET_MAX, Around, RankRange, View
from scoreboard.domain.cursor import Cursor
from scoreboard.domain.events import BoardChanged, Event
from scoreboard.domain.players import USER_ID
from scoreboard.domain.refusals import Refusal, Refused, malformed
from scoreboard.domain.value import Value
from scoreboard.json_complaints import complaint
from scoreboard.realtime.client_session import ClientSession
from scoreboard.realtime.payloads import encode, view_payload
from scoreboard.strict_json import decode_json

_MODES: Final = ("top", "rows")
#: Neighbours on either side that a view may show.
AROUND_MAX: Final = 50

Wanted = TypeVar("Wanted")


class Reply(Value, frozen=True, kw_only=True):
    """Answer to a request that was carried out: ``data`` (JSON) to acknowledge it, then ``events`` for this client alone."""

    data: bytes
    events: tuple[Event, ...] = ()


RequestResult = Reply | Refusal
Handler = Callable[[ClientSession, msgspec.Raw], RequestResult | Coroutine[Any, Any, RequestResult]]


class _Token(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    token: Any


class _View(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    around: Annotated[int, msgspec.Meta(ge=1, le=AROUND_MAX)] | None = None
    offset: Annotated[int, msgspec.Meta(ge=0, le=OFFSET_MAX)] | None = None
    limit: Annotated[int, msgspec.Meta(ge=1, le=LIMIT_MAX)] | None = None


class _Join(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    mode: str = "top"
    since: Annotated[str, msgspec.Meta(max_length=32)] | None = None
    view: _View | None = None


class _Leave(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    view: _View | None = None


class _User(msgspec.Struct, frozen=True, rename="camel", forbid_unknown_fields=True):
    user_id: str


class _At(msgspec.Struct, frozen=True, omit_defaults=True):
    epoch: int
    seq: int
    recovered: bool = False
    reset: bool = False
    view: msgspec.Raw = msgspec.Raw()


_token = msgspec.json.Decoder(_Token)
_wanted = msgspec.json.Decoder(_Join | None)
_left = msgspec.json.Decoder(_Leave | None)
#: The specification's clients send the id alone.
_user = msgspec.json.Decoder(str | _User)


def decoded(decoder: msgspec.json.Decoder[Wanted], raw: bytes | msgspec.Raw, whole: str, parent: str = "") -> Wanted:
    """Decode JSON. Raises Refused, with the name of the field (see `complaint`), and nothing else."""
    try:
        return decode_json(decoder, raw)
    except (ValueError, RecursionError) as error:
        raise Refused(malformed(*complaint(error, whole, parent))) from None


def _data(decoder: msgspec.json.Decoder[Wanted], raw: msgspec.Raw) -> Wanted:
    """Decode the data of an event. Raises Refused."""
    return decoded(decoder, raw or b"null", "data", parent="data")


def ask(client: ClientSession, event: str, data: msgspec.Raw) -> RequestResult | Coroutine[Any, Any, RequestResult]:
    """Carry out a request: at once, or as a coroutine if it has to wait. ``data`` is JSON, empty or null for none."""
    handler = _HANDLERS.get(event)
    if handler is None:
        return malformed("event", f"there is no such event; there are {', '.join(_HANDLERS)}")
    try:
        return handler(client, data)
    except Refused as refused:
        return refused.refusal


def _auth(client: ClientSession, data: msgspec.Raw) -> RequestResult:
    token = _data(_token, data).token
    refusal = client.authenticate(token if isinstance(token, str) else "")  # as over HTTP: whatever is no token is INVALID_TOKEN
    if refusal is not None:
        return refusal
    player = client.player
    return Reply(data=encode({"userId": player.user_id, "expiresAt": player.expires_at_s * 1000}))


def _join(client: ClientSession, data: msgspec.Raw) -> RequestResult | Coroutine[Any, Any, RequestResult]:
    wanted = _data(_wanted, data) or _Join()
    if wanted.view is not None:
        if wanted.since is not None:
            raise Refused(malformed("data.since", "a view begins with what it shows now"))
        return _follow(client, _view(client, wanted.view))
    if wanted.mode not in _MODES:
        raise Refused(malformed("data.mode", f"must be one of {', '.join(_MODES)}"))
    rows = wanted.mode == "rows"
    if rows and not client.reads_rows:
        raise Refused(malformed("data.mode", "there are no row operations here"))
    if wanted.since is None:
        return _joined(client, rows)
    since = Cursor.read(wanted.since)
    if since is None:
        raise Refused(malformed("data.since", "must be <epoch>.<seq>"))
    return _resumed(client, since, rows)


async def _joined(client: ClientSession, rows: bool) -> RequestResult:
    page = await client.join(rows=rows)
    if isinstance(page, Refusal):
        return page
    return Reply(data=encode(_At(page.cursor.epoch, page.cursor.seq)), events=(BoardChanged(page=page),))


async def _resumed(client: ClientSession, since: Cursor, rows: bool) -> RequestResult:
    back = await client.resume(since, rows=rows)
    if isinstance(back, Refusal):
        return back
    page, missed = back.page, back.missed
    at = _At(page.cursor.epoch, page.cursor.seq, recovered=missed is not None, reset=missed is None)
    return Reply(data=encode(at), events=(BoardChanged(page=page, reset=True),) if missed is None else missed)


def _follow(client: ClientSession, view: View) -> RequestResult:
    cursor = client.follow(view)
    if isinstance(cursor, Refusal):
        return cursor
    return Reply(data=encode(_At(cursor.epoch, cursor.seq, view=msgspec.Raw(view_payload(view)))))


def _leave(client: ClientSession, data: msgspec.Raw) -> RequestResult:
    left = _data(_left, data) or _Leave()
    refusal = client.quit() if left.view is None else client.unfollow(_view(client, left.view))
    return refusal or Reply(data=b"{}")


def _view(client: ClientSession, asked: _View) -> View:
    """Return the view that is asked for: around the client's own player, or a range of ranks. Raises Refused."""
    wanted_range = asked.offset is not None or asked.limit is not None
    if wanted_range == (asked.around is not None):
        raise Refused(malformed("data.view", "must have either around, or offset and limit"))
    if asked.around is not None:
        return Around(user_id=client.player.user_id, rows=asked.around)
    return RankRange(offset=asked.offset or 0, limit=asked.limit or LIMIT_DEFAULT)


def _spectate(client: ClientSession, data: msgspec.Raw) -> RequestResult:
    user_id = _user_id(data)
    return client.spectate(user_id) or Reply(data=encode({"userId": user_id}))


def _unspectate(client: ClientSession, data: msgspec.Raw) -> RequestResult:
    user_id = _user_id(data)
    return client.unspectate(user_id) or Reply(data=encode({"userId": user_id}))


def _user_id(data: msgspec.Raw) -> str:
    user = _data(_user, data)
    user_id = user if isinstance(user, str) else user.user_id
    if USER_ID.fullmatch(user_id) is None:
        raise Refused(malformed("data.userId", "must be 1 to 64 of A-Z a-z 0-9 _ . : -"))
    return user_id


_HANDLERS: Final[dict[str, Handler]] = {
    "auth": _auth,
    "auth:refresh": _auth,
    "join:leaderboard": _join,
    "leave:leaderboard": _leave,
    "spectate:user": _spectate,
    "unspectate:user": _unspectate,
}
