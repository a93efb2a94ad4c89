"""Request guard: authentication, roles, suspensions, limits and client addresses on every route."""

from __future__ import annotations

from ipaddress import IPv4Network
from pathlib import Path
from typing import get_args

import pytest
from msgspec.structs import replace
from twisted.internet.defer import Deferred
from twisted.logger import capturedLogs
from twisted.web.resource import Resource

from config.settings import load_settings
from scoreboard.domain.errors import StoreUnavailable
from scoreboard.domain.limits import Limit, RateVerdict
from scoreboard.domain.refusals import Reason, Refusal
from scoreboard.net.http.addresses import Proxies, plain
from scoreboard.net.http.refusals import STATUS
from scoreboard.net.http.slow_down import SLOW_DOWN_S_MAX
from scoreboard.service.wiring import limits
from scoreboard.web.app import OPERATIONS
from scoreboard.web.request_guard import PlayerLimit
from tests.web.harness import LIMITS, Harness, HttpConnection, Reply, request

PLAYED = [("POST", "/api/v1/scores/submit"), ("POST", "/api/v1/actions/initialize"), ("PUT", "/api/v1/me/settings")]
VIEWED = [
    *(("GET", "/api/v1/actions"), ("GET", "/api/v1/boards"), ("GET", "/api/v1/scores/leaderboard"), ("GET", "/api/v1/scores/me")),
    *(("GET", "/api/v1/me/achievements"), ("GET", "/api/v1/me/settings")),
]
QUOTAS = {"submit": 10, "initialize": 20, "settings": 10}


@pytest.mark.parametrize(
    ("method", "path"), [*PLAYED, *VIEWED, ("POST", "/api/v1/auth/ticket"), ("GET", "/api/v1/scores/changes")]
)
def test_a_client_that_disconnects_while_the_rate_limiter_is_asked_causes_no_fault(method: str, path: str) -> None:
    harness = Harness()
    body = harness.initialized() if path.endswith("submit") else {}
    harness.rate_limiter.held = Deferred()
    connection = harness.connection()
    headers = {"Authorization": f"Bearer {harness.token()}"}
    connection.send(request(method, path, body=body if method != "GET" else None, headers=headers))
    connection.hang_up()
    with capturedLogs() as logs:
        harness.rate_limiter.held.callback(None)
    assert logs == []
    assert len(harness.scorekeeper.kept) == path.endswith("submit"), "a submission that was admitted is awarded"


@pytest.mark.parametrize(("method", "path"), PLAYED + VIEWED)
def test_a_missing_or_invalid_token_is_401(method: str, path: str) -> None:
    harness = Harness()
    reply = harness.ask(method, path, token=None)
    assert (reply.status, reply.json["code"]) == (401, 4010)
    assert reply.headers["www-authenticate"] == 'Bearer realm="scoreboard"'
    reply = harness.ask(method, path, token="not.a.token")
    assert (reply.status, reply.json["code"]) == (401, 4011)
    assert reply.headers["www-authenticate"] == 'Bearer realm="scoreboard", error="invalid_token"'


@pytest.mark.parametrize(("method", "path"), PLAYED)
def test_spectators_may_not_play(method: str, path: str) -> None:
    harness = Harness()
    reply = harness.ask(method, path, token=harness.token(role="spectator"))
    assert (reply.status, reply.json["code"]) == (403, 4030)


@pytest.mark.parametrize(
    ("method", "path"), [*PLAYED, *VIEWED, ("POST", "/api/v1/auth/ticket"), ("GET", "/api/v1/scores/changes")]
)
def test_a_suspended_player_is_refused_on_every_route_and_counted(method: str, path: str) -> None:
    harness = Harness()
    harness.suspended.add("user-123")
    reply = harness.ask(method, path, body=None if method == "GET" else {})
    assert (reply.status, reply.json["error"], reply.json["code"]) == (403, "FORBIDDEN", 4030)
    assert reply.json["message"] == "This account is suspended"
    assert len(harness.rate_limiter.asked) == 1
    assert harness.ask("GET", "/api/v1/scores/me", token=harness.token("user-2")).status == 200


