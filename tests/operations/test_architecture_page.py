"""The pages for developers name files and names that exist."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.journeys.server import ROOT


@pytest.mark.parametrize("page", ["architecture.md", "words.md"])
def test_every_file_that_a_page_for_developers_names_exists(page: str) -> None:
    text = (ROOT / "docs" / page).read_text()
    named = re.findall(r"`([\w./]+(?:\.(?:py|lua|js|toml|example)|/))`", text)
    assert len(named) > 20
    assert [name for name in named if not any((root / name).exists() for root in (ROOT, ROOT / "scoreboard"))] == []


def defined_in(path: Path) -> Iterator[str]:
    """The classes, functions and variables that a module defines."""
    for node in ast.walk(ast.parse(path.read_text())):
        match node:
            case ast.ClassDef(name=name) | ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name):
                yield name
            case ast.Name(id=name, ctx=ast.Store()):
                yield name


def test_a_name_beside_a_file_on_the_architecture_page_is_defined_in_that_file() -> None:
    text = (ROOT / "docs" / "architecture.md").read_text()
    named = re.findall(r"((?:`\w+`(?:, | and | or )?)+) (?:\(|in )`([\w./]+\.py)`", text)
    pairs = [(name, file) for names, file in named for name in re.findall(r"`(\w+)`", names)]
    assert len(pairs) > 30
    wrong = []
    for name, file in pairs:
        (path,) = [root / file for root in (ROOT, ROOT / "scoreboard") if (root / file).exists()]
        wrong += [] if name in set(defined_in(path)) else [(name, file)]
    assert wrong == []
