"""Judgement: decides from a claim and the facts of the ledger whether it is an Award or a Refusal. Pure.

A ledger gathers the facts of a batch, calls `judge_batch`, and appends the awards, all in one transaction. So the ledgers in
memory, SQLite and PostgreSQL judge alike.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from typing import Final

import msgspec

from scoreboard.domain.actions import AwardSummary, ClientInfo, Metadata, Receipt
from scoreboard.domain.board_scores import BoardScore, counted
from scoreboard.domain.boards import BoardBucket, FedBoard
from scoreboard.domain.coalesce import merge_news
from scoreboard.domain.grants import Grant
from scoreboard.domain.limits import Limit
from scoreboard.domain.periods import bucket_at
from scoreboard.domain.players import Player
from scoreboard.domain.refusals import ACTION_EXPIRED, HELD, INVALID_ACTION, SUSPENDED, Reason, Refusal, too_early
from scoreboard.domain.rules import ActionRule
from scoreboard.domain.standings import POINTS_MAX, Standing, crossed
from scoreboard.domain.value import Value

#: How long a batch may take, and how long a submission may take from its arrival to the answer of the ledger.
AWARD_S_MAX: Final = 4.5
DAY_MS: Final = 86_400_000
#: How far the clocks of two servers may differ for the names that they write.
NAMED_AHEAD_S_MAX: Final = 60


class Claim(Value, frozen=True, kw_only=True):
    """A submission with a verified signature, to be judged at ``at_ms`` by the rule of its type.

    ``milestones``, ascending, are the totals that unlock an achievement.
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
        """The beginning of this claim's UTC day, in milliseconds since 1970."""
        return self.at_ms - self.at_ms % DAY_MS


class Account(Value, frozen=True, kw_only=True):
    """A player in the ledger before a batch: the total, its version, the number of awards that made it, and the name.

    ``named_at_s`` is the time at which the token was issued that gave the name and the avatar.
    """

    points: int = 0
    version: int = 0
    actions: int = 0
    created_at_ms: int | None = None
    username: str = ""
    avatar: str | None = None
    named_at_s: int = 0


class UsedAction(Value, frozen=True, kw_only=True):
    """An action that was awarded to a player already: its type and its receipt."""

    action_type: str
    receipt: Receipt


#: (user id, number of the board, bucket): a row of a player on a board.
ScoreKey = tuple[str, int, str]


class Award(Value, frozen=True, kw_only=True):
    """A claim that brings points: the ledger's next row for this player.

    ``unlocked`` are the milestones that the player reached by this award for the first time. Only a ledger knows them.
    ``scores`` are the player's new scores on other boards than the global one, each with the number of its board.
    """

    claim: Claim
    score_before: int
    score_after: int
    version: int
    actions: int
    created_at_ms: int
    unlocked: tuple[int, ...] = ()
    scores: tuple[tuple[int, BoardScore], ...] = ()

    @property
    def user_id(self) -> str:
        """The player's id."""
        return self.claim.player.user_id

    @property
    def points(self) -> int:
        """The points of the signed grant, never a number of the client."""
        return self.claim.grant.points

    @property
    def crossed(self) -> Sequence[int]:
        """The milestones that the total reached by this award, for the first time or again."""
        return crossed(self.score_before, self.score_after, self.claim.milestones)

    def standing(self) -> Standing:
        """The player's total after this award, as the board shows it."""
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
        """What spectators may see of it."""
        return AwardSummary(
            action_type=self.claim.grant.action_type, points=self.points, total=self.score_after, at_ms=self.claim.at_ms
        )


class BatchFacts(Value, frozen=True, kw_only=True):
    """The facts of a batch, gathered in its transaction.

    ``accounts`` are by user id, ``used`` by (user id, action id). ``suspended`` holds user ids. ``today`` counts awards by
    (user id, action type, start of the day), and ``completed`` holds each (user id, action type) that was ever awarded; both
    cover at least what the claims' rules need. ``boards`` are fed beside the global one, and ``scores`` hold what players have
    on them in the buckets of the claims. ``held`` are players whose accounts another transaction has locked.
    """

    accounts: dict[str, Account]
    suspended: set[str]
    used: dict[tuple[str, str], UsedAction]
    today: dict[tuple[str, str, int], int]
    completed: set[tuple[str, str]]
    scores: dict[ScoreKey, BoardScore]
    boards: tuple[FedBoard, ...] = ()
    held: frozenset[str] = frozenset()


