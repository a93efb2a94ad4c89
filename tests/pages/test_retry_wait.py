"""The wait before a retry of the page. `tests/cli/test_retry_wait.py` has the one of the clients in Python."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from playwright.sync_api import Page, expect

from tests.pages.conftest import OpenPage, expect_live
from tests.pages.fake_server import FakeServer
from tests.retry_after import NOW_S, RETRY_AFTER, wait_at

WAITS = """async ([calls, nowMs]) => {
    const { retryWaitMs } = await import("/static/retry_wait.js");
    return calls.map(([retryAfter, failures, random]) => retryWaitMs({ failures, retryAfter, random, nowMs }));
}"""
CALL = st.tuples(
    st.none() | st.text() | st.integers(-(2**53), 2**53) | st.from_regex(r"[A-Z][a-z]{2},? [0-9 A-Za-z:+-]{1,30}"),
    st.integers(0, 10_000),
    st.floats(0, 1),
)


def waits_ms(page: Page, calls: list[tuple[Any, int, float]]) -> list[float]:
    found: list[float] = page.evaluate(WAITS, [calls, NOW_S * 1000])
    return found


def test_the_wait_is_the_requested_time_and_its_jitter(open_page: OpenPage) -> None:
    table = [(header, requested_s, random) for header, requested_s in (*RETRY_AFTER, (None, 0), (7, 7)) for random in (0, 0.5, 1)]
    found = waits_ms(open_page(), [(header, 0, random) for header, _, random in table])
    expected = [wait_at(requested_s, random) * 1000 for _, requested_s, random in table]
    assert dict(zip(table, found, strict=True)) == pytest.approx(dict(zip(table, expected, strict=True)))


def test_the_wait_is_half_a_second_to_30_s_whatever_the_server_sends(open_page: OpenPage) -> None:
    page = open_page()

    @settings(max_examples=20, deadline=None)
    @given(st.lists(CALL, min_size=1, max_size=100))
    def check(calls: list[tuple[Any, int, float]]) -> None:
        assert all(500 <= wait_ms <= 30_000 for wait_ms in waits_ms(page, calls))

    check()


def test_clients_with_the_same_answer_wait_for_different_times(open_page: OpenPage) -> None:
    found = waits_ms(open_page(), [(header, 0, step / 4) for header, _ in RETRY_AFTER for step in range(5)])
    assert [len(set(found[at : at + 5])) for at in range(0, len(found), 5)] == [5] * len(RETRY_AFTER)


@pytest.mark.parametrize("retry_after", ["Fri, 27 Nov 2099 12:00:20 GMT", "1, 30", "3000000", "-5", "soon", ""])
def test_the_page_waits_between_requests_whatever_retry_after_says(
    open_page: OpenPage, server: FakeServer, retry_after: str
) -> None:
    server.spectator_refusals = [retry_after] * 20
    page = open_page()
    expect(page.locator("#connection")).to_contain_text("Offline")
    page.wait_for_timeout(450)
    waits_s = [after_s - before_s for before_s, after_s in pairwise(server.refused_at_s)]
    assert all(wait_s >= 0.5 for wait_s in waits_s), "it asked again within half a second"
    server.spectator_refusals = []
    page.get_by_role("button", name="Retry now").click()
    expect_live(page)
