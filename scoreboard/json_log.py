"""JSON log: one object a line, bounded, escaped, and without secrets. A leaf."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any, Final, TextIO

from twisted.logger import FilteringLogObserver, ILogObserver, LogEvent, LogLevel, LogLevelFilterPredicate, formatEvent
from twisted.python.failure import Failure
from twisted.python.reflect import safe_repr
from zope.interface import implementer

from scoreboard.log_rate import AWARDS, RateLimitedLog

_LINE_BYTES_MAX: Final = 8_192
_TEXT_LENGTH_MAX: Final = 2_048
_FIELD_LENGTH_MAX: Final = 256
_FIELDS_MAX: Final = 24
_DEPTH_MAX: Final = 4
_READ_LENGTH_MAX: Final = 16_384
#: Shorter secrets would redact too many words.
_SECRET_LENGTH_MIN: Final = 4
_REDACTED: Final = "[redacted]"
_SENSITIVE: Final = "token|authorization|signature|secret|password|passwd|auth|cookie"
_SENSITIVE_KEY: Final = re.compile(_SENSITIVE, re.IGNORECASE)
#: Secrets that a text shows by their form: a sensitive key's value, a bearer's token, a JWT, a signed action, a URL's password.
_SENSITIVE_TEXT: Final = re.compile(
    rf"""(?P<kept>\b[\w-]{{0,32}}(?:{_SENSITIVE})[\w-]{{0,32}}["']?\s{{0,4}}[=:]\s{{0,4}}(?:b?["'])?)(?:(?:bearer|basic)\s+)?[^\s"',;&}}]+"""
    r"|\bbearer\s+\S+|eyJ[\w-]{8,}(?:\.[\w-]*){0,2}|\bv1\.[0-9a-f]{8}\.[\w-]+\.[\w-]+|(?<=://)[^\s/@]{0,256}:[^\s/@]{0,256}(?=@)",
    re.IGNORECASE,
)
#: Fields that twisted.logger and twisted.python.log add to an event.
_NOT_FIELDS: Final = frozenset({"time", "message", "isError", "system", "format", "failure", "why"})


@implementer(ILogObserver)
class JsonLog:
    """Log observer that writes each event as one line of ASCII JSON: time, level, namespace, message, fields."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def __call__(self, event: LogEvent) -> None:
        """Write an event."""
        with suppress(OSError):  # the reader of the log is gone, and there is no other place to report it
            self._stream.write(json_line(event) + "\n")
            self._stream.flush()


def json_log(stream: TextIO, level: str) -> ILogObserver:
    """A log of events of at least this level (debug, info, warn, error, critical), with a bounded rate.

    Award lines are shown at any level: they are only written if an operator asked for them.
    """
    predicate = LogLevelFilterPredicate(LogLevel.lookupByName(level))
    predicate.setLogLevelForNamespace(AWARDS, min(LogLevel.info, LogLevel.lookupByName(level)))
    return FilteringLogObserver(RateLimitedLog(JsonLog(stream)), [predicate])


def json_line(event: LogEvent) -> str:
    """One event as JSON of at most 8 KiB, without the line's end."""
    failed = event.get("log_failure")
    failure = failed if isinstance(failed, Failure) else None  # the name is Twisted's, but any caller may use it
    own = {key: value for key, value in event.items() if not key.startswith("log_") and key not in _NOT_FIELDS}
    hidden = sorted(set(_secrets_in(own)), key=len, reverse=True)
    level = event.get("log_level")
    written: dict[str, Any] = {
        "time": datetime.fromtimestamp(event.get("log_time", 0.0), UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        "level": level.name if level is not None else "info",
        "namespace": _text(event.get("log_namespace", ""), (), _FIELD_LENGTH_MAX),
        "message": _text(formatEvent(event) or (failure.getErrorMessage() if failure else ""), hidden, _TEXT_LENGTH_MAX),
    }
    if failure is not None:
        written["traceback"] = _text(failure.getTraceback()[-_READ_LENGTH_MAX:], hidden, -_TEXT_LENGTH_MAX)
    whole = _json({**written, "fields": _plain(own, hidden)} if own else written)
    if len(whole) <= _LINE_BYTES_MAX:
        return whole
    return _json({**{key: value[:_FIELD_LENGTH_MAX] for key, value in written.items()}, "cut": True})


def _json(value: Mapping[str, Any]) -> str:
    """JSON in ASCII, so that no terminal executes a client's text."""
    return json.dumps(value).replace("\x7f", "\\u007f")


def _plain(value: object, hidden: Iterable[str], depth: int = 0) -> object:
    """A field as JSON: shallow, short, and without secrets."""
    if value is None or isinstance(value, bool) or (isinstance(value, int) and abs(value) < 2**63):
        return value
    if isinstance(value, Mapping | list | tuple) and depth == _DEPTH_MAX:
        return "…"
    if isinstance(value, Mapping):
        return {
            _text(str(key), hidden, 64): _REDACTED if _SENSITIVE_KEY.search(str(key)) else _plain(held, hidden, depth + 1)
            for key, held in list(value.items())[:_FIELDS_MAX]
        }
    if isinstance(value, list | tuple):
        return [_plain(held, hidden, depth + 1) for held in value[:_FIELDS_MAX]]
    return _text(value if isinstance(value, str) else safe_repr(value), hidden, _FIELD_LENGTH_MAX)


def _secrets_in(value: object, sensitive: bool = False, depth: int = 0) -> Iterator[str]:
    """The texts under sensitive keys, which the message may repeat."""
    if isinstance(value, Mapping) and depth <= _DEPTH_MAX:
        for key, held in value.items():
            yield from _secrets_in(held, sensitive or _SENSITIVE_KEY.search(str(key)) is not None, depth + 1)
    elif isinstance(value, list | tuple) and depth <= _DEPTH_MAX:
        for held in value:
            yield from _secrets_in(held, sensitive, depth + 1)
    elif sensitive and isinstance(value, str | bytes) and len(value) >= _SECRET_LENGTH_MIN:
        yield value if isinstance(value, str) else value.decode("utf-8", "backslashreplace")


def _text(text: str, hidden: Iterable[str], length_max: int) -> str:
    """A text without secrets, cut to its first (or, if negative, last) characters. Cut last: half a secret is secret, too."""
    text = text[:_READ_LENGTH_MAX]
    for secret in hidden:
        text = text.replace(secret, _REDACTED)
    text = _SENSITIVE_TEXT.sub(lambda found: (found["kept"] or "") + _REDACTED, text)
    return text[:length_max] if length_max > 0 else text[length_max:]
