"""Health, readiness, metrics, OpenAPI, pages and tokens of spectators."""

from __future__ import annotations

import json
import re
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from scoreboard.domain.players import Player
from scoreboard.domain.refusals import Reason
from scoreboard.net.http.refusals import STATUS
from scoreboard.web.api_spec import REFUSALS
from scoreboard.web.app import OPERATIONS, Api
from scoreboard.web.metrics_access import MetricsAccess
from scoreboard.web.openapi import document
from tests.web.harness import NOW_S, Harness


def test_healthz_does_not_depend_on_the_stores() -> None:
    harness = Harness()
    harness.health.set("ledger", serving=False, detail="The ledger cannot commit")
    reply = harness.ask("GET", "/healthz", token=None)
    assert (reply.status, reply.json) == (200, {"success": True, "message": "Alive"})


@pytest.mark.parametrize("path", ["/readyz", "/readyz?strict", "/readyz?strict=1"])
def test_readyz_is_200_when_all_conditions_are_ok(path: str) -> None:
    reply = Harness().ask("GET", path, token=None)
    conditions = [{"name": name, "ok": True, "serving": True, "detail": ""} for name in ("ledger", "redis")]
    data = {"stores": {"ledger": True, "redis": True}, "conditions": conditions}
    assert (reply.status, reply.json) == (200, {"success": True, "data": data})


def test_a_degraded_server_is_ready_but_not_with_strict() -> None:
    harness = Harness()
    harness.health.set("redis", serving=True, detail="Redis cannot be asked")
    plain, strict = (harness.ask("GET", path, token=None) for path in ("/readyz", "/readyz?strict"))
    assert (plain.status, plain.json["data"]["stores"]) == (200, {"ledger": True, "redis": False})
    assert plain.json["data"]["conditions"][1] == {
        "name": "redis",
        "ok": False,
        "serving": True,
        "detail": "Redis cannot be asked",
    }
    assert (strict.status, strict.json["code"], strict.json["message"]) == (503, 5030, "Not ready: redis: Redis cannot be asked")


def test_a_server_without_its_ledger_is_not_ready() -> None:
    harness = Harness()
    harness.health.set("redis", serving=True, detail="Redis cannot be asked")
    harness.health.set("ledger", serving=False, detail="The ledger cannot commit")
    plain, strict = (harness.ask("GET", path, token=None) for path in ("/readyz", "/readyz?strict"))
    assert (plain.status, plain.json["message"]) == (503, "Not ready: ledger: The ledger cannot commit")
    assert plain.headers["retry-after"] == "1"
    assert strict.json["message"] == "Not ready: ledger: The ledger cannot commit; redis: Redis cannot be asked"


def test_a_503_of_readyz_lists_the_conditions_as_a_200_does(interface: dict[str, Any]) -> None:
    harness = Harness()
    harness.health.set("redis", serving=True, detail="Redis cannot be asked")
    ready = harness.ask("GET", "/readyz", token=None)
    strict = harness.ask("GET", "/readyz?strict", token=None)
    problem = harness.ask("GET", "/readyz?strict", token=None, headers={"Accept": "application/problem+json"})
    assert (ready.status, strict.status, problem.status) == (200, 503, 503)
    assert strict.json["data"] == problem.json["data"] == ready.json["data"]
    assert (problem.json["title"], problem.json["detail"]) == ("Service Unavailable", strict.json["message"])
    assert strict.json.keys() == {"success", "error", "message", "code", "retryAfter", "data"}
    described = interface["paths"]["/readyz"]["get"]["responses"]["503"]["content"]["application/json"]
    assert described["schema"] == {"$ref": "#/components/schemas/NotReadyAnswer"}
    example = described["examples"]["UNAVAILABLE"]["value"]
    assert example.keys() == strict.json.keys()
    assert example["data"].keys() == strict.json["data"].keys()


def test_metrics_are_rendered_at_most_once_a_second() -> None:
    harness = Harness()
    reply = harness.ask("GET", "/metrics", token=None)
    assert (reply.status, reply.headers["content-type"], reply.body) == (200, "text/plain; version=0.0.4", b"up 1\n")
    harness.clock.advance(0.9)
    assert harness.ask("GET", "/metrics", token=None).body == b"up 1\n"
    harness.clock.advance(0.1)
    assert harness.ask("GET", "/metrics", token=None).body == b"up 2\n"


# Who may read the metrics

METRICS_TOKEN = "m" * 40