Verdict = Award | Refusal
SCORE_TOO_LARGE: Final = Refusal(reason=Reason.SCORE_LIMIT, message="The total would exceed 9007199254740991 points")
#: (user id, milestone). A player unlocks a milestone once.
MilestoneKey = tuple[str, int]


def judge(claim: Claim, facts: BatchFacts) -> Verdict:
    """Judge one claim. A refusal uses nothing up: the action may be submitted again."""
    grant, rule, user_id = claim.grant, claim.rule, claim.player.user_id
    if user_id in facts.held:
        return HELD
    if user_id in facts.suspended:
        return SUSPENDED
    used = facts.used.get((user_id, grant.action_id))
    if used is not None:
        return _already_used(used, grant)
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
            limit=Limit(name="daily", quota=rule.daily_max, window_ms=DAY_MS),
        )
    account = facts.accounts.get(user_id, Account())
    total = account.points + grant.points
    if not -POINTS_MAX <= total <= POINTS_MAX:
        return SCORE_TOO_LARGE
    scores = _scores_after(claim, facts, account.version + 1)
    if any(abs(score.score) > POINTS_MAX for _, score in scores):
        return SCORE_TOO_LARGE
    return Award(
        claim=_with_newest_name(account, claim),
        score_before=account.points,
        score_after=total,
        version=account.version + 1,
        actions=account.actions + 1,
        created_at_ms=claim.at_ms if account.created_at_ms is None else account.created_at_ms,
        scores=scores,
    )


def buckets_of(claim: Claim, boards: Iterable[FedBoard]) -> Iterator[tuple[FedBoard, BoardBucket]]:
    """The buckets in which a claim counts: the ones of the moment at which it is judged."""
    for board in boards:
        definition = board.definition
        if definition.counts_for(claim.grant.action_type):
            bucket = bucket_at(definition.period, claim.at_ms)
            if bucket is not None:
                yield board, definition.key_of(bucket)


def _scores_after(claim: Claim, facts: BatchFacts, version: int) -> tuple[tuple[int, BoardScore], ...]:
    """The player's scores after an award, each with the number of its board, also of boards that are being filled in.

    Such a row may lack older awards until the filler comes to the player, and writes it anew from all entries. The filler never
    comes to a player whose account was opened after its page was read: then all awards of the player have written their rows.
    """
    user_id = claim.player.user_id
    scores = []
    for board, bucket in buckets_of(claim, facts.boards):
        earlier = facts.scores.get((user_id, board.number, bucket.bucket))
        score = counted(board.definition, bucket, earlier, value=claim.grant.points, at_ms=claim.at_ms, version=version)
        scores.append((board.number, score))
    return tuple(scores)


def _with_newest_name(account: Account, claim: Claim) -> Claim:
    """The claim, with the account's name for its player if another device has shown a newer token.

    A token that was issued ahead of the ledger's clock counts as issued now, and a name from later than the clock (which was
    wrong when the name was written) counts as older than any: no clock keeps a name for longer than NAMED_AHEAD_S_MAX.
    """
    now_s = claim.at_ms // 1000
    issued_s = min(claim.player.issued_at_s, now_s)
    if issued_s >= account.named_at_s or account.named_at_s > now_s + NAMED_AHEAD_S_MAX:
        if issued_s == claim.player.issued_at_s:
            return claim
        player = msgspec.structs.replace(claim.player, issued_at_s=issued_s)
    else:
        player = msgspec.structs.replace(
            claim.player, username=account.username, avatar=account.avatar, issued_at_s=account.named_at_s
        )
    return msgspec.structs.replace(claim, player=player)


