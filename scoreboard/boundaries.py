"""The doors between the rooms: what each wing promises the others, and nothing of how.

Every method that waits is a coroutine; whoever implements it never blocks the reactor. The twins in
memory (``storage/memory_*.py``) keep the same promises and are held to them by the same contract suites.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from typing import Final, Protocol

from scoreboard.domain.entries import Entry, EntryFilter, Finding, ResetOrder, ResetResult
from scoreboard.domain.grants import Grant
from scoreboard.domain.judgement import Award, Claim, Verdict
from scoreboard.domain.limits import ConcurrencySlot, Hit
from scoreboard.domain.limits import RateVerdict as RateVerdict
from scoreboard.domain.players import Achievement, PlayerChange, PlayerSettings, SuspensionOrder
from scoreboard.domain.refusals import Refusal
from scoreboard.domain.rotation import ServerKeys
from scoreboard.domain.saved_session import SavedSession
from scoreboard.domain.values import (
    ClientInfo,
    Cursor,
    Event,
    Page,
    PlacedReceipt,
    Player,
    PlayerRank,
    Receipt,
    ScoreChanged,
    Standing,
    Submission,
    Value,
    View,
)


class StoreUnavailable(Exception):
    """A store did not answer in time or could not do it. Nothing is known to have changed unless the contract says so."""


class LedgerWentBack(Exception):
    """The ledger is behind what was seen of it: it was restored from a copy, or another one took its place."""


class ChangedPage(Value, frozen=True, kw_only=True):
    """Standings that changed, in no promised order; ``after`` asks for the next page, "" says that this was the last."""

    standings: Sequence[Standing]
    after: str


class LedgerState(Value, frozen=True, kw_only=True):
    """What a ledger says of itself.

    ``ledger_id`` is the same in every copy, ``instance`` names where this copy lies: a database of a cluster, or a file.
    ``epoch`` is the newest of the board, 0 before the first, ``drawn_on`` the run of the Redis that it was begun on, and
    ``followed_s_ago`` how long ago a server signed that it draws there, in seconds of the ledger's clock.
    """

    ledger_id: str
    instance: str
    epoch: int
    drawn_on: str
    followed_s_ago: int = 0


class StoreAway(StoreUnavailable):
    """The store was not asked, because it did not answer others or because too many wait: nothing has changed."""


class StoreMisconfigured(StoreUnavailable):
    """The store answers and refuses us: a setting is wrong, and no second try can help before an operator has mended it."""


#: How long a batch may take, and how long a submission may from its arrival until the ledger has answered.
AWARD_S_MAX: Final = 4.5


class Ledger(Protocol):
    """The truth: an insert-only record of awards in SQL, and every player's total."""

    async def award(
        self, claims: Sequence[Claim], receipts: Sequence[PlacedReceipt], seconds_max: float = AWARD_S_MAX
    ) -> list[Verdict]:
        """Judge and append a batch in one transaction; when it returns, every Award in it is committed for good.

        ``receipts`` are the placed receipts of an earlier batch, kept in the same commit so that a retry is
        answered with the original. Verdicts are in the order of the claims. Two processes never award one action
        twice nor lose an update. Raises StoreUnavailable within ``seconds_max``, and then nothing of the batch was awarded,
        unless the connection died during COMMIT: then a retry tells. With StoreAway nothing was tried at all.
        """

    async def accounts(self, after_user_id: str, limit: int) -> list[Standing]:
        """Every player's standing, by shard and user id, from after the given one ("" for the first): at most ``limit``."""

    async def ranked(self, after: Standing | None, limit: int) -> list[Standing]:
        """Standings on the board, best first, from below the given one (None for the first): at most ``limit``.

        Equal points stand first-come-first, then by user id descending. A player who moves between two pages may be missed, or
        read once more with a later version: `changed_since` a position from before the first page has each such player.
        """

    async def unranked(self, after_user_id: str, limit: int) -> list[Standing]:
        """Standings off the board (players who were reset), by shard and user id as `accounts`: at most ``limit``."""

    async def position(self) -> str:
        """Where the order of commits stands: all that is committed now is before it. Only `changed_since` can read it."""

    async def changed_since(self, position: str, after: str, limit: int) -> ChangedPage:
        """The standings now of players with an entry that was not committed yet at a position.

        ``after`` is "" for the first page, which reads at most ``limit`` entries as every page does, each entry once. No entry
        is ever missed, however transactions overlapped. Raises LedgerWentBack when the position is not of this ledger's past.
        """

    async def top(self, offset: int, limit: int) -> list[Standing]:
        """A stretch of the board as SQL sees it, best first, for when Redis cannot be asked. Nothing is counted."""

    async def ranked_count(self) -> int:
        """How many players are on the board: counts them all, so it is asked seldom."""

    async def accounts_of(self, user_ids: Sequence[str]) -> list[Standing]:
        """The standings of these players (at most 500), in their order; who is unknown is left out."""

    async def account(self, user_id: str) -> Standing | None:
        """One player's standing, or None if the ledger never heard of the player."""

    async def state(self) -> LedgerState:
        """Which ledger this is, and the board's epoch."""

    async def next_epoch(self, drawn_on: str, above: int = 0) -> int:
        """Begin a new epoch on a run of Redis: greater than any before and than ``above``, at least the milliseconds since 1970.

        The clock is a floor only: with it, a ledger that was restored from a copy does not give an epoch out a second time.
        """

    async def sign(self, drawn_on: str) -> None:
        """Note that a server draws the newest epoch on this run of Redis; nothing happens when another is the newest's."""

    async def reset(self, order: ResetOrder) -> ResetResult:
        """Take players (or every player) back to nothing by entries of their own, by user id.

        Nothing is deleted. A player already off the board gets no entry. No row that another session holds is waited for.
        """

    async def entries(
        self, where: EntryFilter, after: tuple[int, str] | None, limit: int, newest_first: bool = False
    ) -> list[Entry]:
        """Ledger entries by (time, transaction id), ascending or newest first, from beyond the given one: at most ``limit``."""

    async def count_entries(self, where: EntryFilter) -> int:
        """How many entries the filter finds."""

    async def verify(self, after_user_id: str, limit: int) -> tuple[str | None, list[Finding]]:
        """Recompute the totals of a page of players from their entries: (last user id seen or None at the end, what differs)."""

    async def clock_ms(self) -> int:
        """The time by the ledger's own clock, read while this is asked."""

    async def ping(self) -> None:
        """Return if the ledger can commit what needs room as an award does; raise StoreUnavailable if not.

        It waits for no award and for no player's row, no award waits for it, and it leaves nothing behind that grows.
        """


