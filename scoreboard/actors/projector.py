"""Projector: sets the ledger's totals on the board, and rebuilds the board whenever the two may differ.

It has two states. *Lagging*: awards are answered without ranks. *In sync*: the totals of each batch are set when it is committed.
It starts lagging. `catch_up` leads to in sync: `board_diagnosis.diagnose` decides whether to follow, to begin a new epoch first,
to rebuild, or to refuse a board that is not ours. *Follow* means two steps: set the totals that changed since the board's
position in the ledger's order of commits; then store the new position. So each commit, by any process, is on the board within
two seconds. Setting the same total twice changes nothing (docs/architecture.md). Any failure leads back to lagging. If we stop
between a commit and the board, the position is before the commit, and the process that follows next sets its totals.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from typing import Final

from twisted.internet.defer import Deferred, DeferredLock
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.internet.task import deferLater
from twisted.logger import Logger

from scoreboard.actors.board_diagnosis import Diagnosis, diagnose, owner_of
from scoreboard.actors.board_writer import BoardWriter, OnChanges
from scoreboard.actors.ranking import LAGGING_S_MAX
from scoreboard.actors.rebuild import rebuild
from scoreboard.background import Loop, run_in_background
from scoreboard.boundaries.board import Board
from scoreboard.boundaries.board_ledger import BoardLedger
from scoreboard.boundaries.health import Meter
from scoreboard.domain.actions import Receipt
from scoreboard.domain.board_state import BoardState, Placement
from scoreboard.domain.cursor import Cursor
from scoreboard.domain.errors import DamagedBoard, LedgerWentBack, StaleBoard, StoreUnavailable
from scoreboard.domain.judgement import Award, standings_of, unplaced
from scoreboard.domain.standings import Standing
from scoreboard.failpoints import Failpoint, no_failpoint

#: How often the board's state is read. Every second time the ledger is followed as well.
POLL_S: Final = 1.0
POLLS_PER_FOLLOW: Final = 2
#: How often the ledger notes that a server follows it on this run of Redis.
NOTE_FOLLOWED_S: Final = 10.0
#: How soon a lagging projector tries again. A reconnect of the store makes it try at once as well.
RETRY_S: Final = 0.5
#: Extra seconds after LAGGING_S_MAX before the ranking forgets its reads. So even an inexact timer fires after that moment.
FORGET_S: Final = 0.05
#: The seconds after which the same problem is logged again.
LOG_AGAIN_S: Final = 60.0
REBUILD_LOCK_MS: Final = 5_000
BEGIN_LOCK_MS: Final = 1_000
_FAULT: Final = "a fault of the server; the log has its traceback"


class Projector:
    """Sets the totals of awards on the board.

    ``on_changes`` is called with each cursor that the board reaches and with the changes of players that were set.
    ``note_ledger_ahead`` is called when the ledger has what could not be set on the board. ``store_is_shared`` says that other
    ledgers may have their boards in the same store. While ``may_change`` is false the board gets no more awards: then the ledger
    is not followed, and only the board is looked at. Projectors that share a ``rebuild_turn`` rebuild one after the other: Redis
    then needs room for one board more, and a rebuild that fails costs the others nothing.
    """

    _log = Logger()

    def __init__(
        self,
        *,
        ledger: BoardLedger,
        board: Board,
        clock: IReactorTime,
        on_changes: OnChanges,
        note_ledger_ahead: Callable[[], None] = lambda: None,
        meter: Meter,
        store_is_shared: bool = False,
        may_change: Callable[[], bool] = lambda: True,
        rebuild_turn: DeferredLock | None = None,
        failpoint: Failpoint = no_failpoint,
    ) -> None:
        self._ledger = ledger
        self._board = board
        self._name = board.bucket.key
        self._clock = clock
        self._on_changes = on_changes
        self._note_ledger_ahead = note_ledger_ahead
        self._meter = meter
        self._store_is_shared = store_is_shared
        self._may_change = may_change
        self._rebuild_turn = rebuild_turn or DeferredLock()
        self._failpoint = failpoint
        self._lagging_since_s: float | None = clock.seconds()
        self._has_followed = False
        self._refused = ""
        self._logged_s = -LOG_AGAIN_S
        self._catching_up: Deferred[None] | None = None
        self._again = False
        self._stopped = False
        self._polls = 0
        self._noted_s = -NOTE_FOLLOWED_S
        self._must_rebuild = ""
        self._writer = BoardWriter(ledger=ledger, board=board, clock=clock, on_changes=on_changes)
        self._retrying: IDelayedCall | None = None
        #: The timer after which the ranking forgets what it read before the board began to lag.
        self._forgetting: IDelayedCall | None = None
        self._logged = ""
        self._loop = Loop("projector", self._poll, POLL_S, clock=clock, meter=meter, on_failure=self._note_fault)

    @property
    def in_sync(self) -> bool:
        """Whether the board follows the ledger, as far as we know."""
        return self._lagging_since_s is None

    @property
    def has_followed(self) -> bool:
        """Whether the board was like the ledger once, since this process opened it."""
        return self._has_followed

    @property
    def lagging_s(self) -> float:
        """For how many seconds the board has not followed the ledger; 0.0 while it does."""
        return 0.0 if self._lagging_since_s is None else self._clock.seconds() - self._lagging_since_s

    @property
    def condition(self) -> str:
        """Why the board does not follow the ledger, as anyone may read it; "" while it follows."""
        if self.in_sync:
            return ""
        return self._refused or "The board does not follow the ledger; reads come from the ledger"

    async def start(self) -> None:
        """Begin to catch up and to follow. Waits for no store."""
        self._forget_reads_later()
        self._loop.start(now=True)

    async def stop(self) -> None:
        """Stop following, and wait for the end of a catch-up that is under way."""
        self._stopped = True
        self._loop.stop()
        _cancel(self._retrying)
        _cancel(self._forgetting)
        if self._catching_up is not None:
            await _joined(self._catching_up)

    async def project(self, awards: Sequence[Award]) -> dict[str, Receipt]:
        """Set the totals of a committed batch. Returns receipts with ranks by action id; none if the board cannot be set now."""
        placements = await self.set_standings(standings_of(awards))
        if not placements:
            return {}
        receipts = [(award, _receipt(award, placements[award.user_id])) for award in awards]
        await self._board.write_caches(receipts)
        return {award.claim.grant.action_id: receipt for award, receipt in receipts}

    async def set_standings(self, standings: Sequence[Standing]) -> dict[str, Placement]:
        """Set standings of a committed batch. Returns their placements by user id; none if the board cannot be set now."""
        if not self.in_sync:
            self._note_ledger_ahead()
            return {}
        try:
            placements = (await self._writer.write(standings)).placements
        except (StoreUnavailable, StaleBoard) as trouble:
            self._fall_behind(str(trouble))
            self._note_ledger_ahead()
            return {}
        self._failpoint("projected")
        by_user = {standing.user_id: placement for standing, placement in zip(standings, placements, strict=True)}
        overtaken = [user_id for user_id, placement in by_user.items() if placement.overtaken]
        if overtaken:
            run_in_background("projector", self._compare_if_possible(overtaken), self._meter)
        return by_user

    async def catch_up(self) -> None:
        """Bring the board in sync with the ledger. A store that does not answer is tried again soon; only a fault of ours raises.

        A call while another is under way waits for that one, which then runs once more. After a stop it does nothing.
        """
        if self._stopped:
            return
        if self._catching_up is not None:
            self._again = True
            await _joined(self._catching_up)
            return
        self._catching_up = Deferred()
        try:
            self._again = True
            while self._again:
                self._again = False
                await self._catch_up()
        except (StoreUnavailable, StaleBoard) as trouble:
            self._fall_behind(str(trouble))
        except Exception:
            self._fall_behind(_FAULT)
            raise
        finally:
            done, self._catching_up = self._catching_up, None
            done.callback(None)

    def check_soon(self, trouble: StaleBoard | None = None) -> None:
        """Check the board now, not within a second: a reader found it lost, damaged or not ours."""
        if isinstance(trouble, DamagedBoard):
            self._must_rebuild = str(trouble)
        if self.in_sync and self._catching_up is None:
            self.catch_up_soon()

    def catch_up_soon(self) -> None:
        """Begin to catch up, without waiting for its end."""
        run_in_background("projector", self.catch_up(), self._meter)

    async def rebuild_because(self, reason: str) -> None:
        """Rebuild the board, whatever its state says."""
        self._must_rebuild = reason
        await self.catch_up()

    async def _catch_up(self) -> None:
        ledger = await self._ledger.state()
        self._board.owner = owner_of(ledger)
        board = await self._board.state()
        diagnosis = diagnose(board, ledger, store_is_shared=self._store_is_shared)
        if self._must_rebuild and diagnosis.action != "refuse":
            diagnosis = Diagnosis(action="rebuild", reason=self._must_rebuild)
        match diagnosis.action:
            case "refuse":
                self._again = False
                self._fall_behind(diagnosis.reason, diagnosis.kind)
                return
            case "rebuild":
                self._lag()
                await self._rebuild_turn.acquire()
                try:
                    await self._rebuild(board, diagnosis.reason)
                finally:
                    self._rebuild_turn.release()
            case "begin":
                assert board is not None, "an epoch begins on a board"
                await self._begin(board.run)
        if diagnosis.action != "follow":
            board = await self._board.state()
        if board is None:
            raise StaleBoard("the board was lost")
        try:
            await self._follow(board)
        except LedgerWentBack as proof:
            self._meter.count("ledger_went_back_total")
            self._must_rebuild, self._again = f"the ledger went back: {proof}", True

    async def _begin(self, run: str) -> None:
        """Begin a new epoch on a run of Redis. The lock shows that this run takes writes, before SQL names it as the newest.

        After a failover the old master answers for a moment as a replica of the new one. Without the lock, a server that is still
        connected to the old master would begin an epoch on its run, and no server could set the board until it was long silent.
        """
        if not await self._board.lock("begin", BEGIN_LOCK_MS):
            raise StaleBoard("another server begins an epoch")
        await self._board.begin(await self._ledger.next_epoch(run))
        await self._board.lock("begin", 0)

    async def _follow(self, board: BoardState) -> None:
        epoch = board.cursor.epoch
        self._writer.enter(epoch)
        position = await self._writer.follow(epoch, board.position)
        if not self.in_sync:
            # From here on `project` sets new batches. Following the ledger once more sets the awards that were committed before.
            self._in_sync()
            await self._writer.follow(epoch, position)
        self._on_changes(board.cursor, ())
        if self._clock.seconds() - self._noted_s >= NOTE_FOLLOWED_S:
            self._noted_s = self._clock.seconds()
            await self._ledger.note_followed(board.run)

    async def _rebuild(self, board: BoardState | None, reason: str) -> None:
        if self._stopped:
            raise StaleBoard("the server stops")
        if not await self._board.lock("rebuild", REBUILD_LOCK_MS):
            raise StaleBoard(f"another server rebuilds the board: {reason}")
        self._lag()
        if board is None and not self._has_followed:  # usual at the first start with this Redis
            self._log.debug("the board {board} is built for the first time: {reason} yet", board=self._name, reason=reason)
        else:
            self._log_trouble(f"it is being rebuilt, because {reason}")
            self._meter.count("board_rebuilds_total")
        keep = Loop("rebuild_lock", self._keep_lock, REBUILD_LOCK_MS / 3000, clock=self._clock, meter=self._meter)
        keep.start()
        try:
            epoch, ranked = await rebuild(self._ledger, self._board, board, partial(deferLater, self._clock))
        finally:
            keep.stop()
        self._must_rebuild = ""
        await self._board.lock("rebuild", 0)
        self._on_changes(Cursor(epoch=epoch, seq=0), ())
        text = "the board {board} was built: {ranked} players, epoch {epoch}"
        self._log.info(text, board=self._name, ranked=ranked, epoch=epoch)

    async def _keep_lock(self) -> None:
        with suppress(StoreUnavailable):  # another server may then begin to rebuild as well, which does no harm
            await self._board.lock("rebuild", REBUILD_LOCK_MS)

    async def overwrite(self, standings: Sequence[Standing]) -> None:
        """Set what the board should have of these players, also where it has another total of the same version."""
        await self._writer.write(standings, overwrite=True)

    async def compare(self, user_ids: Sequence[str]) -> None:
        """Rebuild a board that is ahead of the ledger, unless another process has only set a later award."""
        totals = await self._board.totals_of(user_ids)
        accounts = {one.user_id: one for one in await self._ledger.accounts_of(user_ids)}
        for user_id, there in zip(user_ids, totals, strict=True):
            if there is None:
                continue
            account, (points, version) = accounts.get(user_id), there
            if account is None or version > account.version or (version == account.version and points != account.points):
                self._meter.count("ledger_went_back_total")
                await self.rebuild_because(f"the ledger went back: the board has more of {user_id} than the ledger")
                return

    async def _compare_if_possible(self, user_ids: Sequence[str]) -> None:
        try:
            await self.compare(user_ids)
        except (StoreUnavailable, StaleBoard) as trouble:
            self._log.warn("the board {board} could not be compared: {trouble}", board=self._name, trouble=str(trouble))

    def _in_sync(self) -> None:
        self._has_followed = True
        self._lagging_since_s, self._logged_s = None, -LOG_AGAIN_S
        _cancel(self._forgetting)
        self._meter.gauge("board_in_sync", 1)

    def _lag(self) -> None:
        if self._lagging_since_s is None:
            self._lagging_since_s = self._clock.seconds()
            self._forget_reads_later()
        self._meter.gauge("board_in_sync", 0)

    def _forget_reads_later(self) -> None:
        """Once the ledger answers reads, the ranking must not return what it read from the board before."""
        self._forgetting = self._clock.callLater(LAGGING_S_MAX + FORGET_S, self._note_ledger_ahead)

    def _fall_behind(self, trouble: str, refused: str = "") -> None:
        """Begin to lag. ``refused`` is what anyone may read of the trouble, if the board is not ours."""
        self._lag()
        self._refused = refused
        if refused:
            self._meter.count("board_refused_total")
        self._log_trouble(trouble, error=bool(refused))
        if self._retrying is None and not self._stopped:
            self._retrying = self._clock.callLater(RETRY_S, self._retry)

    def _log_trouble(self, text: str, error: bool = False) -> None:
        """Log a trouble once, and the same again only after a minute."""
        now_s = self._clock.seconds()
        if text != self._logged or now_s - self._logged_s >= LOG_AGAIN_S:
            self._logged, self._logged_s = text, now_s
            write = self._log.error if error else self._log.warn
            write("the board {board} does not follow the ledger: {trouble}", board=self._name, trouble=text)

    def _retry(self) -> None:
        self._retrying = None
        if not self.in_sync and self._catching_up is None and self._loop.running:
            self.catch_up_soon()

    async def _poll(self) -> None:
        self._polls += 1
        if self.in_sync and (self._polls % POLLS_PER_FOLLOW or not self._may_change()):
            await self._poll_board()
        elif self._catching_up is None:
            await self.catch_up()
        if not self.in_sync:
            self._note_ledger_ahead()

    def _note_fault(self) -> None:
        self._fall_behind(_FAULT)
        self._note_ledger_ahead()

    async def _poll_board(self) -> None:
        """Notice that the board was lost, damaged or replaced, or that changes by other processes did not reach us."""
        try:
            board = await self._board.state()
        except (StoreUnavailable, StaleBoard) as trouble:
            self._fall_behind(str(trouble))
            return
        ours = board is not None and (board.owner, board.cursor.epoch) == (self._board.owner, self._writer.epoch)
        if board is None or not ours or board.damage or board.epoch_run != board.run:
            await self.catch_up()
        else:
            self._on_changes(board.cursor, ())


def _receipt(award: Award, placement: Placement) -> Receipt:
    if placement.rank is None:  # a reset took the player off the board after the commit
        return unplaced(award)
    return Receipt(points=award.points, total=award.score_after, rank=placement.rank, previous_rank=placement.previous_rank)


def _cancel(timer: IDelayedCall | None) -> None:
    if timer is not None and timer.active():
        timer.cancel()


async def _joined(under_way: Deferred[None]) -> None:
    """Wait for the end of work that another call began, which other callers may wait for as well."""
    mine: Deferred[None] = Deferred()
    under_way.chainDeferred(mine)
    await mine
