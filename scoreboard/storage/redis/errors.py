"""The classes of Redis' errors: what a reply that is an error means for the caller, in the words of Redis 6.2 and 7."""

from __future__ import annotations

import re
from typing import Final

from scoreboard.domain.errors import StoreMisconfigured, StoreUnavailable

#: Redis answers and reads, and takes no writes: its memory is full, it cannot write its file, its replicas are missing.
WRITES_REFUSED: Final = frozenset({"OOM", "MISCONF", "NOREPLICAS"})
#: This connection is of no use any more: a new one may reach the master, or a Redis that is ready, or is introduced again.
RECONNECT: Final = frozenset({"READONLY", "MASTERDOWN", "LOADING", "NOAUTH"})
#: Redis gave no answer, not even an error.
UNANSWERED: Final = frozenset({"SILENT", "LOST"})

_KINDS: Final = (
    "READONLY|OOM|LOADING|MISCONF|NOAUTH|WRONGPASS|NOPERM|BUSY|UNKILLABLE|MASTERDOWN|NOREPLICAS|NOSCRIPT|WRONGTYPE"
    "|CLUSTERDOWN|CROSSSLOT|MOVED|ASK|TRYAGAIN|DENIED"
)
#: The first word; or, in a script's error of Redis 6.2, the word after a dash or a colon:
#: "ERR Error running script (call to f_…): @user_script:3: @user_script: 3: -READONLY You can't write …".
_KIND: Final = re.compile(rf"^-?({_KINDS})\b|(?:-|: )({_KINDS}) ")
#: What an ACL forbids to a script has no class of its own: "ERR The user executing the script can't run this command …".
_FORBIDDEN_TO_SCRIPT: Final = "The user executing the script can't"
_SCRIPT_LINE: Final = re.compile(r"@user_script: ?(\d+)")
_CALL: Final = re.compile(r"redis\.call\('(\w+)'")

#: How a reply begins that an operator has to mend: its kind, and what to say instead. No colon stands behind a setting that
#: names a secret: the log would take what follows for the secret.
_WRONG_SETTINGS: Final = {
    "NOAUTH": ("NOAUTH", "REDIS_URL (or REDIS_PASSWORD): Redis asks for a password, and none is set"),
    "WRONGPASS": ("WRONGPASS", "REDIS_URL (or REDIS_PASSWORD): Redis refuses the user or the password"),
    "ERR AUTH <password> called without": ("ERR", "REDIS_URL (or REDIS_PASSWORD): a password is set, and this Redis has none"),
    "ERR DB index": ("ERR", "REDIS_URL: this Redis has no database of that number"),
    "ERR SELECT is not allowed": ("ERR", "REDIS_URL: this Redis is a cluster: leave out the number of a database"),
    "DENIED": ("DENIED", "REDIS_URL: this Redis is in protected mode: it takes connections from its own machine only"),
}


class RedisUnavailable(StoreUnavailable):
    """Redis did not do it. ``kind`` is the class of its error, or one of ours:

    AWAY (not connected), SILENT (no answer in time), LOST (the connection was cut), ELSEWHERE (another Redis answers than the
    one that was meant), PROTOCOL (what answers is no Redis).
    """

    def __init__(self, kind: str, detail: str) -> None:
        super().__init__(f"Redis ({kind}): {detail}")
        self.kind = kind
        self.detail = detail


class RedisMisconfigured(RedisUnavailable, StoreMisconfigured):
    """Redis answers and refuses what REDIS_URL says. ``detail`` names the setting, and nothing of its value."""

    def __init__(self, kind: str, detail: str) -> None:
        super().__init__(kind, detail)
        self.args = (detail,)


class RedisUnusable(Exception):
    """Redis can be reached, or could be started, and is not one that this program can use: one line for the operator."""


class RedisHasNoSpace(StoreUnavailable):
    """The disk of the embedded Redis is full: one line for the operator. It may pass, so a start may be tried again."""


def reply_error(reply: str) -> RedisUnavailable:
    """The error that a reply means."""
    for beginning, (kind, words) in _WRONG_SETTINGS.items():
        if reply.startswith(beginning):
            return RedisMisconfigured(kind, words)
    if _FORBIDDEN_TO_SCRIPT in reply:
        return RedisUnavailable("NOPERM", reply)
    found = _KIND.search(reply)
    return RedisUnavailable((found[1] or found[2]) if found else "ERR", reply)


def describe(trouble: Exception) -> str:
    """What a log line says of a failure."""
    if isinstance(trouble, RedisMisconfigured):
        return trouble.detail
    if isinstance(trouble, RedisUnavailable):
        return f"{trouble.kind}: {trouble.detail}"
    return str(trouble) or type(trouble).__name__


def forbidden_calls(detail: str, script: str) -> str:
    """The commands on the line of a script where Redis forbade something, which its error does not name: "ZADD, HSET"."""
    found = _SCRIPT_LINE.search(detail)
    source_lines = script.splitlines()
    if found is None or not 0 < int(found[1]) <= len(source_lines):
        return ""
    return ", ".join(_CALL.findall(source_lines[int(found[1]) - 1]))
