"""Query parameters, strictly read: the range of a leaderboard; cursor, wait and ticket of streams and long polls."""

from __future__ import annotations

from typing import Final

from scoreboard.domain.board_pages import LIMIT_DEFAULT, LIMIT_MAX, OFFSET_MAX
from scoreboard.domain.cursor import Cursor
from scoreboard.domain.refusals import Refused, malformed
from scoreboard.domain.value import Value

WAIT_S_DEFAULT: Final = 25
WAIT_S_MAX: Final = 30
_NAMES: Final = frozenset({"since", "wait", "ticket", "lastEventId"})
_RANGE: Final = {"limit": (1, LIMIT_MAX), "offset": (0, OFFSET_MAX)}
_NO_CURSOR: Final = "must be <epoch>.<seq>, once"


class ChangesQuery(Value, frozen=True, kw_only=True):
    """The client's cursor, how many seconds it waits at most, and its ticket if it has one."""

    since: Cursor | None
    wait_s: int
    ticket: str | None


def read_changes_query(query: bytes, last_event_id: bytes | None = None) -> ChangesQuery:
    """The parameters of a query string, and Last-Event-ID, which an EventSource sends when it reconnects. Raises Refused.

    A polyfill that can send no headers adds it to the URL as ``lastEventId``. Either is newer than ``since``. Unknown parameters
    are ignored.
    """
    found: dict[str, str] = {}
    for parameter in query.decode("ascii", "replace").split("&") if query else ():
        name, _, text = parameter.partition("=")
        if name in found:
            raise Refused(malformed(name, "must be given once"))
        if name in _NAMES:
            found[name] = text
    since = _cursor("since", found.get("since"))
    if found.get("lastEventId"):
        since = _cursor("lastEventId", found["lastEventId"])
    if last_event_id:
        since = _cursor("Last-Event-ID", last_event_id.decode("ascii", "replace"))
    wait_s = _whole_number("wait", found["wait"], 0, WAIT_S_MAX) if "wait" in found else WAIT_S_DEFAULT
    return ChangesQuery(since=since, wait_s=wait_s, ticket=found.get("ticket"))


def read_range(query: bytes) -> tuple[int, int]:
    """(limit, offset) of a leaderboard's query string; raises Refused. Unknown parameters are ignored."""
    found: dict[str, int] = {}
    for parameter in query.decode("latin-1").split("&") if query else ():
        name, _, text = parameter.partition("=")
        if name in _RANGE:
            found[name] = _whole_number(name, "" if name in found else text, *_RANGE[name])
    return found.get("limit", LIMIT_DEFAULT), found.get("offset", 0)


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
