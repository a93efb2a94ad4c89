"""What the settings mean to the rooms: values made from them, and the clocks and dice that the rooms are handed."""

from __future__ import annotations

import secrets
import time
import uuid
from collections.abc import Sequence
from typing import Final

from pydantic import SecretStr

from config.settings import Settings
from scoreboard.domain.grants import Keyring, keyring
from scoreboard.domain.limits import Limit
from scoreboard.net.limits import LiveLimits
from scoreboard.service.descriptors import Capacity
from scoreboard.web.request_guard import Limits

#: An address at routes that need no token. A balancer asks twice a second; a page is some twenty files.
PROBES: Final = Limit(name="probes", quota=10, window_ms=1_000, policy="bucket")
PAGES: Final = Limit(name="pages", quota=300, window_ms=5_000, policy="bucket")


def now_ms() -> int:
    """The wall clock: for what is signed, stored or shown, and for the ends of tokens and actions. Durations are monotonic."""
    return time.time_ns() // 1_000_000


def new_id() -> str:
    """A fresh version-4 UUID in its one spelling."""
    return str(uuid.uuid4())


def new_sid() -> str:
    """A session's id, which is also what proves whose it is: 144 random bits."""
    return secrets.token_urlsafe(18)


def ring(current: SecretStr, older: Sequence[SecretStr]) -> Keyring:
    """The secret that signs, and those that still verify."""
    return keyring(current.get_secret_value().encode(), tuple(secret.get_secret_value().encode() for secret in older))


def limits(settings: Settings) -> Limits:
    """How often anybody may do anything over HTTP."""
    window_ms = settings.rate_limit_window_s * 1000

    def limit(name: str, quota: int, window_ms: int = window_ms) -> Limit:
        return Limit(name=name, quota=quota, window_ms=window_ms, policy=settings.rate_limit_policy)

    return Limits(
        address=limit("ip", settings.rate_limit_ip_max),
        everyone=limit("everyone", settings.rate_limit_global_max, 1_000),
        submit=limit("submit", settings.rate_limit_max_requests),
        initialize=limit("initialize", settings.rate_limit_initialize_max),
        settings=limit("settings", settings.rate_limit_settings_max),
        open_actions_max=settings.rate_limit_open_actions_max,
        probes=PROBES,
        pages=PAGES,
    )


def live_limits(settings: Settings, capacity: Capacity) -> LiveLimits:
    """How much a socket, and all of them together, may ask for."""
    return LiveLimits(
        origins=settings.cors_origins,
        sockets_max=capacity.sockets_max,
        handshaking_max=capacity.handshaking_max,
        sockets_per_address_max=settings.sockets_per_address_max,
        events_per_second_max=settings.socket_events_per_second_max,
    )
