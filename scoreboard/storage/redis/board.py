"""Board in Redis: the sorted set of the specification, and keys beside it for players, state, changes and history.

For the board ``global``: ``leaderboard:global`` is the ranking (member: user id, score: `standings.sort_score`).
``{leaderboard:global}:players`` holds ``<version>|<record>`` for each known player. ``{leaderboard:global}:state`` holds the
epoch, the seq, the position and the run on which the epoch began (``origin``). These names put all keys in one cluster slot. The
state also names the owner and the number of players, so the board of another ledger, and one that has lost a key, is not read
(`scripts/readable.lua`). Each change is published (board_messages.py).
``{leaderboard:global}:history`` holds the last 1,024 changes of the epoch, one entry for each seq.

A set is one step of the board: each previous rank is that before the step, and each rank is that after the whole step. So the
ranks of one batch never contradict each other, and a receipt has the rank that a reader of the board at that seq sees.
"""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from typing import Any, Final

from twisted.internet.defer import Deferred, DeferredList
from twisted.internet.interfaces import IReactorTime
from twisted.python.failure import Failure
from typing_extensions import override

from scoreboard.boundaries.board import Board
from scoreboard.domain.actions import Receipt
from scoreboard.domain.board_pages import Around, Page, PlayerRank, RankRange, View
from scoreboard.domain.board_state import BoardState, History, Placement, Projection
from scoreboard.domain.boards import BoardBucket
from scoreboard.domain.cursor import Cursor
from scoreboard.domain.errors import StaleBoard
from scoreboard.domain.events import ScoreChanged
from scoreboard.domain.judgement import Award
from scoreboard.domain.standings import Standing
from scoreboard.storage.redis import board_records as records
from scoreboard.storage.redis.batcher import Batcher
from scoreboard.storage.redis.board_messages import CHANNEL, BoardMessages
from scoreboard.storage.redis.client import RedisClient, Script, script
from scoreboard.storage.redis.protocol import Argument, RedisUnavailable

_SET, _READ_VIEWS, _RANKS = script("readable", "set"), script("readable", "read_views"), script("readable", "ranks")
_SINCE, _DIGEST, _STATE_OF = script("readable", "since"), script("readable", "digest"), script("state")
_BEGIN, _ADVANCE, _SWAP_IN, _WRITE_CACHES = script("begin"), script("advance"), script("swap_in"), script("write_caches")
_LOCK, _EXPIRE = script("lock"), script("expire")

#: Lua unpacks a batch onto its stack, which has 8,000 slots.
_STANDINGS_PER_CALL_MAX: Final = 512
#: The year 2286 in milliseconds: no ledger gives out such an epoch.
_EPOCHS_END: Final = 10**13
_CHANGES_PUBLISHED_MAX: Final = 256
_STEPS_KEPT_MAX: Final = 1_024
#: A client that missed more than this gets a snapshot, which is shorter.
_MISSED_BYTES_MAX: Final = 65_536
_RANKS_PER_CALL_MAX: Final = 256
#: The keys of a new board that was never put in place end by themselves.
_UNUSED_LIFE_S: Final = 600
#: How many calls of a rebuild wait for Redis at a time. They take about 15 ms of one reactor turn. With more, other work would
#: wait too long; with fewer, the rebuild would be too slow when the reactor is busy.
_WRITES_UNDER_WAY_MAX: Final = 8
#: A write of a rebuild may take longer than a call for which a client waits.
_WRITE_MS_MAX: Final = 3_000


