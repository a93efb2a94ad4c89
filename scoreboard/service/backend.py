"""Backend: the stores and the actors between them, opened in the order in which each needs the others."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from twisted.internet.defer import DeferredLock
from twisted.logger import LogLevel

from config import BadSettings
from config.settings import Settings
from scoreboard.actors.announcer import Announcer
from scoreboard.actors.award_log import AwardLog
from scoreboard.actors.board_series import BoardSeries
from scoreboard.actors.board_sweep import BoardSweep
from scoreboard.actors.boards import Boards
from scoreboard.actors.health import HealthMonitor
from scoreboard.actors.open_bucket import OpenBucket, open_bucket
from scoreboard.actors.projector import Projector
from scoreboard.actors.ranking import Ranking
from scoreboard.actors.reset_watch import ResetWatch
from scoreboard.actors.scorekeeper import Scorekeeper
from scoreboard.actors.suspension_watcher import SuspensionWatcher
from scoreboard.domain.boards import GLOBAL_BOARD, BoardBucket, FedBoard
from scoreboard.domain.cursor import Cursor
from scoreboard.domain.errors import BoardCannotChange
from scoreboard.domain.events import ScoreChanged
from scoreboard.domain.health import Condition
from scoreboard.service.lifecycle import ServerContext
from scoreboard.service.stores import ServerStores
from scoreboard.service.wiring import new_id, now_ms
from scoreboard.storage.redis.board import RedisBoard
from scoreboard.storage.redis.client import RedisClient

#: Sentences of `/readyz`, which any client may read. The log says more: addresses, runs of Redis, paths of ledgers.
_REDIS: Final[Mapping[str, str]] = {
    "redis": "Redis cannot be asked: limits are each process's own, and the board is read from the ledger",
    "redis_writes": "Redis takes no writes: the board is read from the ledger",
    "redis_calls": "Redis refuses some of the server's calls; the log says which",
    "redis_eviction": "Redis may evict keys: its maxmemory-policy should be noeviction",
    "redis_subscription": "Changes of other servers do not reach this process: its live clients get them late",
}
_REFUSED: Final = (
    "Redis refuses what the settings say (the log says which): limits are each process's own, the board is the ledger's"
)


@dataclass(frozen=True, kw_only=True)
class Backend:
    """The stores and the actors that the network edge calls."""

    stores: ServerStores
    ranking: Ranking
    boards: Boards
    announcer: Announcer
    scorekeeper: Scorekeeper
    suspension_watcher: SuspensionWatcher
    health: HealthMonitor


class BackendBuilder:
    """Builder of the actors. They refer to each other in a circle, so each looks the others up here when it needs them."""

    def __init__(self, context: ServerContext, stores: ServerStores) -> None:
        self._context = context
        self._stores = stores
        self._rebuild_turn = DeferredLock()

    async def open(self) -> Backend:
        """Build the actors and start those that have a loop."""
        self._build_readers()
        await self._start_projection()
        await self._start_boards()
        await self._start_watchers()
        self._build_scorekeeper()
        self._context.lifecycle.add("Announcer", self._announcer.stop)
        return Backend(
            stores=self._stores,
            ranking=self._ranking,
            boards=self._boards,
            announcer=self._announcer,
            scorekeeper=self._scorekeeper,
            suspension_watcher=self._suspension_watcher,
            health=self._health,
        )

    def _build_readers(self) -> None:
        """The ranking answers reads, the announcer sends changes to live clients."""
        context = self._context
        self._ranking = Ranking(
            board=self._stores.board,
            ledger=self._stores.ledger.board(GLOBAL_BOARD),
            clock=context.reactor,
            now_ms=now_ms,
            meter=context.metrics,
            lagging_s=lambda: self._projector.lagging_s,
            on_stale=lambda trouble: self._projector.check_soon(trouble),
        )
        self._announcer = Announcer(
            ranking=self._ranking,
            forbids_spectators=lambda user_id: self._suspension_watcher.forbids_spectators(user_id),
            clock=context.reactor,
            tick_ms=context.settings.broadcast_interval_ms,
            score_updates_per_tick_max=context.settings.score_updates_per_tick_max,
            meter=context.metrics,
            is_awarding=lambda: self._scorekeeper.is_awarding,
            failpoint=context.failpoint,
        )
        self._reset_watch = ResetWatch(ledger=self._stores.ledger, now_ms=self._stores.ledger_clock.now_ms, meter=context.metrics)
        self._stores.board.listen(self._on_changes, missed=lambda: self._projector.check_soon())

    async def _start_projection(self) -> None:
        """The projector sets the ledger's totals on the board, and a sweep compares the two."""
        context, stores = self._context, self._stores
        self._projector = Projector(
            ledger=stores.ledger.board(GLOBAL_BOARD),
            board=stores.board,
            clock=context.reactor,
            on_changes=self._on_changes,
            note_ledger_ahead=self._ranking.note_ledger_ahead,
            meter=context.metrics,
            store_is_shared=context.settings.redis_url is not None,
            rebuild_turn=self._rebuild_turn,
            failpoint=context.failpoint,
        )
        await context.lifecycle.start(self._projector)
        sweep = BoardSweep(
            ledger=stores.ledger.board(GLOBAL_BOARD),
            board=stores.board,
            projector=self._projector,
            clock=context.reactor,
            meter=context.metrics,
        )
        await context.lifecycle.start(sweep)
        stores.redis.on_up(self._projector.catch_up_soon)

    async def _start_watchers(self) -> None:
        """The watcher of suspensions and settings, and the monitor of what /readyz says."""
        context = self._context
        self._suspension_watcher = SuspensionWatcher(
            player_store=self._stores.player_store,
            clock=context.reactor,
            meter=context.metrics,
            on_suspended=self._announcer.close_listeners_of,
            on_private=self._announcer.end_spectating,
        )
        await context.lifecycle.start(self._suspension_watcher)
        self._health = HealthMonitor(
            ledger=self._stores.ledger,
            clock=context.reactor,
            meter=context.metrics,
            in_operators_words=context.settings.in_words_of_the_log,
        )
        self._health.add(lambda: _redis_conditions(self._stores.redis))
        self._health.add(lambda: _board_conditions(self._projector))
        self._health.add(lambda: _boards_conditions(self._boards))
        await context.lifecycle.start(self._health)

    async def _start_boards(self) -> None:
        """The boards beside the global one. Raises BadSettings for a file that the ledger cannot follow."""
        context = self._context
        self._boards = Boards(
            ledger=self._stores.ledger,
            definitions=context.boards,
            ranking=self._ranking,
            projector=self._projector,
            open_series=self._open_series,
            together=self._stores.redis.together,
            clock=context.reactor,
            meter=context.metrics,
        )
        try:
            await context.lifecycle.start(self._boards)
        except BoardCannotChange as trouble:
            raise BadSettings(f"SCOREBOARD_BOARDS_FILE ({context.settings.boards_file}): {trouble}") from None
        self._stores.redis.on_up(self._boards.catch_up_soon)

    def _open_series(self, fed: FedBoard) -> BoardSeries:
        return BoardSeries(
            fed,
            open_bucket=self._open_bucket,
            clock=self._context.reactor,
            now_ms=self._stores.ledger_clock.now_ms,
            meter=self._context.metrics,
        )

    def _open_bucket(self, bucket: BoardBucket, may_change: Callable[[], bool]) -> OpenBucket:
        context, stores = self._context, self._stores
        return open_bucket(
            board=RedisBoard(bucket, stores.redis, context.reactor, now_ms, stores.board_messages),
            ledger=stores.ledger.board(bucket),
            clock=context.reactor,
            now_ms=now_ms,
            meter=context.metrics,
            store_is_shared=context.settings.redis_url is not None,
            may_change=may_change,
            rebuild_turn=self._rebuild_turn,
        )

    def _build_scorekeeper(self) -> None:
        """The scorekeeper is the only writer of awards."""
        context = self._context
        self._scorekeeper = Scorekeeper(
            ledger=self._stores.ledger,
            project=self._boards.project,
            rate_limiter=self._stores.rate_limiter,
            catalogue=context.catalogue,
            milestones=context.settings.score_milestones,
            clock=context.reactor,
            now_ms=self._stores.ledger_clock.now_ms,
            new_id=new_id,
            meter=context.metrics,
            is_suspended=self._suspension_watcher.is_suspended,
            note_batch=self._health.note_batch,
            award_log=_award_log(context.settings),
            failpoint=context.failpoint,
        )
        context.lifecycle.add("Scorekeeper", self._scorekeeper.stop)

    def _on_changes(self, cursor: Cursor, changes: Sequence[ScoreChanged]) -> None:
        self._ranking.advance(cursor)
        self._announcer.publish(changes)
        self._reset_watch.note(cursor, changes)


