"""Award transaction: the steps that judge and append a batch of claims, the same for both SQL dialects.

All parameters and answers are JSON: the database unpacks a parameter into rows, and msgspec decodes an answer. That costs a tenth
of what arrays cost in our process (psycopg: 1 µs a row instead of 11), and the dialects differ only in the text of statements.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence, Set
from typing import Final, Literal, Protocol

import msgspec

from scoreboard.domain.actions import PlacedReceipt
from scoreboard.domain.boards import BoardBucket, FedBoard
from scoreboard.domain.entries import ResetOrder, ResetResult
from scoreboard.domain.judgement import (
    Account,
    Award,
    BatchFacts,
    Claim,
    UsedAction,
    Verdict,
    buckets_of,
    judge_batch,
    milestones_crossed,
    with_unlocks,
)
from scoreboard.failpoints import Failpoint
from scoreboard.storage.sql.award_rows import encode, entry_rows, json_rows, player_row, receipt_rows, totals_of, unlock_rows
from scoreboard.storage.sql.board_rows import bucket_rows, newest_scores, read_fed_boards, read_scores
from scoreboard.storage.sql.thread_worker import Blocking

Step = Literal[
    "begin",
    "keep_receipts",
    "accounts",
    "suspended",
    "used",
    "today",
    "completed",
    "generation",
    "definitions",
    "scores",
    "open_accounts",
    "raise_totals",
    "append",
    "set_scores",
    "unlock",
    "cache_ranks",
    "commit",
]
#: A dialect's statement for each step. It takes one JSON parameter (``begin`` and ``commit`` take none). A statement that asks
#: answers with one JSON value; ``unlock`` answers with a line of JSON for each new row.
Statements = Mapping[Step, str]
#: One round trip to the database: steps in order with their parameters; the result is the answer of each step that asks.
Exchange = Callable[[Sequence[tuple[Step, bytes | None]]], dict[Step, bytes]]

#: The database's time in milliseconds since 1970. SQLite's day 2440587.5 is 1970-01-01.
CLOCK_MS: Final = {
    "sqlite": "CAST(ROUND((julianday('now') - 2440587.5) * 86400000) AS INTEGER)",
    "postgresql": "(extract(epoch FROM clock_timestamp()) * 1000)::bigint",
}
#: Begins an epoch. The clock is a floor, so that a ledger that was restored does not repeat an epoch.
NEXT_EPOCH: Final = """
    INSERT INTO boards (board_id, epoch, drawn_on) VALUES ({board_id}, {greatest}({above} + 1, {clock_ms}), {run})
    ON CONFLICT (board_id) DO UPDATE
    SET epoch = {greatest}(boards.epoch + 1, excluded.epoch), drawn_on = excluded.drawn_on RETURNING epoch
