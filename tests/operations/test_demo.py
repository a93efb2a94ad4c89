"""Tests of the load generator behind `make demo`."""

from __future__ import annotations

import random
from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any

import pytest
from twisted.internet.task import Clock

from cli import demo
from cli.demo import ApiClient, ApiResponse, Counts, _json_object, play, report, run_scheduled
from cli.exit_codes import UNREACHABLE, CliError
from config.catalogue import load_catalogue
from config.settings import PACKAGED_ACTIONS
from scoreboard.domain.rules import check_metadata
from tests.retry_after import RETRY_AFTER

RULES = load_catalogue(PACKAGED_ACTIONS, 600_000)
GRANT = {"data": {"actionId": "an-action", "timestamp": 5, "signature": "signed"}}


class ScriptedClient(ApiClient):
    """Answers from a list, repeats the last answer, and records the requests."""

    def __init__(self, *answers: ApiResponse) -> None:
        super().__init__("http://127.0.0.1:9")
        self.answers, self.requests = list(answers), list[tuple[str, Mapping[str, Any]]]()

    def request(self, method: str, path: str, token: str, body: Mapping[str, Any] | None = None) -> ApiResponse:
        self.requests.append((path, body or {}))
        return self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]


@pytest.mark.parametrize("seed", range(5))
def test_a_player_submits_each_initialized_action_after_its_duration_and_within_the_rate_limit(seed: int) -> None:
    client, counts = ScriptedClient(ApiResponse(200, GRANT, None)), Counts()
    game = play(client, "token", random.Random(seed), counts)
    waits_s = [next(game) for _ in range(41)]
    assert counts.awarded == 20
    for (initialize_path, initialized), (submit_path, submitted), takes_s in zip(
        client.requests[::2], client.requests[1::2], waits_s[1::2], strict=True
    ):
        rule = RULES[initialized["actionType"]]
        assert (initialize_path, submit_path) == ("/actions/initialize", "/scores/submit")
        assert check_metadata(rule, initialized["metadata"]) is None
        assert takes_s * 1000 >= rule.duration_ms_min
        assert submitted == {**initialized, **GRANT["data"]}
    assert sum(waits_s[1:]) / counts.awarded > 6, "ten submissions a minute are allowed"


def test_a_refused_player_waits_for_the_time_in_retry_after() -> None:
    refused = ApiResponse(429, {"error": "RATE_LIMIT_EXCEEDED", "message": "Too many"}, "20")
    counts = Counts()
    game = play(ScriptedClient(refused, ApiResponse(200, GRANT, None), refused), "token", random.Random(1), counts)
    next(game)
    assert 20 <= next(game) <= 25
    next(game)
    assert 20 <= next(game) <= 25
    assert (counts.awarded, counts.refused, counts.last_refusal) == (0, 2, "429 RATE_LIMIT_EXCEEDED: Too many")


@pytest.mark.parametrize("retry_after", [*(header for header, _ in RETRY_AFTER), None])
@pytest.mark.parametrize("status", [503, 200])
def test_a_player_goes_on_after_the_page_of_a_proxy_with_any_retry_after(status: int, retry_after: str | None) -> None:
    counts = Counts()
    game = play(ScriptedClient(ApiResponse(status, {}, retry_after)), "token", random.Random(2), counts)
    waits_s = [next(game) for _ in range(9)]
    assert all(0.5 <= wait_s <= 30 for wait_s in waits_s[1:])
    assert counts.refused == 8


def test_the_demo_goes_on_while_the_server_restarts() -> None:
    counts, client = Counts(), ApiClient("http://127.0.0.1:9")
    game = play(client, "token", random.Random(2), counts)
    assert [next(game) <= 30 for _ in range(3)] == [True] * 3
    assert counts.refused == 2
    next(report(client, "token", counts))


@pytest.mark.parametrize("text", [b"", b"<html>502 Bad Gateway</html>", b"[1]", b"null", b"\xff"])
def test_an_answer_that_is_no_json_object_is_an_empty_one(text: bytes) -> None:
    assert _json_object(text) == {}


def test_all_generators_run_until_the_time_is_up(monkeypatch: pytest.MonkeyPatch) -> None:
    steps, clock = [], Clock()
    monkeypatch.setattr(demo, "time", SimpleNamespace(monotonic=clock.seconds, sleep=clock.advance))

    def game(name: str) -> Any:
        while True:
            steps.append(name)
            yield 0.01

    run_scheduled([game("a"), game("b")], 0.035)
    assert steps == ["a", "b"] * 4


def test_the_error_without_a_server_says_how_to_start_one() -> None:
    with pytest.raises(CliError, match=r"no scoreboard answers at http://127.0.0.1:9 .*; start one with `make run`") as stop:
        ApiClient("http://127.0.0.1:9").request("GET", "/scores/leaderboard", "token")
    assert stop.value.exit_code == UNREACHABLE
