"""The load tests of tests/journeys with few clients: each runs to its end and keeps its limits on any machine."""

from __future__ import annotations

from collections import Counter

import pytest

from tests.journeys import churn, stalled, storm
from tests.journeys.figures import Figures, percentile


def verdict(capsys: pytest.CaptureFixture[str], status: int) -> str:
    printed = capsys.readouterr().out
    assert status == 0, printed
    return printed.splitlines()[-1]


def test_stalled_sockets_do_not_delay_the_others(capsys: pytest.CaptureFixture[str]) -> None:
    few = ["--viewers", "200", "--stalled", "100", "--seconds", "2.5", "--players", "100", "--any-end"]
    busy = ["--later-ms", "1000"]  # other work on this machine may delay so short a run
    assert verdict(capsys, stalled.main(few + busy)) == "kept"


def test_clients_that_reconnect_after_a_restart_have_the_right_board(capsys: pytest.CaptureFixture[str]) -> None:
    assert verdict(capsys, storm.main(["--viewers", "200"])) == "kept"


def test_clients_that_disconnect_leave_nothing_in_the_server(capsys: pytest.CaptureFixture[str]) -> None:
    assert verdict(capsys, churn.main(["--seconds", "3", "--rate", "50", "--no-silent"])) == "kept"


def test_a_broken_limit_is_reported(capsys: pytest.CaptureFixture[str]) -> None:
    figures = Figures("a run")
    figures.promise("quick (ms)", 3.0, 2.0)
    figures.promise("small", 1, 2)
    figures.expect("all there", 4, 5)
    assert figures.verdict() == 1
    assert capsys.readouterr().out.splitlines()[-1] == "BROKEN: quick (ms); all there"


@pytest.mark.parametrize(("share", "value"), [(0.5, 2), (0.99, 9), (1.0, 9)])
def test_a_percentile_is_the_least_value_that_covers_the_given_share_of_the_values(share: float, value: int) -> None:
    assert percentile(Counter([1, 1, 2, 2, 9]), share) == value
    assert percentile(Counter(), share) == 0
