"""Limits of the edge: how much one client may send, how many may, and how long they may take."""

from __future__ import annotations

from scoreboard.domain.close_reasons import CloseCode
from scoreboard.domain.limits import Limit
from scoreboard.domain.value import Value


class HttpLimits(Value, frozen=True, kw_only=True):
    """HTTP: sizes in bytes, times in seconds of a monotonic clock."""

    head_bytes_max: int = 16_384
    head_fields_max: int = 100
    body_bytes_max: int = 16_384
    connections_max: int = 8_000
    connections_per_address_max: int = 512
    head_s_max: float = 10.0
    body_s_max: float = 20.0
    body_bytes_per_s_min: int = 1_024
    idle_s_max: float = 60.0
    linger_s_max: float = 2.0


class LiveLimits(Value, frozen=True, kw_only=True):
    """The live protocols. Times are seconds of a monotonic clock; ``origins`` are as browsers spell them, ``*`` is any."""

    origins: tuple[str, ...]
    sockets_max: int
    sockets_per_address_max: int
    #: Connections that are still shaking hands or already saying goodbye, over and above the sockets that are open.
    handshaking_max: int = 1_000
    events_per_second_max: int = 20
    frames_per_second_max: int = 100
    message_bytes_max: int = 65_536
    handshake_bytes_max: int = 16_384
    #: What a client may still send after our close frame, before we cut it off.
    ignored_bytes_max: int = 262_144
    handshake_timeout_s: float = 10.0
    #: From the handshake to a player.
    auth_timeout_s: float = 10.0
    #: How long an answer may wait for a client that does not read.
    write_timeout_s: float = 10.0
    #: How long a client may read nothing of what its own kernel takes for it. That can be seen only once the kernel's buffer no
    #: longer grows, which takes seconds by itself: with both a client has some ten to fifteen seconds.
    read_timeout_s: float = 8.0
    #: From our close frame to the end of the connection.
    close_timeout_s: float = 2.0
    ping_interval_s: float = 20.0
    ping_timeout_s: float = 20.0
    #: A reactor later than this, twice in a row, takes no new sockets.
    lag_s_max: float = 0.25

    @property
    def events(self) -> Limit:
        """Events of one socket: as many at once as in a second."""
        return Limit(name="socket_events", quota=self.events_per_second_max, window_ms=1_000, policy="bucket")

    @property
    def frames(self) -> Limit:
        """Frames of one socket, of any kind: twice as many at once as in a second."""
        return Limit(name="socket_frames", quota=2 * self.frames_per_second_max, window_ms=2_000, policy="bucket")

    def close_timeout_for(self, code: int) -> float:
        """How long a client may take over a goodbye. Who did not read for ten seconds has had its time: until the next sweep."""
        return 0.0 if code == CloseCode.TOO_SLOW else self.close_timeout_s
