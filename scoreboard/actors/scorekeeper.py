"""Scorekeeper: the only writer of awards. Claims wait in a bounded mailbox; a batch of them is one commit and one projection.

The order never changes: commit, then project (which announces), then answer. If we crash after the commit and before the
projection, the ledger is ahead of the board, and the server that follows next sets the totals. The player who got no answer
retries and gets the receipt. Ranks are known only after the projection, so the next commit writes them to the ledger. A crash
between these two commits leaves a receipt whose ranks are null.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress

import msgspec
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.internet.task import deferLater
from twisted.logger import Logger
from typing_extensions import override

from scoreboard.actors.award_log import AwardLog
from scoreboard.actors.mailbox import Envelope, Mailbox, MailboxClosed, MailboxFull, MailboxLate
from scoreboard.boundaries import scorekeeper as boundary
from scoreboard.boundaries.health import Meter
from scoreboard.boundaries.ledger import Ledger
from scoreboard.boundaries.rate_limiter import RateLimiter
from scoreboard.domain.actions import ClientInfo, PlacedReceipt, Receipt, Submission
from scoreboard.domain.errors import StoreAway, StoreFull, StoreUnavailable
from scoreboard.domain.grants import Grant
from scoreboard.domain.judgement import AWARD_S_MAX, Award, Claim, Verdict, unplaced
from scoreboard.domain.players import Player
from scoreboard.domain.refusals import HELD, INVALID_ACTION, SUSPENDED, Reason, Refusal, unavailable
from scoreboard.domain.rules import Catalogue
from scoreboard.failpoints import Failpoint, no_failpoint

SubmitResult = Receipt | Refusal
_FULL = unavailable("Too many submissions are waiting; nothing was awarded")
_STOPPING = unavailable("The server is stopping; nothing was awarded")
_LEDGER_AWAY = unavailable()
_LEDGER_SILENT = unavailable("The ledger did not take it in time; submit the same action again: it is awarded once at most")

CLAIMS_WAITING_MAX = 4_096
CLAIMS_PER_COMMIT_MAX = 256
#: How long a claim waits for its batch. The ledger has the rest of AWARD_S_MAX, from the arrival of the oldest claim on.
CLAIM_WAITS_S_MAX = 3.5
#: How long the last receipts may take at a stop. Without them a retry is answered without ranks.
LAST_RECEIPTS_S_MAX = 1.0
#: How many claims may wait for an account that another server has locked, and the pause before each is tried again.
CLAIMS_HELD_MAX = 1_024
HELD_PAUSE_S_MIN = 0.01
HELD_PAUSE_S_MAX = 0.4
#: How long a receipt with ranks waits for an award whose commit it can share.
RECEIPTS_WAIT_S = 0.02


#: Sets a committed batch on the boards. Returns receipts with ranks by action id; none if the global board cannot be set now.
Project = Callable[[Sequence[Award]], Awaitable[dict[str, Receipt]]]


class Scorekeeper(boundary.Scorekeeper):
    """The only writer of one process.

    ``is_suspended`` is called when a claim leaves the mailbox. The ledger checks this again in the transaction: the order
    of commits decides. ``note_batch`` is called after each batch, with whether it was committed. ``award_log`` is None where
    its lines would not be shown.
    """

    _log = Logger()

    def __init__(
        self,
        *,
        ledger: Ledger,
        project: Project,
        rate_limiter: RateLimiter,
        catalogue: Catalogue,
        milestones: tuple[int, ...] = (),
        clock: IReactorTime,
        now_ms: Callable[[], int],
        new_id: Callable[[], str],
        meter: Meter,
        is_suspended: Callable[[str], bool],
        note_batch: Callable[[bool], None] = lambda _: None,
        award_log: AwardLog | None = None,
        failpoint: Failpoint = no_failpoint,
    ) -> None:
        self._ledger = ledger
        self._project = project
        self._rate_limiter = rate_limiter
        self._catalogue = catalogue
        self._milestones = milestones
        self._clock = clock
        self._now_ms = now_ms
        self._new_id = new_id
        self._meter = meter
        self._is_suspended = is_suspended
        self._note_batch = note_batch
        self._award_log = award_log
        self._failpoint = failpoint
        # The letter None only has the receipts written.
        self._mailbox: Mailbox[Claim | None, SubmitResult] = Mailbox(
            self._award_batch,
            letters_max=CLAIMS_WAITING_MAX,
            batch_max=CLAIMS_PER_COMMIT_MAX,
            wait_s_max=CLAIM_WAITS_S_MAX,
            clock=clock,
            meter=meter,
        )
        self._held = 0
        self._receipts: list[PlacedReceipt] = []
        self._flush: IDelayedCall | None = None

    @property
    def is_awarding(self) -> bool:
        """Whether a batch of awards is being written."""
        return self._mailbox.busy

    @override
    async def submit(self, player: Player, submission: Submission, grant: Grant, client: ClientInfo) -> SubmitResult:
        rule = self._catalogue.get(grant.action_type)
        if rule is None:
            return INVALID_ACTION
        self._failpoint("validated")
        claim = Claim(
            transaction_id=self._new_id(),
            player=player,
            grant=grant,
            rule=rule,
            metadata=submission.metadata,
            client=client,
            # Another server with a clock some milliseconds ahead of ours may have issued it: no claim is earlier than its grant.
            at_ms=max(self._now_ms(), grant.issued_at_ms),
            milestones=self._milestones,
        )
        return await self._judge(claim)

    async def _judge(self, claim: Claim) -> SubmitResult:
        """The result of a claim. While another server has locked the player's account, it is tried again for a limited time."""
        until_s, pause_s = self._clock.seconds() + AWARD_S_MAX, HELD_PAUSE_S_MIN
        while True:
            result = await self._ask(claim)
            if result is not HELD or self._clock.seconds() + pause_s > until_s or self._held >= CLAIMS_HELD_MAX:
                return result
            self._held += 1
            try:
                await deferLater(self._clock, pause_s)
            finally:
                self._held -= 1
            pause_s = min(2 * pause_s, HELD_PAUSE_S_MAX)

    async def _ask(self, claim: Claim) -> SubmitResult:
        try:
            return await self._mailbox.ask(claim)
        except MailboxFull:
            self._meter.count("submissions_refused_total", reason="mailbox_full")
            return _FULL
        except MailboxLate:
            self._meter.count("submissions_refused_total", reason="waited_too_long")
            return _FULL
        except MailboxClosed:
            return _STOPPING

    async def stop(self) -> None:
        """Take no more claims, finish those that wait, and write the last receipts."""
        await self._mailbox.close()
        await self._append([], LAST_RECEIPTS_S_MAX)

    async def _award_batch(self, batch: list[Envelope[Claim | None, SubmitResult]]) -> None:
        asked: list[tuple[Envelope[Claim | None, SubmitResult], Claim]] = []
        for envelope in batch:
            claim = envelope.letter
            if claim is not None and self._is_suspended(claim.player.user_id):
                envelope.answer(SUSPENDED)
            elif claim is not None:
                asked.append((envelope, claim))
        waited_s = self._clock.seconds() - batch[0].came_s
        verdicts = await self._append([claim for _, claim in asked], AWARD_S_MAX - waited_s)
        if isinstance(verdicts, Refusal):
            for envelope, _ in asked:
                envelope.answer(verdicts)
            return
        awards = [verdict for verdict in verdicts if isinstance(verdict, Award)]
        placed: dict[str, Receipt] = {}
        if awards:
            self._failpoint("committed")
            placed = await self._project(awards)
            self._failpoint("cached")
            self._rate_limiter.release([(award.user_id, award.claim.grant.action_id) for award in awards])
            ranked = ((award.user_id, award.claim.grant.action_id) for award in awards)
            self._receipts = [(*one, placed[one[1]]) for one in ranked if one[1] in placed and not placed[one[1]].degraded]
            self._schedule_flush()
            self._meter.count("score_updates_total", len(awards))
            if self._award_log is not None:
                self._log_awards(self._award_log, asked, verdicts, placed)
        for (envelope, claim), verdict in zip(asked, verdicts, strict=True):
            envelope.answer(_submit_result(claim, verdict, placed))

    async def _append(self, claims: Sequence[Claim], seconds_max: float) -> list[Verdict] | Refusal:
        """Commit a batch: its verdicts, or the answer to give if the ledger could not commit it."""
        if self._flush is not None:  # this commit takes its receipts
            self._flush.cancel()
            self._flush = None
        if not claims and not self._receipts:
            return []
        try:
            verdicts = await self._ledger.award(claims, self._receipts, seconds_max)
        except StoreUnavailable as away:
            # Receipts stay for the next commit; writing them twice changes nothing.
            self._note_batch(False)
            self._meter.count("ledger_unavailable_total")
            if isinstance(away, StoreAway):  # logged once when the ledger went away, or this process was stopped for a while
                return _LEDGER_AWAY
            if claims:
                write = self._log.error if isinstance(away, StoreFull) else self._log.warn
                write("the ledger did not take {claims} claims: {away}", claims=len(claims), away=str(away))
            return _LEDGER_SILENT
        self._note_batch(True)
        self._receipts = []
        return verdicts

    def _log_awards(
        self,
        award_log: AwardLog,
        asked: Sequence[tuple[Envelope[Claim | None, SubmitResult], Claim]],
        verdicts: Sequence[Verdict],
        placed: Mapping[str, Receipt],
    ) -> None:
        now_s = self._clock.seconds()
        for (envelope, claim), verdict in zip(asked, verdicts, strict=True):
            if isinstance(verdict, Award):
                receipt = placed.get(claim.grant.action_id)
                rank = None if receipt is None else receipt.rank
                award_log.write(verdict, rank, int(1000 * (now_s - envelope.came_s)))

    def _schedule_flush(self) -> None:
        if self._flush is None and self._receipts:
            self._flush = self._clock.callLater(RECEIPTS_WAIT_S, self._flush_receipts)

    def _flush_receipts(self) -> None:
        self._flush = None
        with suppress(MailboxFull, MailboxClosed):  # full: the next batch takes them; closed: `stop` takes them
            self._mailbox.tell(None)


def _submit_result(claim: Claim, verdict: Verdict, placed: dict[str, Receipt]) -> SubmitResult:
    action_id = claim.grant.action_id
    if isinstance(verdict, Award):
        return placed.get(action_id) or unplaced(verdict)
    if verdict.reason is Reason.ACTION_ALREADY_USED and action_id in placed:
        # Awarded earlier in this batch: its ranks became known only now.
        return msgspec.structs.replace(verdict, receipt=placed[action_id])
    return verdict