class PlayerStore(Protocol):
    """What SQL keeps of players besides their points. Every method may raise StoreUnavailable.

    A player may be in it before the first score and after a reset. Changes of settings and suspensions are numbered in the
    order of their commits, so that any process can follow them without a gap and without a clock.
    """

    async def achievements(self, user_id: str) -> list[Achievement]:
        """All that the player ever unlocked (there are as many as the operator set milestones), oldest first."""

    async def settings(self, user_id: str) -> PlayerSettings:
        """What the player decided, or the defaults."""

    async def change_settings(self, user_id: str, settings: PlayerSettings, at_ms: int) -> int:
        """Keep what the player decided; the number of the change."""

    async def suspend(self, order: SuspensionOrder) -> bool:
        """Enter a suspension or its end; False, and nothing is entered, if that is how the player stands already."""

    async def suspensions(self, user_id: str, limit: int) -> list[SuspensionOrder]:
        """What was ever ordered about a player, newest first: at most ``limit``."""

    async def suspended(self, after_user_id: str, limit: int) -> list[str]:
        """Who is suspended, by shard and user id, from after the given one ("" for the first): at most ``limit``."""

    async def private(self, after_user_id: str, limit: int) -> list[str]:
        """Who forbids spectators, by shard and user id, from after the given one ("" for the first): at most ``limit``."""

    async def revision(self) -> int:
        """The number of the newest change, 0 before the first."""

    async def changes_since(self, after: int, limit: int) -> list[PlayerChange]:
        """The changes after a number, in order: at most ``limit``. Of one player's settings only the newest change is told."""


class Placement(Value, frozen=True, kw_only=True):
    """What setting one standing did: ranks before and after (None = not on the board); not ``applied`` if it was old news.

    ``overtaken``: the board had a newer version of the player, or another record of this one.
    """

    rank: int | None
    previous_rank: int | None
    applied: bool
    overtaken: bool = False


class Projection(Value, frozen=True, kw_only=True):
    """The state of the board after a set, and a placement for each standing, in order."""

    cursor: Cursor
    total: int
    placements: tuple[Placement, ...]


