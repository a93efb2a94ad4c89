"""systemd: the units, the sockets that it opens, and the notifications to it."""

from __future__ import annotations

import fcntl
import os
import re
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from twisted.internet.task import Clock

from scoreboard.metrics import Metrics
from scoreboard.systemd import Notifier, activated_endpoints

ROOT = Path(__file__).parents[2]
SERVICE = ROOT / "systemd" / "scoreboard.service"
SOCKET = ROOT / "systemd" / "scoreboard.socket"
ANALYZE = shutil.which("systemd-analyze")
needs_systemd = pytest.mark.skipif(ANALYZE is None, reason="systemd-analyze is not here: apt-get install systemd")


def analyze(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([str(ANALYZE), *map(str, arguments)], capture_output=True, text=True, timeout=60)


@needs_systemd
@pytest.mark.parametrize("unit", [SERVICE, SOCKET])
def test_systemd_analyze_verify_finds_no_fault_in_the_units(unit: Path) -> None:
    said = analyze("verify", unit)
    assert (said.returncode, said.stdout, said.stderr) == (0, "", "")


@needs_systemd
def test_systemd_analyze_security_rates_the_service_as_documented() -> None:
    said = analyze("security", "--offline=true", SERVICE).stdout
    found = re.search(r"Overall exposure level for scoreboard.service: ([0-9.]+)", said)
    assert found is not None, said
    assert float(found[1]) <= 1.5


def test_the_command_of_the_unit_exists_in_an_installation() -> None:
    """`verify` checks only that /usr/bin/env exists; this test checks the rest of the line."""
    unit = SERVICE.read_text()
    (start,) = re.findall(r"^ExecStart=/usr/bin/env (\S+) .*-y (\S+)$", unit, re.MULTILINE)
    (path,) = re.findall(r"^Environment=PATH=(\S+?):", unit, re.MULTILINE)
    assert (Path(path.replace("/opt/scoreboard", str(ROOT))) / start[0]).is_file()
    assert Path(start[1].replace("/opt/scoreboard", str(ROOT))).is_file()


#: Stand-in for systemd: it passes the sockets and the variables as systemd does, and becomes the process that serves.
AS_SYSTEMD = """
import os, sys
*sockets, serve = sys.argv[1:]
for place, fd in enumerate(map(int, sockets)):
    os.dup2(fd, 3 + place)
names = ":".join(["scoreboard.socket"] * len(sockets))
activation = {"LISTEN_PID": str(os.getpid()), "LISTEN_FDS": str(len(sockets)), "LISTEN_FDNAMES": names}
os.execve(sys.executable, [sys.executable, "-c", serve], {**os.environ, **activation})
"""
#: A server that answers each connection with the name of its socket, and ends when both sockets were used.
SERVE = """
import os
from twisted.internet import reactor
from twisted.internet.protocol import Factory, Protocol
from scoreboard.metrics import Metrics
from scoreboard.systemd import activated_endpoints

left = {"first", "second"}

class Say(Protocol):
    def connectionMade(self):
        self.transport.write(self.factory.name.encode())
        self.transport.loseConnection()

    def connectionLost(self, reason):
        left.discard(self.factory.name)
        if not left:
            reactor.stop()

for endpoint, name in zip(activated_endpoints(reactor, os.environ), ("first", "second"), strict=True):
    factory = Factory.forProtocol(Say)
    factory.name = name
    endpoint.listen(factory)
reactor.callLater(60, reactor.stop)
reactor.run()
"""


def test_sockets_from_systemd_are_used_in_its_order() -> None:
    """It has a process of its own, because Twisted reads the environment only once, at its import."""
    with socket.create_server(("127.0.0.1", 0)) as first, socket.create_server(("127.0.0.1", 0)) as second:
        # Far from 3 and 4, so that dup2 for one does not close the other.
        apart = [fcntl.fcntl(one.fileno(), fcntl.F_DUPFD, 60) for one in (first, second)]
        arguments = [sys.executable, "-c", AS_SYSTEMD, *map(str, apart), SERVE]
        with subprocess.Popen(arguments, pass_fds=apart, cwd=ROOT, stderr=subprocess.PIPE, text=True) as serving:
            for fd in apart:
                os.close(fd)
            answers = []
            for ours in (first, second):
                with socket.create_connection(ours.getsockname(), timeout=60) as asking:
                    answers.append(asking.recv(100).decode())
            _, complaints = serving.communicate(timeout=60)
    assert (answers, complaints) == (["first", "second"], "")


@pytest.mark.parametrize("environ", [{}, {"LISTEN_PID": "1", "LISTEN_FDS": "1", "LISTEN_FDNAMES": "x"}])
def test_sockets_for_another_process_are_not_used(environ: dict[str, str]) -> None:
    assert not activated_endpoints(object(), environ)


@pytest.fixture
def manager(tmp_path: Path) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK) as ours:
        ours.bind(str(tmp_path / "notify"))
        yield ours


