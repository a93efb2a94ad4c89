"""Judgement: decides from a claim and the facts in the ledger whether it becomes an Award or a Refusal.

A ledger gathers the facts of a batch, calls ``judge_batch`` and appends the awards, all in one transaction. So memory, SQLite
and PostgreSQL always decide in the same way: none of them has rules of its own.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from typing import Final

import msgspec

from scoreboard.domain.actions import AwardSummary, ClientInfo, Metadata, Receipt
from scoreboard.domain.coalesce import merge_news
from scoreboard.domain.grants import Grant
from scoreboard.domain.players import Player
from scoreboard.domain.refusals import ACTION_EXPIRED, HELD, INVALID_ACTION, SUSPENDED, Reason, Refusal, too_early
from scoreboard.domain.rules import ActionRule
from scoreboard.domain.standings import POINTS_MAX, Standing, crossed
from scoreboard.domain.value import Value

#: The longest time of a batch, and of a submission from its arrival until the answer of the ledger.
AWARD_S_MAX: Final = 4.5
DAY_MS: Final = 86_400_000


class Claim(Value, frozen=True, kw_only=True):
    """A submission with a verified grant, to be judged at ``at_ms`` under the rule of its type.

    ``milestones`` are the totals at which a player unlocks an achievement, in ascending order.
    """

    transaction_id: str
    player: Player
    grant: Grant
    rule: ActionRule
    metadata: Metadata
    client: ClientInfo
    at_ms: int
    milestones: tuple[int, ...] = ()

    @property
    def day_start_ms(self) -> int:
        """The beginning of the claim's UTC day."""
        return self.at_ms - self.at_ms % DAY_MS


class Account(Value, frozen=True, kw_only=True):
    """The account of one user before a batch: the total, its version, and the number of awards."""

    points: int = 0
    version: int = 0
    actions: int = 0
    created_at_ms: int | None = None


class UsedAction(Value, frozen=True, kw_only=True):
    """An action of a player that is in the ledger already: the submission and its receipt."""

    action_type: str
    receipt: Receipt


class Award(Value, frozen=True, kw_only=True):
    """A claim that was awarded: the next row of the ledger for this user.

    ``unlocked`` are the milestones that this award reached first; only the ledger knows them.
    """

    claim: Claim
    score_before: int
    score_after: int
    version: int
    actions: int
    created_at_ms: int
    unlocked: tuple[int, ...] = ()

    @property
    def user_id(self) -> str:
        """The player's user id."""
        return self.claim.player.user_id

    @property
    def points(self) -> int:
        """The awarded points: those of the signed grant, never a number from the client."""
        return self.claim.grant.points

    @property
    def crossed(self) -> Sequence[int]:
        """The milestones that the total reached with this award, for the first time or again."""
        return crossed(self.score_before, self.score_after, self.claim.milestones)

    def standing(self) -> Standing:
        """The player's standing after this award, for the board."""
        player = self.claim.player
        return Standing(
            user_id=player.user_id,
            username=player.username,
            avatar=player.avatar,
            points=self.score_after,
            version=self.version,
            reached_at_ms=self.claim.at_ms,
            updated_at_ms=self.claim.at_ms,
            awards=(self.summary,),
            unlocked=self.unlocked,
        )

    @property
    def summary(self) -> AwardSummary:
        """The public part of this award."""
        return AwardSummary(
            action_type=self.claim.grant.action_type, points=self.points, total=self.score_after, at_ms=self.claim.at_ms
        )


class BatchFacts(Value, frozen=True, kw_only=True):
    """The facts of a batch, gathered in its transaction. Another session holds the accounts of the players in ``held``.

    ``accounts`` by user id; ``suspended`` holds user ids; ``used`` by (user id, action id); ``today`` counts awards by
    (user id, action type, day start); ``completed`` holds all awarded (user id, action type) pairs. The last two must cover
    only what the rules of the claims need.
    """

    accounts: dict[str, Account]
    suspended: set[str]
    used: dict[tuple[str, str], UsedAction]
    today: dict[tuple[str, str, int], int]
    completed: set[tuple[str, str]]
    held: frozenset[str] = frozenset()


Verdict = Award | Refusal
#: The key of a player's milestone, (user id, milestone): it is unlocked at most once.
MilestoneKey = tuple[str, int]


