"""Tests of judging: which claims are refused, for which reason, and that the totals of a batch add up."""

from __future__ import annotations

import uuid
from itertools import pairwise

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scoreboard.domain.actions import ClientInfo, Receipt
from scoreboard.domain.grants import Grant
from scoreboard.domain.judgement import DAY_MS, Account, Award, BatchFacts, Claim, UsedAction, judge, judge_batch, latest
from scoreboard.domain.players import Player
from scoreboard.domain.refusals import ACTION_EXPIRED, INVALID_ACTION, Reason, Refusal
from scoreboard.domain.rules import ActionRule
from scoreboard.domain.standings import POINTS_MAX

NOW = 1_800_000_000_000
RULE = ActionRule(action_type="COMPLETE_QUEST", points=100)
RECEIPT = Receipt(points=100, total=100, rank=1, previous_rank=None)


def claim(user: str = "amy", action: int = 1, points: int = 100, rule: ActionRule = RULE, at_ms: int = NOW) -> Claim:
    grant = Grant(
        action_id=str(uuid.UUID(int=action, version=4)),
        user_id=user,
        action_type=rule.action_type,
        issued_at_ms=NOW - 1_000,
        not_before_ms=NOW - 1_000 + rule.duration_ms_min,
        expires_at_ms=NOW + 600_000,
        points=points,
        metadata=(),
    )
    return Claim(
        transaction_id=str(uuid.UUID(int=2**64 + action, version=4)),
        player=Player(user_id=user, username=user.title(), role="user", expires_at_s=2**33),
        grant=grant,
        rule=rule,
        metadata=(),
        client=ClientInfo(address="127.0.0.1", agent="test"),
        at_ms=at_ms,
    )


def no_facts() -> BatchFacts:
    return BatchFacts(suspended=set(), accounts={}, used={}, today={}, completed=set(), scores={})


def refused(verdict: Award | Refusal) -> Refusal:
    assert isinstance(verdict, Refusal)
    return verdict


def test_the_first_award_starts_at_zero_points() -> None:
    award = judge(claim(), no_facts())
    assert isinstance(award, Award)
    assert (award.score_before, award.score_after, award.version, award.actions) == (0, 100, 1, 1)
    assert award.standing().reached_at_ms == NOW


def test_a_retry_gets_the_original_receipt() -> None:
    facts = no_facts()
    facts.used["amy", claim().grant.action_id] = UsedAction(action_type="COMPLETE_QUEST", receipt=RECEIPT)
    verdict = refused(judge(claim(), facts))
    assert (verdict.reason, verdict.receipt) == (Reason.ACTION_ALREADY_USED, RECEIPT)


def test_a_retry_gets_the_receipt_even_after_the_action_expired() -> None:
    facts = no_facts()
    facts.used["amy", claim().grant.action_id] = UsedAction(action_type="COMPLETE_QUEST", receipt=RECEIPT)
    assert refused(judge(claim(at_ms=NOW + DAY_MS), facts)).receipt == RECEIPT


def test_a_used_action_id_with_another_type_gets_invalid_action() -> None:
    facts = no_facts()
    facts.used["amy", claim().grant.action_id] = UsedAction(action_type="FIND_KEY", receipt=RECEIPT)
    assert judge(claim(), facts) is INVALID_ACTION


def test_two_players_may_use_the_same_action_id() -> None:
    # The signature covers the player (tests/domain/test_grants.py), so an action is identified by its player and its id.
    facts = no_facts()
    facts.used["zed", claim().grant.action_id] = UsedAction(action_type="COMPLETE_QUEST", receipt=RECEIPT)
    assert isinstance(judge(claim(), facts), Award)


def test_an_action_is_refused_from_its_expiry_on() -> None:
    assert isinstance(judge(claim(at_ms=NOW + 599_999), no_facts()), Award)
    assert judge(claim(at_ms=NOW + 600_000), no_facts()) is ACTION_EXPIRED


def test_too_early_says_how_long_to_wait() -> None:
    slow = msgspec.structs.replace(RULE, duration_ms_min=5_500)
    verdict = refused(judge(claim(rule=slow), no_facts()))
    assert (verdict.reason, verdict.retry_after_s) == (Reason.ACTION_TOO_EARLY, 5)
    assert isinstance(judge(claim(rule=slow, at_ms=NOW + 4_500), no_facts()), Award)


