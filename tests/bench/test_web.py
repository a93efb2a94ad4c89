"""Cost of the HTTP API itself, without socket and store: `make bench`."""

from __future__ import annotations

import json
from typing import Any

from scoreboard.domain.actions import Receipt
from scoreboard.net.http.request_head import read_head
from scoreboard.web.request_bodies import read_submission
from scoreboard.web.schemas import ReceiptAnswer, encode, receipt_data
from tests.web.harness import Harness, request

RECEIPT = Receipt(points=100, total=1250, rank=5, previous_rank=7)


def test_reading_a_submission_and_writing_its_receipt(benchmark: Any) -> None:
    body = json.dumps(Harness().initialized()).encode()

    def round_trip() -> bytes:
        read_submission(b"application/json", body)
        return encode(ReceiptAnswer(data=receipt_data(RECEIPT)))

    assert benchmark(round_trip)


def test_reading_a_request_head(benchmark: Any) -> None:
    raw = request("GET", "/api/v1/scores/me", headers={"Authorization": f"Bearer {Harness().token()}"}).removesuffix(b"\r\n\r\n")
    assert benchmark(read_head, raw, 100).method == b"GET"


def test_a_request_for_the_board_from_bytes_to_bytes(benchmark: Any) -> None:
    harness = Harness()
    text_line = harness.connection()
    ask = request("GET", "/api/v1/scores/leaderboard", headers={"Authorization": f"Bearer {harness.token()}"})

    def asked() -> int:
        harness.rate_limiter.asked.clear()
        return text_line.ask(ask).status

    assert benchmark(asked) == 200


def test_a_submission_from_bytes_to_bytes(benchmark: Any) -> None:
    harness = Harness()
    text_line = harness.connection()
    ask = request(
        "POST", "/api/v1/scores/submit", body=harness.initialized(), headers={"Authorization": f"Bearer {harness.token()}"}
    )

    def asked() -> int:
        harness.rate_limiter.asked.clear()
        harness.scorekeeper.kept.clear()
        return text_line.ask(ask).status

    assert benchmark(asked) == 200
