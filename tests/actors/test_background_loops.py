"""Every background loop: a body that fails is logged with its traceback and counted, and the loop calls it again."""

from __future__ import annotations

import ast
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, NamedTuple, NoReturn

import pytest
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.logger import capturedLogs

from scoreboard.actors.board_series import STEP_S as SERIES_STEP_S
from scoreboard.actors.board_series import BoardSeries
from scoreboard.actors.board_sweep import ROUND_S_MIN, STEP_S, BoardSweep
from scoreboard.actors.boards import LOOK_S, SWEEP_S, Boards
from scoreboard.actors.health import POLL_INTERVAL_S, HealthMonitor
from scoreboard.actors.key_watch import EXCHANGE_S, KeyWatch
from scoreboard.actors.ledger_clock import POLL_S as CLOCK_POLL_S
from scoreboard.actors.ledger_clock import LedgerClock
from scoreboard.actors.projector import POLL_S, REBUILD_LOCK_MS, Projector
from scoreboard.actors.ranking import Ranking
from scoreboard.actors.suspension_watcher import POLL_S as WATCHER_POLL_S
from scoreboard.actors.suspension_watcher import SuspensionWatcher
from scoreboard.boundaries.board_ledger import BoardLedger
from scoreboard.domain.boards import GLOBAL_BOARD, BoardBucket, BoardDefinition, FedBoard
from scoreboard.domain.grants import keyring
from scoreboard.domain.ledger_state import LedgerState
from scoreboard.domain.players import PlayerChange
from scoreboard.domain.standings import Standing
from scoreboard.storage.memory.board import MemoryBoard
from scoreboard.storage.memory.board_ledger import MemoryBoardLedger
from scoreboard.storage.memory.key_roster import MemoryKeyRoster
from scoreboard.storage.memory.ledger import MemoryLedger
from scoreboard.storage.memory.players import MemoryPlayerStore
from tests.actors.fakes import NOW, FakeMeter
from tests.awaiting import result_of

ROOT: Final = Path(__file__).resolve().parents[2]
SOURCES: Final = sorted((ROOT / "scoreboard").rglob("*.py"))
#: Loops outside of actors/, by task: the test file that starts each of them with a failing body, below tests/.
ELSEWHERE: Final = {
    "embedded_redis_watch": "storage_redis/test_background_tasks.py",
    "reactor_lag": "test_background_loops.py",
    "systemd": "test_background_loops.py",
}


class TaskMeter(FakeMeter):
    """Counts the failures of each task."""

    def __init__(self) -> None:
        super().__init__()
        self.failures: dict[str, int] = {}

    def count(self, name: str, by: int = 1, **labels: str) -> None:
        super().count(name, by, **labels)
        if name == "background_failures_total":
            self.failures[labels["task"]] = self.failures.get(labels["task"], 0) + by


@dataclass
class Harness:
    """What a loop is built from, and whether readiness shows that it fails (None: it shows in the log and the metric alone)."""

    clock: Clock = field(default_factory=Clock)
    meter: TaskMeter = field(default_factory=TaskMeter)
    is_red: Callable[[], bool] | None = None


def fail() -> NoReturn:
    raise RuntimeError("a fault of ours")


class FaultyLedger(MemoryLedger):
    """A ledger whose reads by loops fail, not as a store that is unavailable does."""

    def board(self, bucket: BoardBucket) -> BoardLedger:
        return FaultyBoardLedger(self, bucket)

    async def clock_ms(self) -> int:
        fail()

    async def ping(self) -> None:
        fail()


class FaultyBoardLedger(MemoryBoardLedger):
    async def state(self) -> LedgerState:
        fail()

    async def accounts(self, after_user_id: str, limit: int) -> list[Standing]:
        fail()


class FaultyFiller(MemoryLedger):
    """A ledger that fills in no page after the first."""

    def __init__(self) -> None:
        super().__init__()
        self.pages = 0

    async def fill_boards(self, players_max: int) -> bool:
        self.pages += 1
        if self.pages > 1:
            fail()
        return True


