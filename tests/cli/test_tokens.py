"""`scoreboard token check`: an operator sees which check of a token failed and who signed it, and never a secret."""

from __future__ import annotations

import base64
import json
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from twisted.internet.task import Clock
from typer.testing import CliRunner, Result

from cli.context import CliContext
from cli.main import app
from cli.reactor import run_on_reactor
from scoreboard.domain.token_faults import TokenFault
from scoreboard.service import admin
from tests.attack.instance import Instance, compact
from tests.awaiting import result_of

NOW_S = int(time.time())
SERVER = Instance(
    secret="3b8e1d5f7c2a49069e4d80b7f6a1c352",
    older="a94f0c7e5d2b41838f6e1a0d9c7b5e24",
    retired="06d7e2b95c1f4a3e8b0d7f9a2c4e6185",
    action_secret="d2c5f8a17b3e49608c1d4e7f0a9b6352",
)
ENVIRON = {
    "JWT_SECRET": SERVER.secret,
    "JWT_SECRETS_OLD": SERVER.older,
    "JWT_ISSUER": SERVER.issuer,
    "JWT_AUDIENCE": SERVER.audience,
    "ACTION_SIGNATURE_SECRET": SERVER.action_secret,
}
SECRETS = [SERVER.secret, SERVER.older, SERVER.retired, SERVER.action_secret]
HS256 = {"alg": "HS256", "typ": "JWT"}


def run(*arguments: str, stdin: str | None = None, **environ: str) -> Result:
    ctx = CliContext(load_admin=lambda: admin, environ={**ENVIRON, **environ}, now_s=lambda: NOW_S, run=run_on_reactor)
    return CliRunner().invoke(app, arguments, input=stdin, obj=ctx, env={"COLUMNS": "200"})


def checked(token: str, **environ: str) -> dict[str, Any]:
    ended = run("token", "check", "--json", stdin=f"{token}\n", **environ)
    report: dict[str, Any] = json.loads(ended.stdout)
    assert ended.exit_code == (0 if report["accepted"] else 1), ended.output
    return report


def signed(key: str | bytes = SERVER.secret, header: object = HS256, **claims: Any) -> str:
    return compact(header, SERVER.claims(NOW_S, **claims), key.encode() if isinstance(key, str) else key)


OTHERS = {TokenFault.NO_TOKEN, TokenFault.NOT_ONE_TOKEN, TokenFault.TICKET, TokenFault.SUSPENDED}
#: For each fault of a token, one that has it and no other.
FAULTY: dict[TokenFault, str] = {
    TokenFault.TOO_LONG: signed(pad="x" * 4096),
    TokenFault.FORM: "e30.e30",
    TokenFault.HEADER: signed(header="[]"),
    TokenFault.ALGORITHM: signed(header={"alg": "RS256"}),
    TokenFault.HEADER_MEMBER: signed(header={"alg": "HS256", "jku": "https://keys.example"}),
    TokenFault.TYPE: signed(header={"alg": "HS256", "typ": "at+jwt"}),
    TokenFault.KID: signed(header={"alg": "HS256", "kid": "2024-key"}),
    TokenFault.SIGNATURE: signed(SERVER.retired),
    TokenFault.CLAIMS: compact(HS256, '{"userId":"amy","userId":"bob"}', SERVER.secret.encode()),
    TokenFault.CLAIM: signed(exp=f"{NOW_S + 60}"),
    TokenFault.USER_ID: signed(userId="amy@example.org"),
    TokenFault.ENDS_BEFORE_ISSUED: signed(iat=NOW_S + 30, exp=NOW_S + 30),
    TokenFault.LIFE_TOO_LONG: signed(exp=NOW_S + 90_000),
    TokenFault.ISSUED_AHEAD: signed(iat=NOW_S + 120),
    TokenFault.NOT_YET_VALID: signed(nbf=NOW_S + 120),
    TokenFault.ISSUER: signed(iss="https://login.example/"),
    TokenFault.AUDIENCE: signed(aud="another-game"),
    TokenFault.EXPIRED: signed(iat=NOW_S - 900, exp=NOW_S - 60),
}


@pytest.mark.parametrize("fault", FAULTY, ids=lambda fault: fault.value)
def test_the_check_that_a_token_fails_is_named_and_no_secret_is_shown(fault: TokenFault) -> None:
    report = checked(FAULTY[fault])
    assert report["faults"] == [fault.value]
    shown = run("token", "check", FAULTY[fault])
    assert shown.exit_code == 1
    assert f"{fault.value}".ljust(len(fault.value)) in shown.stdout
    assert f"refused: {fault.said}" in " ".join(shown.stdout.split())
    assert "The server refuses it." in shown.stdout
    for text in (*SECRETS, FAULTY[fault].rpartition(".")[2] if len(FAULTY[fault]) > 100 else SERVER.secret):
        assert text not in shown.output
        assert text not in json.dumps(report)


