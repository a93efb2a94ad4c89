"""systemd: socket activation, notifications (sd_notify) and signals."""

from __future__ import annotations

import atexit
import math
import os
import signal
import socket
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any, Final

from twisted.application.service import Service
from twisted.internet.endpoints import serverFromString
from twisted.internet.error import ReactorNotRunning
from twisted.internet.interfaces import IReactorTime, IStreamServerEndpoint
from twisted.logger import Logger

from scoreboard.background import Counter, Loop

_FIRST_FD: Final = 3
_log: Final = Logger()
#: This is longer than the service's own stop may take. Only a thread that hangs (in a name server, say) takes this long.
STOP_S_MAX: Final = 15.0
#: A SIGINT that comes this long after the first stop signal is a second Ctrl-C, and ends the process at once.
IMPATIENT_S: Final = 0.5


def activated_endpoints(reactor: Any, environ: Mapping[str, str]) -> Sequence[IStreamServerEndpoint]:
    """The listening sockets that systemd opened for this process, in the order of ``scoreboard.socket``; empty if it opened none.

    If they are for this process, Twisted removed LISTEN_PID and LISTEN_FDS from the environment at its import. LISTEN_FDNAMES,
    with one name for each socket, stays. If LISTEN_PID is still there, the sockets are for another process.
    """
    names = environ.get("LISTEN_FDNAMES", "")
    if not names or "LISTEN_PID" in environ:
        return []
    return [
        serverFromString(reactor, f"systemd:domain={_domain(_FIRST_FD + index)}:index={index}")
        for index, _ in enumerate(names.split(":"))
    ]


def _domain(fd: int) -> str:
    """INET or INET6: Twisted needs the family to adopt a socket."""
    handed = socket.socket(fileno=fd)
    try:
        return socket.AddressFamily(handed.family).name.removeprefix("AF_")
    finally:
        handed.detach()


class Notifier(Service):
    """Service that notifies systemd that the process is ready, alive and stopping (sd_notify). Without systemd it does nothing.

    The reactor sends the heartbeats: if something blocks it, they stop, and systemd restarts the process.
    """

    def __init__(self, clock: IReactorTime, environ: Mapping[str, str], meter: Counter) -> None:
        self._address = environ.get("NOTIFY_SOCKET", "")
        self._watched = _watchdog_s(environ) > 0
        self._heart = Loop("systemd", lambda: self._tell("WATCHDOG=1"), _watchdog_s(environ) / 2, clock=clock, meter=meter)

    def ready(self) -> None:
        """Notify that all ports listen: systemd may start dependent units, and expects heartbeats from now on."""
        self._tell("READY=1")
        if self._watched and not self._heart.running:
            self._heart.start(now=True)

    def stopService(self) -> None:
        """Notify that the process stops on purpose. The heartbeats go on until it ends, because a stop takes time."""
        self._tell("STOPPING=1")
        super().stopService()

    def _tell(self, state: str) -> None:
        if not self._address:
            return
        address = "\0" + self._address[1:] if self._address.startswith("@") else self._address
        # If systemd does not listen now, the next heartbeat tries again.
        with suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK) as channel:
            channel.sendto(state.encode(), address)


def _watchdog_s(environ: Mapping[str, str]) -> float:
    """How many seconds systemd waits for a heartbeat; 0 if it does not, or waits for another process."""
    pid, wait_us = environ.get("WATCHDOG_PID", ""), environ.get("WATCHDOG_USEC", "")
    if not wait_us.isdecimal() or pid not in ("", str(os.getpid())):
        return 0.0
    return int(wait_us) / 1_000_000


def stop_on_signals(reactor: Any, seconds_max: float = STOP_S_MAX) -> None:
    """Stop the reactor on SIGTERM, SIGINT and SIGHUP, with exit status 0; ignore SIGUSR1 and SIGUSR2.

    It may be called before the reactor runs: an earlier signal stops the reactor as soon as it runs. SIGHUP and SIGINT stay
    ignored if the parent ignored them (nohup; `&` in a script). After ``seconds_max`` the process ends, whatever still runs.
    """
    stopping = threading.Event()
    first_s = math.inf

    def stop(number: int, frame: object) -> None:
        # One Ctrl-C may send several (make passes on those of its process group). A later one means "at once".
        nonlocal first_s
        if number == signal.SIGINT and time.monotonic() - first_s > IMPATIENT_S:
            signal.signal(signal.SIGINT, signal.SIG_DFL)
            os.kill(os.getpid(), signal.SIGINT)
        if stopping.is_set():
            return
        stopping.set()
        first_s = time.monotonic()
        last = threading.Timer(seconds_max, _leave)
        last.daemon = True
        last.start()
        reactor.callFromThread(_log.info, "stopping: {signal}", signal=signal.Signals(number).name)
        reactor.callFromThread(_stop, reactor)

    def take_no_notice(number: int, frame: object) -> None:
        signal.signal(number, signal.SIG_IGN)  # a second one is not logged
        reactor.callFromThread(_log.info, "{signal} is ignored", signal=signal.Signals(number).name)

    def install() -> None:
        signal.signal(signal.SIGTERM, stop)
        for number in (signal.SIGINT, signal.SIGHUP):
            if signal.getsignal(number) != signal.SIG_IGN:
                signal.signal(number, stop)
        signal.signal(signal.SIGUSR1, take_no_notice)
        signal.signal(signal.SIGUSR2, take_no_notice)

    install()
    atexit.register(_ignore_late_signals)
    reactor.callWhenRunning(install)  # again, because the reactor installs its own handlers as it begins to run


def _ignore_late_signals() -> None:
    """At its end the interpreter restores the default handlers; one more SIGTERM would then change the exit status to -15."""
    for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
        signal.signal(number, signal.SIG_IGN)


def _stop(reactor: Any) -> None:
    with suppress(ReactorNotRunning):  # it stops already, for example because something could not be opened
        reactor.stop()


def _leave() -> None:
    os.write(2, b"scoreboard: a part of the server did not end in time and was abandoned\n")
    os._exit(0)