class FaultyPlayerStore(MemoryPlayerStore):
    async def changes_since(self, after: int, limit: int) -> list[PlayerChange]:
        fail()


class RebuildingLedger(MemoryLedger):
    """A ledger that does not end a rebuild."""

    def board(self, bucket: BoardBucket) -> BoardLedger:
        return RebuildingBoardLedger(self, bucket)


class RebuildingBoardLedger(MemoryBoardLedger):
    def __init__(self, ledger: MemoryLedger, bucket: BoardBucket) -> None:
        super().__init__(ledger, bucket)
        self.never: Deferred[str] = Deferred()  # kept here, so that the coroutine that waits for it is not collected

    async def position(self) -> str:
        return await self.never


class FaultyLockBoard(MemoryBoard):
    """A board whose lock can be taken, but not be kept."""

    async def lock(self, what: str, life_ms: int) -> bool:
        if what in self.shared_state.locks:
            fail()
        return await super().lock(what, life_ms)


def projector_on(ledger: MemoryLedger, board: MemoryBoard, harness: Harness) -> Projector:
    projector = Projector(
        ledger=ledger.board(GLOBAL_BOARD), board=board, clock=harness.clock, on_changes=lambda *_: None, meter=harness.meter
    )
    result_of(projector.start())
    return projector


def memory_board() -> MemoryBoard:
    return MemoryBoard(GLOBAL_BOARD, lambda: NOW)


def start_projector(harness: Harness) -> None:
    projector = projector_on(FaultyLedger(), memory_board(), harness)
    harness.is_red = lambda: not projector.in_sync and projector.condition != ""


def start_rebuild(harness: Harness) -> None:
    projector = projector_on(RebuildingLedger(), FaultyLockBoard(GLOBAL_BOARD, lambda: NOW), harness)
    harness.is_red = lambda: not projector.in_sync and projector.condition != ""


def start_sweep(harness: Harness) -> None:
    board = memory_board()
    projector = projector_on(MemoryLedger(), board, harness)
    assert projector.in_sync
    sweep = BoardSweep(
        ledger=FaultyLedger().board(GLOBAL_BOARD), board=board, projector=projector, clock=harness.clock, meter=harness.meter
    )
    result_of(sweep.start())


def start_health(harness: Harness) -> None:
    health = HealthMonitor(ledger=FaultyLedger(), clock=harness.clock, meter=harness.meter)
    result_of(health.start())
    harness.is_red = lambda: not health.conditions()[0].ok


def start_key_watch(harness: Harness) -> None:
    roster, ring = MemoryKeyRoster("a", {}), keyring(b"o" * 32)
    roster.trouble = RuntimeError("a fault of ours")
    result_of(KeyWatch(roster=roster, clock=harness.clock, meter=harness.meter, actions=ring, tokens=ring).start())


def start_ledger_clock(harness: Harness) -> None:
    ledger_clock = LedgerClock(ledger=FaultyLedger(), clock=harness.clock, wall_ms=lambda: NOW, meter=harness.meter)
    result_of(ledger_clock.start())


def start_watcher(harness: Harness) -> None:
    watcher = SuspensionWatcher(
        player_store=FaultyPlayerStore(),
        clock=harness.clock,
        meter=harness.meter,
        on_suspended=lambda _: None,
        on_private=lambda _: None,
    )
    result_of(watcher.start())


def start_filler(harness: Harness) -> None:
    result_of(boards_on(FaultyFiller(), harness, lambda _: fail()).start())


class FaultySeries(BoardSeries):
    """A series that does not say which buckets it follows."""

    @property
    def followed(self) -> NoReturn:
        fail()


def start_sweeps(harness: Harness) -> None:
    def open_series(fed: FedBoard) -> BoardSeries:
        return FaultySeries(fed, open_bucket=lambda *_: fail(), clock=Clock(), now_ms=lambda: NOW, meter=FakeMeter())

    result_of(boards_on(MemoryLedger(), harness, open_series).start())


