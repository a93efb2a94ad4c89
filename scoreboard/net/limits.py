"""Limits of connections: sizes, numbers, rates and times."""

from __future__ import annotations

from scoreboard.domain.close_reasons import CloseCode
from scoreboard.domain.limits import Limit
from scoreboard.domain.value import Value


class HttpLimits(Value, frozen=True, kw_only=True):
    """Limits of HTTP connections. Times are seconds of a monotonic clock."""

    head_bytes_max: int = 16_384
    head_fields_max: int = 100
    body_bytes_max: int = 16_384
    #: Sizes, extensions and line ends of a body's chunks. A chunk costs about 2 µs, so many tiny ones would hold up the reactor.
    chunk_framing_bytes_max: int = 5_120
    connections_max: int = 8_000
    connections_per_address_max: int = 512
    head_s_max: float = 10.0
    body_s_max: float = 20.0
    body_bytes_per_s_min: int = 1_024
    #: Longer than balancers keep an idle connection (60 s), so that none sends a request on a connection that we are closing.
    idle_s_max: float = 75.0
    linger_s_max: float = 2.0


class LiveLimits(Value, frozen=True, kw_only=True):
    """Limits of live connections. Times are seconds of a monotonic clock; ``origins`` are as browsers send them, ``*`` is any."""

    origins: tuple[str, ...]
    sockets_max: int
    sockets_per_address_max: int
    #: Connections in their handshake or closing. They come on top of the open ones.
    handshaking_max: int = 1_000
    events_per_second_max: int = 20
    frames_per_second_max: int = 100
    message_bytes_max: int = 65_536
    handshake_bytes_max: int = 16_384
    #: How many bytes a client may send after our close frame before the connection is aborted.
    ignored_bytes_max: int = 262_144
    handshake_timeout_s: float = 10.0
    #: The longest time from the handshake until the client has authenticated.
    auth_timeout_s: float = 10.0
    #: How long an answer may wait for a client that does not read.
    write_timeout_s: float = 10.0
    #: How long a client's program may read nothing of what its kernel has received (receive_window.py). This is visible only once
    #: the kernel's buffer no longer grows, which takes seconds: in all, a client has about nine to fourteen seconds.
    read_timeout_s: float = 7.0
    #: The longest time from our close frame to the end of the connection.
    close_timeout_s: float = 2.0
    ping_interval_s: float = 20.0
    ping_timeout_s: float = 20.0
    #: No new connection is admitted when the last two sweeps were later than this.
    lag_s_max: float = 0.25

    @property
    def upgrades_per_address_max(self) -> int:
        """How many connections of one address may wait to replace a polling session, or for the refusal of their handshake."""
        return max(1, self.handshaking_max // 8)

    @property
    def events(self) -> Limit:
        """The limit of events of one connection. The burst is what a second allows."""
        return Limit(name="socket_events", quota=self.events_per_second_max, window_ms=1_000, policy="bucket")

    @property
    def frames(self) -> Limit:
        """The limit of frames of any kind of one connection. The burst is what two seconds allow."""
        return Limit(name="socket_frames", quota=2 * self.frames_per_second_max, window_ms=2_000, policy="bucket")

    def close_timeout_for(self, code: int) -> float:
        """The seconds from our close frame to the abort. A client that was too slow gets none: the next sweep aborts it."""
        return 0.0 if code == CloseCode.TOO_SLOW else self.close_timeout_s
