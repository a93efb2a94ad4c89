"""What twistd starts: ``twistd -n -y scoreboard.tac``. Bad settings end it with one line and 78 (EX_CONFIG)."""

import os
import sys

from twisted.application.service import Application
from twisted.internet import reactor
from twisted.logger import ILogObserver

from config import BadSettings, DiskFull
from config.settings import load_settings
from scoreboard.monotonic import use_monotonic_time
from scoreboard.service import make_service
from scoreboard.systemd import stop_on_signals
from scoreboard.telemetry import json_log

use_monotonic_time(reactor)
application = Application("scoreboard")
try:
    settings = load_settings(os.environ)
    application.setComponent(ILogObserver, json_log(sys.stdout, settings.log_level))
    make_service(settings, reactor).setServiceParent(application)
except BadSettings as error:
    sys.stderr.write(f"scoreboard: {error}\n")
    sys.exit(os.EX_UNAVAILABLE if isinstance(error, DiskFull) else os.EX_CONFIG)
reactor.callWhenRunning(stop_on_signals, reactor)
