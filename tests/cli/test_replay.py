"""`scoreboard replay`: was it awarded, and does everything add up?"""

from __future__ import annotations

import json

import msgspec

from scoreboard.boundaries import StoreUnavailable
from tests.awaiting import result_of
from tests.cli.harness import House, action_id


def test_an_awarded_action_is_told_with_when_to_whom_and_from_where(house: House) -> None:
    house.award("user-1", number=1)
    checked = house.scoreboard("replay", "check", action_id(1))
    assert checked.exit_code == 0
    assert checked.stdout == f"{action_id(1)}  awarded +100 to user-1 from 203.0.113.7 at 2026-11-22T10:30:01.000Z\n"


def test_one_that_was_not_is_a_finding(house: House) -> None:
    checked = house.scoreboard("replay", "check", action_id(1))
    assert (checked.exit_code, checked.stdout) == (1, f"{action_id(1)}  never awarded\n")
    checked = house.scoreboard("replay", "check", "x\x1b")
    assert (checked.exit_code, checked.stdout.startswith("x\\x1b  never awarded: this is no action id")) == (1, True)


def test_many_come_from_stdin_and_are_answered_in_order(house: House) -> None:
    house.award("user-1", number=1)
    house.award("user-1", number=3)
    ids = [action_id(number) for number in (3, 2, 1)]
    checked = house.scoreboard("replay", "check", "--json", answer="\n".join(ids) + "\n\n")
    answers = [json.loads(line) for line in checked.stdout.splitlines()]
    assert checked.exit_code == 1
    assert [(answer["action_id"], answer["awarded"]) for answer in answers] == list(zip(ids, (True, False, True), strict=True))
    assert answers[0]["ip_address"] == "203.0.113.7"


def test_too_many_are_refused_before_any_is_looked_up(house: House) -> None:
    assert house.scoreboard("replay", "check", answer="x\n" * 100_001).exit_code == 2
    assert house.root.opened == []


def a_house_with_players(house: House, players: int = 3) -> House:
    for number in range(players):
        house.award(f"user-{number}", number=number)
    return house


def findings(house: House, *options: str) -> list[dict[str, str]]:
    ended = house.scoreboard("replay", "verify", "--json", *options)
    report = json.loads(ended.stdout)
    assert ended.exit_code == (1 if report["findings_total"] else 0)
    found: list[dict[str, str]] = report["findings"]
    return found


def test_what_adds_up_is_told(house: House) -> None:
    a_house_with_players(house)
    ended = house.scoreboard("replay", "verify")
    assert (ended.exit_code, ended.stdout) == (0, "All totals add up. 3 players, compared with Redis.\n")


def test_a_tampered_total_is_found(house: House) -> None:
    a_house_with_players(house)
    standings = house.root.ledger.standings
    standings["user-1"] = msgspec.structs.replace(standings["user-1"], points=999)
    assert [(finding["user_id"], finding["where"]) for finding in findings(house)] == [
        ("user-1", "user_scores"),
        ("user-1", "board"),  # the board is compared with the total that is wrong now
    ]


def test_a_board_that_shows_something_else_is_found_and_repaired(house: House) -> None:
    a_house_with_players(house)
    wrong = result_of(house.root.ledger.account("user-1"))
    result_of(house.root.board.set([msgspec.structs.replace(wrong, points=9_999, version=wrong.version + 1)]))
    assert findings(house) == [
        {
            "user_id": "user-1",
            "where": "board",
            "expected": "100 points (version 1)",
            "found": "9,999 points (version 2)",
        }
    ]
    repaired = house.scoreboard("replay", "verify", "--repair")
    assert repaired.exit_code == 1
    assert "The board is rebuilt: 3 players." in repaired.stdout
    assert findings(house) == []


def test_a_player_whom_the_ledger_never_heard_of_is_found(house: House) -> None:
    a_house_with_players(house)
    stranger = msgspec.structs.replace(result_of(house.root.ledger.account("user-1")), user_id="stranger")
    result_of(house.root.board.set([stranger]))
    assert [finding["user_id"] for finding in findings(house)] == ["stranger"]


def test_what_is_only_in_flight_is_no_finding(house: House) -> None:
    a_house_with_players(house)
    standing = result_of(house.root.ledger.account("user-1"))
    house.root.ledger.standings["user-1"] = msgspec.structs.replace(standing, points=0, version=0)
    house.clock.callLater(0.7, house.root.ledger.standings.update, {"user-1": standing})
    assert [finding["where"] for finding in findings(house)] == ["user_scores"]


def test_an_empty_redis_is_one_finding_and_not_one_a_player(house: House) -> None:
    a_house_with_players(house)
    house.server.canvas.lose()
    assert [(finding["user_id"], finding["found"]) for finding in findings(house)] == [("*", "nothing is drawn")]
    findings(house, "--repair")
    assert findings(house) == []


def test_a_player_taken_off_the_board_is_due_to_be_off_it(house: House) -> None:
    a_house_with_players(house)
    house.scoreboard("reset", "user", "user-1", "--reason", "r", "--yes")
    assert findings(house) == []
    back = msgspec.structs.replace(result_of(house.root.ledger.account("user-1")), reached_at_ms=1, version=9)
    result_of(house.server.set([back]))
    assert [(finding["user_id"], finding["expected"]) for finding in findings(house)] == [("user-1", "not on the board")]


def test_while_the_server_is_down_the_ledger_alone_is_checked(house: House) -> None:
    a_house_with_players(house)
    house.root.board = None
    checked = house.scoreboard("replay", "verify", "--repair")
    assert checked.exit_code == 0
    assert checked.stdout == "All totals add up. 3 players, Redis not compared: the server is not running.\n"


def test_more_than_a_thousand_findings_are_counted_and_not_all_listed(house: House) -> None:
    a_house_with_players(house, 1_100)
    standings = house.root.ledger.standings
    standings.update({user_id: msgspec.structs.replace(one, points=1) for user_id, one in standings.items()})
    house.root.board = None
    report = json.loads(house.scoreboard("replay", "verify", "--json").stdout)
    assert (report["findings_total"], len(report["findings"])) == (1_100, 1_000)
    assert "… and 100 more" in house.scoreboard("replay", "verify").stdout


def test_a_board_that_cannot_be_read_is_a_finding_and_can_be_repaired(house: House) -> None:
    a_house_with_players(house)

    async def spoilt(user_ids: object) -> list[object]:
        raise StoreUnavailable("a ranked player without a record")

    house.root.board.drawn = spoilt
    assert [(finding["user_id"], finding["found"]) for finding in findings(house)] == [("*", "a ranked player without a record")]
    assert "The board is rebuilt: 3 players." in house.scoreboard("replay", "verify", "--repair").stdout


def test_a_redis_that_is_away_is_no_finding_but_3(house: House) -> None:
    a_house_with_players(house)
    house.root.board.broken = True
    ended = house.scoreboard("replay", "verify", "--json")
    assert (ended.exit_code, ended.stdout) == (3, "")
