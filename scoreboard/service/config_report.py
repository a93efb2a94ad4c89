"""Report of the settings for an operator: what is in force, where it comes from, and what is wrong. No secret is shown."""

from __future__ import annotations

import errno
from collections.abc import Callable, Iterator, Mapping
from tempfile import TemporaryFile
from typing import Any

from twisted.internet.task import Clock

from config import BadSettings
from config.kept_secrets import not_writable
from config.settings import SECRETS, VARIABLES, Settings, load_settings
from scoreboard.domain.value import Value
from scoreboard.service.wiring import boards, catalogue, redis_url, require_given_directory
from scoreboard.storage.redis.connection import address
from scoreboard.storage.redis.errors import RedisUnusable
from scoreboard.storage.sql.errors import LedgerUnusable
from scoreboard.storage.sql.urls import location, require_regular, require_writable, sqlite_file


class SettingInForce(Value, frozen=True, kw_only=True):
    """One setting: its value in words, and where the value comes from."""

    name: str
    value: str
    source: str


class ConfigReport(Value, frozen=True, kw_only=True):
    """``settings`` is empty if there are ``complaints``: then no server starts. ``remarks`` are what was probably not meant."""

    settings: tuple[SettingInForce, ...] = ()
    complaints: tuple[str, ...] = ()
    remarks: tuple[str, ...] = ()


def report_settings(environ: Mapping[str, str], secrets_in: Callable[[Any], dict[str, str]]) -> ConfigReport:
    """The report for this environment. It opens no store."""
    try:
        settings = load_settings(environ, secrets_in)
    except BadSettings as bad:
        return ConfigReport(complaints=bad.complaints)
    complaints = tuple(dict.fromkeys(_complaints(settings)))
    in_force = () if complaints else tuple(_in_force(settings, name) for name in VARIABLES)
    return ConfigReport(settings=in_force, complaints=complaints, remarks=tuple(settings.remarks()))


def _complaints(settings: Settings) -> Iterator[str]:
    """What a start would refuse in the files and addresses that the settings name."""
    for check in (_check_files, _check_ledger, _check_redis, _check_data_directory):
        try:
            check(settings)
        except BadSettings as bad:
            yield from bad.complaints
        except (LedgerUnusable, RedisUnusable) as unusable:
            yield settings.in_operators_words(str(unusable))


def _check_files(settings: Settings) -> None:
    boards(settings, catalogue(settings))


def _check_ledger(settings: Settings) -> None:
    url = settings.database_url.get_secret_value()
    location(url)
    require_given_directory(settings)
    require_regular(url)
    require_writable(url)


def _check_redis(settings: Settings) -> None:
    address(redis_url(settings), Clock(), settings.redis_ca_file)


def _check_data_directory(settings: Settings) -> None:
    """Raise BadSettings if the server needs the directory and cannot write into it. No file remains."""
    ledger = sqlite_file(settings.database_url.get_secret_value())
    has_ledger = ledger is not None and settings.data_dir in ledger.absolute().parents
    if settings.redis_url is not None and not has_ledger and not settings.has_made_secrets:
        return
    directory = next(path for path in (settings.data_dir, *settings.data_dir.parents) if path.exists())
    try:
        with TemporaryFile(dir=directory):
            pass
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):  # it may pass
            return
        raise BadSettings(settings.in_operators_words(str(not_writable(directory, error)))) from None


def _in_force(settings: Settings, name: str) -> SettingInForce:
    value: Any = settings.value_of(name)
    if name == "DATABASE_URL":
        words = location(value.get_secret_value())
    elif name == "REDIS_URL":
        words = "a Redis of its own" if value is None else f"Redis at {address(value.get_secret_value(), Clock()).said}"
    elif value is None or value == ():
        words = "none"
    elif name in SECRETS:
        words = "(hidden)"
    else:
        words = ",".join(map(str, value)) if isinstance(value, tuple) else str(value)
    return SettingInForce(name=name, value=words.lower() if isinstance(value, bool) else words, source=settings.source_of(name))
