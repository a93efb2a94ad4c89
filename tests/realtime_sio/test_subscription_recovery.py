"""Recovery of views and spectated players, with a notice for each that is not allowed any more."""

from __future__ import annotations

import pytest

from scoreboard.domain.board_pages import Around, RankRange
from scoreboard.domain.events import TokenExpiring
from scoreboard.domain.refusals import NO_SPECTATORS
from scoreboard.realtime.socketio.encoders import SocketIoEncoder
from tests.realtime_sio.harness import Harness
from tests.realtime_sio.test_session_recovery import MOVED, arrive, reconnect

VIEWS = [Around(user_id="amy", rows=5), RankRange(offset=100, limit=50)]


@pytest.fixture
def harness() -> Harness:
    harness = Harness()
    harness.announcer.missed = ()
    return harness


def follow(harness: Harness, *, join: str | None = None) -> dict[str, str]:
    """Let a client follow two views and two players, break its connection, and return its ids."""
    was: dict[str, str]
    client, was = arrive(harness, join=join)
    client.text('42["join:leaderboard",{"view":{"around":5}}]')
    client.text('42["join:leaderboard",{"view":{"offset":100,"limit":50}}]')
    client.text('42["spectate:user","bob"]')
    client.text('42["spectate:user",{"userId":"cid"}]')
    client.break_connection()
    assert (harness.announcer.followed, harness.announcer.spectated) == (VIEWS, ["bob", "cid"])
    harness.announcer.followed, harness.announcer.spectated = [], []
    return was


@pytest.mark.parametrize("join", [None, '42["join:leaderboard"]'])
def test_views_and_spectated_players_are_recovered_each_time(harness: Harness, join: str | None) -> None:
    was = follow(harness, join=join)
    for _ in range(2):
        client, now, answered = reconnect(harness, was["pid"], "3.18")
        assert (now, answered) == (was, [])
        assert (harness.announcer.followed, harness.announcer.spectated) == (VIEWS, ["bob", "cid"])
        assert bool(harness.announcer.room) == (join is not None)
        client.break_connection()
        harness.announcer.followed, harness.announcer.spectated = [], []


def test_the_notice_of_a_player_who_forbade_spectators_meanwhile_comes_first(harness: Harness) -> None:
    was = follow(harness)
    harness.announcer.refusal, harness.announcer.missed = NO_SPECTATORS, (MOVED,)
    client, now, answered = reconnect(harness, was["pid"], "3.18")
    assert now == was
    assert [(name, *rest) for name, _, *rest in answered] == [("spectate:ended",), ("spectate:ended",), ("score:update", "3.19")]
    harness.announcer.refusal = None
    client.break_connection()
    reconnect(harness, was["pid"], "3.19")
    assert harness.announcer.spectated == [], "the client is not subscribed again"


def test_a_view_or_a_player_that_the_client_left_is_not_recovered(harness: Harness) -> None:
    client, was = arrive(harness)
    client.text('42["join:leaderboard",{"view":{"around":5}}]')
    client.text('42["spectate:user","bob"]')
    client.text('42["leave:leaderboard",{"view":{"around":5}}]')
    client.text('42["unspectate:user","bob"]')
    client.break_connection()
    reconnect(harness, was["pid"], "3.18")
    assert (harness.announcer.followed, harness.announcer.spectated) == ([], [])
    assert harness.announcer.room, "the client is still in the room"


def test_a_notice_has_no_offset_and_does_not_change_that_of_others() -> None:
    encoder = SocketIoEncoder(recoverable=True)
    expiring = TokenExpiring(expires_at_s=5)
    notice, last = encoder.encode((expiring,)), encoder.encode((MOVED,))
    assert notice.endswith(b'{"expiresAt":5000}]')
    assert encoder.encode((expiring, MOVED)) == notice + last
    assert encoder.encode((expiring, MOVED, MOVED)).count(b'"3.19"') == 1
    assert encoder.encode((MOVED, expiring)) == last + notice
