"""Near misses: a name that is nearly a setting's is reported once, and the names of other programs are not."""

from __future__ import annotations

import secrets
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from config import BadSettings
from config.near_misses import likely_name
from config.settings import SECRETS, VARIABLES, load_settings

KNOWN = [*VARIABLES, *(f"{name}_FILE" for name in SECRETS)]

NEAR = {
    "JWT_SECRT": "JWT_SECRET",
    "jwt_secret": "JWT_SECRET",
    "JWT_SECERT_FILE": "JWT_SECRET_FILE",
    "JWT_SECRET_KEY": "JWT_SECRET",
    "SCOREBOARD_PORT": "PORT",
    "SCOREBOARD_JWT_SECRET": "JWT_SECRET",
    "PORTS": "PORT",
    "PROT": "PORT",
    "PORT_FILE": "PORT",
    "DATA_DIR": "SCOREBOARD_DATA_DIR",
    "SCOREBOARD_ENVIRONMENT": "SCOREBOARD_ENV",
    "DB_PASS": "DB_PASSWORD",
    "DB_USERNAME": "DB_USER",
    "DB_HOSTNAME": "DB_HOST",
    "DBHOST": "DB_HOST",
    "DATABASE_URI": "DATABASE_URL",
    "REDIS_URI": "REDIS_URL",
    "CORS_ORIGINS": "CORS_ORIGIN",
    "LOGLEVEL": "LOG_LEVEL",
    "TRUSTED_PROXY": "TRUSTED_PROXIES",
    "WS_PORT": "WEBSOCKET_PORT",
    "JWT_SECRET_OLD": "JWT_SECRETS_OLD",
    "JWT_OLD_SECRETS": "JWT_SECRETS_OLD",
    "OLD_JWT_SECRET": "JWT_SECRETS_OLD",
    "JWT_SECRETS": "JWT_SECRETS_OLD",
    "JWT_SECRET_OLD_FILE": "JWT_SECRETS_OLD_FILE",
    "ACTION_SIGNATURE_SECRET_OLD": "ACTION_SIGNATURE_SECRETS_OLD",
    "METRICS_PASSWORD": "METRICS_TOKEN",
    "DB_PWD": "DB_PASSWORD",
    "DATABASE_HOST": "DB_HOST",
    "DATABASE_NAME": "DB_NAME",
    "JWT_TTL": "JWT_EXPIRATION",
    "DATADIR": "SCOREBOARD_DATA_DIR",
    "MAX_SOCKETS": "SOCKETS_MAX",
}
OTHERS = """
    PATH HOME SHELL USER LOGNAME LANG LC_ALL TERM PWD MAIL HOST HOSTNAME SSH_AUTH_SOCK XDG_RUNTIME_DIR XDG_DATA_DIRS INVOCATION_ID
    JOURNAL_STREAM LISTEN_FDS LISTEN_PID NOTIFY_SOCKET WATCHDOG_USEC CREDENTIALS_DIRECTORY STATE_DIRECTORY RUNTIME_DIRECTORY
    KUBERNETES_SERVICE_HOST KUBERNETES_PORT REDIS_SERVICE_HOST REDIS_SERVICE_PORT REDIS_PORT_6379_TCP REDIS_PORT_6379_TCP_ADDR
    DB_SERVICE_HOST DB_SERVICE_PORT DB_PORT_5432_TCP SCOREBOARD_SERVICE_HOST SCOREBOARD_SERVICE_PORT SCOREBOARD_PORT_3000_TCP CI
    PGHOST PGPORT PGPASSWORD POSTGRES_PASSWORD POSTGRES_USER NODE_ENV EDITOR TZ TMPDIR COLUMNS SUDO_USER REPORT EXPORT SPORT
    PYTHONPATH DOCKER_HOST HTTP_PROXY NO_COLOR VIRTUAL_ENV _
"""


@pytest.mark.parametrize(("name", "meant"), NEAR.items())
def test_a_near_miss_names_the_likely_setting(name: str, meant: str) -> None:
    assert likely_name(name, KNOWN) == meant


@pytest.mark.parametrize("name", OTHERS.split())
def test_names_of_other_programs_are_not_reported(name: str) -> None:
    assert likely_name(name, KNOWN) is None


@given(
    name=st.sampled_from([one for one in KNOWN if len(one) > 6]),
    at=st.integers(0, 60),
    how=st.sampled_from(["drop", "swap", "double"]),
)
def test_one_wrong_letter_in_a_long_name_is_noticed(name: str, at: int, how: str) -> None:
    at %= len(name) - 1
    wrong = {
        "drop": name[:at] + name[at + 1 :],
        "swap": name[:at] + name[at + 1] + name[at] + name[at + 2 :],
        "double": name[: at + 1] + name[at:],
    }[how]
    if wrong not in KNOWN:
        assert likely_name(wrong, KNOWN) is not None


def test_all_near_misses_are_one_remark_without_their_values(tmp_path: Path) -> None:
    environ = {
        "SCOREBOARD_DATA_DIR": str(tmp_path / "var"),
        "JWT_SECRT": "hunter2",
        "PORTS": "1",
        "REDIS_PORTS": "tcp://10.0.0.1:1",
    }
    (remark,) = load_settings(environ).remarks()
    assert remark == (
        "these environment variables are no settings and are ignored: "
        "'JWT_SECRT' (should it be JWT_SECRET?), 'PORTS' (should it be PORT?)"
    )


@pytest.mark.parametrize(("name", "written"), [("JWT_SECRET", "JWT_SECRT"), ("ACTION_SIGNATURE_SECRET", "ACTION_SECRET")])
def test_a_missing_secret_with_a_misspelt_name_is_one_line_with_both_names(name: str, written: str) -> None:
    right = {"JWT_SECRET": secrets.token_hex(32), "ACTION_SIGNATURE_SECRET": secrets.token_hex(32)}
    environ = {"SCOREBOARD_ENV": "production", **right, written: right[name]}
    del environ[name]
    with pytest.raises(BadSettings) as refused:
        load_settings(environ)
    (said,) = refused.value.complaints
    assert said.startswith(f"{name} should be set in production: ")
    assert said.endswith(f"'{written}' is no setting: should it be {name}?")
    assert right[name][:4] not in said
