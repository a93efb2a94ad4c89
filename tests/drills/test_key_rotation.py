"""Two servers restart one after the other with new secrets: no valid submission and no spectator's token is refused."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.journeys.server import ACTION_SECRET, JWT_SECRET, ServerProcess
from tests.pauses import sleep_without_pauses
from tests.storage_redis.redis_server import RedisServer

NEW_ACTION, NEW_JWT = "a-new-action-secret-7f3b09c2d1e84a65", "a-new-token-secret-51c0d9a7be3f4826"
#: The steps of two key rotations.
EXCHANGED_S = 11.0


def secrets(action: str, *older_actions: str, jwt: str, older_jwts: tuple[str, ...] = ()) -> dict[str, str]:
    return {
        "ACTION_SIGNATURE_SECRET": action,
        "ACTION_SIGNATURE_SECRETS_OLD": ",".join(older_actions),
        "JWT_SECRET": jwt,
        "JWT_SECRETS_OLD": ",".join(older_jwts),
    }


FORMER = secrets(ACTION_SECRET, jwt=JWT_SECRET)
KNOWN = secrets(ACTION_SECRET, NEW_ACTION, jwt=JWT_SECRET, older_jwts=(NEW_JWT,))
USED = secrets(NEW_ACTION, ACTION_SECRET, jwt=NEW_JWT, older_jwts=(JWT_SECRET,))
REMOVED = secrets(NEW_ACTION, jwt=NEW_JWT)


class LoginService(ServerProcess):
    """A server whose players have tokens signed with the current secret of the login service."""

    jwt_secret = JWT_SECRET

    def issue_token(self, user_id: str, *, role: str = "user", life_s: int = 3600) -> str:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("tests.journeys.server.JWT_SECRET", LoginService.jwt_secret)
            return super().issue_token(user_id, role=role, life_s=life_s)


@pytest.fixture
def servers(tmp_path: Path, postgres_url: str) -> Iterator[list[ServerProcess]]:
    redis = RedisServer()
    more = {"REDIS_URL": redis.url, "DATABASE_URL": postgres_url, "PUBLIC_BOARD": "true", **FORMER}
    made: list[ServerProcess] = [LoginService(tmp_path / f"server-{number}", dict(more)) for number in range(2)]
    assert made[0].command_line("db", "upgrade").returncode == 0
    for server in made:
        server.start()
    yield made
    for server in made:
        server.kill()
    redis.close()


def assert_each_server_accepts_both(servers: list[ServerProcess], began: list[dict[str, object]]) -> None:
    """Assert that each server awards the actions of both, begun before or now, and admits the tokens that both issue."""
    for number, begun in enumerate(began):
        answer = servers[number % 2].submit("amy", begun)
        assert answer.status == 200, answer
    for begins, awards in (servers, servers[::-1]):
        answer = awards.submit("amy", begins.initialize("amy"))
        assert answer.status == 200, answer
        token = begins.post("/api/v1/auth/spectator", None, {}).body["data"]["token"]
        assert awards.get("/api/v1/scores/leaderboard", token).status == 200


def restart(servers: list[ServerProcess], step: dict[str, str]) -> None:
    """Restart one server after the other; before each restart an action is begun on each server."""
    for server in servers:
        began = [one.initialize("amy") for one in (*servers, *servers[::-1])]
        assert server.stop() == 0
        server.start(**step)
        assert_each_server_accepts_both(servers, began)


def metric(server: ServerProcess, name: str) -> float:
    page: str = server.get("/metrics").body
    return next(float(text_line.split()[1]) for text_line in page.splitlines() if text_line.startswith(name + " "))


def signs_with(server: ServerProcess) -> str:
    return str(server.initialize("amy")["signature"]).split(".")[1]


def test_a_key_rotation_in_three_steps_refuses_no_valid_submission(
    servers: list[ServerProcess], monkeypatch: pytest.MonkeyPatch
) -> None:
    former = signs_with(servers[0])
    restart(servers, KNOWN)
    restart(servers, USED)
    assert former not in {signs_with(server) for server in servers}
    # All begun actions are submitted by now, so no valid signature with the older secrets is left.
    monkeypatch.setattr(LoginService, "jwt_secret", NEW_JWT)
    for server in servers:
        assert server.stop() == 0
        server.start(**REMOVED)
        for begins, awards in (servers, servers[::-1]):
            assert awards.submit("bob", begins.initialize("bob")).status == 200
    assert [metric(server, "servers_with_other_keys") for server in servers] == [0, 0]
    assert all("Traceback" not in server.log for server in servers)


def test_a_key_rotation_without_its_first_step_refuses_none_and_is_logged(servers: list[ServerProcess]) -> None:
    former = signs_with(servers[0])
    assert servers[0].stop() == 0
    servers[0].start(**USED)
    assert "do not know this server's ACTION_SIGNATURE_SECRET yet; it signs with an older one until they do" in servers[0].log
    assert signs_with(servers[0]) == former
    assert_each_server_accepts_both(servers, [])
    assert servers[1].stop() == 0
    servers[1].start(**USED)
    assert_each_server_accepts_both(servers, [])
    sleep_without_pauses(EXCHANGED_S)
    assert signs_with(servers[0]) == signs_with(servers[1]) != former
    assert_each_server_accepts_both(servers, [])
    assert "all servers know this server's ACTION_SIGNATURE_SECRET" in servers[0].log


def test_servers_without_a_common_secret_log_it(servers: list[ServerProcess]) -> None:
    assert servers[0].stop() == 0
    servers[0].start(**REMOVED)
    sleep_without_pauses(EXCHANGED_S)
    for server in servers:
        assert "nor an older one: they refuse what it signs" in server.log
        assert metric(server, "servers_with_other_keys") == 1