def test_every_fault_of_a_token_has_an_example() -> None:
    assert set(FAULTY) == set(TokenFault) - OTHERS


def test_a_valid_token_is_explained_with_its_key_its_claims_and_its_end() -> None:
    token = signed(SERVER.older, username="Amy\n", email="amy@example.org")
    report = checked(token)
    assert (report["faults"], report["not_checked"], report["signed_by"]) == ([], [], "JWT_SECRETS_OLD")
    assert (report["claims"]["userId"], report["shown_as"], report["other_claims"]) == ("amy", "Amy", ["email"])
    shown = run("token", "check", f"Bearer {token}")
    assert (shown.exit_code, "amy@example.org" in shown.stdout) == (0, False)
    assert "(in 0:10:00)" in shown.stdout
    assert "The server accepts it" in shown.stdout


def test_checks_after_the_first_that_failed_are_not_made_but_all_claims_are_checked() -> None:
    assert "exp has passed" not in run("token", "check", signed(SERVER.retired, exp=NOW_S - 60)).stdout
    assert checked(signed(SERVER.retired))["not_checked"][0] == "claims"
    assert checked(signed(iss="x", aud="y", exp=NOW_S - 1))["faults"] == ["issuer", "audience", "expired"]


@pytest.mark.parametrize(
    ("key", "header", "hint"),
    [
        (SERVER.action_secret, HS256, "it is signed with ACTION_SIGNATURE_SECRET"),
        (SERVER.secret + "\n", HS256, "JWT_SECRET and white space after it"),
        (bytes.fromhex(SERVER.secret), HS256, "JWT_SECRET decoded from hexadecimal"),
        (base64.b64decode(SERVER.older), HS256, "JWT_SECRETS_OLD decoded from base64"),
        (SERVER.secret, {"alg": "HS256", "kid": "a"}, "JWT_SECRET did sign it, but its header"),
        (SERVER.retired, HS256, ""),
    ],
    ids=lambda value: str(value)[:12],
)
def test_a_usual_mistake_of_a_login_service_is_named(key: str | bytes, header: object, hint: str) -> None:
    report = checked(signed(key, header))
    assert (report["accepted"], report["signed_by"]) == (False, None)
    assert hint in report["hint"]
    assert bool(hint) == bool(report["hint"])


@pytest.mark.parametrize(
    "value", ["1e400", "-1e400", '{"a": [1e400]}', '["x", 1]', '"\\ud800\\u001b[31m"', "1e15", "-5", "true", "null"]
)
def test_claims_of_any_form_are_explained_as_json_and_as_text(value: str) -> None:
    for claim in ("exp", "aud", "username", "userId", "role"):
        others = json.dumps({name: one for name, one in SERVER.claims(NOW_S).items() if name != claim})
        token = compact(HS256, f'{others[:-1]}, "{claim}": {value}}}', SERVER.retired.encode())
        text = run("token", "check", "--json", stdin=token).stdout
        json.loads(text, parse_constant=lambda name: pytest.fail(f"{name} is not JSON"))
        shown = run("token", "check", token)
        assert shown.exit_code == 1
        assert "\x1b" not in shown.stdout


@pytest.mark.parametrize(
    ("pasted", "left_out"),
    [
        ("{}", []),
        (" {}\r\n", []),
        ("Bearer {}", []),
        ("bearer\t{}", []),
        ('"{}"', ["quotes around it"]),
        ("`{}`,\n", ["quotes around it", "a comma or a semicolon after it"]),
        ("Authorization: Bearer {}", ["the name of the header"]),
        ("'authorization:Bearer {}'", ["quotes around it", "the name of the header"]),
        ("Bearer Bearer {}", ["a second Bearer"]),
    ],
)
def test_the_token_inside_of_what_was_pasted_is_checked_and_the_rest_is_named(pasted: str, left_out: list[str]) -> None:
    report = checked(pasted.format(signed()))
    assert (report["accepted"], report["left_out"], report["signed_by"]) == (True, left_out, "JWT_SECRET")
    shown = run("token", "check", stdin=pasted.format(signed()))
    assert shown.exit_code == 0
    words = " ".join(shown.stdout.split())
    said = f"Left out before the checks, because the server refuses a token with it: {', '.join(left_out)}."
    assert (said in words) == bool(left_out)


def test_a_token_that_was_broken_into_lines_is_checked_as_a_whole() -> None:
    token = signed()
    report = checked(f"{token[:60]}\n{token[60:120]}\n  {token[120:]}\n")
    assert (report["accepted"], report["left_out"]) == (True, ["line breaks or spaces in it"])


