"""Every setting, with wrong values from the environment and from TOML: one line with its name, an example, and no secret."""

from __future__ import annotations

import re
import secrets
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from config import BadSettings
from config.settings import SECRETS, VARIABLES, Settings, load_settings
from scoreboard.service.wiring import boards, catalogue
from tests.config.wrong_values import SECRET, WRONG

ENVIRONMENT = {"JWT_SECRET": secrets.token_hex(32), "ACTION_SIGNATURE_SECRET": secrets.token_hex(32)}
PIECES = [SECRET[at : at + 4] for at in range(len(SECRET) - 3)]
#: What a line shows besides the name: an example of what is right, or the command that makes a secret, or what to take out.
HELPS = r"for example|openssl rand -hex 32|take it out"


def load(environ: dict[str, str]) -> Settings:
    """The settings, with the files that they name, as a start reads them."""
    settings = load_settings(environ)
    boards(settings, catalogue(settings))
    return settings


def complaint(environ: dict[str, str]) -> str:
    with pytest.raises(BadSettings) as refused:
        load(environ)
    said = str(refused.value)
    assert said.isprintable(), said
    assert not any(piece in said for piece in PIECES), said
    assert re.search(HELPS, said), said
    return said


def test_every_setting_has_at_least_five_wrong_values_from_each_source() -> None:
    assert WRONG.keys() == set(VARIABLES), "add the setting to tests/config/wrong_values.py"
    for name, (texts, values) in WRONG.items():
        assert len(texts) >= 5, name
        assert len(values) >= 5 or name == "SCOREBOARD_CONFIG_FILE", name


@pytest.mark.parametrize("name", VARIABLES)
def test_a_wrong_value_in_the_environment_is_one_line_with_the_name_and_an_example(name: str) -> None:
    for text in WRONG[name][0]:
        said = complaint({**ENVIRONMENT, name: text})
        assert said.startswith(f"{name} "), (text, said)


@pytest.mark.parametrize("name", [name for name in VARIABLES if name != "SCOREBOARD_CONFIG_FILE"])
def test_a_wrong_value_in_the_file_is_one_line_with_the_key_and_the_file(name: str, tmp_path: Path) -> None:
    file = tmp_path / "scoreboard.toml"
    for value in WRONG[name][1]:
        file.write_text(f"{name.lower()} = {value}\n")
        given = {key: text for key, text in ENVIRONMENT.items() if key != name}
        said = complaint({**given, "SCOREBOARD_CONFIG_FILE": str(file)})
        assert said.startswith(f"{name.lower()} (in {file}) "), (value, said)


@pytest.mark.parametrize("name", SECRETS)
def test_a_wrong_secret_in_a_file_of_its_own_is_named_with_the_file(name: str, tmp_path: Path) -> None:
    file = tmp_path / "secret"
    given = {key: text for key, text in ENVIRONMENT.items() if key != name}
    for text in WRONG[name][0]:
        if not text.strip("\n \x00") or text.endswith("\n") or "\udcff" in text:
            continue
        file.write_text(f"{text}\n")
        assert complaint({**given, f"{name}_FILE": str(file)}).startswith(f"{name}_FILE ({file}) "), text


@pytest.mark.parametrize("name", SECRETS)
def test_a_secret_may_stand_in_a_file_whose_last_line_end_is_cut(name: str, tmp_path: Path) -> None:
    right = {"DATABASE_URL": "postgresql://h/d", "REDIS_URL": "redis://h/0"}.get(name, secrets.token_hex(32))
    given = {key: text for key, text in ENVIRONMENT.items() if key != name}
    for end in ("", "\n", "\r\n"):
        (tmp_path / "secret").write_bytes(f"{right}{end}".encode())
        named = {f"{name}_FILE": str(tmp_path / "secret")}
        (tmp_path / "s.toml").write_text("".join(f"{key.lower()} = '{value}'\n" for key, value in named.items()))
        for environ in (named, {"SCOREBOARD_CONFIG_FILE": str(tmp_path / "s.toml")}):
            settings = load({**given, **environ})
            assert settings.value_of(name) == load({**given, name: right}).value_of(name)
            assert settings.source_of(name) == f"the file {tmp_path / 'secret'}"


@pytest.mark.parametrize("name", SECRETS)
@pytest.mark.parametrize("what", ["missing", "a directory", "empty", "not UTF-8", "unreadable path", "the secret itself", "both"])
def test_a_secrets_file_that_cannot_be_used_is_one_line(name: str, what: str, tmp_path: Path) -> None:
    file = tmp_path / "secret"
    (tmp_path / "directory").mkdir()
    file.write_bytes({"empty": b"\n", "not UTF-8": b"\xff" + SECRET.encode()}.get(what, b"x"))
    path = {
        "missing": str(tmp_path / "nowhere"),
        "a directory": str(tmp_path / "directory"),
        "unreadable path": f"{file}/x",
        "the secret itself": f"/{SECRET}",
    }.get(what, str(file))
    environ = {**{key: text for key, text in ENVIRONMENT.items() if key != name}, f"{name}_FILE": path}
    with pytest.raises(BadSettings) as refused:
        load({**environ, name: SECRET} if what == "both" else environ)
    said = str(refused.value)
    expected = f"{name} and {name}_FILE are both set: take one of them out" if what == "both" else f"{name}_FILE should name a "
    assert said.startswith(expected), said
    assert said.count(f"{name}_FILE") >= 1
    assert ";" not in said, "no error that only follows"
    assert not any(piece in said for piece in PIECES), said


