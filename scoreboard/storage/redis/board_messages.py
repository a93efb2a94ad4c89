"""Messages of boards: one channel on which the processes tell each other what they set, on whichever board.

A message is the id of the process that sent it, the key of the bucket (nothing for the global board), and a JSON array.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Sequence
from typing import Final

from scoreboard.domain.boards import DEFAULT_BOARD, BoardBucket
from scoreboard.domain.cursor import Cursor
from scoreboard.domain.events import ScoreChanged
from scoreboard.storage.redis.board_records import read_changes
from scoreboard.storage.redis.client import RedisClient

CHANNEL: Final = f"{{leaderboard:{DEFAULT_BOARD}}}:changes"
_SOURCE_LENGTH: Final = 16

OnChanges = Callable[[Cursor, Sequence[ScoreChanged]], None]


class BoardMessages:
    """The messages for one process. It does not receive those that it sent itself. ``source`` is its id."""

    def __init__(self, client: RedisClient) -> None:
        self._client = client
        self.source = secrets.token_hex(_SOURCE_LENGTH // 2)
        self._ours = self.source.encode()
        self._subscribed = False
        self._readers: dict[bytes, tuple[OnChanges, Callable[[], None]]] = {}

    def source_of(self, bucket: BoardBucket) -> str:
        """What stands before the JSON of this process's messages about a bucket."""
        return self.source + _key(bucket).decode()

    def listen(self, bucket: BoardBucket, on_changes: OnChanges, missed: Callable[[], None]) -> None:
        """Call ``on_changes`` with what other processes change in a bucket, and ``missed`` when some may not have arrived."""
        if not self._subscribed:
            self._subscribed = True
            self._client.subscribe(CHANNEL, self._received, self._missed)
        self._readers[_key(bucket)] = on_changes, missed

    def ignore(self, bucket: BoardBucket) -> None:
        """End what `listen` began for a bucket."""
        self._readers.pop(_key(bucket), None)

    def _received(self, message: bytes) -> None:
        if message.startswith(self._ours):
            return
        key, bracket, rest = message[_SOURCE_LENGTH:].partition(b"[")
        reader = self._readers.get(key)
        if reader is not None:
            reader[0](*read_changes(bracket + rest))

    def _missed(self) -> None:
        for _, missed in list(self._readers.values()):
            missed()


def _key(bucket: BoardBucket) -> bytes:
    return b"" if bucket.is_global else bucket.key.encode()
