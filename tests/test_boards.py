"""A board is a value: only the composition root names the global board, and domain/boards.py says what is special about it."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from scoreboard.domain.boards import GLOBAL_BOARD

ROOT: Final = Path(__file__).resolve().parents[1]
MAY_NAME_IT: Final = {"scoreboard/domain/boards.py"}


def namings(tree: ast.AST) -> Iterator[int]:
    """The lines that name the board: by its constant, or by its id as a text of its own or in a key."""
    docstrings = {
        id(node.body[0].value)
        for node in ast.walk(tree)
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef)
        and isinstance(node.body[0], ast.Expr)
    }
    board_id = GLOBAL_BOARD.board_id
    for node in ast.walk(tree):
        match node:
            case ast.Name(id="GLOBAL_BOARD") | ast.Attribute(attr="GLOBAL_BOARD") | ast.alias(name="GLOBAL_BOARD"):
                yield node.lineno
            case ast.Constant(value=str(text)) if id(node) not in docstrings:
                if text == board_id or f"leaderboard:{board_id}" in text:
                    yield node.lineno


def test_no_package_below_the_root_names_the_global_board() -> None:
    found = [
        f"{path.relative_to(ROOT)}:{number}"
        for directory in ("scoreboard", "cli")
        for path in sorted((ROOT / directory).rglob("*.py"))
        for number in namings(ast.parse(path.read_text()))
        if str(path.relative_to(ROOT)) not in MAY_NAME_IT and "scoreboard/service/" not in str(path)
    ]
    assert found == []


def test_a_board_that_is_named_is_found() -> None:
    named = 'from x import GLOBAL_BOARD\nkey = "leaderboard:global"\nf(GLOBAL_BOARD, "global")\n'
    assert sorted(namings(ast.parse(named))) == [1, 2, 3, 3]
    assert list(namings(ast.parse('"""leaderboard:global"""\nscope = "globally"\n'))) == []
