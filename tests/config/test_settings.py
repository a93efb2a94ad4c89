"""Tests of the settings: which values are allowed, where they come from, and the one-line message for each mistake."""

from __future__ import annotations

import os
import re
import stat
from ipaddress import ip_network
from pathlib import Path

import pytest

from config import BadSettings
from config.settings import EVERY_ADDRESS, PACKAGED_ACTIONS, VARIABLES, Settings, load_settings
from scoreboard.net.limits import HttpLimits

JWT_SECRET, ACTION_SECRET, OLDER = (
    "c1d5a0f38e5b4f0c9a7e2d61b8f43c90",
    "7f2e9b60d4a8135ce8907b1f4d6a3c25",
    "5be81f07c93d4a6290ef7d1b38c46a0e",
)
PRODUCTION = {"SCOREBOARD_ENV": "production", "JWT_SECRET": JWT_SECRET, "ACTION_SIGNATURE_SECRET": ACTION_SECRET}
SECRET = "q7-never-shown-in-any-message-q7"  # long enough for a secret, and so unusual that a test finds it in a message


def loaded(tmp_path: Path, **environ: str) -> Settings:
    return load_settings({"SCOREBOARD_DATA_DIR": str(tmp_path / "var"), **environ})


def test_development_needs_only_a_data_directory(tmp_path: Path) -> None:
    settings = loaded(tmp_path)
    assert (settings.environment, settings.port, settings.websocket_port) == ("development", 3000, 3001)
    assert settings.bind_address == "127.0.0.1"
    assert settings.database_url.get_secret_value() == f"sqlite:///{tmp_path}/var/ledger.db"
    assert settings.redis_url is None
    assert settings.public_board
    assert settings.rate_limit_ip_max >= 3000, "the demo's players share one address"


def test_the_defaults_of_production_are_stricter() -> None:
    settings = load_settings(PRODUCTION)
    assert settings.cors_origins == ()
    assert not settings.public_board
    assert (settings.rate_limit_ip_max, settings.sockets_per_address_max) == (100, 100)
    assert settings.data_dir == Path.cwd() / "var"


def test_the_environment_variables_of_the_specification_are_read() -> None:
    settings = load_settings(
        {
            **PRODUCTION,
            "NODE_ENV": "production",
            "PORT": "8080",
            "DB_HOST": "db.internal",
            "DB_PORT": "5433",
            "DB_NAME": "scores",
            "DB_USER": "keeper",
            "DB_PASSWORD": "p@ss/word",
            "REDIS_HOST": "redis.internal",
            "REDIS_PORT": "6380",
            "JWT_EXPIRATION": "24h",
            "RATE_LIMIT_WINDOW": "60",
            "RATE_LIMIT_MAX_REQUESTS": "12",
            "ACTION_EXPIRATION_MS": "600000",
            "WEBSOCKET_PORT": "8081",
            "CORS_ORIGIN": "https://example.com",
        }
    )
    assert settings.database_url.get_secret_value() == "postgresql://keeper:p%40ss%2Fword@db.internal:5433/scores"
    assert settings.redis_url is not None
    assert settings.redis_url.get_secret_value() == "redis://redis.internal:6380/0"
    assert (settings.port, settings.websocket_port, settings.cors_origins) == (8080, 8081, ("https://example.com",))
    assert (settings.jwt_expiration_s, settings.rate_limit_window_s) == (86_400, 60)
    assert settings.rate_limit_initialize_max == 24


@pytest.mark.parametrize(
    ("environ", "url"),
    [
        ({"DB_NAME": "scores"}, "postgresql://postgres@localhost:5432/scores"),
        ({"DB_HOST": "::1", "DB_USER": "a b"}, "postgresql://a%20b@[::1]:5432/scoreboard"),
        ({"DB_HOST": "a,::1", "DB_PORT": "5433"}, "postgresql://postgres@a:5433,[::1]:5433/scoreboard"),
        ({"DB_HOST": "h", "DB_PASSWORD": "p" * 4_000}, f"postgresql://postgres:{'p' * 4_000}@h:5432/scoreboard"),
        ({"DATABASE_URL": "postgres://h/x", "DB_HOST": "elsewhere"}, "postgresql://h/x"),
        ({"DATABASE_URL": "sqlite:////srv/ledger.db"}, "sqlite:////srv/ledger.db"),
    ],
)
def test_the_ledgers_url_is_one_setting_or_is_made_of_parts(environ: dict[str, str], url: str) -> None:
    assert load_settings({**PRODUCTION, **environ}).database_url.get_secret_value() == url