def judge(claim: Claim, facts: BatchFacts) -> Verdict:
    """Judge one claim by the facts. A refusal uses nothing up: the action may be submitted again."""
    grant, rule, user_id = claim.grant, claim.rule, claim.player.user_id
    if user_id in facts.held:
        return HELD
    if user_id in facts.suspended:
        return SUSPENDED
    used = facts.used.get((user_id, grant.action_id))
    if used is not None:
        # A retry gets its receipt again. An action of another player cannot be found here: its signature contains that player.
        if used.action_type != grant.action_type:
            return INVALID_ACTION
        return Refusal(
            reason=Reason.ACTION_ALREADY_USED,
            message="This action was already awarded; here is its receipt",
            receipt=used.receipt,
        )
    if claim.at_ms >= grant.expires_at_ms:
        return ACTION_EXPIRED
    if claim.at_ms < grant.not_before_ms:
        return too_early(grant.not_before_ms - claim.at_ms)
    missing = [needed for needed in rule.requires if (user_id, needed) not in facts.completed]
    if missing:
        return Refusal(reason=Reason.REQUIREMENT_NOT_MET, message="Complete first: " + ", ".join(missing), field="actionType")
    day = claim.day_start_ms
    if rule.daily_max is not None and facts.today.get((user_id, rule.action_type, day), 0) >= rule.daily_max:
        return Refusal(
            reason=Reason.DAILY_LIMIT,
            message=f"{rule.action_type} counts {rule.daily_max} times a day (UTC)",
            retry_after_s=max(1, (day + DAY_MS - claim.at_ms + 999) // 1000),
        )
    account = facts.accounts.get(user_id, Account())
    total = account.points + grant.points
    if not -POINTS_MAX <= total <= POINTS_MAX:
        return Refusal(reason=Reason.SCORE_LIMIT, message="The total would exceed 9007199254740991 points")
    return Award(
        claim=claim,
        score_before=account.points,
        score_after=total,
        version=account.version + 1,
        actions=account.actions + 1,
        created_at_ms=claim.at_ms if account.created_at_ms is None else account.created_at_ms,
    )


def judge_batch(claims: Sequence[Claim], facts: BatchFacts) -> list[Verdict]:
    """Judge a batch in order; each claim sees the results of those before it. Updates ``facts``.

    A claim that repeats an action awarded earlier in the same batch is refused as used; its receipt has no ranks
    yet (``rank`` null), because the board is set after the batch.
    """
    verdicts: list[Verdict] = []
    for claim in claims:
        verdict = judge(claim, facts)
        verdicts.append(verdict)
        if isinstance(verdict, Award):
            _remember(verdict, facts)
    return verdicts


def _remember(award: Award, facts: BatchFacts) -> None:
    claim = award.claim
    user_id, action_type = award.user_id, claim.grant.action_type
    facts.accounts[user_id] = Account(
        points=award.score_after,
        version=award.version,
        actions=award.actions,
        created_at_ms=award.created_at_ms,
    )
    facts.used[user_id, claim.grant.action_id] = UsedAction(action_type=action_type, receipt=unplaced(award))
    day = (user_id, action_type, claim.day_start_ms)
    facts.today[day] = facts.today.get(day, 0) + 1
    facts.completed.add((user_id, action_type))


def unplaced(award: Award) -> Receipt:
    """The receipt of an award without ranks, which come from the board later."""
    return Receipt(points=award.points, total=award.score_after, rank=None, previous_rank=None, degraded=True)


def standings_of(awards: Iterable[Award]) -> list[Standing]:
    """The last standing of each user of a batch with all its awards, for the board."""
    standings: dict[str, Standing] = {}
    for award in awards:
        earlier, later = standings.get(award.user_id), award.standing()
        standings[award.user_id] = later if earlier is None else merge_news(earlier, later)
    return list(standings.values())


def latest(awards: Iterable[Award]) -> list[Award]:
    """The last award of each user, in the order of the users' first awards."""
    return list({award.user_id: award for award in awards}.values())


def milestones_crossed(awards: Iterable[Award]) -> dict[MilestoneKey, Award]:
    """The milestones that a batch may unlock, each with its first award; the ledger may have some already."""
    found: dict[MilestoneKey, Award] = {}
    for award in awards:
        for milestone in award.crossed:
            found.setdefault((award.user_id, milestone), award)
    return found


def with_unlocks(verdicts: Iterable[Verdict], new: Collection[MilestoneKey]) -> list[Verdict]:
    """The verdicts; each award gets the milestones that were new to the ledger as ``unlocked``."""
    left = set(new)
    decided: list[Verdict] = []
    for verdict in verdicts:
        if left and isinstance(verdict, Award):
            mine = tuple(milestone for milestone in verdict.crossed if (verdict.user_id, milestone) in left)
            left.difference_update((verdict.user_id, milestone) for milestone in mine)
            verdict = msgspec.structs.replace(verdict, unlocked=mine) if mine else verdict
        decided.append(verdict)
    return decided
