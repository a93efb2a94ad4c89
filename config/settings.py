"""Settings: one frozen value, from the environment first, then from a TOML file, then from defaults.

``config/env.example`` explains each. Secrets are wrapped, so that no repr and no message shows them.
"""

from __future__ import annotations

import json
import re
import secrets
from collections.abc import Callable, Iterator, Mapping
from ipaddress import ip_network
from pathlib import Path
from typing import Any, Final, Self, get_args
from urllib.parse import quote, unquote, urlsplit

from pydantic import AliasGenerator, BaseModel, ConfigDict, Field, PrivateAttr, SecretStr, ValidationError, model_validator
from pydantic.fields import FieldInfo

from config import BadSettings, setting_types
from config.kept_secrets import kept_secrets
from config.sources import Given, Names, Source, in_operators_words, read_sources, remarks_on_names
from config.weak_secrets import MAKE_ONE, named_secrets, sample_password, weak_secrets

PACKAGED_ACTIONS: Final = Path(__file__).parent / "actions.toml"
PACKAGED_BOARDS: Final = Path(__file__).parent / "boards.toml"
EVERY_ADDRESS: Final = (ip_network("0.0.0.0/0"), ip_network("::/0"))
#: For other variables an empty text means "not set"; for these it means "none".
_EMPTY_SAYS_NONE: Final = ("WEBSOCKET_PORT", "CORS_ORIGIN", "SCORE_MILESTONES", "METRICS_ADDRESS")
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
    hosts = (host or "localhost").split(",")
    where = ",".join(f"{quote(_bracketed(one), safe='[]:')}:{port or 5432}" for one in hosts)
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


