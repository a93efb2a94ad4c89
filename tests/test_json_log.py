"""JSON log: an event is one line, bounded, and without secrets."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from twisted.logger import Logger, LogLevel

from config.settings import SECRETS, load_settings
from scoreboard.json_log import JsonLog, json_line, json_log

JWT = "eyJhbGciOiJIUzI1NiJ9.eyJ1c2VySWQiOiJ1c2VyLTEifQ.c2lnbmF0dXJl"
SIGNED = "v1.0a1b2c3d.WyJnbG9iYWwiXQ.bWFjbWFjbWFj"


def written(message: str, /, level: str = "info", **fields: Any) -> dict[str, Any]:
    """The JSON object of one event in the log. The event must be one line of ASCII."""
    stream = io.StringIO()
    Logger(namespace="scoreboard.room", observer=JsonLog(stream)).emit(LogLevel.lookupByName(level), message, **fields)
    text = stream.getvalue()
    assert text.endswith("\n")
    assert len(text.splitlines()) == 1
    assert text.rstrip("\n").isprintable()
    assert text.isascii()
    assert len(text) <= 8_193
    said: dict[str, Any] = json.loads(text)
    return said


def test_an_event_is_one_json_object() -> None:
    said = written("{who} scored {points}", who="Ada", points=100, level="warn")
    assert said["level"] == "warn"
    assert said["namespace"] == "scoreboard.room"
    assert said["message"] == "Ada scored 100"
    assert said["fields"] == {"who": "Ada", "points": 100}
    assert said["time"].endswith("Z")


def test_a_failure_is_in_the_same_line_with_its_traceback() -> None:
    stream = io.StringIO()
    log = Logger(namespace="scoreboard.room", observer=JsonLog(stream))
    try:
        raise ValueError("what went wrong\nand then some")
    except ValueError:
        log.failure("could not")
    (only,) = stream.getvalue().splitlines()
    said = json.loads(only)
    assert said["message"] == "could not"
    assert "ValueError: what went wrong" in said["traceback"]
    assert "test_json_log.py" in said["traceback"]


def test_only_events_of_the_level_are_written() -> None:
    stream = io.StringIO()
    log = Logger(namespace="scoreboard.room", observer=json_log(stream, "warn"))
    log.info("hardly")
    log.error("indeed")
    assert [json.loads(one)["message"] for one in stream.getvalue().splitlines()] == ["indeed"]


@pytest.mark.parametrize("key", ["token", "Authorization", "signature", "JWT_SECRET", "db_password", "auth", "set-cookie"])
def test_a_value_under_a_sensitive_key_is_not_written(key: str) -> None:
    said = written(
        "before {it} after", it={key: "hunter2-hunter2"}, **{key: "tr0ub4dor"}, deep=[{"more": {key: b"c0rrect-h0rse"}}]
    )
    assert said["message"].startswith("before ")
    whole = json.dumps(said)
    assert "[redacted]" in whole
    assert not any(secret in whole for secret in ("hunter2", "tr0ub4dor", "c0rrect"))


def test_a_message_does_not_repeat_a_hidden_value() -> None:
    assert written("got {token} from {who}", token="tr0ub4dor", who="Ada")["message"] == "got [redacted] from Ada"


@pytest.mark.parametrize("name", SECRETS)
@pytest.mark.parametrize("in_file", [False, True])
def test_a_line_about_a_secret_setting_keeps_its_words(name: str, in_file: bool, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("unusual-Xq7vJw9k-and-long-enough-for-any-secret-of-ours")
    named = {f"{name}_FILE": str(tmp_path / "secret")} if in_file and "URL" not in name else {}
    in_force = load_settings({"SCOREBOARD_DATA_DIR": str(tmp_path), **named})
    for setting in (name, f"PORT (or {name})"):
        trouble = in_force.in_words_of_the_log(f"{setting}: the password of user 'keeper' is wrong")
        message = written("it cannot commit: {trouble}", trouble=trouble)["message"]
        assert message.endswith(": the password of user 'keeper' is wrong")
        assert message.startswith(f"it cannot commit: {name}")


@pytest.mark.parametrize(
    "text",
    [
        f"Authorization: Bearer {JWT}",
        "Authorization: Bearer tr0ub4dor",
        "authorization=Basic tr0ub4dor",
        "bearer tr0ub4dor",
        f"the client sent {JWT}",
        f"signature mismatch for {SIGNED}",
        "JWT_SECRET=tr0ub4dor",
        "{'password': 'tr0ub4dor'}",
        '"access_token": "tr0ub4dor"',
        "connection to postgresql://keeper:tr0ub4dor@db/scores failed",
        "redis://:tr0ub4dor@redis:6379/0",
        "GET /ws?token=tr0ub4dor&x=1",
    ],
)
def test_a_secret_that_its_form_shows_is_not_written(text: str) -> None:
    for said in (written("{text}", text=text), written(text.replace("{", "{{").replace("}", "}}"))):
        whole = json.dumps(said)
        assert "[redacted]" in whole
        assert "tr0ub4dor" not in whole
        assert JWT.split(".")[1] not in whole
        assert SIGNED.split(".")[3] not in whole


def test_a_secret_in_a_traceback_is_not_written() -> None:
    stream = io.StringIO()
    log = Logger(observer=JsonLog(stream))
    try:
        raise ConnectionError("postgresql://keeper:tr0ub4dor@db/scores refused us")
    except ConnectionError:
        log.failure("no ledger")
    assert "tr0ub4dor" not in stream.getvalue()


@pytest.mark.parametrize(
    "name",
    [
        "two\r\nlines {}",
        "\x1b[31mred\x1b[0m",
        "\u202egnp.exe",
        "<script>alert(1)</script>",
        "\u2028separated\x85",
        "\ud800 alone",
        "nul \x00 del \x7f",
        "{log_format}",
        "%s%n",
    ],
)
def test_a_hostile_name_neither_breaks_nor_forges_a_line(name: str) -> None:
    said = written("{name} joined", name=name)
    assert said["fields"]["name"] == name
    assert said["message"] == f"{name} joined"


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)


@settings(max_examples=60)
@example({"log_failure": []})
@given(st.dictionaries(st.text(min_size=1, max_size=20), ANYTHING, max_size=5))
def test_with_any_fields_the_line_is_one_json_object(fields: dict[str, Any]) -> None:
    event = {**fields, "log_level": LogLevel.info, "log_time": 0.0, "log_namespace": "scoreboard.room", "log_format": "so"}
    text = json_line(event)
    assert len(text.splitlines()) == 1
    json.loads(text, parse_constant=lambda constant: pytest.fail(f"{constant} is not JSON"))


@pytest.mark.parametrize("long", ["x" * 100_000, "\x00" * 100_000, "\U0001f3c6" * 100_000])
def test_the_length_of_a_line_is_limited(long: str) -> None:
    said = written("{long}", long=long, also={f"k{number}": long for number in range(100)}, more=[long] * 100)
    assert said["message"]


def test_a_value_without_a_repr_does_not_stop_the_log() -> None:
    class Rude:
        def __repr__(self) -> str:
            raise RuntimeError("no")

    assert "Rude instance" in written("a {listener}", listener=Rude())["fields"]["listener"]
    assert "MESSAGE LOST" in written("{n}", n=10**5000)["message"]


def test_a_log_without_a_reader_does_not_stop_the_server() -> None:
    class Gone(io.StringIO):
        def write(self, text: str, /) -> int:
            raise BrokenPipeError

    Logger(observer=JsonLog(Gone())).info("anyone?")
