"""Attacks with valid credentials that are used twice, by another player, or after their end. An attack returns what succeeded.

An attack runs twice: against the server, where nothing may succeed, and against a copy of the code without one check, where
each of its attempts must succeed: see test_credentials.py.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable
from typing import Any, Final
from urllib.parse import quote

from tests.attack.client_session import ClientSession
from tests.attack.conftest import honest
from tests.attack.endpoints import ACTION, INITIALIZE, TICKET, TICKET_ENDPOINTS, outcome_of
from tests.journeys.server import ServerProcess
from tests.pauses import sleep_without_pauses

Attack = Callable[[ServerProcess], list[str]]
ATTACKS: dict[str, Attack] = {}
CHANGES, STREAM = (endpoint.split(" ")[1] for endpoint in TICKET_ENDPOINTS)
ORDER: Final = ("--reason", "attack", "--operator", "root", "--yes")
#: Every server process knows a suspension within a second.
HEARD_WITHIN_S: Final = 1.5


def attack(run: Attack) -> Attack:
    """Register an attack under the name of its function."""
    ATTACKS[run.__name__.replace("_", " ")] = run
    return run


def new_user_id(name: str) -> str:
    """The id of a new player that no other test uses."""
    return f"{name}-{secrets.token_hex(4)}"


def client_of(server: ServerProcess) -> ClientSession:
    return ClientSession(server, honest)


def valid_submission(client_session: ClientSession, user_id: str) -> dict[str, Any]:
    """The body of a valid submission of the player."""
    _, begun = client_session.request("POST", INITIALIZE.split(" ")[1], honest(user_id), ACTION)
    return {**ACTION, **{key: begun["data"][key] for key in ("actionId", "timestamp", "signature")}}


def ticket_of(server: ServerProcess, user_id: str, **claims: Any) -> str:
    _, body = client_of(server).request("POST", TICKET.split(" ")[1], honest(user_id, **claims), {})
    return str(body["data"]["ticket"])


def redeemed(server: ServerProcess, ticket: str, path: str = CHANGES) -> str:
    """The outcome of a request with this ticket."""
    return outcome_of(*client_of(server).request("GET", f"{path}?wait=0&ticket={quote(ticket)}"))


def suspend(server: ServerProcess, user_id: str) -> None:
    """Suspend a player with the CLI, and wait until every endpoint knows it."""
    ordered = server.command_line("player", "suspend", user_id, *ORDER, "--unknown")
    assert ordered.returncode == 0, ordered.stderr
    sleep_without_pauses(HEARD_WITHIN_S)