class Settings(BaseModel):
    """The settings of an operator. The variable of a field is its alias, or its name in capitals if it has none."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", hide_input_in_errors=True, alias_generator=AliasGenerator(alias=lambda name: name.upper())
    )

    environment: setting_types.Environment = Field("development", alias="SCOREBOARD_ENV")
    data_dir: setting_types.DirectoryPath = Field(Path("var"), validate_default=True, alias="SCOREBOARD_DATA_DIR")
    config_file: setting_types.FilePath | None = Field(None, alias="SCOREBOARD_CONFIG_FILE")
    actions_file: setting_types.FilePath = Field(
        PACKAGED_ACTIONS, alias="SCOREBOARD_ACTIONS_FILE", examples=["/etc/scoreboard/actions.toml"]
    )
    boards_file: setting_types.FilePath = Field(
        PACKAGED_BOARDS, alias="SCOREBOARD_BOARDS_FILE", examples=["/etc/scoreboard/boards.toml"]
    )
    failpoint: setting_types.Text | None = Field(None, alias="SCOREBOARD_FAILPOINT", examples=["committed"])
    log_level: setting_types.LogLevel = "info"
    log_awards: setting_types.Flag = False

    bind_address: setting_types.Address = "127.0.0.1"
    port: setting_types.Port = 3000
    websocket_port: setting_types.PortOrNone = 3001
    cors_origins: setting_types.Origins = _in_production((), ("*",), alias="CORS_ORIGIN")
    trusted_proxies: setting_types.ProxyNetworks = ()
    public_board: setting_types.Flag = _in_production(False, True)
    public_openapi: setting_types.Flag = _in_production(False, True)
    metrics_token: setting_types.BearerToken | None = None
    metrics_address: setting_types.Networks = Field(
        default_factory=lambda data: () if data["environment"] == "production" or data["metrics_token"] else EVERY_ADDRESS
    )

    db_host: setting_types.DatabaseHost | None = None
    db_port: setting_types.PortOfStore | None = None
    db_name: setting_types.Text | None = None
    db_user: setting_types.Text | None = None
    db_password: setting_types.Password | None = None
    database_url: setting_types.DatabaseUrl = Field(default_factory=_compose_database_url)
    redis_host: setting_types.Host | None = None
    redis_port: setting_types.PortOfStore | None = Field(None, examples=[6379])
    redis_password: setting_types.Password | None = None
    redis_ca_file: setting_types.FilePath | None = Field(None, examples=["/etc/ssl/certs/redis-ca.pem"])
    redis_url: setting_types.RedisUrl | None = Field(default_factory=_compose_redis_url)

    jwt_secret: setting_types.Secret
    jwt_secrets_old: setting_types.Secrets = ()
    jwt_expiration_s: setting_types.Seconds = Field(86_400, alias="JWT_EXPIRATION")
    jwt_issuer: setting_types.Text | None = None
    jwt_audience: setting_types.Text | None = None
    action_signature_secret: setting_types.Secret
    action_signature_secrets_old: setting_types.Secrets = ()
    action_expiration_ms: setting_types.Milliseconds = 600_000
    score_milestones: setting_types.Milestones = (100, 500, 1_000, 5_000, 10_000)

    rate_limit_policy: setting_types.RateLimitPolicy = "sliding"
    rate_limit_window_s: setting_types.SecondsUpToADay = Field(60, alias="RATE_LIMIT_WINDOW")
    rate_limit_max_requests: setting_types.Quota = 10
    rate_limit_initialize_max: setting_types.Quota = Field(default_factory=lambda data: 2 * data["rate_limit_max_requests"])
    rate_limit_open_actions_max: setting_types.Quota = 50
    rate_limit_settings_max: setting_types.Quota = 10
    rate_limit_ip_max: setting_types.Quota = _in_production(100, 6000)
    rate_limit_global_max: setting_types.Quota = 10_000

    broadcast_interval_ms: setting_types.Milliseconds = setting_types.whole(1, 10_000, 50, default=50)
    score_updates_per_tick_max: setting_types.Quota = 50
    sockets_per_address_max: setting_types.Quota = _in_production(100, 2000)
    sockets_max: setting_types.Quota = 10_000
    http_connections_max: setting_types.Quota = 8_000
    http_idle_timeout_s: setting_types.SecondsUpToADay = Field(75, alias="HTTP_IDLE_TIMEOUT", examples=["75"])
    socket_events_per_second_max: setting_types.Quota = 20

    #: Where the given settings come from; names in the environment that are near to a setting, with that setting.
    _sources: Mapping[str, Source] = PrivateAttr(default_factory=dict)
    _near_misses: Mapping[str, str] = PrivateAttr(default_factory=dict)

    @model_validator(mode="after")
    def _agree(self) -> Self:
        """Check the settings that depend on each other."""
        complaints = [*self._conflicts(), *(self._weak_secrets() if self.environment == "production" else ())]
        if complaints:
            raise ValueError("\n".join(complaints))
        return self

    def _conflicts(self) -> Iterator[str]:
        if self.port == self.websocket_port:
            yield "PORT and WEBSOCKET_PORT should differ, for example PORT=3000 and WEBSOCKET_PORT=3001, or 0 for none"
        if self.failpoint is not None and self.environment != "test":
            yield "SCOREBOARD_FAILPOINT should not be set unless SCOREBOARD_ENV is test: take it out"
        if self.redis_ca_file is not None and not (self.redis_url and self.redis_url.get_secret_value().startswith("rediss://")):
            yield (
                "REDIS_CA_FILE should be set for TLS only, and REDIS_URL (or REDIS_HOST) names a Redis without TLS: "
                "take it out, or write for example REDIS_URL=rediss://:password@host:6380/0"
            )

    @property
    def has_made_secrets(self) -> bool:
        """Whether the server makes a secret for itself, and keeps it in the data directory."""
        return _in_development(self.environment) and any(name not in self._sources for name in _MADE)

    def value_of(self, name: str) -> Any:
        """The value of the setting of this name."""
        return getattr(self, _FIELD_NAMES[name])

    def remember(self, given: Given) -> None:
        """Keep where the settings come from, for messages and reports."""
        self._sources, self._near_misses = given.sources, given.near_misses

    def source_of(self, name: str) -> str:
        """Where the value of a setting comes from, in words."""
        if name in self._sources:
            return self._sources[name].said
        if any(one.upper() in self._sources for one in _PARTS.get(name, ())):
            return "its parts above"
        return "made by the server" if _in_development(self.environment) and name in _MADE else "default"

    def in_operators_words(self, text: str) -> str:
        """A message with each setting named as the operator wrote it."""
        return in_operators_words(text, self._sources, VARIABLES)

    def in_words_of_the_log(self, text: str) -> str:
        """The same for a line of the log, which hides what follows the name of a secret and a colon."""
        return _SECRET_AND_COLON.sub(r"\1 (setting): ", self.in_operators_words(text))

    def remarks(self) -> Iterator[str]:
        """A line for each thing that an operator probably did not mean."""
        yield from remarks_on_names(self._near_misses)
        yield from map(self.in_operators_words, (*self.contradictions(), *self._quoted_secrets()))

    def _quoted_secrets(self) -> Iterator[str]:
        """A line for each secret in quotation marks: `docker --env-file` keeps them, and a shell does not."""
        for name in SECRETS:
            value = self.value_of(name)
            for secret in value if isinstance(value, tuple) else (value,):
                if secret is not None and re.fullmatch(r"([\"'`]).*\1", secret.get_secret_value(), re.DOTALL):
                    yield f"{name} begins and ends with a quotation mark, and both are a part of the secret"

    def contradictions(self) -> Iterator[str]:
        """A line for each setting of a URL's part that differs from the URL, which is used."""
        for name, (url_field, *part_fields) in _PARTS.items():
            url: SecretStr | None = getattr(self, url_field)
            if url is None or url_field not in self.model_fields_set:
                continue
            said = urlsplit(url.get_secret_value())
            if "," in said.netloc.rpartition("@")[2]:  # several hosts, which PostgreSQL's client takes
                continue
            in_url = {
                "host": said.hostname,
                "port": "".join(re.findall(r":(\d+)\Z", said.netloc)),
                "user": said.username,
                "password": said.password,
                "name": said.path.lstrip("/"),
            }
            for field in part_fields:
                given, other = getattr(self, field), in_url[field.partition("_")[2]]
                plain = given.get_secret_value() if isinstance(given, SecretStr) else given
                if plain is not None and str(plain) != unquote(str(other or "")):
                    yield f"{field.upper()} differs from {name}, which is used"

    def _weak_secrets(self) -> Iterator[str]:
        tokens = named_secrets("JWT_SECRET", self.jwt_secret, self.jwt_secrets_old)
        actions = named_secrets("ACTION_SIGNATURE_SECRET", self.action_signature_secret, self.action_signature_secrets_old)
        metrics = [("METRICS_TOKEN", self.metrics_token)] if self.metrics_token is not None else []
        yield from weak_secrets(tokens, actions, metrics)
        yield from sample_password("DATABASE_URL (or DB_PASSWORD)", self.database_url)
        yield from sample_password("REDIS_URL (or REDIS_PASSWORD)", self.redis_url)


