"""Tickets, grants, recovery ids, sessions, suspended players: no attack succeeds, and each succeeds without its check."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.attack import session_attacks, suspension_attacks, ticket_attacks
from tests.attack.attacks import ATTACKS, CHANGES, STREAM
from tests.attack.endpoints import HTTP_ENDPOINTS, SESSION_STARTS, TICKET_ENDPOINTS
from tests.attack.holes import Hole
from tests.journeys.server import ServerProcess

assert {session_attacks, suspension_attacks, ticket_attacks}  # their import registers the attacks

TICKETS, GUARD, SESSION_STORE = (
    "scoreboard/storage/redis/tickets.py",
    "scoreboard/web/request_guard.py",
    "scoreboard/storage/redis/sessions.py",
)
AMY = 'Player(user_id="amy", username="Amy", role="user", expires_at_s=2**40)'
GETDEL = Hole("scoreboard/storage/redis/scripts/redeem.lua", "redis.call('GETDEL', ", "redis.call('GET', ")
TICKET_RECHECK = Hole("scoreboard/web/credentials.py", "return self.guard.set_player(request, player)", "return player")
MADE_UP = Hole(
    TICKETS, "    if _TICKET.fullmatch(ticket) is None:\n            return None", f"    if True:\n            return {AMY}"
)
READ_RECHECK = Hole("scoreboard/web/routes.py", "if request.method in _READS:", "if False:")
NOT_SUSPENDED = Hole(
    "scoreboard/web/authenticator.py", "return SUSPENDED if self.is_suspended(player.user_id) else None", "return None"
)
INVALID_IS_AMY = Hole(
    "scoreboard/web/authenticator.py", "                return self._refuse(bad)\n", f"                known = {AMY}\n"
)
TICKET_EVERYWHERE = Hole(
    GUARD,
    "player = token if isinstance(token, Refusal) else self.authenticator.authenticate(token)",
    f'player = {AMY} if b"ticket=" in request.query else self.authenticator.authenticate(str(token))',
)
ANY_SID = Hole(
    "scoreboard/realtime/engineio/polling.py",
    "query, connections = _query(request), self._engine.connections",
    "query = _query(request)\n        connections = type('AnyKey', (dict,), {'__contains__': lambda self, key: True,"
    " '__missing__': lambda self, key: next(iter(self.values()))})(self._engine.connections)",
)
KINDS = ("/ws", "Socket.IO")
ELSEWHERE = [endpoint for endpoint in HTTP_ENDPOINTS if endpoint not in TICKET_ENDPOINTS]
PAIRS = [f"{first}, then {second}" for first in (CHANGES, STREAM) for second in (CHANGES, STREAM)]
#: For each attack: the check without which it succeeds, and all that then succeeds.
HOLES: dict[str, tuple[Hole, list[str]]] = {
    "a ticket twice": (GETDEL, PAIRS),
    "a ticket from two connections at once": (GETDEL, ["more than one request was admitted"]),
    "a ticket of a token that has ended": (TICKET_RECHECK, [CHANGES, STREAM]),
    "a ticket of a player suspended since": (TICKET_RECHECK, [CHANGES, STREAM]),
    "a ticket as a token": (INVALID_IS_AMY, list(HTTP_ENDPOINTS)),
    "a token as a ticket": (MADE_UP, [CHANGES, STREAM]),
    "a ticket at an endpoint that takes none": (TICKET_EVERYWHERE, ELSEWHERE),
    "a ticket made up": (MADE_UP, []),
    "a grant of another player": (
        Hole("scoreboard/domain/grants.py", "        grant.user_id.encode(),\n", '        b"",\n'),
        ["the other player got the points"],
    ),
    "a refresh as another player": (
        Hole(
            "scoreboard/realtime/client_session.py",
            "elif (admitted.user_id, admitted.role) == (self.player.user_id, self.player.role):",
            "elif admitted.user_id:",
        ),
        ["/ws", "Socket.IO"],
    ),
    "a refresh in another role": (
        Hole(
            "scoreboard/realtime/client_session.py",
            "elif (admitted.user_id, admitted.role) == (self.player.user_id, self.player.role):",
            "elif admitted.user_id == self.player.user_id:",
        ),
        [
            f"{kind}, {roles}"
            for roles in ("user as admin", "admin as user", "spectator as user")
            for kind in ("/ws", "Socket.IO")
        ],
    ),
    "the awards of a player who forbids spectators": (
        Hole("scoreboard/actors/spectators.py", "if not _may_always(member, user_id) and self._forbids(user_id):", "if False:"),
        ["player:action"],
    ),
    "the next id from those before": (
        Hole("scoreboard/service/wiring.py", "return secrets.token_urlsafe(18)", 'return f"{time.time_ns():024d}"'),
        ["sid", "pid"],
    ),
    "a recovery id of another player": (
        Hole(SESSION_STORE, 'return f"absent:{pid}:{user_id}"', 'return f"absent:{pid}"'),
        ["another player recovered the session"],
    ),
    "a recovery id twice": (Hole(SESSION_STORE, '"GETDEL", _key', '"GET", _key'), ["two sessions have one id"]),
    "a session of engine io by a guessed id": (ANY_SID, ["a session answered"]),
    "a waiting poll of a player suspended meanwhile": (READ_RECHECK, ["admitted"]),
    "a waiting poll of a token that ends meanwhile": (READ_RECHECK, ["admitted"]),
    "a suspended player at every endpoint": (NOT_SUSPENDED, [*HTTP_ENDPOINTS, *SESSION_STARTS]),
    "an open socket of a token that has ended": (
        Hole("scoreboard/realtime/client_session.py", "return self.player.expires_at_s <= wall_s", "return False"),
        ["/ws", "Socket.IO"],
    ),
    "an open socket of a player suspended meanwhile": (
        Hole("scoreboard/actors/membership.py", "            member.listener.close(ACCOUNT_SUSPENDED)\n", ""),
        ["/ws", "WEBSOCKET_PORT", "Socket.IO", "stream"],
    ),
}
THIRD = ("a recovery id of another player", "the awards of a player who forbids spectators")
FOURTH = (
    "an open socket of a player suspended meanwhile",
    "an open socket of a token that has ended",
    "a refresh in another role",
    "the next id from those before",
)
#: Which holes share a server. No two of one server help the same attack.
SERVERS: list[set[Hole]] = [
    {GETDEL, TICKET_RECHECK, INVALID_IS_AMY, HOLES["a refresh as another player"][0]},
    {MADE_UP, READ_RECHECK, ANY_SID, HOLES["a recovery id twice"][0], HOLES["a grant of another player"][0]},
    {TICKET_EVERYWHERE, NOT_SUSPENDED, *(HOLES[name][0] for name in THIRD)},
    {HOLES[name][0] for name in FOURTH},
]


@pytest.mark.parametrize("name", ATTACKS)
def test_an_attack_does_not_succeed(name: str, target: ServerProcess) -> None:
    assert ATTACKS[name](target) == []


@pytest.mark.drill
@pytest.mark.parametrize("name", HOLES)
def test_an_attack_succeeds_without_the_check_that_stops_it(name: str, holed_server: Callable[..., ServerProcess]) -> None:
    hole, wanted = HOLES[name]
    (holes,) = [holes for holes in SERVERS if hole in holes]
    got = ATTACKS[name](holed_server(*sorted(holes, key=str)))
    assert got == wanted if wanted else got != []


def test_each_attack_has_a_copy_of_the_code_without_one_check() -> None:
    assert set(ATTACKS) == set(HOLES)
