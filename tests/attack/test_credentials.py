"""Tickets, recovery ids, sessions, grants, the suspended: no attack gets anything, and each one would find its hole."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.attack.attacks import ATTACKS
from tests.attack.holes import Hole
from tests.journeys.server import ServerProcess

TICKETS, DOOR = "scoreboard/storage/tickets.py", "scoreboard/web/door.py"
#: Each attack, and the check without which it gets something. Checks that do not hide each other are taken out together.
HOLES: dict[str, Hole] = {
    "a ticket twice": Hole(TICKETS, '"GETDEL", "ticket:"', '"GET", "ticket:"'),
    "a ticket from two connections at once": Hole(TICKETS, '"GETDEL", "ticket:"', '"GET", "ticket:"'),
    "a ticket of a token that has ended": Hole(
        "scoreboard/web/tickets.py", "return self.door.admit(request, player)", "return player"
    ),
    "a ticket of a player suspended since": Hole(
        "scoreboard/web/tickets.py", "return self.door.admit(request, player)", "return player"
    ),
    "a ticket as a token and a token as a ticket": Hole(
        "scoreboard/web/auth.py",
        "            claims = self._verified(token)\n",
        '            claims = self._verified(token) or _Claims("amy", "Amy", "user", 0, 2**40)\n',
    ),
    "a ticket made up": Hole(
        TICKETS,
        "        return None if held is None else _decode(held)",
        '        return Player(user_id="amy", username="", role="user", expires_at_s=2**40) if held is None else _decode(held)',
    ),
    "a refresh as another player": Hole(
        "scoreboard/realtime/visitor.py", "elif admitted.user_id == self.player.user_id:", "elif admitted.user_id:"
    ),
    "a recovery id of another player": Hole(
        "scoreboard/storage/absentees.py", 'return f"absent:{pid}:{user_id}"', 'return f"absent:{pid}"'
    ),
    "a recovery id twice": Hole("scoreboard/storage/absentees.py", '"GETDEL", _key', '"GET", _key'),
    "a session of engine io by a guessed id": Hole(
        "scoreboard/realtime/engineio/polling.py",
        "line = self._engine.lines.get(sid)",
        "line = self._engine.lines.get(sid) or next(iter(self._engine.lines.values()), None)",
    ),
    "a parked poll of a token that ends meanwhile": Hole("scoreboard/web/routes.py", "if request.method in _READS:", "if False:"),
    "a parked poll of a player suspended meanwhile": Hole(
        "scoreboard/web/routes.py", "if request.method in _READS:", "if False:"
    ),
    "a player suspended at every door": Hole(
        "scoreboard/web/auth.py", "return SUSPENDED if self.barred(player.user_id) else None", "return None"
    ),
    "a grant handed in by another player or for another": Hole(
        "scoreboard/domain/grants.py", "        grant.user_id.encode(),\n", '        b"",\n'
    ),
}
#: Those whose holes are in one server, the others in a second one: none hides what another looks for.
FIRST = {
    "a ticket made up",
    "a recovery id twice",
    "a parked poll of a token that ends meanwhile",
    "a parked poll of a player suspended meanwhile",
    "a ticket as a token and a token as a ticket",
    "a session of engine io by a guessed id",
}


@pytest.mark.parametrize("name", ATTACKS)
def test_an_attack_gets_nothing(name: str, target: ServerProcess) -> None:
    assert ATTACKS[name](target) is None


@pytest.mark.parametrize("name", HOLES)
def test_an_attack_finds_the_hole_that_it_is_for(name: str, holed_server: Callable[..., ServerProcess]) -> None:
    holes = {hole for other, hole in HOLES.items() if (other in FIRST) == (name in FIRST)}
    assert ATTACKS[name](holed_server(*sorted(holes, key=str))) is not None


def test_every_attack_has_a_hole_to_prove_itself_on() -> None:
    assert set(ATTACKS) == set(HOLES)
