"""The private names of dependencies that we use are still as we use them, and we use no others.

An upgrade that fails here may need a change in the code that the sentence names.
"""

from __future__ import annotations

import ast
import gc
import importlib
import inspect
import re
import sys
import textwrap
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Final

import pytest
from twisted.web.http import HTTPChannel

from tests.net.internals import DOCUMENTED, INTERNALS, Attribute, Internal, Method, Present, Read, Written

ROOT: Final = Path(__file__).parents[2]
OURS: Final = ("scoreboard", "cli", "config")
SOURCES: Final = sorted(path for package in OURS for path in (ROOT / package).rglob("*.py"))
#: `os._exit`, and `_asdict` of SQLAlchemy's rows, are documented in spite of their names.
STANDARD: Final = frozenset({"_exit", "_asdict"})
NAMES: Final = frozenset(internal.name for internal in INTERNALS) | {"_IdentityTransferDecoder"}


@pytest.fixture(scope="module", autouse=True)
def no_collector() -> Iterator[None]:
    """A failed Deferred that the collector ends shows its traceback by `ast.parse`, which in Python 3.11 breaks the outer one."""
    gc.collect()
    gc.disable()
    yield
    gc.enable()


@pytest.mark.parametrize("internal", INTERNALS, ids=lambda internal: internal.full_name)
def test_an_internal_of_a_dependency_is_as_we_use_it(internal: Internal) -> None:
    fault = internal.fault()
    package = internal.owner.__module__.partition(".")[0]
    assert fault is None, f"{package} {version(package)}: {internal.full_name} {fault}. We use it {internal.use}."


@pytest.mark.parametrize(
    "internal",
    [
        Method(HTTPChannel, "_no_such_method", "", ()),
        Method(HTTPChannel, "requestDone", "", ("other",)),
        Attribute(HTTPChannel, "_no_such_attribute", "", None),
        Attribute(HTTPChannel, "requests", "", ()),
        Present(HTTPChannel, "_no_such_attribute", ""),
        Read(HTTPChannel, "_no_such_attribute", ""),
        Written(HTTPChannel, "_no_such_attribute", ""),
    ],
)
def test_an_internal_that_changed_is_a_fault(internal: Internal) -> None:
    assert internal.fault() is not None


def test_every_internal_in_the_table_is_used() -> None:
    words = set(re.findall(r"\w+", "\n".join(path.read_text() for path in SOURCES)))
    assert sorted(NAMES - words - {"__init__"}) == []


def is_private(name: str) -> bool:
    return name.startswith("_") and not name.startswith("__")


def is_own(node: ast.expr) -> bool:
    """Whether an expression is self, cls or super()."""
    return ast.unparse(node) in ("self", "cls", "super()")


def foreign_private_names(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """(line, name) of each private attribute of another object, and of each private name that is imported."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and is_private(node.attr) and not is_own(node.value):
            yield node.lineno, node.attr
        if isinstance(node, ast.ImportFrom):
            yield from ((node.lineno, alias.name) for alias in node.names if is_private(alias.name))


def test_no_private_name_of_another_object_is_used_that_is_not_in_the_table() -> None:
    used = [
        f"{path.relative_to(ROOT)}:{lineno} {name}"
        for path in SOURCES
        for lineno, name in foreign_private_names(ast.parse(path.read_text()))
        if name not in NAMES | STANDARD
    ]
    assert used == []


def names_set_on_others(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """(line, name) of each attribute that is set on another object than self."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store) and not is_own(node.value):
            yield node.lineno, node.attr


def test_no_attribute_of_a_foreign_object_is_set_that_is_not_in_the_table() -> None:
    trees = {path: ast.parse(path.read_text()) for path in SOURCES}
    bodies = [node for tree in trees.values() for node in ast.walk(tree) if isinstance(node, ast.ClassDef)]
    ours = {name for body in bodies for name in names_of_self(body, ast.Store) | declared(body)}
    found = [
        f"{path.relative_to(ROOT)}:{lineno} {name}"
        for path, tree in trees.items()
        for lineno, name in names_set_on_others(tree)
        if name not in NAMES | DOCUMENTED | ours
    ]
    assert found == []


def declared(definition: ast.ClassDef) -> set[str]:
    """The names that a class declares, with a value or without."""
    return {ast.unparse(node.target) for node in definition.body if isinstance(node, ast.AnnAssign)} | class_attributes(
        definition
    )


def our_classes() -> Iterator[tuple[type, list[type]]]:
    """(a class of ours, its bases in dependencies) of all modules."""
    for path in SOURCES:
        module = ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
        # Alembic imports the migrations itself; `python -m` runs the programs.
        if "versions" in path.parts or path.parent.name == "schema" or path.stem in ("__main__", "application"):
            continue
        for one in vars(importlib.import_module(module)).values():
            if inspect.isclass(one) and one.__module__ == module:
                yield (
                    one,
                    [base for base in one.__mro__ if base.__module__.partition(".")[0] not in {*OURS, *sys.stdlib_module_names}],
                )


def body_of(one: type) -> ast.ClassDef | None:
    try:
        [definition] = ast.parse(textwrap.dedent(inspect.getsource(one))).body
    except (OSError, TypeError):  # it is written in C, or made at run time
        return None
    return definition if isinstance(definition, ast.ClassDef) else None


def names_of_self(definition: ast.ClassDef, *contexts: type[ast.expr_context]) -> set[str]:
    return {
        node.attr
        for node in ast.walk(definition)
        if isinstance(node, ast.Attribute) and is_own(node.value) and isinstance(node.ctx, contexts)
    }


def class_attributes(definition: ast.ClassDef) -> set[str]:
    assigned = [node for node in definition.body if isinstance(node, ast.Assign)]
    annotated = {ast.unparse(node.target) for node in definition.body if isinstance(node, ast.AnnAssign) and node.value}
    return annotated | {ast.unparse(target) for node in assigned for target in node.targets}


def methods(definition: ast.ClassDef) -> set[str]:
    return {node.name for node in definition.body if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)}


