"""The register's rows, in portable SQL: the blocking halves of storage/sql/players.py, one that reads and one that changes."""

from __future__ import annotations

from typing import Final

from sqlalchemy import Boolean, Connection, cast, func, insert, null, select, union_all, update
from sqlalchemy.dialects import postgresql

from scoreboard.domain.players import Achievement, PlayerChange, PlayerSettings, SuspensionOrder, ledger_shard
from scoreboard.storage.sql.award import sanitize_text
from scoreboard.storage.sql.session import SqlSession
from scoreboard.storage.sql.tables import (
    achievements,
    beyond_player,
    of_player,
    player_changes,
    player_settings,
    suspensions,
    user_scores,
)

_WISH: Final = player_settings.c
_ORDER: Final = suspensions.c
_UNLOCKED: Final = achievements.c
_LATER: Final = suspensions.alias("later")
#: Every suspension that no later order about the same player has replaced.
_STANDS: Final = (
    _ORDER.revision
    == select(func.max(_LATER.c.revision))
    .where(_LATER.c.ledger_shard == _ORDER.ledger_shard, _LATER.c.user_id == _ORDER.user_id)
    .scalar_subquery()
)
#: How long a suspension waits for the player's row; within the deadline of a change (register.py).
ACCOUNT_LOCK_MS_MAX: Final = 4_000
_UNSAID: Final = cast(null(), Boolean)


class PlayerQueries(SqlSession):
    """What is asked of the register."""

    def achievements(self, user_id: str) -> list[Achievement]:
        """As boundaries.Register.achievements."""
        asked = (
            select(_UNLOCKED.milestone, _UNLOCKED.action_id, _UNLOCKED.unlocked_at)
            .where(*of_player(_UNLOCKED, user_id))
            .order_by(_UNLOCKED.unlocked_at, _UNLOCKED.milestone)
        )
        with self.reading() as connection:
            return [
                Achievement(milestone=milestone, action_id=action_id, at_ms=at_ms)
                for milestone, action_id, at_ms in connection.execute(asked)
            ]

    def settings(self, user_id: str) -> PlayerSettings:
        """As boundaries.Register.settings."""
        with self.reading() as connection:
            spectators = connection.scalar(select(_WISH.spectators).where(*of_player(_WISH, user_id)))
        return PlayerSettings() if spectators is None else PlayerSettings(spectators=spectators)

    def suspensions(self, user_id: str, limit: int) -> list[SuspensionOrder]:
        """As boundaries.Register.suspensions."""
        asked = select(suspensions).where(*of_player(_ORDER, user_id)).order_by(_ORDER.revision.desc()).limit(limit)
        with self.reading() as connection:
            return [
                SuspensionOrder(
                    suspension_id=row.suspension_id,
                    user_id=row.user_id,
                    suspended=row.suspended,
                    operator=row.operator,
                    reason=row.reason,
                    at_ms=row.at,
                )
                for row in connection.execute(asked)
            ]

    def suspended(self, after_user_id: str, limit: int) -> list[str]:
        """As boundaries.Register.suspended."""
        asked = (
            select(_ORDER.user_id)
            .where(beyond_player(_ORDER, after_user_id), _ORDER.suspended, _STANDS)
            .order_by(_ORDER.ledger_shard, _ORDER.user_id)
            .limit(limit)
        )
        with self.reading() as connection:
            return list(connection.scalars(asked))

    def private(self, after_user_id: str, limit: int) -> list[str]:
        """As boundaries.Register.private."""
        private = select(_WISH.user_id).where(beyond_player(_WISH, after_user_id), ~_WISH.spectators)
        asked = private.order_by(_WISH.ledger_shard, _WISH.user_id).limit(limit)
        with self.reading() as connection:
            return list(connection.scalars(asked))

    def revision(self) -> int:
        """As boundaries.PlayerStore.revision."""
        with self.reading() as connection:
            return connection.scalar(select(player_changes.c.number)) or 0

    def changes_since(self, after: int, limit: int) -> list[PlayerChange]:
        """As boundaries.Register.turns. One statement: what it sees of both tables is of one moment."""
        wished = select(_WISH.revision.label("number"), _WISH.user_id, _UNSAID.label("suspended"), _WISH.spectators)
        ordered = select(_ORDER.revision, _ORDER.user_id, _ORDER.suspended, _UNSAID)
        both = union_all(wished.where(_WISH.revision > after), ordered.where(_ORDER.revision > after))
        with self.reading() as connection:
            return [
                PlayerChange(revision=number, user_id=user_id, suspended=suspended, spectators=spectators)
                for number, user_id, suspended, spectators in connection.execute(both.order_by("number").limit(limit))
            ]


