"""Values made from the settings, and the sources of time and of random ids that the other packages get as arguments."""

from __future__ import annotations

import secrets
import time
import uuid
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, Final

from pydantic import SecretStr
from twisted.logger import Logger

from config import BadSettings
from config.boards import load_boards
from config.catalogue import load_catalogue
from config.settings import Settings
from scoreboard.boundaries.health import Meter
from scoreboard.domain.boards import BoardDefinition
from scoreboard.domain.grants import Keyring, keyring
from scoreboard.domain.limits import Limit
from scoreboard.domain.rules import ActionRule
from scoreboard.metrics import Metrics
from scoreboard.net.limits import LiveLimits
from scoreboard.service.descriptors import Capacity, TooFewDescriptors, fitted, raise_limit
from scoreboard.storage.redis.client import RedisClient
from scoreboard.storage.redis.errors import RedisUnusable
from scoreboard.storage.redis.paths import EmbeddedRedisPaths
from scoreboard.storage.sql.urls import require_directory
from scoreboard.web.authenticator import JwtAuthenticator
from scoreboard.web.metrics_access import MetricsAccess
from scoreboard.web.request_guard import Limits

#: Limits of an address at routes without a token. A load balancer asks twice a second; a page has some twenty files.
PROBES: Final = Limit(name="probes", quota=10, window_ms=1_000, policy="bucket")
PAGES: Final = Limit(name="pages", quota=300, window_ms=5_000, policy="bucket")


def now_ms() -> int:
    """The wall clock, for times that are signed, stored or shown, and for the ends of tokens and actions; never for durations."""
    return time.time_ns() // 1_000_000


def new_id() -> str:
    """A new version-4 UUID in its canonical spelling."""
    return str(uuid.uuid4())


def new_sid() -> str:
    """The id of a session, which is also its secret: 144 random bits."""
    return secrets.token_urlsafe(18)


def action_ring(settings: Settings) -> Keyring:
    """The keys of signed actions: the one that signs, and the older ones that still verify."""
    return _ring(settings.action_signature_secret, settings.action_signature_secrets_old)


def token_ring(settings: Settings) -> Keyring:
    """The keys of tokens: the one that signs, and the older ones that still verify."""
    return _ring(settings.jwt_secret, settings.jwt_secrets_old)


def _ring(current: SecretStr, older: Sequence[SecretStr]) -> Keyring:
    return keyring(current.get_secret_value().encode(), tuple(secret.get_secret_value().encode() for secret in older))


def jwt_authenticator(
    settings: Settings, is_suspended: Callable[[str], bool], meter: Meter, signing_ring: Callable[[], Keyring] | None = None
) -> JwtAuthenticator:
    """The authenticator of tokens. ``signing_ring`` gives the ring that signs, if it depends on other servers."""
    return JwtAuthenticator(
        ring=token_ring(settings),
        signing_ring=signing_ring,
        now_ms=now_ms,
        life_s_max=settings.jwt_expiration_s,
        issuer=settings.jwt_issuer,
        audience=settings.jwt_audience,
        is_suspended=is_suspended,
        meter=meter,
    )


def command_authenticator(settings: Settings) -> JwtAuthenticator:
    """The authenticator of a command that makes or explains tokens. It knows no suspensions, so a server must not use it."""
    return jwt_authenticator(settings, lambda _user_id: False, Metrics())


def catalogue(settings: Settings) -> Mapping[str, ActionRule]:
    """The rules of the actions. Raises BadSettings."""
    try:
        is_packaged = "actions_file" not in settings.model_fields_set
        return load_catalogue(settings.actions_file, settings.action_expiration_ms, is_packaged=is_packaged)
    except BadSettings as bad:
        raise BadSettings(*map(settings.in_operators_words, bad.complaints)) from None


def boards(settings: Settings, action_types: Collection[str]) -> Sequence[BoardDefinition]:
    """The boards, the global one first. Raises BadSettings."""
    try:
        return load_boards(settings.boards_file, action_types)
    except BadSettings as bad:
        raise BadSettings(*map(settings.in_operators_words, bad.complaints)) from None


def require_given_directory(settings: Settings) -> None:
    """Raise LedgerUnusable if DATABASE_URL is set and names a file in a directory that does not exist: it is a typing error.

    The data directory, which holds the ledger otherwise, is created.
    """
    if "database_url" in settings.model_fields_set:
        require_directory(settings.database_url.get_secret_value())


def redis_url(settings: Settings) -> str:
    """The URL of the operator's Redis, or of the embedded one."""
    return settings.redis_url.get_secret_value() if settings.redis_url is not None else EmbeddedRedisPaths(settings.data_dir).url


def refuse_eviction(settings: Settings, client: RedisClient) -> None:
    """Raise RedisUnusable if the Redis that answers may evict keys, in production."""
    if settings.environment == "production" and client.eviction:
        raise RedisUnusable(f"REDIS_URL (or REDIS_HOST): {client.eviction}")


def redis_client(settings: Settings, reactor: Any, meter: Meter) -> RedisClient:
    """The client of that Redis, not started. Raises RedisUnusable if the file of its certificate authorities is unusable."""
    return RedisClient(
        redis_url(settings),
        reactor,
        meter,
        refuse_eviction=settings.environment == "production",
        ca_file=settings.redis_ca_file,
        in_operators_words=settings.in_words_of_the_log,
    )


def fitted_capacity(settings: Settings) -> Capacity:
    """How many connections fit into the limit of open files. Raises BadSettings."""
    wanted = Capacity(sockets_max=settings.sockets_max, http_connections_max=settings.http_connections_max)
    promised = 0
    if settings.environment == "production":  # a limit that is only a default may be lowered
        promised = settings.sockets_max + ("http_connections_max" in settings.model_fields_set) * settings.http_connections_max
    log = Logger(namespace="scoreboard")
    try:
        return fitted(
            wanted,
            raise_limit(wanted.descriptors),
            promised=promised,
            warn=lambda trouble: log.warn("{trouble}", trouble=settings.in_words_of_the_log(trouble)),
        )
    except TooFewDescriptors as trouble:
        raise BadSettings(settings.in_operators_words(str(trouble))) from None


def limits(settings: Settings) -> Limits:
    """The limits of HTTP requests."""
    window_ms = settings.rate_limit_window_s * 1000

    def limit(name: str, quota: int, window_ms: int = window_ms) -> Limit:
        return Limit(name=name, quota=quota, window_ms=window_ms, policy=settings.rate_limit_policy)

    return Limits(
        address=limit("ip", settings.rate_limit_ip_max),
        everyone=limit("everyone", settings.rate_limit_global_max, 1_000),
        players={
            "submit": limit("submit", settings.rate_limit_max_requests),
            "initialize": limit("initialize", settings.rate_limit_initialize_max),
            "settings": limit("settings", settings.rate_limit_settings_max),
        },
        open_actions_max=settings.rate_limit_open_actions_max,
        probes=PROBES,
        pages=PAGES,
    )


def metrics_access(settings: Settings) -> MetricsAccess:
    """Who may read the metrics."""
    token = settings.metrics_token
    return MetricsAccess(None if token is None else token.get_secret_value(), settings.metrics_address)


def live_limits(settings: Settings, capacity: Capacity) -> LiveLimits:
    """The limits of live connections."""
    return LiveLimits(
        origins=settings.cors_origins,
        sockets_max=capacity.sockets_max,
        handshaking_max=capacity.handshaking_max,
        sockets_per_address_max=settings.sockets_per_address_max,
        events_per_second_max=settings.socket_events_per_second_max,
    )
