"""Query parameters, strictly read: the range of a leaderboard; cursor, wait and ticket of streams and long polls."""

from __future__ import annotations

from typing import Final

from scoreboard.domain.board_pages import LIMIT_DEFAULT, LIMIT_MAX, OFFSET_MAX
from scoreboard.domain.cursor import Cursor
from scoreboard.domain.refusals import Refused, malformed
from scoreboard.domain.value import Value

WAIT_S_DEFAULT: Final = 25
WAIT_S_MAX: Final = 30
_NAMES: Final = frozenset({"since", "wait", "ticket"})
_NO_CURSOR: Final = "must be <epoch>.<seq>, once"


class ChangesQuery(Value, frozen=True, kw_only=True):
    """The client's cursor, how many seconds it waits at most, and its ticket if it has one."""

    since: Cursor | None
    wait_s: int
    ticket: str | None


def read_changes_query(query: bytes, last_event_id: bytes | None = None) -> ChangesQuery:
    """The parameters of a query string, and Last-Event-ID, which an EventSource sends when it reconnects. Raises Refused.

    Last-Event-ID is newer than the cursor in the URL. Unknown parameters are ignored.
    """
    found: dict[str, str] = {}
    for parameter in query.decode("ascii", "replace").split("&") if query else ():
        name, _, text = parameter.partition("=")
        if name in found:
            raise Refused(malformed(name, "must be given once"))
        if name in _NAMES:
            found[name] = text
    since = _cursor("since", found.get("since"))
    if last_event_id:
        since = _cursor("Last-Event-ID", last_event_id.decode("ascii", "replace"))
    return ChangesQuery(since=since, wait_s=_wait_s(found.get("wait")), ticket=found.get("ticket"))


def read_range(query: bytes) -> tuple[int, int]:
    """(limit, offset) of a leaderboard's query string; raises Refused. Unknown parameters are ignored."""
    limit, offset = LIMIT_DEFAULT, 0
    seen = set()
    for parameter in query.split(b"&") if query else ():
        name, _, text = parameter.partition(b"=")
        if name not in (b"limit", b"offset"):
            continue
        field, least, most = ("limit", 1, LIMIT_MAX) if name == b"limit" else ("offset", 0, OFFSET_MAX)
        # Only one spelling is valid: no sign, no leading zero, only ASCII digits.
        number = int(text) if text.isdigit() and len(text) <= 5 else -1
        if name in seen or b"%d" % number != text or not least <= number <= most:
            raise Refused(malformed(field, f"must be one whole number from {least} to {most}"))
        seen.add(name)
        if field == "limit":
            limit = number
        else:
            offset = number
    return limit, offset


def _cursor(field: str, text: str | None) -> Cursor | None:
    if text is None:
        return None
    cursor = Cursor.read(text)
    if cursor is None:
        raise Refused(malformed(field, _NO_CURSOR))
    return cursor


def _wait_s(text: str | None) -> int:
    if text is None:
        return WAIT_S_DEFAULT
    seconds = int(text) if text.isascii() and text.isdigit() and len(text) <= 2 else -1
    if str(seconds) != text or not 0 <= seconds <= WAIT_S_MAX:
        raise Refused(malformed("wait", f"must be one whole number from 0 to {WAIT_S_MAX}"))
    return seconds
