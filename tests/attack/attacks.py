"""Attacks with credentials that are real: used twice, by another, after their time. Each returns what it got in with.

An attack runs against the server as it is, where it must get nothing, and against a copy with one check taken out, where it
must get all that it tries for: see test_credentials.py.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable
from typing import Any, Final
from urllib.parse import quote

from tests.attack.client_session import ClientSession
from tests.attack.conftest import honest
from tests.attack.endpoints import ACTION, INITIALIZE, TICKET, TICKET_ENDPOINTS, outcome_of
from tests.journeys.server import ServerProcess

Attack = Callable[[ServerProcess], list[str]]
ATTACKS: dict[str, Attack] = {}
CHANGES, STREAM = (endpoint.split(" ")[1] for endpoint in TICKET_ENDPOINTS)
ORDER: Final = ("--reason", "attack", "--operator", "root", "--yes")
#: Every server process hears of a suspension within a second.
HEARD_WITHIN_S: Final = 1.5


def attack(run: Attack) -> Attack:
    """Decorate an attack; its function is its name."""
    ATTACKS[run.__name__.replace("_", " ")] = run
    return run


def somebody(name: str) -> str:
    """A new player, whom no other test knows."""
    return f"{name}-{secrets.token_hex(4)}"


def client_of(server: ServerProcess) -> ClientSession:
    return ClientSession(server, honest)


def begun_action(client_session: ClientSession, user_id: str) -> dict[str, Any]:
    """An action of the player's, ready to be handed in."""
    _, begun = client_session.request("POST", INITIALIZE.split(" ")[1], honest(user_id), ACTION)
    return {**ACTION, **{key: begun["data"][key] for key in ("actionId", "timestamp", "signature")}}


def ticket_of(server: ServerProcess, user_id: str, **claims: Any) -> str:
    _, body = client_of(server).request("POST", TICKET.split(" ")[1], honest(user_id, **claims), {})
    return str(body["data"]["ticket"])


def redeemed(server: ServerProcess, ticket: str, path: str = CHANGES) -> str:
    """The outcome of a ticket."""
    return outcome_of(*client_of(server).request("GET", f"{path}?wait=0&ticket={quote(ticket)}"))


def suspend(server: ServerProcess, user_id: str) -> None:
    """Suspend a player as an operator does, and wait until every door has heard of it."""
    ordered = server.command_line("player", "suspend", user_id, *ORDER)
    assert ordered.returncode == 0, ordered.stderr
    time.sleep(HEARD_WITHIN_S)