class BoardState(Value, frozen=True, kw_only=True):
    """What the board says of itself. ``position`` is the ledger's, up to which it was drawn; "" when that is not known.

    ``origin`` names the run of the store that the epoch began in and ``run`` the one that answers now: when they differ,
    the store was restarted and may have lost its last changes. ``owner`` is whose board it is. ``damage`` says what is missing
    from it, "" when nothing is. ``followed_s_ago`` is how long ago a server last compared it with its ledger.
    """

    cursor: Cursor
    position: str
    epoch_run: str
    run: str
    owner: str = ""
    ranked: int = 0
    players: int = 0
    damage: str = ""
    followed_s_ago: int = 0


class History(Value, frozen=True, kw_only=True):
    """What a board can say of the time since a cursor: its top now, and what changed until then.

    ``changes`` are the latest of each player, oldest first, or None when they are not kept (any more): then only the top tells.
    """

    page: Page
    changes: tuple[ScoreChanged, ...] | None

    @property
    def degraded(self) -> bool:
        """Whether the top came from the ledger."""
        return self.page.degraded


class Board(Protocol):
    """The drawing: the ranking, rebuilt from the ledger whenever in doubt.

    ``owner`` says for which ledger we read and draw. What another one drew is neither shown nor changed: each method that reads
    or draws raises StaleBoard then, as it does when nothing is drawn or a part of it was lost.
    """

    owner: str

    async def set(self, standings: Sequence[Standing], *, mend: bool = False) -> Projection:
        """Set totals (never add), each only if its version is newer than the one drawn; one round trip for all.

        Repeating it, late or twice, changes nothing; to ``mend`` sets what is drawn of this very version as well. ``seq`` rises
        by one if anything was applied. Everyone who listens is told. Raises StoreUnavailable or StaleBoard.
        """

    async def state(self) -> BoardState | None:
        """What is drawn and whose it is, or None when nothing is (an empty store)."""

    def run(self) -> str:
        """Names the run of the store that answers now. Raises StoreUnavailable when none does."""

    async def begin(self, epoch: int) -> None:
        """Begin a new epoch on what is drawn: ``seq`` 0, ``origin`` the store's present run."""

    async def advance(self, epoch: int, position: str) -> None:
        """Note that the ledger is drawn up to a position; StaleBoard if another epoch has begun."""

    async def rebuild(self, epoch: int, standings: AsyncIterator[Sequence[Standing]], position: str) -> int:
        """Draw everything anew beside what is drawn, then put it in its place at once; how many are ranked.

        What others set on the old drawing meanwhile is not in the new one: set again what changed since the position.
        StaleBoard if another drawing took the place meanwhile.
        """

    async def page(self, offset: int, limit: int) -> Page:
        """A stretch of the board at one cursor."""

    async def read_views(self, views: Sequence[View]) -> list[Page]:
        """What these views show, in their order and all at one cursor; one round trip for all."""

    async def since(self, cursor: Cursor, limit: int) -> History:
        """What changed after a cursor, and the first ``limit`` rows of the board at that same moment.

        At least the last 1,000 steps of an epoch are kept. A cursor of another epoch, or one ahead of the board, has no history.
        """

    async def rank_of(self, user_id: str) -> PlayerRank:
        """Where one player stands."""

    async def drawn(self, user_ids: Sequence[str]) -> list[tuple[int, int] | None]:
        """(points, version) as drawn for each user, None where not on the board: for checks."""

    async def differing(self, standings: Sequence[Standing]) -> list[tuple[Standing, int]]:
        """Which of at most 500 standings are drawn otherwise, each with its drawn version (-1: unknown to the board).

        One short question (a digest of all) when none is.
        """

    async def lock(self, what: str, life_ms: int) -> bool:
        """Take or keep a lock that one server holds at a time: True while it is ours.

        It ends by itself after its life, and a life of 0 gives it back.
        """

    async def mark(self, receipts: Sequence[tuple[Award, Receipt]]) -> None:
        """Leave the specification's conveniences: used-markers and score caches, with their times to live.

        Nothing depends on them; never raises.
        """

    def listen(
        self, on_changes: Callable[[Cursor, Sequence[ScoreChanged]], None], missed: Callable[[], None] = lambda: None
    ) -> None:
        """From now on call ``hear`` with changes that others than this process made (a CLI, another server).

        ``missed`` is called whenever some of them may not have been heard.
        """

    async def ping(self) -> None:
        """Return if the board's store answers; raise StoreUnavailable if not."""


class StaleBoard(Exception):
    """The board cannot be read or set now: it is lost, damaged, of another epoch or of another ledger, or behind the ledger."""


