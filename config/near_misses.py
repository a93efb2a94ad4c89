"""Near misses: names that are no setting, and the setting that an operator probably meant. A leaf."""

from __future__ import annotations

from collections.abc import Collection
from difflib import get_close_matches
from typing import Final

#: Python's ratio of equal characters. JWT_SECRT has 0.95, DB_USERNAME 0.78; REDIS_SERVICE_PORT, which Kubernetes sets, has 0.71.
_RATIO_MIN: Final = 0.76
#: Names that other programs use for the same thing, too far from ours to be found by their letters.
_OTHER_NAMES: Final = {
    "ACTION_SECRET": "ACTION_SIGNATURE_SECRET",
    "ACTION_SIGNATURE_SECRETS": "ACTION_SIGNATURE_SECRETS_OLD",
    "ALLOWED_ORIGINS": "CORS_ORIGIN",
    "DATABASE_HOST": "DB_HOST",
    "DATABASE_NAME": "DB_NAME",
    "DATABASE_PASSWORD": "DB_PASSWORD",
    "DATABASE_PORT": "DB_PORT",
    "DATABASE_USER": "DB_USER",
    "DATADIR": "SCOREBOARD_DATA_DIR",
    "DB_DATABASE": "DB_NAME",
    "DB_PWD": "DB_PASSWORD",
    "DB_URI": "DATABASE_URL",
    "DB_URL": "DATABASE_URL",
    "JWT_EXPIRES": "JWT_EXPIRATION",
    "JWT_EXPIRES_IN": "JWT_EXPIRATION",
    "JWT_SECRETS": "JWT_SECRETS_OLD",
    "JWT_TTL": "JWT_EXPIRATION",
    "METRICS_PASSWORD": "METRICS_TOKEN",
    "POSTGRES_URL": "DATABASE_URL",
    "REDIS_DSN": "REDIS_URL",
    "REDIS_URI": "REDIS_URL",
    "WS_PORT": "WEBSOCKET_PORT",
}
#: Names that PostgreSQL and its image read.
_FOREIGN: Final = ("PG", "POSTGRES")
_PREFIX: Final = "SCOREBOARD_"
#: A name as short as PORT is near to many others (REPORT, SORT), so only its letters in another order, or one more, are near.
_SHORT: Final = 5


def likely_name(name: str, known: Collection[str]) -> str | None:
    """The setting that a wrong name probably means, or None. A name that is known is no wrong name."""
    if name in known:
        return None
    upper = name.upper().replace("-", "_").replace(".", "_")
    bare = upper.removeprefix(_PREFIX)
    for spelled in (upper, bare, _PREFIX + bare, bare.removesuffix("_FILE")):
        if spelled in known:
            return spelled
    joined = {one.replace("_", ""): one for one in known}
    by_words = {_words(one): one for one in known}
    found = joined.get(upper.replace("_", "")) or joined.get(bare.replace("_", "")) or _OTHER_NAMES.get(bare)
    found = found or by_words.get(_words(bare))
    if found is not None and found in known:
        return found
    return None if upper.startswith(_FOREIGN) else _by_letters(upper, known) or _by_letters(bare, known)


def _words(name: str) -> tuple[str, ...]:
    """The words of a name in one order and number: JWT_SECRET_OLD has those of JWT_SECRETS_OLD, MAX_SOCKETS of SOCKETS_MAX."""
    return tuple(sorted(word.removesuffix("S") for word in name.split("_")))


def _by_letters(name: str, known: Collection[str]) -> str | None:
    shortened = [one for one in known if "_" in name and one.startswith(name)]
    if len(shortened) == 1:
        return shortened[0]
    for one in known:
        if len(one) <= _SHORT and (sorted(one) == sorted(name) or (name.startswith(one) and len(name) == len(one) + 1)):
            return one
    close = get_close_matches(name, [one for one in known if len(one) > _SHORT], cutoff=_RATIO_MIN)
    return next((one for one in close if name.startswith(one)), close[0] if close else None)
