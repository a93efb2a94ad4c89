"""`make demo`: simulated players who move the board of a running server through its public API, as a game would."""

from __future__ import annotations

import heapq
import http.client
import json
import os
import random
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Annotated, Any, Final
from urllib.parse import urlsplit

import typer

from cli.exit_codes import BAD_SETTINGS, UNREACHABLE, Stop
from cli.output import complain, visible
from config import BadSettings
from scoreboard import service

_NAMES: Final = (
    "Ada",
    "Bao",
    "Cleo",
    "Dmitri",
    "Efua",
    "Farid",
    "Greta",
    "Hiro",
    "Ines",
    "Kaya",
    "Lior",
    "Priya",
    "Tove",
    "Zofia",
)
_LIFE_S: Final = 3600
_REPORT_S: Final = 3.0
_TIMEOUT_S: Final = 10.0
#: A little slower than the ten submissions a minute that a player is allowed.
_PACE_S_MIN: Final = 6.2


@dataclass(frozen=True)
class Answer:
    """What the server said: its status, its JSON object, and when to come back (0: not told)."""

    status: int
    said: Mapping[str, Any]
    retry_after_s: float


class Door:
    """One connection to the server, opened again when it was closed."""

    def __init__(self, url: str) -> None:
        self.url = url
        parts = urlsplit(url)
        kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
        self._connection = kind(parts.hostname or "127.0.0.1", parts.port, timeout=_TIMEOUT_S)
        self._path = parts.path.rstrip("/") + "/api/v1"

    def ask(self, method: str, path: str, token: str, body: Mapping[str, Any] | None = None) -> Answer:
        """Ask the server; Stop when it cannot be reached."""
        headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
        try:
            try:
                response = self._once(method, path, headers, body)
            except (http.client.RemoteDisconnected, BrokenPipeError, ConnectionResetError):  # it was idle for too long
                self._connection.close()
                response = self._once(method, path, headers, body)
            said = json.loads(response.read())
        except (OSError, http.client.HTTPException, ValueError) as fault:
            raise Stop(UNREACHABLE, f"no scoreboard answers at {self.url} ({fault}); start one with `make run`") from fault
        return Answer(response.status, said, float(response.headers.get("Retry-After", 0)))

    def _once(
        self, method: str, path: str, headers: Mapping[str, str], body: Mapping[str, Any] | None
    ) -> http.client.HTTPResponse:
        self._connection.request(method, self._path + path, None if body is None else json.dumps(body), dict(headers))
        return self._connection.getresponse()


@dataclass
class Tally:
    """What happened so far."""

    awarded: int = 0
    refused: int = 0
    last_refusal: str = ""

    def note(self, answer: Answer) -> None:
        """Remember a refusal."""
        self.refused += 1
        self.last_refusal = f"{answer.status} {answer.said.get('error')}: {answer.said.get('message')}"


def play(door: Door, token: str, luck: random.Random, tally: Tally) -> Iterator[float]:
    """One player: begins an action, spends time on it, hands it in, rests. Yields the seconds until it goes on."""
    skill, pace_s = luck.random(), _PACE_S_MIN * luck.uniform(1.0, 2.5)
    yield luck.uniform(0, pace_s)
    while True:
        action, takes_s = _choose(luck, skill)
        begun = door.ask("POST", "/actions/initialize", token, action)
        if begun.status != 200:
            tally.note(begun)
            yield max(begun.retry_after_s, pace_s)
            continue
        yield takes_s
        grant = begun.said["data"]
        done = action | {"actionId": grant["actionId"], "timestamp": grant["timestamp"], "signature": grant["signature"]}
        handed_in = door.ask("POST", "/scores/submit", token, done)
        if handed_in.status == 200:
            tally.awarded += 1
        else:
            tally.note(handed_in)
        yield max(handed_in.retry_after_s, pace_s - takes_s)


