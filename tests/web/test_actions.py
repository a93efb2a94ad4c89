"""Initialization of actions: the grant that is signed, and how many may be open at once."""

from __future__ import annotations

import json
from typing import Any

import pytest

from scoreboard.domain.actions import ACTION_ID
from scoreboard.domain.grants import Grant, keyring, verify
from scoreboard.web.request_bodies import read_submission
from tests.web.harness import ACTION_SECRET, NOW_S, Harness

INITIALIZE = "/api/v1/actions/initialize"
WISH = {"actionType": "COMPLETE_QUEST", "metadata": {"questId": "quest-123"}}


def test_an_initialization_is_answered_as_specified() -> None:
    harness = Harness()
    reply = harness.ask("POST", INITIALIZE, body=WISH)
    data = reply.json["data"]
    assert reply.status == 200
    assert reply.json == {
        "success": True,
        "data": {
            "actionId": data["actionId"],
            "timestamp": NOW_S * 1000,
            "signature": data["signature"],
            "expiresAt": NOW_S * 1000 + 600_000,
            "expectedScore": 100,
        },
    }
    assert ACTION_ID.fullmatch(data["actionId"])


def test_the_signature_proves_the_grant() -> None:
    harness = Harness()
    submission = harness.initialized()
    read = read_submission(b"application/json", json.dumps(submission).encode())
    grant = verify(read, "user-123", keyring(ACTION_SECRET), harness.now_ms())
    assert isinstance(grant, Grant)
    assert (grant.points, grant.expires_at_ms - grant.issued_at_ms) == (100, 600_000)


def test_a_grant_states_the_earliest_time_of_its_submission() -> None:
    harness = Harness()
    data = harness.ask("POST", INITIALIZE, body={"actionType": "RAID"}).json["data"]
    wish = {"actionType": "RAID", "actionId": data["actionId"], "timestamp": data["timestamp"], "signature": data["signature"]}
    harness.ask("POST", "/api/v1/scores/submit", body=wish)
    [(_, _, grant, _)] = harness.scorekeeper.kept
    assert grant.not_before_ms == NOW_S * 1000 + 30_000


@pytest.mark.parametrize(
    ("wish", "field"),
    [
        ({"actionType": "NO_SUCH_ACTION"}, "actionType"),
        ({"actionType": "complete_quest"}, "actionType"),
        ({"actionType": "COMPLETE_QUEST"}, "metadata.questId"),
        ({"actionType": "COMPLETE_QUEST", "metadata": {"questId": 5}}, "metadata.questId"),
        ({"actionType": "COMPLETE_QUEST", "metadata": {"questId": "q", "difficulty": "deadly"}}, "metadata.difficulty"),
        ({"actionType": "COMPLETE_QUEST", "metadata": {"questId": "q", "level": 100}}, "metadata.level"),
        ({"actionType": "COMPLETE_QUEST", "metadata": {"questId": "q", "cheat": True}}, "metadata.cheat"),
        ({"actionType": "RAID", "points": 10**6}, "points"),
        ({}, "actionType"),
    ],
    ids=repr,
)
def test_a_refused_initialization_names_the_member_and_takes_no_slot(wish: dict[str, Any], field: str) -> None:
    harness = Harness()
    reply = harness.ask("POST", INITIALIZE, body=wish)
    assert (reply.status, reply.json["code"], reply.json["field"]) == (400, 4000, field)
    [(_, slot)] = harness.rate_limiter.asked
    assert slot is None


def test_an_integral_number_is_an_integer_however_it_is_spelt() -> None:
    raw = b'{"actionType": "COMPLETE_QUEST", "metadata": {"questId": "q", "level": 7.0}}'
    assert Harness().ask("POST", INITIALIZE, raw=raw).status == 200


def test_an_open_action_takes_a_slot_until_it_expires() -> None:
    harness = Harness()
    action_id = harness.initialized()["actionId"]
    [(_, slot)] = harness.rate_limiter.asked
    assert slot is not None
    assert (slot.user_id, slot.holder, slot.quota, slot.ttl_ms) == ("user-123", action_id, 50, 600_000)


def test_initialize_refuses_a_player_with_fifty_open_actions() -> None:
    harness = Harness(counting=True)
    statuses = []
    for _ in range(4):
        statuses += [harness.ask("POST", INITIALIZE, body=WISH, token=harness.token(life_s=9000)).status for _ in range(15)]
        harness.clock.advance(61)
    assert statuses.count(200) == 50
    reply = harness.ask("POST", INITIALIZE, body=WISH)
    assert (reply.status, reply.json["error"]) == (429, "RATE_LIMIT_EXCEEDED")
    assert reply.headers["ratelimit-policy"] == '"open_actions";q=50'
    assert int(reply.headers["retry-after"]) == reply.json["retryAfter"]


def test_while_the_ledger_keeps_no_awards_no_action_begins_and_no_limit_is_charged() -> None:
    harness = Harness()
    harness.health.set("ledger", serving=False, detail="The ledger cannot commit")
    for body in (WISH, {"actionType": "NO_SUCH_ACTION"}):
        reply = harness.ask("POST", INITIALIZE, body=body)
        assert (reply.status, reply.json["error"], reply.json["code"]) == (503, "UNAVAILABLE", 5030)
        assert (reply.headers["retry-after"], reply.json["retryAfter"]) == ("1", 1)
        assert "no action was begun" in reply.json["message"]
    assert harness.rate_limiter.asked == []
    harness.health.set("ledger", serving=True, detail="The ledger did not keep the last awards")
    assert harness.ask("POST", INITIALIZE, body=WISH).status == 200


def test_a_refused_request_is_counted_also_while_the_ledger_is_away() -> None:
    harness = Harness()
    harness.health.set("ledger", serving=False, detail="The ledger cannot commit")
    shown = (None, "bad", harness.token(role="spectator"))
    assert [harness.ask("POST", INITIALIZE, body=WISH, token=token).status for token in shown] == [401, 401, 403]
    assert len(harness.rate_limiter.asked) == 3


def test_a_player_who_retried_during_a_ledger_fault_can_begin_after_it() -> None:
    harness = Harness(counting=True)
    harness.health.set("ledger", serving=False, detail="The ledger cannot commit")
    assert {harness.ask("POST", INITIALIZE, body=WISH).status for _ in range(120)} == {503}
    harness.health.set("ledger", serving=True, detail="The ledger did not keep the last awards")
    reply = harness.ask("POST", INITIALIZE, body=WISH)
    assert (reply.status, reply.headers["ratelimit"]) == (200, '"initialize";r=19;t=60')


@pytest.mark.parametrize(
    ("path", "body", "message"),
    [
        (INITIALIZE, {"actionType": "COMPLETE_QUEST"}, "metadata.questId: is required"),
        (INITIALIZE, {"actionType": "NOPE"}, "actionType: there is no such action; GET /api/v1/actions lists them"),
        ("/api/v1/scores/submit", {"actionId": "X"}, "actionId: must be a version-4 UUID, in lower case with dashes"),
    ],
)
def test_a_message_names_the_member_and_its_fault(path: str, body: dict[str, str], message: str) -> None:
    assert Harness().ask("POST", path, body=body).json["message"] == message
