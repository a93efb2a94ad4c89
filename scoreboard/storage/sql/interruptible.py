"""Interruptible database session: another thread may end the call that runs. Such a call does not commit."""

from __future__ import annotations

import contextlib
from abc import abstractmethod
from collections.abc import Iterator

from scoreboard.domain.errors import StoreUnavailable
from scoreboard.storage.sql.thread_worker import Blocking


class Interruptible(Blocking):
    """A session that checks, before it asks the database and before it commits, whether its call was interrupted."""

    _interrupted = False

    def _require_not_interrupted(self) -> None:
        """Raise StoreUnavailable if `interrupt` was called: the caller got that error already, so nothing may change any more."""
        if self._interrupted:
            raise StoreUnavailable("interrupted")


class ClosingOnError(Interruptible):
    """A session that closes its connection after any failure. Closing rolls back, and the next call connects again."""

    @abstractmethod
    def _unavailable(self, error: BaseException) -> StoreUnavailable | None:
        """What a caller gets for an error of the driver; None for any other error, which is raised as it is."""

    def _check(self) -> None:
        """Run before each call of the session. If it raises, the call fails with that error."""

    def _keeps_connection(self, _error: BaseException) -> bool:
        """Whether the connection stays open after this error."""
        return False

    @contextlib.contextmanager
    def _closing_on_error(self) -> Iterator[None]:
        """Run one call; close the connection if it fails."""
        try:
            self._require_not_interrupted()
            self._check()
            yield
        except BaseException as error:
            if not self._keeps_connection(error):
                self.close()
            unavailable = self._unavailable(error)
            if unavailable is not None:
                raise unavailable from error
            raise
        finally:
            self._interrupted = False  # the interruption was meant for this call
