"""Every event of the server has a name, and the page of the live protocol has a row for it."""

from __future__ import annotations

from pathlib import Path
from typing import get_args

from scoreboard.domain.events import Event, News, Notice
from scoreboard.realtime.payloads import _NAMES

PAGE = Path(__file__).parents[1] / "docs" / "protocol-live.md"


def test_every_event_has_a_name() -> None:
    assert set(_NAMES) == set(get_args(Event)) == {*get_args(News), *get_args(Notice)}


def test_every_event_has_a_row_on_the_page_of_the_live_protocol() -> None:
    page = PAGE.read_text("utf-8")
    assert [name for name in _NAMES.values() if f"\n| `{name.decode()}` |" not in page] == []
