"""What one answer means for its row and for the broadcast; when to stop. Pure decisions.

The classes of codes are Meta's (Meta: error codes); what is ambiguous is never sent again here.
"""

from __future__ import annotations

from collections import Counter, deque
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from wacoex_cli.broadcast.model import Claim, Counts, RowState, Settled
from wacoex_cli.platforms.error_codes import ErrorCode, Outcome, classify, retry_delay_seconds
from wacoex_cli.platforms.meta import NotSent, Refused, Reply, Taken, Unclear

MOST_TRIES_IN_RUN = 5
LONGEST_RETRY_IN_RUN = timedelta(minutes=10)
_NOT_SENT_WAIT_SECONDS = 1.0


@dataclass(frozen=True)
class Stop:
    """Why a broadcast takes no new rows. `exit_status` is the cause's, were nothing taken."""

    reason: str
    exit_status: int
    code: int | None = None


@dataclass(frozen=True)
class Verdict:
    """What one answer leads to.

    Attributes:
        settled: the row's new state.
        throttled: True for a refusal of the rate, False for a usable answer, None for neither.
        hold_seconds: for how long nothing more may leave for this number.
        stop: set when the whole broadcast must pause.
    """

    settled: Settled
    throttled: bool | None = None
    hold_seconds: float = 0.0
    stop: Stop | None = None


def judge(claim: Claim, reply: Reply, now: datetime) -> Verdict:
    """What a reply to a claim means."""
    if isinstance(reply, Taken):
        return Verdict(
            Settled(
                claim.row,
                claim.attempt,
                RowState.ACCEPTED,
                message_id=reply.message_id,
                message_status=reply.message_status,
            ),
            throttled=False,
        )
    if isinstance(reply, Unclear):
        asked = reply.retry_after_seconds or 0.0
        return Verdict(_ambiguous(claim, reply.reason), hold_seconds=asked)
    if isinstance(reply, NotSent):
        wait = _NOT_SENT_WAIT_SECONDS * 4 ** (claim.tries_in_run - 1)
        return Verdict(_retry(claim, now + timedelta(seconds=wait), detail=reply.reason))
    return _judge_refusal(claim, reply, now)


def _judge_refusal(claim: Claim, reply: Refused, now: datetime) -> Verdict:
    known = classify(reply.code, reply.subcode)
    detail = reply.details or reply.message
    if known.outcome is Outcome.AMBIGUOUS:
        return Verdict(_ambiguous(claim, detail, reply.code), throttled=False)
    if known.outcome is Outcome.ROW:
        return Verdict(
            Settled(
                claim.row,
                claim.attempt,
                RowState.REJECTED,
                code=reply.code,
                detail=detail,
                opts_out=known.opts_out,
            ),
            throttled=False,
        )
    asked = _asked_wait(reply)
    wait = max(retry_delay_seconds(known, claim.tries_in_run), asked)
    if known.outcome is Outcome.STOP:
        settled = _retry(claim, now, reply.code, detail)
        return Verdict(settled, throttled=False, stop=_stop(known, reply))
    settled = _retry(claim, now + timedelta(seconds=wait), reply.code, detail)
    held = known.wait_seconds if known.holds_number else 0.0
    return Verdict(settled, throttled=known.slows_down, hold_seconds=max(asked, held))


def _stop(known: ErrorCode, reply: Refused) -> Stop:
    return Stop(
        f"Meta refused with code {reply.code}: {known.meaning}",
        exit_status=4 if known.is_credential else 5,
        code=reply.code,
    )


def _asked_wait(reply: Refused) -> float:
    return max(reply.retry_after_seconds or 0.0, (reply.regain_minutes or 0.0) * 60.0)


def _ambiguous(claim: Claim, reason: str, code: int | None = None) -> Settled:
    return Settled(claim.row, claim.attempt, RowState.AMBIGUOUS, code=code, detail=reason)


def _retry(
    claim: Claim, not_before: datetime, code: int | None = None, detail: str | None = None
) -> Settled:
    return Settled(
        claim.row,
        claim.attempt,
        RowState.RETRY,
        code=code,
        detail=detail,
        not_before=not_before,
        is_exhausted=not_before - claim.first_try_in_run_at >= LONGEST_RETRY_IN_RUN,
    )


@dataclass
class Breaker:
    """Pauses a broadcast that mostly fails.

    It opens when at least `least_rows` answers came and at least `share` of the last 100 were
    rejected, failed, or brought no usable answer.
    """

    least_rows: int = 20
    share: float = 0.30
    _last: deque[str | None] = field(default_factory=lambda: deque(maxlen=100))

    def saw(self, settled: Settled) -> None:
        """Count one outcome; rows that will be tried again are no outcome."""
        if settled.state is RowState.RETRY:
            return
        self._last.append(_fault(settled))

    def verdict(self) -> Stop | None:
        """The stop to make, naming the codes, or None."""
        faults = [fault for fault in self._last if fault]
        if len(self._last) < self.least_rows or len(faults) < self.share * len(self._last):
            return None
        named = ", ".join(f"{fault} ({n} times)" for fault, n in Counter(faults).most_common(5))
        return Stop(f"{len(faults)} of the last {len(self._last)} rows went wrong: {named}", 5)


def _fault(settled: Settled) -> str | None:
    if settled.state is RowState.AMBIGUOUS:
        return "no usable answer"
    if settled.state in (RowState.REJECTED, RowState.FAILED):
        return f"code {settled.code}" if settled.code is not None else "refused"
    return None


def exit_status(counts: Counts, stop: Stop | None) -> int:
    """The exit status of `broadcast send` and `resume`.

    0 when every row is accepted or skipped, 7 as soon as one row was taken or is ambiguous and
    any row is something else, otherwise by cause.
    """
    fine = counts.of(
        RowState.ACCEPTED, RowState.SENT, RowState.DELIVERED, RowState.READ, RowState.SKIPPED
    )
    if fine == counts.total:
        return 0
    if counts.taken or counts.of(RowState.AMBIGUOUS):
        return 7
    if stop:
        return stop.exit_status
    return 6 if counts.of(RowState.RETRY) else 5
