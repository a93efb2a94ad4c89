"""Tests of `scoreboard replay`."""

from __future__ import annotations

import json

import msgspec

from scoreboard.domain.boards import GLOBAL_BOARD, BoardBucket, BoardDefinition
from scoreboard.domain.errors import StoreUnavailable
from scoreboard.storage.memory.board import MemoryBoard
from tests.awaiting import result_of
from tests.cli.harness import NOW_MS, CliHarness, action_id


def test_check_prints_player_address_and_time_of_an_awarded_action(cli: CliHarness) -> None:
    cli.award("user-1", number=1)
    checked = cli.run("replay", "check", action_id(1))
    assert checked.exit_code == 0
    assert checked.stdout == f"{action_id(1)}  awarded +100 to user-1 from 203.0.113.7 at 2026-11-22T10:30:01.000Z\n"


def test_check_exits_with_1_for_an_action_that_was_not_awarded(cli: CliHarness) -> None:
    checked = cli.run("replay", "check", action_id(1))
    assert (checked.exit_code, checked.stdout) == (1, f"{action_id(1)}  never awarded\n")
    checked = cli.run("replay", "check", "x\x1b")
    assert (checked.exit_code, checked.stdout.startswith("x\\x1b  never awarded: this is no action id")) == (1, True)


def test_check_reads_ids_from_stdin_and_answers_in_order(cli: CliHarness) -> None:
    cli.award("user-1", number=1)
    cli.award("user-1", number=3)
    ids = [action_id(number) for number in (3, 2, 1)]
    checked = cli.run("replay", "check", "--json", answer="\n".join(ids) + "\n\n")
    answers = [json.loads(text_line) for text_line in checked.stdout.splitlines()]
    assert checked.exit_code == 1
    assert [(answer["action_id"], answer["awarded"]) for answer in answers] == list(zip(ids, (True, False, True), strict=True))
    assert answers[0]["ip_address"] == "203.0.113.7"


def test_check_refuses_too_many_ids_before_it_opens_the_stores(cli: CliHarness) -> None:
    assert cli.run("replay", "check", answer="x\n" * 100_001).exit_code == 2
    assert cli.admin.opened == []


def award_players(cli: CliHarness, players: int = 3) -> CliHarness:
    for number in range(players):
        cli.award(f"user-{number}", number=number)
    return cli


def findings(cli: CliHarness, *options: str) -> list[dict[str, str]]:
    ended = cli.run("replay", "verify", "--json", *options)
    report = json.loads(ended.stdout)
    assert ended.exit_code == (1 if report["findings_total"] else 0)
    found: list[dict[str, str]] = report["findings"]
    return found


def test_verify_reports_a_consistent_ledger_and_board(cli: CliHarness) -> None:
    award_players(cli)
    ended = cli.run("replay", "verify")
    assert (ended.exit_code, ended.stdout) == (0, "All totals are right. 3 players, compared with Redis.\n")


def test_verify_finds_a_tampered_total(cli: CliHarness) -> None:
    award_players(cli)
    standings = cli.admin.ledger.standings
    standings["user-1"] = msgspec.structs.replace(standings["user-1"], points=999)
    assert [(finding["user_id"], finding["where"]) for finding in findings(cli)] == [
        ("user-1", "user_scores"),
        ("user-1", "board"),  # the board is compared with the total that is wrong now
    ]


def test_verify_finds_and_repairs_a_board_that_differs_from_the_ledger(cli: CliHarness) -> None:
    award_players(cli)
    wrong = result_of(cli.admin.ledger.board(GLOBAL_BOARD).account("user-1"))
    result_of(cli.admin.board.set([msgspec.structs.replace(wrong, points=9_999, version=wrong.version + 1)]))
    assert findings(cli) == [
        {"user_id": "user-1", "where": "board", "expected": "100 points (version 1)", "found": "9,999 points (version 2)"}
    ]
    repaired = cli.run("replay", "verify", "--repair")
    assert repaired.exit_code == 1
    assert "The boards in Redis are rebuilt; 3 players on the global one." in repaired.stdout
    assert findings(cli) == []


def test_verify_finds_a_player_who_is_not_in_the_ledger(cli: CliHarness) -> None:
    award_players(cli)
    unknown = msgspec.structs.replace(result_of(cli.admin.ledger.board(GLOBAL_BOARD).account("user-1")), user_id="unknown")
    result_of(cli.admin.board.set([unknown]))
    assert [finding["user_id"] for finding in findings(cli)] == ["unknown"]


