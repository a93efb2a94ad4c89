"""The demo: players who keep to the rules of the game, and a clear word where there is nobody to play with."""

from __future__ import annotations

import random
from collections.abc import Mapping
from typing import Any

import pytest

from cli.demo import Answer, Door, Tally, play, take_turns
from cli.exit_codes import UNREACHABLE, Stop
from config.catalogue import load_catalogue
from config.settings import PACKAGED_ACTIONS
from scoreboard.domain.rules import check_metadata

RULES = load_catalogue(PACKAGED_ACTIONS, 600_000)
GRANT = {"data": {"actionId": "an-action", "timestamp": 5, "signature": "signed"}}


class ScriptedDoor(Door):
    """Answers from a list, the last answer for ever, and remembers what was asked."""

    def __init__(self, *answers: Answer) -> None:
        super().__init__("http://127.0.0.1:9")
        self.answers, self.asked = list(answers), list[tuple[str, Mapping[str, Any]]]()

    def ask(self, method: str, path: str, token: str, body: Mapping[str, Any] | None = None) -> Answer:
        self.asked.append((path, body or {}))
        return self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]


@pytest.mark.parametrize("seed", range(5))
def test_a_player_hands_in_what_was_begun_after_doing_it_and_no_faster_than_allowed(seed: int) -> None:
    door, tally = ScriptedDoor(Answer(200, GRANT, 0)), Tally()
    game = play(door, "token", random.Random(seed), tally)
    waits_s = [next(game) for _ in range(41)]
    assert tally.awarded == 20
    for (begun_at, begun), (handed_in_at, handed_in), takes_s in zip(
        door.asked[::2], door.asked[1::2], waits_s[1::2], strict=True
    ):
        rule = RULES[begun["actionType"]]
        assert (begun_at, handed_in_at) == ("/actions/initialize", "/scores/submit")
        assert check_metadata(rule, begun["metadata"]) is None
        assert takes_s * 1000 >= rule.duration_ms_min
        assert handed_in == {**begun, **GRANT["data"]}
    assert sum(waits_s[1:]) / tally.awarded > 6, "ten submissions a minute are allowed"


def test_a_player_who_is_refused_waits_as_long_as_he_is_told() -> None:
    refused = Answer(429, {"error": "RATE_LIMIT_EXCEEDED", "message": "Too many"}, 40)
    tally = Tally()
    game = play(ScriptedDoor(refused, Answer(200, GRANT, 0), refused), "token", random.Random(1), tally)
    next(game)
    assert next(game) == 40
    next(game)
    assert next(game) == 40
    assert (tally.awarded, tally.refused, tally.last_refusal) == (0, 2, "429 RATE_LIMIT_EXCEEDED: Too many")


def test_everybody_has_a_turn_until_the_time_is_over() -> None:
    turns = []

    def game(name: str) -> Any:
        while True:
            turns.append(name)
            yield 0.01

    take_turns([game("a"), game("b")], 0.035)
    assert turns[:4] == ["a", "b", "a", "b"]
    assert len(turns) <= 10


def test_without_a_server_we_say_how_to_start_one() -> None:
    with pytest.raises(Stop, match=r"no scoreboard answers at http://127.0.0.1:9 .*; start one with `make run`") as stop:
        Door("http://127.0.0.1:9").ask("GET", "/scores/leaderboard", "token")
    assert stop.value.exit_code == UNREACHABLE
