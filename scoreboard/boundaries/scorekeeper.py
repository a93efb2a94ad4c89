"""Scorekeeper: the only writer of awards."""

from __future__ import annotations

from typing import Protocol

from scoreboard.domain.actions import ClientInfo, Receipt, Submission
from scoreboard.domain.grants import Grant
from scoreboard.domain.players import Player
from scoreboard.domain.refusals import Refusal


class Scorekeeper(Protocol):
    """The only writer of awards: commits them in batches, sets them on the board, then answers."""

    async def submit(self, player: Player, submission: Submission, grant: Grant, client: ClientInfo) -> Receipt | Refusal:
        """The receipt of an award that is committed, or a refusal. Refuses at once if too many submissions wait.

        ``grant`` is what `grants.verify` found in the submission's signature for this player.
        """