def answered(manager: socket.socket) -> list[str]:
    said = []
    try:
        while True:
            said.append(manager.recv(100).decode())
    except BlockingIOError:
        return said


def test_systemd_is_notified_of_readiness_heartbeats_and_the_stop(manager: socket.socket) -> None:
    clock = Clock()
    notifier = Notifier(
        clock, {"NOTIFY_SOCKET": manager.getsockname(), "WATCHDOG_USEC": "30000000", "WATCHDOG_PID": str(os.getpid())}, Metrics()
    )
    notifier.startService()
    assert answered(manager) == []
    notifier.ready()
    assert answered(manager) == ["READY=1", "WATCHDOG=1"]
    clock.pump([15, 15])
    assert answered(manager) == ["WATCHDOG=1"] * 2, "twice in the time that systemd waits"
    notifier.stopService()
    assert answered(manager) == ["STOPPING=1"]
    clock.advance(15)
    assert answered(manager) == ["WATCHDOG=1"], "stopping takes its time, and must not be taken for a stall"


@pytest.mark.parametrize("environ", [{"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": "1"}, {"WATCHDOG_USEC": "soon"}, {}])
def test_without_a_watchdog_no_heartbeat_is_sent(environ: dict[str, str], manager: socket.socket) -> None:
    clock = Clock()
    notifier = Notifier(clock, {"NOTIFY_SOCKET": manager.getsockname(), **environ}, Metrics())
    notifier.ready()
    assert answered(manager) == ["READY=1"]
    assert not clock.getDelayedCalls()


@pytest.mark.parametrize("address", ["", "/nowhere/at/all"])
def test_without_systemd_no_notification_is_sent(address: str) -> None:
    notifier = Notifier(Clock(), {"NOTIFY_SOCKET": address}, Metrics())
    notifier.ready()
    notifier.stopService()


#: A server with a hanging thread in the reactor's thread pool.
HANGING = """
import threading
from twisted.internet import reactor
from scoreboard.metrics import Metrics
from scoreboard.systemd import stop_on_signals
reactor.callWhenRunning(stop_on_signals, reactor, 0.3)
reactor.callWhenRunning(reactor.callInThread, threading.Event().wait)
reactor.callLater(0.1, print, "up", flush=True)
reactor.run()
"""


def test_a_hanging_thread_does_not_prevent_the_stop() -> None:
    with subprocess.Popen(
        [sys.executable, "-c", HANGING], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as one:
        assert one.stdout is not None
        assert one.stdout.readline() == "up\n"
        one.terminate()
        _, said = one.communicate(timeout=60)
    assert (one.returncode, said) == (0, "scoreboard: a part of the server did not end in time and was abandoned\n")


#: A server that stops by itself, as after a failed start, and gets SIGTERM meanwhile.
STOPPING = """
import os, signal, sys
from twisted.internet import reactor
from twisted.internet.task import deferLater
from twisted.python import log
from scoreboard.metrics import Metrics
from scoreboard.systemd import stop_on_signals

def terminate():
    os.kill(os.getpid(), signal.SIGTERM)
    return deferLater(reactor, 0.1)

log.startLogging(sys.stdout, setStdout=False)
stop_on_signals(reactor)
reactor.addSystemEventTrigger("before", "shutdown", terminate)
reactor.callWhenRunning(reactor.stop)
reactor.run()
"""


def test_a_signal_while_the_server_stops_by_itself_causes_no_fault() -> None:
    one = subprocess.run([sys.executable, "-c", STOPPING], cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert one.returncode == 0
    assert "stopping: SIGTERM" in one.stdout
    assert "Traceback" not in one.stdout + one.stderr


#: A server that gets a stop signal as soon as it runs.
PATIENT = """
import sys
import time
from twisted.internet import reactor
from scoreboard.metrics import Metrics
from scoreboard.systemd import stop_on_signals

stop_on_signals(reactor)
reactor.callWhenRunning(print, "runs", flush=True)
reactor.run()
"""


def test_more_signals_during_the_stop_change_nothing() -> None:
    """A supervisor may repeat SIGTERM, and the interpreter takes a while to end after the server has stopped."""
    for _ in range(3):
        with subprocess.Popen([sys.executable, "-c", PATIENT], cwd=ROOT, stdout=subprocess.PIPE, text=True) as one:
            assert one.stdout is not None
            assert one.stdout.readline() == "runs\n"
            while one.poll() is None:
                one.terminate()
                time.sleep(0.001)
        assert one.returncode == 0
