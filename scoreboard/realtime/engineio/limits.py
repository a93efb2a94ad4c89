"""How an Engine.IO session is held: its rhythm, and how much it may ask of us. The handshake tells a client what concerns it."""

from __future__ import annotations

from scoreboard.domain.value import Value


class EngineSettings(Value, frozen=True, kw_only=True):
    """All times in milliseconds. The application must welcome a client within ``connect_timeout_ms``; None: it need not."""

    ping_interval_ms: int = 25_000
    ping_timeout_ms: int = 20_000
    #: A POST or a message; the HTTP listener must take bodies as big.
    max_payload_bytes: int = 16_384
    connect_timeout_ms: int | None = 10_000
    upgrade_timeout_ms: int = 10_000
    packets_per_post_max: int = 100
    #: What may wait for a client's next GET.
    queued_bytes_max: int = 262_144
