"""How a batch is written to SQL, whatever the dialect: what is asked, what is appended, in which order.

All that crosses the wire is JSON: a parameter is unpacked by the database into rows, an answer comes as one value that msgspec
turns into the domain's own types. That costs a tenth of what arrays cost in our process (psycopg: 1 µs a row and statement
instead of 11) and lets the two dialects differ in nothing but the text of their statements.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final, Literal, Protocol

import msgspec

from scoreboard.boundaries import Failpoint
from scoreboard.domain.entries import Entry, ResetOrder
from scoreboard.domain.judgement import (
    Account,
    Award,
    Claim,
    Past,
    Unlocking,
    Used,
    Verdict,
    credited,
    crossings,
    latest,
    settle,
)
from scoreboard.domain.players import Achievement
from scoreboard.domain.values import BOARD_ID, Receipt, Standing, Value, metadata_json

Step = Literal[
    "begin",
    "keep_receipts",
    "accounts",
    "suspended",
    "used",
    "today",
    "completed",
    "open_accounts",
    "raise_totals",
    "append",
    "unlock",
    "cache_ranks",
    "commit",
]
#: What a dialect says for each step: it takes one JSON parameter (``begin`` and ``commit`` none) and answers questions with JSON:
#: one value, or for ``unlock`` a line for each row that is new.
Statements = Mapping[Step, str]
#: One trip to the database: steps in order with their parameters, and the answers to those that ask.
Exchange = Callable[[Sequence[tuple[Step, bytes | None]]], dict[Step, bytes]]

NEXT_EPOCH: Final = (
    f"INSERT INTO boards (board_id, epoch) VALUES ('{BOARD_ID}', 1)"  # noqa: S608  a constant of ours
    " ON CONFLICT (board_id) DO UPDATE SET epoch = boards.epoch + 1 RETURNING epoch"
)


class Writes(Protocol):
    """The writing half of a SQL store. Blocks; one thread calls, but for ``interrupt``."""

    def award(self, claims: Sequence[Claim], receipts: Sequence[tuple[str, Receipt]]) -> list[Verdict]:
        """As boundaries.Ledger.award."""

    def reset(self, order: ResetOrder) -> list[Standing]:
        """As boundaries.Ledger.reset."""

    def next_epoch(self) -> int:
        """As boundaries.Ledger.next_epoch."""

    def interrupt(self) -> None:
        """Make what is running now fail soon. Called from another thread; harmless when nothing runs."""

    def close(self) -> None:
        """Let go of the database. A later call opens it again."""


class Total(Value, frozen=True, kw_only=True):
    """A row of ``user_scores`` as a batch leaves it."""

    user_id: str
    username: str
    avatar: str | None
    score: int
    version: int
    total_actions: int
    at_ms: int
    created_at_ms: int


_encode = msgspec.json.Encoder().encode
_accounts = msgspec.json.Decoder(dict[str, Account]).decode
_users = msgspec.json.Decoder(set[str]).decode
_used = msgspec.json.Decoder(dict[str, Used]).decode
_today = msgspec.json.Decoder(list[tuple[str, str, int, int]]).decode
_completed = msgspec.json.Decoder(set[tuple[str, str]]).decode
_unlocked = msgspec.json.Decoder(tuple[str, int]).decode_lines


def award(
    exchange: Exchange, claims: Sequence[Claim], receipts: Sequence[tuple[str, Receipt]], failpoint: Failpoint
) -> list[Verdict]:
    """Gather, settle, append: two exchanges, one transaction. A failed exchange leaves it open, to be rolled back."""
    kept = _receipt_rows(receipts)
    past = _gather(exchange, claims, kept)
    known = set(past.accounts)
    verdicts = settle(claims, past)
    failpoint("judged")
    awards = [verdict for verdict in verdicts if isinstance(verdict, Award)]
    steps: list[tuple[Step, bytes | None]] = []
    if awards:
        totals = totals_of(awards)
        opened = [total for total in totals if total.user_id not in known]
        raised = [total for total in totals if total.user_id in known]
        if opened:
            steps.append(("open_accounts", _encode(opened)))
        if raised:
            steps.append(("raise_totals", _encode(raised)))
        steps.append(("append", _encode(entries_of(awards))))
        crossing = crossings(awards)
        if crossing:
            steps.append(("unlock", _encode(_unlock_rows(crossing))))
    if kept is not None:
        steps.append(("cache_ranks", kept))
    steps.append(("commit", None))
    # If we stop here, nothing was awarded; if the database stops during the commit, a retry tells.
    answers = exchange(steps)
    return credited(verdicts, _unlocked(answers["unlock"])) if "unlock" in answers else verdicts


def _gather(exchange: Exchange, claims: Sequence[Claim], kept: bytes | None) -> Past:
    steps: list[tuple[Step, bytes | None]] = [("begin", None)]
    if kept is not None:
        steps.append(("keep_receipts", kept))
    if claims:
        users = _encode({claim.player.user_id for claim in claims})
        # In this order: a suspension locks the player's account, too, so what is read once we have the lock stays true.
        steps += [("accounts", users), ("suspended", users)]
        steps.append(("used", _encode([claim.grant.action_id for claim in claims])))
    days = {
        (claim.player.user_id, claim.rule.action_type, claim.day_start_ms) for claim in claims if claim.rule.daily_max is not None
    }
    if days:
        named = [{"user_id": user, "action_type": kind, "day_ms": day} for user, kind, day in days]
        steps.append(("today", _encode(named)))
    needs = {(claim.player.user_id, needed) for claim in claims for needed in claim.rule.requires}
    if needs:
        steps.append(("completed", _encode([{"user_id": user, "action_type": kind} for user, kind in needs])))
    facts = exchange(steps)
    return Past(
        accounts=_accounts(facts.get("accounts", b"{}")),
        suspended=_users(facts.get("suspended", b"[]")),
        used=_used(facts.get("used", b"{}")),
        today={(user, kind, day): count for user, kind, day, count in _today(facts.get("today", b"[]"))},
        completed=_completed(facts.get("completed", b"[]")),
    )


def entries_of(awards: Iterable[Award]) -> list[Entry]:
    """The ledger rows of awards, in their order."""
    rows = []
    for given in awards:
        claim = given.claim
        rows.append(
            Entry(
                transaction_id=claim.transaction_id,
                user_id=given.user_id,
                action_id=claim.grant.action_id,
                action_type=claim.grant.action_type,
                score_before=given.score_before,
                score_after=given.score_after,
                score_awarded=given.points,
                at_ms=claim.at_ms,
                ip_address=storable(claim.origin.address),
                user_agent=storable(claim.origin.agent),
                validated=True,
                metadata=metadata_json(claim.metadata).decode(),
            )
        )
    return rows


def totals_of(awards: Iterable[Award]) -> list[Total]:
    """What the awards leave in the accounts, one row a user."""
    return [
        Total(
            user_id=given.user_id,
            username=storable(given.claim.player.username),
            avatar=None if given.claim.player.avatar is None else storable(given.claim.player.avatar),
            score=given.score_after,
            version=given.version,
            total_actions=given.actions,
            at_ms=given.claim.at_ms,
            created_at_ms=given.created_at_ms,
        )
        for given in latest(awards)
    ]


def achievement_of(unlocking: Unlocking, given: Award) -> Achievement:
    """What a player has from now on for an award that was the first past a milestone."""
    return Achievement(milestone=unlocking[1], action_id=given.claim.grant.action_id, at_ms=given.claim.at_ms)


def reset_metadata(order: ResetOrder) -> str:
    """What a reset's entry says of itself, as a JSON object."""
    said: dict[str, Any] = {"operator": order.operator, "reason": order.reason, "resetId": order.reset_id}
    return _encode({key: storable(value) for key, value in said.items()}).decode()