def asking(harness: Harness, method: str, path: str, body: object = None) -> HttpConnection:
    """A request of user-123 that waits for its response, with a token that ends in ten seconds."""
    connection = harness.connection()
    connection.send(request(method, path, body=body, headers={"Authorization": f"Bearer {harness.token(life_s=10)}"}))
    assert connection.replies() == []
    return connection


def answered(connection: HttpConnection) -> Reply:
    (reply,) = connection.replies()
    return reply


BODIES: dict[tuple[str, str], object] = {
    ("PUT", "/api/v1/me/settings"): {"spectators": False},
    ("POST", "/api/v1/actions/initialize"): {"actionType": "RAID", "metadata": {}},
}


@pytest.mark.parametrize(
    ("method", "path"), [*PLAYED, *VIEWED, ("POST", "/api/v1/auth/ticket"), ("GET", "/api/v1/scores/stream")]
)
@pytest.mark.parametrize(("event", "status"), [("suspended", 403), ("token ended", 401)])
def test_a_player_is_checked_again_after_a_slow_rate_limiter(method: str, path: str, event: str, status: int) -> None:
    harness = Harness()
    body = harness.initialized() if path.endswith("submit") else BODIES.get((method, path))
    harness.rate_limiter.held = Deferred()
    connection = asking(harness, method, path, body)
    if event == "suspended":
        harness.suspended.add("user-123")
    else:
        harness.pass_time(10)
    harness.rate_limiter.held.callback(None)
    assert answered(connection).status == status
    assert (harness.scorekeeper.kept, harness.tickets.held, harness.streams) == ([], {}, [])


@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize("event", ["suspended", "token ended", None])
def test_a_waiting_read_is_checked_again_before_it_is_answered(event: str | None, method: str) -> None:
    harness = Harness()
    harness.ranking.missed = ()
    connection = asking(harness, method, "/api/v1/scores/changes?since=1.5")
    if event == "suspended":
        harness.suspended.add("user-123")
        harness.announcer.publish([])  # as Announcer.close_listeners_of does: it closes the listener, which ends the wait
    elif event == "token ended":
        harness.pass_time(10)  # nothing happens on the board: the wait ends with the token
    else:
        harness.pass_time(9)
        harness.announcer.publish([])
    (reply,) = connection.replies(to_head=method == "HEAD")
    assert reply.status == {"suspended": 403, "token ended": 401, None: 200}[event]


def test_a_read_that_a_store_held_up_is_checked_again_before_it_is_answered() -> None:
    harness = Harness()
    harness.ranking.held = Deferred()
    connection = asking(harness, "GET", "/api/v1/scores/changes?since=1.4&wait=0")
    harness.suspended.add("user-123")
    harness.ranking.held.callback(None)
    assert answered(connection).status == 403


@pytest.mark.parametrize("path", ["/api/v1/me/settings", "/api/v1/me/achievements"])
def test_a_player_suspended_during_a_slow_read_gets_no_data(path: str) -> None:
    harness = Harness()
    harness.player_store.pause()
    connection = asking(harness, "GET", path)
    harness.suspended.add("user-123")
    harness.player_store.resume()
    assert answered(connection).status == 403
    harness.player_store.broken = StoreUnavailable("away")
    assert harness.ask("GET", path, token=harness.token("user-2")).status == 503


def test_a_committed_award_is_answered_though_the_player_was_suspended_meanwhile() -> None:
    harness = Harness()
    submission = harness.initialized()
    harness.scorekeeper.waits = Deferred()
    connection = asking(harness, "POST", "/api/v1/scores/submit", submission)
    harness.suspended.add("user-123")
    harness.scorekeeper.waits.callback(None)
    assert answered(connection).status == 200


@pytest.mark.parametrize(("method", "path"), VIEWED)
def test_spectators_may_read(method: str, path: str) -> None:
    harness = Harness()
    assert harness.ask(method, path, token=harness.token(role="spectator")).status == 200