#: The names of the fields, and the fields, by the names of their variables; and the names of all variables that are read.
_FIELD_NAMES: Final[Mapping[str, str]] = {str(one.alias): name for name, one in Settings.model_fields.items()}
_FIELDS: Final[Mapping[str, FieldInfo]] = {variable: Settings.model_fields[name] for variable, name in _FIELD_NAMES.items()}
VARIABLES: Final = tuple(_FIELDS)
#: The settings whose values are never shown. Each may stand in a file of its own: JWT_SECRET_FILE names that of JWT_SECRET.
SECRETS: Final = tuple(name for name, one in _FIELDS.items() if "SecretStr" in repr(one.annotation))
_LISTS: Final = tuple(name for name, one in _FIELDS.items() if "tuple" in repr(one.annotation))
#: The log hides nothing after DATABASE_URL and REDIS_URL: it finds the password in a URL itself.
_SECRET_AND_COLON: Final = re.compile(rf"\b({'|'.join(name for name in SECRETS if not name.endswith('_URL'))}): ")
_NAMES: Final = Names(all=VARIABLES, secret=SECRETS, lists=_LISTS, empty_allowed=_EMPTY_SAYS_NONE)
#: The secrets that a server makes for itself outside production.
_MADE: Final = ("JWT_SECRET", "ACTION_SIGNATURE_SECRET")


