"""The wait before a retry of the clients in Python. `tests/pages/test_retry_wait.py` has the page's."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from cli.retry_wait import retry_wait_s
from tests.retry_after import NOW_S, RETRY_AFTER, wait_at

UNIT = st.floats(0, 1)


@pytest.mark.parametrize(("header", "requested_s"), [*RETRY_AFTER, (None, 0), (7, 7)])
@pytest.mark.parametrize("random", [0, 0.5, 1])
def test_the_wait_is_the_requested_time_and_its_jitter(header: str | int | None, requested_s: float, random: float) -> None:
    assert retry_wait_s(header, 0, now_s=NOW_S, random=random) == pytest.approx(wait_at(requested_s, random))


@given(
    st.none() | st.text() | st.floats() | st.integers() | st.from_regex(r"[A-Z][a-z]{2},? [0-9 A-Za-z:+-]{1,30}"),
    st.integers(0),
    UNIT,
)
@example("Fri, 31 Dec 9999 23:59:59 -2359", 0, 0.5)
@example("Fri, 27 Nov 2026 12:00:20 +99999999", 0, 0.5)
def test_the_wait_is_half_a_second_to_30_s_whatever_the_server_sends(
    header: str | float | None, failures: int, random: float
) -> None:
    assert 0.5 <= retry_wait_s(header, failures, now_s=NOW_S, random=random) <= 30


def test_the_backoff_doubles_up_to_20_s_before_the_jitter() -> None:
    assert [retry_wait_s(None, failures, now_s=NOW_S, random=0.5) for failures in range(7)] == [1, 2, 4, 8, 16, 20, 20]


@given(st.sampled_from([header for header, _ in RETRY_AFTER]), st.integers(0, 9))
def test_clients_with_the_same_answer_wait_for_different_times(header: str, failures: int) -> None:
    waits_s = {retry_wait_s(header, failures, now_s=NOW_S, random=step / 4) for step in range(5)}
    assert len(waits_s) == 5