@pytest.mark.parametrize(
    ("environ", "url"),
    [
        ({"REDIS_PORT": "7000"}, "redis://localhost:7000/0"),
        ({"REDIS_HOST": "h", "REDIS_PASSWORD": "p:w"}, "redis://:p%3Aw@h:6379/0"),
        ({"REDIS_URL": "unix:///run/redis.sock", "REDIS_HOST": "h"}, "unix:///run/redis.sock"),
    ],
)
def test_the_url_of_redis_is_one_setting_or_is_made_of_parts(environ: dict[str, str], url: str) -> None:
    given = load_settings({**PRODUCTION, **environ}).redis_url
    assert given is not None
    assert given.get_secret_value() == url


@pytest.mark.parametrize(
    ("environ", "contradicting"),
    [
        ({"DATABASE_URL": "postgres://h/x", "DB_HOST": "elsewhere", "DB_NAME": "x"}, ["DB_HOST"]),
        ({"DATABASE_URL": "postgres://a%20b:p%2Fw@h:5433/x", "DB_USER": "a b", "DB_PASSWORD": "p/w", "DB_PORT": "5433"}, []),
        ({"DATABASE_URL": "postgres://a:b@h/x", "DB_PASSWORD": "c", "DB_PORT": "5432"}, ["DB_PORT", "DB_PASSWORD"]),
        ({"REDIS_URL": "unix:///run/redis.sock", "REDIS_HOST": "h"}, ["REDIS_HOST"]),
        ({"REDIS_URL": "redis://h:7000/1", "REDIS_HOST": "h", "REDIS_PORT": "7000"}, []),
        ({"DB_HOST": "h", "REDIS_HOST": "h"}, []),
        ({"DATABASE_URL": "postgres://[::1]:5432,[::2]/x", "DB_HOST": "h"}, []),
    ],
)
def test_a_part_that_contradicts_its_url_is_reported_without_its_value(environ: dict[str, str], contradicting: list[str]) -> None:
    messages = list(load_settings({**PRODUCTION, **environ}).contradictions())
    assert [message.split()[0] for message in messages] == contradicting
    assert all(message.endswith("_URL, which is used") for message in messages)


@pytest.mark.parametrize(
    ("environ", "message"),
    [
        ({"REDIS_PORT": "0"}, "REDIS_PORT should be a whole number from 1 to 65535, for example REDIS_PORT=6379"),
        ({"DB_PORT": "0"}, "DB_PORT should be a whole number from 1 to 65535, for example DB_PORT=5432"),
        ({"BROADCAST_INTERVAL_MS": "100000"}, "BROADCAST_INTERVAL_MS should be a whole number from 1 to 10000, for example"),
        ({"RATE_LIMIT_WINDOW": "2d"}, "RATE_LIMIT_WINDOW should be a time of 1 second to 1 day"),
        ({"TRUSTED_PROXIES": "0.0.0.0/0"}, "TRUSTED_PROXIES should name the proxies: with every address in it"),
        ({"TRUSTED_PROXIES": "10.0.0.1,::/0"}, "TRUSTED_PROXIES should name the proxies: with every address in it"),
    ],
)
def test_a_value_outside_the_allowed_range_is_refused(environ: dict[str, str], message: str) -> None:
    with pytest.raises(BadSettings) as bad:
        load_settings({**PRODUCTION, **environ})
    assert str(bad.value).startswith(message)


@pytest.mark.parametrize("key", ["port", "websocket_port", "rate_limit_max_requests", "broadcast_interval_ms", "db_port"])
@pytest.mark.parametrize("value", ["true", "false"])
def test_true_and_false_are_not_numbers(key: str, value: str, tmp_path: Path) -> None:
    file = tmp_path / "scoreboard.toml"
    file.write_text(f"{key} = {value}\n")
    with pytest.raises(BadSettings, match=rf"{key} \(in .*\) should be a whole number .*for example {key} = \d+"):
        load_settings({**PRODUCTION, "SCOREBOARD_CONFIG_FILE": str(file)})