def _choose(luck: random.Random, skill: float) -> tuple[dict[str, Any], float]:
    """(what to initialize, how many seconds it takes): the better the player, the harder the deed."""
    name = f"{luck.randrange(10**6):06d}"
    kind = luck.random()
    if kind < 0.2:
        rarity = "legendary" if luck.random() < skill / 8 else "rare" if luck.random() < skill else "common"
        return {"actionType": "COLLECT_ITEM", "metadata": {"itemId": f"item-{name}", "rarity": rarity}}, luck.uniform(0.6, 2)
    if kind < 0.45:
        return {
            "actionType": "WIN_MATCH",
            "metadata": {"matchId": f"match-{name}", "mode": luck.choice(("solo", "duo", "squad"))},
        }, 3.1
    difficulty = "hard" if luck.random() < skill * 0.6 else "normal" if luck.random() < skill else "easy"
    return {"actionType": "COMPLETE_QUEST", "metadata": {"questId": f"quest-{name}", "difficulty": difficulty}}, luck.uniform(
        0.2, 2
    )


def report(door: Door, token: str, tally: Tally) -> Iterator[float]:
    """A line every few seconds: how much was awarded and who leads."""
    started_s = time.monotonic()
    while True:
        yield _REPORT_S
        answer = door.ask("GET", "/scores/leaderboard?limit=3", token)
        leaders = "  ".join(
            f"{row['rank']}. {row['username']} {row['score']}" for row in answer.said.get("data", {}).get("leaderboard", ())
        )
        refusals = f", {tally.refused} refused (last: {tally.last_refusal})" if tally.refused else ""
        typer.echo(visible(f"{time.monotonic() - started_s:5.0f} s  {tally.awarded} awards{refusals}  {leaders}"))


def demo(
    players: Annotated[int, typer.Option(min=1, max=250, help="How many players play.")] = 60,
    seconds: Annotated[float, typer.Option(min=1, help="Stop after so long.")] = 300,
    url: Annotated[str | None, typer.Option(help="Where the server is; else where these settings would start it.")] = None,
) -> None:
    """Let simulated players move the board of a running server. Ctrl-C stops it."""
    try:
        settings = service.settings_from(os.environ, signs=True)
    except BadSettings as bad:
        raise Stop(BAD_SETTINGS, str(bad)) from bad
    door, tally = Door(url or f"http://127.0.0.1:{settings.port}"), Tally()
    names = [f"{_NAMES[number % len(_NAMES)]}{number // len(_NAMES) or ''}" for number in range(players)]
    tokens = [service.mint_token(settings, f"demo-{name.lower()}", name, "user", _LIFE_S) for name in names]
    first = door.ask("GET", "/scores/leaderboard?limit=1", tokens[0])
    if first.status == http.client.UNAUTHORIZED:
        raise Stop(UNREACHABLE, f"the server at {door.url} has another JWT_SECRET; run this with its settings, in its directory")
    games = [play(door, token, random.Random(name), tally) for name, token in zip(names, tokens, strict=True)]  # noqa: S311  a game
    typer.echo(f"{players} players play on {door.url} for {seconds:.0f} s; Ctrl-C stops them")
    with suppress(KeyboardInterrupt):
        take_turns([report(door, tokens[0], tally), *games], seconds)
    typer.echo(f"{tally.awarded} awards, {tally.refused} refused")


def take_turns(games: Sequence[Iterator[float]], seconds: float) -> None:
    """Let each go on when its time has come, until the time is over."""
    now_s = time.monotonic()
    end_s = now_s + seconds
    due = [(now_s, place) for place in range(len(games))]
    while due[0][0] < end_s:
        at_s, place = due[0]
        time.sleep(max(0.0, at_s - time.monotonic()))
        heapq.heapreplace(due, (time.monotonic() + next(games[place]), place))


if __name__ == "__main__":
    try:
        typer.run(demo)
    except Stop as stop:
        complain(str(stop))
        sys.exit(stop.exit_code)