class DamagedBoard(StaleBoard):
    """Something on the board cannot be read as what we wrote: it must be rebuilt, whatever its state says."""


class RateLimiter(Protocol):
    """The limits: one question for all that a request needs."""

    async def check(self, hits: Sequence[Hit], slot: ConcurrencySlot | None = None) -> RateVerdict:
        """Count the hits (each in a window of its own) and take the slot, all of it or nothing. Never raises, never unlimited.

        A request that one limit refuses is counted in no other: whatever the rate of an address, it takes from what others share
        no more than its own quota, and a refusal by the limit that all share takes nothing from a user's own.
        """

    def release(self, slots: Iterable[tuple[str, str]]) -> None:
        """Give back the places of (user id, holder) pairs; told, not asked."""


class KeyRoster(Protocol):
    """Which keys the live servers know, so that no server signs with a key that another would refuse."""

    async def exchange(self, own: ServerKeys) -> list[ServerKeys]:
        """Enter our keys for some seconds; those of the other live servers. Raises StoreUnavailable."""

    async def leave(self) -> None:
        """Take our keys out. Never raises: what is not taken out ends by itself."""


class Scorekeeper(Protocol):
    """The only writer: one lane a user, batches to the ledger, then to the board, then the answer."""

    async def submit(self, player: Player, submission: Submission, grant: Grant, client: ClientInfo) -> Receipt | Refusal:
        """The receipt of an award that is committed, or why there is none. Refuses at once when too many wait.

        ``grant`` is what `grants.verify` found in the submission's signature for this player.
        """


class Ranking(Protocol):
    """Reads of the board: from memory while nothing changed, from the ledger when the board cannot be asked."""

    @property
    def cursor(self) -> Cursor:
        """The newest state that this process has heard of."""

    @property
    def ledger_ahead_count(self) -> int:
        """How often the ledger ran ahead of a board that could not be drawn: what was read before is no longer true."""

    async def page(self, offset: int, limit: int) -> Page:
        """A stretch of the board, at least as new as ``cursor`` was when asked."""

    async def read_views(self, views: Sequence[View]) -> list[Page]:
        """What these views show, all at one cursor, at least as new as ``cursor`` was when asked.

        Not remembered, and asked of the board alone: StoreUnavailable when that does not answer.
        """

    async def since(self, cursor: Cursor, limit: int) -> History:
        """What changed after a cursor, and the first ``limit`` rows, at least as new as ``cursor`` was when asked."""

    async def rank_of(self, user_id: str) -> PlayerRank:
        """Where a player stands, at least as new as ``cursor`` was when asked."""


class EventEncoder(Protocol):
    """How one kind of client reads events: the same event, framed once for all of its sockets."""

    def frame(self, event: Event) -> bytes:
        """The event, ready to be written to a transport of this kind."""


class CloseReason(Value, frozen=True, kw_only=True):
    """Why we close a socket: a WebSocket close code (RFC 6455, 7.4) and a reason of at most 123 bytes."""

    code: int
    reason: str


class Listener(Protocol):
    """One socket that watches, seen from the announcer. Methods return at once and never raise."""

    encoder: EventEncoder
    player: Player

    def offer(self, frames: bytes) -> None:
        """Hand over all that a tick owes this socket. Only called when ``drained``."""

    @property
    def drained(self) -> bool:
        """Whether all that was offered before has left this process."""

    def close(self, close_reason: CloseReason) -> None:
        """Say goodbye and close; no more is offered afterwards."""


class ResumeResult(Value, frozen=True, kw_only=True):
    """How a listener that was away comes back: with what it missed, or (``missed`` None) with the top alone.

    ``missed`` are the events that bring it to the page's cursor, which all of them carry: each player's latest, and the top.
    """

    page: Page
    missed: tuple[Event, ...] | None


