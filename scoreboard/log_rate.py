"""Rate limit of the log, by kind of line: lines that any client can cause must not fill a disk or hide others. A leaf."""

from __future__ import annotations

from collections.abc import Callable
from time import monotonic
from typing import Final

from twisted.logger import ILogObserver, LogEvent
from zope.interface import implementer

#: The burst of lines of one kind. After it one line a second is written.
_LINES_AT_ONCE: Final = 30
_LINES_PER_S: Final = 1.0
_KINDS_MAX: Final = 1_024
#: Twisted's lines about sockets. Clients cause most of them, several for each connection, so they are all one kind.
_SOCKETS: Final = "twisted.internet."
#: The namespace of the award lines (actors/award_log.py).
AWARDS: Final = "scoreboard.awards"


class _Kind:
    """A kind of line: its token bucket, and how many lines were left out since the last one that was written."""

    __slots__ = ("at_s", "left_out", "most", "tokens")

    def __init__(self, most: float, now_s: float) -> None:
        self.most = self.tokens = most
        self.at_s = now_s
        self.left_out = 0

    def admits(self, now_s: float) -> bool:
        """Whether one more line may be written now. It is counted in either case."""
        self.tokens = min(self.most, self.tokens + (now_s - self.at_s) * _LINES_PER_S)
        self.at_s = now_s
        if self.tokens < 1.0:
            self.left_out += 1
            return False
        self.tokens -= 1.0
        return True


@implementer(ILogObserver)
class RateLimitedLog:
    """Log observer that limits each kind of line to 30 at once, and then one a second. ``left_out`` counts the omitted ones.

    A kind is a namespace, a level, a format and, if something failed, the type of the exception. The award lines are all written:
    an operator asked for each of them, and the limits of submissions bound their number.
    """

    def __init__(self, written: ILogObserver, seconds: Callable[[], float] = monotonic) -> None:
        self._written = written
        self._seconds = seconds
        self._kinds: dict[tuple[object, ...], _Kind] = {}

    def __call__(self, event: LogEvent) -> None:
        """Pass the event on, or leave it out."""
        if event.get("log_namespace") == AWARDS:
            self._written(event)
            return
        kind = self._kind(event)
        if kind.admits(self._seconds()):
            left_out, kind.left_out = kind.left_out, 0
            self._written({**event, "left_out": left_out} if left_out else event)

    def _kind(self, event: LogEvent) -> _Kind:
        namespace = str(event.get("log_namespace", ""))
        sockets = namespace.startswith(_SOCKETS)
        failure = event.get("log_failure")
        what = getattr(failure, "type", None)
        name = (namespace,) if sockets else (namespace, event.get("log_level"), event.get("log_format"), what)
        kind = self._kinds.get(name)
        if kind is None:
            if len(self._kinds) >= _KINDS_MAX:
                del self._kinds[next(iter(self._kinds))]
            kind = self._kinds[name] = _Kind(1 if sockets else _LINES_AT_ONCE, self._seconds())
        return kind
