"""Contract of the ledger: the same tests run against the ledgers in memory, in SQLite and in PostgreSQL."""

from __future__ import annotations

import itertools
import json
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from scoreboard.domain.actions import ClientInfo
from scoreboard.domain.boards import GLOBAL_BOARD, BoardBucket
from scoreboard.domain.entries import RESET, Entry, EntryFilter, Finding, ResetOrder, ResetResult
from scoreboard.domain.errors import LedgerWentBack
from scoreboard.domain.judgement import DAY_MS, Award, Claim, Verdict
from scoreboard.domain.players import ledger_shard
from scoreboard.domain.refusals import Reason, Refusal
from scoreboard.domain.rules import ActionRule
from scoreboard.domain.standings import POINTS_MAX, Standing
from tests.storage.claims import NOW, award_in, claim, placed, receipt_in
from tests.storage.harnesses import Harness, MemoryHarness, harness_of

KINDS = ("memory", "sqlite", "postgresql")
EVERYTHING = EntryFilter()


@pytest.fixture(params=KINDS)
def harness(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Harness]:
    harness = harness_of(request.param, tmp_path)
    yield harness
    harness.close()


def order(user_id: str | None = None, at_ms: int = NOW) -> ResetOrder:
    return ResetOrder(
        reset_id="reset-1", user_ids=None if user_id is None else (user_id,), operator="root", reason="season's end", at_ms=at_ms
    )


def points_of(standings: list[Standing]) -> list[tuple[str, int]]:
    return [(standing.user_id, standing.points) for standing in standings]


def reason(verdict: Verdict) -> Reason:
    assert isinstance(verdict, Refusal)
    return verdict.reason


def test_the_first_award_of_a_player_opens_an_account(harness: Harness) -> None:
    (verdict,) = harness.do(harness.ledger.award([claim("amy", 100, username="Amy", avatar="https://cdn.example/a.png")], []))
    assert award_in(verdict).score_after == 100
    assert harness.do(harness.ledger.board(GLOBAL_BOARD).account("amy")) == Standing(
        user_id="amy",
        username="Amy",
        avatar="https://cdn.example/a.png",
        points=100,
        version=1,
        reached_at_ms=NOW,
        updated_at_ms=NOW,
    )


def test_the_name_and_avatar_of_the_newest_token_win(harness: Harness) -> None:
    def shown(*claims: Claim) -> tuple[list[str], str, str | None]:
        """The names of the standings for the board, and what the ledger has after the batch."""
        verdicts = harness.do(harness.ledger.award(list(claims), []))
        account = harness.do(harness.ledger.board(GLOBAL_BOARD).account("amy"))
        assert account is not None
        return [award_in(verdict).standing().username for verdict in verdicts], account.username, account.avatar

    old: dict[str, Any] = {"username": "Amy", "avatar": None, "issued_at_s": 1_000}
    new: dict[str, Any] = {"username": "Amélie", "avatar": "https://cdn.example/b.png", "issued_at_s": 2_000}
    assert shown(claim("amy", **old)) == (["Amy"], "Amy", None)
    assert shown(claim("amy", **new)) == (["Amélie"], "Amélie", new["avatar"])
    assert shown(claim("amy", **old)) == (["Amélie"], "Amélie", new["avatar"]), "another device with an older token"
    harness.do(harness.ledger.reset(order("amy", NOW + 1)))
    assert shown(claim("amy", **old)) == (["Amélie"], "Amélie", new["avatar"]), "a reset forgets no name"
    newest: dict[str, Any] = {"username": "A.", "issued_at_s": 3_000}
    batch = claim("amy", **old), claim("amy", **newest), claim("amy", **new)
    assert shown(*batch) == (["Amélie", "A.", "A."], "A.", None), "in one batch"
    assert shown(claim("amy", username="B.", issued_at_s=3_000)) == (["B."], "B.", None), "of two in one second the later award"
    assert [standing.username for standing in harness.do(harness.ledger.board(GLOBAL_BOARD).top(0, 5))] == ["B."]


def test_the_ledger_does_not_know_a_player_without_an_award(harness: Harness) -> None:
    assert harness.do(harness.ledger.board(GLOBAL_BOARD).account("amy")) is None
    assert harness.do(harness.ledger.board(GLOBAL_BOARD).accounts("", 10)) == []
    assert harness.do(harness.ledger.board(GLOBAL_BOARD).top(0, 10)) == []