def of_dependencies(bases: list[type]) -> set[str]:
    """Every name that a dependency's classes define or set on an instance."""
    bodies = [body for body in map(body_of, bases) if body is not None]
    return {name for base in bases for name in vars(base)} | {name for body in bodies for name in names_of_self(body, ast.Store)}


def test_no_class_uses_an_internal_of_its_base_that_is_not_in_the_table() -> None:
    found = []
    for one, bases in our_classes():
        definition = body_of(one)
        if not bases or definition is None:
            continue
        private = names_of_self(definition, ast.Load, ast.Store) | methods(definition) | class_attributes(definition)
        set_by_us = names_of_self(definition, ast.Store) | class_attributes(definition)
        names = {name for name in private if is_private(name)} | set_by_us
        names = {name for name in names & of_dependencies(bases) if not name.startswith("__")}
        found += [f"{one.__module__}.{one.__qualname__}.{name}" for name in sorted(names - NAMES - DOCUMENTED)]
    assert found == []


def imports(tree: ast.AST) -> Iterator[tuple[int, str]]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        if isinstance(node, ast.ImportFrom) and node.module:
            yield from ((node.lineno, f"{node.module}.{alias.name}") for alias in node.names)


INSIDES: Final = ("twisted.web.http.", "autobahn.", "txaio.")


def imports_of_insides(tree: ast.AST) -> list[tuple[int, str]]:
    return [(lineno, name) for lineno, name in imports(tree) if f"{name}.".startswith(INSIDES)]


def test_only_net_imports_the_insides_of_http_and_autobahn() -> None:
    found = [
        f"{path.relative_to(ROOT)}:{lineno} {name}"
        for path in SOURCES
        if path.relative_to(ROOT).parts[:2] != ("scoreboard", "net")
        for lineno, name in imports_of_insides(ast.parse(path.read_text()))
    ]
    assert found == []


@pytest.mark.parametrize(
    "source",
    [
        "import twisted.web.http",
        "from twisted.web import http",
        "from twisted.web.http import HTTPChannel as Channel",
        "import autobahn",
        "from autobahn.websocket import protocol",
        "def late():\n    import txaio",
    ],
)
def test_the_search_finds_each_form_of_an_import_of_insides(source: str) -> None:
    assert len(imports_of_insides(ast.parse(source))) == 1
    assert imports_of_insides(ast.parse("from twisted.web.server import Request\nimport httpx")) == []


def test_the_searches_find_private_and_foreign_names() -> None:
    used = ast.parse("transport._hidden.x\nfrom library import _part\nself._own\nother.__class__")
    assert sorted(foreign_private_names(used)) == [(1, "_hidden"), (2, "_part")]
    assert list(names_set_on_others(ast.parse("loop.clock = clock\nself.clock = clock\nloop.clock.now"))) == [(1, "clock")]
    [body] = ast.parse("class Ours(Base):\n    limit = 1\n    def _step(self):\n        self._state = super()._old").body
    assert isinstance(body, ast.ClassDef)
    assert names_of_self(body, ast.Load, ast.Store) | methods(body) | class_attributes(body) == {
        "limit",
        "_step",
        "_state",
        "_old",
    }