def _award_log(settings: Settings) -> AwardLog | None:
    """The log of awards: at info if LOG_AWARDS asks for it, at debug if that level is shown, else none."""
    if settings.log_awards:
        return AwardLog(LogLevel.info)
    return AwardLog(LogLevel.debug) if settings.log_level == "debug" else None


def _redis_conditions(client: RedisClient) -> Sequence[Condition]:
    """The conditions of Redis. Without Redis, all processes serve alike; one that lost only its subscription serves worse."""
    return [
        Condition(
            name=name,
            ok=ok,
            serving=ok or name != "redis_subscription" or not client.up,
            detail="" if ok else _REFUSED if name == "redis" and client.misconfigured else _REDIS[name],
        )
        for name, ok, _ in client.conditions()
    ]


def _board_conditions(projector: Projector) -> Sequence[Condition]:
    """Whether the board follows the ledger. While it does not, submissions are awarded and reads come from the ledger."""
    return [Condition(name="board", ok=projector.in_sync, serving=True, detail=projector.condition)]


def _boards_conditions(boards: Boards) -> Sequence[Condition]:
    """Whether the other boards follow the ledger."""
    detail = "" if boards.in_sync else "A board beside the global one does not follow the ledger; its reads come from the ledger"
    return [Condition(name="boards", ok=boards.in_sync, serving=True, detail=detail)]
