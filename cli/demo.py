"""Load generator (`make demo`): simulated players who score on a running server through its public API, as a game would."""

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

from cli.exit_codes import BAD_SETTINGS, UNREACHABLE, CliError
from cli.output import print_error, visible
from cli.retry_wait import retry_wait_s
from config import BadSettings
from scoreboard.service import admin

_NAMES: Final = "Ada Bao Cleo Dmitri Efua Farid Greta Hiro Ines Kaya Lior Priya Tove Zofia"
_TOKEN_LIFE_S: Final = 3600
_REPORT_S: Final = 3.0
_TIMEOUT_S: Final = 10.0
#: A little slower than the limit of ten submissions a minute per player.
_PACE_S_MIN: Final = 6.2


@dataclass(frozen=True)
class ApiResponse:
    """The server's response: its status, its JSON object ({} if it has none), and its Retry-After."""

    status: int
    body: Mapping[str, Any]
    retry_after: str | None


class ApiClient:
    """HTTP client with one connection, which is opened again after the server closed it."""

    def __init__(self, url: str) -> None:
        self.url = url
        parts = urlsplit(url)
        kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
        self._connection = kind(parts.hostname or "127.0.0.1", parts.port, timeout=_TIMEOUT_S)
        self._path = parts.path.rstrip("/") + "/api/v1"

    def request(self, method: str, path: str, token: str, body: Mapping[str, Any] | None = None) -> ApiResponse:
        """Send a request and return the response; CliError when the server cannot be reached."""
        headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
        try:
            try:
                response = self._send(method, path, headers, body)
            except (http.client.RemoteDisconnected, BrokenPipeError, ConnectionResetError):  # the server closes idle connections
                self._connection.close()
                response = self._send(method, path, headers, body)
            answer = _json_object(response.read())
        except (OSError, http.client.HTTPException) as error:
            raise CliError(UNREACHABLE, f"no scoreboard answers at {self.url} ({error}); start one with `make run`") from error
        return ApiResponse(response.status, answer, response.headers.get("Retry-After"))

    def _send(
        self, method: str, path: str, headers: Mapping[str, str], body: Mapping[str, Any] | None
    ) -> http.client.HTTPResponse:
        self._connection.request(method, self._path + path, None if body is None else json.dumps(body), dict(headers))
        return self._connection.getresponse()


def _json_object(text: bytes) -> Mapping[str, Any]:
    """The JSON object, {} for anything else: a proxy before the server answers with pages of its own."""
    try:
        answer = json.loads(text)
    except ValueError:
        return {}
    return answer if isinstance(answer, dict) else {}


@dataclass
class Counts:
    """The counts so far."""

    awarded: int = 0
    refused: int = 0
    last_refusal: str = ""

    def add_refusal(self, response: ApiResponse) -> None:
        """Count a refusal and keep its message."""
        self.refused += 1
        self.last_refusal = f"{response.status} {response.body.get('error')}: {response.body.get('message')}"


def play(client: ApiClient, token: str, rng: random.Random, counts: Counts) -> Iterator[float]:
    """Play as one player: initialize an action, wait as long as it takes, submit it, pause. Yields the seconds of each wait."""
    skill, pace_s, failures = rng.random(), _PACE_S_MIN * rng.uniform(1.0, 2.5), 0
    yield rng.uniform(0, pace_s)
    while True:
        action, takes_s = _choose_action(rng, skill)
        initialized = _post(client, "/actions/initialize", token, action)
        if initialized.status != 200 or "data" not in initialized.body:
            counts.add_refusal(initialized)
            yield max(pace_s, _retry_wait_s(initialized, failures, rng))
            failures += 1
            continue
        yield takes_s
        grant = initialized.body["data"]
        done = action | {"actionId": grant["actionId"], "timestamp": grant["timestamp"], "signature": grant["signature"]}
        submitted = _post(client, "/scores/submit", token, done)
        if submitted.status == 200:
            counts.awarded, failures = counts.awarded + 1, 0
            yield pace_s - takes_s
        else:
            counts.add_refusal(submitted)
            yield max(pace_s - takes_s, _retry_wait_s(submitted, failures, rng))
            failures += 1


def _post(client: ApiClient, path: str, token: str, body: Mapping[str, Any]) -> ApiResponse:
    """The response; without one (the server restarts) a refusal of status 0, so that the player tries again later."""
    try:
        return client.request("POST", path, token, body)
    except CliError as error:
        return ApiResponse(0, {"error": "NO_ANSWER", "message": str(error)}, None)


