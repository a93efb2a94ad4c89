"""The pages of the documentation: their code blocks, and the files that they include.

A block is included by a comment on the line before it, ``<!-- docs/examples/NAME -->``. After a change of such a file,
``python -m tests.docs.pages`` writes it into the pages.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from markdown_it import MarkdownIt

ROOT: Final = Path(__file__).parents[2]
EXAMPLES: Final = ROOT / "docs" / "examples"
PAGES: Final = (ROOT / "README.md", ROOT / "SECURITY.md", *sorted((ROOT / "docs").rglob("*.md")))
_INCLUDED: Final = re.compile(r"^<!-- (docs/examples/[\w./-]+) -->\n```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True)
class Block:
    """A code block. ``language`` is empty for an indented one; ``starts_at`` is its line, from 1."""

    page: str
    starts_at: int
    language: str
    text: str


def blocks_of(page: Path) -> list[Block]:
    """The code blocks of a page, also those in lists."""
    name = page.relative_to(ROOT).as_posix()
    return [
        Block(name, (token.map or [0])[0] + 1, token.info.strip(), token.content)
        for token in MarkdownIt().parse(page.read_text("utf-8"))
        if token.type in ("fence", "code_block")
    ]


def blocks() -> list[Block]:
    """The code blocks of all pages."""
    return [block for page in PAGES for block in blocks_of(page)]


def included() -> list[tuple[str, str, str]]:
    """(page, path of the included file, text of the block), for every block that includes a file."""
    return [
        (page.relative_to(ROOT).as_posix(), path, text)
        for page in PAGES
        for path, _, text in _INCLUDED.findall(page.read_text("utf-8"))
    ]


def _write_included() -> None:
    for page in PAGES:
        before = page.read_text("utf-8")
        after = _INCLUDED.sub(
            lambda found: f"<!-- {found[1]} -->\n```{found[2]}\n{(ROOT / found[1]).read_text('utf-8')}```", before
        )
        if after != before:
            page.write_text(after, "utf-8")


if __name__ == "__main__":
    _write_included()