def test_the_ledgers_clock_shows_the_time_of_the_call(harness: Harness) -> None:
    for _ in range(3):
        before_ms = time.time_ns() // 1_000_000
        answered_ms = harness.do(harness.ledger.clock_ms())
        assert before_ms - 1 <= answered_ms <= time.time_ns() // 1_000_000 + 1
        time.sleep(0.01)


def test_awards_add_up_within_a_batch_and_across_batches(harness: Harness) -> None:
    first = harness.do(harness.ledger.award([claim("amy", 100), claim("bob", 5), claim("amy", 50)], []))
    second = harness.do(harness.ledger.award([claim("bob", 7, at_ms=NOW + 1, username="Robert"), claim("cat", 0)], []))
    assert [award_in(verdict).score_after for verdict in first + second] == [100, 5, 150, 12, 0]
    amy, bob, cat = harness.do(harness.ledger.board(GLOBAL_BOARD).accounts_of(["amy", "bob", "cat"]))
    assert (amy.points, amy.version) == (150, 2)
    assert (bob.points, bob.version, bob.username, bob.reached_at_ms) == (12, 2, "Robert", NOW + 1)
    assert (cat.points, cat.version) == (0, 1)


def test_an_entry_has_all_details_of_its_award(harness: Harness) -> None:
    given = claim("amy", 100, metadata=(("difficulty", b'"hard"'), ("questId", b'"quest-123"')))
    harness.do(harness.ledger.award([claim("amy", 11)], []))
    harness.do(harness.ledger.award([given], []))
    assert harness.do(harness.ledger.entries(EntryFilter(action_id=given.grant.action_id), None, 10)) == [
        Entry(
            transaction_id=given.transaction_id,
            user_id="amy",
            action_id=given.grant.action_id,
            action_type="COMPLETE_QUEST",
            score_before=11,
            score_after=111,
            score_awarded=100,
            at_ms=NOW,
            ip_address="192.0.2.7",
            user_agent="test/1.0 (ünïcode)",
            validated=True,
            metadata='{"difficulty":"hard","questId":"quest-123"}',
        )
    ]


def test_an_action_is_awarded_once_and_a_retry_gets_its_receipt(harness: Harness) -> None:
    given = claim("amy", 100)
    (award,) = harness.do(harness.ledger.award([given], []))
    (early,) = harness.do(harness.ledger.award([given], []))
    assert receipt_in(early) == placed(award_in(award), None)[2]  # the ranks are not known yet
    harness.do(harness.ledger.award([claim("bob")], [placed(award_in(award), 3, 7)]))
    (late,) = harness.do(harness.ledger.award([given], []))
    assert receipt_in(late) == placed(award_in(award), 3, 7)[2]
    assert harness.do(harness.ledger.count_entries(EntryFilter(user_id="amy"))) == 1


def test_the_first_receipt_is_kept_also_when_its_ranks_arrive_with_the_retry(harness: Harness) -> None:
    given = claim("amy", 100)
    (award,) = harness.do(harness.ledger.award([given], []))
    (retried,) = harness.do(harness.ledger.award([given], [placed(award_in(award), 3)]))
    assert receipt_in(retried).rank == 3
    assert harness.do(harness.ledger.award([], [placed(award_in(award), 9)])) == []
    (again,) = harness.do(harness.ledger.award([given], []))
    assert receipt_in(again).rank == 3  # the original one


def test_a_receipt_without_a_rank_is_not_kept(harness: Harness) -> None:
    given = claim("amy", 100)
    (award,) = harness.do(harness.ledger.award([given], []))
    harness.do(harness.ledger.award([], [placed(award_in(award), None)]))
    harness.do(harness.ledger.award([], [placed(award_in(award), 2)]))
    (retried,) = harness.do(harness.ledger.award([given], []))
    assert receipt_in(retried).rank == 2


def test_two_players_may_use_the_same_action_id(harness: Harness) -> None:
    # The signature covers the player: only a server with the key can make two valid actions with one id.
    mine, yours = claim("amy", 100), claim("bob", 7)
    yours = replace(yours, grant=replace(yours.grant, action_id=mine.grant.action_id))
    harness.do(harness.ledger.award([mine], []))
    award_in(harness.do(harness.ledger.award([yours], []))[0])
    assert receipt_in(harness.do(harness.ledger.award([mine], []))[0]).points == 100
    assert receipt_in(harness.do(harness.ledger.award([yours], []))[0]).points == 7


