"""Where an award is decided: from a claim and what the ledger knows to an Award or a Refusal, and nothing else.

A ledger gathers the facts of a whole batch, lets ``settle`` judge it claim by claim, and appends what came out, all
in one transaction; so memory, SQLite and PostgreSQL judge alike because they do not judge at all.
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

#: How long a batch may take, and how long a submission may from its arrival until the ledger has answered.
AWARD_S_MAX: Final = 4.5
DAY_MS: Final = 86_400_000


class Claim(Value, frozen=True, kw_only=True):
    """A submission whose signature held, ready to be judged at ``at_ms`` under the rule of its type.

    ``milestones``, ascending, are the totals that there is something to unlock at.
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
        """When the UTC day of this claim began."""
        return self.at_ms - self.at_ms % DAY_MS


class Account(Value, frozen=True, kw_only=True):
    """What the ledger knows of one user before a batch: the total, its version, and how many awards made it."""

    points: int = 0
    version: int = 0
    actions: int = 0
    created_at_ms: int | None = None


class UsedAction(Value, frozen=True, kw_only=True):
    """An action of a player that the ledger already holds: what was submitted, and the receipt it got."""

    action_type: str
    receipt: Receipt


class Award(Value, frozen=True, kw_only=True):
    """A claim that was granted: the ledger's next row for this user.

    ``unlocked`` are the milestones that it, and no award before it, brought the player past; only a ledger knows them.
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
        """Whose award it is."""
        return self.claim.player.user_id

    @property
    def points(self) -> int:
        """What was awarded: the signed worth, never the client's."""
        return self.claim.grant.points

    @property
    def crossed(self) -> Sequence[int]:
        """The milestones that it brought the total past, for the first time or again."""
        return crossed(self.score_before, self.score_after, self.claim.milestones)

    def standing(self) -> Standing:
        """The player's total after this award, as the board is to draw it."""
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
        """What may be told of it."""
        return AwardSummary(
            action_type=self.claim.grant.action_type, points=self.points, total=self.score_after, at_ms=self.claim.at_ms
        )


class BatchFacts(Value, frozen=True, kw_only=True):
    """The facts of a batch, gathered in its transaction. ``held`` players' accounts are locked by somebody else.

    ``accounts`` by user id; ``suspended`` holds user ids; ``used`` by (user id, action id); ``today`` counts awards by
    (user id, action type, day start); ``completed`` holds (user id, action type) pairs ever awarded. The last two need only
    cover what the claims' rules ask.
    """

    accounts: dict[str, Account]
    suspended: set[str]
    used: dict[tuple[str, str], UsedAction]
    today: dict[tuple[str, str, int], int]
    completed: set[tuple[str, str]]
    held: frozenset[str] = frozenset()


Verdict = Award | Refusal
#: A player's milestone, by (user id, milestone): unlocked once for ever.
MilestoneKey = tuple[str, int]


def judge(claim: Claim, facts: BatchFacts) -> Verdict:
    """Weigh one claim against the facts. Refusing burns nothing: the action may be submitted again."""
    grant, rule, user_id = claim.grant, claim.rule, claim.player.user_id
    if user_id in facts.held:
        return HELD
    if user_id in facts.suspended:
        return SUSPENDED
    used = facts.used.get((user_id, grant.action_id))
    if used is not None:
        # A retry is answered, not punished. An action of another player is not found: its signature names that player.
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
    """Judge a batch in order, each claim seeing what those before it brought. Updates ``past`` as it goes.

    A claim that repeats an action awarded earlier in the same batch is refused as used; its receipt has no ranks
    yet (``rank`` null), for whoever asked the board to fill in.
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
    """The receipt of an award whose ranks the board has not told (yet)."""
    return Receipt(points=award.points, total=award.score_after, rank=None, previous_rank=None, degraded=True)


def standings_of(awards: Iterable[Award]) -> list[Standing]:
    """Where a batch leaves each user, with all that led there: what a board needs to be told."""
    standings: dict[str, Standing] = {}
    for award in awards:
        earlier, later = standings.get(award.user_id), award.standing()
        standings[award.user_id] = later if earlier is None else merge_news(earlier, later)
    return list(standings.values())


def latest(awards: Iterable[Award]) -> list[Award]:
    """The last award of each user, in order of first appearance."""
    return list({award.user_id: award for award in awards}.values())


def milestones_crossed(awards: Iterable[Award]) -> dict[MilestoneKey, Award]:
    """What a batch may unlock and the first award of it that does, if the ledger does not have it already."""
    found: dict[MilestoneKey, Award] = {}
    for award in awards:
        for milestone in award.crossed:
            found.setdefault((award.user_id, milestone), award)
    return found


def with_unlocks(verdicts: Iterable[Verdict], new: Collection[MilestoneKey]) -> list[Verdict]:
    """The verdicts, each award with what it unlocked: of the batch's crossings those that were new to the ledger."""
    left = set(new)
    decided: list[Verdict] = []
    for verdict in verdicts:
        if left and isinstance(verdict, Award):
            mine = tuple(milestone for milestone in verdict.crossed if (verdict.user_id, milestone) in left)
            left.difference_update((verdict.user_id, milestone) for milestone in mine)
            verdict = msgspec.structs.replace(verdict, unlocked=mine) if mine else verdict
        decided.append(verdict)
    return decided
