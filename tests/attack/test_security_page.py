"""docs/security.md is what the suite shows: every door has its line, every mark its tests, every test that it names exists."""

from __future__ import annotations

import ast
import re
from pathlib import Path

from tests.attack.doors import OPEN_DOORS, OWN, TOKEN_DOORS
from tests.attack.holes import ROOT
from tests.attack.test_credentials import HOLES

PAGE = (ROOT / "docs" / "security.md").read_text()
TABLES, _, REST = PAGE.partition("### The tests")
TESTS = dict(re.findall(r"^\| (\w) \| (.+) \|$", REST, re.MULTILINE))
#: A cell where there is nothing to try.
NOTHING = {"–"}


def rows() -> list[list[str]]:
    """The lines of the tables of doors, without their heads."""
    lines = [line for line in TABLES.splitlines() if line.startswith("| ") and not line.startswith("| Door")]
    return [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines]


def test_every_door_of_the_suite_has_its_line() -> None:
    named = " ".join(row[0] for row in rows())
    assert [door for door in TOKEN_DOORS if f"`{door}`" not in named] == []
    assert [door for door in OPEN_DOORS if f"`{door}`" not in TABLES] == []


def test_every_cell_names_its_test() -> None:
    bare = [(row[0], cell) for row in rows() for cell in row[1:] if cell not in NOTHING and not re.search(r"\[\w\]", cell)]
    assert bare == []


#: By the head of a column: how its cells begin, and marks of which each cell has one.
COLUMNS = {
    "no token": (r"401|400|refused|closed|a stranger|a token under a new name|–", "BRQNLI1"),
    "forged": (r"401|refused|closed|as no token|–", "FRQ"),
    "a suspended player's token": (r"403|refused|closed|as no token", "SOVEP"),
    "a ticket": (r"401|its player, once|as no token", "TKN"),
    "a spectator's token": (r"403|admitted|its own|a ticket|the same name again", "HN"),
}


def test_every_column_says_what_its_head_allows() -> None:
    wrong = []
    for table in TABLES.split("### ")[1:3]:
        heads, *lines = [line for line in table.splitlines() if line.startswith("| ")]
        names = [cell.strip() for cell in heads.strip("|").split(" | ")]
        for line in lines:
            row = [cell.strip() for cell in line.strip("|").split(" | ")]
            assert len(row) == len(names), f"a cell too many or too few: {row[0]}"
            for name, cell in zip(names, row, strict=True):
                begins, marks = COLUMNS.get(name, ("", ""))
                shown = cell in NOTHING or not marks or re.search(rf"\[[{marks}]\]", cell)
                wrong += [] if re.match(begins, cell) and shown else [(row[0], name, cell)]
    assert wrong == []


def test_what_is_a_players_own_is_marked_so() -> None:
    assert {row[0].strip("`") for row in rows() if "[W]" in " ".join(row)} == set(OWN)


def test_every_mark_is_explained_and_every_explanation_used() -> None:
    assert set(re.findall(r"\[(\w)\]", TABLES)) == set(TESTS)


def test_every_test_that_the_page_names_exists() -> None:
    named = re.findall(r"`([\w/]+\.py)::(\w+)(?:\[([^\]]+)\])?`", PAGE)
    assert len(named) > 20
    for file, function, case in named:
        path = ROOT / file if "/" in file else Path(__file__).parent / file
        functions = {node.name for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.FunctionDef)}
        assert function in functions, (file, function)
        assert not case or case in HOLES, case


def test_every_attack_stands_on_the_page() -> None:
    told = set(re.findall(r"test_an_attack_gets_nothing\[([^\]]+)\]", PAGE))
    assert told == set(HOLES)


def test_its_links_lead_somewhere() -> None:
    for page in ("docs/security.md", "SECURITY.md", "CHANGELOG.md", "README.md", "docs/protocol-http.md"):
        text = (ROOT / page).read_text()
        for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", text):
            assert (ROOT / page).parent.joinpath(target).exists(), (page, target)
