"""Files that a setting names: paths that were probably not meant, and a bounded read of a regular file. A leaf."""

from __future__ import annotations

import errno
import os
import re
import stat
from pathlib import Path
from typing import Final

#: Certificates of all public authorities have some 200 KB.
FILE_BYTES_MAX: Final = 4 * 2**20
_QUOTES: Final = "\"'`“”‘’«»"


def unlikely_path(text: str) -> str | None:
    """Why a path is probably not what the operator meant, or None. No program fills it in: it is taken as it stands."""
    if not text or text != text.strip():
        return "it is empty" if not text else "it begins or ends with white space"
    if not text.isprintable():
        return "it has an invisible character"
    if text[0] in _QUOTES or text[-1] in _QUOTES:
        return "it begins or ends with a quotation mark"
    if "$" in text:
        return "the server does not replace $NAME by a value; write the whole path"
    if re.match(r"[a-z]+://", text):
        return "it is a URL"
    if text.startswith("~"):
        return "the server does not replace ~ by a directory; write the whole path"
    if re.search(r"\A%|%[A-Za-z](/|\Z)", text):
        return "systemd replaces % by a directory only in the Environment= of a unit; write the whole path"
    return None


def read_regular_file(path: Path, bytes_max: int = FILE_BYTES_MAX) -> bytes:
    """The content of a regular file. Raises OSError, whose ``strerror`` says why, for any other file and for a longer one.

    A read of a pipe would wait for its writer, and a device may have no end.
    """
    if str(path) == os.devnull:  # says "none" on purpose
        return b""
    mode = path.stat().st_mode
    if not stat.S_ISREG(mode):
        raise OSError(errno.EINVAL, "it is a directory" if stat.S_ISDIR(mode) else "it is no regular file")
    content = b""
    with open(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb", buffering=0) as file:
        while len(content) <= bytes_max and (piece := file.read(bytes_max + 1 - len(content))):
            content += piece
    if len(content) > bytes_max:
        raise OSError(errno.EFBIG, f"it is longer than {bytes_max} bytes")
    return content
