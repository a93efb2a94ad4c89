"""Server as a Twisted service: it opens the stores, the actors and the ports in this order, and stops them in the reverse order.

A stop closes the ports and the live connections, answers the requests in flight, writes the last receipts, closes the stores.
"""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from typing import Any, Final

from twisted.application.service import MultiService, Service
from twisted.internet.defer import CancelledError, Deferred, ensureDeferred
from twisted.logger import Logger
from twisted.python.failure import Failure

from config import BadSettings
from config.settings import Settings
from scoreboard.domain.errors import StoreMisconfigured, StoreUnavailable
from scoreboard.failpoints import failpoint
from scoreboard.metrics import LagWatch, Metrics
from scoreboard.service.backend import BackendBuilder
from scoreboard.service.edge import EdgeBuilder
from scoreboard.service.endpoints import CannotListen
from scoreboard.service.lifecycle import Lifecycle, ServerContext
from scoreboard.service.stores import open_server_stores
from scoreboard.service.wiring import boards, catalogue, fitted_capacity
from scoreboard.storage.redis.embedded import EmbeddedRedisBusy
from scoreboard.storage.redis.errors import RedisUnusable
from scoreboard.storage.sql.errors import LedgerUnusable
from scoreboard.systemd import Notifier

#: Exceptions that may prevent a start and need no traceback: the operator reads one line.
EXPECTED_TROUBLE: Final = (BadSettings, LedgerUnusable, StoreUnavailable, EmbeddedRedisBusy, RedisUnusable, CannotListen)


def make_service(settings: Settings, reactor: Any) -> MultiService:
    """The whole server as a service. Raises BadSettings for every fault that can be found before the start."""
    capacity = fitted_capacity(settings)
    for remark in settings.remarks():
        Logger(namespace="scoreboard").warn("{remark}", remark=remark)
    whole = MultiService()
    metrics = Metrics()
    LagWatch(reactor, metrics).setServiceParent(whole)
    notifier = Notifier(reactor, os.environ, metrics)
    notifier.setServiceParent(whole)
    rules = catalogue(settings)
    context = ServerContext(
        settings=settings,
        catalogue=rules,
        boards=boards(settings, rules),
        capacity=capacity,
        failpoint=failpoint(settings.failpoint),
        reactor=reactor,
        metrics=metrics,
        lifecycle=Lifecycle(reactor),
    )
    ScoreboardService(context, notifier).setServiceParent(whole)
    return whole


class ScoreboardService(Service):
    """Service of everything but the watchdog and the lag: a start that fails ends the process with an exit status."""

    _log = Logger(namespace="scoreboard")

    def __init__(self, context: ServerContext, notifier: Notifier) -> None:
        self._context = context
        self._notifier = notifier
        self._opening: Deferred[None] | None = None

    def startService(self) -> None:
        """Begin to open. An exception is written to stderr or the log and ends the process."""
        super().startService()
        self._opening = ensureDeferred(self._open())
        self._opening.addErrback(self._cannot_open)

    def stopService(self) -> Deferred[None]:
        """Stop everything; fires when all has stopped."""
        super().stopService()
        if self._opening is not None:
            self._opening.cancel()
        return ensureDeferred(self._context.lifecycle.stop())

    async def _open(self) -> None:
        backend = await BackendBuilder(self._context, await open_server_stores(self._context)).open()
        await EdgeBuilder(self._context, backend).open()
        self._notifier.ready()

    def _cannot_open(self, failure: Failure) -> None:
        if failure.check(CancelledError):  # stopped while opening
            return
        if failure.check(*EXPECTED_TROUBLE):
            write_to_stderr(self._context.settings.in_operators_words(failure.getErrorMessage()))
            status = os.EX_UNAVAILABLE if _is_temporary(failure.value) else os.EX_CONFIG
        else:
            self._log.failure("the server cannot start", failure=failure)
            status = os.EX_SOFTWARE
        # Twisted has no way to hand over an exit status, so the last trigger of its shutdown ends the process with this one.
        self._context.reactor.addSystemEventTrigger("after", "shutdown", os._exit, status)
        self._context.reactor.callWhenRunning(self._context.reactor.stop)


def write_to_stderr(trouble: str) -> None:
    """Write one line for the operator, unless stderr is closed. (twistd keeps it open and takes sys.stderr for its log.)"""
    if sys.__stderr__ is not None:
        with suppress(OSError):
            sys.__stderr__.write(f"scoreboard: {trouble}\n")
            sys.__stderr__.flush()


def _is_temporary(trouble: BaseException | None) -> bool:
    """Whether the service manager should try again: a store may come back, a port or a directory may become free."""
    if isinstance(trouble, EmbeddedRedisBusy):
        return True
    if isinstance(trouble, CannotListen):
        return trouble.is_temporary
    return isinstance(trouble, StoreUnavailable) and not isinstance(trouble, StoreMisconfigured)
