"""Handlers of /me: a player's own achievements and settings."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from scoreboard.boundaries.players import PlayerStore
from scoreboard.domain.players import Player, PlayerSettings
from scoreboard.domain.refusals import Refusal, Refused
from scoreboard.net.http.request import Request
from scoreboard.net.http.response import PRIVATE_JSON, Response
from scoreboard.web.request_bodies import read_settings
from scoreboard.web.request_guard import ONE, Charge, RequestGuard
from scoreboard.web.schemas import SettingsData, Success, achievements_data, encode

_TOO_MANY: Final = "Too many changes of settings. Please try again later."


@dataclass(frozen=True, eq=False)
class ProfileHandlers:
    """Handlers of /me. ``note_settings`` is called with each change: user id, settings, number of the change."""

    guard: RequestGuard
    player_store: PlayerStore
    note_settings: Callable[[str, PlayerSettings, int], None]
    now_ms: Callable[[], int]

    async def achievements(self, request: Request) -> Response:
        """Read all achievements of the player."""
        player = await self.guard.require_viewer(request)
        unlocked = await self.player_store.achievements(player.user_id)
        return Response(200, encode(Success(data=achievements_data(unlocked))), PRIVATE_JSON)

    async def settings(self, request: Request) -> Response:
        """Read the player's settings, or the defaults."""
        player = await self.guard.require_viewer(request)
        return _settings_response(await self.player_store.settings(player.user_id))

    async def change_settings(self, request: Request) -> Response | Refusal:
        """Store the player's settings. A body that cannot be read counts against the limit as well."""
        player, wanted = await self.guard.require_player(request, "settings", _read, _TOO_MANY)
        if isinstance(wanted, Refusal):
            return wanted
        number = await self.player_store.change_settings(player.user_id, wanted, self.now_ms())
        self.note_settings(player.user_id, wanted, number)
        return _settings_response(wanted)


def _read(request: Request, _player: Player) -> tuple[PlayerSettings | Refusal, Charge]:
    try:
        return read_settings(request.content_type, request.body), ONE
    except Refused as refused:
        return refused.refusal, ONE


def _settings_response(settings: PlayerSettings) -> Response:
    return Response(200, encode(Success(data=SettingsData(spectators=settings.spectators))), PRIVATE_JSON)
