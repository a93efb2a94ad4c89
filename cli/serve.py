"""`scoreboard serve`: become the server process, in the foreground."""

from __future__ import annotations

import os
import sys


def serve() -> None:
    """Start the server in the foreground, as `python -m scoreboard` does. Ctrl-C or SIGTERM stops it.

    It reads the settings in the environment, and in the file that
    SCOREBOARD_CONFIG_FILE names. Check them with `scoreboard config check`.

    \b
    Examples:
      scoreboard serve
      PORT=8080 scoreboard serve
    """
    sys.stdout.flush()
    os.execv(sys.executable, [sys.executable, "-P", "-m", "scoreboard"])  # noqa: S606  the same process, and no shell
