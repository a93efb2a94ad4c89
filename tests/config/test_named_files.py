"""Files that settings name: only a regular file of a bounded length is read, only the path that stands there, only the secret."""

from __future__ import annotations

import os
import secrets
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from config import BadSettings
from config.kept_secrets import kept_secrets
from config.settings import SECRETS, VARIABLES, load_settings
from scoreboard.named_files import FILE_BYTES_MAX, read_regular_file, unlikely_path
from scoreboard.service.config_report import report_settings

FILES = [name for name in VARIABLES if name.endswith("_FILE")] + [f"{name}_FILE" for name in SECRETS]
LISTS = ("JWT_SECRETS_OLD", "ACTION_SIGNATURE_SECRETS_OLD")
KEPT = {"JWT_SECRET": secrets.token_hex(32), "ACTION_SIGNATURE_SECRET": secrets.token_hex(32)}
HEX = "0123456789abcdeffedcba98765432100f1e2d3c4b5a69788796a5b4c3d2e1f0"


@pytest.fixture(autouse=True)
def _end_a_read_that_waits() -> Iterator[None]:
    """A read of a pipe or of a device without end would never return."""
    signal.alarm(60)
    yield
    signal.alarm(0)


def complaints(environ: dict[str, str]) -> tuple[str, ...]:
    return report_settings(environ, lambda _: KEPT).complaints


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("kind", ["pipe", "link to a pipe", "device", "terminal", "directory", "too long", "socket", "missing"])
def test_a_setting_that_names_no_regular_file_is_one_line(name: str, kind: str, tmp_path: Path) -> None:
    path = {"device": Path("/dev/zero"), "terminal": Path("/dev/tty"), "directory": tmp_path}.get(kind, tmp_path / "file")
    if "pipe" in kind:
        os.mkfifo(tmp_path / "pipe")
        path = tmp_path / "pipe"
    if kind == "link to a pipe":
        path = tmp_path / "link"
        path.symlink_to(tmp_path / "pipe")
    if kind == "socket":
        os.mknod(path, 0o140600)
    if kind == "too long":
        with path.open("wb") as file:
            file.truncate(FILE_BYTES_MAX + 1)
    tls = {"REDIS_URL": "rediss://h/0"} if name == "REDIS_CA_FILE" else {}
    said = complaints({"SCOREBOARD_DATA_DIR": str(tmp_path), **tls, name: str(path)})
    assert len(said) == 1, said
    assert said[0].startswith(name), said
    assert {"directory": "directory", "missing": "no such file", "too long": "it is longer than"}.get(
        kind, "no regular file"
    ) in said[0]


def test_the_kept_secrets_are_read_from_a_regular_file_only(tmp_path: Path) -> None:
    (tmp_path / "var").mkdir(mode=0o700)
    os.mkfifo(tmp_path / "var" / "secrets.json")
    with pytest.raises(BadSettings, match="is no regular file of this user"):
        kept_secrets(tmp_path / "var")


def test_a_file_that_says_it_is_empty_is_read_to_its_end() -> None:
    assert b"MemTotal" in read_regular_file(Path("/proc/meminfo"))


@given(st.text("ab/ .%$~'\"`\tS“”", max_size=8))
def test_a_likely_path_is_one_that_no_shell_and_no_editor_would_change(text: str) -> None:
    if unlikely_path(text) is None:
        assert text == text.strip(" \t'\"`“”")
        assert text
        assert "$" not in text
        assert text[0] not in "~%"


@pytest.mark.parametrize(
    "path", ["var", "./~/x", "/srv/a b", "/srv/100%/x", "/srv/o'hara/x", "../nowhere", "/srv/x~", "/srv/%20x"]
)
def test_other_paths_are_taken_as_they_stand(path: str) -> None:
    found = load_settings({"SCOREBOARD_DATA_DIR": path}, lambda _: KEPT).data_dir
    assert found == Path(path).absolute()


@pytest.mark.parametrize("environment", ["development", "production"])
@pytest.mark.parametrize("name", SECRETS)
@pytest.mark.parametrize(
    ("written", "why"),
    [
        ("\ufeff{}", "a byte order mark"),
        ('"{}"\n', "quotation marks"),
        ("'{}'", "quotation marks"),
        ('"{}" \n', "quotation marks"),
        ("`{}`", "quotation marks"),
        ("JWT_SECRET={}\n", "a name"),
        ("export SECRET={}", "a name"),
        ("DB_PASSWORD='{}'", "a name"),
        ('jwt_secret = "{}"', "a name"),
        ("JWT_SECRET: {}", "a name"),
        ("PASSWORD = {}", "a name"),
        ("{} # the one of May\n", "a comment"),
        ("{}  #x", "a comment"),
        ("# the one of May {}", "a comment"),
        ("{}\n\n", "several lines"),
        ("{}\nsecond\n", "several lines"),
        ("\n{}", "several lines"),
        ("{}\rx", "several lines"),
        ("{}\u200b", "an invisible character"),
        ("{}\u2028\n", "an invisible character"),
        ("\x85{}", "an invisible character"),
        ("{}\t", "an invisible character"),
    ],
)
def test_a_secrets_file_with_more_than_the_secret_is_one_line_that_shows_nothing_of_it(
    name: str, written: str, why: str, environment: str, tmp_path: Path
) -> None:
    if name in LISTS and why == "several lines":
        return
    file = tmp_path / "secret"
    file.write_bytes(written.format(HEX).encode())
    environ = {**KEPT, "SCOREBOARD_ENV": environment, f"{name}_FILE": str(file)}
    environ.pop(name, None)
    with pytest.raises(BadSettings) as refused:
        load_settings(environ)
    said = str(refused.value)
    assert said.startswith(f"{name}_FILE ({file}) should hold the secret alone, for example"), said
    assert why in said
    assert not any(HEX[at : at + 4] in said for at in range(len(HEX) - 3)), said
    assert "May" not in said


@pytest.mark.parametrize("name", LISTS)
@pytest.mark.parametrize("between", [",", "\n", "\r\n", ",\n", "\n\n", " , "])
def test_a_file_may_hold_a_line_for_each_old_secret(name: str, between: str, tmp_path: Path) -> None:
    old = [secrets.token_hex(32) for _ in range(3)]
    (tmp_path / "old").write_bytes((between.join(old) + "\n").encode())
    found = load_settings({**KEPT, "SCOREBOARD_ENV": "production", f"{name}_FILE": str(tmp_path / "old")})
    assert [one.get_secret_value() for one in found.value_of(name)] == old


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(
    secret=st.one_of(
        st.binary(min_size=32, max_size=64).map(bytes.hex), st.from_regex(r"[A-Za-z0-9_-]{43}={0,2}", fullmatch=True)
    )
)
def test_a_random_secret_is_read_from_its_file_as_it_is(secret: str, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text(f"{secret}\n")
    found = load_settings({"ACTION_SIGNATURE_SECRET": HEX, "JWT_SECRET_FILE": str(tmp_path / "secret")})
    assert found.jwt_secret.get_secret_value() == secret


def test_quotation_marks_that_docker_keeps_around_a_secret_are_told() -> None:
    environ = {**KEPT, "SCOREBOARD_ENV": "production", "JWT_SECRET": f'"{HEX}"', "DB_PASSWORD": "'pass"}
    (remark,) = load_settings(environ).remarks()
    assert remark == "JWT_SECRET begins and ends with a quotation mark, and both are a part of the secret"
    assert not list(load_settings({**environ, "JWT_SECRET": HEX}).remarks())
