"""Values made from the settings, and the sources of time and of random ids that the other packages get as arguments."""

from __future__ import annotations

import secrets
import time
import uuid
from collections.abc import Callable, Sequence
from typing import Final

from pydantic import SecretStr
from twisted.logger import Logger

from config import BadSettings
from config.settings import Settings
from scoreboard.domain.grants import Keyring, keyring
from scoreboard.domain.limits import Limit
from scoreboard.net.limits import LiveLimits
from scoreboard.service.descriptors import Capacity, TooFewDescriptors, fitted, raise_limit
from scoreboard.storage.redis.paths import EmbeddedRedisPaths
from scoreboard.web.authenticator import JwtAuthenticator
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
    settings: Settings, is_suspended: Callable[[str], bool], signing_ring: Callable[[], Keyring] | None = None
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
    )


def redis_url(settings: Settings) -> str:
    """The URL of the operator's Redis, or of the embedded one."""
    return settings.redis_url.get_secret_value() if settings.redis_url is not None else EmbeddedRedisPaths(settings.data_dir).url


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
            warn=lambda trouble: log.warn("{trouble}", trouble=trouble),
        )
    except TooFewDescriptors as trouble:
        raise BadSettings(str(trouble)) from None


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


def live_limits(settings: Settings, capacity: Capacity) -> LiveLimits:
    """The limits of live connections."""
    return LiveLimits(
        origins=settings.cors_origins,
        sockets_max=capacity.sockets_max,
        handshaking_max=capacity.handshaking_max,
        sockets_per_address_max=settings.sockets_per_address_max,
        events_per_second_max=settings.socket_events_per_second_max,
    )
