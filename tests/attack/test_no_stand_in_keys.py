"""No constant of the source takes the place of a secret: none reaches a function that verifies or signs.

No published scanner looks for this. The hole of the first release was one such line: ``secrets.get(kid, b"\\0" * 32)``.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.attack.holes import ROOT

SOURCES = sorted(path for folder in ("scoreboard", "cli", "config") for path in (ROOT / folder).rglob("*.py"))
#: The index of the key among the arguments of each function that verifies or signs.
KEYED = {"new": 0, "digest": 0, "encode": 1, "decode": 1, "decode_complete": 1}
KEYED_BY = {"hmac", "jwt", "_jws"}
SECRET = ("secret", "key", "ring")


def stand_ins(source: str) -> Iterator[str]:
    """Each line of a source where a constant is a key or could become one."""
    tree = ast.parse(source)
    constants = {
        target.id
        for node in tree.body
        if isinstance(node, ast.Assign | ast.AnnAssign) and node.value is not None and _constant(node.value, set())
        for target in (node.targets if isinstance(node, ast.Assign) else [node.target])
        if isinstance(target, ast.Name)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module in KEYED_BY:
            yield f"line {node.lineno}: {ast.unparse(node)} hides what its functions are"
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            owner, name = ast.unparse(node.func.value), node.func.attr
            at = KEYED.get(name) if owner in KEYED_BY else None
            named = [one.value for one in node.keywords if one.arg == "key"]
            keys = named + (node.args[at : at + 1] if at is not None else [])
            if at is not None and any(_constant(key, constants) for key in keys):
                yield f"line {node.lineno}: {ast.unparse(node)}"
            if name in ("get", "pop", "setdefault") and len(node.args) > 1 and _of_secrets(owner):
                yield f"line {node.lineno}: {ast.unparse(node)}"
        if isinstance(node, ast.IfExp) and _of_secrets(ast.unparse(node.test).partition(" ")[0]):
            yield from (f"line {node.lineno}: {ast.unparse(node)}" for one in (node.body, node.orelse) if _key_in(one, constants))
        if isinstance(node, ast.Assign | ast.AnnAssign) and node not in tree.body and node.value is not None:
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            if any(_of_secrets(ast.unparse(one)) for one in targets) and _key_in(node.value, constants):
                yield f"line {node.lineno}: {ast.unparse(node)}"
        if isinstance(node, ast.BoolOp) and isinstance(node.op, ast.Or) and _of_secrets(ast.unparse(node.values[0])):
            yield from (f"line {node.lineno}: {ast.unparse(node)}" for one in node.values[1:] if _constant(one, constants))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            arguments = [*node.args.posonlyargs, *node.args.args]
            given = [*zip(arguments[len(arguments) - len(node.args.defaults) :], node.args.defaults, strict=True)]
            given += [(one, default) for one, default in zip(node.args.kwonlyargs, node.args.kw_defaults, strict=True) if default]
            for argument, default in given:
                empty = isinstance(default, ast.Tuple) and not default.elts
                if _of_secrets(argument.arg) and not empty and _constant(default, constants) and ast.unparse(default) != "None":
                    yield f"line {node.lineno}: {argument.arg}={ast.unparse(default)}"


def _of_secrets(name: str) -> bool:
    last = name.lower().rpartition(".")[2]
    return any(piece.rstrip("s") in SECRET for piece in last.replace("(", "_").split("_"))


def _key_in(node: ast.expr, constants: set[str]) -> bool:
    """Whether an expression is a constant that could be a key: bytes, text, or a collection of them."""
    text = any(isinstance(one, ast.Constant) and isinstance(one.value, bytes | str) for one in ast.walk(node))
    named = any(isinstance(one, ast.Name) and one.id in constants for one in ast.walk(node))
    return (text or named) and _constant(node, constants)


def _constant(node: ast.expr, constants: set[str]) -> bool:
    """Whether an expression contains only constants of the source."""
    names = {one.id for one in ast.walk(node) if isinstance(one, ast.Name)} - {"bytes", "str", "bytearray"}
    attributes = any(isinstance(one, ast.Attribute | ast.Lambda) for one in ast.walk(node))
    return names <= constants and not attributes


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_the_source_contains_no_constant_key(path: Path) -> None:
    assert list(stand_ins(path.read_text())) == []


@pytest.mark.parametrize(
    "source",
    [
        '_NO_KEY: Final = b"\\0" * 32\nself.ring.secrets.get(kid, _NO_KEY)',
        'expected = hmac.digest(ring.secrets.get(kid, b"\\0" * 32), signed, "sha256")',
        'hmac.digest(b"key", signed, "sha256")',
        'hmac.new(key=b"", msg=signed, digestmod="sha256")',
        'NOTHING = b""\njwt.decode(token, NOTHING, algorithms=["HS256"])',
        '_jws.decode(token, bytes(32), algorithms=["HS256"])',
        'secret = self._secrets.pop(kid, b"")',
        'secret = keys.setdefault(kid, "x")',
        'key = ring_secret or b"\\0"',
        'def sign(message: bytes, key: bytes = b"changeme") -> bytes: ...',
        'def sign(message: bytes, *, jwt_secret: str = "") -> bytes: ...',
        'return (b"\\0" * 32,) if secret is None else (secret,)',
        'def keys():\n    if secret is None:\n        secret = b"\\0" * 32',
        'from hmac import digest\ndigest(b"", signed, "sha256")',
    ],
)
def test_the_scan_finds_a_constant_key_in_each_form(source: str) -> None:
    assert list(stand_ins(source)) != []


@pytest.mark.parametrize(
    "source",
    [
        "secret = self.ring.secrets.get(kid)",
        'hmac.digest(ring.secrets[kid], encode(kid, grant), "sha256")',
        "def keyring(current: bytes, older: tuple[bytes, ...] = ()) -> Keyring: ...",
        'known = headers.get(name, "")',
        "jwt.encode(claims, key, algorithm=ALGORITHMS[0])",
    ],
)
def test_the_scan_reports_no_correct_code(source: str) -> None:
    assert list(stand_ins(source)) == []