def _retry_wait_s(refused: ApiResponse, failures: int, rng: random.Random) -> float:
    return retry_wait_s(refused.retry_after, failures, now_s=time.time(), random=rng.random())


def _choose_action(rng: random.Random, skill: float) -> tuple[dict[str, Any], float]:
    """An action to initialize and the seconds it takes; a more skilled player chooses harder ones more often."""
    name = f"{rng.randrange(10**6):06d}"
    kind = rng.random()
    if kind < 0.2:
        rarity = "legendary" if rng.random() < skill / 8 else "rare" if rng.random() < skill else "common"
        return {"actionType": "COLLECT_ITEM", "metadata": {"itemId": f"item-{name}", "rarity": rarity}}, rng.uniform(0.6, 2)
    if kind < 0.45:
        match = {"matchId": f"match-{name}", "mode": rng.choice(("solo", "duo", "squad"))}
        return {"actionType": "WIN_MATCH", "metadata": match}, 3.1
    difficulty = "hard" if rng.random() < skill * 0.6 else "normal" if rng.random() < skill else "easy"
    quest = {"questId": f"quest-{name}", "difficulty": difficulty}
    return {"actionType": "COMPLETE_QUEST", "metadata": quest}, rng.uniform(0.2, 2)


def report(client: ApiClient, token: str, counts: Counts) -> Iterator[float]:
    """Print the counts and the leaders every few seconds."""
    started_s = time.monotonic()
    while True:
        yield _REPORT_S
        try:
            board = client.request("GET", "/scores/leaderboard?limit=3", token).body.get("data") or {}
        except CliError:  # the players count it
            board = {}
        leaders = "  ".join(f"{row['rank']}. {row['username']} {row['score']}" for row in board.get("leaderboard", ()))
        refusals = f", {counts.refused} refused (last: {counts.last_refusal})" if counts.refused else ""
        typer.echo(visible(f"{time.monotonic() - started_s:5.0f} s  {counts.awarded} awards{refusals}  {leaders}"))


def demo(
    players: Annotated[int, typer.Option(min=1, max=250, help="How many players play.")] = 60,
    seconds: Annotated[float, typer.Option(min=1, help="Stop after this many seconds.")] = 300,
    url: Annotated[str | None, typer.Option(help="The server's URL; else the address in the settings.")] = None,
) -> None:
    """Let simulated players move the board of a running server. Ctrl-C stops it."""
    try:
        settings = admin.settings_from(os.environ, signs=True)
    except BadSettings as error:
        raise CliError(BAD_SETTINGS, str(error)) from error
    client, counts = ApiClient(url or f"http://127.0.0.1:{settings.port}"), Counts()
    first_names = _NAMES.split()
    names = [f"{first_names[number % len(first_names)]}{number // len(first_names) or ''}" for number in range(players)]
    tokens = [admin.issue_token(settings, f"demo-{name.lower()}", name, "user", _TOKEN_LIFE_S) for name in names]
    probe = client.request("GET", "/scores/leaderboard?limit=1", tokens[0])
    if probe.status == http.client.UNAUTHORIZED:
        raise CliError(
            UNREACHABLE,
            f"the server at {client.url} has another JWT_SECRET; run this command with its settings, in its directory",
        )
    games = [play(client, token, random.Random(name), counts) for name, token in zip(names, tokens, strict=True)]  # noqa: S311  a game
    typer.echo(f"{players} players play on {client.url} for {seconds:.0f} s; Ctrl-C stops them")
    with suppress(KeyboardInterrupt):
        run_scheduled([report(client, tokens[0], counts), *games], seconds)
    typer.echo(f"{counts.awarded} awards, {counts.refused} refused")


def run_scheduled(generators: Sequence[Iterator[float]], seconds: float) -> None:
    """Resume each generator when its wait is over, until the time is up."""
    now_s = time.monotonic()
    end_s = now_s + seconds
    due = [(now_s, index) for index in range(len(generators))]
    while due[0][0] < end_s:
        at_s, index = due[0]
        time.sleep(max(0.0, at_s - time.monotonic()))
        heapq.heapreplace(due, (time.monotonic() + next(generators[index]), index))


if __name__ == "__main__":
    try:
        typer.run(demo)
    except CliError as error:
        print_error(str(error))
        sys.exit(error.exit_code)