def _already_used(used: UsedAction, grant: Grant) -> Refusal:
    """The answer to a retry. An action of another player is not found here, because its signature names that player."""
    if used.action_type != grant.action_type:
        return INVALID_ACTION
    return Refusal(
        reason=Reason.ACTION_ALREADY_USED, message="This action was already awarded; here is its receipt", receipt=used.receipt
    )


def judge_batch(claims: Sequence[Claim], facts: BatchFacts) -> list[Verdict]:
    """Judge a batch in order. Each award changes ``facts`` for the claims after it.

    A claim that repeats an action of the same batch is refused as used. The scorekeeper adds the ranks to its receipt.
    """
    verdicts: list[Verdict] = []
    for claim in claims:
        verdict = judge(claim, facts)
        verdicts.append(verdict)
        if isinstance(verdict, Award):
            _add_to_facts(verdict, facts)
    return verdicts


def _add_to_facts(award: Award, facts: BatchFacts) -> None:
    claim = award.claim
    user_id, action_type = award.user_id, claim.grant.action_type
    facts.accounts[user_id] = Account(
        points=award.score_after,
        version=award.version,
        actions=award.actions,
        created_at_ms=award.created_at_ms,
        username=claim.player.username,
        avatar=claim.player.avatar,
        named_at_s=claim.player.issued_at_s,
    )
    facts.used[user_id, claim.grant.action_id] = UsedAction(action_type=action_type, receipt=unplaced(award))
    facts.scores.update({(user_id, number, score.bucket.bucket): score for number, score in award.scores})
    day = (user_id, action_type, claim.day_start_ms)
    facts.today[day] = facts.today.get(day, 0) + 1
    facts.completed.add((user_id, action_type))


def unplaced(award: Award) -> Receipt:
    """The receipt of an award without ranks."""
    return Receipt(points=award.points, total=award.score_after, rank=None, previous_rank=None, degraded=True)


def standings_of(awards: Iterable[Award]) -> list[Standing]:
    """The standing of each player after a batch, with all awards of the batch: what is set on the board."""
    standings: dict[str, Standing] = {}
    for award in awards:
        earlier, later = standings.get(award.user_id), award.standing()
        standings[award.user_id] = later if earlier is None else merge_news(earlier, later)
    return list(standings.values())


def board_standings_of(awards: Iterable[Award], number: int) -> dict[BoardBucket, list[Standing]]:
    """The standings of each player on a board after a batch, by bucket. They hold no awards: only the global board has news."""
    standings: dict[BoardBucket, dict[str, Standing]] = {}
    for award in awards:
        for board, score in award.scores:
            if board == number:
                player = award.claim.player
                standings.setdefault(score.bucket, {})[award.user_id] = Standing(
                    user_id=player.user_id,
                    username=player.username,
                    avatar=player.avatar,
                    points=score.score,
                    version=score.version,
                    reached_at_ms=score.reached_at_ms,
                    updated_at_ms=score.reached_at_ms or award.claim.at_ms,
                )
    return {bucket: list(by_user.values()) for bucket, by_user in standings.items()}


def latest(awards: Iterable[Award]) -> list[Award]:
    """The last award of each player, in the order of the first ones."""
    return list({award.user_id: award for award in awards}.values())


def milestones_crossed(awards: Iterable[Award]) -> dict[MilestoneKey, Award]:
    """The milestones that a batch reaches, each with the first award that does. The ledger may have some of them already."""
    found: dict[MilestoneKey, Award] = {}
    for award in awards:
        for milestone in award.crossed:
            found.setdefault((award.user_id, milestone), award)
    return found


def with_unlocks(verdicts: Iterable[Verdict], new: Collection[MilestoneKey]) -> list[Verdict]:
    """The verdicts, each award with the milestones that it unlocked: those that were ``new`` to the ledger."""
    left = set(new)
    decided: list[Verdict] = []
    for verdict in verdicts:
        if left and isinstance(verdict, Award):
            mine = tuple(milestone for milestone in verdict.crossed if (verdict.user_id, milestone) in left)
            left.difference_update((verdict.user_id, milestone) for milestone in mine)
            verdict = msgspec.structs.replace(verdict, unlocked=mine) if mine else verdict
        decided.append(verdict)
    return decided