class PlayerWriter(SqlSession):
    """What is entered into the register. Each change takes a number, and with it the lock that orders all changes."""

    def change_settings(self, user_id: str, settings: PlayerSettings, at_ms: int) -> int:
        """As boundaries.Register.change_settings."""
        with self.writing() as connection:
            revision = _next_revision(connection)
            said = {"spectators": settings.spectators, "changed_at": at_ms, "revision": revision}
            changed = connection.execute(update(player_settings).where(*of_player(_WISH, user_id)).values(said))
            if changed.rowcount == 0:  # nobody else can have entered it since: we hold the revision
                connection.execute(insert(player_settings).values(ledger_shard=ledger_shard(user_id), user_id=user_id, **said))
        return revision

    def suspend(self, order: SuspensionOrder) -> bool:
        """As boundaries.Register.suspend."""
        with self.writing() as connection:
            # The account first: who waits for a player's row must not hold up the changes of all others.
            _lock_account(connection, order.user_id, order.at_ms)
            revision = _next_revision(connection)
            stands = connection.scalar(
                select(_ORDER.suspended).where(*of_player(_ORDER, order.user_id)).order_by(_ORDER.revision.desc()).limit(1)
            )
            if bool(stands) == order.suspended:
                connection.rollback()  # the number, too, is given back
                return False
            connection.execute(
                insert(suspensions).values(
                    suspension_id=order.suspension_id,
                    ledger_shard=ledger_shard(order.user_id),
                    user_id=order.user_id,
                    suspended=order.suspended,
                    operator=sanitize_text(order.operator),
                    reason=sanitize_text(order.reason),
                    at=order.at_ms,
                    revision=revision,
                )
            )
        return True


def _next_revision(connection: Connection) -> int:
    """The number of the change that this transaction makes; until it ends nobody else gets one."""
    number: int = connection.execute(
        update(player_changes).values(number=player_changes.c.number + 1).returning(player_changes.c.number)
    ).scalar_one()
    return number


def _lock_account(connection: Connection, user_id: str, at_ms: int) -> None:
    """Lock the player's account until the commit, so that no award of the player is under way or begins meanwhile.

    An award locks its players' accounts before it asks who is suspended, so one of the two transactions is first. A player
    without an account gets one of version 0, which no reader sees: otherwise a first award could commit beside us. SQLite has one
    writer at a time, and this transaction is it.
    """
    if connection.dialect.name == "sqlite":
        return
    connection.exec_driver_sql(
        f"SET LOCAL lock_timeout = {ACCOUNT_LOCK_MS_MAX}; SET LOCAL statement_timeout = {ACCOUNT_LOCK_MS_MAX}"
    )
    account = {
        "ledger_shard": ledger_shard(user_id),
        "user_id": user_id,
        "username": user_id,
        "score": 0,
        "version": 0,
        "total_actions": 0,
    }
    opened = postgresql.insert(user_scores).values(**account, last_updated=at_ms, created_at=at_ms)
    connection.execute(opened.on_conflict_do_nothing(index_elements=["ledger_shard", "user_id"]))
    connection.execute(select(user_scores.c.user_id).where(*of_player(user_scores.c, user_id)).with_for_update(key_share=True))
