"""Composition root: the only package that chooses implementations. Settings in, a service out.

``make_service`` is for twistd (scoreboard.tac); the other functions are the admin API that the CLI calls.
"""

from config import BadSettings as BadSettings
from scoreboard.service.admin import backup_ledger as backup_ledger
from scoreboard.service.admin import issue_token as issue_token
from scoreboard.service.admin import ledger_location as ledger_location
from scoreboard.service.admin import open_stores as open_stores
from scoreboard.service.admin import project as project
from scoreboard.service.admin import rebuild_board as rebuild_board
from scoreboard.service.admin import restore_ledger as restore_ledger
from scoreboard.service.admin import schema_status as schema_status
from scoreboard.service.admin import settings_from as settings_from
from scoreboard.service.admin import stores_named as stores_named
from scoreboard.service.admin import upgrade_schema as upgrade_schema
from scoreboard.service.server import make_service as make_service