@pytest.mark.parametrize(("method", "path"), PLAYED + VIEWED)
@pytest.mark.parametrize("token", [None, "bad", "", "spectator"])
def test_the_rate_limiter_is_asked_once_for_each_request(method: str, path: str, token: str | None) -> None:
    harness = Harness()
    harness.ask(method, path, token=harness.token(role="spectator") if token == "spectator" else token)
    [(hits, _)] = harness.rate_limiter.asked
    named = [(hit.limit.name, hit.subject, hit.cost) for hit in hits]
    assert named[:2] == [("address", "203.0.113.9", 1), ("everyone", "*", 1)]
    played = (method, path) in PLAYED and token == ""
    assert [name for name, subject, _ in named[2:] if subject == "user-123"] == ([path.rpartition("/")[2]] if played else [])


@pytest.mark.parametrize(("method", "path"), PLAYED)
def test_a_response_says_how_much_of_the_limit_is_left(method: str, path: str) -> None:
    harness = Harness()
    headers = harness.ask(method, path, body={}).headers
    name = path.rpartition("/")[2]
    assert headers["ratelimit-policy"] == f'"{name}";q={QUOTAS[name]};w=60'
    assert headers["ratelimit"] == f'"{name}";r=7;t=42'


def test_too_many_submissions_are_answered_as_specified() -> None:
    harness = Harness()
    submission = harness.initialized()
    harness.rate_limiter.verdict = RateVerdict(refused="submit", retry_after_ms=59_001)
    reply = harness.ask("POST", "/api/v1/scores/submit", body=submission)
    assert reply.status == 429
    assert reply.json == {
        "success": False,
        "error": "RATE_LIMIT_EXCEEDED",
        "message": "Too many score submissions. Please try again later.",
        "code": 4290,
        "retryAfter": 60,
    }
    assert reply.headers["retry-after"] == "60"
    assert (reply.headers["ratelimit-policy"], reply.headers["ratelimit"]) == ('"submit";q=10;w=60', '"submit";r=0;t=60')
    assert harness.scorekeeper.kept == []


@pytest.mark.parametrize(("method", "path"), [*PLAYED, *VIEWED, ("POST", "/api/v1/auth/spectator")])
def test_too_many_requests_of_an_address_are_refused_everywhere(method: str, path: str) -> None:
    harness = Harness()
    harness.rate_limiter.verdict = RateVerdict(refused="address", retry_after_ms=1)
    reply = harness.ask(method, path, body=None if method == "GET" else {})
    assert (reply.status, reply.json["retryAfter"], reply.headers["retry-after"]) == (429, 1, "1")
    assert reply.headers["ratelimit"] == '"address";r=0;t=1'
    assert reply.json["message"] == "Too many requests. Please try again later."


def test_a_refusal_by_the_limit_of_an_address_comes_after_a_moment_and_any_other_at_once() -> None:
    harness = Harness()
    shown = {"Authorization": f"Bearer {harness.token()}"}
    for limit, late in (("address", True), ("everyone", False), ("submit", False)):
        harness.rate_limiter.verdict = RateVerdict(refused=limit, retry_after_ms=1)
        connection = harness.connection()
        connection.send(request("POST", "/api/v1/scores/submit", body={}, headers=shown))
        assert (connection.replies() == []) is late, limit
        harness.clock.advance(SLOW_DOWN_S_MAX)
        assert [reply.status for reply in connection.replies()] == ([429] if late else [])


def test_a_daily_maximum_is_the_limit_that_its_429_names() -> None:
    harness = Harness()
    daily = Limit(name="daily", quota=1, window_ms=86_400_000)
    harness.scorekeeper.answer = Refusal(reason=Reason.DAILY_LIMIT, message="once a day", retry_after_s=43_200, limit=daily)
    headers = harness.ask("POST", "/api/v1/scores/submit", body=harness.initialized()).headers
    assert (headers["ratelimit-policy"], headers["ratelimit"]) == ('"daily";q=1;w=86400', '"daily";r=0;t=43200')


@pytest.mark.parametrize("reason", [reason for reason, status in STATUS.items() if status != 429])
def test_a_refusal_by_no_limit_says_what_is_left_of_the_own_limit(reason: Reason) -> None:
    harness = Harness()
    harness.scorekeeper.answer = Refusal(reason=reason, message="no")
    headers = harness.ask("POST", "/api/v1/scores/submit", body=harness.initialized()).headers
    assert headers["ratelimit"] == '"submit";r=7;t=42'