def load_settings(environ: Mapping[str, str], secrets_in: Callable[[Path], dict[str, str]] = kept_secrets) -> Settings:
    """The settings of this environment. Raises BadSettings: one line that names what is wrong and shows no secret.

    Outside production ``secrets_in`` gives the secrets that are not set. A server reads them in the data directory or makes them
    there (``kept_secrets``). A command that signs only reads them (``existing_secrets``). Any other command reads them or uses
    random ones (``existing_or_random_secrets``).
    """
    given = read_sources(environ, _NAMES)
    in_development = _in_development(given.values.get("SCOREBOARD_ENV"))
    made = [name for name in _MADE if in_development and name not in given.values]
    try:
        settings = Settings(**{name: secrets.token_hex(32) for name in made} | given.values)
    except ValidationError as error:
        raise BadSettings(*dict.fromkeys((*given.complaints.values(), *_complaints(error, given)))) from None
    if given.complaints:
        raise BadSettings(*given.complaints.values())
    if made:
        kept = secrets_in(settings.data_dir)
        settings = settings.model_copy(update={name.lower(): SecretStr(kept[name]) for name in made})
    settings.remember(given)
    return settings


def _in_development(environment: object) -> bool:
    return environment != "production"


def _complaints(error: ValidationError, given: Given) -> Iterator[str]:
    """A sentence for each mistake of the operator, without the errors that only follow from another."""
    for one in error.errors():
        name = str(one["loc"][0]) if one["loc"] else ""
        if name in Settings.model_fields:  # a wrong default has the name of its field
            name = str(Settings.model_fields[name].alias or name.upper())
        said = one["msg"].removeprefix("Value error, ")
        if not name:
            yield from (in_operators_words(text, given.sources, VARIABLES) for text in said.split("\n"))
        elif one["type"] == "missing" and name not in given.complaints:
            near = [(miss, meant) for miss, meant in given.near_misses.items() if meant in (name, f"{name}_FILE")]
            hints = (f"; {miss[:64]!a} is no setting: should it be {meant}?" for miss, meant in near)
            yield f"{name} should be set in production: {MAKE_ONE}{''.join(hints)}"
        elif one["type"] not in ("default_factory_not_called", "missing"):
            yield _complaint(name, said if one["type"] == "value_error" else "", given.sources.get(name))


def _complaint(name: str, said: str, source: Source | None) -> str:
    """What is wrong with one setting, and an example. ``said`` is the message of its own check, "" for an error of pydantic."""
    description, example = _described(_FIELDS[name])
    wrong = f"{source.spelled if source else name} {said or f'should be {description}'}"
    if example is None:
        return f"{wrong}: {MAKE_ONE}"
    if source is not None and source.in_own_file:
        return f"{wrong}, for example {example}"
    if source is not None and source.in_toml:
        return f"{wrong}, for example {name.lower()} = {json.dumps(example)}"
    text = ",".join(map(str, example)) if isinstance(example, list) else json.dumps(example).strip('"')
    return f"{wrong}, for example {name}={text}"


def _described(field: FieldInfo) -> tuple[str, Any]:
    """The words and the example of a field's type, also where the type is one of a union."""
    for one in (field, *(found for member in get_args(field.annotation) for found in getattr(member, "__metadata__", ()))):
        if isinstance(one, FieldInfo) and one.description:
            example = (field.examples or one.examples or [None])[0]
            return one.description, field.default if type(field.default) is type(example) is int else example
    raise AssertionError(f"the type of {field.alias} says neither what is allowed nor gives an example")