def test_an_action_that_stands_twice_in_a_batch_is_awarded_once(harness: Harness) -> None:
    given = claim("amy", 100)
    first, second = harness.do(harness.ledger.award([given, given], []))
    assert receipt_in(second).total == award_in(first).score_after == 100


def test_a_refusal_writes_no_row(harness: Harness) -> None:
    too_late = claim("amy")
    too_late = replace(too_late, at_ms=too_late.grant.expires_at_ms)
    (verdict,) = harness.do(harness.ledger.award([too_late], []))
    assert reason(verdict) is Reason.ACTION_EXPIRED
    assert harness.do(harness.ledger.board(GLOBAL_BOARD).account("amy")) is None
    assert harness.do(harness.ledger.count_entries(EVERYTHING)) == 0


def test_a_daily_maximum_counts_by_action_type_player_and_utc_day(harness: Harness) -> None:
    rule = ActionRule(action_type="DAILY_LOGIN", points=10, daily_max=2)
    midnight = NOW - NOW % DAY_MS
    harness.do(harness.ledger.award([claim("amy", rule=rule, at_ms=midnight - 1), claim("amy", at_ms=midnight)], []))
    harness.do(harness.ledger.award([claim("amy", rule=rule, at_ms=midnight)], []))
    day = [claim("amy", rule=rule, at_ms=midnight + 1), claim("amy", rule=rule, at_ms=midnight + 2), claim("bob", rule=rule)]
    second, third, other = harness.do(harness.ledger.award(day, []))
    assert isinstance(second, Award)
    assert reason(third) is Reason.DAILY_LIMIT
    assert isinstance(other, Award)
    (tomorrow,) = harness.do(harness.ledger.award([claim("amy", rule=rule, at_ms=midnight + DAY_MS)], []))
    assert isinstance(tomorrow, Award)


def test_an_earlier_award_of_the_same_player_meets_a_requirement(harness: Harness) -> None:
    boss = ActionRule(action_type="DEFEAT_BOSS", points=500, requires=("COMPLETE_QUEST", "FIND_KEY"))
    key = ActionRule(action_type="FIND_KEY", points=1)
    harness.do(harness.ledger.award([claim("amy"), claim("bob"), claim("bob", rule=key)], []))
    early, keyed, late, bobs = harness.do(
        harness.ledger.award(
            [claim("amy", rule=boss), claim("amy", rule=key), claim("amy", rule=boss), claim("bob", rule=boss)], []
        )
    )
    assert reason(early) is Reason.REQUIREMENT_NOT_MET
    assert all(isinstance(verdict, Award) for verdict in (keyed, late, bobs))


def test_an_award_beyond_the_exact_range_of_a_double_is_refused(harness: Harness) -> None:
    full, over, less = harness.do(harness.ledger.award([claim("amy", POINTS_MAX), claim("amy", 1), claim("amy", -1)], []))
    assert isinstance(full, Award)
    assert reason(over) is Reason.SCORE_LIMIT
    assert award_in(less).score_after == POINTS_MAX - 1
    assert award_in(harness.do(harness.ledger.award([claim("bob", -POINTS_MAX)], []))[0]).score_after == -POINTS_MAX
    assert sorted(points_of(harness.do(harness.ledger.board(GLOBAL_BOARD).accounts("", 10)))) == [
        ("amy", POINTS_MAX - 1),
        ("bob", -POINTS_MAX),
    ]


def test_unusual_text_of_a_client_does_not_fail_the_batch(harness: Harness) -> None:
    deep = b"[" * 500 + b"]" * 500
    odd = claim(
        "amy",
        username='q"u\\o{t},e\0\ud800',
        avatar="\0",
        client=ClientInfo(address="::1", agent="a\0b\udfff'--"),
        metadata=(("a", b'"\\u0000\\ud83d"'), ("b", b"1e400"), ("d", deep), ("ключ", b'{"x":[null,true]}')),
    )
    first, second = harness.do(harness.ledger.award([odd, claim("bob")], []))
    assert isinstance(first, Award)
    assert isinstance(second, Award)
    (entry,) = harness.do(harness.ledger.entries(EntryFilter(user_id="amy"), None, 1))
    assert entry.user_agent == "a\ufffdb?'--"
    assert entry.metadata == '{"a":"\\u0000\\ud83d","b":1e400,"d":' + deep.decode() + ',"ключ":{"x":[null,true]}}'
    standing = harness.do(harness.ledger.board(GLOBAL_BOARD).account("amy"))
    assert standing is not None
    assert (standing.username, standing.avatar) == ('q"u\\o{t},e\ufffd?', "\ufffd")


