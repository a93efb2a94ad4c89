"""Boundaries: Protocols between the parts of the program. Each says what a part promises, and nothing of how.

Every method that waits is a coroutine, and no implementation blocks the reactor. The twins in ``storage/memory`` keep the same
promises; the same contract suites check both.
"""

from scoreboard.boundaries.announcer import Announcer, EventEncoder, Listener
from scoreboard.boundaries.authentication import Authenticator, Tickets
from scoreboard.boundaries.board import Board
from scoreboard.boundaries.health import Health, Meter
from scoreboard.boundaries.keys import KeyRoster
from scoreboard.boundaries.ledger import Ledger
from scoreboard.boundaries.players import PlayerStore
from scoreboard.boundaries.ranking import Ranking
from scoreboard.boundaries.rate_limiter import RateLimiter
from scoreboard.boundaries.scorekeeper import Scorekeeper
from scoreboard.boundaries.sessions import SessionStore

__all__ = [
    "Announcer",
    "Authenticator",
    "Board",
    "EventEncoder",
    "Health",
    "KeyRoster",
    "Ledger",
    "Listener",
    "Meter",
    "PlayerStore",
    "Ranking",
    "RateLimiter",
    "Scorekeeper",
    "SessionStore",
    "Tickets",
]
