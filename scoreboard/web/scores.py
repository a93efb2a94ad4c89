"""Handlers of /scores: submission, leaderboard and own rank."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from scoreboard.boundaries.boards import Boards
from scoreboard.boundaries.health import Meter
from scoreboard.boundaries.scorekeeper import Scorekeeper
from scoreboard.caches import BoundedCache
from scoreboard.domain.actions import ClientInfo, Submission
from scoreboard.domain.boards import BoardDefinition
from scoreboard.domain.cursor import Cursor
from scoreboard.domain.errors import StoreUnavailable
from scoreboard.domain.grants import Grant, Keyring, verify
from scoreboard.domain.players import Player
from scoreboard.domain.refusals import INVALID_ACTION, Reason, Refusal, Refused
from scoreboard.net.http.refusals import refused
from scoreboard.net.http.request import Request
from scoreboard.net.http.response import JSON, NO_STORE, PRIVATE_JSON, Response
from scoreboard.web.board_schemas import BoardInfo, BoardsData, board_info
from scoreboard.web.conditional import TaggedResponse, tagged
from scoreboard.web.query_params import read_board_query
from scoreboard.web.request_bodies import read_submission
from scoreboard.web.request_guard import ONE, Charge, RequestGuard
from scoreboard.web.schemas import ReceiptAnswer, Success, already_used, board_data, encode, rank_data, receipt_data

#: How many submissions a wrong signature counts for.
FORGERY_COST: Final = 5
PAGES_CACHED_MAX: Final = 256
RANKS_CACHED_MAX: Final = 10_000

_FORGERY: Final = Charge(cost=FORGERY_COST)
_TOO_MANY: Final = "Too many score submissions. Please try again later."
_UNCACHED: Final = JSON + NO_STORE
_BOARD: Final = JSON + b"Cache-Control: private, no-cache\r\n"


@dataclass(frozen=True, eq=False)
class ScoreHandlers:
    """Handlers of /scores. A response to a read stays in the cache until the cursor or ``ledger_ahead_count`` changes."""

    guard: RequestGuard
    scorekeeper: Scorekeeper
    boards: Boards
    ring: Keyring
    clock: IReactorTime
    now_ms: Callable[[], int]
    meter: Meter
    _log = Logger()

    _pages: BoundedCache[tuple[str, Cursor, int, int, int], TaggedResponse] = field(
        default_factory=lambda: BoundedCache(PAGES_CACHED_MAX), init=False
    )
    _ranks: BoundedCache[tuple[str, str, str], tuple[Cursor, int, Response]] = field(
        default_factory=lambda: BoundedCache(RANKS_CACHED_MAX), init=False
    )

    async def submit(self, request: Request) -> Response | Refusal:
        """Award a submission. The signature is verified before the rate limiter is asked, since a wrong one costs more."""
        began_s = self.clock.seconds()
        client = request.client_info  # read now: a client that disconnects takes its connection with it
        player, verified = await self.guard.require_player(request, "submit", self._read, _TOO_MANY)
        if isinstance(verified, Refusal):
            self._note_refusal(verified, player, client)
            return verified
        submission, grant = verified
        receipt = await self.scorekeeper.submit(player, submission, grant, client)
        self.meter.observe("score_update_duration_seconds", self.clock.seconds() - began_s)
        if isinstance(receipt, Refusal):
            return receipt if receipt.receipt is None else refused(receipt, request, body=already_used(receipt))
        return Response(200, encode(ReceiptAnswer(data=receipt_data(receipt))), _UNCACHED)

    async def leaderboard(self, request: Request) -> Response:
        """Read a range of the board, or 304 to a client that has it."""
        await self.guard.require_viewer(request)
        asked = read_board_query(request.query)
        ranking = self.boards.ranking(asked.board_id, asked.bucket)
        limit, offset, bucket, ledger_ahead_count = asked.limit, asked.offset, ranking.bucket, ranking.ledger_ahead_count
        known = self._pages.get((bucket.key, ranking.cursor, ledger_ahead_count, limit, offset))
        if known is None:
            page = await ranking.page(offset, limit)
            body = encode(Success(data=board_data(page, bucket)))
            if page.degraded:
                return Response(200, body, _UNCACHED)
            tag = b"%d-%d-%d-%d" % (page.cursor.epoch, page.cursor.seq, limit, offset)
            if not bucket.is_global:
                tag = bucket.key.encode() + b"-" + tag
            known = tagged(b'"%b"' % tag, body, _BOARD)
            self._pages.put((bucket.key, page.cursor, ledger_ahead_count, limit, offset), known)
        return known.answer(request)

    async def list_boards(self, request: Request) -> Response:
        """Read what boards there are, their present buckets, and how many players are on them."""
        await self.guard.require_viewer(request)
        found = [await self._board(definition) for definition in self.boards.definitions]
        return Response(200, encode(Success(data=BoardsData(boards=found))), PRIVATE_JSON)

    async def _board(self, definition: BoardDefinition) -> BoardInfo:
        try:
            present = self.boards.present(definition.board_id)
            players = 0 if present is None else (await self.boards.ranking(definition.board_id).page(0, 1)).total
        except (Refused, StoreUnavailable):  # it is being filled in, or no store answers
            return board_info(definition, None, None)
        return board_info(definition, present, players)

    async def me(self, request: Request) -> Response:
        """Read the player's own score and rank."""
        player = await self.guard.require_viewer(request)
        asked = read_board_query(request.query)
        ranking = self.boards.ranking(asked.board_id, asked.bucket)
        key = (player.user_id, player.username, ranking.bucket.key)
        ledger_ahead_count = ranking.ledger_ahead_count
        known = self._ranks.get(key)
        if known is not None and known[0] == ranking.cursor and known[1] == ledger_ahead_count:
            return known[2]
        player_rank = await ranking.rank_of(player.user_id)
        answer = Response(200, encode(Success(data=rank_data(player, player_rank, ranking.bucket))), PRIVATE_JSON)
        if not player_rank.degraded:
            self._ranks.put(key, (player_rank.cursor, ledger_ahead_count, answer))
        return answer

    def _read(self, request: Request, player: Player) -> tuple[tuple[Submission, Grant] | Refusal, Charge]:
        try:
            submission = read_submission(request.content_type, request.body)
        except Refused as refused:
            return refused.refusal, ONE
        grant = verify(submission, player.user_id, self.ring, self.now_ms())
        if isinstance(grant, Refusal):
            return grant, _FORGERY if grant is INVALID_ACTION else ONE
        return (submission, grant), ONE

    def _note_refusal(self, refusal: Refusal, player: Player, client: ClientInfo) -> None:
        """Count a submission whose signature is refused; log one that this server's secrets have not signed for this player."""
        if refusal.reason is Reason.ACTION_TOO_EARLY:
            self.meter.count("submissions_refused_total", reason="issued_ahead")
        elif refusal is INVALID_ACTION:
            self.meter.count("submissions_refused_total", reason="forged")
            self._log.info(
                "a submission was refused: no server has signed it for this player and this action",
                user_id=player.user_id,
                address=client.address,
            )
