"""Attacks with tickets and grants."""

from __future__ import annotations

import secrets
import threading
import time
from concurrent.futures import ThreadPoolExecutor

from tests.attack.attacks import CHANGES, STREAM, attack, client_of, new_user_id, redeemed, suspend, ticket_of, valid_submission
from tests.attack.conftest import honest
from tests.attack.endpoints import ADMITTED, HTTP_ENDPOINTS, SUBMIT, TICKET_ENDPOINTS
from tests.journeys.server import ServerProcess


@attack
def a_ticket_twice(server: ServerProcess) -> list[str]:
    got = []
    for first in (CHANGES, STREAM):
        for second in (CHANGES, STREAM):
            ticket = ticket_of(server, "amy")
            assert redeemed(server, ticket, first) == ADMITTED, "the first use is admitted"
            if redeemed(server, ticket, second) == ADMITTED:
                got.append(f"{first}, then {second}")
    return got


@attack
def a_ticket_from_two_connections_at_once(server: ServerProcess) -> list[str]:
    for _ in range(20):
        ticket, start = ticket_of(server, "amy"), threading.Barrier(8)

        def redeem(_: int, ticket: str = ticket, start: threading.Barrier = start) -> str:
            start.wait(15)
            return redeemed(server, ticket)

        with ThreadPoolExecutor(8) as pool:
            admitted = list(pool.map(redeem, range(8))).count(ADMITTED)
        assert admitted >= 1
        if admitted > 1:
            return ["more than one request was admitted"]
    return []


@attack
def a_ticket_of_a_token_that_has_ended(server: ServerProcess) -> list[str]:
    now_s = int(time.time())
    tickets = [ticket_of(server, "amy", iat=now_s - 5, exp=now_s + 5) for _ in TICKET_ENDPOINTS]
    time.sleep(max(0.0, now_s + 5.1 - time.time()))
    return [path for ticket, path in zip(tickets, (CHANGES, STREAM), strict=True) if redeemed(server, ticket, path) == ADMITTED]


@attack
def a_ticket_of_a_player_suspended_since(server: ServerProcess) -> list[str]:
    user = new_user_id("mallory")
    tickets = [ticket_of(server, user) for _ in TICKET_ENDPOINTS]
    suspend(server, user)
    return [path for ticket, path in zip(tickets, (CHANGES, STREAM), strict=True) if redeemed(server, ticket, path) == ADMITTED]


@attack
def a_ticket_as_a_token(server: ServerProcess) -> list[str]:
    ticket, one = ticket_of(server, "amy"), client_of(server)
    got = [endpoint for endpoint in HTTP_ENDPOINTS if one.ask(endpoint, ticket) == ADMITTED]
    assert redeemed(server, ticket) == ADMITTED, "no attempt used the ticket up"
    return got


@attack
def a_token_as_a_ticket(server: ServerProcess) -> list[str]:
    return [path for path in (CHANGES, STREAM) if redeemed(server, honest("amy"), path) == ADMITTED]


@attack
def a_ticket_at_an_endpoint_that_takes_none(server: ServerProcess) -> list[str]:
    ticket, one = ticket_of(server, "amy"), client_of(server)
    endpoints = [endpoint for endpoint in HTTP_ENDPOINTS if endpoint not in TICKET_ENDPOINTS]
    got = [endpoint for endpoint in endpoints if one.ask(endpoint, None, f"?ticket={ticket}") == ADMITTED]
    assert redeemed(server, ticket) == ADMITTED, "no attempt used the ticket up"
    return got


@attack
def a_ticket_made_up(server: ServerProcess) -> list[str]:
    real = ticket_of(server, "amy")
    made_up = [real[:-1], real + "x", real.swapcase(), f"ticket:{real}", f"{real}\0", f" {real}", "../" + real, "x" * 24 + ":amy"]
    made_up += [
        "",
        "*",
        "x",
        secrets.token_urlsafe(24),
        "A" * 32,
        "0" * 32,
        "x" * 10_000,
        f"{real}\r\nGET x",
        "leaderboard:global",
    ]
    got = [ticket[:40] for ticket in made_up if redeemed(server, ticket) == ADMITTED]
    assert redeemed(server, real) == ADMITTED
    return got


@attack
def a_grant_of_another_player(server: ServerProcess) -> list[str]:
    amy, eve = new_user_id("amy"), new_user_id("eve")
    one, path = client_of(server), SUBMIT.split(" ")[1]
    granted = valid_submission(one, amy)
    for more in ({}, {"userId": amy}):
        if one.request("POST", path, honest(eve), {**granted, **more})[0] == 200:
            return ["the other player got the points"]
    return []