class RedisBoard(Board):
    """One bucket of a board, for one process. The boards of a process share their ``messages``."""

    def __init__(
        self,
        bucket: BoardBucket,
        client: RedisClient,
        reactor: IReactorTime,
        now_ms: Callable[[], int],
        messages: BoardMessages | None = None,
    ) -> None:
        self.bucket = bucket
        ranking = f"leaderboard:{bucket.key}"
        #: The begin of the other names, which puts their keys in the ranking's cluster slot.
        self._prefix = f"{{{ranking}}}:"
        self._board_keys = (ranking, self._prefix + "players", self._prefix + "state")
        self._step_keys = (*self._board_keys, self._prefix + "history")
        self._client = client
        self.owner = ""
        self._now_ms = now_ms
        self._messages = messages or BoardMessages(client)
        self._source = self._messages.source
        self._published = (CHANNEL, self._messages.source_of(bucket))
        self._rank_calls: Batcher[tuple[str, Deferred[PlayerRank]]] = Batcher(
            reactor, client.meter, self._ask_ranks, _RANKS_PER_CALL_MAX
        )

    @override
    async def set(self, standings: Sequence[Standing], *, overwrite: bool = False) -> Projection:
        placements: list[Placement] = []
        for some in _cut(standings) if standings else [standings]:
            arguments: list[Argument] = [*self._published, int(overwrite), _CHANGES_PUBLISHED_MAX, _STEPS_KEPT_MAX]
            for one in some:
                arguments += (one.user_id, one.version, records.written_score_of(one))
                arguments += (records.written_record(one), records.written_news(one))
            cursor, total, rest = await self._ask(_SET, self._step_keys, arguments)
            placements += [
                Placement(rank=rank or None, previous_rank=previous or None, applied=applied == 1, overtaken=overtaken == 1)
                for rank, previous, applied, overtaken in _grouped(rest, 4)
            ]
        return Projection(cursor=cursor, total=total, placements=tuple(placements))

    @override
    async def state(self) -> BoardState | None:
        reply = await self._client.run(_STATE_OF, self._board_keys, [])
        if not reply:
            return None
        epoch, seq, position, epoch_run, owner, expected_ranked, ranked, expected_players, players, followed_s_ago = reply
        readable = epoch.isdigit() and seq.isdigit() and int(epoch) < _EPOCHS_END
        return BoardState(
            cursor=Cursor(epoch=int(epoch), seq=int(seq)) if readable else Cursor(epoch=0, seq=0),
            position=position.decode(errors="replace"),
            epoch_run=epoch_run.decode(errors="replace"),
            run=self._client.run_id,
            owner=owner.decode(errors="replace"),
            ranked=max(0, ranked),
            players=max(0, players),
            damage=(
                _damage(expected_ranked, ranked, "ranked")
                or _damage(expected_players, players, "known")
                or ("" if readable else "its epoch or seq cannot be read")
            ),
            followed_s_ago=max(0, followed_s_ago),
        )

    @override
    def run(self) -> str:
        return self._client.run_id

    @override
    async def begin(self, epoch: int) -> None:
        if not await self._run(_BEGIN, self._step_keys, [*self._published, epoch, self._client.run_id]):
            raise StaleBoard("a newer epoch has begun")

    @override
    async def advance(self, epoch: int, position: str) -> None:
        if not await self._run(_ADVANCE, [self._board_keys[-1]], [epoch, position]):
            raise StaleBoard("another epoch has begun")

    @override
    async def rebuild(self, epoch: int, standings: AsyncIterator[Sequence[Standing]], position: str) -> int:
        seen = await self.state()
        new = [f"{self._prefix}new:{self._source}:{epoch}:{key_part}" for key_part in ("ranking", "players")]
        run = self._client.run_id
        added: list[tuple[int, int]] = []
        under_way: deque[Deferred[Any]] = deque()
        async for page in standings:
            for some in _cut(page):
                under_way.append(self._write_aside(new, some))
                if len(under_way) > _WRITES_UNDER_WAY_MAX:
                    added.append(_added(await under_way.popleft()))
        added += [_added(await answers) for answers in under_way]
        ranked, players = sum(one[0] for one in added), sum(one[1] for one in added)
        if self._client.run_id != run:
            raise StaleBoard("Redis was restarted during the rebuild")
        there = ("", "") if seen is None else (seen.cursor.epoch, seen.owner)
        swap = [*self._published, epoch, self._client.run_id, position, *there, ranked, players]
        if not await self._run(_SWAP_IN, [*self._step_keys, *new], swap):
            raise StaleBoard("another board was put in its place meanwhile, or a part of the new one was lost")
        return ranked

    @override
    async def read_views(self, views: Sequence[View]) -> list[Page]:
        asked: list[Argument] = []
        for view in views:
            match view:
                case RankRange(offset=offset, limit=limit):
                    asked += ("at", offset, limit)
                case Around(user_id=user_id, rows=rows):
                    asked += ("around", user_id, rows)
        cursor, total, found = await self._ask(_READ_VIEWS, self._board_keys, asked)
        return [self._read_page(cursor, total, above, rest) for above, *rest in found]

    @override
    async def since(self, cursor: Cursor, limit: int) -> History:
        asked = [cursor.epoch, cursor.seq, limit, _MISSED_BYTES_MAX]
        now, total, (steps, *rest) = await self._ask(_SINCE, self._step_keys, asked)
        return History(page=self._read_page(now, total, 0, rest), changes=None if steps is None else records.read_steps(steps))

    @override
    async def rank_of(self, user_id: str) -> PlayerRank:
        player_rank: Deferred[PlayerRank] = Deferred()
        self._rank_calls.add((user_id, player_rank))
        return await player_rank

    @override
    async def totals_of(self, user_ids: Sequence[str]) -> list[tuple[int, int] | None]:
        found: list[tuple[int, int] | None] = []
        for some in _cut(user_ids):
            _, _, rest = await self._ask(_RANKS, self._board_keys, some)
            found += [records.read_total(*one) for one in _grouped(rest, 3)]
        return found

    @override
    async def differing(self, standings: Sequence[Standing]) -> list[tuple[Standing, int]]:
        if not standings:
            return []
        user_ids = [one.user_id for one in standings]
        _, _, (digest,) = await self._ask(_DIGEST, self._board_keys, user_ids)
        if digest.decode() == records.digest_of(standings):
            return []
        _, _, rest = await self._ask(_RANKS, self._board_keys, user_ids)
        found = [
            (written_score and float(written_score), records.read_version(value)) for _, written_score, value in _grouped(rest, 3)
        ]
        return [
            (one, version)
            for one, (score, version) in zip(standings, found, strict=True)
            if (score, version) != (records.sort_score_of(one), one.version)
        ]

    @override
    async def lock(self, what: str, life_ms: int) -> bool:
        return bool(await self._client.run(_LOCK, [self._prefix + what], [self._source, life_ms]))

    @override
    async def write_caches(self, receipts: Sequence[tuple[Award, Receipt]]) -> None:
        keys: list[str] = []
        arguments: list[Argument] = []
        for award, receipt in receipts:
            claim = award.claim
            keys += ("action:" + claim.grant.action_id, "user:score:" + award.user_id)
            arguments += (receipt.total, receipt.rank or "", records.written_time(claim.at_ms))
        self._client.tell(_WRITE_CACHES, keys, arguments)

    @override
    def listen(
        self, on_changes: Callable[[Cursor, Sequence[ScoreChanged]], None], missed: Callable[[], None] = lambda: None
    ) -> None:
        self._messages.listen(self.bucket, on_changes, missed)

    @override
    def ignore(self) -> None:
        self._messages.ignore(self.bucket)

    @override
    async def expire(self, life_ms: int) -> None:
        await self._client.run(_EXPIRE, self._step_keys, [life_ms])

    @override
    async def ping(self) -> None:
        await self._client.ping()

    def _read_page(self, cursor: Cursor, total: int, offset: int, rest: list[Any]) -> Page:
        rows = tuple([records.read_row(rank, *found) for rank, found in enumerate(_grouped(rest, 3), offset + 1)])
        return Page(cursor=cursor, total=total, rows=rows, read_at_ms=self._now_ms())

    def _write_aside(self, new: Sequence[str], some: Sequence[Standing]) -> Deferred[Any]:
        ranked: list[Argument] = []
        values: list[Argument] = []
        for one in some:
            values += (one.user_id, b"%d|%b" % (one.version, records.written_record(one)))
            if one.reached_at_ms is not None:
                ranked += (records.written_score_of(one), one.user_id)
        commands: list[tuple[Argument, ...]] = [("HSET", new[1], *values), ("EXPIRE", new[1], _UNUSED_LIFE_S)]
        if ranked:
            commands += [("ZADD", new[0], *ranked), ("EXPIRE", new[0], _UNUSED_LIFE_S)]
        return DeferredList([self._client.call(*words, deadline_ms=_WRITE_MS_MAX) for words in commands], consumeErrors=True)

    def _run(self, what: Script, keys: Sequence[str], arguments: Sequence[Argument]) -> Deferred[Any]:
        """A script's reply. Raises StaleBoard if a key of the board has another type than it should."""

        def wrong_type(failure: Failure) -> Failure:
            if isinstance(failure.value, RedisUnavailable) and failure.value.kind == "WRONGTYPE":
                raise StaleBoard("a key of the board has another type")
            return failure

        return self._client.run(what, keys, [self.owner, *arguments]).addErrback(wrong_type)

    async def _ask(self, what: Script, keys: Sequence[str], arguments: Sequence[Argument]) -> tuple[Cursor, int, list[Any]]:
        return _opened(await self._run(what, keys, arguments))

    def _ask_ranks(self, calls: list[tuple[str, Deferred[PlayerRank]]]) -> Deferred[Any]:
        answer = self._run(_RANKS, self._board_keys, [user_id for user_id, _ in calls])

        def answered(reply: list[Any]) -> None:
            cursor, total, rest = _opened(reply)
            for (_, player_rank), found in zip(calls, _grouped(rest, 3), strict=True):
                player_rank.callback(records.read_rank(cursor, total, *found))

        def failed(failure: Failure) -> None:
            for _, player_rank in calls:
                if not player_rank.called:
                    player_rank.errback(failure)

        return answer.addCallback(answered).addErrback(failed)


