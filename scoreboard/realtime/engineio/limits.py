"""Settings of Engine.IO sessions: times and limits. The handshake sends those to the client that it needs."""

from __future__ import annotations

from scoreboard.domain.value import Value


class EngineSettings(Value, frozen=True, kw_only=True):
    """Times in milliseconds. A client must be accepted within ``connect_timeout_ms``; None is no limit."""

    ping_interval_ms: int = 25_000
    ping_timeout_ms: int = 20_000
    #: Size of a POST or a message. The HTTP edge must allow bodies of this size.
    max_payload_bytes: int = 16_384
    connect_timeout_ms: int | None = 10_000
    upgrade_timeout_ms: int = 10_000
    packets_per_post_max: int = 100
    #: Bytes that may wait for a client's next GET.
    queued_bytes_max: int = 262_144