class Announcer(Protocol):
    """The balcony: rooms and ticks. Told, not asked."""

    def enter(self, listener: Listener) -> None:
        """A socket whose player is known: from now on it hears what is the player's own."""

    def leave(self, listener: Listener) -> None:
        """The socket is gone, from every room."""

    async def join(self, listener: Listener) -> Page:
        """Into the leaderboard room; the top of the board at a cursor not older than anything the room is told later."""

    async def resume(self, listener: Listener, since: Cursor) -> ResumeResult:
        """Into the leaderboard room as `join`, by someone who has seen everything up to a cursor."""

    async def catch_up(self, listener: Listener, since: Cursor) -> tuple[Event, ...] | None:
        """The own news that a player in no room missed since a cursor; None where they are not known (any more)."""

    def quit(self, listener: Listener) -> None:
        """Out of the leaderboard room, and no view is followed any more; the player's own news still come."""

    def follow(self, listener: Listener, view: View) -> Cursor | Refusal:
        """The next tick shows the listener a view, and those after it what changes there; a cursor that none of it is older than.

        Doing it again brings another snapshot. Refused beyond four views of a listener, or 10,000 of all.
        """

    def unfollow(self, listener: Listener, view: View) -> None:
        """No more of this view."""

    def spectate(self, listener: Listener, user_id: str) -> Refusal | None:
        """From now on the listener hears of each of a player's awards, unless the player forbade it or it watches too many.

        Answered from memory. Raises StoreUnavailable while it is not known who forbade it of late.
        """

    def unspectate(self, listener: Listener, user_id: str) -> None:
        """No more of this player's awards."""

    def shut_out(self, user_id: str) -> None:
        """The player forbade spectators: all but admins are told so and hear no more."""

    def expel(self, user_id: str) -> None:
        """The player was suspended: all of the player's sockets are told so and closed."""

    def tell(self, changes: Sequence[ScoreChanged]) -> None:
        """One step of the board changed scores: the next tick sends the latest of each."""


class Authenticator(Protocol):
    """Who is asking: tokens to players."""

    def authenticate(self, token: str) -> Player | Refusal:
        """The player that a token proves, or UNAUTHORIZED / INVALID_TOKEN, or FORBIDDEN while the player is suspended.

        Remembered for as long as it is good.
        """

    def recheck(self, player: Player) -> Refusal | None:
        """Why a player who was admitted earlier is no longer: INVALID_TOKEN when the token has ended, FORBIDDEN while the player
        is suspended, else None. A read that waited is checked with this before it is answered.
        """

    def issue_token(self, user_id: str, username: str, role: str, life_s: int) -> str:
        """A token of our own that `admit` accepts for ``life_s`` seconds."""


TICKET_LIFE_S: Final = 30


class Tickets(Protocol):
    """Who asks now may come once, a moment later, by a ticket in place of a token (a browser's EventSource sends no headers)."""

    async def issue(self, player: Player) -> str:
        """A ticket for this player, good for 30 seconds and one use in any server process. Raises StoreUnavailable."""

    async def redeem(self, ticket: str) -> Player | None:
        """Whose ticket it is, and it is no more; None if it is nobody's (any more). Raises StoreUnavailable."""


SESSION_KEPT_S: Final = 120


class SessionStore(Protocol):
    """Clients that were lost: what is kept of them until they come back, in whichever server process."""

    def persist(self, saved_session: SavedSession) -> None:
        """Keep it for two minutes, or until it is taken; told, not asked. What cannot be written down is not kept."""

    async def restore(self, pid: str, user_id: str) -> SavedSession | None:
        """What is kept under a pid of this user's, and it is no more; None if nothing is, or nobody can say. Never raises.

        ``pid`` may be anything that a client says.
        """


class Condition(Value, frozen=True, kw_only=True):
    """How one thing that this process depends on fares.

    ``ok``: all is well. ``serving``: this process can do its share all the same; if not, a balancer sends players elsewhere.
    ``detail``: why it is not ok, one plain sentence that strangers may read; empty when it is.
    """

    name: str
    ok: bool
    serving: bool
    detail: str = ""


class Health(Protocol):
    """How this process fares, as far as it knows."""

    def conditions(self) -> Sequence[Condition]:
        """The condition of each thing that it depends on. Answered from memory: it asks no store and costs no I/O."""

    @property
    def ledger_serves(self) -> bool:
        """Whether the ledger keeps awards, as far as is known from memory. True before the first probe has ended."""


class Meter(Protocol):
    """What is measured while the house works; told, never asked."""

    def count(self, name: str, by: int = 1, **labels: str) -> None:
        """Add to a counter."""

    def observe(self, name: str, seconds: float) -> None:
        """Put a duration into a histogram."""

    def gauge(self, name: str, value: float) -> None:
        """Set a gauge."""


#: The close code of a socket whose player was suspended: it must not come back by itself.
SUSPENDED: Final = CloseReason(code=4403, reason="the account is suspended")

#: Called with the name of each step a score has just passed: validated, judged, committed, drawn, marked, telling.
#: A test profile may stop the process dead there; otherwise it does nothing.
Failpoint = Callable[[str], None]


def no_failpoint(_step: str) -> None:
    """Nothing happens here."""
