"""The server under attack: a real one with an issuer, an audience and older secrets among its settings."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.attack.client_session import ClientSession
from tests.attack.holes import Hole, holed_tree
from tests.attack.instance import Instance
from tests.journeys.server import ROOT, ServerProcess

TARGET = Instance(
    secret="3b8e1d5f7c2a49069e4d80b7f6a1c352",
    older="a94f0c7e5d2b41838f6e1a0d9c7b5e24",
    retired="06d7e2b95c1f4a3e8b0d7f9a2c4e6185",
    action_secret="d2c5f8a17b3e49608c1d4e7f0a9b6352",
    slack_s=5,
)
MANY = "1000000"


def target_server(directory: Path, tree: Path = ROOT) -> ServerProcess:
    """A server with the secrets, issuer and audience of TARGET."""
    settings = {
        "JWT_SECRET": TARGET.secret,
        "JWT_SECRETS_OLD": TARGET.older,
        "JWT_ISSUER": TARGET.issuer,
        "JWT_AUDIENCE": TARGET.audience,
        "ACTION_SIGNATURE_SECRET": TARGET.action_secret,
        "PUBLIC_BOARD": "true",
        "RATE_LIMIT_SETTINGS_MAX": MANY,
        "RATE_LIMIT_OPEN_ACTIONS_MAX": MANY,
        "SOCKET_EVENTS_PER_SECOND_MAX": MANY,
    }
    return ServerProcess(directory, settings, tree=tree)


def honest(user_id: str = "amy", **claims: object) -> str:
    """A token as TARGET's login service issues it now."""
    return TARGET.honest(int(time.time()), user_id, **claims)


@pytest.fixture(scope="package")
def target(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    """One server for all attacks. No attack may stop it, or cause a traceback in its log."""
    server = target_server(tmp_path_factory.mktemp("target")).start()
    yield server
    assert server.stop() == 0, server.log[-4000:]
    assert "Traceback" not in server.log


@pytest.fixture(scope="package")
def holed_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., ServerProcess]]:
    """Starts a server with a copy of the code that has holes; each set of holes has one server."""
    running: dict[tuple[Hole, ...], ServerProcess] = {}

    def start(*holes: Hole) -> ServerProcess:
        if holes not in running:
            directory = tmp_path_factory.mktemp("holed")
            running[holes] = target_server(directory / "data", holed_tree(directory, holes)).start()
        return running[holes]

    yield start
    for server in running.values():
        server.kill()


@pytest.fixture
def client_session(target: ServerProcess) -> Iterator[ClientSession]:
    """A client of the server under attack."""
    one = ClientSession(target, honest)
    yield one
    one.close()