@pytest.mark.parametrize(("text", "seconds"), [("900", 900), ("900s", 900), ("15m", 900), ("24h", 86_400), ("7d", 604_800)])
def test_a_time_may_have_a_unit(text: str, seconds: int) -> None:
    assert load_settings({**PRODUCTION, "JWT_EXPIRATION": text}).jwt_expiration_s == seconds


def test_the_items_of_a_list_are_separated_by_commas(tmp_path: Path) -> None:
    settings = load_settings(
        {
            **PRODUCTION,
            "TRUSTED_PROXIES": "10.0.0.0/8, ::1",
            "CORS_ORIGIN": "https://A.example, http://b.example:8080",
            "JWT_SECRETS_OLD": f"{SECRET},{OLDER}",
        }
    )
    assert settings.trusted_proxies == (ip_network("10.0.0.0/8"), ip_network("::1/128"))
    assert settings.cors_origins == ("https://a.example", "http://b.example:8080")
    assert [secret.get_secret_value() for secret in settings.jwt_secrets_old] == [SECRET, OLDER]


@pytest.mark.parametrize(("text", "milestones"), [("", ()), ("100", (100,)), ("1000, 50,100,50", (50, 100, 1_000)), (" , ", ())])
def test_milestones_are_sorted_and_may_be_empty(text: str, milestones: tuple[int, ...]) -> None:
    assert load_settings({**PRODUCTION, "SCORE_MILESTONES": text}).score_milestones == milestones
    assert load_settings(PRODUCTION).score_milestones == (100, 500, 1_000, 5_000, 10_000)


@pytest.mark.parametrize(("written", "milestones"), [("[]", ()), ("[7, 3]", (3, 7))])
def test_milestones_may_be_an_array_in_the_file(written: str, milestones: tuple[int, ...], tmp_path: Path) -> None:
    file = tmp_path / "settings.toml"
    file.write_text(f"score_milestones = {written}\n")
    assert loaded(tmp_path, SCOREBOARD_CONFIG_FILE=str(file)).score_milestones == milestones


@pytest.mark.parametrize("text", ["", "0"])
def test_the_second_port_can_be_disabled(text: str) -> None:
    assert load_settings({**PRODUCTION, "WEBSOCKET_PORT": text}).websocket_port is None


def test_an_empty_variable_counts_as_not_set(tmp_path: Path) -> None:
    settings = loaded(tmp_path, DB_PASSWORD="", REDIS_URL="", PORT="", JWT_ISSUER="", CORS_ORIGIN="")
    assert settings.redis_url is None
    assert settings.port == 3000
    assert settings.cors_origins == (), "an empty CORS_ORIGIN is an empty list and not the default"


BAD = [
    ({"SCOREBOARD_ENV": "staging"}, "SCOREBOARD_ENV should be development, production or test"),
    ({"PORT": "http"}, "PORT should be a whole number"),
    ({"PORT": "65536"}, "PORT should be a whole number from 0 to 65535, for example PORT=3000"),
    ({"PORT": "3001"}, "PORT and WEBSOCKET_PORT should differ"),
    ({"BIND_ADDRESS": "localhost"}, "BIND_ADDRESS should be an IP address, for example BIND_ADDRESS=127.0.0.1"),
    ({"JWT_EXPIRATION": "1y"}, "JWT_EXPIRATION should be a time of 1 second to 366 days"),
    ({"JWT_EXPIRATION": "0"}, "JWT_EXPIRATION should be a time of 1 second to 366 days"),
    ({"TRUSTED_PROXIES": "proxy"}, "TRUSTED_PROXIES should list networks or IP addresses, for example TRUSTED_PROXIES=127.0.0.1"),
    ({"DATABASE_URL": "mysql://h/x"}, "DATABASE_URL should be a URL that begins with postgresql:// or sqlite:///"),
    ({"REDIS_URL": "http://h"}, "REDIS_URL should be a URL that begins with redis://, rediss:// (TLS) or unix://"),
    ({"REDIS_URL": "unix:///s?db=x"}, "REDIS_URL should be a URL that names a database by its number"),
    ({"LOG_LEVEL": "loud"}, "LOG_LEVEL should be debug, info, warn, error or critical, for example LOG_LEVEL=info"),
    ({"PUBLIC_BOARD": "perhaps"}, "PUBLIC_BOARD should be true or false"),
    ({"RATE_LIMIT_POLICY": "fixed"}, "RATE_LIMIT_POLICY should be sliding or bucket"),
    ({"RATE_LIMIT_MAX_REQUESTS": "0"}, "RATE_LIMIT_MAX_REQUESTS should be a whole number from 1 to"),
    ({"SCORE_MILESTONES": "100,0"}, "SCORE_MILESTONES should be a list of whole numbers from 1 to"),
    ({"SCORE_MILESTONES": "many"}, "SCORE_MILESTONES should be a list of whole numbers from 1 to"),
    ({"SCORE_MILESTONES": "9007199254740992"}, "SCORE_MILESTONES should be a list of whole numbers from 1 to 9007199254740991"),
    ({"SCORE_MILESTONES": ",".join(map(str, range(1, 102)))}, "SCORE_MILESTONES should list at most 100 numbers of points"),
    ({"CORS_ORIGIN": "https://example.com/path"}, "CORS_ORIGIN should list origins like https://example.com"),
    ({"CORS_ORIGIN": "example.com"}, "CORS_ORIGIN should list origins like https://example.com"),
    ({"SCOREBOARD_FAILPOINT": "committed"}, "SCOREBOARD_FAILPOINT should not be set unless SCOREBOARD_ENV is test"),
    (
        {"SCOREBOARD_CONFIG_FILE": "/nowhere/at.all"},
        "SCOREBOARD_CONFIG_FILE should name a readable file, for example SCOREBOARD_CONFIG_FILE=/etc/scoreboard.toml",
    ),
]


