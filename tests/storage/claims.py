"""Claims, receipts and verdicts for the tests of the ledgers."""

from __future__ import annotations

import time
import uuid
from collections.abc import Sequence

from scoreboard.domain.actions import ClientInfo, Metadata, PlacedReceipt, Receipt
from scoreboard.domain.grants import Grant
from scoreboard.domain.judgement import Award, Claim, Verdict
from scoreboard.domain.players import Player
from scoreboard.domain.refusals import HELD, Reason, Refusal
from scoreboard.domain.rules import ActionRule
from scoreboard.storage.sql.award import AwardWriter

NOW = 1_800_000_000_123
QUEST = ActionRule(action_type="COMPLETE_QUEST", points=100)
CLIENT = ClientInfo(address="192.0.2.7", agent="test/1.0 (ünïcode)")


def claim(
    user: str = "amy",
    points: int = 100,
    *,
    action: str | None = None,
    rule: ActionRule = QUEST,
    at_ms: int = NOW,
    username: str | None = None,
    avatar: str | None = None,
    issued_at_s: int = 0,
    metadata: Metadata = (),
    client: ClientInfo = CLIENT,
    milestones: tuple[int, ...] = (),
) -> Claim:
    """A claim that becomes an award, unless an argument prevents that."""
    return Claim(
        transaction_id=str(uuid.uuid4()),
        player=Player(
            user_id=user,
            username=username or user.title(),
            role="user",
            expires_at_s=2**33,
            avatar=avatar,
            issued_at_s=issued_at_s,
        ),
        grant=Grant(
            action_id=action or str(uuid.uuid4()),
            user_id=user,
            action_type=rule.action_type,
            issued_at_ms=at_ms - 1_000,
            not_before_ms=at_ms - 1_000,
            expires_at_ms=at_ms + 600_000,
            points=points,
            metadata=metadata,
        ),
        rule=rule,
        metadata=metadata,
        client=client,
        at_ms=at_ms,
        milestones=milestones,
    )


def placed(award: Award, rank: int | None, previous_rank: int | None = None) -> PlacedReceipt:
    """The receipt of an award with its rank on the board, None for an unknown rank."""
    receipt = Receipt(points=award.points, total=award.score_after, rank=rank, previous_rank=previous_rank, degraded=rank is None)
    return award.user_id, award.claim.grant.action_id, receipt


def award_with_retries(writes: AwardWriter, claims: Sequence[Claim], receipts: Sequence[PlacedReceipt] = ()) -> list[Verdict]:
    """The verdicts of a batch. A claim that was refused as HELD is submitted again, as the scorekeeper does."""
    verdicts = writes.award(claims, receipts)
    for _ in range(10_000):
        held = [at for at, verdict in enumerate(verdicts) if verdict == HELD]
        if not held:
            return verdicts
        time.sleep(0.001)
        for at, verdict in zip(held, writes.award([claims[at] for at in held], []), strict=True):
            verdicts[at] = verdict
    raise AssertionError("another server held a player for too long")


def award_in(verdict: Verdict) -> Award:
    """The verdict, which must be an award."""
    assert isinstance(verdict, Award), verdict
    return verdict


def receipt_in(verdict: Verdict) -> Receipt:
    """The original receipt in a refusal of an action that was already used."""
    assert isinstance(verdict, Refusal), verdict
    assert verdict.reason is Reason.ACTION_ALREADY_USED
    assert verdict.receipt is not None
    return verdict.receipt
