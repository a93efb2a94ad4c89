"""Secrets for development: made at random once, and kept in a private file of the data directory."""

from __future__ import annotations

import errno
import json
import os
import secrets
import stat
from collections.abc import Mapping
from pathlib import Path

from config import BadSettings, DiskFull

FILE_NAME = "secrets.json"
_NAMES = ("JWT_SECRET", "ACTION_SIGNATURE_SECRET")
_FILE_BYTES_MAX = 4096


def kept_secrets(data_dir: Path) -> dict[str, str]:
    """The secrets in ``data_dir``, which are made if there are none. Raises BadSettings if they cannot be kept private."""
    path = data_dir / FILE_NAME
    try:
        private_directory(data_dir)
        if not path.exists():
            _make(path)
        return _read(path)
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise DiskFull(
                f"no space left in {data_dir} ({error.strerror}): SCOREBOARD_DATA_DIR should lie on a disk with room"
            ) from None
        if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
            raise not_writable(data_dir, error) from None
        raise BadSettings(f"SCOREBOARD_DATA_DIR: {path} cannot be kept there ({error.strerror})") from None


def not_writable(directory: Path, error: OSError) -> BadSettings:
    """The error for a data directory into which the server cannot write."""
    example = "for example SCOREBOARD_DATA_DIR=/var/lib/scoreboard"
    said = f"SCOREBOARD_DATA_DIR should name a directory into which the server can write, {example}"
    return BadSettings(f"{said}: not {directory} ({error.strerror})")


def existing_secrets(data_dir: Path) -> dict[str, str]:
    """The secrets in ``data_dir``. Raises BadSettings if there are none; it makes none."""
    path = data_dir / FILE_NAME
    if not _is_there(path):
        raise BadSettings(
            f"SCOREBOARD_DATA_DIR: there are no secrets at {path}: run the command where the server runs, after its first start, "
            "or set SCOREBOARD_DATA_DIR or JWT_SECRET as the server's are"
        )
    return kept_secrets(data_dir)


def existing_or_random_secrets(data_dir: Path) -> dict[str, str]:
    """The secrets in ``data_dir``, or random ones for a command that signs nothing; it writes no file."""
    return kept_secrets(data_dir) if _is_there(data_dir / FILE_NAME) else {name: secrets.token_hex(32) for name in _NAMES}


def _is_there(path: Path) -> bool:
    try:
        return path.exists()
    except OSError as error:
        raise BadSettings(f"SCOREBOARD_DATA_DIR: {path} cannot be read ({error.strerror})") from None


def private_directory(path: Path) -> None:
    """Make sure that the directory exists and that no other user can put files into it. Raises OSError or BadSettings.

    A directory that exists keeps its mode: it may be /srv or /tmp.
    """
    path.mkdir(mode=0o700, parents=True, exist_ok=True)
    mode = path.stat().st_mode
    if mode & (stat.S_IWGRP | stat.S_IWOTH) and not mode & stat.S_ISVTX:
        raise BadSettings(f"SCOREBOARD_DATA_DIR: other users may write into {path}; chmod 700 it or name another directory")


def _make(path: Path) -> None:
    """Write the file under another name, then link it: the first process wins, and no reader sees a part of the file.

    If we crash before the link, an unused file of mode 0600 remains, and the next start makes another.
    """
    draft = path.with_name(f"{path.name}.{secrets.token_hex(8)}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with open(descriptor, "w") as file:
            json.dump({name: secrets.token_hex(32) for name in _NAMES}, file)
            file.flush()
            os.fsync(file.fileno())
        os.link(draft, path)
    except FileExistsError:
        pass  # another process made them at the same moment; its secrets are used
    finally:
        draft.unlink()


def _read(path: Path) -> dict[str, str]:
    with open(os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)) as file:
        status = os.fstat(file.fileno())
        if not stat.S_ISREG(status.st_mode) or status.st_uid not in (os.geteuid(), path.parent.stat().st_uid):
            raise BadSettings(
                f"SCOREBOARD_DATA_DIR: {path} is no regular file of this user; remove it, and the server makes new secrets"
            )
        if stat.S_IMODE(status.st_mode) & 0o077:
            os.fchmod(file.fileno(), 0o600)
        text = file.read(_FILE_BYTES_MAX)
    try:
        kept = json.loads(text)
    except ValueError:
        kept = None
    if not isinstance(kept, Mapping) or not all(isinstance(kept.get(name), str) and len(kept[name]) >= 32 for name in _NAMES):
        raise BadSettings(
            f"SCOREBOARD_DATA_DIR: {path} does not hold the server's secrets; remove it, and the server makes new ones"
        )
    return {name: kept[name] for name in _NAMES}
