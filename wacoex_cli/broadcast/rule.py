"""What one answer means for its row and for the broadcast. Pure decisions.

The classes of codes are Meta's (Meta: error codes); what is ambiguous is never sent again here.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from wacoex_cli.audience.model import SkipReason
from wacoex_cli.broadcast.model import Claim, Counts, RowState, Settled
from wacoex_cli.platforms.error_codes import ErrorCode, Outcome, classify, retry_delay_seconds
from wacoex_cli.platforms.replies import Declined, NotSent, Refused, Reply, Taken, Unclear

MOST_TRIES_IN_RUN = 5
LONGEST_RETRY_IN_RUN = timedelta(minutes=10)
_NOT_SENT_WAIT_SECONDS = 1.0
_TOO_MANY_REQUESTS, _BEING_PROCESSED, _NOT_FOUND = 429, 449, 404
_TURNED_AWAY = frozenset({401, 403})
_SHORTEST_PAUSE_SECONDS, _PROCESSING_SECONDS = 1.0, 60.0


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
    if isinstance(reply, Declined):
        return _judge_declined(claim, reply, now)
    return _judge_refusal(claim, reply, now)


def _judge_declined(claim: Claim, reply: Declined, now: datetime) -> Verdict:
    """Source: "respond.io: errors". None of these was taken."""
    detail = f"HTTP {reply.status}{f': {reply.said}' if reply.said else ''}"
    if reply.status in _TURNED_AWAY or not reply.from_api:
        stop = Stop(f"respond.io turned the request away: {detail}", _cause(reply))
        return Verdict(_retry(claim, now, detail=detail), throttled=False, stop=stop)
    if reply.status == _TOO_MANY_REQUESTS:
        wait = max(reply.retry_after_seconds or 0.0, _SHORTEST_PAUSE_SECONDS)
        again = now + timedelta(seconds=wait)
        return Verdict(_retry(claim, again, detail=detail), throttled=True, hold_seconds=wait)
    if reply.status == _BEING_PROCESSED:
        asked = reply.retry_after_seconds or _PROCESSING_SECONDS * claim.tries_in_run
        again = now + timedelta(seconds=asked)
        return Verdict(_retry(claim, again, detail=detail), throttled=False)
    if reply.status == _NOT_FOUND:
        state, reason = RowState.SKIPPED, SkipReason.NO_CONTACT.value
        return Verdict(
            Settled(claim.row, claim.attempt, state, reason=reason, detail=detail), throttled=False
        )
    rejected = Settled(claim.row, claim.attempt, RowState.REJECTED, detail=detail)
    return Verdict(rejected, throttled=False)


def _cause(reply: Declined) -> int:
    return 4 if reply.status in _TURNED_AWAY else 6


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
