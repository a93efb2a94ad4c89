"""Generators of clients, other people's programs, read /openapi.json whole: no model is dropped, and what they make works."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from scoreboard.web.app import OPERATIONS
from scoreboard.web.openapi import document
from tests.docs.pages import ROOT
from tests.journeys.server import ServerProcess
from tests.programs import node_modules, program

GENERATOR = "openapi-python-client==0.29.1"
NODE = ROOT / "tests" / "docs" / "node"
#: A program that uses the types; with a wrong path, member or type it does not compile.
TYPED = """
import type { components, paths } from "./schema";
type Board = paths["/api/v1/scores/leaderboard"]["get"]["responses"][200]["content"]["application/json"];
type Actions = paths["/api/v1/actions"]["get"]["responses"][200]["content"]["application/json"];
type Submission = paths["/api/v1/scores/submit"]["post"]["requestBody"]["content"]["application/json"];
export const first = (board: Board): string | undefined => board.data.leaderboard[0]?.username;
export const hard = (list: Actions): unknown[] => list.data.actions.map((one) => one.pointsBy["difficulty"]?.["hard"]);
export const wish: components["schemas"]["InitializeRequest"] = { actionType: "RAID", metadata: { questId: "quest-123" } };
export const submission: Submission = { actionId: "x", actionType: "X", timestamp: 1, metadata: {}, signature: "s" };
"""
#: A program that uses the generated client against a server.
CALLS = (ROOT / "tests" / "docs" / "generated_client_calls.txt").read_text()


def ran(*command: str | Path, path: str | None = None) -> subprocess.CompletedProcess[str]:
    """A program that has ended; ``path`` is its PATH."""
    environment = os.environ | ({} if path is None else {"PATH": path})
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300, check=False)


@pytest.fixture
def description(tmp_path: Path) -> Path:
    path = tmp_path / "openapi.json"
    path.write_bytes(document(OPERATIONS))
    return path


def test_openapi_typescript_makes_types_that_compile(description: Path, tmp_path: Path) -> None:
    modules = node_modules(NODE, "openapi-typescript")
    node = program("node", "nodejs")
    made = ran(node, modules / "openapi-typescript" / "bin" / "cli.js", description, "-o", tmp_path / "schema.d.ts")
    assert made.returncode == 0, made.stderr
    compiler = (node, modules / "typescript" / "bin" / "tsc", "--strict", "--noEmit", "--noUncheckedIndexedAccess")
    (tmp_path / "client.ts").write_text(TYPED)
    compiled = ran(*compiler, tmp_path / "client.ts")
    assert (compiled.returncode, compiled.stdout) == (0, "")
    (tmp_path / "wrong.ts").write_text(TYPED.replace("?.username", "?.nickname"))
    assert "nickname" in ran(*compiler, tmp_path / "wrong.ts").stdout, "a wrong member does not compile"


def test_openapi_python_client_drops_no_model_and_its_client_plays(
    description: Path, tmp_path: Path, new_server: Callable[..., ServerProcess]
) -> None:
    tools = tmp_path / "tools"
    subprocess.run([sys.executable, "-m", "venv", tools], check=True, timeout=60)
    installed = ran(tools / "bin" / "pip", "install", "--quiet", "--disable-pip-version-check", GENERATOR)
    assert installed.returncode == 0, installed.stderr
    (tmp_path / "config.yaml").write_text("package_name_override: scoreboard_client\n")
    made = ran(
        *(tools / "bin" / "openapi-python-client", "generate", "--path", description, "--meta", "none", "--fail-on-warning"),
        *("--config", tmp_path / "config.yaml", "--output-path", tmp_path / "scoreboard_client"),
        path=f"{tools / 'bin'}:/usr/bin:/bin",
    )
    said = made.stdout + made.stderr
    assert (made.returncode, "warning" in said.lower()) == (0, False), said
    described = json.loads(description.read_bytes())
    squeezed = {path.stem.replace("_", "") for path in (tmp_path / "scoreboard_client" / "models").glob("*.py")}
    assert {name.replace("_", "").lower() for name in described["components"]["schemas"]} - squeezed == set()
    modules = {path.stem for path in (tmp_path / "scoreboard_client" / "api" / "default").glob("*.py")} - {"__init__"}
    assert modules == {operation.name for operation in OPERATIONS}
    (tmp_path / "calls.py").write_text(CALLS)
    server = new_server().start()
    played = ran(tools / "bin" / "python", tmp_path / "calls.py", server.url, server.issue_token("amy"))
    assert played.returncode == 0, played.stderr