def test_a_batch_of_256_claims_is_awarded_and_keeps_its_receipts(harness: Harness) -> None:
    claims = [claim(f"user-{number % 100:03}", number) for number in range(256)]
    verdicts = harness.do(harness.ledger.award(claims, []))
    receipts = [placed(award_in(verdict), rank) for rank, verdict in enumerate(verdicts, 1)]
    retried = harness.do(harness.ledger.award(claims, receipts))
    assert [receipt_in(verdict).rank for verdict in retried] == list(range(1, 257))
    assert harness.do(harness.ledger.count_entries(EVERYTHING)) == 256


def test_accounts_are_paged_by_shard_and_then_by_code_point(harness: Harness) -> None:
    users = ["Zed", "_x", "a-b", "a.b", "a_b", "ab", "b", *(f"user-{n}" for n in range(200))]
    harness.do(harness.ledger.award([claim(user, 1) for user in reversed(users)], []))
    seen: list[str] = []
    while page := harness.do(harness.ledger.board(GLOBAL_BOARD).accounts(seen[-1] if seen else "", 40)):
        assert len(page) <= 40
        seen += [standing.user_id for standing in page]
    assert seen == sorted(users, key=lambda user: (ledger_shard(user), user))


@pytest.mark.parametrize("limit", [1, 7, 100])
def test_ranked_players_are_paged_from_the_top_and_unranked_players_separately(harness: Harness, limit: int) -> None:
    # Many have equal points, and some of them the same time.
    entered = [(f"user-{n}", n % 3 - 1, NOW + n % 4) for n in range(40)]
    harness.do(harness.ledger.award([claim(user, points, at_ms=at_ms) for user, points, at_ms in entered], []))
    off = sorted(["user-3", "user-17", "user-38"], key=lambda user: (ledger_shard(user), user))
    for user in off:
        harness.do(harness.ledger.reset(order(user)))
    ranked: list[Standing] = []
    while page := harness.do(harness.ledger.board(GLOBAL_BOARD).ranked(ranked[-1] if ranked else None, limit)):
        assert len(page) <= limit
        ranked += page
    assert ranked == harness.do(harness.ledger.board(GLOBAL_BOARD).top(0, 100))
    assert len(ranked) == 37
    unranked: list[str] = []
    while page := harness.do(harness.ledger.board(GLOBAL_BOARD).unranked(unranked[-1] if unranked else "", limit)):
        assert len(page) <= limit
        assert {(one.points, one.version, one.reached_at_ms) for one in page} == {(0, 2, None)}
        unranked += [one.user_id for one in page]
    assert unranked == off


def test_the_accounts_of_several_players_are_read_in_one_call(harness: Harness) -> None:
    harness.do(harness.ledger.award([claim(user, points) for user, points in [("amy", 1), ("bob", 2), ("cat", 3)]], []))
    found = harness.do(harness.ledger.board(GLOBAL_BOARD).accounts_of(["cat", "stranger", "amy"]))
    assert sorted((one.user_id, one.points) for one in found) == [("amy", 1), ("cat", 3)]
    assert harness.do(harness.ledger.board(GLOBAL_BOARD).accounts_of([])) == []


def changes(harness: Harness, position: str, limit: int = 100) -> list[list[Standing]]:
    """The standings that changed since a position, one list for each page. Empty pages are left out."""
    pages: list[list[Standing]] = []
    after = ""
    while True:
        page = harness.do(harness.ledger.board(GLOBAL_BOARD).changed_since(position, after, limit))
        pages += [list(page.standings)] if page.standings else []
        after = page.after
        if not after:
            return pages


def changed(harness: Harness, position: str, limit: int = 100) -> list[list[str]]:
    """The user ids that changed since a position, one sorted list for each page."""
    return [sorted(one.user_id for one in page) for page in changes(harness, position, limit)]


