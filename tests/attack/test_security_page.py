"""docs/security.md agrees with the suite: each endpoint has a row, each mark has tests, and each test that it names exists."""

from __future__ import annotations

import ast
import re
from pathlib import Path

from tests.attack.endpoints import OPEN_ENDPOINTS, OWN, TOKEN_ENDPOINTS
from tests.attack.holes import ROOT
from tests.attack.test_credentials import HOLES

PAGE = (ROOT / "docs" / "security.md").read_text()
TABLES, _, REST = PAGE.partition("### The tests")
TESTS = dict(re.findall(r"^\| (\w) \| (.+) \|$", REST, re.MULTILINE))
#: The text of a cell that does not apply.
NOTHING = {"–"}


def rows() -> list[list[str]]:
    """The rows of the tables of endpoints, without their heads."""
    text_lines = [
        text_line for text_line in TABLES.splitlines() if text_line.startswith("| ") and not text_line.startswith("| Endpoint")
    ]
    return [[cell.strip() for cell in text_line.strip("|").split(" | ")] for text_line in text_lines]


def test_every_endpoint_of_the_suite_has_a_row() -> None:
    named = " ".join(row[0] for row in rows())
    assert [endpoint for endpoint in TOKEN_ENDPOINTS if f"`{endpoint}`" not in named] == []
    assert [endpoint for endpoint in OPEN_ENDPOINTS if f"`{endpoint}`" not in TABLES] == []


def test_every_cell_names_its_test() -> None:
    bare = [(row[0], cell) for row in rows() for cell in row[1:] if cell not in NOTHING and not re.search(r"\[\w\]", cell)]
    assert bare == []


#: For each column, by its head: how its cells begin, and the marks of which each cell has one.
COLUMNS = {
    "no token": (r"401|400|refused|closed|no player|a token under a new name|–", "BRQNLI1"),
    "forged": (r"401|refused|closed|the same answer as without a token|–", "FRQ"),
    "a suspended player's token": (r"403|refused|closed|the same answer as without a token", "SOVEP"),
    "a ticket": (r"401|its player, once|the same answer as without a token", "TKN"),
    "a spectator's token": (r"403|admitted|its own|a ticket|the same name again", "HN"),
}


def test_every_cell_fits_the_head_of_its_column() -> None:
    wrong = []
    for table in TABLES.split("### ")[1:3]:
        heads, *text_lines = [text_line for text_line in table.splitlines() if text_line.startswith("| ")]
        names = [cell.strip() for cell in heads.strip("|").split(" | ")]
        for text_line in text_lines:
            row = [cell.strip() for cell in text_line.strip("|").split(" | ")]
            assert len(row) == len(names), f"a cell too many or too few: {row[0]}"
            for name, cell in zip(names, row, strict=True):
                begins, marks = COLUMNS.get(name, ("", ""))
                shown = cell in NOTHING or not marks or re.search(rf"\[[{marks}]\]", cell)
                wrong += [] if re.match(begins, cell) and shown else [(row[0], name, cell)]
    assert wrong == []


def test_endpoints_with_a_players_own_data_are_marked() -> None:
    assert {row[0].strip("`") for row in rows() if "[W]" in " ".join(row)} == set(OWN)


def test_every_mark_is_explained_and_every_explained_mark_is_used() -> None:
    assert set(re.findall(r"\[(\w)\]", TABLES)) == set(TESTS)


def test_every_test_that_the_page_names_exists() -> None:
    named = re.findall(r"`([\w/]+\.py)::(\w+)(?:\[([^\]]+)\])?`", PAGE)
    assert len(named) > 20
    for file, function, case in named:
        path = ROOT / file if "/" in file else Path(__file__).parent / file
        functions = {node.name for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.FunctionDef)}
        assert function in functions, (file, function)
        assert not case or case in HOLES, case


def test_the_page_names_every_attack() -> None:
    answered = set(re.findall(r"test_an_attack_does_not_succeed\[([^\]]+)\]", PAGE))
    assert answered == set(HOLES)


def test_every_link_leads_to_a_file() -> None:
    for page in ("docs/security.md", "SECURITY.md", "CHANGELOG.md", "README.md", "docs/protocol-http.md"):
        text = (ROOT / page).read_text()
        for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", text):
            assert (ROOT / page).parent.joinpath(target).exists(), (page, target)
