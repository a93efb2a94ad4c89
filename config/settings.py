"""Settings: one frozen value, from the environment first, then from a TOML file, then from defaults.

``config/env.example`` explains each. Secrets are wrapped, so that no repr and no message shows them.
"""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final, Literal, Self
from urllib.parse import parse_qs, quote, unquote, urlsplit

from pydantic import AliasGenerator, Field, SecretStr, ValidationError, model_validator
from pydantic_settings import BaseSettings, InitSettingsSource, PydanticBaseSettingsSource, SettingsConfigDict

from config import BadSettings, setting_types
from config.kept_secrets import kept_secrets
from config.secret_strength import weakness

PACKAGED_ACTIONS: Final = Path(__file__).parent / "actions.toml"
_MAKE_ONE: Final = "make one with `openssl rand -hex 32`"
#: The samples of the specification, which is public.
_SAMPLE_SECRETS: Final = ("your-secret-key-here", "your-signature-secret")
_SAMPLE_PASSWORDS: Final = {
    "secret": "the specification's sample",
    "password": "env.example's sample",
    "changeme": "a placeholder",
    "postgres": "a placeholder",
    "redis": "a placeholder",
    "admin": "a placeholder",
    "scoreboard": "a placeholder",
    "foobared": "the sample of redis.conf",
}
#: Short forms of long messages of pydantic.
_PLAINLY: Final = {"int_parsing": "should be a whole number", "bool_parsing": "should be true or false"}
#: For other variables an empty text means "not set"; for these it means "none".
_EMPTY_SAYS_NONE: Final = ("WEBSOCKET_PORT", "CORS_ORIGIN", "SCORE_MILESTONES")
#: The URLs, and the settings of their parts.
_PARTS: Final = {
    "DATABASE_URL": ("database_url", "db_host", "db_port", "db_user", "db_password", "db_name"),
    "REDIS_URL": ("redis_url", "redis_host", "redis_port", "redis_password"),
}


def _in_production(production: Any, elsewhere: Any, **more: Any) -> Any:
    """A field with a careful default in production and a convenient one elsewhere."""
    return Field(default_factory=lambda data: production if data["environment"] == "production" else elsewhere, **more)


def _compose_database_url(data: dict[str, Any]) -> SecretStr:
    """The URL of PostgreSQL if any ``DB_*`` is set, else of SQLite in the data directory."""
    host, port, name, user = data["db_host"], data["db_port"], data["db_name"], data["db_user"]
    password: SecretStr | None = data["db_password"]
    if not any((host, port, name, user, password)):
        return SecretStr(f"sqlite:///{data['data_dir'] / 'ledger.db'}")
    who = quote(user or "postgres", safe="") + (f":{quote(password.get_secret_value(), safe='')}" if password else "")
    where = f"{_bracketed(host or 'localhost')}:{port or 5432}"
    return SecretStr(f"postgresql://{who}@{where}/{quote(name or 'scoreboard', safe='')}")


def _compose_redis_url(data: dict[str, Any]) -> SecretStr | None:
    """The URL of the operator's Redis if any ``REDIS_*`` is set, else None: the embedded Redis."""
    host, port = data["redis_host"], data["redis_port"]
    password: SecretStr | None = data["redis_password"]
    if not any((host, port, password)):
        return None
    who = f":{quote(password.get_secret_value(), safe='')}@" if password else ""
    return SecretStr(f"redis://{who}{_bracketed(host or 'localhost')}:{port or 6379}/0")


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host