"""


def epoch_parameter(board: BoardBucket, run: str, above: int) -> bytes:
    """The one parameter of NEXT_EPOCH, a JSON object."""
    return encode({"board_id": board.key, "run": run, "above": above})


class DefinitionsChanged(Exception):
    """The definitions of boards have changed since this writer read them: it reads them, and gathers the facts again."""


class KnownBoards:
    """The boards that the ledger feeds beside the global one, as one writer read them. It begins without any knowledge."""

    def __init__(self) -> None:
        self.generation = -1
        self.boards: tuple[FedBoard, ...] = ()

    def read(self, exchange: Exchange) -> None:
        """Read the definitions in a transaction of their own."""
        answers = exchange([("begin", None), ("definitions", None), ("commit", None)])
        self.generation, self.boards = read_fed_boards(answers["definitions"])


class AwardWriter(Blocking, Protocol):
    """The blocking half of boundaries.Ledger that writes: methods of the same names, with the same promises."""

    def award(self, claims: Sequence[Claim], receipts: Sequence[PlacedReceipt]) -> list[Verdict]:
        """Judge and append a batch in one transaction. Raises StoreUnavailable."""

    def reset(self, order: ResetOrder) -> ResetResult:
        """Take players back to no points. Raises StoreUnavailable."""

    def next_epoch(self, board: BoardBucket, run: str, above: int = 0) -> int:
        """Begin a new epoch of the board; its number. Raises StoreUnavailable."""


class _Accounts(msgspec.Struct, frozen=True):
    """The accounts that are locked now. ``known`` are all accounts of the batch, or None if all of them are locked."""

    locked: dict[str, Account] = {}
    known: list[str] | None = None


_accounts = msgspec.json.Decoder(_Accounts).decode
_users = msgspec.json.Decoder(set[str]).decode
_used = msgspec.json.Decoder(list[tuple[str, str, UsedAction]]).decode
_today = msgspec.json.Decoder(list[tuple[str, str, int, int]]).decode
_completed = msgspec.json.Decoder(set[tuple[str, str]]).decode
_unlocked = msgspec.json.Decoder(tuple[str, int]).decode_lines


def award(
    exchange: Exchange,
    claims: Sequence[Claim],
    receipts: Sequence[PlacedReceipt],
    failpoint: Failpoint,
    known_boards: KnownBoards,
    *,
    only_known: bool = False,
) -> list[Verdict]:
    """Gather facts, judge, append: two exchanges in one transaction. A failed exchange leaves it open; the caller rolls back.

    Raises DefinitionsChanged, before anything is written, if ``known_boards`` does not hold the newest definitions of boards.
    With ``only_known`` a player without an account counts as held: another writer may be about to open that account.
    """
    kept = receipt_rows(receipts)
    facts = _gather(exchange, claims, kept, known_boards)
    if only_known:
        new = {claim.player.user_id for claim in claims} - facts.accounts.keys()
        facts = msgspec.structs.replace(facts, held=facts.held | new)
    known = set(facts.accounts)
    verdicts = judge_batch(claims, facts)
    failpoint("judged")
    awards = [verdict for verdict in verdicts if isinstance(verdict, Award)]
    steps = _appends(awards, known) if awards else []
    if kept is not None:
        steps.append(("cache_ranks", kept))
    steps.append(("commit", None))
    # If we stop here, nothing was awarded; if the database stops during the commit, a retry learns which it was.
    answers = exchange(steps)
    return with_unlocks(verdicts, _unlocked(answers["unlock"])) if "unlock" in answers else verdicts


def _appends(awards: Sequence[Award], known: Set[str]) -> list[tuple[Step, bytes | None]]:
    """The steps that write awards. ``known`` are the players who have an account."""
    totals = totals_of(awards)
    opened = [total for total in totals if total.user_id not in known]
    raised = [total for total in totals if total.user_id in known]
    scores, crossing = newest_scores(awards), milestones_crossed(awards)
    steps: list[tuple[Step, bytes | None]] = []
    if opened:
        steps.append(("open_accounts", encode(opened)))
    if raised:
        steps.append(("raise_totals", encode(raised)))
    steps.append(("append", entry_rows(awards)))
    if scores is not None:
        steps.append(("set_scores", scores))
    if crossing:
        steps.append(("unlock", unlock_rows(crossing)))
    return steps


def _gather(exchange: Exchange, claims: Sequence[Claim], kept: bytes | None, known_boards: KnownBoards) -> BatchFacts:
    steps: list[tuple[Step, bytes | None]] = [("begin", None)]
    if kept is not None:
        steps.append(("keep_receipts", kept))
    users = json_rows([b"%b}" % player_row(user_id) for user_id in {claim.player.user_id for claim in claims}])
    if claims:
        # In this order: a suspension locks the player's account too, so a suspension that is read under our lock stays true.
        steps += [("accounts", users), ("suspended", users)]
        steps.append(("used", encode([claim.grant.action_id for claim in claims])))
    days = {
        (claim.player.user_id, claim.rule.action_type, claim.day_start_ms) for claim in claims if claim.rule.daily_max is not None
    }
    if days:
        rows = [b'%b,"action_type":%b,"day_ms":%d}' % (player_row(user), encode(kind), day) for user, kind, day in days]
        steps.append(("today", json_rows(rows)))
    needs = {(claim.player.user_id, needed) for claim in claims for needed in claim.rule.requires}
    if needs:
        steps.append(
            ("completed", json_rows([b'%b,"action_type":%b}' % (player_row(user), encode(kind)) for user, kind in needs]))
        )
    buckets = {(board.number, bucket.bucket) for claim in claims for board, bucket in buckets_of(claim, known_boards.boards)}
    # After the locks, too: a filler holds the locks of its players until it has written their rows.
    steps.append(("generation", None))
    if buckets:
        steps.append(("scores", b'{"players":%b,"buckets":%b}' % (users, bucket_rows(buckets))))
    facts = exchange(steps)
    if int(facts["generation"]) != known_boards.generation:
        raise DefinitionsChanged
    accounts = _accounts(facts.get("accounts", b"{}"))
    return BatchFacts(
        accounts=accounts.locked,
        held=frozenset(accounts.known or ()).difference(accounts.locked),
        suspended=_users(facts.get("suspended", b"[]")),
        used={(user, action): used for user, action, used in _used(facts.get("used", b"[]"))},
        today={(user, kind, day): count for user, kind, day, count in _today(facts.get("today", b"[]"))},
        completed=_completed(facts.get("completed", b"[]")),
        boards=known_boards.boards,
        scores=read_scores(facts.get("scores", b"[]"), known_boards.boards),
    )
