"""Does everything add up: the entries, the totals, the drawing? Findings say what should be and what is."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Any, Final

from cli.context import Stores
from cli.reactor import pause
from scoreboard.boundaries import Board, Ledger, StaleBoard, StoreUnavailable
from scoreboard.domain.entries import Finding
from scoreboard.domain.values import Standing, Value

FINDINGS_MAX: Final = 1000
_PAGE_PLAYERS_MAX: Final = 500
#: A server at work commits, then projects: what differs is looked at again before it counts as wrong.
_LOOKS_MAX: Final = 4
_LOOK_AGAIN_S: Final = 0.5


class Report(Value, frozen=True, kw_only=True):
    """What a check found: at most FINDINGS_MAX findings of ``findings_total``. ``redrawn``: players of a rebuilt board."""

    players: int
    board_compared: bool
    findings_total: int
    findings: tuple[Finding, ...]
    redrawn: int | None = None


class Checker:
    """One check of everything. ``clock`` gives the pauses, ``told`` hears how many players are done."""

    def __init__(self, stores: Stores, clock: Any, told: Callable[[int], None]) -> None:
        self._ledger: Ledger = stores.ledger
        self._board: Board | None = stores.board
        self._readable = stores.board is not None
        self._clock = clock
        self._told = told
        self._players = 0
        self._findings_total = 0
        self._findings: list[Finding] = []

    async def check(self) -> Report:
        """Look at everything once; memory holds a page of players and the first findings."""
        await self._check_totals()
        await self._ask_board(self._check_state)
        await self._check_players()
        await self._ask_board(self._check_strangers)
        return Report(
            players=self._players,
            board_compared=self._board is not None,
            findings_total=self._findings_total,
            findings=tuple(self._findings),
        )

    async def _ask_board(self, question: Callable[[Board], Awaitable[None]]) -> None:
        """Ask about the drawing, until it turns out that it cannot be read at all: then that is the finding."""
        if self._board is None or not self._readable:
            return
        try:
            await question(self._board)
        except (StoreUnavailable, StaleBoard) as error:
            await self._ledger.ping()
            await self._board.ping()
            # Both stores answer, so it is the drawing that cannot be read.
            self._readable = False
            self._found([Finding(user_id="*", where="board", expected="a drawing of the ledger", found=str(error))])

    def _found(self, findings: Sequence[Finding]) -> None:
        self._findings_total += len(findings)
        self._findings += findings[: FINDINGS_MAX - len(self._findings)]

    async def _check_totals(self) -> None:
        after: str | None = ""
        while after is not None:
            after, findings = await self._ledger.verify(after, _PAGE_PLAYERS_MAX)
            self._found(findings)

    async def _check_state(self, board: Board) -> None:
        if await board.state() is None:
            raise StaleBoard("nothing is drawn")

    async def _check_players(self) -> None:
        after = ""
        while page := await self._ledger.accounts(after, _PAGE_PLAYERS_MAX):
            await self._ask_board(partial(self._check_drawn, page))
            after = page[-1].user_id
            self._players += len(page)
            self._told(self._players)

    async def _check_drawn(self, standings: Sequence[Standing], board: Board) -> None:
        # When there is more wrong than we would list, nobody waits to see whether some of it was only in flight.
        looks = _LOOKS_MAX if self._findings_total < FINDINGS_MAX else 1
        for look in range(looks):
            if look:
                await pause(self._clock, _LOOK_AGAIN_S)
                fresh = [await self._ledger.account(standing.user_id) for standing in standings]
                standings = [standing for standing in fresh if standing is not None]
            drawn = await board.drawn([standing.user_id for standing in standings])
            wrong = [(due, is_) for due, is_ in zip(standings, drawn, strict=True) if is_ != _due(due)]
            standings = [due for due, _ in wrong]
            if not wrong:
                break
        self._found(
            [Finding(user_id=due.user_id, where="board", expected=_told_as(_due(due)), found=_told_as(is_)) for due, is_ in wrong]
        )

    async def _check_strangers(self, board: Board) -> None:
        """Find players on the board whom the ledger never heard of. It commits first, so there is no innocent one."""
        for look in range(_LOOKS_MAX):
            if look:
                await pause(self._clock, _LOOK_AGAIN_S)
            players = await self._ledger.ranked_count()
            if (await board.page(0, 1)).total == players:
                return
        offset = 0
        while rows := (await board.page(offset, _PAGE_PLAYERS_MAX)).rows:
            for row in rows:
                if await self._ledger.account(row.user_id) is None:
                    found = f"{row.points:,} points"
                    self._found([Finding(user_id=row.user_id, where="board", expected="unknown to the ledger", found=found)])
            offset += len(rows)


def _due(standing: Standing) -> tuple[int, int] | None:
    """What the board should hold for this standing."""
    return None if standing.reached_at_ms is None else (standing.points, standing.version)


def _told_as(drawn: tuple[int, int] | None) -> str:
    return "not on the board" if drawn is None else f"{drawn[0]:,} points (version {drawn[1]})"
