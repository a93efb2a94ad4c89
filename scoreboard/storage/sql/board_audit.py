"""Audit of boards: compares the standings of players with what their entries make of each board."""

from __future__ import annotations

from sqlalchemy import Connection

from scoreboard.domain.board_scores import BoardScore, fold
from scoreboard.domain.boards import BoardBucket
from scoreboard.domain.entries import Finding
from scoreboard.storage.sql.board_entries import PlayerKey, entries_of_players, fed_boards, standings_of_players

_NOTHING = "no standing"


def board_findings(connection: Connection, first: PlayerKey, last: PlayerKey) -> list[Finding]:
    """What differs for the players from ``first`` to ``last``, on the boards whose standings are filled in."""
    boards = [board for board in fed_boards(connection) if board.filled_through is None]
    names = {board.number: board.definition.board_id for board in boards}
    expected = {
        (user_id, score.bucket): _said(score)
        for user_id, entries in entries_of_players(connection, first, last)
        for board in boards
        for score in fold(board.definition, entries).values()
    }
    found = {}
    for user_id, number, name, score, reached_at_ms, version, actions in standings_of_players(
        connection, set(names), first, last
    ):
        bucket = BoardBucket(board_id=names[number], bucket=name)
        found[user_id, bucket] = _said(
            BoardScore(bucket=bucket, score=score, reached_at_ms=reached_at_ms, version=version, actions=actions)
        )
    return [
        Finding(
            user_id=user_id,
            where=bucket.key,
            expected=expected.get((user_id, bucket), _NOTHING),
            found=found.get((user_id, bucket), _NOTHING),
        )
        for user_id, bucket in sorted(expected.keys() | found.keys(), key=lambda key: (key[0], key[1].key))
        if expected.get((user_id, bucket)) != found.get((user_id, bucket))
    ]


def _said(score: BoardScore) -> str:
    if score.reached_at_ms is None:
        return f"off the board at entry {score.version}"
    return f"{score.score} points at entry {score.version} from {score.actions} awards, reached at {score.reached_at_ms}"
