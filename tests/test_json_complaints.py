"""Complaints about the JSON of clients, in bodies and in events of sockets: plain words, the member's name, a bounded length."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scoreboard.domain.refusals import Reason, Refusal, Refused
from scoreboard.realtime.client_session import ClientSession
from scoreboard.realtime.requests import ask
from scoreboard.realtime.socketio.auth import read_auth
from scoreboard.web.request_bodies import read_initialize, read_settings, read_submission
from tests.realtime.harness import Harness

UUID = "9b2f6f0e-4a52-4c1d-8f5e-2f1f1d0a7c11"
BODIES: dict[Callable[[bytes, bytes], Any], dict[str, Any]] = {
    read_initialize: {"actionType": "COMPLETE_QUEST", "metadata": {"questId": "q"}},
    read_submission: {"actionId": UUID, "actionType": "A", "timestamp": 1, "signature": "s", "metadata": {}},
    read_settings: {"spectators": True},
}
EVENTS: dict[str, dict[str, Any]] = {
    "auth": {"token": "amy"},
    "auth:refresh": {"token": "amy"},
    "join:leaderboard": {"mode": "top", "since": "1.2", "view": {"around": 5, "offset": 1, "limit": 10}},
    "leave:leaderboard": {"view": {"around": 5, "offset": 1, "limit": 10}},
    "spectate:user": {"userId": "amy"},
    "unspectate:user": {"userId": "amy"},
}
#: Each kind of JSON, and values at the ends of the permitted ranges.
VALUES: tuple[Any, ...] = (
    None,
    True,
    0,
    7,
    -1,
    101,
    2**53,
    10**400,
    1.5,
    1e300,
    "",
    "x",
    "x" * 5_000,
    "ü\0",
    [],
    [1],
    {},
    {"a": 1},
)
PLAIN = re.compile(
    r"must be of type (string|integer|number|boolean|array|object|null)( or (string|integer|object|null))*"
    r"|must be (at least|at most) -?\d+"
    r"|must have (at least|at most) \d+ (characters|items|members)"
    r"|must not be empty|is required|is not known here|is out of range|is nested too deeply|an object has two members of one name"
    r"|is empty; send a JSON object|is not UTF-8|is not JSON(: [^`]{1,80})?"
    r"|must be a version-4 UUID, in lower case with dashes"
    r"|must be one of top, rows|must be <epoch>\.<seq>|must have either around, or offset and limit"
    r"|a view begins with what it shows now"
    r"|must be 1 to 64 of A-Z a-z 0-9 _ \. : -|must not contain U\+0000|holds an integer that a double cannot hold exactly"
)


def refused_body(read: Callable[[bytes, bytes], Any], body: bytes) -> Refusal | None:
    try:
        read(b"application/json", body)
    except Refused as refused:
        return refused.refusal
    return None


def session_of_amy() -> ClientSession:
    harness = Harness()
    harness.open_websocket("amy")
    (session,) = harness.announcer.known
    assert isinstance(session, ClientSession)
    return session


def refused_event(session: ClientSession, event: str, data: bytes) -> Refusal | None:
    result = ask(session, event, msgspec.Raw(data))
    if isinstance(result, Refusal):
        return result
    if hasattr(result, "close"):
        result.close()
    return None


def assert_plain(refusal: Refusal | None, field: str) -> None:
    if refusal is None or refusal.reason is not Reason.MALFORMED_REQUEST:
        return
    assert PLAIN.fullmatch(refusal.message), refusal
    assert refusal.field is not None
    assert refusal.field.startswith(field), refusal
    assert len(refusal.field) <= 3 * 64


def members(good: dict[str, Any]) -> list[tuple[str, ...]]:
    """The path of each member."""
    paths: list[tuple[str, ...]] = []
    for name, value in good.items():
        paths.append((name,))
        if isinstance(value, dict):
            paths += [(name, *path) for path in members(value)]
    return paths


def changed(good: dict[str, Any], path: tuple[str, ...], value: Any) -> dict[str, Any]:
    """A copy in which the member has another value."""
    name, *rest = path
    return {**good, name: changed(good[name], tuple(rest), value) if rest else value}


@pytest.mark.parametrize("read", BODIES, ids=lambda read: read.__name__)
def test_a_wrong_member_of_a_body_gets_its_name_and_plain_words(read: Callable[[bytes, bytes], Any]) -> None:
    good = BODIES[read]
    for path in members(good):
        for value in VALUES:
            assert_plain(refused_body(read, json.dumps(changed(good, path, value)).encode()), path[0])
    unknown = refused_body(read, json.dumps({**good, "limit": 1}).encode())
    assert unknown is not None
    assert (unknown.field, unknown.message) == ("limit", "is not known here")
    missing = refused_body(read, b"{}")
    assert missing is not None
    assert (missing.field, missing.message) == (next(iter(good)), "is required")


@pytest.mark.parametrize("number", ["1e400", "-1e400", "5" * 401, "-" + "5" * 401, "5" * 5_001, "1e999999"])
def test_a_number_beyond_all_doubles_is_no_mistake_of_json_and_is_named_alike_in_every_spelling_of_the_others(
    number: str,
) -> None:
    refusals = []
    for timestamp in ("1", "1.0", "1e0"):
        body = f'{{"actionId":"{UUID}","actionType":"A","timestamp":{timestamp},"signature":"s","metadata":{{"x":{number}}}}}'
        refusal = refused_body(read_submission, body.encode())
        assert refusal is not None
        assert_plain(refusal, "metadata")
        assert "JSON" not in refusal.message
        refusals.append(refusal)
    assert refusals == [refusals[0]] * 3


@pytest.mark.parametrize("event", EVENTS)
def test_a_wrong_member_of_an_event_gets_its_name_and_plain_words(event: str) -> None:
    session, good = session_of_amy(), EVENTS[event]
    for path in members(good):
        for value in VALUES:
            assert_plain(refused_event(session, event, json.dumps(changed(good, path, value)).encode()), "data")
    unknown = refused_event(session, event, json.dumps({**good, "extra": 1}).encode())
    assert unknown is not None
    assert (unknown.field, unknown.message) == ("data.extra", "is not known here")
    for value in VALUES:
        assert_plain(refused_event(session, event, json.dumps(value).encode()), "data")


@pytest.mark.parametrize(
    ("event", "data", "message"),
    [
        ("join:leaderboard", b'{"mode":"full"}', "data.mode: must be one of top, rows"),
        ("join:leaderboard", b'{"mode":7}', "data.mode: must be of type string"),
        ("join:leaderboard", b'{"limit":10}', "data.limit: is not known here"),
        ("join:leaderboard", b'{"view":{"top":10}}', "data.view.top: is not known here"),
        ("join:leaderboard", b'{"view":{"around":99}}', "data.view.around: must be at most 50"),
        ("join:leaderboard", b'{"view":{"around":"5"}}', "data.view.around: must be of type integer or null"),
        ("join:leaderboard", b"[]", "data: must be of type object or null"),
        ("auth", b"", "data: must be of type object"),
        ("auth", b"{}", "data.token: is required"),
        ("spectate:user", b"7", "data: must be of type string or object"),
        ("spectate:user", b'{"userId":null}', "data.userId: must be of type string"),
    ],
)
def test_the_words_of_an_event_that_is_refused(event: str, data: bytes, message: str) -> None:
    refusal = refused_event(session_of_amy(), event, data)
    assert refusal is not None
    assert f"{refusal.field}: {refusal.message}" == message


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"", "body: is empty; send a JSON object"),
        (b" \n", "body: is empty; send a JSON object"),
        (b'{"actionType":"A",}', "body: is not JSON: trailing comma in object (byte 18)"),
        (b'{"actionType":"A"', "body: is not JSON: it ends too early, or has half of a surrogate pair"),
        (b"actionType=A", "body: is not JSON: invalid character (byte 0)"),
        (b'{"actionType":"\xff"}', "body: is not UTF-8"),
        (b'{"actionType":"A","metadata":' + b"[" * 9_000 + b"]" * 9_000 + b"}", "metadata: must be of type object"),
        (b'{"actionType":"A","metadata":{"a":' + b"[" * 9_000 + b"]" * 9_000 + b"}}", "body: is nested too deeply"),
        (b'{"actionType":"A","actionType":"A"}', "body: an object has two members of one name"),
        (b"[]", "body: must be of type object"),
        (b'{"actionType":"A","metadata":"{}"}', "metadata: must be of type object"),
        (b'{"actionType":""}', "actionType: must not be empty"),
    ],
)
def test_the_words_of_a_body_that_is_refused(body: bytes, message: str) -> None:
    refusal = refused_body(read_initialize, body)
    assert refusal is not None
    assert f"{refusal.field}: {refusal.message}" == message


@given(st.sampled_from(list(BODIES)), st.sampled_from(sorted(EVENTS)), st.binary(max_size=60), st.integers(0, 80))
def test_a_text_that_is_cut_or_damaged_gets_plain_words(
    read: Callable[[bytes, bytes], Any], event: str, noise: bytes, at: int
) -> None:
    body = json.dumps(BODIES[read]).encode()
    for text in (noise, body[:at], body[:at] + noise + body[at:]):
        assert_plain(refused_body(read, text), "")
    try:
        read_auth(noise or b"7")
    except Refused as refused:
        assert_plain(refused.refusal, "auth")