@pytest.mark.parametrize(("environ", "message"), BAD)
def test_the_message_of_a_bad_setting_is_one_line_with_its_name_and_what_is_allowed(
    environ: dict[str, str], message: str, tmp_path: Path
) -> None:
    with pytest.raises(BadSettings) as refused:
        loaded(tmp_path, **environ)
    assert str(refused.value).startswith(message)
    assert "\n" not in str(refused.value)


def test_the_message_lists_each_bad_setting_and_no_error_that_only_follows_from_it(tmp_path: Path) -> None:
    with pytest.raises(BadSettings) as refused:
        loaded(tmp_path, PORT="x", BIND_ADDRESS="y")
    assert str(refused.value).count(";") == 1


SAMPLE = "should not be the specification's sample in production"
REFUSED_IN_PRODUCTION = [
    ({"JWT_SECRET": ""}, "JWT_SECRET should be set in production"),
    ({"ACTION_SIGNATURE_SECRET": ""}, "ACTION_SIGNATURE_SECRET should be set in production"),
    ({"JWT_SECRET": "your-secret-key-here"}, f"JWT_SECRET {SAMPLE}"),
    ({"ACTION_SIGNATURE_SECRET": "your-signature-secret"}, f"ACTION_SIGNATURE_SECRET {SAMPLE}"),
    ({"JWT_SECRET": "j" * 31}, "JWT_SECRET should have at least 32 bytes in production"),
    ({"JWT_SECRETS_OLD": "short"}, "JWT_SECRETS_OLD should have at least 32 bytes in production"),
    ({"ACTION_SIGNATURE_SECRETS_OLD": "your-signature-secret"}, f"ACTION_SIGNATURE_SECRETS_OLD {SAMPLE}"),
    ({"ACTION_SIGNATURE_SECRET": JWT_SECRET}, "ACTION_SIGNATURE_SECRET should differ from JWT_SECRET"),
    ({"ACTION_SIGNATURE_SECRETS_OLD": JWT_SECRET}, "ACTION_SIGNATURE_SECRETS_OLD should differ from JWT_SECRET"),
    ({"DB_PASSWORD": "secret"}, "DB_PASSWORD should not hold the specification's sample as password in production"),
    ({"DATABASE_URL": "postgresql://u:secret@h/x"}, "DATABASE_URL should not hold the specification's sample"),
    ({"DATABASE_URL": "postgresql://scoreboard:PASSWORD@h/x"}, "DATABASE_URL should not hold env.example's sample as password"),
    ({"REDIS_URL": "redis://:PASSWORD@localhost:6379/0"}, "REDIS_URL should not hold env.example's sample as password"),
    ({"DATABASE_URL": "postgresql://u:%73ecret@h/d"}, "DATABASE_URL should not hold the specification's sample"),
    ({"DATABASE_URL": "postgresql://h/d?password=secret"}, "DATABASE_URL should not hold the specification's sample"),
    ({"DB_PASSWORD": "postgres"}, "DB_PASSWORD should not hold a placeholder as password in production"),
    ({"ACTION_SIGNATURE_SECRET": JWT_SECRET.upper()}, "ACTION_SIGNATURE_SECRET should differ from JWT_SECRET"),
    ({"JWT_SECRETS_OLD": ACTION_SECRET}, "ACTION_SIGNATURE_SECRET should differ from JWT_SECRETS_OLD"),
    (
        {"JWT_SECRETS_OLD": f"{OLDER},short,{SECRET}"},
        "JWT_SECRETS_OLD (number 2) should have at least 32 bytes in production: take it out",
    ),
    ({"JWT_SECRET": f"{OLDER} "}, "JWT_SECRET should not begin or end with white space in production: make one"),
    ({"REDIS_PASSWORD": "foobared"}, "REDIS_PASSWORD should not hold the sample of redis.conf as password in production"),
    ({"REDIS_PASSWORD": "changeme"}, "REDIS_PASSWORD should not hold a placeholder as password in production"),
    *(
        ({name: weak}, f"{name} should be random, not a placeholder or a repeated piece, in production")
        for name in ("JWT_SECRET", "ACTION_SIGNATURE_SECRET", "JWT_SECRETS_OLD", "ACTION_SIGNATURE_SECRETS_OLD")
        for weak in ("a" * 64, "changeme-changeme-changeme-changeme", "your-secret-key-here-your-secret-key-here")
    ),
]