@given(
    name=st.sampled_from(["DATABASE_URL", "REDIS_URL"]),
    before=st.text("XQZ0123456789", max_size=8),
    special=st.sampled_from("/#?@[]% \n\t\\^"),
    after=st.from_regex("[XQZ][XQZ0-9]{3,7}", fullmatch=True),
    port=st.sampled_from(["", ":6379", ":x", ":99999", ":0"]),
)
def test_no_part_of_a_password_that_is_not_encoded_is_shown(name: str, before: str, special: str, after: str, port: str) -> None:
    password = before + special + after
    scheme = {"DATABASE_URL": "postgresql", "REDIS_URL": "redis"}[name]
    try:
        load_settings({**ENVIRONMENT, name: f"{scheme}://user:{password}@127.0.0.1{port}/0"})
    except BadSettings as refused:
        said = str(refused)
        assert said.startswith(f"{name} should be a URL "), said
        assert not any(password[at : at + 4] in said for at in range(len(password) - 3)), said
    else:
        assert special in "\\^", "every program reads such a URL in the same way"
        assert port in ("", ":6379")


@pytest.mark.parametrize("special", ["@", "#", "/", "?", "%", "["])
@pytest.mark.parametrize("name", ["DATABASE_URL", "REDIS_URL"])
def test_the_message_says_how_a_password_is_written(name: str, special: str) -> None:
    scheme = {"DATABASE_URL": "postgresql", "REDIS_URL": "redis"}[name]
    with pytest.raises(BadSettings, match=f"^{name} should be .* percent-encoded"):
        load_settings({**ENVIRONMENT, name: f"{scheme}://user:pa{special}ss@127.0.0.1/0"})


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://u:p%40ss@h1:5432,h2:5433/d?target_session_attrs=read-write",
        "postgresql:///d?host=/var/run/postgresql&user=u",
        "postgresql://%2Fvar%2Frun%2Fpostgresql/d",
        "postgresql://u@[::1]:5432/d?sslmode=verify-full&sslrootcert=/etc/ca.pem",
        "postgresql://u:pässword@h/d",
        "postgres://h/d",
    ],
)
def test_what_postgresqls_client_understands_is_accepted(url: str) -> None:
    assert load_settings({**ENVIRONMENT, "DATABASE_URL": url}).database_url.get_secret_value().endswith(url.partition("://")[2])


@pytest.mark.parametrize("url", ["rediss://:p@h:6380/1", "redis://u:p@[::1]:6379", "redis://h/", "unix:///s?db=1&password=x"])
def test_the_urls_of_redis_are_accepted(url: str) -> None:
    found = load_settings({**ENVIRONMENT, "REDIS_URL": url}).redis_url
    assert found is not None
    assert found.get_secret_value() == url


@given(
    name=st.sampled_from(["PORT", "SOCKETS_MAX", "DB_PORT", "SCORE_MILESTONES"]),
    digits=st.text("0123456789", min_size=1, max_size=4),
    at=st.integers(0, 4),
    other=st.text(st.characters(exclude_characters="0123456789-,\r\n"), min_size=1, max_size=2),
)
def test_a_whole_number_has_only_digits(name: str, digits: str, at: int, other: str) -> None:
    text = digits[:at] + other + digits[at:]
    if not text.strip().strip("0123456789"):
        return  # white space around a number, which an env file with line ends of Windows leaves
    with pytest.raises(BadSettings, match=f"^{name} should .*for example {name}="):
        load_settings({**ENVIRONMENT, name: text})


@given(st.integers(1, 65_535), st.sampled_from(["", " ", "\r"]))
def test_each_whole_number_is_read_with_white_space_around_it(number: int, around: str) -> None:
    assert load_settings({**ENVIRONMENT, "PORT": f"{around}{number}{around}", "WEBSOCKET_PORT": "0"}).port == number


@pytest.mark.parametrize(
    "environ", [{}, {"REDIS_HOST": "h"}, {"REDIS_PORT": "6379"}, {"REDIS_URL": "redis://h/0"}, {"REDIS_URL": "unix:///s"}]
)
def test_certificate_authorities_without_tls_are_a_contradiction(environ: dict[str, str]) -> None:
    """The operator believes that the password is encrypted."""
    said = complaint({**ENVIRONMENT, **environ, "REDIS_CA_FILE": "/etc/ssl/certs/ca.pem"})
    assert said.startswith("REDIS_CA_FILE should be set for TLS only")
    assert ("REDIS_URL" if "REDIS_URL" in environ else "REDIS_HOST") in said
