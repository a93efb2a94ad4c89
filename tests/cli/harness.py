"""A house of twins for the CLI: the real app, a root whose stores live in memory, and a clock that the waiting moves."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Coroutine, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from twisted.internet import defer, task
from twisted.python.failure import Failure
from typer.testing import CliRunner, Result

from cli.context import Root, Surroundings
from cli.main import app
from scoreboard.boundaries import Board, Ledger, Register, StoreUnavailable
from scoreboard.domain.grants import Grant
from scoreboard.domain.judgement import Award, Claim
from scoreboard.domain.rules import ActionRule
from scoreboard.domain.values import DAY_MS, Metadata, Origin, Player, Standing
from scoreboard.storage.memory_board import MemoryBoard
from tests.awaiting import result_of

T = TypeVar("T")

#: 2026-11-23T10:30:00Z
NOW_MS = 1_795_429_800_000
RULE = ActionRule(action_type="COMPLETE_QUEST", points=100)


class BadSettings(Exception):
    """The twin of the root's."""


@dataclass(frozen=True)
class TwinSettings:
    environment: str = "development"
    jwt_expiration_s: int = 86_400


@dataclass
class TwinStores:
    ledger: Ledger
    register: Register
    board: Board | None
    closed: bool = False

    async def close(self) -> None:
        self.closed = True


@dataclass
class TwinRoot:
    """Keeps the promises of scoreboard.service over stores in memory."""

    ledger: Any
    register: Any
    board: Any
    settings: TwinSettings = field(default_factory=TwinSettings)
    schema: str | None = "0001"
    opened: list[TwinStores] = field(default_factory=list)
    unreachable: bool = False
    backups: list[Path] = field(default_factory=list)
    BadSettings: type[Exception] = BadSettings

    def settings_from(self, environ: Mapping[str, str], /, signs: bool = False) -> Any:
        if "PORT" in environ:
            raise BadSettings("PORT should be a number")
        return self.settings

    def stores_named(self, settings: Any, /) -> AbstractContextManager[None]:
        return nullcontext()

    def ledger_location(self, settings: Any, /) -> str:
        return "file var/ledger.db"

    async def open_stores(self, settings: Any, reactor: Any, /, *, need_board: bool = True, board_optional: bool = False) -> Any:
        if self.unreachable:
            raise StoreUnavailable("the ledger does not answer")
        self.opened.append(TwinStores(self.ledger, self.register, self.board if need_board else None))
        return self.opened[-1]

    async def redraw(self, stores: TwinStores, take_over: bool = False, /) -> int:
        if stores.board is None:
            return 0
        epoch, position = await stores.ledger.next_epoch(stores.board.run()), await stores.ledger.position()
        return await stores.board.rebuild(epoch, self._pages(stores.ledger), position)

    async def _pages(self, ledger: Ledger) -> AsyncIterator[Sequence[Standing]]:
        after = ""
        while page := await ledger.accounts(after, 100):
            yield page
            after = page[-1].user_id

    async def project(self, stores: TwinStores, standings: Sequence[Standing], /) -> None:
        if stores.board is not None:
            await stores.board.set(standings)

    def upgrade_schema(self, settings: Any, /) -> str:
        self.schema = "0002"
        return "0002"

    def schema_status(self, settings: Any, /) -> tuple[str | None, str]:
        return self.schema, "0002"

    def backup_ledger(self, settings: Any, target: Path, /) -> None:
        self.backups.append(target)

    def restore_ledger(self, settings: Any, backup: Path, at_ms: int, confirm: Callable[[], None], /) -> Path | None:
        if backup not in self.backups:
            raise StoreUnavailable(f"{backup} is not a file")
        confirm()
        return Path(f"ledger.db.before-restore-{at_ms}")

    def mint_token(self, settings: Any, user_id: str, username: str, role: str, life_s: int, /) -> str:
        return f"token.{user_id}.{username}.{role}.{life_s}"


_conforms: type[Root] = TwinRoot


@dataclass
class House:
    """The command over twins, and a server's board on the same canvas."""

    root: TwinRoot
    clock: task.Clock
    environ: dict[str, str]
    server: MemoryBoard
    patience_s: float = 30.0
    account: str = ""

    def scoreboard(self, *arguments: str, answer: str | None = None, terminal: bool = False) -> Result:
        around = Surroundings(
            load_root=lambda: self.root, environ=self.environ, now_s=self.clock.seconds, run=self._run, account=self.account
        )
        env = {"COLUMNS": "80", "TERMINAL_WIDTH": "80", "TTY_COMPATIBLE": "1" if terminal else "0", "FORCE_COLOR": None}
        return CliRunner().invoke(app, list(arguments), obj=around, input=answer, env=env)

    def _run(self, main: Callable[[Any], Coroutine[Any, Any, T]]) -> T:
        """The clock goes on while somebody waits; when patience ends, somebody presses Ctrl-C."""
        outcome: list[Any] = []
        finished = defer.ensureDeferred(main(self.clock)).addBoth(outcome.append)
        ends_at_s = self.clock.seconds() + self.patience_s
        while not outcome and self.clock.seconds() < ends_at_s:
            self.clock.advance(0.1)
        if not outcome:
            finished.cancel()
            raise KeyboardInterrupt
        if isinstance(outcome[0], Failure):
            outcome[0].raiseException()
        result: T = outcome[0]
        return result

    def award(self, user_id: str, points: int = 100, *, number: int, username: str | None = None, **more: Any) -> Award:
        """Award once, in the ledger and by the server on the board. ``number`` makes the action id and the time."""
        claim = a_claim(user_id, points, number=number, username=username or user_id, **more)
        verdict = result_of(self.root.ledger.award([claim], []))[0]
        assert isinstance(verdict, Award)
        result_of(self.server.set([verdict.standing()]))
        return verdict


def action_id(number: int) -> str:
    """The action id that this number makes."""
    return f"00000000-0000-4000-8000-{number:012x}"


def a_claim(
    user_id: str,
    points: int = 100,
    *,
    number: int,
    username: str,
    address: str = "203.0.113.7",
    agent: str = "test",
    metadata: Metadata = (("questId", b'"quest-1"'),),
    milestones: tuple[int, ...] = (),
) -> Claim:
    """A claim for these points, ``number`` seconds after a day before now."""
    at_ms = NOW_MS - DAY_MS + number * 1000
    grant = Grant(
        action_id=action_id(number),
        user_id=user_id,
        action_type=RULE.action_type,
        issued_at_ms=at_ms,
        not_before_ms=at_ms,
        expires_at_ms=at_ms + 600_000,
        points=points,
        metadata=metadata,
    )
    return Claim(
        transaction_id=f"t-{number:08d}",
        player=Player(user_id=user_id, username=username, role="user", expires_at_s=at_ms // 1000 + 3600),
        grant=grant,
        rule=RULE,
        metadata=metadata,
        origin=Origin(address=address, agent=agent),
        at_ms=at_ms,
        milestones=milestones,
    )
