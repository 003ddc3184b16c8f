"""A new broadcast from the failed rows of another: `send ID --retry-failed CLASS`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from wacoex_cli.audience.model import SkipReason
from wacoex_cli.broadcast import exclusion
from wacoex_cli.broadcast.contacts import find_contacts
from wacoex_cli.broadcast.drafting import tidy
from wacoex_cli.broadcast.model import RowState, Status, lock_purpose
from wacoex_cli.broadcast.projection import bring_up_to_date
from wacoex_cli.broadcast.store import Broadcasts, Rows
from wacoex_cli.errors import UsageError
from wacoex_cli.foundation import locks
from wacoex_cli.platforms.error_codes import Outcome, classify

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from wacoex_cli.broadcast.model import Broadcast
    from wacoex_cli.broadcast.providers import SendingProvider
    from wacoex_cli.foundation.clock import Clock
    from wacoex_cli.foundation.state import Row, State

Failure = tuple[RowState, int | None]

_BATCH_ROWS = 5_000
_FIRST_ROWS = 3
_ALL = "all"
_STATES = {state.value: state for state in (RowState.FAILED, RowState.REJECTED)}
_OUTCOMES = {one.value: one for one in (Outcome.RETRY, Outcome.ROW, Outcome.STOP)}
_WORDS = (*_STATES, *_OUTCOMES, _ALL)


@dataclass(frozen=True)
class Retry:
    """A planned broadcast of rows that failed in another, and its first rows.

    `skipped` is how many were left out for which reason.
    """

    broadcast: Broadcast
    skipped: Mapping[str, int]
    first_rows: tuple[Row, ...]


async def plan_retry(
    state: State,
    provider: SendingProvider,
    source: Broadcast,
    word: str,
    *,
    clock: Clock,
    dry_run: bool,
) -> Retry:
    """Plan what failed in `source` anew: the frozen template and parameters, nothing else of it.

    `word` chooses the rows: `failed`, `rejected`, a code of Meta, what follows from codes
    (`retry`, `row`, `stop`), or `all`. Who has opted out, who got 131049 within 24 hours, and who
    has or will get the message from another broadcast that began with the same failures, is
    skipped. With `dry_run` everything is done and then taken back.

    Raises:
        UsageError: the word is unfit, or nobody is left; nothing is planned then.
        TemporaryError: the broadcast is being sent right now.
        CredentialError, RefusedError: respond.io could not be asked for its contacts.
    """
    bring_up_to_date(state, clock)
    hint = f"wait until it ends, or: wacoex broadcast pause {source.broadcast_id}"
    Broadcasts(state).demand_idle(source.broadcast_id, hint, clock)
    wanted = _chosen(state, source, word)
    presence = locks.Presence(state.path)
    try:
        broadcast_id = _draft(state, source, presence, clock)
        _fill(state, source, broadcast_id, wanted)
        draft = Broadcasts(state).get(broadcast_id)
        _leave_out(state, draft, clock)
        if provider.respondio is not None:
            await find_contacts(state, provider.respondio, broadcast_id, create=False)
        return _freeze(state, source, broadcast_id, dry_run=dry_run)
    finally:
        tidy(state, presence, clock)


def _chosen(state: State, source: Broadcast, word: str) -> list[Failure]:
    number = source.broadcast_id
    if word == Outcome.AMBIGUOUS.value:
        raise UsageError(
            "nobody knows whether ambiguous rows went out, so they are no failures",
            hint=f"find out, and settle them: wacoex broadcast reconcile {number}",
            code="ambiguous",
        )
    is_code = word.isascii() and word.isdecimal()
    if not is_code and word not in _WORDS:
        raise UsageError(
            f"`--retry-failed {word}` is no class of failures",
            hint=f"a code of Meta such as 131026, or one of {', '.join(_WORDS)}",
            code="bad_class",
        )
    failures = Rows(state, number).failures()
    chosen = [(row_state, code) for row_state, code, _ in failures if _is_of(word, row_state, code)]
    if not chosen:
        there = ", ".join(
            f"{n} {row_state.value}{f' with {code}' if code is not None else ''}"
            for row_state, code, n in failures
        )
        raise UsageError(
            f"broadcast {number} has no failed rows of class {word}",
            hint=f"there are {there}" if there else f"see: wacoex broadcast show {number}",
            code="nothing_to_retry",
        )
    return chosen


def _is_of(word: str, row_state: RowState, code: int | None) -> bool:
    if word == _ALL:
        return True
    if word in _STATES:
        return row_state is _STATES[word]
    if code is None:
        return False
    return classify(code).outcome is _OUTCOMES[word] if word in _OUTCOMES else code == int(word)


def _draft(state: State, source: Broadcast, presence: locks.Presence, clock: Clock) -> int:
    with state.transaction():
        broadcast_id = Broadcasts(state).start_like(
            source,
            name=f"failed rows of {source.broadcast_id}",
            rate=source.rate,
            now=clock.now(),
            retry_of=source.family,
        )
        locks.acquire(state, lock_purpose(broadcast_id), presence, clock)
    return broadcast_id


def _fill(state: State, source: Broadcast, broadcast_id: int, wanted: Sequence[Failure]) -> None:
    row = 0
    while True:
        with state.transaction():
            row = Rows(state, broadcast_id).copy_failed(source, wanted, row, _BATCH_ROWS)
        if not row:
            return


def _leave_out(state: State, draft: Broadcast, clock: Clock) -> None:
    exclusion.leave_out(
        state, draft.broadcast_id, (), phone_column=None, country=None, now=clock.now()
    )
    with state.transaction():
        Rows(state, draft.broadcast_id).skip_relatives(draft)


def _freeze(state: State, source: Broadcast, broadcast_id: int, *, dry_run: bool) -> Retry:
    with state.transaction():
        if not Rows(state, broadcast_id).count_open():
            raise _nobody(source, Rows(state, broadcast_id).skip_reasons())
        Rows(state, broadcast_id).count_again()
        if not dry_run:
            Broadcasts(state).set_status(broadcast_id, Status.PLANNED)
    first = Rows(state, broadcast_id).first(RowState.PENDING, _FIRST_ROWS)
    skipped = Rows(state, broadcast_id).skip_reasons()
    return Retry(Broadcasts(state).get(broadcast_id), skipped, tuple(first))


def _nobody(source: Broadcast, skipped: Mapping[str, int]) -> UsageError:
    said = ", ".join(f"{reason} {n}" for reason, n in skipped.items())
    hint = "`wacoex optout list` shows who opted out"
    if SkipReason.DUPLICATE in skipped:
        hint = "another broadcast sends to them already: wacoex broadcast list"
    if SkipReason.COOLING_DOWN in skipped:
        hint = "nobody is sent to within 24 hours of a 131049; try again after that"
    return UsageError(
        f"none of these rows of broadcast {source.broadcast_id} can be sent again ({said})",
        hint=hint,
        code="nothing_to_retry",
    )