def test_the_number_of_open_actions_is_a_limit_without_a_window() -> None:
    harness = Harness()
    harness.rate_limiter.verdict = RateVerdict(refused="open_actions", retry_after_ms=59_001)
    headers = harness.ask("POST", "/api/v1/actions/initialize", body={"actionType": "COMPLETE_QUEST"}).headers
    assert (headers["ratelimit-policy"], headers["ratelimit"]) == ('"open_actions";q=50', '"open_actions";r=0;t=60')


def test_ten_submissions_a_minute_are_admitted() -> None:
    harness = Harness(counting=True)
    for _ in range(2):
        assert [harness.ask("POST", "/api/v1/scores/submit", body={}).status for _ in range(11)] == [400] * 10 + [429]
        harness.clock.advance(61)


def test_two_forged_submissions_use_up_the_limit_of_ten_a_minute() -> None:
    harness = Harness(counting=True)
    forged = harness.initialized() | {"signature": "forged"}
    assert [harness.ask("POST", "/api/v1/scores/submit", body=forged).status for _ in range(3)] == [400, 400, 429]


def test_every_request_counts_against_the_address_with_a_valid_token_or_not() -> None:
    harness = Harness(counting=True)
    statuses = [harness.ask("GET", "/api/v1/scores/me", token=None).status for _ in range(100)]
    assert set(statuses) == {401}
    assert harness.ask("GET", "/api/v1/scores/me").status == 429
    assert harness.ask("GET", "/api/v1/scores/me", peer="198.51.100.1").status == 200
    assert harness.ask("GET", "/healthz").status == 200


class EmptyStream(Resource):
    """An event stream that ends at once."""

    isLeaf = True  # noqa: N815 -- twisted.web's name

    def render_GET(self, _: object) -> bytes:
        return b""


SECURED = [(one.method.upper(), one.path, one.body is not None) for one in OPERATIONS if one.secured]


def test_every_route_with_a_token_is_in_a_list_of_this_file() -> None:
    takes_a_ticket = {("GET", "/api/v1/scores/changes"), ("GET", "/api/v1/scores/stream")}
    assert {(method, path) for method, path, _ in SECURED} == {*PLAYED, *VIEWED, *takes_a_ticket, ("POST", "/api/v1/auth/ticket")}


def test_every_limit_of_a_player_has_a_quota_and_is_on_the_protocol_page(tmp_path: Path) -> None:
    names = set(get_args(PlayerLimit))
    configured = limits(load_settings({"SCOREBOARD_DATA_DIR": str(tmp_path)})).players
    assert names == set(configured) == {limit.name for limit in configured.values()} == set(LIMITS.players) == set(QUOTAS)
    page = (Path(__file__).parents[2] / "docs" / "protocol-http.md").read_text("utf-8")
    assert [name for name in names if f"everyone, `{name}` |" not in page] == []


@pytest.mark.parametrize(("method", "path"), [(method, path) for method, path, _ in SECURED])
def test_every_route_with_a_token_counts_against_the_limit_of_the_address(method: str, path: str) -> None:
    limits = replace(LIMITS, address=Limit(name="address", quota=2, window_ms=60_000))
    harness = Harness(counting=True, limits=limits, socket=EmptyStream())
    statuses = [harness.ask(method, path, body={} if method != "GET" else None).status for _ in range(3)]
    assert [status == 429 for status in statuses] == [False, False, True]


@pytest.mark.parametrize(("method", "path"), [(method, path) for method, path, writes in SECURED if writes])
def test_every_route_with_a_body_counts_against_a_limit_of_the_player(method: str, path: str) -> None:
    two = {name: Limit(name=name, quota=2, window_ms=60_000) for name in LIMITS.players}
    harness = Harness(counting=True, limits=replace(LIMITS, players=two))
    replies = [harness.ask(method, path, body={}) for _ in range(3)]
    assert [reply.status == 429 for reply in replies] == [False, False, True]
    assert replies[-1].headers["ratelimit"].startswith(f'"{path.rpartition("/")[2]}";r=0;')
    assert harness.ask(method, path, body={}, token=harness.token("user-2")).status != 429