def _added(answers: list[tuple[bool, Any]]) -> tuple[int, int]:
    """The number of players that a write added to the ranking, and to all players. Raises the error of a failed command."""
    for done, answer in answers:
        if not done:
            answer.raiseException()
    in_all, _, *on_board = [answer for _, answer in answers]
    return sum(on_board[:1]), in_all


def _cut(whole: Sequence[Any]) -> Iterator[Sequence[Any]]:
    for at in range(0, len(whole), _STANDINGS_PER_CALL_MAX):
        yield whole[at : at + _STANDINGS_PER_CALL_MAX]


def _grouped(values: Sequence[Any], size: int) -> Iterator[tuple[Any, ...]]:
    """The values of a flat reply, ``size`` at a time."""
    return zip(*[iter(values)] * size, strict=True)


def _damage(expected: int, found: int, of_players: str) -> str:
    """What is wrong with a number of players, "" for nothing."""
    if expected == found:
        return ""
    return f"{max(0, found):,} players are {of_players} there, and it should be {max(0, expected):,}"


def _opened(reply: list[Any]) -> tuple[Cursor, int, list[Any]]:
    """(cursor, players on the board, the rest) of a script's reply. Raises StaleBoard for an empty one."""
    if not reply:
        raise StaleBoard("there is no board, or it is another ledger's, or a part of it was lost")
    return Cursor(epoch=reply[0], seq=reply[1]), reply[2], reply[3:]
