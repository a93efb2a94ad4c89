"""Redis errors: the kind of each error reply of Redis 6.2 and 7, and what it means for the caller."""

from __future__ import annotations

import re
from typing import Final

from OpenSSL import SSL
from service_identity import VerificationError

from scoreboard.domain.errors import StoreMisconfigured, StoreUnavailable

#: Redis answers reads and refuses writes: its memory is full, it cannot write its file, or its replicas are missing.
WRITES_REFUSED: Final = frozenset({"OOM", "MISCONF", "NOREPLICAS"})
#: Redis answers, and refuses a call again and again until an operator acts: how the log says it.
CALLS_REFUSED: Final = {
    "NOPERM": "Redis forbids what the server needs (REDIS_URL names the user)",
    "WRONGTYPE": "another program writes the server's keys in Redis",
}
#: The connection cannot be used any more. A new one may reach the master or a Redis that is ready, and repeats the handshake.
RECONNECT: Final = frozenset({"READONLY", "MASTERDOWN", "LOADING", "NOAUTH"})
#: Redis gave no answer, not even an error.
UNANSWERED: Final = frozenset({"SILENT", "LOST"})

_KINDS: Final = (
    "READONLY|OOM|LOADING|MISCONF|NOAUTH|WRONGPASS|NOPERM|BUSY|UNKILLABLE|MASTERDOWN|NOREPLICAS|NOSCRIPT|WRONGTYPE"
    "|CLUSTERDOWN|CROSSSLOT|MOVED|ASK|TRYAGAIN|DENIED"
)
#: The kind is the first word; in the error of a script in Redis 6.2, it is the word after a dash or a colon:
#: "ERR Error running script (call to f_…): @user_script:3: @user_script: 3: -READONLY You can't write …".
_KIND: Final = re.compile(rf"^-?({_KINDS})\b|(?:-|: )({_KINDS}) ")
#: A command that an ACL forbids to a script has no kind of its own: "ERR The user executing the script can't run this command …".
_FORBIDDEN_TO_SCRIPT: Final = "The user executing the script can't"
_SCRIPT_LINE: Final = re.compile(r"@user_script: ?(\d+)")
_CALL: Final = re.compile(r"redis\.call\('(\w+)'")

#: Error replies that an operator must act on, by their beginning: the kind, and our text. No colon follows the name of a secret
#: setting, because the log would redact the text after it.
_WRONG_SETTINGS: Final = {
    "NOAUTH": ("NOAUTH", "REDIS_URL (or REDIS_PASSWORD): Redis asks for a password, and none is set"),
    "WRONGPASS": ("WRONGPASS", "REDIS_URL (or REDIS_PASSWORD): Redis refuses the user or the password"),
    "ERR AUTH <password> called without": ("ERR", "REDIS_URL (or REDIS_PASSWORD): a password is set, and this Redis has none"),
    "ERR DB index": ("ERR", "REDIS_URL: this Redis has no database of that number"),
    "ERR SELECT is not allowed": ("ERR", "REDIS_URL: this Redis is a cluster: leave out the number of a database"),
    "DENIED": ("DENIED", "REDIS_URL: this Redis is in protected mode: it takes connections from its own machine only"),
}

#: TLS failures that an operator must act on, by a piece of OpenSSL's reason: our text.
_TLS_FAILURES: Final = {
    "certificate verify failed": "REDIS_CA_FILE: no trusted authority signed the certificate of Redis, or it is out of date",
    "wrong version number": "REDIS_URL: what answers does not speak TLS; without TLS the URL begins with redis://",
}
_OTHER_HOST: Final = "REDIS_URL: the certificate of Redis is for another host"


class RedisUnavailable(StoreUnavailable):
    """Redis did not execute a command. ``kind`` is the kind of its error, or one of ours:

    AWAY (not connected), SILENT (no answer in time), LOST (the connection was lost), ELSEWHERE (another Redis answers than
    expected), PROTOCOL (the peer does not speak Redis' protocol).
    """

    def __init__(self, kind: str, detail: str) -> None:
        super().__init__(f"Redis ({kind}): {detail}")
        self.kind = kind
        self.detail = detail


class RedisMisconfigured(RedisUnavailable, StoreMisconfigured):
    """Redis refuses what REDIS_URL says. ``detail`` names the setting, and shows nothing of its value."""

    def __init__(self, kind: str, detail: str) -> None:
        super().__init__(kind, detail)
        self.args = (detail,)


class RedisUnusable(Exception):
    """Redis answers, or could be started, and this program cannot use it. The message is one line for the operator."""


class RedisHasNoSpace(StoreUnavailable):
    """The disk of the embedded Redis is full. The message is one line for the operator; a later start may succeed."""


def reply_error(reply: str) -> RedisUnavailable:
    """The exception for an error reply."""
    for beginning, (kind, words) in _WRONG_SETTINGS.items():
        if reply.startswith(beginning):
            return RedisMisconfigured(kind, words)
    if _FORBIDDEN_TO_SCRIPT in reply:
        return RedisUnavailable("NOPERM", reply)
    found = _KIND.search(reply)
    kind = (found[1] or found[2]) if found else "ERR"
    return RedisUnavailable(kind, reply.removeprefix(f"{kind} "))


def connection_error(why: BaseException | None) -> RedisUnavailable:
    """The exception for a connection that ended because of ``why``."""
    if isinstance(why, VerificationError):
        return RedisMisconfigured("TLS", _OTHER_HOST)
    if isinstance(why, SSL.Error):
        for reason, words in _TLS_FAILURES.items():
            if reason in str(why):
                return RedisMisconfigured("TLS", words)
    return RedisUnavailable("LOST", str(why))


def describe(trouble: Exception) -> str:
    """The text of a failure for a log line."""
    if isinstance(trouble, RedisMisconfigured):
        return trouble.detail
    if isinstance(trouble, RedisUnavailable):
        return f"{trouble.kind}: {trouble.detail}"
    return str(trouble) or type(trouble).__name__


def forbidden_calls(detail: str, script: str) -> str:
    """The commands on the line of a script that an ACL forbade, as "ZADD, HSET": the error names only the line."""
    found = _SCRIPT_LINE.search(detail)
    source_lines = script.splitlines()
    if found is None or not 0 < int(found[1]) <= len(source_lines):
        return ""
    return ", ".join(_CALL.findall(source_lines[int(found[1]) - 1]))
