"""Query parameters, strictly read: board, bucket and range of a leaderboard; cursor, wait and ticket of streams and polls."""

from __future__ import annotations

from typing import Final
from urllib.parse import unquote

from scoreboard.domain.board_pages import LIMIT_DEFAULT, LIMIT_MAX, OFFSET_MAX
from scoreboard.domain.boards import BOARD_OF_PERIOD, DEFAULT_BOARD
from scoreboard.domain.cursor import Cursor
from scoreboard.domain.refusals import Refused, malformed
from scoreboard.domain.value import Value

WAIT_S_DEFAULT: Final = 25
WAIT_S_MAX: Final = 30
_NAMES: Final = frozenset({"since", "wait", "ticket", "lastEventId"})
_RANGE: Final = {"limit": (1, LIMIT_MAX), "offset": (0, OFFSET_MAX)}
_BOARD_NAMES: Final = frozenset({"board", "period", "bucket"})
_NO_CURSOR: Final = "must be <epoch>.<seq>, once"


class BoardQuery(Value, frozen=True, kw_only=True):
    """A range of a bucket of a board. Without ``bucket`` it is the present one."""

    limit: int
    offset: int
    board_id: str
    bucket: str | None


class ChangesQuery(Value, frozen=True, kw_only=True):
    """The client's cursor, how many seconds it waits at most, and its ticket if it has one."""

    since: Cursor | None
    wait_s: int
    ticket: str | None


def read_changes_query(query: bytes, last_event_id: bytes | None = None) -> ChangesQuery:
    """The parameters of a query string, and Last-Event-ID, which an EventSource sends when it reconnects. Raises Refused.

    A polyfill that can send no headers adds it to the URL as ``lastEventId``. Either is newer than ``since``. Unknown parameters
    are ignored, but not those that name a board: a client must not take the global board for another.
    """
    found: dict[str, str] = {}
    for parameter in query.decode("ascii", "replace").split("&") if query else ():
        name, _, text = parameter.partition("=")
        if name in found:
            raise Refused(malformed(name, "must be given once"))
        if name in _BOARD_NAMES:
            raise Refused(malformed(name, "cannot be chosen here: only the global board is live"))
        if name in _NAMES:
            found[name] = text
    since = _cursor("since", found.get("since"))
    if found.get("lastEventId"):
        since = _cursor("lastEventId", found["lastEventId"])
    if last_event_id:
        since = _cursor("Last-Event-ID", last_event_id.decode("ascii", "replace"))
    wait_s = _whole_number("wait", found["wait"], 0, WAIT_S_MAX) if "wait" in found else WAIT_S_DEFAULT
    return ChangesQuery(since=since, wait_s=wait_s, ticket=found.get("ticket"))


def read_board_query(query: bytes) -> BoardQuery:
    """The query string of a leaderboard; raises Refused. Unknown parameters are ignored."""
    found: dict[str, int] = {}
    named: dict[str, str] = {}
    for parameter in query.decode("latin-1").split("&") if query else ():
        name, _, text = parameter.partition("=")
        if name in _RANGE:
            found[name] = _whole_number(name, "" if name in found else text, *_RANGE[name])
        elif name in _BOARD_NAMES:
            if name in named:
                raise Refused(malformed(name, "must be given once"))
            named[name] = unquote(text, errors="replace")
    board_id = named.get("board", DEFAULT_BOARD)
    if "period" in named:
        if "board" in named:
            raise Refused(malformed("period", "cannot stand beside board"))
        if named["period"] not in BOARD_OF_PERIOD:
            raise Refused(malformed("period", f"must be one of {', '.join(BOARD_OF_PERIOD)}"))
        board_id = BOARD_OF_PERIOD[named["period"]]
    return BoardQuery(
        limit=found.get("limit", LIMIT_DEFAULT), offset=found.get("offset", 0), board_id=board_id, bucket=named.get("bucket")
    )


def _cursor(field: str, text: str | None) -> Cursor | None:
    if text is None:
        return None
    cursor = Cursor.read(text)
    if cursor is None:
        raise Refused(malformed(field, _NO_CURSOR))
    return cursor


def _whole_number(field: str, text: str, least: int, most: int) -> int:
    """The number, which has only one spelling: no sign, no leading zero, only ASCII digits."""
    number = int(text) if text.isascii() and text.isdigit() and len(text) <= len(str(most)) else -1
    if str(number) != text or not least <= number <= most:
        raise Refused(malformed(field, f"must be one whole number from {least} to {most}"))
    return number
