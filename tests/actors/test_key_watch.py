"""Key watch of two servers: the key that each signs with while the other's ring changes, and what is logged."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.task import Clock
from twisted.logger import capturedLogs

from scoreboard.actors.key_watch import EXCHANGE_S, KeyWatch
from scoreboard.domain.errors import StoreUnavailable
from scoreboard.domain.grants import Keyring, key_id, keyring
from scoreboard.domain.rotation import ServerKeys, agreed, known_keys
from scoreboard.storage.memory.key_roster import MemoryKeyRoster
from tests.actors.fakes import FakeMeter
from tests.awaiting import result_of

OLD, NEW, OTHER = b"o" * 32, b"n" * 32, b"x" * 32
FORMER, KNOWN, USED, ALONE = keyring(OLD), keyring(OLD, (NEW,)), keyring(NEW, (OLD,)), keyring(NEW)


class Server:
    def __init__(self, name: str, ring: Keyring, entered: dict[str, ServerKeys], clock: Clock) -> None:
        self.roster = MemoryKeyRoster(name, entered)
        self.ring = ring
        self.watch = KeyWatch(roster=self.roster, clock=clock, meter=FakeMeter(), actions=ring, tokens=FORMER)
        with capturedLogs() as said:
            result_of(self.watch.start())
        self.said = [str(event["said"]) for event in said if "said" in event]

    @property
    def signs(self) -> str:
        return self.watch.actions.ring().current

    def knows_what(self, other: Server) -> bool:
        return other.signs in self.ring.secrets


def pair(first: Keyring, second: Keyring) -> tuple[Server, Server, Clock]:
    entered, clock = dict[str, ServerKeys](), Clock()
    servers = Server("a", first, entered, clock), Server("b", second, entered, clock)
    clock.advance(EXCHANGE_S)
    return (*servers, clock)


STEPS = [(FORMER, FORMER), (KNOWN, FORMER), (KNOWN, KNOWN), (USED, KNOWN), (USED, USED), (ALONE, USED), (ALONE, ALONE)]


@pytest.mark.parametrize(("first", "second"), [*STEPS, (USED, FORMER)])
def test_in_each_step_of_a_rotation_each_server_knows_the_others_signing_key(first: Keyring, second: Keyring) -> None:
    one, other, _ = pair(first, second)
    assert one.knows_what(other)
    assert other.knows_what(one)


def test_a_new_secret_signs_as_soon_as_all_servers_know_it() -> None:
    entered, clock = dict[str, ServerKeys](), Clock()
    behind, ahead = Server("a", FORMER, entered, clock), Server("b", USED, entered, clock)
    assert ahead.signs == key_id(OLD)
    assert ahead.said == [
        "other servers (1) do not know this server's ACTION_SIGNATURE_SECRET yet; it signs with an older one until they do"
    ]
    result_of(behind.watch.stop())
    Server("a", KNOWN, entered, clock)
    with capturedLogs() as said:
        clock.advance(EXCHANGE_S)
    assert ahead.signs == key_id(NEW)
    assert [event["log_format"] for event in said] == ["all servers know this server's {setting}"]


def test_servers_without_a_common_key_keep_theirs_and_both_log_it() -> None:
    entered, clock = dict[str, ServerKeys](), Clock()
    one = Server("a", FORMER, entered, clock)
    with capturedLogs() as said:
        other = Server("b", ALONE, entered, clock)
        clock.advance(EXCHANGE_S)
        clock.advance(EXCHANGE_S)
    assert (one.signs, other.signs) == (key_id(OLD), key_id(NEW))
    assert len([event for event in said if "nor an older one" in str(event.get("said"))]) == 2, "once each"


def test_a_roster_that_does_not_answer_changes_nothing() -> None:
    entered, clock = dict[str, ServerKeys](), Clock()
    Server("a", FORMER, entered, clock)
    ahead = Server("b", USED, entered, clock)
    for trouble in (StoreUnavailable("away"), RuntimeError("a fault of ours")):
        ahead.roster.trouble = trouble
        with capturedLogs():
            clock.advance(EXCHANGE_S)
        assert ahead.signs == key_id(OLD)
    entered.pop("a")
    ahead.roster.trouble = None
    del entered["b"]
    clock.pump([EXCHANGE_S])
    assert "b" in entered, "the loop goes on"


RINGS = st.lists(st.sampled_from([OLD, NEW, OTHER]), min_size=1, max_size=3, unique=True).map(
    lambda secrets: keyring(secrets[0], tuple(secrets[1:]))
)


@given(RINGS, st.lists(RINGS, max_size=4))
def test_the_agreed_key_is_known_to_all_if_there_is_such_a_key(ring: Keyring, others: Sequence[Keyring]) -> None:
    chosen = agreed(ring, [known_keys(other) for other in others])
    common = [kid for kid in ring.secrets if all(kid in other.secrets for other in others)]
    assert chosen.secrets == ring.secrets
    assert chosen.current in (common or [ring.current])
    assert chosen.current == ring.current or ring.current not in common