@pytest.mark.parametrize(
    ("peer", "forwarded", "counted"),
    [
        ("203.0.113.9", "198.51.100.1", "203.0.113.9"),  # not a proxy of ours: a client's claim
        ("10.0.0.1", None, "10.0.0.1"),
        ("10.0.0.1", "198.51.100.1", "198.51.100.1"),
        ("10.0.0.1", "1.1.1.1, 198.51.100.1", "198.51.100.1"),
        ("10.0.0.1", "1.1.1.1, 198.51.100.1, 10.0.0.2", "198.51.100.1"),
        ("10.0.0.1", "10.0.0.3, 10.0.0.2", "10.0.0.3"),
        ("10.0.0.1", "198.51.100.1:4711", "198.51.100.1"),
        ("10.0.0.1", "[2001:db8::1]:4711", "2001:db8::/64"),
        ("10.0.0.1", "2001:db8::1", "2001:db8::/64"),
        ("10.0.0.1", "2001:db8::ffff:1", "2001:db8::/64"),
        ("10.0.0.1", "::ffff:198.51.100.1", "198.51.100.1"),
        ("10.0.0.1", "unknown", "10.0.0.1"),
        ("10.0.0.1", "198.51.100.1, nonsense", "10.0.0.1"),
        ("10.0.0.1", "", "10.0.0.1"),
        ("10.0.0.1", ",,,", "10.0.0.1"),
        ("10.0.0.1", "198.51.100.1, 999.1.1.1", "10.0.0.1"),
        ("10.0.0.1", "198.51.100.1;drop table", "10.0.0.1"),
        ("10.0.0.1", ", ".join(f"192.0.2.{n % 250}" for n in range(1000)), "192.0.2.249"),
        ("::ffff:10.0.0.1", "198.51.100.1", "198.51.100.1"),
        ("2001:db8::5", "198.51.100.1", "2001:db8::/64"),
        ("::ffff:203.0.113.9", None, "203.0.113.9"),
        ("unix", "198.51.100.1", "198.51.100.1"),
        ("unix", None, "unix"),
    ],
)
def test_the_client_address_is_the_one_that_our_proxy_saw(peer: str, forwarded: str | None, counted: str) -> None:
    harness = Harness(trusted=("10.0.0.0/8",))
    harness.ask("GET", "/api/v1/scores/me", peer=peer, headers={} if forwarded is None else {"X-Forwarded-For": forwarded})
    assert harness.rate_limiter.asked[0][0][0].subject == counted


def test_a_forwarded_address_is_taken_from_our_proxies_only() -> None:
    ours = Proxies(networks=(IPv4Network("10.0.0.0/8"),))
    assert ours.client("203.0.113.9", [b"198.51.100.1"]) == "203.0.113.9"
    assert ours.client(plain("::ffff:10.0.0.1"), [b"198.51.100.1"]) == "198.51.100.1"
    assert ours.client(plain(""), [b"198.51.100.1"]) == "198.51.100.1", "a unix socket is a proxy's"


def test_the_ledger_gets_the_address_and_not_its_network() -> None:
    harness = Harness(trusted=("10.0.0.0/8",))
    submission = harness.initialized()
    harness.ask("POST", "/api/v1/scores/submit", body=submission, peer="10.0.0.1", headers={"X-Forwarded-For": "2001:db8::1"})
    assert harness.scorekeeper.kept[0][3].address == "2001:db8::1"


def test_each_refusal_without_a_readable_token_is_counted_by_its_cause() -> None:
    harness = Harness()
    for headers in ({}, {"Authorization": "Basic dXNlcg=="}, {"Authorization": "Bearer"}, {"Authorization": "Bearer a b"}):
        assert harness.ask("GET", "/api/v1/scores/me", token=None, headers=headers).status == 401
    assert harness.ask("GET", "/api/v1/scores/changes?wait=0&ticket=unknown", token=None).status == 401
    assert harness.ask("GET", "/api/v1/scores/me", token="not.a.token").status == 401
    found = {key[1]: count for key, count in harness.meter.counts.items() if key[0] == "token_refusals_total"}
    assert found == {"no_token": 2, "not_one_token": 2, "ticket": 1, "form": 1}
