"""Queries and changes of the player store, in portable SQL: the blocking halves of storage/sql/players.py."""

from __future__ import annotations

from typing import Final

from sqlalchemy import Boolean, Connection, cast, func, insert, null, select, union_all, update
from sqlalchemy.dialects import postgresql

from scoreboard.domain.players import Achievement, PlayerChange, PlayerSettings, SuspensionOrder, ledger_shard
from scoreboard.storage.sql.award_rows import sanitize_text
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

_SETTINGS: Final = player_settings.c
_ORDER: Final = suspensions.c
_UNLOCKED: Final = achievements.c
_LATER: Final = suspensions.alias("later")
#: Holds for a player's newest order.
_IS_NEWEST: Final = (
    _ORDER.revision
    == select(func.max(_LATER.c.revision))
    .where(_LATER.c.ledger_shard == _ORDER.ledger_shard, _LATER.c.user_id == _ORDER.user_id)
    .scalar_subquery()
)
#: How long a suspension waits for the player's row. It must be less than the deadline of a change (players.py).
ACCOUNT_LOCK_MS_MAX: Final = 4_000
_NULL: Final = cast(null(), Boolean)


class PlayerQueries(SqlSession):
    """The blocking half of boundaries.PlayerStore that reads: methods of the same names, with the same promises."""

    def achievements(self, user_id: str) -> list[Achievement]:
        """The player's achievements, oldest first."""
        asked = (
            select(_UNLOCKED.milestone, _UNLOCKED.action_id, _UNLOCKED.unlocked_at)
            .where(*of_player(_UNLOCKED, user_id))
            .order_by(_UNLOCKED.unlocked_at, _UNLOCKED.milestone)
        )
        return [
            Achievement(milestone=milestone, action_id=action_id, at_ms=at_ms) for milestone, action_id, at_ms in self.rows(asked)
        ]

    def settings(self, user_id: str) -> PlayerSettings:
        """The player's settings, or the defaults."""
        found = self.rows(select(_SETTINGS.spectators).where(*of_player(_SETTINGS, user_id)))
        return PlayerSettings(spectators=found[0].spectators) if found else PlayerSettings()

    def suspensions(self, user_id: str, limit: int) -> list[SuspensionOrder]:
        """The newest orders about a player, newest first."""
        asked = select(suspensions).where(*of_player(_ORDER, user_id)).order_by(_ORDER.revision.desc()).limit(limit)
        return [
            SuspensionOrder(
                suspension_id=row.suspension_id,
                user_id=row.user_id,
                suspended=row.suspended,
                operator=row.operator,
                reason=row.reason,
                at_ms=row.at,
            )
            for row in self.rows(asked)
        ]

    def suspended(self, after_user_id: str, limit: int) -> list[str]:
        """A page of the suspended players, by shard and user id."""
        suspended = select(_ORDER.user_id).where(beyond_player(_ORDER, after_user_id), _ORDER.suspended, _IS_NEWEST)
        asked = suspended.order_by(_ORDER.ledger_shard, _ORDER.user_id).limit(limit)
        return [user_id for (user_id,) in self.rows(asked)]

    def private(self, after_user_id: str, limit: int) -> list[str]:
        """A page of the players who forbid spectators, by shard and user id."""
        private = select(_SETTINGS.user_id).where(beyond_player(_SETTINGS, after_user_id), ~_SETTINGS.spectators)
        asked = private.order_by(_SETTINGS.ledger_shard, _SETTINGS.user_id).limit(limit)
        return [user_id for (user_id,) in self.rows(asked)]

    def revision(self) -> int:
        """The number of the newest change."""
        with self.reading() as connection:
            return connection.scalar(select(player_changes.c.number)) or 0

    def changes_since(self, after: int, limit: int) -> list[PlayerChange]:
        """The changes after a revision, in order. One statement reads both tables, so it sees both at one moment."""
        settings_changes = select(
            _SETTINGS.revision.label("number"), _SETTINGS.user_id, _NULL.label("suspended"), _SETTINGS.spectators
        )
        suspension_changes = select(_ORDER.revision, _ORDER.user_id, _ORDER.suspended, _NULL)
        both = union_all(settings_changes.where(_SETTINGS.revision > after), suspension_changes.where(_ORDER.revision > after))
        return [
            PlayerChange(revision=number, user_id=user_id, suspended=suspended, spectators=spectators)
            for number, user_id, suspended, spectators in self.rows(both.order_by("number").limit(limit))
        ]


class PlayerWriter(SqlSession):
    """The blocking half of boundaries.PlayerStore that writes. A revision is taken with the lock that orders all changes."""

    def change_settings(self, user_id: str, settings: PlayerSettings, at_ms: int) -> int:
        """Keep the player's settings; the revision of the change."""
        with self.writing() as connection:
            revision = _next_revision(connection)
            said = {"spectators": settings.spectators, "changed_at": at_ms, "revision": revision}
            changed = connection.execute(update(player_settings).where(*of_player(_SETTINGS, user_id)).values(said))
            if changed.rowcount == 0:  # it is still missing: we hold the lock of the revision
                connection.execute(insert(player_settings).values(ledger_shard=ledger_shard(user_id), user_id=user_id, **said))
        return revision

    def suspend(self, order: SuspensionOrder) -> bool:
        """Store an order; False if the player is in that state already."""
        with self.writing() as connection:
            # Lock the account first: a change that waits for a player's row must not hold the lock that all changes need.
            _lock_account(connection, order.user_id, order.at_ms)
            revision = _next_revision(connection)
            is_suspended = connection.scalar(
                select(_ORDER.suspended).where(*of_player(_ORDER, order.user_id)).order_by(_ORDER.revision.desc()).limit(1)
            )
            if bool(is_suspended) == order.suspended:
                connection.rollback()  # which gives the revision back
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
    """The revision of the change that this transaction makes. No other transaction gets one until this one ends."""
    number: int = connection.execute(
        update(player_changes).values(number=player_changes.c.number + 1).returning(player_changes.c.number)
    ).scalar_one()
    return number


def _lock_account(connection: Connection, user_id: str, at_ms: int) -> None:
    """Lock the player's account until the commit, so that no award of the player runs at the same time.

    An award locks its players' accounts before it reads the suspensions, so one of the two transactions comes first. A player
    without an account gets one of version 0, which no query shows: otherwise a first award could commit beside this transaction.
    SQLite needs no lock, because it has one writer at a time.
    """
    if connection.dialect.name == "sqlite":
        return
    connection.exec_driver_sql(
        f"SET LOCAL lock_timeout = {ACCOUNT_LOCK_MS_MAX}; SET LOCAL statement_timeout = {ACCOUNT_LOCK_MS_MAX}"
    )
    player = {"ledger_shard": ledger_shard(user_id), "user_id": user_id, "username": user_id}
    nothing = {"score": 0, "version": 0, "total_actions": 0, "last_updated": at_ms, "created_at": at_ms}
    opened = postgresql.insert(user_scores).values(**player, **nothing)
    connection.execute(opened.on_conflict_do_nothing(index_elements=["ledger_shard", "user_id"]))
    connection.execute(select(user_scores.c.user_id).where(*of_player(user_scores.c, user_id)).with_for_update(key_share=True))
