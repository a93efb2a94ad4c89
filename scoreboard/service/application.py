"""The application that twistd runs. Wrong settings end the process with a message of one line and exit code 78."""

from __future__ import annotations

import os
import sys

from twisted.application.service import Application
from twisted.internet import reactor
from twisted.logger import ILogObserver

from config import BadSettings, DiskFull
from config.settings import load_settings
from scoreboard.json_log import json_log
from scoreboard.monotonic import use_monotonic_time
from scoreboard.service.server import make_service, write_to_stderr
from scoreboard.systemd import stop_on_signals

use_monotonic_time(reactor)
application = Application("scoreboard")
try:
    settings = load_settings(os.environ)
    application.setComponent(ILogObserver, json_log(sys.stdout, settings.log_level))
    make_service(settings, reactor).setServiceParent(application)
except BadSettings as error:
    write_to_stderr(str(error))
    sys.exit(os.EX_UNAVAILABLE if isinstance(error, DiskFull) else os.EX_CONFIG)
stop_on_signals(reactor)
