"""Rows of the ledger's tables: what a batch of awards, or a reset, writes, and standings from what is read.

The SQL stores send these rows as JSON; the ledger in memory keeps them as they are.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Any

import msgspec

from scoreboard.domain.actions import PlacedReceipt, metadata_json
from scoreboard.domain.entries import Entry, ResetOrder
from scoreboard.domain.judgement import Award, MilestoneKey, latest
from scoreboard.domain.players import Achievement, ledger_shard
from scoreboard.domain.standings import Standing
from scoreboard.domain.value import Value

encode = msgspec.json.Encoder().encode


class AccountRow(Value, frozen=True, kw_only=True):
    """A row of ``user_scores`` after a batch."""

    ledger_shard: int
    user_id: str
    username: str
    avatar: str | None
    score: int
    version: int
    total_actions: int
    at_ms: int
    created_at_ms: int
    named_at_s: int


def entries_of(awards: Iterable[Award]) -> list[Entry]:
    """The ledger entries of awards, in their order."""
    return [
        Entry(
            transaction_id=claim.transaction_id,
            user_id=given.user_id,
            action_id=claim.grant.action_id,
            action_type=claim.grant.action_type,
            score_before=given.score_before,
            score_after=given.score_after,
            score_awarded=given.points,
            at_ms=claim.at_ms,
            ip_address=sanitize_text(claim.client.address),
            user_agent=sanitize_text(claim.client.agent),
            validated=True,
            metadata=metadata_json(claim.metadata).decode(),
        )
        for given in awards
        for claim in (given.claim,)
    ]


def totals_of(awards: Iterable[Award]) -> list[AccountRow]:
    """The accounts after the awards, one row a player."""
    return [
        AccountRow(
            ledger_shard=ledger_shard(given.user_id),
            user_id=given.user_id,
            username=sanitize_text(given.claim.player.username),
            avatar=None if given.claim.player.avatar is None else sanitize_text(given.claim.player.avatar),
            score=given.score_after,
            version=given.version,
            total_actions=given.actions,
            at_ms=given.claim.at_ms,
            created_at_ms=given.created_at_ms,
            named_at_s=given.claim.player.issued_at_s,
        )
        for given in latest(awards)
    ]


def achievement_of(milestone_key: MilestoneKey, given: Award) -> Achievement:
    """The achievement of the award that first passed a milestone."""
    return Achievement(milestone=milestone_key[1], action_id=given.claim.grant.action_id, at_ms=given.claim.at_ms)


def reset_metadata(order: ResetOrder) -> str:
    """The metadata of a reset's entries, a JSON object."""
    said: dict[str, Any] = {"operator": order.operator, "reason": order.reason, "resetId": order.reset_id}
    return encode({key: sanitize_text(value) for key, value in said.items()}).decode()


def reset_parameters(order: ResetOrder) -> dict[str, Any]:
    """The named parameters of a reset's statements. ``players`` is None for all players, else a JSON array."""
    players = None
    if order.user_ids is not None:
        players = json_rows([b"%b}" % player_row(user_id) for user_id in order.user_ids]).decode()
    return {"players": players, "at_ms": order.at_ms, "metadata": reset_metadata(order)}


def reset_standings(rows: Iterable[tuple[str, str, str | None, int]], order: ResetOrder) -> list[Standing]:
    """The standings after a reset, by user id, from rows of (user id, username, avatar, version)."""
    return read_standings(
        (user_id, username, avatar, 0, version, None, order.at_ms) for user_id, username, avatar, version in sorted(rows)
    )


def read_standings(rows: Iterable[Any]) -> list[Standing]:
    """Standings from rows of (user id, username, avatar, points, version, reached at, updated at), times in milliseconds."""
    return [
        Standing(
            user_id=user_id,
            username=username,
            avatar=avatar,
            points=points,
            version=version,
            reached_at_ms=reached_at_ms,
            updated_at_ms=updated_at_ms,
        )
        for user_id, username, avatar, points, version, reached_at_ms, updated_at_ms in rows
    ]


def unlock_rows(crossing: Mapping[MilestoneKey, Award]) -> bytes:
    """The achievements of the awards that passed a milestone, a JSON array."""
    rows = [(user_id, achievement_of((user_id, milestone), given)) for (user_id, milestone), given in crossing.items()]
    return json_rows([b"%b,%b" % (player_row(user_id), encode(achievement)[1:]) for user_id, achievement in rows])


def receipt_rows(receipts: Sequence[PlacedReceipt]) -> bytes | None:
    """The receipts that have a rank, a JSON array; None if none has."""
    rows = [
        b'%b,"action_id":%b,"rank":%d,"previous_rank":%b}'
        % (player_row(user_id), encode(action_id), receipt.rank, encode(receipt.previous_rank))
        for user_id, action_id, receipt in receipts
        if receipt.rank is not None
    ]
    return json_rows(rows) if rows else None


def entry_rows(awards: Sequence[Award]) -> bytes:
    """The ledger entries of awards, a JSON array."""
    entries = zip(entries_of(awards), awards, strict=True)
    rows = [
        b'{"ledger_shard":%d,"version":%d,%b' % (ledger_shard(one.user_id), given.version, encode(one)[1:])
        for one, given in entries
    ]
    return json_rows(rows)


@lru_cache(maxsize=8_192)
def player_row(user_id: str) -> bytes:
    """The beginning of a JSON object that names a player, without its closing brace."""
    return b'{"ledger_shard":%d,"user_id":%b' % (ledger_shard(user_id), encode(user_id))


def json_rows(rows: Iterable[bytes]) -> bytes:
    """A JSON array of JSON objects."""
    return b"[%b]" % b",".join(rows)


def sanitize_text(text: str) -> str:
    """The text with U+FFFD for each NUL and "?" for each lone surrogate.

    PostgreSQL cannot store a NUL, and UTF-8 cannot encode a lone surrogate; either would make the whole batch fail.
    """
    if text.isascii() and "\0" not in text:
        return text
    return text.replace("\0", "\ufffd").encode("utf-8", "replace").decode()
