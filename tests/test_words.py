"""Names in the code come from the field (docs/words.md): no identifier is one of the private words of earlier releases."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parents[1]
SOURCES: Final = sorted(
    path
    for name in ("scoreboard", "cli", "config", "tests")
    for path in (ROOT / name).rglob("*.py")
    if "versions" not in path.parts
)

#: Words that no identifier may contain.
OLD_WORDS: Final = frozenset(
    re.findall(
        r"[a-z]+",
        """absence absentee absentees abreast asker canvas carrier cloakroom comeback contestant deaf deed deeds door doorkeeper
        doors errands fittings gate guest guests hindered house indoors knock lane lanes lobby minted nobody orders outlet outrun
        outruns parting partings passenger passengers redraw redrawn shuttle shelf storable stranger strangers stretch stretches
        surroundings told turns unlocking visitor visitors warden weighed whoever""",
    )
)
#: Words that may not be a name alone; inside a longer name they have another meaning.
OLD_NAMES: Final = frozenset(
    re.findall(
        r"[a-z]+",
        """bar bars barred bearing bell bounds ear hear heard home line lines look moment moments outcome outcomes part place
        places ride rise seat seats sink turn wire wires worth weight""",
    )
)
_WORD: Final = re.compile(r"[A-Z]+(?=[A-Z][a-z])|[A-Z]?[a-z]+|[A-Z]+")


def words_of(name: str) -> set[str]:
    """The words that a name is made of, in lower case."""
    return {word.lower() for word in _WORD.findall(name)}


def is_old(name: str) -> bool:
    """Whether a name is or contains a word of an earlier release."""
    return name.strip("_").lower() in OLD_NAMES or not OLD_WORDS.isdisjoint(words_of(name))


def identifiers(tree: ast.AST) -> Iterator[tuple[str, int]]:
    """Each name that a module defines or uses, and its line, without the names of tests, which are sentences."""
    for node in ast.walk(tree):
        match node:
            case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.ClassDef():
                if not node.name.startswith("test_"):
                    yield node.name, node.lineno
            case ast.Name():
                yield node.id, node.lineno
            case ast.Attribute():
                yield node.attr, node.end_lineno or node.lineno
            case ast.arg() | ast.keyword():
                if node.arg is not None:
                    yield node.arg, node.lineno
            case ast.alias():
                yield node.asname or node.name.rpartition(".")[2], node.lineno


def test_no_identifier_is_a_word_of_an_earlier_release() -> None:
    found = {
        (str(path.relative_to(ROOT)), number, name)
        for path in SOURCES
        for name, number in identifiers(ast.parse(path.read_text("utf-8")))
        if is_old(name)
    }
    assert not found


def test_no_module_is_named_by_a_word_of_an_earlier_release() -> None:
    assert not [str(path.relative_to(ROOT)) for path in SOURCES if is_old(path.stem)]


def test_the_search_finds_what_it_looks_for() -> None:
    source = "class DoorKeeper: pass\ndef f(lobby): return wire.turns(stretch=1)\nfrom x import lane as gate\n"
    assert {name for name, _ in identifiers(ast.parse(source)) if is_old(name)} == {
        *("DoorKeeper", "lobby", "wire", "turns", "stretch", "gate")
    }


def test_the_glossary_explains_at_most_25_words() -> None:
    text = (ROOT / "docs" / "words.md").read_text("utf-8")
    assert 10 <= len(re.findall(r"^\| \*\*", text, re.MULTILINE)) <= 25
