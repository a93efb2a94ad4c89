"""`python -m scoreboard`: the server in the foreground, run by twistd. It takes its settings from the environment."""

import os
import sys
from pathlib import Path

from scoreboard.early_signals import end_at_once_on_stop_signals

end_at_once_on_stop_signals()  # before the other imports, which take a second

from twisted.scripts import twistd  # noqa: E402

if len(sys.argv) > 1:
    sys.stderr.write(
        "scoreboard: the server takes no arguments; its settings are environment variables (see config/env.example)\n"
    )
    sys.exit(os.EX_USAGE)
sys.argv = ["twistd", "--nodaemon", "--pidfile=", f"--python={Path(__file__).with_name('service') / 'application.py'}"]
twistd.run()