class Settings(BaseSettings):
    """The settings of an operator. The variable of a field is its alias, or its name in capitals if it has none."""

    model_config = SettingsConfigDict(
        frozen=True, extra="forbid", hide_input_in_errors=True, alias_generator=AliasGenerator(alias=lambda name: name.upper())
    )

    environment: Literal["development", "production", "test"] = Field("development", alias="SCOREBOARD_ENV")
    data_dir: setting_types.AbsolutePath = Field(Path("var"), alias="SCOREBOARD_DATA_DIR")
    config_file: setting_types.AbsolutePath | None = Field(None, alias="SCOREBOARD_CONFIG_FILE")
    actions_file: setting_types.AbsolutePath = Field(PACKAGED_ACTIONS, alias="SCOREBOARD_ACTIONS_FILE")
    failpoint: str | None = Field(None, alias="SCOREBOARD_FAILPOINT", max_length=64)
    log_level: setting_types.LogLevel = "info"

    bind_address: setting_types.Address = "127.0.0.1"
    port: setting_types.Port = 3000
    websocket_port: setting_types.PortOrNone = 3001
    cors_origins: setting_types.Origins = _in_production((), ("*",), alias="CORS_ORIGIN")
    trusted_proxies: setting_types.Networks = ()
    public_board: bool = _in_production(False, True)

    db_host: str | None = None
    db_port: setting_types.PortOfStore | None = None
    db_name: str | None = None
    db_user: str | None = None
    db_password: setting_types.Password | None = None
    database_url: setting_types.DatabaseUrl = Field(default_factory=_compose_database_url)
    redis_host: str | None = None
    redis_port: setting_types.PortOfStore | None = None
    redis_password: setting_types.Password | None = None
    redis_url: setting_types.RedisUrl | None = Field(default_factory=_compose_redis_url)

    jwt_secret: setting_types.Secret
    jwt_secrets_old: setting_types.Secrets = ()
    jwt_expiration_s: setting_types.Seconds = Field(86_400, alias="JWT_EXPIRATION")
    jwt_issuer: str | None = None
    jwt_audience: str | None = None
    action_signature_secret: setting_types.Secret
    action_signature_secrets_old: setting_types.Secrets = ()
    action_expiration_ms: setting_types.Milliseconds = 600_000
    score_milestones: setting_types.Milestones = (100, 500, 1_000, 5_000, 10_000)

    rate_limit_policy: Literal["sliding", "bucket"] = "sliding"
    rate_limit_window_s: setting_types.Seconds = Field(60, alias="RATE_LIMIT_WINDOW", le=86_400)
    rate_limit_max_requests: setting_types.Quota = 10
    rate_limit_initialize_max: setting_types.Quota = Field(default_factory=lambda data: 2 * data["rate_limit_max_requests"])
    rate_limit_open_actions_max: setting_types.Quota = 50
    rate_limit_settings_max: setting_types.Quota = 10
    rate_limit_ip_max: setting_types.Quota = _in_production(100, 6000)
    rate_limit_global_max: setting_types.Quota = 10_000

    broadcast_interval_ms: setting_types.Milliseconds = Field(50, le=10_000)
    score_updates_per_tick_max: setting_types.Quota = 50
    sockets_per_address_max: setting_types.Quota = _in_production(100, 2000)
    sockets_max: setting_types.Quota = 10_000
    http_connections_max: setting_types.Quota = 8_000
    socket_events_per_second_max: setting_types.Quota = 20

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """The sources: the environment that the caller passed, the file that it names, and the secrets of development."""
        given = init_settings()
        written = _read_config_file(given.get("SCOREBOARD_CONFIG_FILE"))
        return tuple(InitSettingsSource(settings_cls, values) for values in (given, written, _own_secrets({**written, **given})))

    @model_validator(mode="after")
    def _agree(self) -> Self:
        """Check the settings that depend on each other."""
        if self.port == self.websocket_port:
            raise ValueError("WEBSOCKET_PORT should differ from PORT, or be 0 for none")
        if self.failpoint is not None and self.environment != "test":
            raise ValueError("SCOREBOARD_FAILPOINT should not be set unless SCOREBOARD_ENV is test")
        if self.environment == "production":
            self._refuse_weak_secrets()
        return self

    def left_out(self) -> Iterator[str]:
        """A line for each setting of a URL's part that differs from the URL, which is used."""
        for name, (url_field, *part_fields) in _PARTS.items():
            url: SecretStr | None = getattr(self, url_field)
            if url is None or url_field not in self.model_fields_set:
                continue
            said = urlsplit(url.get_secret_value())
            in_url = {
                "host": said.hostname,
                "port": said.port,
                "user": said.username,
                "password": said.password,
                "name": said.path.lstrip("/"),
            }
            for field in part_fields:
                given, other = getattr(self, field), in_url[field.partition("_")[2]]
                plain = given.get_secret_value() if isinstance(given, SecretStr) else given
                if plain is not None and str(plain) != unquote(str(other or "")):
                    yield f"{field.upper()} is not what {name} says, and is left out"

    def _refuse_weak_secrets(self) -> None:
        """Refuse a weak secret, and a secret that is used for both tokens and actions."""
        tokens = _named("JWT_SECRET", self.jwt_secret, self.jwt_secrets_old)
        actions = _named("ACTION_SIGNATURE_SECRET", self.action_signature_secret, self.action_signature_secrets_old)
        for name, secret in (*tokens, *actions):
            _refuse_weak(name, secret.get_secret_value())
        purposes = {_bare(secret): name for name, secret in reversed(tokens)}
        for name, secret in actions:
            other = purposes.get(_bare(secret))
            if other is not None:
                raise ValueError(f"{name} should differ from {other}")
        _refuse_sample_password("DB_PASSWORD (or the one in DATABASE_URL)", self.database_url)
        _refuse_sample_password("REDIS_PASSWORD (or the one in REDIS_URL)", self.redis_url)