def test_changed_since_lists_the_players_with_an_entry_that_was_committed_after_the_position(harness: Harness) -> None:
    first = harness.do(harness.ledger.board(GLOBAL_BOARD).position())
    harness.do(harness.ledger.award([claim("amy"), claim("bob")], []))
    second = harness.do(harness.ledger.board(GLOBAL_BOARD).position())
    harness.do(harness.ledger.award([claim("cat", at_ms=NOW - 3_600_000)], []))
    third = harness.do(harness.ledger.board(GLOBAL_BOARD).position())
    harness.do(harness.ledger.reset(order("amy", NOW - 1)))
    assert changed(harness, first) == [["amy", "bob", "cat"]]
    assert changed(harness, second) == [["amy", "cat"]]
    assert changed(harness, third) == [["amy"]]
    assert changed(harness, harness.do(harness.ledger.board(GLOBAL_BOARD).position())) == []
    (page,) = changes(harness, third)
    assert page == [harness.do(harness.ledger.board(GLOBAL_BOARD).account("amy"))]


def test_each_changed_player_is_read_once_with_small_pages(harness: Harness) -> None:
    before = harness.do(harness.ledger.board(GLOBAL_BOARD).position())
    users = [f"user-{n:02}" for n in range(23)]
    harness.do(harness.ledger.award([claim(user) for user in users[:20]], []))
    harness.do(harness.ledger.award([claim(user) for user in users[20:]], []))
    pages = changed(harness, before, 4)
    assert all(len(page) <= 4 for page in pages)
    assert sorted(user for page in pages for user in page) == users


def test_a_position_that_the_ledger_has_not_reached_raises_ledger_went_back(harness: Harness) -> None:
    harness.do(harness.ledger.award([claim("amy")], []))
    position = harness.do(harness.ledger.board(GLOBAL_BOARD).position())
    if "/" in position:  # PostgreSQL: a timeline and a snapshot
        timeline, _, snapshot = position.partition("/")
        later = f"{timeline}/{int(snapshot.split(':')[0]) + 1000}:{int(snapshot.split(':')[1]) + 1000}:"
        ahead = [later, f"{int(timeline) + 1}/{snapshot}"]
    else:
        ahead = [str(int(position) + 1)]
    if not isinstance(harness, MemoryHarness):
        ahead += ["zzz", "-1", "1/2", "1/2:x:", "1/2:3:4;5", "\u0661"]
    for one in ahead:
        with pytest.raises(LedgerWentBack):
            harness.do(harness.ledger.board(GLOBAL_BOARD).changed_since(one, "", 10))


def test_the_top_is_ordered_by_points_then_by_time_then_by_user_id_descending(harness: Harness) -> None:
    scores = [("amy", 50, 0), ("bob", 70, 9), ("cat", 70, 3), ("dan", -5, 0), ("eve", 70, 9), ("gus", 99, 0)]
    harness.do(harness.ledger.award([claim(user, points, at_ms=NOW + at) for user, points, at in scores], []))
    harness.do(harness.ledger.reset(order("gus")))
    best = harness.do(harness.ledger.board(GLOBAL_BOARD).top(0, 4))
    assert harness.do(harness.ledger.board(GLOBAL_BOARD).ranked_count()) == 5
    assert [standing.user_id for standing in best] == ["cat", "eve", "bob", "amy"]
    assert [standing.user_id for standing in harness.do(harness.ledger.board(GLOBAL_BOARD).top(4, 4))] == ["dan"]
    assert harness.do(harness.ledger.board(GLOBAL_BOARD).top(9, 4)) == []