@pytest.mark.parametrize(("environ", "message"), REFUSED_IN_PRODUCTION)
def test_production_refuses_missing_and_weak_secrets(environ: dict[str, str], message: str) -> None:
    with pytest.raises(BadSettings, match="^" + re.escape(message)):
        load_settings({**PRODUCTION, **environ})


def test_development_accepts_secrets_that_production_refuses(tmp_path: Path) -> None:
    settings = loaded(
        tmp_path, JWT_SECRET="your-secret-key-here", ACTION_SIGNATURE_SECRET="your-signature-secret", DB_PASSWORD="secret"
    )
    assert settings.jwt_secret.get_secret_value() == "your-secret-key-here"


@pytest.mark.parametrize("environment", ["development", "production", "test"])
@pytest.mark.parametrize("name", ["jwt_secret", "action_signature_secret"])
@pytest.mark.parametrize(
    ("secret", "message"),
    [
        ("", "should not be empty"),
        ("\\u0000" * 40, "should not be empty"),
        *(
            (key, "not a key in PEM")
            for key in (
                "-----BEGIN PUBLIC KEY-----",
                "---- BEGIN SSH2 PUBLIC KEY ----",
                "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAI",
                " ssh-rsa AAAAB3NzaC1yc2EAAAADAQABAAABgQC",
            )
        ),
    ],
)
def test_an_empty_secret_or_a_key_of_another_kind_is_refused_in_every_environment(
    environment: str, name: str, secret: str, message: str, tmp_path: Path
) -> None:
    file = tmp_path / "settings.toml"
    for written in (f'{name} = "{secret}"', f'{name}s_old = ["{OLDER}", "{secret}"]'):
        file.write_text(written + "\n")
        given = {key: value for key, value in PRODUCTION.items() if key != written.split()[0].upper()}
        with pytest.raises(BadSettings) as refused:
            loaded(tmp_path, **{**given, "SCOREBOARD_ENV": environment, "SCOREBOARD_CONFIG_FILE": str(file)})
        assert re.match(rf"{written.split()[0]} \(in {file}\) .*{message}", str(refused.value)), str(refused.value)


@pytest.mark.parametrize(
    "name", ["JWT_SECRET", "ACTION_SIGNATURE_SECRET", "JWT_SECRETS_OLD", "DB_PASSWORD", "DATABASE_URL", "REDIS_URL"]
)
def test_no_message_and_no_repr_shows_a_secret(name: str, tmp_path: Path) -> None:
    value = f"http://u:{SECRET}@h" if name.endswith("URL") else SECRET
    with pytest.raises(BadSettings) as refused:
        load_settings({**PRODUCTION, name: value, "PORT": "x"})
    assert SECRET not in str(refused.value)
    if not name.endswith("URL"):
        assert SECRET not in repr(load_settings({**PRODUCTION, name: value}))


