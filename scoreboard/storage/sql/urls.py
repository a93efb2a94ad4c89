"""URLs of the ledger: which file or database a URL names, and how messages for an operator name it.

A URL may hold a password, so no message repeats it: messages name the setting, and the file or the database.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import psycopg
from psycopg.conninfo import conninfo_to_dict

from scoreboard.domain.errors import StoreUnavailable
from scoreboard.file_errors import why_not_written
from scoreboard.storage.sql.errors import LedgerUnusable, TargetUnusable

#: The values of libpq's options that it checks only when it connects (PostgreSQL's manual, 34.1.2). Others are whole numbers.
_CHOICES: Final = {
    "sslmode": ("disable", "allow", "prefer", "require", "verify-ca", "verify-full"),
    "channel_binding": ("disable", "prefer", "require"),
    "gssencmode": ("disable", "prefer", "require"),
    "target_session_attrs": ("any", "read-write", "read-only", "primary", "standby", "prefer-standby"),
}
_NUMBERS: Final = (
    "connect_timeout",
    "keepalives",
    "keepalives_idle",
    "keepalives_interval",
    "keepalives_count",
    "tcp_user_timeout",
)
#: Files that libpq reads at each connection.
_FILES: Final = ("sslcert", "sslkey", "sslrootcert", "sslcrl", "passfile")
_PORT_MAX: Final = 65_535
_FILE_SETTINGS: Final = "DATABASE_URL (or SCOREBOARD_DATA_DIR)"
_SERVER_SETTINGS: Final = "DATABASE_URL (or DB_HOST)"


def parse(url: str) -> Path | str:
    """The SQLite file that a URL names, or the libpq conninfo of a database. Raises LedgerUnusable for any other URL."""
    if url.startswith("sqlite:///"):
        path = url.removeprefix("sqlite:///")
        if not path or path.startswith(":memory:"):
            raise LedgerUnusable("DATABASE_URL: a ledger in memory would not be durable: name a file, sqlite:////path/to/file")
        if "?" in path:
            raise LedgerUnusable(
                "DATABASE_URL: a SQLite URL takes no options: leave out what begins with '?', for example sqlite:////path/to/file"
            )
        return Path(path)
    conninfo = re.sub(r"\Apostgres(ql)?(\+psycopg)?://", "postgresql://", url)
    options = _options(conninfo)
    if options is None:
        if _options(conninfo.partition("?")[0]) is not None:
            raise LedgerUnusable(
                "DATABASE_URL: what follows '?' should be options that PostgreSQL's client knows, for example ?sslmode=require"
            )
        raise LedgerUnusable("DATABASE_URL should be like postgresql://user:password@host:5432/name or sqlite:////path/to/file")
    _check_options(options)
    return conninfo


def _check_options(options: Mapping[str, object]) -> None:
    """Raise LedgerUnusable for a value with which libpq would fail at each connection, as if the database were away."""
    for host in str(options.get("host") or "").split(","):
        if not _is_host(host):
            raise LedgerUnusable(
                "DATABASE_URL (or DB_HOST): a host's name has 1 to 63 characters between two dots, as db.example.com"
            )
    for port in str(options.get("port") or "").split(","):
        if re.fullmatch(r"[0-9]{0,5}", port, re.ASCII) is None or not 1 <= int(port or 1) <= _PORT_MAX:
            raise LedgerUnusable(f"DATABASE_URL: port should be a whole number from 1 to {_PORT_MAX}, for example 5432")
    for name in _FILES:
        if (file := str(options.get(name) or "")) not in ("", os.devnull) and _exists(Path(file)) and not Path(file).is_file():
            raise LedgerUnusable(
                f"DATABASE_URL: {name} should name a regular file, for example {name}=/etc/scoreboard/{name}.pem"
            )
    for name, choices in _CHOICES.items():
        if name in options and options[name] not in choices:
            raise LedgerUnusable(f"DATABASE_URL: {name} should be one of {', '.join(choices)}, for example {name}={choices[-1]}")
    for name in _NUMBERS:
        if re.fullmatch(r"-?[0-9]{1,9}", str(options.get(name, 0)), re.ASCII) is None:
            raise LedgerUnusable(f"DATABASE_URL: {name} should be a whole number, for example {name}=10")


def _is_host(name: str) -> bool:
    """Whether Python's resolver takes the name, which raises UnicodeError for others, or libpq takes it for a socket's."""
    try:
        name.encode("idna")
    except UnicodeError:
        return name.startswith(("/", "@"))
    return True


def _options(url: str) -> Mapping[str, object] | None:
    """The options in a URL of PostgreSQL, or None if libpq cannot read it."""
    try:
        return conninfo_to_dict(url) if url.startswith("postgresql://") else None
    except psycopg.Error:
        return None


def sqlite_file(url: str) -> Path | None:
    """The file that a URL names; None for a ledger in PostgreSQL. Raises LedgerUnusable for any other URL."""
    database = parse(url)
    return database if isinstance(database, Path) else None


def location(url: str) -> str:
    """The file or the database that a URL names, in words and without a password. Raises LedgerUnusable for any other URL."""
    database = parse(url)
    if isinstance(database, Path):
        return f"file {database}"
    given = conninfo_to_dict(database)
    name = given.get("dbname") or given.get("user") or given.get("service")
    port = f" port {given['port']}" if given.get("port") else ""
    return f"database {name!r} at {given.get('host') or given.get('hostaddr') or 'localhost'}{port}"


@contextmanager
def ledger_named(url: str) -> Iterator[None]:
    """LedgerUnusable and StoreUnavailable that are raised inside name the setting, and the file or the database."""
    try:
        yield
    except (LedgerUnusable, StoreUnavailable) as trouble:
        raise type(trouble)(said_of_ledger(url, trouble)) from trouble


def said_of_ledger(url: str, trouble: LedgerUnusable | StoreUnavailable) -> str:
    """The message of the trouble, which names the setting, and the file or the database."""
    said = str(trouble)
    if "DATABASE_URL" in said or isinstance(trouble, TargetUnusable):  # the ledger is not at fault for a target
        return said
    return f"{_named(url, said)}: {said}"


def _named(url: str, said: str) -> str:
    """The settings, and the file or the database unless the message names it."""
    path = sqlite_file(url)
    if path is not None and str(path) in said:
        return _FILE_SETTINGS
    return f"{_SERVER_SETTINGS if path is None else _FILE_SETTINGS}, {location(url)}"


def require_regular(url: str) -> None:
    """Raise LedgerUnusable if the ledger is a SQLite file, and a pipe or a device is in its place."""
    path = sqlite_file(url)
    if path is not None and _exists(path) and not path.is_file() and not path.is_dir():
        raise LedgerUnusable(f"{_FILE_SETTINGS}: {path} should be a regular file")


def require_writable(url: str) -> None:
    """Raise LedgerUnusable if the ledger is a SQLite file that this user may only read. SQLite notices it at the first award."""
    path = sqlite_file(url)
    if path is not None and _exists(path) and not os.access(path, os.W_OK):
        raise LedgerUnusable(f"{_FILE_SETTINGS}: {path} is not writable for the user that runs the server")


def require_file(url: str) -> None:
    """Raise LedgerUnusable if the ledger is a SQLite file that does not exist: the command may run in a wrong directory."""
    path = sqlite_file(url)
    if path is not None and not _exists(path):
        raise LedgerUnusable(
            f"no ledger at {path}: run the command where the server runs, "
            "or set DATABASE_URL or SCOREBOARD_DATA_DIR as the server's are"
        )


def require_directory(url: str) -> None:
    """Raise LedgerUnusable if the ledger is a SQLite file whose directory does not exist."""
    path = sqlite_file(url)
    if path is not None and not (_exists(path.parent) and path.parent.is_dir()):
        raise LedgerUnusable(
            f"DATABASE_URL (or SCOREBOARD_DATA_DIR): there is no directory {path.parent} for the ledger {path.name}: "
            "make it, or correct the setting"
        )


def _exists(path: Path) -> bool:
    try:
        return path.exists()
    except OSError as error:  # we may not enter a directory above it
        raise LedgerUnusable(f"{_FILE_SETTINGS}: {path}: {why_not_written(error)}") from error
