"""Endpoints without authentication: a token changes none of their answers, and they show nothing of a player."""

from __future__ import annotations

import time
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.attack.client_session import ClientSession
from tests.attack.conftest import TARGET, honest
from tests.attack.endpoints import OPEN_ENDPOINTS
from tests.attack.forged_tokens import forged
from tests.attack.test_tokens import SLOW
from tests.journeys.server import ServerProcess

PATHS = [endpoint.split(" ")[1].replace("<path:name>", "main.js") for endpoint in OPEN_ENDPOINTS]
#: Texts that no open endpoint may show: a player, an address, a secret, the beginning of a token.
NEVER_SHOWN = ("amy", "Amy", "127.0.0.1", TARGET.secret, TARGET.older, TARGET.action_secret, TARGET.issuer, "eyJ")


def without_figures(status: int, body: Any) -> tuple[int, object]:
    """An answer; of metrics only the names, because their values change by themselves."""
    if isinstance(body, bytes) and body.startswith(b"# HELP"):
        return status, [text_line.split(b" ")[0] for text_line in body.splitlines() if b"_total{" not in text_line]
    return status, body


@pytest.mark.parametrize("path", PATHS)
def test_no_token_changes_the_answer_of_an_open_endpoint(path: str, client_session: ClientSession) -> None:
    anonymous = without_figures(*client_session.request("GET", path))
    assert anonymous[0] == 200

    @settings(SLOW, max_examples=20)
    @given(st.data())
    def attack(data: st.DataObject) -> None:
        _, token = data.draw(forged(TARGET, int(time.time())))
        assert without_figures(*client_session.request("GET", path, token)) == anonymous

    attack()
    assert without_figures(*client_session.request("GET", path, honest("amy", role="admin"))) == anonymous


@pytest.mark.parametrize("path", [path for path in PATHS if not path.startswith("/static")])
def test_an_open_endpoint_names_no_player_no_address_and_no_secret(path: str, client_session: ClientSession) -> None:
    client_session.show("GET /api/v1/scores/me", honest("amy"))
    client_session.show("POST /api/v1/actions/initialize", honest("amy"))
    _, body = client_session.request("GET", path)
    text = body.decode() if isinstance(body, bytes) else str(body)
    assert [word for word in NEVER_SHOWN if word in text and not (path == "/openapi.json" and word == "eyJ")] == []


def test_the_log_contains_no_token_ticket_or_secret(target: ServerProcess, client_session: ClientSession) -> None:
    token = honest("amy")
    ticket = client_session.request("POST", "/api/v1/auth/ticket", token, {})[1]["data"]["ticket"]
    for path in (
        f"/api/v1/scores/changes?wait=0&ticket={ticket}",
        f"/api/v1/scores/me?token={token}",
        "/socket.io/?EIO=4&transport=polling",
    ):
        client_session.request("GET", path, token)
    log = target.log
    assert [secret for secret in (token, ticket, TARGET.secret, TARGET.older, TARGET.action_secret) if secret in log] == []


@pytest.mark.parametrize(
    "name", ["../../pyproject.toml", "%2e%2e/%2e%2e/pyproject.toml", "..%2f..%2fapp.py", "//etc/passwd", "main.js%00", "."]
)
def test_only_the_files_of_the_page_are_served(name: str, client_session: ClientSession) -> None:
    status, _ = client_session.request("GET", f"/static/{name}")
    assert status in (400, 404)
