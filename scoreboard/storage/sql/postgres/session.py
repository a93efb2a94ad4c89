"""PostgreSQL session: opened with our settings and deadlines, and interruptible by another thread.

Every step has a deadline. The settings are sent in the startup packet. A connection pooler in between (PgBouncer in transaction
mode) gives each transaction another session, so settings and prepared statements do not last. We notice it by the process id,
which differs between login and session. Each transaction then sets its own parameters (``local_settings``); we prepare nothing.
"""

from __future__ import annotations

import contextlib
import os
import socket
from collections.abc import Mapping
from functools import partial
from threading import Lock
from typing import Any, Final

import psycopg
from psycopg import pq
from psycopg.conninfo import conninfo_to_dict
from sqlalchemy import Engine, create_engine, event
from sqlalchemy.exc import DisconnectionError
from sqlalchemy.pool import QueuePool

from scoreboard.domain.errors import StoreMisconfigured
from scoreboard.storage.sql.postgres.pipeline import make_trip
from scoreboard.storage.sql.postgres.refusal import LoginReasons
from scoreboard.storage.sql.postgres.statements import AWARD_LOCK_MS_MAX, IDLE_MS_MAX, LOCK_MS_MAX
from scoreboard.storage.sql.thread_worker import StoreSilent

CONNECT_SECONDS_MAX: Final = 2
STATEMENT_MS_MAX: Final = 2_000

#: The writer finds all rows by key. For an empty table, the best plan is a full scan. A prepared statement would keep that plan
#: while the table grows (measured: 1.6 ms for a batch became 26 ms).
WRITER_SETTINGS: Final[Mapping[str, str]] = {
    "lock_timeout": str(AWARD_LOCK_MS_MAX),
    "plan_cache_mode": "force_generic_plan",
    "enable_seqscan": "off",
    "enable_hashjoin": "off",
    "enable_mergejoin": "off",
    "enable_material": "off",
}
#: CommitOrder reads pages in the order of an index. The statistics lack the newest rows, so the planner expects few of them.
#: For every page PostgreSQL would read and sort all rows that remain (measured: 4,000 entries read for a page of 500).
FOLLOWER_SETTINGS: Final[Mapping[str, str]] = {"enable_bitmapscan": "off", "enable_sort": "off", "enable_seqscan": "off"}
#: PgBouncer's answer to settings in the startup packet. PgBouncer does not translate it.
_NO_OPTIONS: Final = "unsupported startup parameter"
#: psycopg's message about a host name, which may be a part of the password.
_NO_HOST: Final = "failed to resolve host"
_BAD_HOST: Final = "the host in DATABASE_URL is not known (a password with @, /, # or ? has to be percent-encoded)"
# Acknowledged awards depend on it. Any other value than 'off' is the operator's choice.
_KEEP_COMMITS: Final = "set_config('synchronous_commit', replace(current_setting('synchronous_commit'), 'off', 'on'), {local})"
_GREETING: Final = (
    f"SELECT pg_backend_pid(), current_setting('statement_timeout') <> '0', {_KEEP_COMMITS.format(local='false')}".encode()
)


class PostgresSession(psycopg.Connection[tuple[Any, ...]]):
    """A connection that another thread can interrupt, and that knows whether a pooler stands in between."""

    def __init__(self, pgconn: pq.abc.PGconn, *args: Any, **named: Any) -> None:
        super().__init__(pgconn, *args, **named)
        #: The settings that every transaction has to begin with; None if the session keeps its settings.
        self.local_settings: str | None = None
        self._ending = Lock()

    @property
    def pooled(self) -> bool:
        """Whether the next transaction may run in another session."""
        return self.local_settings is not None

    def close(self) -> None:
        """Close the connection; PostgreSQL rolls back its transaction."""
        with self._ending:  # `interrupt` must not shut a descriptor that was closed here and reused
            super().close()

    def interrupt(self) -> None:
        """Shut down the socket, which ends the wait of the thread that uses it. Any thread may call this."""
        with self._ending, contextlib.suppress(OSError, psycopg.Error):
            if not self.closed:
                with socket.socket(fileno=os.dup(self.fileno())) as reader:
                    reader.shutdown(socket.SHUT_RDWR)

    def is_open(self) -> bool:
        """Whether an idle connection is open, as far as the socket shows. Sends nothing and waits for nothing."""
        try:
            self.pgconn.consume_input()  # the server's last message
            self.pgconn.consume_input()  # and the end of the stream
        except psycopg.Error:
            return False
        return self.pgconn.status == pq.ConnStatus.OK


