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


def test_no_other_module_makes_a_close_reason() -> None:
    allowed = {"scoreboard/domain/close_reasons.py", "scoreboard/net/websocket/slim.py"}  # slim.py passes on Autobahn's own codes
    makers = {
        str(path.relative_to(ROOT))
        for path in (ROOT / "scoreboard").rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(node, ast.Call) and ast.unparse(node.func) in ("CloseReason", "close_reasons.CloseReason")
    }
    assert makers == allowed
