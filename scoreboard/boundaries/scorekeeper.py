"""Scorekeeper: the only writer of awards."""

from __future__ import annotations

from typing import Protocol

from scoreboard.domain.actions import ClientInfo, Receipt, Submission
from scoreboard.domain.grants import Grant
from scoreboard.domain.players import Player
from scoreboard.domain.refusals import Refusal


class Scorekeeper(Protocol):
    """The only writer: one lane a user, batches to the ledger, then to the board, then the answer."""

    async def submit(self, player: Player, submission: Submission, grant: Grant, client: ClientInfo) -> Receipt | Refusal:
        """The receipt of an award that is committed, or why there is none. Refuses at once when too many wait.

        ``grant`` is what `grants.verify` found in the submission's signature for this player.
        """
