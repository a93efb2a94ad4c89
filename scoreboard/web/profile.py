"""What is a player's own besides the points: what was unlocked, and the player's settings."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from scoreboard.boundaries import Register
from scoreboard.domain.limits import Hit
from scoreboard.domain.players import PlayerSettings
from scoreboard.domain.refusals import Refusal, Refused
from scoreboard.net.http.request import Request
from scoreboard.net.http.response import JSON, Answer
from scoreboard.web.request_bodies import read_settings
from scoreboard.web.request_guard import Door
from scoreboard.web.schemas import AchievementsAnswer, SettingsAnswer, achievements_data, encode, settings_data

_OWN: Final = JSON + b"Cache-Control: private, no-store\r\n"
_TOO_MANY: Final = "Too many changes of settings. Please try again later."


@dataclass(frozen=True, eq=False)
class Profile:
    """Handlers of /me. ``note_settings`` learns at once of what was changed here: user id, settings, number of the change."""

    door: Door
    register: Register
    note_settings: Callable[[str, PlayerSettings, int], None]
    now_ms: Callable[[], int]

    async def achievements(self, request: Request) -> Answer:
        """All that the asking player ever unlocked."""
        player = await self.door.viewer(request)
        unlocked = await self.register.achievements(player.user_id)
        return Answer(200, encode(AchievementsAnswer(data=achievements_data(unlocked))), _OWN)

    async def settings(self, request: Request) -> Answer:
        """What the asking player decided, or the defaults."""
        player = await self.door.viewer(request)
        return _told(await self.register.settings(player.user_id))

    async def change_settings(self, request: Request) -> Answer | Refusal:
        """Keep what the asking player decides. What cannot be read counts, too."""
        player = await self.door.contestant(request)
        wanted = _read(request)
        await self.door.count_play(request, Hit(limit=self.door.limits.settings, subject=player.user_id), None, _TOO_MANY)
        if isinstance(wanted, Refusal):
            return wanted
        number = await self.register.change_settings(player.user_id, wanted, self.now_ms())
        self.note_settings(player.user_id, wanted, number)
        return _told(wanted)


def _read(request: Request) -> PlayerSettings | Refusal:
    try:
        return read_settings(request.content_type, request.body)
    except Refused as refused:
        return refused.refusal


def _told(settings: PlayerSettings) -> Answer:
    return Answer(200, encode(SettingsAnswer(data=settings_data(settings))), _OWN)
