"""Holes (mutation tests): copies of our code without one check.

Each attack runs against such a copy and must succeed there. This proves that the attack tests the check.
"""

from __future__ import annotations

import importlib.util
import itertools
import shutil
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Final

ROOT: Final = Path(__file__).resolve().parents[2]
_numbers = itertools.count()


@dataclass(frozen=True)
class Hole:
    """A file, a text that occurs in it once, and the text that replaces it in the copy."""

    file: str
    check: str
    holed: str

    def cut(self, source: str) -> str:
        assert source.count(self.check) == 1, f"{self.file} has changed: where is {self.check!r}?"
        return source.replace(self.check, self.holed)


def holed_module(*holes: Hole) -> ModuleType:
    """A copy of one module with holes. The modules that it imports have none."""
    (file,) = {hole.file for hole in holes}
    source = (ROOT / file).read_text()
    for hole in holes:
        source = hole.cut(source)
    name = f"holed_{next(_numbers)}"
    spec = importlib.util.spec_from_loader(name, loader=None)
    assert spec is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # dataclasses look their module up there
    exec(compile(source, file, "exec"), module.__dict__)
    return module


def holed_tree(directory: Path, holes: Iterable[Hole]) -> Path:
    """A copy of the whole server with holes."""
    for name in ("scoreboard", "config", "cli"):
        shutil.copytree(ROOT / name, directory / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "scoreboard.tac", directory)
    for hole in holes:
        path = directory / hole.file
        path.write_text(hole.cut(path.read_text()))
    return directory