def boards_on(ledger: MemoryLedger, harness: Harness, open_series: Callable[[FedBoard], BoardSeries]) -> Boards:
    projector = projector_on(ledger, memory_board(), harness)
    ranking = Ranking(
        board=memory_board(), ledger=ledger.board(GLOBAL_BOARD), clock=harness.clock, now_ms=lambda: NOW, meter=harness.meter
    )
    definitions = (BoardDefinition(board_id="global", title="All time"), BoardDefinition(board_id="wins", title="Wins"))
    return Boards(
        ledger=ledger,
        definitions=definitions,
        ranking=ranking,
        projector=projector,
        open_series=open_series,
        clock=harness.clock,
        meter=harness.meter,
    )


def start_series(harness: Harness) -> None:
    fed = FedBoard(number=1, definition=BoardDefinition(board_id="wins", title="Wins"))
    series = BoardSeries(fed, open_bucket=lambda *_: fail(), clock=harness.clock, now_ms=lambda: NOW, meter=harness.meter)
    result_of(series.start())


class Case(NamedTuple):
    start: Callable[[Harness], None]
    interval_s: float


CASES: Final = {
    "projector": Case(start_projector, POLL_S),
    "rebuild_lock": Case(start_rebuild, REBUILD_LOCK_MS / 3000),
    "board_sweep": Case(start_sweep, STEP_S),
    "board_sweeps": Case(start_sweeps, SWEEP_S),
    "board_filler": Case(start_filler, LOOK_S),
    "board_series": Case(start_series, SERIES_STEP_S),
    "health_monitor": Case(start_health, POLL_INTERVAL_S),
    "key_watch": Case(start_key_watch, EXCHANGE_S),
    "ledger_clock": Case(start_ledger_clock, CLOCK_POLL_S),
    "suspension_watcher": Case(start_watcher, WATCHER_POLL_S),
}


@pytest.mark.parametrize("task", CASES)
def test_a_loop_whose_body_fails_is_logged_and_counted_and_called_again(task: str) -> None:
    harness, case = Harness(), CASES[task]
    with capturedLogs() as logged:
        case.start(harness)
        rounds = math.ceil(3 * ROUND_S_MIN / STEP_S)
        for _ in range(rounds if task == "board_sweep" else 3):
            before = harness.meter.failures.get(task, 0)
            harness.clock.advance(case.interval_s)
        assert harness.clock.getDelayedCalls(), "the next call is due"
    failures = [event["log_failure"] for event in logged if event.get("task") == task]
    assert len(failures) == harness.meter.failures[task] >= 2
    assert task == "board_sweep" or harness.meter.failures[task] > before
    assert all(failure.type is RuntimeError and "a fault of ours" in failure.getTraceback() for failure in failures)
    if harness.is_red is not None:
        assert harness.is_red()


def loops(path: Path) -> Iterator[tuple[str, int]]:
    """The task of each Loop that a module makes, and its line number."""
    for node in ast.walk(ast.parse(path.read_text())):
        match node:
            case ast.Call(func=ast.Name(id="Loop") | ast.Attribute(attr="Loop"), args=[ast.Constant(value=str(task)), *_]):
                yield task, node.lineno
            case ast.Call(func=ast.Name(id="Loop") | ast.Attribute(attr="Loop")):
                yield "", node.lineno  # its task is no literal


def test_every_loop_is_in_the_table_of_this_test_or_has_one_elsewhere() -> None:
    made = [(task, path) for path in SOURCES for task, _ in loops(path)]
    actors = {task for task, path in made if path.parent.name == "actors"}
    assert actors == set(CASES)
    assert {task for task, _ in made} - actors == set(ELSEWHERE)
    assert len(made) == len({task for task, _ in made}), "two loops have one name"
    for task, test in ELSEWHERE.items():
        assert f'"{task}"' in (ROOT / "tests" / test).read_text(), f"{test} does not name {task}"
