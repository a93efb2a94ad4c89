"""Close reasons: all stand in one file, fit into a close frame, and are in the pages for authors of clients."""

from __future__ import annotations

import ast
from pathlib import Path
from typing import Final

import pytest

from scoreboard.domain import close_reasons
from scoreboard.domain.close_reasons import CloseCode, CloseReason

ROOT: Final = Path(__file__).parents[2]
REASONS: Final = {name: one for name, one in vars(close_reasons).items() if isinstance(one, CloseReason)}
REASON_BYTES_MAX: Final = 123  # RFC 6455, 5.5: a control frame holds 125 bytes, and two of them are the code


@pytest.mark.parametrize("name", REASONS)
def test_a_reason_fits_into_a_close_frame(name: str) -> None:
    reason = REASONS[name]
    assert reason.code in set(CloseCode)
    assert reason.reason.isascii()
    assert len(reason.reason) <= REASON_BYTES_MAX


def test_every_code_is_used_and_explained_to_authors_of_clients() -> None:
    pages = "".join((ROOT / "docs" / page).read_text("utf-8") for page in ("protocol-live.md", "protocol-socketio.md"))
    assert {reason.code for reason in REASONS.values()} == set(CloseCode)
    assert [code for code in CloseCode if str(int(code)) not in pages] == []


def makes_a_reason(source: str) -> bool:
    """Whether a module makes a close reason."""
    calls = [node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Call)]
    return any(ast.unparse(call.func).rpartition(".")[2] == "CloseReason" for call in calls)


def test_no_other_module_makes_a_close_reason() -> None:
    allowed = {"scoreboard/domain/close_reasons.py", "scoreboard/net/websocket/slim.py"}  # slim.py passes on Autobahn's own codes
    sources = {str(path.relative_to(ROOT)): path.read_text("utf-8") for path in (ROOT / "scoreboard").rglob("*.py")}
    assert {path for path, source in sources.items() if makes_a_reason(source)} == allowed


@pytest.mark.parametrize("source", ["CloseReason(1000, 'bye')", "x = reasons.CloseReason(code=1, reason='')"])
def test_the_search_finds_a_reason_that_is_made(source: str) -> None:
    assert makes_a_reason(source)
    assert not makes_a_reason("def close(reason: CloseReason): ...")
