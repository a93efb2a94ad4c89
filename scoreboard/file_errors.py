"""File errors in words: why a file that an operator named cannot be read or written."""

from __future__ import annotations

import errno
from typing import Final

_WORDS: Final = {
    errno.ENOSPC: "no space left",
    errno.EDQUOT: "no space left for this user",
    errno.EISDIR: "it is a directory",
    errno.ENOENT: "no such directory",
    errno.ENOTDIR: "no such directory",
    errno.EACCES: "permission denied",
    errno.EPERM: "permission denied",
    errno.EROFS: "its file system is read-only",
}


def why_not_written(error: OSError) -> str:
    """Why a file cannot be written, in a few words. A write creates the file, so only its directory can be missing."""
    return _WORDS.get(error.errno or 0, (error.strerror or type(error).__name__).lower())
