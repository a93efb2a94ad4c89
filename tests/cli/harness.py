"""Test harness for the CLI: the real Typer app on a fake admin API with stores in memory.

The clock advances while a command runs, so that no test waits.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Coroutine, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from twisted.internet import defer, task
from twisted.python.failure import Failure
from typer.testing import CliRunner, Result

from cli.context import AdminApi, CliContext
from cli.main import app
from scoreboard.boundaries.board import Board
from scoreboard.boundaries.board_ledger import BoardLedger
from scoreboard.boundaries.ledger import Ledger
from scoreboard.boundaries.players import PlayerStore
from scoreboard.domain.actions import ClientInfo, Metadata
from scoreboard.domain.boards import GLOBAL_BOARD, BoardBucket, BoardDefinition
from scoreboard.domain.errors import StoreUnavailable
from scoreboard.domain.grants import Grant
from scoreboard.domain.judgement import DAY_MS, Award, Claim
from scoreboard.domain.players import Player
from scoreboard.domain.rules import ActionRule
from scoreboard.domain.standings import Standing
from scoreboard.service.config_report import ConfigReport, SettingInForce
from scoreboard.service.token_report import TokenReport, report_token
from scoreboard.storage.memory.board import MemoryBoard
from tests.awaiting import result_of

T = TypeVar("T")

#: 2026-11-23T10:30:00Z
NOW_MS = 1_795_429_800_000
RULE = ActionRule(action_type="COMPLETE_QUEST", points=100)


class BadSettings(Exception):
    """The fake of ``config.BadSettings``."""


@dataclass(frozen=True)
class FakeSettings:
    environment: str = "development"
    jwt_expiration_s: int = 86_400
    boards_file: Path = Path("/etc/boards.toml")


async def pages_of(ledger: BoardLedger) -> AsyncIterator[Sequence[Standing]]:
    """All standings of a board."""
    after = ""
    while page := await ledger.accounts(after, 100):
        yield page
        after = page[-1].user_id


@dataclass
class FakeStores:
    ledger: Ledger
    player_store: PlayerStore
    board: Board | None
    other_boards: dict[BoardBucket, MemoryBoard]
    closed: bool = False

    @property
    def standings(self) -> BoardLedger:
        return self.ledger.board(GLOBAL_BOARD)

    async def open_board(self, bucket: BoardBucket) -> Board | None:
        if self.board is None:
            return None
        if bucket in self.other_boards:
            return self.other_boards[bucket]
        other = MemoryBoard(bucket, lambda: NOW_MS)
        await other.rebuild(1, pages_of(self.ledger.board(bucket)), "")
        return other

    async def close(self) -> None:
        self.closed = True


@dataclass
class FakeAdminApi:
    """Implements what the CLI calls in scoreboard.service, on stores in memory."""

    ledger: Any
    player_store: Any
    board: Any
    settings: FakeSettings = field(default_factory=FakeSettings)
    schema: str | None = "0001"
    opened: list[FakeStores] = field(default_factory=list)
    unreachable: bool = False
    backups: list[Path] = field(default_factory=list)
    BadSettings: type[Exception] = BadSettings
    boards: tuple[BoardDefinition, ...] = (BoardDefinition(board_id="global", title="All time"),)
    bad_boards: str = ""
    #: Other boards in Redis than the global one. Those that are not here are as the ledger is.
    other_boards: dict[BoardBucket, MemoryBoard] = field(default_factory=dict)

    def settings_from(self, environ: Mapping[str, str], /, signs: bool = False) -> Any:
        if "PORT" in environ:
            raise BadSettings("PORT should be a number")
        return self.settings

    def report_settings(self, environ: Mapping[str, str], /) -> Any:
        if "PORT" in environ:
            return ConfigReport(complaints=("PORT should be a number", "DB_PORT should be a number"))
        in_force = SettingInForce(name="PORT", value="3000", source="default")
        return ConfigReport(settings=(in_force,), remarks=("PROT is ignored",) if "PROT" in environ else ())

    def action_types(self, settings: Any, /) -> Sequence[str]:
        return ["COMPLETE_QUEST", "WIN_MATCH", "RESET"]

    def declared_boards(self, settings: Any, /) -> Sequence[BoardDefinition]:
        if self.bad_boards:
            raise BadSettings(self.bad_boards)
        return self.boards

    def stores_named(self, settings: Any, /) -> AbstractContextManager[None]:
        return nullcontext()

    def ledger_location(self, settings: Any, /) -> str:
        return "file var/ledger.db"

    async def open_stores(self, settings: Any, reactor: Any, /, *, need_board: bool = True, board_optional: bool = False) -> Any:
        if self.unreachable:
            raise StoreUnavailable("the ledger does not answer")
        self.opened.append(FakeStores(self.ledger, self.player_store, self.board if need_board else None, self.other_boards))
        return self.opened[-1]

    async def try_stores(self, settings: Any, reactor: Any, /) -> Sequence[str]:
        if self.unreachable:
            raise StoreUnavailable("the ledger does not answer")
        return ["The ledger answers.", "Redis answers."]

    async def rebuild_board(self, stores: FakeStores, standings: BoardLedger, board: Board, take_over: bool = False, /) -> int:
        epoch, position = await standings.next_epoch(board.run()), await standings.position()
        return await board.rebuild(epoch, pages_of(standings), position)

    async def project(self, stores: FakeStores, standings: Sequence[Standing], /) -> None:
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

    def report_token(self, settings: Any, token: str, at_ms: int, /) -> TokenReport:
        return report_token(settings, token, at_ms)

    def issue_token(self, settings: Any, user_id: str, username: str, role: str, life_s: int, /) -> str:
        return f"token.{user_id}.{username}.{role}.{life_s}"


_conforms: type[AdminApi] = FakeAdminApi


@dataclass
class CliHarness:
    """Runs commands on fakes. ``server_board`` is the board of a server that shares the memory of the command's board."""

    admin: FakeAdminApi
    clock: task.Clock
    environ: dict[str, str]
    server_board: MemoryBoard
    timeout_s: float = 30.0
    account: str = ""

    def run(self, *arguments: str, answer: str | None = None, terminal: bool = False) -> Result:
        ctx = CliContext(
            load_admin=lambda: self.admin,
            environ=self.environ,
            now_s=self.clock.seconds,
            run=self._run_coroutine,
            account=self.account,
        )
        env = {"COLUMNS": "80", "TERMINAL_WIDTH": "80", "TTY_COMPATIBLE": "1" if terminal else "0", "FORCE_COLOR": None}
        return CliRunner().invoke(app, list(arguments), obj=ctx, input=answer, env=env)

    def _run_coroutine(self, main: Callable[[Any], Coroutine[Any, Any, T]]) -> T:
        """Advance the clock until the coroutine ends; cancel it after ``timeout_s``, as Ctrl-C does."""
        results: list[Any] = []
        finished = defer.ensureDeferred(main(self.clock)).addBoth(results.append)
        ends_at_s = self.clock.seconds() + self.timeout_s
        while not results and self.clock.seconds() < ends_at_s:
            self.clock.advance(0.1)
        if not results:
            finished.cancel()
            raise KeyboardInterrupt
        if isinstance(results[0], Failure):
            results[0].raiseException()
        result: T = results[0]
        return result

    def award(self, user_id: str, points: int = 100, *, number: int, username: str | None = None, **more: Any) -> Award:
        """Award once in the ledger, and set the board as the server does. ``number`` determines the action id and the time."""
        claim = make_claim(user_id, points, number=number, username=username or user_id, **more)
        verdict = result_of(self.admin.ledger.award([claim], []))[0]
        assert isinstance(verdict, Award)
        result_of(self.server_board.set([verdict.standing()]))
        return verdict


def action_id(number: int) -> str:
    """The action id for a number."""
    return f"00000000-0000-4000-8000-{number:012x}"


def make_claim(
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
        client=ClientInfo(address=address, agent=agent),
        at_ms=at_ms,
        milestones=milestones,
    )
