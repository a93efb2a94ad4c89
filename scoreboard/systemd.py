"""What the service manager and the process tell each other: sockets handed in, readiness and heartbeats handed out."""

from __future__ import annotations

import atexit
import os
import signal
import socket
import threading
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
#: Longer than the service gives what it closes: only a thread that hangs (a name server, say) keeps the process for so long.
STOP_S_MAX: Final = 15.0


def activated_endpoints(reactor: Any, environ: Mapping[str, str]) -> Sequence[IStreamServerEndpoint]:
    """The listening sockets that systemd opened for us, in the order of ``scoreboard.socket``; none when it opened none.

    When they are ours, Twisted took LISTEN_PID and LISTEN_FDS out of the environment as it was imported and remembers
    them; the names are left, one for each socket. A LISTEN_PID that is still there means another process.
    """
    names = environ.get("LISTEN_FDNAMES", "")
    if not names or "LISTEN_PID" in environ:
        return []
    return [
        serverFromString(reactor, f"systemd:domain={_domain(_FIRST_FD + index)}:index={index}")
        for index, _ in enumerate(names.split(":"))
    ]


def _domain(fd: int) -> str:
    """INET or INET6: adopting a socket wants to be told its family."""
    handed = socket.socket(fileno=fd)
    try:
        return socket.AddressFamily(handed.family).name.removeprefix("AF_")
    finally:
        handed.detach()


class Notifier(Service):
    """Tells systemd that we are ready, alive and stopping (sd_notify, watchdog). Silent where no systemd listens.

    The heartbeat comes from the reactor: when something blocks it, the heartbeat stops and systemd restarts us.
    """

    def __init__(self, clock: IReactorTime, environ: Mapping[str, str], meter: Counter) -> None:
        self._address = environ.get("NOTIFY_SOCKET", "")
        self._watched = _watchdog_s(environ) > 0
        self._heart = Loop("systemd", self._beat, _watchdog_s(environ) / 2, clock=clock, meter=meter)

    def ready(self) -> None:
        """Everything listens: systemd may start what waits for us, and expects heartbeats from now on."""
        self._tell("READY=1")
        if self._watched and not self._heart.running:
            self._heart.start(now=True)

    def stopService(self) -> None:
        """Say that we are stopping on purpose. Heartbeats go on until the process ends: stopping takes its time, too."""
        self._tell("STOPPING=1")
        super().stopService()

    def _beat(self) -> None:
        self._tell("WATCHDOG=1")

    def _tell(self, state: str) -> None:
        if not self._address:
            return
        address = "\0" + self._address[1:] if self._address.startswith("@") else self._address
        # A manager that does not listen now is told again by the next heartbeat.
        with suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK) as channel:
            channel.sendto(state.encode(), address)


def _watchdog_s(environ: Mapping[str, str]) -> float:
    """How long systemd waits for a heartbeat, 0 when it does not wait or waits for another process."""
    pid, wait_us = environ.get("WATCHDOG_PID", ""), environ.get("WATCHDOG_USEC", "")
    if not wait_us.isdecimal() or pid not in ("", str(os.getpid())):
        return 0.0
    return int(wait_us) / 1_000_000


def stop_on_signals(reactor: Any, seconds_max: float = STOP_S_MAX) -> None:
    """Stop in good order on SIGTERM, SIGINT and SIGHUP and end with 0; take no notice of SIGUSR1 and SIGUSR2.

    May be called before the reactor runs: a signal that comes earlier stops the reactor as soon as it runs. SIGHUP stays
    ignored where the parent ignored it (nohup). What has not ended after ``seconds_max`` is left behind: the process ends.
    """
    stopping = threading.Event()

    def stop(number: int, frame: object) -> None:
        # Several signals may come (make passes on what its whole group heard). A second Ctrl-C means that somebody is in a hurry.
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        if stopping.is_set():
            return
        stopping.set()
        last = threading.Timer(seconds_max, _leave)
        last.daemon = True
        last.start()
        reactor.callFromThread(_log.info, "stopping: {signal}", signal=signal.Signals(number).name)
        reactor.callFromThread(_stop, reactor)

    def take_no_notice(number: int, frame: object) -> None:
        signal.signal(number, signal.SIG_IGN)  # a second one is not even logged
        reactor.callFromThread(_log.info, "{signal} means nothing to this server", signal=signal.Signals(number).name)

    def install() -> None:
        signal.signal(signal.SIGTERM, stop)
        signal.signal(signal.SIGINT, signal.SIG_DFL if stopping.is_set() else stop)
        if signal.getsignal(signal.SIGHUP) != signal.SIG_IGN:
            signal.signal(signal.SIGHUP, stop)
        signal.signal(signal.SIGUSR1, take_no_notice)
        signal.signal(signal.SIGUSR2, take_no_notice)

    install()
    atexit.register(_ignore_late_signals)
    reactor.callWhenRunning(install)  # the reactor takes SIGTERM when it begins to run, and would end as if it had killed us


def _ignore_late_signals() -> None:
    """As the interpreter ends it gives signals back their default, and one more SIGTERM would end what ends already with -15."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)


def _stop(reactor: Any) -> None:
    with suppress(ReactorNotRunning):  # it stops already: what could not be opened ends the process as well
        reactor.stop()


def _leave() -> None:
    os.write(2, b"scoreboard: something did not end in time and is left behind\n")
    os._exit(0)