def _named(name: str, current: SecretStr, older: tuple[SecretStr, ...]) -> list[tuple[str, SecretStr]]:
    """Each secret of a ring with its name for the operator: the setting, and the number in a list of several."""
    old = f"{name.replace('SECRET', 'SECRETS')}_OLD"
    positions = [""] if len(older) == 1 else [f" (number {position})" for position in range(1, len(older) + 1)]
    return [(name, current), *((old + position, secret) for position, secret in zip(positions, older, strict=False))]


def _bare(secret: SecretStr) -> str:
    """The secret in a form to compare: HMAC pads with zero bytes, and people add spaces and line ends."""
    return secret.get_secret_value().strip("\0 \t\r\n").casefold()


def _refuse_weak(name: str, secret: str) -> None:
    mend = "take it out, and what it signed is refused" if "_OLD" in name else _MAKE_ONE
    if secret in _SAMPLE_SECRETS:
        raise ValueError(f"{name} should not be the specification's sample in production: {mend}")
    weak = weakness(secret)
    if weak is not None:
        raise ValueError(f"{name} {weak} in production: {mend}")


def _refuse_sample_password(name: str, url: SecretStr | None) -> None:
    try:
        parts = urlsplit("" if url is None else url.get_secret_value())
    except ValueError:  # made from DB_HOST and the like, and not valid: the store reports it without the password
        return
    for password in (unquote(parts.password or ""), *parse_qs(parts.query).get("password", ())):
        sample = _SAMPLE_PASSWORDS.get(password.strip().lower())
        if sample is not None:
            raise ValueError(f"{name} should not be {sample} in production: give the store another, and set it here")


#: The names of all variables that are read.
VARIABLES: Final = tuple(str(field.alias or name.upper()) for name, field in Settings.model_fields.items())


def load_settings(environ: Mapping[str, str], keep: Callable[[Path], dict[str, str]] = kept_secrets) -> Settings:
    """The settings of this environment. Raises BadSettings: one line that names what is wrong and shows no value.

    Outside production ``keep`` gives the secrets that are not set. A server reads them in the data directory or makes them there
    (``kept_secrets``). A command that signs only reads them there (``found_secrets``). Any other command reads them there or uses
    random ones (``passing_secrets``).
    """
    given: dict[str, Any] = {
        name: environ[name] for name in VARIABLES if environ.get(name) or (name in environ and name in _EMPTY_SAYS_NONE)
    }
    if keep is not kept_secrets:
        known = {**_read_config_file(given.get("SCOREBOARD_CONFIG_FILE")), **given}
        given |= {name: secret for name, secret in _own_secrets(known, keep).items() if name not in known}
    try:
        return Settings(**given)
    except ValidationError as error:
        raise BadSettings("; ".join(dict.fromkeys(_complaints(error)))) from None


def _complaints(error: ValidationError) -> Iterator[str]:
    """A sentence for each mistake of the operator, without the errors that only follow from another."""
    for one in error.errors():
        name = str(one["loc"][0]) if one["loc"] else ""
        if one["type"] == "missing":
            yield f"{name} should be set in production: {_MAKE_ONE}"
        elif one["type"] in _PLAINLY:
            yield f"{name} {_PLAINLY[one['type']]}"
        elif one["type"] != "default_factory_not_called":
            yield f"{name} {one['msg'].removeprefix('Value error, ').removeprefix('Input ')}".strip()


def _read_config_file(path: str | None) -> dict[str, Any]:
    """The values in the file, by the names of the variables. The file has the names in lower case."""
    if path is None:
        return {}
    try:
        written = tomllib.loads(Path(path).read_text("utf-8"))
    except OSError as error:
        raise BadSettings(f"SCOREBOARD_CONFIG_FILE should be a readable file ({error.strerror})") from None
    except UnicodeDecodeError:
        raise BadSettings("SCOREBOARD_CONFIG_FILE should be TOML, which is UTF-8") from None
    except (ValueError, RecursionError) as error:
        raise BadSettings(f"SCOREBOARD_CONFIG_FILE should be TOML: {error}") from None
    spelled = {name.lower(): name for name in VARIABLES if name != "SCOREBOARD_CONFIG_FILE"}
    for key in written:
        if key not in spelled:
            raise BadSettings(f"SCOREBOARD_CONFIG_FILE has an unknown key: {key!r}")
    return {spelled[key]: value for key, value in written.items()}


def _own_secrets(given: Mapping[str, Any], keep: Callable[[Path], dict[str, str]] = kept_secrets) -> dict[str, str]:
    """The secrets of development, unless both are set."""
    if given.get("SCOREBOARD_ENV", "development") == "production" or {"JWT_SECRET", "ACTION_SIGNATURE_SECRET"} <= given.keys():
        return {}
    return keep(Path(str(given.get("SCOREBOARD_DATA_DIR", "var"))).absolute())