def test_the_environment_overrides_the_file_and_the_file_overrides_the_defaults(tmp_path: Path) -> None:
    file = tmp_path / "settings.toml"
    file.write_text('port = 4000\nwebsocket_port = 4001\ntrusted_proxies = ["10.0.0.0/8"]\njwt_expiration = 900\n')
    settings = loaded(tmp_path, SCOREBOARD_CONFIG_FILE=str(file), PORT="5000")
    assert (settings.port, settings.websocket_port, settings.jwt_expiration_s) == (5000, 4001, 900)
    assert settings.trusted_proxies == (ip_network("10.0.0.0/8"),)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("prot = 1", "'prot' (in {file}) is an unknown key: should it be port?"),
        ("PORT = 1", "'PORT' (in {file}) is an unknown key: should it be port?"),
        ("port = ", "SCOREBOARD_CONFIG_FILE ({file}) should be TOML, with lines like: port = 3000 (Invalid value"),
        ("port = 70000", "port (in {file}) should be a whole number from 0 to 65535, for example port = 3000"),
        ("x = " + "[" * 5000, "SCOREBOARD_CONFIG_FILE ({file}) should be TOML"),
    ],
)
def test_the_message_names_a_mistake_in_the_file(text: str, message: str, tmp_path: Path) -> None:
    file = tmp_path / "settings.toml"
    file.write_text(text)
    with pytest.raises(BadSettings, match="^" + re.escape(message.format(file=file))):
        loaded(tmp_path, SCOREBOARD_CONFIG_FILE=str(file))


@pytest.mark.parametrize("secret", ["9f3c" * 16, "Tr0ub4dor-and-3", "q" * 32, "aGVsbG8_d29ybGQ=" * 2])
@pytest.mark.parametrize("written", ["{} = 1", "[{}]", "{} = ''"])
def test_a_key_that_is_not_like_a_name_is_not_shown_because_it_may_be_a_secret(written: str, secret: str, tmp_path: Path) -> None:
    file = tmp_path / "settings.toml"
    file.write_text(written.format(f'"{secret}"'))
    with pytest.raises(BadSettings) as refused:
        loaded(tmp_path, SCOREBOARD_CONFIG_FILE=str(file))
    assert f"'{secret[:4]}'… (in {file}) is " in str(refused.value)
    assert secret[:5] not in str(refused.value)


def test_a_name_that_is_no_setting_is_shown_whole(tmp_path: Path) -> None:
    file = tmp_path / "settings.toml"
    file.write_text('correct_horse_battery = "staple"')
    with pytest.raises(BadSettings, match="'correct_horse_battery' ") as refused:
        loaded(tmp_path, SCOREBOARD_CONFIG_FILE=str(file))
    assert "staple" not in str(refused.value)


def test_the_packaged_example_files_are_valid_and_list_every_setting(tmp_path: Path) -> None:
    folder = PACKAGED_ACTIONS.parent
    text_lines = (folder / "env.example").read_text().splitlines()
    given = dict(text_line.split("=", 1) for text_line in text_lines if text_line and not text_line.startswith("#"))
    assert given.keys() <= set(VARIABLES)
    settings = load_settings({**given, **PRODUCTION, "SCOREBOARD_CONFIG_FILE": str(folder / "scoreboard.example.toml")})
    assert settings.environment == "production"
    documented = {re.match(r"#?([A-Z_]+)=", text_line)[1] for text_line in text_lines if re.match(r"#?[A-Z_]+=", text_line)}  # type: ignore[index]  # just matched
    assert documented == set(VARIABLES) - {"SCOREBOARD_FAILPOINT"}, "the example must list every setting except the one for tests"


def test_settings_are_frozen(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="frozen"):
        loaded(tmp_path).port = 1


def test_development_secrets_are_made_once_and_only_the_owner_can_read_them(tmp_path: Path) -> None:
    first, second = loaded(tmp_path), loaded(tmp_path)
    assert first.jwt_secret == second.jwt_secret
    assert first.jwt_secret != first.action_signature_secret
    assert len(first.jwt_secret.get_secret_value()) >= 32
    kept = tmp_path / "var" / "secrets.json"
    assert stat.S_IMODE(kept.stat().st_mode) == 0o600
    assert stat.S_IMODE(kept.parent.stat().st_mode) == 0o700
    assert os.listdir(kept.parent) == ["secrets.json"]