def test_a_requirement_is_met_by_an_award_of_the_same_batch() -> None:
    boss = ActionRule(action_type="DEFEAT_BOSS", points=500, requires=("COMPLETE_QUEST",))
    assert refused(judge(claim(rule=boss), no_facts())).reason is Reason.REQUIREMENT_NOT_MET
    verdicts = judge_batch([claim(action=1), claim(action=2, rule=boss), claim("zed", 3, rule=boss)], no_facts())
    assert [type(verdict) for verdict in verdicts] == [Award, Award, Refusal]


def test_the_daily_limit_restarts_at_midnight_utc() -> None:
    daily = msgspec.structs.replace(RULE, daily_max=1)
    midnight = NOW - NOW % DAY_MS + DAY_MS
    claims = [claim(action=n, rule=daily, at_ms=at) for n, at in enumerate([midnight - 2, midnight - 1, midnight])]
    claims = [msgspec.structs.replace(c, grant=msgspec.structs.replace(c.grant, expires_at_ms=2**45)) for c in claims]
    verdicts = judge_batch(claims, no_facts())
    assert [type(verdict) for verdict in verdicts] == [Award, Refusal, Award]
    assert refused(verdicts[1]).reason is Reason.DAILY_LIMIT
    assert refused(verdicts[1]).retry_after_s == 1


@pytest.mark.parametrize(
    ("points", "total", "fits"), [(1, POINTS_MAX - 1, True), (1, POINTS_MAX, False), (-1, -POINTS_MAX, False)]
)
def test_an_award_beyond_the_exact_range_of_a_double_is_refused(points: int, total: int, fits: bool) -> None:
    facts = no_facts()
    facts.accounts["amy"] = Account(points=total, version=7)
    verdict = judge(claim(points=points), facts)
    assert isinstance(verdict, Award) if fits else refused(verdict).reason is Reason.SCORE_LIMIT


@given(st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 12), st.integers(-500, 500)), max_size=40))
def test_a_batch_awards_each_action_once_and_totals_equal_the_sum_of_entries(submitted: list[tuple[str, int, int]]) -> None:
    facts = no_facts()
    awards = [v for v in judge_batch([claim(*one) for one in submitted], facts) if isinstance(v, Award)]
    keys = {(award.user_id, award.claim.grant.action_id) for award in awards}
    assert len(keys) == len(awards) == len({(user, action) for user, action, _ in submitted})
    for user in "abc":
        mine = [award for award in awards if award.user_id == user]
        assert facts.accounts.get(user, Account()).points == sum(award.points for award in mine)
        assert [award.version for award in mine] == list(range(1, len(mine) + 1))
        assert all(after.score_before == before.score_after for before, after in pairwise(mine))
    assert {award.user_id: award.score_after for award in latest(awards)} == {a.user_id: a.score_after for a in awards}


@pytest.mark.parametrize("ahead_s", [61, 864_000, 2**40])
def test_a_name_from_a_time_that_has_not_come_yields_to_the_next_award(ahead_s: int) -> None:
    facts = no_facts()
    facts.accounts["amy"] = Account(points=1, version=1, username="Ahead", named_at_s=NOW // 1000 + ahead_s)
    (award,) = judge_batch([named("Now", NOW // 1000 - 10)], facts)
    assert isinstance(award, Award)
    assert (award.claim.player.username, award.claim.player.issued_at_s) == ("Now", NOW // 1000 - 10)


@given(st.integers(0, 2**53), st.integers(0, 2**53))
def test_no_token_names_a_player_for_a_time_after_the_ledgers_clock(first_s: int, second_s: int) -> None:
    """Two tokens of one player: the later one wins, and both count as issued by now at the latest."""
    now_s = NOW // 1000
    awards = judge_batch([named("First", first_s), named("Second", second_s, action=2)], no_facts())
    assert all(isinstance(award, Award) and award.claim.player.issued_at_s <= now_s for award in awards)
    shown = awards[1].claim.player.username if isinstance(awards[1], Award) else None
    assert shown == ("Second" if min(second_s, now_s) >= min(first_s, now_s) else "First")


def named(username: str, issued_at_s: int, action: int = 1) -> Claim:
    made = claim(action=action)
    player = msgspec.structs.replace(made.player, username=username, issued_at_s=issued_at_s)
    return msgspec.structs.replace(made, player=player)
