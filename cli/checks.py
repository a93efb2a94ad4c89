"""Consistency check of entries, totals and board. `replay verify` runs it, also beside a working server."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Any, Final

from cli.context import Stores
from cli.reactor import sleep
from scoreboard.boundaries.board import Board
from scoreboard.boundaries.board_ledger import BoardLedger
from scoreboard.boundaries.ledger import Ledger
from scoreboard.domain.entries import Finding
from scoreboard.domain.errors import StaleBoard, StoreUnavailable
from scoreboard.domain.standings import Standing
from scoreboard.domain.value import Value

FINDINGS_MAX: Final = 1000
_PAGE_PLAYERS_MAX: Final = 500
#: The server commits before it updates the board, so a difference is a finding only after this many reads.
_READS_MAX: Final = 4
_REREAD_S: Final = 0.5


class Report(Value, frozen=True, kw_only=True):
    """The result: at most FINDINGS_MAX findings of ``findings_total``. ``rebuilt_players`` are those of a rebuilt board."""

    players: int
    board_compared: bool
    findings_total: int
    findings: tuple[Finding, ...]
    rebuilt_players: int | None = None


class Checker:
    """One run of the check. ``clock`` times the rereads; ``on_progress`` gets the number of players checked."""

    def __init__(self, stores: Stores, clock: Any, on_progress: Callable[[int], None]) -> None:
        self._stores = stores
        self._ledger: Ledger = stores.ledger
        self._clock = clock
        self._on_progress = on_progress
        self.findings_total = 0
        self._findings: list[Finding] = []

    async def check(self) -> Report:
        """Check everything once; memory holds one page of players and the first findings."""
        await self._check_totals()
        stores = self._stores
        on_global = BoardCheck(self, stores, stores.standings, stores.board, "board", self._clock)
        players = await on_global.check(self._on_progress)
        for standings, board in await present_buckets(stores):
            if board is not None and await _is_shown(board):
                where = f"{standings.bucket.key} in Redis"
                await BoardCheck(self, stores, standings, board, where, self._clock).check(lambda _: None)
        return Report(
            players=players,
            board_compared=stores.board is not None,
            findings_total=self.findings_total,
            findings=tuple(self._findings),
        )

    def add(self, findings: Sequence[Finding]) -> None:
        """Report findings. Only the first ones are kept."""
        self.findings_total += len(findings)
        self._findings += findings[: FINDINGS_MAX - len(self._findings)]

    async def _check_totals(self) -> None:
        after: str | None = ""
        while after is not None:
            after, findings = await self._ledger.verify(after, _PAGE_PLAYERS_MAX)
            self.add(findings)


async def present_buckets(stores: Stores) -> list[tuple[BoardLedger, Board | None]]:
    """The present buckets of the other boards, in the ledger and in Redis, without boards that are being filled in."""
    now_ms, found = await stores.ledger.clock_ms(), []
    for fed in await stores.ledger.fed_boards():
        present = fed.definition.period.bucket_at(now_ms)
        if present is not None and fed.filled_through is None:
            bucket = fed.definition.key_of(present)
            found.append((stores.ledger.board(bucket), await stores.open_board(bucket)))
    return found


async def _is_shown(board: Board) -> bool:
    """Whether Redis has the board. A server makes it when it opens the bucket, and none may run."""
    try:
        return await board.state() is not None
    except StaleBoard:
        return True


class BoardCheck:
    """Compares one board in Redis (None: there is none) with what the ledger has of it. Findings go to ``checker``."""

    def __init__(
        self, checker: Checker, stores: Stores, standings: BoardLedger, board: Board | None, where: str, clock: Any
    ) -> None:
        self._checker = checker
        self._ledger: Ledger = stores.ledger
        self._standings = standings
        self._board = board
        self._board_readable = board is not None
        self._where = where
        self._clock = clock

    async def check(self, on_progress: Callable[[int], None]) -> int:
        """Compare all players; returns their number."""
        await self._check_board(self._check_state)
        players = await self._check_players(on_progress)
        await self._check_board(self._check_unknown_players)
        return players

    async def _check_board(self, check: Callable[[Board], Awaitable[None]]) -> None:
        """Run one check of the board. A board that cannot be read is one finding, and ends the checks of the board."""
        if self._board is None or not self._board_readable:
            return
        try:
            await check(self._board)
        except (StoreUnavailable, StaleBoard) as error:
            await self._ledger.ping()
            await self._board.ping()
            # Both stores answer, so it is the board in Redis that cannot be read.
            self._board_readable = False
            self._add("*", "the ledger's board", str(error))

    def _add(self, user_id: str, expected: str, found: str) -> None:
        self._checker.add([Finding(user_id=user_id, where=self._where, expected=expected, found=found)])

    async def _check_state(self, board: Board) -> None:
        if await board.state() is None:
            raise StaleBoard("there is no board in Redis")

    async def _check_players(self, on_progress: Callable[[int], None]) -> int:
        after, players = "", 0
        while page := await self._standings.accounts(after, _PAGE_PLAYERS_MAX):
            await self._check_board(partial(self._check_page, page))
            after = page[-1].user_id
            players += len(page)
            on_progress(players)
        return players

    async def _check_page(self, standings: Sequence[Standing], board: Board) -> None:
        # Once there are more findings than the report lists, waiting for awards in flight is not worth its time.
        reads_max = _READS_MAX if self._checker.findings_total < FINDINGS_MAX else 1
        for read in range(reads_max):
            if read:
                await sleep(self._clock, _REREAD_S)
                fresh = [await self._standings.account(standing.user_id) for standing in standings]
                standings = [standing for standing in fresh if standing is not None]
            shown = await board.totals_of([standing.user_id for standing in standings])
            pairs = zip(standings, shown, strict=True)
            differing = [(standing, actual) for standing, actual in pairs if actual != _expected(standing)]
            standings = [standing for standing, _ in differing]
            if not differing:
                break
        for standing, actual in differing:
            self._add(standing.user_id, _in_words(_expected(standing)), _in_words(actual))

    async def _check_unknown_players(self, board: Board) -> None:
        """Find players of the board who are not in the ledger. The ledger commits first, so none of them is in flight."""
        for read in range(_READS_MAX):
            if read:
                await sleep(self._clock, _REREAD_S)
            if await self._standings.ranked_count() == (await board.page(0, 1)).total:
                return
        offset = 0
        while rows := (await board.page(offset, _PAGE_PLAYERS_MAX)).rows:
            for row in rows:
                if await self._standings.account(row.user_id) is None:
                    self._add(row.user_id, "unknown to the ledger", f"{row.points:,} points")
            offset += len(rows)


def _expected(standing: Standing) -> tuple[int, int] | None:
    """The points and the version that the board should hold; None where the player should not be on it."""
    return None if standing.reached_at_ms is None else (standing.points, standing.version)


def _in_words(shown: tuple[int, int] | None) -> str:
    return "not on the board" if shown is None else f"{shown[0]:,} points (version {shown[1]})"
