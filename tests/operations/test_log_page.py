"""docs/operations.md has every line that the server writes to its log, at its level."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

from scoreboard.domain.token_faults import FORGERIES
from tests.journeys.server import ROOT

PAGE = (ROOT / "docs" / "operations.md").read_text()
TABLE = [text for text in PAGE[PAGE.index("## The log") :].splitlines() if text.startswith("| ")]
WRITERS = {"debug", "info", "warn", "error", "critical", "failure", "emit", "write", "callFromThread"}
LEVELS = {"debug", "info", "warn", "error"}


def written(source: str) -> Iterator[tuple[str, str]]:
    """(what writes the line, the message) of each call with a literal message on a logger, or on a method of one."""
    for node in ast.walk(ast.parse(source)):
        if not isinstance(node, ast.Call):
            continue
        called = ast.unparse(node.func)
        loggers = f"{called} {ast.unparse(node.args[0]) if node.args else ''}".lower()
        if called.rpartition(".")[2] in WRITERS and ("log" in loggers or called == "write"):
            for argument in node.args[:2]:
                if isinstance(argument, ast.Constant) and isinstance(argument.value, str):
                    yield called, re.sub(r"(\{\w+):[^}]*\}", r"\1}", argument.value)


def all_written() -> list[tuple[str, str, str]]:
    """(file, what writes the line, the message) of each line in the source."""
    sources = sorted((ROOT / "scoreboard").rglob("*.py"))
    return [(str(path.relative_to(ROOT)), *one) for path in sources for one in written(path.read_text())]


def test_every_line_of_the_log_stands_on_the_page_at_its_level() -> None:
    found = all_written()
    assert len(found) > 35, "the search finds the lines"
    missing = []
    for file, called, message in found:
        rows = [row for row in TABLE if f"`{message}`" in row]
        level = called.rpartition(".")[2]
        if not rows or (level in LEVELS and not any(level in row.split("|")[1] for row in rows)):
            missing.append(f"{file}: {level} {message}")
    assert missing == []


def test_the_search_finds_a_line_in_each_form() -> None:
    source = (
        '_log.info("a {b:.1f}", b=1)\nself._log.emit(level, "c")\nwrite("d")\nreactor.callFromThread(_log.info, "e")\nother("f")'
    )
    assert [message for _, message in written(source)] == ["a {b}", "c", "d", "e"]


def test_the_page_names_the_reasons_that_are_logged_at_info() -> None:
    (row,) = [row for row in TABLE if "a token was refused" in row and row.startswith("| info")]
    assert all(f"`{fault.value}`" in row for fault in FORGERIES)