def test_verify_rereads_the_board_before_a_difference_counts(cli: CliHarness) -> None:
    award_players(cli)
    standing = result_of(cli.admin.ledger.board(GLOBAL_BOARD).account("user-1"))
    cli.admin.ledger.standings["user-1"] = msgspec.structs.replace(standing, points=0, version=0)
    cli.clock.callLater(0.7, cli.admin.ledger.standings.update, {"user-1": standing})
    assert [finding["where"] for finding in findings(cli)] == ["user_scores"]


def test_an_empty_redis_is_a_single_finding(cli: CliHarness) -> None:
    award_players(cli)
    cli.server_board.shared_state.lose()
    assert [(finding["user_id"], finding["found"]) for finding in findings(cli)] == [("*", "there is no board in Redis")]
    findings(cli, "--repair")
    assert findings(cli) == []


def test_verify_finds_a_reset_player_who_is_still_on_the_board(cli: CliHarness) -> None:
    award_players(cli)
    cli.run("reset", "user", "user-1", "--reason", "r", "--yes")
    assert findings(cli) == []
    back = msgspec.structs.replace(result_of(cli.admin.ledger.board(GLOBAL_BOARD).account("user-1")), reached_at_ms=1, version=9)
    result_of(cli.server_board.set([back]))
    assert [(finding["user_id"], finding["expected"]) for finding in findings(cli)] == [("user-1", "not on the board")]


def test_verify_checks_only_the_ledger_while_the_server_is_down(cli: CliHarness) -> None:
    award_players(cli)
    cli.admin.board = None
    checked = cli.run("replay", "verify", "--repair")
    assert checked.exit_code == 0
    assert checked.stdout == "All totals are right. 3 players, Redis not compared: the server is not running.\n"


def test_verify_lists_1000_findings_and_counts_all(cli: CliHarness) -> None:
    award_players(cli, 1_100)
    standings = cli.admin.ledger.standings
    standings.update({user_id: msgspec.structs.replace(one, points=1) for user_id, one in standings.items()})
    cli.admin.board = None
    report = json.loads(cli.run("replay", "verify", "--json").stdout)
    assert (report["findings_total"], len(report["findings"])) == (1_100, 1_000)
    assert "… and 100 more" in cli.run("replay", "verify").stdout


def test_an_unreadable_board_is_a_finding_and_can_be_repaired(cli: CliHarness) -> None:
    award_players(cli)

    async def unreadable(user_ids: object) -> list[object]:
        raise StoreUnavailable("a ranked player without a record")

    cli.admin.board.totals_of = unreadable
    assert [(finding["user_id"], finding["found"]) for finding in findings(cli)] == [("*", "a ranked player without a record")]
    assert "The boards in Redis are rebuilt; 3 players on the global one." in cli.run("replay", "verify", "--repair").stdout


def test_verify_exits_with_3_while_redis_does_not_answer(cli: CliHarness) -> None:
    award_players(cli)
    cli.admin.board.broken = True
    ended = cli.run("replay", "verify", "--json")
    assert (ended.exit_code, ended.stdout) == (3, "")


def test_verify_finds_what_is_wrong_on_another_board_in_redis_and_repairs_it(cli: CliHarness) -> None:
    wins = BoardBucket(board_id="wins")
    result_of(cli.admin.ledger.declare_boards([BoardDefinition(board_id="wins", title="Wins", score="count")]))
    result_of(cli.admin.ledger.fill_boards(100))
    award_players(cli)
    board = cli.admin.other_boards[wins] = MemoryBoard(wins, lambda: NOW_MS)
    assert findings(cli) == [], "no server has opened it"
    (right,) = result_of(cli.admin.ledger.board(wins).accounts_of(["user-1"]))
    result_of(board.begin(1))
    result_of(board.set([msgspec.structs.replace(right, points=5), msgspec.structs.replace(right, user_id="ghost")]))
    expected = [
        ("user-0", "wins in Redis", "not on the board"),
        ("user-1", "wins in Redis", "5 points (version 1)"),
        ("user-2", "wins in Redis", "not on the board"),
        ("ghost", "wins in Redis", "1 points"),
    ]
    found = findings(cli, "--repair")
    assert sorted((one["user_id"], one["where"], one["found"]) for one in found) == sorted(expected)
    assert findings(cli) == []
