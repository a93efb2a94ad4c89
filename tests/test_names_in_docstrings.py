"""Docstrings and comments name what is in the code today: a name that a rename left behind leads a reader nowhere."""

from __future__ import annotations

import ast
import io
import re
import tokenize
from collections.abc import Iterator
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parents[1]
SOURCES: Final = sorted(
    path
    for name in ("scoreboard", "cli", "config", "tests")
    for path in (ROOT / name).rglob("*.py")
    if "node_modules" not in path.parts  # what npm installed
)
#: Other files of ours that give names: scripts in Redis, the pages, the build.
OTHERS: Final = sorted(
    [
        *(ROOT / "scoreboard").rglob("*.lua"),
        *(ROOT / "scoreboard" / "pages").rglob("*.js"),
        ROOT / "Makefile",
        ROOT / "pyproject.toml",
        ROOT / "config" / "env.example",
    ]
)
#: Names that belong to Python, Linux, HTTP, browsers, PostgreSQL, SQLite or our dependencies, and two examples.
NAMES_OF_OTHERS: Final = frozenset(
    [
        *(
            "JavaScript",
            "MutationObserver",
            "NodeFilter",
            "SystemExit",
            "TemporaryFile",
            "RateLimit",
            "KleinResource",
            "ReactorBase",
            "DelayedCall",
            "ClientService",
            "NoTransition",
            "ReadyForQuery",
        ),
        *(
            "aaaa",
            "cp",
            "epoll_ctl",
            "float8",
            "json_each",
            "jsonb",
            "numeric",
            "pg_current_snapshot",
            "STEP",
            "temp_tablespaces",
        ),
    ]
)
#: Words of earlier releases that have no other meaning in this program.
JARGON: Final = re.compile(r"\b(?:absentees?|balcony|deeds|doorkeeper|errands|lobby|warden)\b", re.IGNORECASE)
_QUOTED_OR_CLASS: Final = re.compile(r"``?([A-Za-z_][\w.]*)(?:\(\))?``?|\b([A-Z][a-z0-9]+(?:[A-Z][a-z0-9]+)+)\b")


def names(source: str) -> Iterator[str]:
    """Each name that a module gives or uses, and each string that is one word."""
    for node in ast.walk(ast.parse(source)):
        for field in ("id", "attr", "name", "arg", "asname", "module"):
            value = getattr(node, field, None)
            if isinstance(value, str):
                yield from value.split(".")
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and " " not in node.value.strip():
            yield from re.findall(r"\w+", node.value)


def prose(source: str) -> Iterator[tuple[int, str]]:
    """Each line of a docstring or a comment, with its number."""
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.COMMENT or (token.type == tokenize.STRING and '"""' in token.string[:5]):
            yield from enumerate(token.string.splitlines(), start=token.start[0])


def mentioned(words: str) -> Iterator[str]:
    """What a line of prose names: words in backticks, and words with a capital inside."""
    for match in _QUOTED_OR_CLASS.finditer(words):
        yield from (match[1] or match[2]).strip(".").split(".")


def test_each_name_in_a_docstring_or_comment_is_a_name_in_the_code() -> None:
    texts = {path: path.read_text("utf-8") for path in SOURCES}
    known = {*NAMES_OF_OTHERS, *(path.stem for path in SOURCES), *(name for text in texts.values() for name in names(text))}
    known.update(word for path in OTHERS for word in re.findall(r"\w+", path.read_text("utf-8")))
    unknown = [
        f"{path.relative_to(ROOT)}:{number}: {name}"
        for path, text in texts.items()
        for number, words in prose(text)
        for name in mentioned(words)
        if name not in known
    ]
    assert unknown == []


def test_no_docstring_or_comment_uses_jargon_of_an_earlier_release() -> None:
    found = [
        f"{path.relative_to(ROOT)}:{number}: {words.strip()}"
        for path in SOURCES
        if path.name not in ("test_words.py", Path(__file__).name)
        for number, words in prose(path.read_text("utf-8"))
        if JARGON.search(words)
    ]
    assert found == []


def test_the_search_finds_what_it_looks_for() -> None:
    source = '"""Calls ``one.two()`` of a `Three`, or a FourFive."""\n# six\nx = "seven"\n'
    assert [name for _, words in prose(source) for name in mentioned(words)] == ["one", "two", "Three", "FourFive"]
    assert {"x", "seven"} <= set(names(source))
