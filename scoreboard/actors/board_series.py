"""Series of a board: its buckets over time, and the ones that this process follows now.

The present bucket is the one of the ledger's clock, at each call anew, so it ends for everyone at the same instant. The next one
is opened some seconds before it begins. A bucket that is over is followed for two more minutes, because awards judged in
it may be committed late; then its keys in Redis get an end. A closed bucket that a client reads is opened again for two minutes:
if its keys are gone, it is built anew from the ledger. If we stop anywhere, the next start opens what it needs.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from scoreboard.actors.open_bucket import OpenBucket
from scoreboard.actors.ranking import LAGGING_S_MAX, Ranking
from scoreboard.background import Loop, run_in_background
from scoreboard.boundaries.health import Meter
from scoreboard.domain.actions import BoardRank
from scoreboard.domain.boards import BoardBucket, FedBoard
from scoreboard.domain.errors import StaleBoard, StoreUnavailable
from scoreboard.domain.judgement import Award, board_standings_of
from scoreboard.domain.periods import Bucket, bucket_at

STEP_S: Final = 1.0
#: How long before its begin a bucket is opened.
AHEAD_MS: Final = 5_000
#: How long a bucket is followed after its end, or after the last read of it.
FOLLOWED_MS: Final = 120_000
#: Buckets of a board that are open at a time. Most are closed ones that clients read: these cost a look at Redis a second.
FOLLOWED_MAX: Final = 32
#: Closed buckets of a board that are compared with the ledger at a time, before their first answer from Redis.
OPENING_MAX: Final = 4
#: The keys of a closed bucket live at least this long once it is followed no more, and at most this long.
LIFE_MS_MIN: Final = 600_000
LIFE_MS_MAX: Final = 400 * 86_400_000
#: How long the keys of a removed board stay: another process may still write them.
DROPPED_MS: Final = 60_000


class BoardSeries:
    """The buckets of one board.

    ``open_bucket`` makes one that is not started, from its key and from what says whether it may still get awards. ``now_ms`` is
    the ledger's clock.
    """

    _log = Logger()

    def __init__(
        self,
        fed: FedBoard,
        *,
        open_bucket: Callable[[BoardBucket, Callable[[], bool]], OpenBucket],
        clock: IReactorTime,
        now_ms: Callable[[], int],
        meter: Meter,
    ) -> None:
        self.fed = fed
        self._open_bucket = open_bucket
        self._now_ms = now_ms
        self._meter = meter
        #: The buckets that are followed, by name, and until when at least.
        self._followed: dict[str, tuple[OpenBucket, Bucket, int]] = {}
        self._loop = Loop("board_series", self._step, STEP_S, clock=clock, meter=meter)

    async def start(self) -> None:
        """Open the present bucket, and those that follow it in time."""
        self._loop.start(now=True)

    async def stop(self) -> None:
        """Follow no bucket any more."""
        self._loop.stop()
        for name in list(self._followed):
            await self._close(name)

    async def drop(self) -> None:
        """Let the keys of a removed board go away: of its present bucket, and of the closed ones that are kept."""
        now_ms, definition = self._now_ms(), self.fed.definition
        present = bucket_at(definition.period, now_ms)
        for bucket in (*([] if present is None else [present]), *definition.period.closed_before(now_ms, definition.keep_closed)):
            opened = self._open(bucket)
            opened.board.ignore()
            try:
                await opened.board.expire(DROPPED_MS)
            except StoreUnavailable as trouble:
                self._log.debug("a bucket keeps its keys: {trouble}", trouble=str(trouble))
                return

    def catch_up_soon(self) -> None:
        """Bring each bucket that is followed in sync with the ledger, without waiting for the end."""
        for opened in self.followed:
            opened.projector.catch_up_soon()

    @property
    def present(self) -> Bucket | None:
        """The bucket of this moment, None between two seasons."""
        return bucket_at(self.fed.definition.period, self._now_ms())

    @property
    def in_sync(self) -> bool:
        """Whether each bucket that has begun and may get awards has been like the ledger within the last two seconds."""
        now_ms = self._now_ms()
        return all(
            opened.projector.has_followed and opened.projector.lagging_s <= LAGGING_S_MAX
            for opened, bucket, _ in self._followed.values()
            if bucket.begins_ms <= now_ms and not _is_settled(bucket, now_ms)
        )

    @property
    def followed(self) -> list[OpenBucket]:
        """The buckets that are followed now."""
        return [opened for opened, _, _ in self._followed.values()]

    def ranking(self, name: str | None = None) -> Ranking | None:
        """The reads of a bucket, the present one if it is not named. None: it does not exist, or is not kept (any more).

        Raises StoreUnavailable if too many buckets are being opened, or are open and cannot be let go.
        """
        now_ms = self._now_ms()
        bucket = self.present if name is None else self.fed.definition.period.bucket_named(name)
        if bucket is None or bucket.begins_ms > now_ms:
            return None
        if bucket.name not in self._followed and now_ms not in bucket:
            kept = self.fed.definition.period.closed_before(now_ms, self.fed.definition.keep_closed)
            if not kept or bucket.begins_ms < kept[-1].begins_ms:
                return None
            self._make_room(now_ms)
        return self._follow(bucket, now_ms + FOLLOWED_MS).ranking

    def _make_room(self, now_ms: int) -> None:
        """Let the closed bucket go whose last read is the longest ago, if too many are open. Raises StoreUnavailable."""
        if sum(not one.projector.has_followed for one in self.followed) >= OPENING_MAX:
            raise StoreUnavailable("others are being opened")
        if len(self._followed) < FOLLOWED_MAX:
            return
        settled = [(until_ms, name) for name, (_, bucket, until_ms) in self._followed.items() if _is_settled(bucket, now_ms)]
        if not settled:
            raise StoreUnavailable("too many buckets are open")
        run_in_background("board_series", self._close(min(settled)[1], now_ms), self._meter)

    async def project(self, awards: Sequence[Award]) -> list[tuple[str, BoardRank]]:
        """Set what a batch changed here. Returns (user id, rank) for each player and bucket that could be set now."""
        ranks: list[tuple[str, BoardRank]] = []
        for bucket, standings in board_standings_of(awards, self.fed.number).items():
            followed = self._followed.get(bucket.bucket)
            if followed is None:  # it ended long ago: a later read of it follows the ledger
                continue
            for user_id, placement in (await followed[0].projector.set_standings(standings)).items():
                if placement.rank is not None:  # None: a reset took the player off since
                    rank = BoardRank(
                        board_id=bucket.board_id, bucket=bucket.bucket, rank=placement.rank, previous_rank=placement.previous_rank
                    )
                    ranks.append((user_id, rank))
        return ranks

    async def _step(self) -> None:
        now_ms = self._now_ms()
        for at_ms in (now_ms, now_ms + AHEAD_MS):
            bucket = bucket_at(self.fed.definition.period, at_ms)
            if bucket is not None:
                self._follow(bucket, (bucket.ends_ms or now_ms) + FOLLOWED_MS)
        for name, (_, _, until_ms) in list(self._followed.items()):
            if until_ms < now_ms:
                await self._close(name, now_ms)

    def _follow(self, bucket: Bucket, until_ms: int) -> OpenBucket:
        followed = self._followed.get(bucket.name)
        if followed is None:
            opened = self._open(bucket)
            run_in_background("board_series", opened.start(), self._meter)
        else:
            opened, _, earlier_ms = followed
            until_ms = max(until_ms, earlier_ms)
        self._followed[bucket.name] = opened, bucket, until_ms
        return opened

    async def _close(self, name: str, now_ms: int | None = None) -> None:
        opened, bucket, _ = self._followed.pop(name)
        await opened.stop()
        if now_ms is None or bucket.ends_ms is None:
            return
        life_ms = self.fed.definition.keep_closed * (bucket.ends_ms - bucket.begins_ms)
        try:
            await opened.board.expire(min(LIFE_MS_MAX, max(LIFE_MS_MIN, bucket.ends_ms + life_ms - now_ms)))
        except (StoreUnavailable, StaleBoard) as trouble:  # then the keys stay, until the bucket is read and closed again
            self._log.debug("a bucket keeps its keys: {trouble}", trouble=str(trouble))

    def _open(self, bucket: Bucket) -> OpenBucket:
        def may_change() -> bool:
            now = self.fed.definition.period.bucket_named(bucket.name)  # the end of a season may have been moved
            return now is not None and not _is_settled(now, self._now_ms())

        return self._open_bucket(self.fed.definition.key_of(bucket), may_change)


def _is_settled(bucket: Bucket, now_ms: int) -> bool:
    """Whether a bucket has been over for so long that it gets no more awards."""
    return bucket.ends_ms is not None and bucket.ends_ms + FOLLOWED_MS < now_ms