def taken_back(rows: Iterable[tuple[str, str, str | None, int]], order: ResetOrder) -> list[Standing]:
    """The standings that a reset leaves, by user id, from rows of (user id, username, avatar, version)."""
    return [
        Standing(
            user_id=user_id,
            username=username,
            avatar=avatar,
            points=0,
            version=version,
            reached_at_ms=None,
            updated_at_ms=order.at_ms,
        )
        for user_id, username, avatar, version in sorted(rows)
    ]


def _unlock_rows(crossing: Mapping[Unlocking, Award]) -> list[dict[str, Any]]:
    rows = [(user_id, achievement_of((user_id, milestone), given)) for (user_id, milestone), given in crossing.items()]
    return [{"user_id": user_id, **msgspec.to_builtins(achievement)} for user_id, achievement in rows]


def _receipt_rows(receipts: Sequence[tuple[str, Receipt]]) -> bytes | None:
    """The receipts that the board has placed, or None if there are none."""
    rows = [
        {"action_id": action_id, "rank": receipt.rank, "previous_rank": receipt.previous_rank}
        for action_id, receipt in receipts
        if receipt.rank is not None
    ]
    return _encode(rows) if rows else None


def storable(text: str) -> str:
    """The text as every store can hold it: PostgreSQL has no NUL, UTF-8 no lone surrogate; either would spoil a whole batch."""
    if text.isascii() and "\0" not in text:
        return text
    return text.replace("\0", "\ufffd").encode("utf-8", "replace").decode()