def metrics(harness: Harness, *, peer: str = "203.0.113.9", **headers: str) -> int:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return harness.ask("GET", "/metrics", token=None, peer=peer, headers=named).status


def test_without_a_token_and_an_address_no_client_reads_the_metrics() -> None:
    harness = Harness(metrics_access=MetricsAccess(None, ()))
    for peer in ("203.0.113.9", "127.0.0.1", "::1", "unix"):
        assert metrics(harness, peer=peer) == 404
        assert metrics(harness, peer=peer, Authorization=f"Bearer {harness.token(role='admin')}") == 404
        assert metrics(harness, peer=peer, Authorization="Bearer None") == 404


def test_a_client_with_the_token_reads_the_metrics() -> None:
    harness = Harness(metrics_access=MetricsAccess(METRICS_TOKEN, ()))
    assert metrics(harness, Authorization=f"bearer {METRICS_TOKEN}") == 200
    assert metrics(harness) == 401


@given(st.text(st.characters(codec="latin-1", exclude_categories=["Cc"]), max_size=50))
@example("")
@example(METRICS_TOKEN[:-1])
@example(METRICS_TOKEN + "m")
@example(METRICS_TOKEN.upper())
@example(METRICS_TOKEN + " " + METRICS_TOKEN)
def test_no_other_token_reads_the_metrics(shown: str) -> None:
    harness = Harness(metrics_access=MetricsAccess(METRICS_TOKEN, ()))
    for scheme in ("Bearer", "Basic", "Token", METRICS_TOKEN):
        assert metrics(harness, Authorization=f"{scheme} {shown}") == 401
    assert harness.ask("GET", f"/metrics?token={METRICS_TOKEN}").status == 401


def test_named_addresses_read_the_metrics() -> None:
    networks = [ip_network("127.0.0.1"), ip_network("10.0.0.0/8"), ip_network("2001:db8::/32")]
    harness = Harness(metrics_access=MetricsAccess(None, networks), trusted=("192.0.2.1", "127.0.0.1"))
    for peer in ("127.0.0.1", "10.1.2.3", "2001:db8::7", "::ffff:10.1.2.3"):
        assert metrics(harness, peer=peer) == 200
    for peer in ("203.0.113.9", "11.0.0.1", "2001:db9::1", "unix", "192.0.2.1"):
        assert metrics(harness, peer=peer) == 404


def test_a_forwarded_request_does_not_count_as_its_proxys() -> None:
    networks = [ip_network("127.0.0.1"), ip_network("10.0.0.0/8")]
    ours = Harness(metrics_access=MetricsAccess(None, networks), trusted=("127.0.0.1",))
    assert metrics(ours, peer="127.0.0.1", X_Forwarded_For="203.0.113.9") == 404
    assert metrics(ours, peer="127.0.0.1", X_Forwarded_For="127.0.0.1, 203.0.113.9") == 404
    assert metrics(ours, peer="127.0.0.1", X_Forwarded_For="10.1.2.3") == 200
    unknown = Harness(metrics_access=MetricsAccess(None, networks))
    for name in ("X_Forwarded_For", "X_Forwarded_Proto", "X_Forwarded_Host", "X_Real_IP", "Forwarded", "Via"):
        assert metrics(unknown, peer="127.0.0.1", **{name: "10.1.2.3"}) == 404
        if name != "X_Forwarded_For":
            assert metrics(ours, peer="127.0.0.1", **{name: "10.1.2.3"}) == 404, "a proxy of ours that does not name its client"
    assert metrics(ours, peer="127.0.0.1") == 200
    assert metrics(unknown, X_Forwarded_For="127.0.0.1") == 404


@pytest.mark.parametrize("forwarded", ["", "garbage", "unknown", "unix:", "1.2.3.4, unix:", "1.2.3.4, ", "10.1.2.3, x"])
def test_a_client_that_our_proxy_does_not_name_readably_does_not_read_the_metrics(forwarded: str) -> None:
    networks = [ip_network("127.0.0.1"), ip_network("10.0.0.0/8")]
    harness = Harness(metrics_access=MetricsAccess(None, networks), trusted=("127.0.0.1",))
    assert metrics(harness, peer="127.0.0.1", X_Forwarded_For=forwarded) == 404


def test_metrics_that_are_refused_are_not_rendered() -> None:
    harness = Harness(metrics_access=MetricsAccess(METRICS_TOKEN, ()))
    metrics(harness)
    assert harness.renderings == 0


