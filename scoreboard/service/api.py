"""HTTP API of the server: its handlers, built on the backend."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

from scoreboard.net.websocket.resource import WebSocketResource
from scoreboard.realtime.engineio.polling import EngineResource
from scoreboard.realtime.native import NativeFactory
from scoreboard.realtime.services import LiveServices
from scoreboard.realtime.sse import open_stream
from scoreboard.service.backend import Backend
from scoreboard.service.lifecycle import ServerContext
from scoreboard.service.wiring import action_ring, metrics_access, new_id, now_ms
from scoreboard.web.actions import ActionHandlers
from scoreboard.web.app import OPERATIONS, Api
from scoreboard.web.credentials import SPECTATOR_LIFE_S, SpectatorHandlers, TicketHandlers
from scoreboard.web.health import HealthHandlers
from scoreboard.web.long_poll import LongPollHandlers
from scoreboard.web.open_route_limiter import OpenRouteLimiter
from scoreboard.web.openapi import document
from scoreboard.web.pages import Pages
from scoreboard.web.profile import ProfileHandlers
from scoreboard.web.request_guard import RequestGuard
from scoreboard.web.scores import ScoreHandlers

STATIC_FILES: Final = Path(__file__).parents[1] / "pages"


@dataclass(frozen=True, kw_only=True)
class Realtime:
    """The live protocols. Some routes of the API hand their connections over to them."""

    native: NativeFactory
    socketio: EngineResource
    services: LiveServices


def build_api(
    context: ServerContext, backend: Backend, realtime: Realtime, guard: RequestGuard, open_route_limiter: OpenRouteLimiter
) -> Api:
    """The routes with all their handlers."""
    ticket_handlers = TicketHandlers(guard=guard, tickets=backend.stores.tickets, now_ms=now_ms)
    life_s = min(SPECTATOR_LIFE_S, context.settings.jwt_expiration_s) if context.settings.public_board else None
    return Api(
        scores=_score_handlers(context, backend, guard),
        actions=_action_handlers(context, backend, guard),
        changes=LongPollHandlers(
            ticket_handlers=ticket_handlers,
            ranking=backend.ranking,
            announcer=backend.announcer,
            open_stream=partial(open_stream, realtime.services),
            clock=context.reactor,
        ),
        profile=ProfileHandlers(
            guard=guard,
            player_store=backend.stores.player_store,
            note_settings=backend.suspension_watcher.note_settings,
            now_ms=now_ms,
        ),
        ticket_handlers=ticket_handlers,
        spectators=SpectatorHandlers(guard=guard, life_s=life_s, now_ms=now_ms, new_id=new_id),
        health=_health_handlers(context, backend, guard, open_route_limiter),
        pages=Pages(STATIC_FILES, open_route_limiter, guard.limits.pages),
        socket=WebSocketResource(realtime.native),
        socketio=realtime.socketio,
    )


def _score_handlers(context: ServerContext, backend: Backend, guard: RequestGuard) -> ScoreHandlers:
    return ScoreHandlers(
        guard=guard,
        scorekeeper=backend.scorekeeper,
        boards=backend.boards,
        ring=action_ring(context.settings),
        clock=context.reactor,
        now_ms=backend.stores.ledger_clock.now_ms,
        meter=context.metrics,
    )


def _action_handlers(context: ServerContext, backend: Backend, guard: RequestGuard) -> ActionHandlers:
    return ActionHandlers(
        guard=guard,
        health=backend.health,
        catalogue=context.catalogue,
        signing_ring=backend.stores.key_watch.actions.ring,
        action_ttl_ms=context.settings.action_expiration_ms,
        now_ms=backend.stores.ledger_clock.now_ms,
        new_id=new_id,
    )


def _health_handlers(
    context: ServerContext, backend: Backend, guard: RequestGuard, open_route_limiter: OpenRouteLimiter
) -> HealthHandlers:
    return HealthHandlers(
        open_route_limiter=open_route_limiter,
        limit=guard.limits.probes,
        health=backend.health,
        metrics=context.metrics.render,
        metrics_access=metrics_access(context.settings),
        document=partial(document, OPERATIONS) if context.settings.public_openapi else None,
        clock=context.reactor,
    )
