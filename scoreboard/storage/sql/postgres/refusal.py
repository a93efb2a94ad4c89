"""Diagnosis of a refused login: the reason by the SQLSTATE of PostgreSQL's answer, which libpq shows only in its trace.

The text of the answer depends on the server's language, and may repeat what an operator wrote by mistake; so it is never shown.
"""

from __future__ import annotations

import os
import re
import select
import time
from typing import Final

import psycopg
from psycopg import pq
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from scoreboard.domain.errors import StoreMisconfigured

#: For how many seconds a reason that was found stands for its refusal.
REASON_STANDS_S: Final = 10.0
#: An unknown parameter, a wrong value, an argument that is none, a parameter that only a restart changes.
_OPTION_REFUSED: Final = ("42704", "22023", "42601", "55P02")
_FOUND: Final = re.compile(rb'ErrorResponse\s.*? C "(\w{5})"')


class LoginReasons:
    """The reasons of refused logins that an operator has to mend. One that was found stands for ten seconds for its refusal."""

    def __init__(self, conninfo: str, seconds_max: float) -> None:
        self._conninfo, self._seconds_max = conninfo, seconds_max
        self._refusal, self._reason, self._until_s = "", "", 0.0

    def find(self, refusal: str, options: str) -> StoreMisconfigured | None:
        """The reason of a refusal with this text, or None if an operator need not mend it. May log in once more."""
        if refusal != self._refusal or time.monotonic() >= self._until_s:
            found = diagnose(self._conninfo, options, self._seconds_max)
            self._refusal, self._reason = refusal, "" if found is None else str(found)
            self._until_s = time.monotonic() + REASON_STANDS_S
        return StoreMisconfigured(self._reason) if self._reason else None


def diagnose(conninfo: str, options: str, seconds_max: float) -> StoreMisconfigured | None:
    """The error that an operator has to mend, or None if the refusal has another reason. It logs in once more, with a trace."""
    sqlstate, needs_password = _refusal(make_conninfo(conninfo, options=options), seconds_max)
    named = conninfo_to_dict(conninfo)
    given = "DATABASE_URL: its options" if "options" in named else "PGOPTIONS" if os.environ.get("PGOPTIONS") else ""
    if given and sqlstate in _OPTION_REFUSED:
        return StoreMisconfigured(f"{given} set a parameter that PostgreSQL does not know, or a value that it does not accept")
    user, database = named.get("user"), named.get("dbname") or named.get("user")
    setting, wrong = {
        "28P01": ("DB_PASSWORD", f"the password of user {user!r} is wrong"),
        "28000": ("DB_USER", f"user {user!r} does not exist, or may not log in to database {database!r} from here (pg_hba.conf)"),
        "3D000": ("DB_NAME", f"database {database!r} does not exist"),
        "42501": (
            "DB_USER",
            f"user {user!r} may not connect to database {database!r}{', or set what its options name' if given else ''}",
        ),
    }.get(sqlstate, ("DB_PASSWORD", f"user {user!r} needs a password" if needs_password else ""))
    return StoreMisconfigured(f"DATABASE_URL (or {setting}): {wrong}") if wrong else None


def _refusal(conninfo: str, seconds_max: float) -> tuple[str, bool]:
    """(the SQLSTATE of the refusal, "" if the server gave none; whether a password was missing)."""
    until_s = time.monotonic() + seconds_max
    trace = os.memfd_create("scoreboard-login")  # the trace may hold a password, so it stays in memory
    pgconn = pq.PGconn.connect_start(conninfo.encode())
    try:
        if pgconn.status == pq.ConnStatus.BAD:
            return "", False
        pgconn.trace(trace)
        pgconn.set_trace_flags(pq.Trace.SUPPRESS_TIMESTAMPS)
        _poll(pgconn, until_s)
        pgconn.untrace()  # flushes the trace
        found = _FOUND.findall(os.pread(trace, 65_536, 0))
        return (found[-1].decode() if found else ""), pgconn.needs_password
    except psycopg.Error:
        return "", False
    finally:
        pgconn.finish()
        os.close(trace)


def _poll(pgconn: pq.abc.PGconn, until_s: float) -> None:
    """Wait until libpq has connected or was refused, or the time is over."""
    waits = {pq.PollingStatus.READING: select.POLLIN, pq.PollingStatus.WRITING: select.POLLOUT}
    while (wait := waits.get(pq.PollingStatus(pgconn.connect_poll()))) is not None:
        poller = select.poll()
        poller.register(pgconn.socket, wait)
        left_ms = int(1_000 * (until_s - time.monotonic()))
        if left_ms <= 0 or not poller.poll(left_ms):
            return