def connect(
    conninfo: str, statement_ms_max: int, settings: Mapping[str, str] | None = None, reasons: LoginReasons | None = None
) -> PostgresSession:
    """Open a session. The login, each lock and each statement have a deadline in it, and a peer that vanished is noticed.

    Raises StoreSilent if nothing answers in 2 s, StoreMisconfigured for a refusal that an operator has to mend (with
    ``reasons``), else psycopg.Error.
    """
    wanted = {
        "timezone": "UTC",
        "statement_timeout": str(statement_ms_max),
        "lock_timeout": str(LOCK_MS_MAX),
        "idle_in_transaction_session_timeout": str(IDLE_MS_MAX),
        "jit": "off",  # to compile a query of 5 ms takes 150 ms
        **(settings or {}),
    }
    given = str(conninfo_to_dict(conninfo).get("options") or os.environ.get("PGOPTIONS", ""))
    options = " ".join([given, *(f"-c {name}={value}" for name, value in wanted.items())]).strip()
    try:
        session = _log_in(conninfo, options, given)
    except psycopg.errors.ConnectionTimeout as error:
        raise StoreSilent(f"the ledger cannot be reached: no connection to PostgreSQL in {CONNECT_SECONDS_MAX} s") from error
    except psycopg.OperationalError as error:
        wrong = reasons and reasons.find(str(error), options)
        raise wrong or error from None
    except UnicodeError as error:  # Python's resolver, for a name in PGHOST; that of DATABASE_URL was checked
        raise StoreMisconfigured("DATABASE_URL (or DB_HOST): no resolver takes the name of the host") from error
    try:
        _greet(session, wanted)
    except BaseException:
        session.close()
        raise
    return session


def _log_in(conninfo: str, options: str, given: str) -> PostgresSession:
    try:
        return _opened(conninfo, options)
    except psycopg.OperationalError as error:
        said = str(error)
        if _NO_OPTIONS in said:
            return _opened(conninfo, given)
        if said.startswith(_NO_HOST):
            raise psycopg.OperationalError(_BAD_HOST) from None
        raise


def _opened(conninfo: str, options: str) -> PostgresSession:
    return PostgresSession.connect(
        conninfo,
        autocommit=True,
        client_encoding="utf8",
        application_name="scoreboard",
        connect_timeout=CONNECT_SECONDS_MAX,
        tcp_user_timeout=5_000,
        keepalives_idle=10,
        keepalives_interval=5,
        keepalives_count=3,
        options=options,
    )


def _greet(session: PostgresSession, settings: Mapping[str, str]) -> None:
    """Ask once, with a deadline, whether a pooler stands in between and whether the session has its settings."""
    pgconn = session.pgconn
    (greeting,) = make_trip(pgconn, [partial(pgconn.send_query_params, _GREETING, None)], 1_000 * CONNECT_SECONDS_MAX)
    ours = int(greeting.get_value(0, 0) or b"0") == pgconn.backend_pid and greeting.get_value(0, 1) == b"t"
    if not ours:
        configs = [f"set_config('{name}', '{value}', true)" for name, value in settings.items()]
        session.local_settings = f"SELECT {', '.join([*configs, _KEEP_COMMITS.format(local='true')])}"
        session.prepare_threshold = None


def engine(conninfo: str, statement_ms_max: int, settings: Mapping[str, str] | None = None, *, explain: bool = False) -> Engine:
    """A SQLAlchemy engine of one connection, for the portable queries and the migrations.

    With ``explain`` a refused login is repeated to find its reason.
    """
    reasons = LoginReasons(conninfo, CONNECT_SECONDS_MAX) if explain else None
    made = create_engine(
        "postgresql+psycopg://",
        creator=partial(connect, conninfo, statement_ms_max, settings, reasons),
        poolclass=QueuePool,
        pool_size=1,
        max_overflow=0,
        hide_parameters=True,
    )

    def check(session: PostgresSession, *_: object) -> None:
        if not session.is_open():
            raise DisconnectionError  # then the pool opens another

    event.listen(made, "checkout", check)
    return made