def test_when_one_secret_is_set_the_other_generated_secret_stays_the_same(tmp_path: Path) -> None:
    assert loaded(tmp_path, JWT_SECRET="mine").jwt_secret.get_secret_value() == "mine"
    assert loaded(tmp_path).action_signature_secret == loaded(tmp_path, JWT_SECRET="mine").action_signature_secret


def test_no_file_is_written_when_all_secrets_are_given(tmp_path: Path) -> None:
    loaded(tmp_path, JWT_SECRET="mine", ACTION_SIGNATURE_SECRET="mine, too")
    load_settings({**PRODUCTION, "SCOREBOARD_DATA_DIR": str(tmp_path / "var")})
    assert not (tmp_path / "var").exists()


def test_a_secrets_file_that_others_can_read_gets_mode_0600_again(tmp_path: Path) -> None:
    loaded(tmp_path)
    kept = tmp_path / "var" / "secrets.json"
    kept.chmod(0o644)
    loaded(tmp_path)
    assert stat.S_IMODE(kept.stat().st_mode) == 0o600


def test_a_data_directory_that_others_may_write_to_is_refused(tmp_path: Path) -> None:
    (tmp_path / "var").mkdir()
    (tmp_path / "var").chmod(0o777)
    with pytest.raises(BadSettings, match=r"^SCOREBOARD_DATA_DIR: other users may write into .*var; chmod 700 it"):
        loaded(tmp_path)


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"JWT_SECRET": "x", "ACTION_SIGNATURE_SECRET": "y"}'])
def test_a_secrets_file_with_other_content_is_refused(text: str, tmp_path: Path) -> None:
    (tmp_path / "var").mkdir(mode=0o700)
    (tmp_path / "var" / "secrets.json").write_text(text)
    with pytest.raises(BadSettings, match=r"secrets.json does not hold the server's secrets; remove it"):
        loaded(tmp_path)


def test_a_symlink_in_place_of_the_secrets_file_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "var").mkdir(mode=0o700)
    (tmp_path / "elsewhere").write_text("{}")
    (tmp_path / "var" / "secrets.json").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(BadSettings, match=r"^SCOREBOARD_DATA_DIR: .* cannot be kept there"):
        loaded(tmp_path)


def test_the_message_names_a_data_directory_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "var").write_text("a file")
    with pytest.raises(BadSettings, match=r"^SCOREBOARD_DATA_DIR should name a directory, and this is none, for example"):
        loaded(tmp_path)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("REDIS_URL", f"redis://:p\uff1a{SECRET}@localhost/0"),
        ("DATABASE_URL", f"postgresql://u:p\u2100{SECRET}@h/d"),
        ("REDIS_URL", f"redis://:pa[{SECRET}@127.0.0.1:6379/0"),
        ("DATABASE_URL", f"postgresql://u:pa[{SECRET}@127.0.0.1:6379/0"),
        ("REDIS_URL", f"redis://:x/{SECRET}@127.0.0.1:6379/0"),
        ("REDIS_URL", f"redis://:123/{SECRET}@127.0.0.1:1/0"),
        ("REDIS_URL", f"redis://h/{SECRET}"),
        ("DATABASE_URL", f"postgresql://u:x@{SECRET}@127.0.0.1:1/d"),
        ("DATABASE_URL", f"postgresql://u:x@{SECRET}:5@127.0.0.1:1/d"),
        ("JWT_SECRET", "\udcff\udcfe" + SECRET),
        ("DB_PASSWORD", "\udcff" + SECRET),
        ("REDIS_PASSWORD", "\udcff" + SECRET),
    ],
)
@pytest.mark.parametrize("environment", ["development", "production"])
def test_the_message_names_an_unreadable_setting_without_its_value(name: str, value: str, environment: str) -> None:
    with pytest.raises(BadSettings) as refused:
        load_settings({**PRODUCTION, "SCOREBOARD_ENV": environment, name: value})
    assert re.match(rf"{name} should be ", str(refused.value)), str(refused.value)
    assert not any(piece in str(refused.value) for piece in (SECRET, "\udcff", "\uff1a", "\u2100", "never"))


METRICS_TOKEN = "b8f1c0d2e4a6978553412f0e9d8c7b6a"


def test_by_default_no_address_reads_the_metrics_in_production_and_every_address_elsewhere(tmp_path: Path) -> None:
    assert (load_settings(PRODUCTION).metrics_address, load_settings(PRODUCTION).metrics_token) == ((), None)
    assert not load_settings(PRODUCTION).public_openapi
    assert loaded(tmp_path).metrics_address == EVERY_ADDRESS
    assert loaded(tmp_path).public_openapi
    assert loaded(tmp_path, METRICS_TOKEN="short").metrics_address == ()
    assert loaded(tmp_path, METRICS_ADDRESS="").metrics_address == ()