@pytest.mark.parametrize(
    ("claims", "words"),
    [
        ({"userId": 5}, "Found: userId: must be of type string."),
        ({"role": "player"}, "Found: role: must be one of user, admin, service, spectator."),
        ({"username": ""}, "Found: username: must not be empty."),
        ({"exp": "tomorrow"}, "Found: exp: must be of type number."),
        ({"iat": NOW_S * 1000, "exp": NOW_S * 1000 + 900_000}, "Perhaps its times are milliseconds"),
    ],
)
def test_a_wrong_claim_is_named_with_what_is_right(claims: dict[str, Any], words: str) -> None:
    assert words in " ".join(run("token", "check", signed(**claims)).stdout.split())


def test_a_claim_with_the_name_of_another_system_is_named() -> None:
    claims = SERVER.claims(NOW_S)
    claims["sub"] = claims.pop("userId")
    words = " ".join(run("token", "check", compact(HS256, claims, SERVER.secret.encode())).stdout.split())
    assert "Found: userId: is required. Perhaps the claim sub should be named userId." in words


@pytest.mark.parametrize("text", ["undefined", "Bearer null", '"None"'])
def test_a_word_that_a_program_wrote_in_place_of_a_token_is_named(text: str) -> None:
    shown = run("token", "check", stdin=text)
    assert shown.exit_code == 1
    assert "where it had no token" in shown.stdout


def test_a_signature_that_was_not_checked_is_not_called_a_wrong_one() -> None:
    for fault, token in FAULTY.items():
        words = " ".join(run("token", "check", token).stdout.split())
        unchecked = fault.value in ("too_long", "form", "header", "algorithm", "header_member", "type", "kid")
        assert ("not known: the signature was not checked" in words) == unchecked, fault
        assert ("no secret of these settings" in words) == (fault is TokenFault.SIGNATURE), fault


@pytest.mark.parametrize("text", ["", "  \n", "Bearer ", '""', "Authorization: Bearer"])
def test_without_a_token_the_usage_is_explained(text: str) -> None:
    assert run("token", "check", stdin=text).exit_code == 2


@pytest.mark.parametrize(
    "text", ["\x1b[31m", "a" * 70_000, "é.é.é", "\ufeff", SERVER.secret, "-----BEGIN PRIVATE KEY-----", "{}", "a.b.c"]
)
def test_a_text_that_is_no_token_is_explained_without_being_repeated(text: str) -> None:
    ended = run("token", "check", stdin=text)
    assert ended.exit_code == 1
    assert text not in ended.output
    assert "\x1b[31m" not in ended.output


@pytest.fixture
def empty_directory(tmp_path: Path) -> Iterator[Path]:
    before = Path.cwd()
    os.chdir(tmp_path)
    yield tmp_path
    os.chdir(before)


@pytest.mark.parametrize(
    "command",
    [
        "token mint --user amy",
        "token check e30.e30",
        "top --once",
        "audit list",
        "audit export",
        "replay check 9b2f6f0e-4a52-4c1d-8f5e-2f1f1d0a7c11",
        "replay verify",
        "player show amy",
        "player suspend amy --reason r --operator root --yes",
        "reset user amy --reason r --operator root --yes",
        "reset board --reason r --operator root --yes",
        "db status",
        "db backup copy.db",
        "flags list",
    ],
)
def test_where_no_ledger_is_no_command_writes_anything(command: str, empty_directory: Path) -> None:
    ctx = CliContext(load_admin=lambda: admin, environ={}, now_s=lambda: NOW_S, run=lambda main: result_of(main(Clock())))
    ended = CliRunner().invoke(app, command.split(), obj=ctx)
    assert ended.exit_code == (0 if command == "flags list" else 1 if command == "db status" else 78 if "token" in command else 3)
    assert list(empty_directory.iterdir()) == []
    if "token" in command:
        assert str(empty_directory / "var" / "secrets.json") in ended.stderr, "it says whose secrets are missing"


@pytest.mark.parametrize("words", [["Bearer", "{}"], ["Authorization:", "Bearer", "{}"], ["Bearer {}"], ["{}"]])
def test_a_token_may_be_pasted_as_several_arguments(words: list[str]) -> None:
    token = signed()
    ended = run("token", "check", *(word.format(token) for word in words))
    assert ended.exit_code == 0, ended.output


@pytest.mark.parametrize(
    "arguments",
    [
        ["token", "{}"],
        ["{}"],
        ["token", "check", "--{}"],
        ["token", "mint", "--user", "a", "{}"],
        ["player", "show", "a", "{}"],
        ["audit", "list", "Bearer {}"],
    ],
)
def test_no_complaint_about_arguments_repeats_a_token(arguments: list[str]) -> None:
    token = signed()
    ended = run(*(one.format(token) for one in arguments))
    assert ended.exit_code == 2
    assert not [segment for segment in token.split(".") if segment in ended.output]
    assert "(a token)" in ended.output