def test_the_token_of_the_metrics_is_not_shown() -> None:
    assert METRICS_TOKEN not in repr(MetricsAccess(METRICS_TOKEN, ()))


def test_openapi_is_shown_only_if_it_is_public() -> None:
    assert Harness(public_openapi=False).ask("GET", "/openapi.json").status == 404
    assert Harness().ask("GET", "/openapi.json", token=None).status == 200


def test_routes_for_operators_do_not_ask_the_rate_limiter() -> None:
    harness = Harness()
    for path in ("/healthz", "/readyz", "/metrics", "/openapi.json", "/"):
        harness.ask("GET", path, token=None)
    assert harness.rate_limiter.asked == []


@pytest.fixture
def interface() -> dict[str, Any]:
    described: dict[str, Any] = Harness().ask("GET", "/openapi.json", token=None).json
    return described


def test_openapi_describes_every_route_but_the_pages_and_the_socket(interface: dict[str, Any]) -> None:
    assert interface["openapi"] == "3.1.0"
    rules = [rule for rule in Api.app.url_map.iter_rules() if rule.rule != "/socket.io/"]
    declared = {(rule.rule, method) for rule in rules for method in (rule.methods or set()) - {"HEAD"}}
    described = {(path, method.upper()) for path, methods in interface["paths"].items() for method in methods}
    assert declared - described == {(path, "GET") for path in ("/", "/static/<path:name>", "/ws", "/openapi.json")}
    assert described <= declared


def test_openapi_has_an_example_of_every_response(interface: dict[str, Any]) -> None:
    for methods in interface["paths"].values():
        for operation in methods.values():
            for status, response in operation["responses"].items():
                for content in response.get("content", {}).values():
                    assert content.get("example") is not None or content["examples"], (operation["operationId"], status)
                assert response["description"]


def test_openapi_names_every_reason_under_its_status(interface: dict[str, Any]) -> None:
    named = {
        (reason, int(status))
        for methods in interface["paths"].values()
        for operation in methods.values()
        for status, response in operation["responses"].items()
        for content in response.get("content", {}).values()
        for reason in content.get("examples", ())
    }
    assert named == {(reason.name, status) for reason, status in STATUS.items()} | {("INTERNAL_ERROR", 500)}
    assert set(REFUSALS) == set(Reason)


def test_every_reference_in_openapi_exists(interface: dict[str, Any]) -> None:
    schemas = interface["components"]["schemas"]

    def references(piece: Any) -> set[str]:
        if isinstance(piece, dict):
            own = {piece["$ref"]} if "$ref" in piece else set()
            return own.union(*[references(value) for value in piece.values()])
        return set().union(*[references(item) for item in piece]) if isinstance(piece, list) else set()

    assert references(interface) == {f"#/components/schemas/{name}" for name in schemas}
    assert schemas["SubmitRequest"]["additionalProperties"] is False
    assert schemas["SubmitRequest"]["required"] == ["actionId", "actionType", "timestamp", "signature"]
    assert schemas["InitializeRequest"]["properties"]["metadata"]["maxProperties"] == 32


def test_the_protocol_page_lists_every_reason_with_code_and_status() -> None:
    page = (Path(__file__).parents[2] / "docs" / "protocol.md").read_text("utf-8")
    for reason, status in STATUS.items():
        assert f"| {status} | `{reason.name}` | {reason.value} |" in page


def test_the_page_of_the_protocol_has_a_row_for_every_route() -> None:
    page = (Path(__file__).parents[2] / "docs" / "protocol-http.md").read_text("utf-8")
    assert [one.path for one in OPERATIONS if f"\n| `{one.method.upper()} {one.path}` |" not in page] == []


def test_examples_show_epochs_as_long_as_real_ones(interface: dict[str, Any]) -> None:
    pages = "".join(page.read_text("utf-8") for page in (Path(__file__).parents[2] / "docs").glob("protocol*.md"))
    shown = re.findall(r'"epoch": ?(\d+)|"cursor": ?"(\d+)\.|"since": ?"(\d+)\.', pages + json.dumps(interface))
    epochs = [int(epoch) for found in shown for epoch in found if epoch]
    assert len(epochs) > 10
    assert 1_600_000_000_000 < min(epochs) <= max(epochs) < 2**53


def test_the_openapi_document_is_made_once() -> None:
    harness = Harness()
    first, second = (harness.ask("GET", "/openapi.json").body for _ in range(2))
    assert first == second == document(OPERATIONS)


