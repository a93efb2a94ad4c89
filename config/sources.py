"""Sources of the settings: the environment, a TOML file, and the files that variables like JWT_SECRET_FILE name.

The environment overrides the TOML file. Each value is kept with its source, so that a message names a setting as the operator
wrote it: ``PORT``, ``port (in /etc/scoreboard.toml)`` or ``JWT_SECRET_FILE (/run/secrets/jwt)``.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from config import BadSettings
from config.near_misses import likely_name
from scoreboard.named_files import read_regular_file, unlikely_path

CONFIG_FILE: Final = "SCOREBOARD_CONFIG_FILE"
_FILE: Final = "_FILE"
_SECRET_FILE_BYTES_MAX: Final = 65_536
_BYTE_ORDER_MARK: Final = "\ufeff"
#: What people put around a secret in an env file, in TOML or YAML. In a file of its own it would be a part of the secret.
_BESIDE: Final = {
    r"\A([\"'`]).*\1\Z": "it has quotation marks around the secret",
    r"\A(export\s+)?([A-Z][A-Z0-9_]{3,}|[a-z]+(_[a-z]+)+)\s*(=\s*[^\s=]|:\s)": "it has a name before the secret",
    r"\A#\s|\s#": "it has a comment",
}
#: What a message shows whole: a secret of letters alone has more of them.
_NAME: Final = re.compile(r"[A-Za-z_]{1,31}", re.ASCII)
_BEGINNING: Final = 4
#: Kubernetes gives each container variables like SCOREBOARD_PORT=tcp://10.0.0.1:3000 for a service of that name.
_SERVICE_LINKS: Final = ("tcp://", "udp://", "sctp://")


@dataclass(frozen=True, kw_only=True)
class Names:
    """The names of the settings: all of them, those of secrets and of lists, and those for which an empty text has a meaning."""

    all: Collection[str]
    secret: Collection[str]
    lists: Collection[str]
    empty_allowed: Collection[str]

    @property
    def known(self) -> list[str]:
        """Every name that is read in the environment, in upper case."""
        return [*self.all, *(name + _FILE for name in self.secret)]


@dataclass(frozen=True, kw_only=True)
class Source:
    """Where a value comes from: how a message spells the setting, and the same in words."""

    spelled: str
    said: str
    in_toml: bool = False
    in_own_file: bool = False


@dataclass
class Given:
    """What the operator gave, by the names of the settings, and what is wrong with it."""

    values: dict[str, Any] = field(default_factory=dict)
    sources: dict[str, Source] = field(default_factory=dict)
    #: By setting, so that no error is reported that only follows from the complaint.
    complaints: dict[str, str] = field(default_factory=dict)
    #: Names in the environment that are no setting, with the likely setting.
    near_misses: dict[str, str] = field(default_factory=dict)


def read_sources(environ: Mapping[str, str], names: Names) -> Given:
    """Read all sources. Raises BadSettings if the TOML file cannot be read; all other faults are ``complaints`` of the result."""
    given = Given()
    in_environment = {name: text for name, text in environ.items() if text or name in names.empty_allowed}
    path = in_environment.get(CONFIG_FILE)
    if path is not None:
        _add(given, names, _toml(path), f" (in {Path(path).absolute()})", str(Path(path).absolute()))
    _add(given, names, in_environment, "", "the environment")
    known = names.known
    for name, text in environ.items():
        meant = likely_name(name, known)
        if meant is not None and not text.startswith(_SERVICE_LINKS):
            given.near_misses[name] = meant
    return given


def in_operators_words(text: str, sources: Mapping[str, Source], names: Collection[str]) -> str:
    """The text with each setting named as the operator wrote it. ``A (or B)`` becomes A if A is given, else B."""
    name = "|".join(sorted(names, key=len, reverse=True))

    def spelled(found: re.Match[str]) -> str:
        chosen = found[1] if found[2] is None or found[1] in sources else found[2]
        return sources[chosen].spelled if chosen in sources else chosen

    return re.sub(rf"(?<![\w.])({name})(?: \(or ({name})\))?(?![\w=*])", spelled, text)


def _toml(path: str) -> dict[str, Any]:
    example = f"for example {CONFIG_FILE}=/etc/scoreboard.toml"
    _require_likely(path, CONFIG_FILE, example)
    try:
        return tomllib.loads(read_regular_file(Path(path)).decode("utf-8-sig"))
    except OSError as error:
        why = (error.strerror or "").lower()
        raise BadSettings(f"{CONFIG_FILE} should name a readable file, {example} ({why})") from None
    except UnicodeDecodeError:
        raise BadSettings(f"{CONFIG_FILE} ({path}) should be TOML, which is UTF-8, with lines like: port = 3000") from None
    except (ValueError, RecursionError) as error:
        raise BadSettings(f"{CONFIG_FILE} ({path}) should be TOML, with lines like: port = 3000 ({error})") from None


def _add(given: Given, names: Names, written: Mapping[str, Any], suffix: str, said: str) -> None:
    """Add the values of one source, which override those of the sources before. The keys of TOML are in lower case."""
    in_toml = bool(suffix)
    spelled = {name.lower() if in_toml else name: name for name in names.known if name != CONFIG_FILE or not in_toml}
    if in_toml:
        given.complaints |= _unknown_keys(written, spelled, suffix)
    for key in [key for key in written if key in spelled]:
        name, value = spelled[key], written[key]
        if name in names.all and f"{key}{_FILE.lower() if in_toml else _FILE}" in written and name in names.secret:
            continue  # below, the other of the two is refused
        source = Source(spelled=key + suffix, said=said, in_toml=in_toml)
        if name not in names.all:
            name, direct = name.removesuffix(_FILE), key[: -len(_FILE)]
            try:
                if direct in written:
                    raise BadSettings(f"{direct} and {key} are both set{suffix}: take one of them out")
                value, source = _kept_in_file(key, suffix, value, is_list=name in names.lists)
            except BadSettings as error:
                given.complaints[name] = str(error)
                continue
        given.complaints.pop(name, None)
        given.values[name], given.sources[name] = value, source


def _unknown_keys(written: Mapping[str, Any], spelled: Collection[str], suffix: str) -> dict[str, str]:
    complaints = {}
    for key, value in written.items():
        if key in spelled:
            continue
        if isinstance(value, dict):
            complaints[key] = f"{_shown(key)}{suffix} is a table, but no setting is in a table, for example: port = 3000"
            continue
        meant = key.upper() if key.lower() in spelled else likely_name(key, [one.upper() for one in spelled])
        hint = f"should it be {meant.lower()}?" if meant else "config/env.example lists the settings, for example: port = 3000"
        complaints[key] = f"{_shown(key) if meant is None else ascii(key[:64])}{suffix} is an unknown key: {hint}"
    return complaints


def _shown(key: str) -> str:
    """A key that is no setting, as a message shows it. What is not like a name may be a secret: only its beginning is shown."""
    return ascii(key) if _NAME.fullmatch(key) else f"{key[:_BEGINNING]!a}…"


def _kept_in_file(key: str, suffix: str, path: Any, *, is_list: bool) -> tuple[str, Source]:
    """The secret in a file. A line end at the end is cut: editors and `echo` add one. A list may have a line for each secret."""
    named, example = key + suffix, "for example " + (f'{key} = "/run/secrets/name"' if suffix else f"{key}=/run/secrets/name")
    if not isinstance(path, str) or not path.isprintable():
        raise BadSettings(f"{named} should name a file, {example}")
    _require_likely(path, named, example)
    try:
        file = Path(path).absolute()
    except OSError:
        raise BadSettings(
            f"{named} should name a file by an absolute path, {example}: the working directory was removed"
        ) from None
    # An operator may have put the secret itself here, so only a path in a directory that exists is shown.
    shown = f" {file}" if path.startswith("/") and file.parent != Path("/") and _is_directory(file.parent) else ""
    try:
        text = read_regular_file(file, _SECRET_FILE_BYTES_MAX).decode("utf-8")
    except (OSError, ValueError) as error:
        why = (error.strerror or "").lower() if isinstance(error, OSError) else "it is not UTF-8"
        raise BadSettings(f"{named} should name a readable file, {example}: the file{shown} cannot be read ({why})") from None
    secret = re.sub(r"\r?\n\Z", "", text)
    if not secret.strip():
        raise BadSettings(f"{named} should name a file that holds a secret, {example}: the file{shown} is empty")
    beside = _beside_the_secret(secret, is_list)
    if beside is not None:
        alone = "should hold the secret alone, for example on one line without quotation marks"
        raise BadSettings(f"{named} ({file}) {alone}: {beside}")
    text = ",".join(re.split(r"[\r\n]+", secret)) if is_list else secret
    return text, Source(spelled=f"{named} ({file})", said=f"the file {file}", in_own_file=True)


def _require_likely(path: str, named: str, example: str) -> None:
    unlikely = unlikely_path(path)
    if unlikely is not None:
        raise BadSettings(f"{named} should name a file and is taken as it stands, {example}: {unlikely}")


def _beside_the_secret(text: str, is_list: bool) -> str | None:
    """What a file holds beside its secret, in words that show nothing of it, or None. It would be taken as part of the secret."""
    if text.startswith(_BYTE_ORDER_MARK):
        return "it begins with a byte order mark (BOM)"
    if not is_list and re.search(r"[\r\n]", text):
        return "it has several lines"
    if not re.sub(r"[\r\n]", "", text).isprintable():
        return "it has an invisible character"
    written = [one.strip() for one in (re.split(r"[,\r\n]", text) if is_list else [text])]
    return next((words for pattern, words in _BESIDE.items() if any(re.search(pattern, one, re.DOTALL) for one in written)), None)


def _is_directory(path: Path) -> bool:
    try:
        return path.is_dir()
    except OSError:
        return False


def remarks_on_names(near_misses: Mapping[str, str]) -> Iterator[str]:
    """One line for all near misses, if there are any."""
    if near_misses:
        listed = ", ".join(f"{name[:64]!a} (should it be {meant}?)" for name, meant in sorted(near_misses.items())[:10])
        yield f"these environment variables are no settings and are ignored: {listed}"
