"""Sizes of the production code, as questions for a review: ``make sizes`` prints them.

A module near 90 lines is easy to read, one above 400 should be split; a function fits in 40 lines, a signature has at most 8
parameters. The rule about parameters does not count value classes, because the data decides how many fields they have.
"""

from __future__ import annotations

import ast
import re
from pathlib import Path
from statistics import median
from typing import Final

ROOT: Final = Path(__file__).resolve().parents[1]
PACKAGES: Final = ("scoreboard", "cli", "config")
MODULE_LINES_MAX: Final = 400
FUNCTION_LINES_MAX: Final = 40
PARAMETERS_MAX: Final = 8
_COMMENT_OR_BLANK: Final = re.compile(r"\s*(#.*)?\Z")

Function = ast.FunctionDef | ast.AsyncFunctionDef


def modules() -> dict[str, str]:
    """The text of each production module, by its path from the project's root. Empty packages are left out."""
    found = {str(path.relative_to(ROOT)): path.read_text("utf-8") for name in PACKAGES for path in (ROOT / name).rglob("*.py")}
    return {path: text for path, text in sorted(found.items()) if len(text.splitlines()) > 1}


def code_lines(text: str) -> int:
    """How many lines are neither blank nor a comment nor a docstring."""
    tree = ast.parse(text)
    documented = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    docstrings: set[int] = set()
    for node in ast.walk(tree):
        if isinstance(node, documented) and ast.get_docstring(node, clean=False) is not None:
            docstrings.update(range(node.body[0].lineno, (node.body[0].end_lineno or 0) + 1))
    numbered = enumerate(text.splitlines(), start=1)
    return sum(number not in docstrings and _COMMENT_OR_BLANK.match(written) is None for number, written in numbered)


def functions(text: str) -> list[Function]:
    """Every function and method."""
    return [node for node in ast.walk(ast.parse(text)) if isinstance(node, Function)]


def length(function: Function) -> int:
    """A function's lines, decorators and docstring included."""
    return (function.end_lineno or 0) - function.lineno + 1


def parameters(function: Function) -> int:
    """A function's parameters, without self."""
    given = function.args
    names = [one.arg for one in (*given.posonlyargs, *given.args, *given.kwonlyargs)]
    return len(names) - (names[:1] in (["self"], ["cls"]))


def main() -> None:
    """Print what a review should ask about."""
    texts = modules()
    sizes = {path: len(text.splitlines()) for path, text in texts.items()}
    print(f"{len(texts)} modules, {sum(sizes.values())} lines, {sum(map(code_lines, texts.values()))} of code")
    print(f"median module: {median(sizes.values()):g} lines, {median(map(code_lines, texts.values())):g} of code")
    _print(f"modules above {MODULE_LINES_MAX} lines", [(n, path) for path, n in sizes.items() if n > MODULE_LINES_MAX])
    each = [(path, function) for path, text in texts.items() for function in functions(text)]
    long = [(length(one), f"{path} {one.name}") for path, one in each if length(one) > FUNCTION_LINES_MAX]
    _print(f"functions above {FUNCTION_LINES_MAX} lines", long)
    wide = [(parameters(one), f"{path} {one.name}") for path, one in each if parameters(one) > PARAMETERS_MAX]
    _print(f"signatures above {PARAMETERS_MAX} parameters", wide)


def _print(title: str, found: list[tuple[int, str]]) -> None:
    print(f"{title}: {len(found)}")
    for number, where in sorted(found, reverse=True):
        print(f"  {number:>4}  {where}")


if __name__ == "__main__":
    main()