@pytest.fixture
def pages(tmp_path: Path) -> Path:
    (tmp_path / "static" / "parts").mkdir(parents=True)
    (tmp_path / "index.html").write_text("<!doctype html>")
    (tmp_path / "static" / "board.js").write_text("export {}")
    (tmp_path / "static" / "parts" / "row.css").write_text("tr {}")
    (tmp_path / "static" / "notes.secret").write_text("not for the web")
    (tmp_path / "secret.txt").write_text("not for the web")
    return tmp_path


@pytest.mark.parametrize(
    ("path", "content_type"),
    [
        ("/", "text/html; charset=utf-8"),
        ("/static/board.js", "text/javascript; charset=utf-8"),
        ("/static/parts/row.css", "text/css; charset=utf-8"),
    ],
)
def test_pages_are_served_with_strict_headers(pages: Path, path: str, content_type: str) -> None:
    harness = Harness(pages=pages)
    reply = harness.ask("GET", path, token=None)
    assert (reply.status, reply.headers["content-type"]) == (200, content_type)
    policy = reply.headers["content-security-policy"]
    assert policy.startswith("default-src 'none'; script-src 'self'; ")
    assert "unsafe" not in policy
    assert "http" not in policy
    assert reply.headers["cache-control"] == "no-cache"
    again = harness.ask("GET", path, token=None, headers={"If-None-Match": reply.headers["etag"]})
    assert (again.status, again.body) == (304, b"")


@pytest.mark.parametrize("path", ["/static/notes.secret", "/secret.txt", "/static/secret.txt", "/static/parts", "/index.html"])
def test_only_files_of_the_pages_are_served(pages: Path, path: str) -> None:
    assert Harness(pages=pages).ask("GET", path).status == 404


def test_a_spectator_gets_a_token_for_ten_minutes() -> None:
    harness = Harness()
    data = harness.ask("POST", "/api/v1/auth/spectator", token=None).json["data"]
    player = harness.authenticator.authenticate(data["token"])
    assert isinstance(player, Player)
    assert (player.role, player.expires_at_s, data["expiresAt"]) == ("spectator", NOW_S + 600, (NOW_S + 600) * 1000)
    assert [hit.limit.name for hit in harness.rate_limiter.asked[0][0]] == ["address", "everyone"]


def test_a_spectator_keeps_the_id_on_renewal_and_a_player_gets_a_new_one() -> None:
    harness = Harness()

    def named(token: str | None) -> str:
        data = harness.ask("POST", "/api/v1/auth/spectator", token=token).json["data"]
        player = harness.authenticator.authenticate(data["token"])
        assert isinstance(player, Player)
        return player.user_id

    first = harness.ask("POST", "/api/v1/auth/spectator", token=None).json["data"]["token"]
    assert named(first) == named(first)
    assert len({named(first), named(None), named("bad"), named(harness.token("user-123"))}) == 4


def test_an_ended_token_of_a_spectator_gets_a_new_id_and_counts_as_refused() -> None:
    harness = Harness()
    first = harness.ask("POST", "/api/v1/auth/spectator", token=None).json["data"]["token"]
    ended = harness.authenticator.authenticate(first)
    assert isinstance(ended, Player)
    harness.clock.advance(601)
    assert ("token_refusals_total", "expired") not in harness.meter.counts
    reply = harness.ask("POST", "/api/v1/auth/spectator", token=first)
    renewed = harness.authenticator.authenticate(reply.json["data"]["token"])
    assert isinstance(renewed, Player)
    assert (reply.status, renewed.user_id == ended.user_id) == (200, False)
    assert harness.meter.counts["token_refusals_total", "expired"] == 1


def test_the_stated_end_of_a_spectators_token_is_its_exp() -> None:
    harness = Harness()
    harness.clock.advance(0.75)
    data = harness.ask("POST", "/api/v1/auth/spectator", token=None).json["data"]
    player = harness.authenticator.authenticate(data["token"])
    assert isinstance(player, Player)
    assert data["expiresAt"] == 1000 * player.expires_at_s == 1000 * (NOW_S + 600)


def test_a_board_that_is_not_public_issues_no_spectator_tokens() -> None:
    reply = Harness(spectators=False).ask("POST", "/api/v1/auth/spectator", token=None)
    assert (reply.status, reply.json["code"]) == (404, 4040)
