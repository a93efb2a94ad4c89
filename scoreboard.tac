"""Entry point of twistd: ``twistd -n -y scoreboard.tac``. Wrong settings end it with a message of one line and exit code 78."""

import os
import signal
import sys

# Signal handlers come first, because the other imports take a second. Nothing is open yet, so a stop ends the process at once.
for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
    if signal.getsignal(number) != signal.SIG_IGN:
        signal.signal(number, lambda *_: os._exit(0))
for number in (signal.SIGUSR1, signal.SIGUSR2):
    signal.signal(number, signal.SIG_IGN)

from twisted.application.service import Application  # noqa: E402
from twisted.internet import reactor  # noqa: E402
from twisted.logger import ILogObserver  # noqa: E402

from config import BadSettings, DiskFull  # noqa: E402
from config.settings import load_settings  # noqa: E402
from scoreboard.json_log import json_log  # noqa: E402
from scoreboard.monotonic import use_monotonic_time  # noqa: E402
from scoreboard.service.server import make_service  # noqa: E402
from scoreboard.systemd import stop_on_signals  # noqa: E402

use_monotonic_time(reactor)
application = Application("scoreboard")
try:
    settings = load_settings(os.environ)
    application.setComponent(ILogObserver, json_log(sys.stdout, settings.log_level))
    make_service(settings, reactor).setServiceParent(application)
except BadSettings as error:
    sys.stderr.write(f"scoreboard: {error}\n")
    sys.exit(os.EX_UNAVAILABLE if isinstance(error, DiskFull) else os.EX_CONFIG)
stop_on_signals(reactor)