def test_metrics_token_and_metrics_address_are_read() -> None:
    settings = load_settings({**PRODUCTION, "METRICS_TOKEN": METRICS_TOKEN, "METRICS_ADDRESS": "127.0.0.1, 10.0.0.0/8,::1"})
    assert settings.metrics_address == (ip_network("127.0.0.1"), ip_network("10.0.0.0/8"), ip_network("::1"))
    assert settings.metrics_token is not None
    assert settings.metrics_token.get_secret_value() == METRICS_TOKEN
    assert METRICS_TOKEN not in repr(settings)


@pytest.mark.parametrize(
    ("environ", "message"),
    [
        ({"METRICS_TOKEN": "a b"}, "METRICS_TOKEN should be a token for Authorization: Bearer"),
        ({"METRICS_TOKEN": "päss"}, "METRICS_TOKEN should be a token for Authorization: Bearer"),
        ({"METRICS_TOKEN": "=" * 40}, "METRICS_TOKEN should be a token for Authorization: Bearer"),
        ({"METRICS_TOKEN": f"{METRICS_TOKEN}\n"}, "METRICS_TOKEN should be a token for Authorization: Bearer"),
        ({"METRICS_TOKEN": METRICS_TOKEN[:31]}, "METRICS_TOKEN"),
        ({"METRICS_TOKEN": "a" * 64}, "METRICS_TOKEN"),
        ({"METRICS_TOKEN": JWT_SECRET}, "METRICS_TOKEN should differ from JWT_SECRET"),
        ({"METRICS_TOKEN": ACTION_SECRET.upper()}, "METRICS_TOKEN should differ from ACTION_SIGNATURE_SECRET"),
        (
            {"METRICS_TOKEN": OLDER, "ACTION_SIGNATURE_SECRETS_OLD": OLDER},
            "METRICS_TOKEN should differ from ACTION_SIGNATURE_SECRETS_OLD",
        ),
        ({"METRICS_ADDRESS": "localhost"}, "METRICS_ADDRESS should list networks or IP addresses"),
        ({"METRICS_ADDRESS": "127.0.0.1:9100"}, "METRICS_ADDRESS should list networks or IP addresses"),
        ({"METRICS_ADDRESS": "10.0.0.1/8"}, "METRICS_ADDRESS should list networks or IP addresses"),
        ({"METRICS_ADDRESS": "127.0.0.1 ::1"}, "METRICS_ADDRESS should list networks or IP addresses"),
        ({"METRICS_ADDRESS": "*"}, "METRICS_ADDRESS should list networks or IP addresses"),
        ({"HTTP_IDLE_TIMEOUT": "0"}, "HTTP_IDLE_TIMEOUT should be a time of 1 second to 1 day"),
        ({"HTTP_IDLE_TIMEOUT": "-1"}, "HTTP_IDLE_TIMEOUT should be a time of 1 second to 1 day"),
        ({"HTTP_IDLE_TIMEOUT": "75 seconds"}, "HTTP_IDLE_TIMEOUT should be a time of 1 second to 1 day"),
        ({"HTTP_IDLE_TIMEOUT": "2d"}, "HTTP_IDLE_TIMEOUT should be"),
        ({"PUBLIC_OPENAPI": "perhaps"}, "PUBLIC_OPENAPI should be true or false"),
    ],
)
def test_a_bad_setting_of_the_edge_is_named(environ: dict[str, str], message: str) -> None:
    with pytest.raises(BadSettings) as refused:
        load_settings({**PRODUCTION, **environ})
    text = str(refused.value)
    assert text.startswith(message)
    assert "\n" not in text
    assert [secret for secret in (METRICS_TOKEN, JWT_SECRET, ACTION_SECRET, OLDER) if secret in text] == []


def test_a_connection_idles_for_75_seconds_unless_the_operator_says_otherwise() -> None:
    assert load_settings(PRODUCTION).http_idle_timeout_s == HttpLimits().idle_s_max == 75
    assert load_settings({**PRODUCTION, "HTTP_IDLE_TIMEOUT": "2m"}).http_idle_timeout_s == 120
