"""Composition root: the only package that chooses implementations. Settings in, a service out.

``make_service`` is for twistd (scoreboard.tac); the other functions are the admin API that the CLI calls.
"""

from config import BadSettings
from scoreboard.service.admin import (
    backup_ledger,
    issue_token,
    ledger_location,
    open_stores,
    project,
    redraw,
    restore_ledger,
    schema_status,
    settings_from,
    stores_named,
    upgrade_schema,
)
from scoreboard.service.server import make_service

__all__ = (
    "BadSettings",
    "backup_ledger",
    "issue_token",
    "ledger_location",
    "make_service",
    "open_stores",
    "project",
    "redraw",
    "restore_ledger",
    "schema_status",
    "settings_from",
    "stores_named",
    "upgrade_schema",
)