def test_entries_are_filtered_and_paged_in_both_directions(harness: Harness) -> None:
    other = ActionRule(action_type="FIND_KEY", points=1)
    claims = [
        claim("amy" if n % 2 else "bob", n, at_ms=NOW + n // 3, rule=other if n % 5 == 0 else claim().rule) for n in range(20)
    ]
    harness.do(harness.ledger.award(claims, []))
    in_order = sorted((one.at_ms, one.transaction_id) for one in claims)
    for newest_first in (False, True):
        seen: list[tuple[int, str]] = []
        while page := harness.do(harness.ledger.entries(EVERYTHING, seen[-1] if seen else None, 3, newest_first)):
            seen += [(entry.at_ms, entry.transaction_id) for entry in page]
        assert seen == (in_order[::-1] if newest_first else in_order)
    window = EntryFilter(user_id="amy", since_ms=NOW + 2, until_ms=NOW + 4)
    expected = [n for n in range(20) if n % 2 and 2 <= n // 3 < 4]
    assert sorted(entry.score_awarded for entry in harness.do(harness.ledger.entries(window, None, 100))) == expected
    assert harness.do(harness.ledger.count_entries(window)) == len(expected)
    assert harness.do(harness.ledger.count_entries(EntryFilter(action_type="FIND_KEY"))) == 4


def test_a_reset_of_one_player_adds_an_entry(harness: Harness) -> None:
    harness.do(harness.ledger.award([claim("amy", 100), claim("bob", 30)], []))
    harness.do(harness.ledger.award([claim("amy", 50, at_ms=NOW + 5)], []))
    (standing,) = harness.do(harness.ledger.reset(order("amy", NOW + 9))).standings
    assert standing == harness.do(harness.ledger.board(GLOBAL_BOARD).account("amy"))
    assert (standing.points, standing.version, standing.reached_at_ms, standing.updated_at_ms) == (0, 3, None, NOW + 9)
    (entry,) = harness.do(harness.ledger.entries(EntryFilter(action_type=RESET), None, 10))
    assert (entry.user_id, entry.score_before, entry.score_after, entry.score_awarded) == ("amy", 150, 0, -150)
    assert (entry.at_ms, entry.validated) == (NOW + 9, True)
    assert uuid.UUID(entry.action_id).version == 4
    assert json.loads(entry.metadata) == {"operator": "root", "reason": "season's end", "resetId": "reset-1"}
    assert harness.do(harness.ledger.count_entries(EntryFilter(user_id="amy"))) == 3


def test_a_reset_of_all_players_skips_players_who_are_not_on_the_board(harness: Harness) -> None:
    harness.do(harness.ledger.award([claim("amy", 100), claim("bob", 0), claim("cat", -4)], []))
    harness.do(harness.ledger.reset(order("amy")))
    assert [standing.user_id for standing in harness.do(harness.ledger.reset(order())).standings] == ["bob", "cat"]
    assert harness.do(harness.ledger.reset(order())) == ResetResult(standings=[])
    assert harness.do(harness.ledger.reset(order("nobody"))) == ResetResult(standings=[])
    assert harness.do(harness.ledger.board(GLOBAL_BOARD).top(0, 10)) == []
    assert [one.points for one in harness.do(harness.ledger.board(GLOBAL_BOARD).accounts("", 10))] == [0, 0, 0]


def test_after_a_reset_totals_begin_at_zero_and_old_actions_stay_used(harness: Harness) -> None:
    old = claim("amy", 100)
    harness.do(harness.ledger.award([old], []))
    harness.do(harness.ledger.reset(order("amy")))
    retried, fresh = harness.do(harness.ledger.award([old, claim("amy", 7, at_ms=NOW + 1)], []))
    assert receipt_in(retried).total == 100
    assert (award_in(fresh).score_after, award_in(fresh).version, award_in(fresh).actions) == (7, 3, 1)
    assert award_in(fresh).created_at_ms == NOW


def test_epochs_only_rise_and_begin_at_the_current_time(harness: Harness) -> None:
    state = harness.do(harness.ledger.board(GLOBAL_BOARD).state())
    assert (state.epoch, state.epoch_run) == (0, "")
    harness.do(harness.ledger.ping())
    assert harness.do(harness.ledger.board(GLOBAL_BOARD).state()).epoch == 0
    first, second = (harness.do(harness.ledger.board(GLOBAL_BOARD).next_epoch(run)) for run in ("run-1", "run-2"))
    assert 1_790_000_000 < first < second
    harness.do(harness.ledger.ping())
    state = harness.do(harness.ledger.board(GLOBAL_BOARD).state())
    assert (state.epoch, state.epoch_run) == (second, "run-2")
    assert harness.do(harness.ledger.board(GLOBAL_BOARD).next_epoch("run-3", 9_000_000_000_000)) == 9_000_000_000_001
    assert harness.do(harness.ledger.board(GLOBAL_BOARD).next_epoch("run-2", 5)) == 9_000_000_000_002
    state = harness.do(harness.ledger.board(GLOBAL_BOARD).state())
    again = harness.do(harness.ledger.board(GLOBAL_BOARD).state())
    assert replace(again, followed_s_ago=state.followed_s_ago) == state, "a second may begin between the two"


def test_each_board_has_its_own_epochs(harness: Harness) -> None:
    beside = harness.ledger.board(BoardBucket(board_id="beside", bucket="2026-11-28"))
    epoch = harness.do(harness.ledger.board(GLOBAL_BOARD).next_epoch("run-1"))
    assert harness.do(beside.state()).epoch == 0
    later = harness.do(beside.next_epoch("run-2", 9_000_000_000_000))
    assert later == 9_000_000_000_001
    states = [harness.do(one.state()) for one in (harness.ledger.board(GLOBAL_BOARD), beside)]
    assert [(state.epoch, state.epoch_run) for state in states] == [(epoch, "run-1"), (later, "run-2")]


def test_note_followed_counts_only_for_the_redis_run_of_the_newest_epoch(harness: Harness) -> None:
    harness.do(harness.ledger.board(GLOBAL_BOARD).next_epoch("run-1"))
    harness.do(harness.ledger.board(GLOBAL_BOARD).note_followed("another"))
    harness.do(harness.ledger.board(GLOBAL_BOARD).note_followed("run-1"))
    assert harness.do(harness.ledger.board(GLOBAL_BOARD).state()).followed_s_ago <= 2


def test_verify_finds_only_the_total_that_was_tampered_with(harness: Harness) -> None:
    harness.do(harness.ledger.award([claim(user, points) for user in ("amy", "bob", "cat", "dan") for points in (5, 6)], []))
    harness.do(harness.ledger.reset(order("bob")))
    assert harness.do(harness.ledger.verify("", 10)) == (None, [])
    harness.tamper("cat", 1_000_000)
    in_order = sorted(("amy", "bob", "cat", "dan"), key=lambda user: (ledger_shard(user), user))
    middle, first = harness.do(harness.ledger.verify("", 2))
    last, second = harness.do(harness.ledger.verify(in_order[1], 2))
    assert (middle, last) == (in_order[1], in_order[3])
    (finding,) = first + second
    assert (finding.user_id, finding.where) == ("cat", "user_scores")
    assert (finding.expected, finding.found) == ("11 points from 2 entries", "1000000 points from 2 entries")
    assert harness.do(harness.ledger.verify(in_order[3], 2)) == (None, [])


def unlocked(verdicts: list[Verdict]) -> list[tuple[int, ...]]:
    return [award_in(verdict).unlocked for verdict in verdicts]


def test_a_milestone_is_unlocked_by_the_award_that_reaches_it(harness: Harness) -> None:
    marks = (100, 500, 1_000)
    first = [claim("amy", 99, milestones=marks), claim("amy", 1, milestones=marks), claim("bob", 100, milestones=marks)]
    assert unlocked(harness.do(harness.ledger.award(first, []))) == [(), (100,), (100,)]
    second = [claim("amy", 1, milestones=marks), claim("amy", 900, milestones=marks), claim("amy", 0, milestones=marks)]
    assert unlocked(harness.do(harness.ledger.award(second, []))) == [(), (500, 1_000), ()]


def test_an_award_without_milestones_unlocks_nothing(harness: Harness) -> None:
    assert unlocked(harness.do(harness.ledger.award([claim("amy", 1_000)], []))) == [()]
    # The player passed 500 points before.
    assert unlocked(harness.do(harness.ledger.award([claim("amy", 1_000, milestones=(500,))], []))) == [()]


def test_a_milestone_that_is_passed_again_is_not_unlocked_again(harness: Harness) -> None:
    marks = (100, 200)
    down_and_up = [claim("amy", points, milestones=marks) for points in (150, -100, 60, 100)]
    assert unlocked(harness.do(harness.ledger.award(down_and_up, []))) == [(100,), (), (), (200,)]
    harness.do(harness.ledger.reset(order("amy")))
    assert unlocked(harness.do(harness.ledger.award([claim("amy", 300, milestones=(100, 200, 300))], []))) == [(300,)]


def test_a_retry_unlocks_nothing(harness: Harness) -> None:
    given = claim("amy", 100, milestones=(100,))
    first, second = harness.do(harness.ledger.award([given, given], []))
    assert award_in(first).unlocked == (100,)
    assert receipt_in(second).total == 100
    (late,) = harness.do(harness.ledger.award([given], []))
    assert receipt_in(late).total == 100


_examples = itertools.count()
_points = st.one_of(st.integers(-1_000, 1_000), st.sampled_from([POINTS_MAX, -POINTS_MAX, POINTS_MAX - 1, 1, -1]))
_steps = st.lists(
    st.one_of(st.lists(st.tuples(st.integers(0, 2), _points, st.integers(0, 4)), min_size=1, max_size=5), st.integers(0, 2)),
    max_size=8,
)


@pytest.fixture(scope="module", params=KINDS)
def shared_harness(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Harness]:
    """One harness for all examples. Each example uses its own user ids."""
    harness = harness_of(request.param, tmp_path_factory.mktemp("shared"))
    yield harness
    harness.close()


def action_id(name: str) -> str:
    return str(uuid.UUID(bytes=uuid.uuid5(uuid.NAMESPACE_OID, name).bytes, version=4))


def all_findings(harness: Harness) -> list[Finding]:
    findings, after = [], ""
    while True:
        last, found = harness.do(harness.ledger.verify(after, 100))
        findings += found
        if last is None:
            return findings
        after = last


@settings(max_examples=25, deadline=None)
@given(_steps)
def test_totals_equal_the_sum_of_entries_after_any_awards_and_resets(
    shared_harness: Harness, steps: list[list[tuple[int, int, int]] | int]
) -> None:
    harness, name = shared_harness, f"example-{next(_examples)}"
    totals: dict[str, int] = {}
    used: set[str] = set()
    for at, step in enumerate(steps):
        if isinstance(step, int):
            harness.do(harness.ledger.reset(order(f"{name}.{step}", NOW + at)))
            totals[f"{name}.{step}"] = 0
            continue
        claims = [
            claim(f"{name}.{user}", points, action=action_id(f"{name}.{user}.{action}"), at_ms=NOW + at)
            for user, points, action in step
        ]
        for given_claim, verdict in zip(claims, harness.do(harness.ledger.award(claims, [])), strict=True):
            user_id, total = given_claim.player.user_id, totals.get(given_claim.player.user_id, 0)
            fits = abs(total + given_claim.grant.points) <= POINTS_MAX
            assert isinstance(verdict, Award) == (given_claim.grant.action_id not in used and fits)
            if isinstance(verdict, Award):
                used.add(given_claim.grant.action_id)
                totals[user_id] = total + given_claim.grant.points
    for user in range(3):
        user_id = f"{name}.{user}"
        standing = harness.do(harness.ledger.board(GLOBAL_BOARD).account(user_id))
        entries = harness.do(harness.ledger.entries(EntryFilter(user_id=user_id), None, 100))
        assert (standing.points if standing else 0) == sum(one.score_awarded for one in entries) == totals.get(user_id, 0)
        assert (standing.version if standing else 0) == len(entries)
    assert all_findings(harness) == []


@settings(max_examples=25, deadline=None)
@given(
    st.lists(
        st.one_of(st.lists(st.tuples(st.integers(0, 2), st.integers(-300, 300)), min_size=1, max_size=6), st.integers(0, 2)),
        max_size=8,
    ),
    st.sets(st.integers(1, 600), max_size=5),
)
def test_each_player_unlocks_each_milestone_once_and_only_from_below(
    shared_harness: Harness, steps: list[list[tuple[int, int]] | int], chosen: set[int]
) -> None:
    harness, name, marks = shared_harness, f"climber-{next(_examples)}", tuple(sorted(chosen))
    totals: dict[str, int] = {}
    reached: set[tuple[str, int]] = set()
    for at, step in enumerate(steps):
        if isinstance(step, int):
            harness.do(harness.ledger.reset(order(f"{name}.{step}", NOW + at)))
            totals[f"{name}.{step}"] = 0
            continue
        claims = [claim(f"{name}.{user}", points, at_ms=NOW + at, milestones=marks) for user, points in step]
        for verdict in harness.do(harness.ledger.award(claims, [])):
            award = award_in(verdict)
            before, after = totals.get(award.user_id, 0), totals.get(award.user_id, 0) + award.points
            new = {mark for mark in marks if before < mark <= after and (award.user_id, mark) not in reached}
            assert award.unlocked == tuple(sorted(new))
            reached |= {(award.user_id, mark) for mark in new}
            totals[award.user_id] = after
