"""The reason of a refused token: in the metrics and the log of the server at every kind of endpoint, never in an answer."""

from __future__ import annotations

import re
import time

import pytest

from tests.attack.client_session import ClientSession
from tests.attack.conftest import TARGET
from tests.attack.endpoints import INVALID
from tests.attack.instance import compact
from tests.pauses import sleep_without_pauses

HS256 = {"alg": "HS256"}


def refused_tokens() -> dict[str, str]:
    """A token for each reason that a request can show of its token."""
    now_s = int(time.time())

    def signed(header: object = HS256, key: str = TARGET.secret, **claims: str | int) -> str:
        return compact(header, {**TARGET.claims(now_s), **claims}, key.encode())

    return {
        "too_long": signed(pad="x" * 3_100),
        "form": "not.a.token",
        "header": signed("[]"),
        "algorithm": signed({"alg": "RS256"}),
        "header_member": signed({**HS256, "crit": ["exp"]}),
        "type": signed({**HS256, "typ": "JWE"}),
        "kid": signed({**HS256, "kid": "other"}),
        "signature": signed(key=TARGET.retired),
        "claims": compact(HS256, '{"userId": "amy", "userId": "bob"}', TARGET.secret.encode()),
        "claim": signed(exp="tomorrow"),
        "user_id": signed(userId="a b"),
        "ends_before_issued": signed(iat=now_s, exp=now_s),
        "life_too_long": signed(exp=now_s + TARGET.life_s_max + 600),
        "issued_ahead": signed(iat=now_s + 300),
        "not_yet_valid": signed(nbf=now_s + 300),
        "issuer": signed(iss="https://other.example"),
        "audience": signed(aud="other"),
        "expired": signed(iat=now_s - 900, exp=now_s - 60),
    }


def counted(client_session: ClientSession) -> dict[str, int]:
    sleep_without_pauses(1.05)  # the server renders the metrics at most once a second
    _, body = client_session.request("GET", "/metrics")
    found = re.findall(rb'^token_refusals_total\{reason="(\w+)"\} ([0-9.]+)$', body, re.MULTILINE)
    return {reason.decode(): int(float(count)) for reason, count in found}


@pytest.mark.parametrize(
    "endpoint",
    ["GET /api/v1/scores/me", "GET /ws", "/ws auth", "Socket.IO CONNECT over polling", "Socket.IO CONNECT over WebSocket"],
)
def test_each_refused_token_is_counted_by_its_reason_and_answered_alike(endpoint: str, client_session: ClientSession) -> None:
    before = counted(client_session)
    tokens = refused_tokens()
    if "GET" not in endpoint:
        del tokens["too_long"]  # the schema of a message has this limit
    assert {reason: client_session.show(endpoint, token) for reason, token in tokens.items()} == dict.fromkeys(tokens, INVALID)
    after = counted(client_session)
    assert [reason for reason in tokens if after.get(reason, 0) <= before.get(reason, 0)] == []
    assert {reason for reason in after if after[reason] > before.get(reason, 0)} == set(tokens), "and for no other reason"


def test_what_looks_forged_is_logged_at_info_and_the_rest_is_not(client_session: ClientSession) -> None:
    for token in refused_tokens().values():
        client_session.show("GET /api/v1/scores/me", token)
    found = {reason for reason in refused_tokens() if f'"reason": "{reason}"' in client_session.server.log}
    assert found == {"algorithm", "header_member", "kid", "signature"}
