"""Copying contacts and history after an own signup: each is asked for once, and never again."""

from __future__ import annotations

import json
from datetime import timedelta
from enum import StrEnum
from typing import TYPE_CHECKING, NamedTuple

from wacoex_cli.channels.registry import meta_for
from wacoex_cli.channels.store import Signs
from wacoex_cli.errors import counted
from wacoex_cli.events.store import EventLog
from wacoex_cli.foundation.clock import from_text, to_text
from wacoex_cli.foundation.workspace import login_name
from wacoex_cli.onboarding import checks
from wacoex_cli.onboarding.journey import ONLY_A_PERSON, lacks_meta, newest_onboarding, skipped
from wacoex_cli.onboarding.model import Route, StepResult, StepState
from wacoex_cli.platforms.answers import NotSent, Unclear
from wacoex_cli.platforms.error_codes import Outcome, classify, error_of
from wacoex_cli.platforms.events import Kind
from wacoex_cli.platforms.meta import NOT_SHARED, TOO_LATE, Requested, SyncType

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from wacoex_cli.channels.model import Channel
    from wacoex_cli.findings.model import Finding
    from wacoex_cli.foundation.state import State
    from wacoex_cli.onboarding.journey import Context
    from wacoex_cli.onboarding.model import Onboarding
    from wacoex_cli.platforms.meta import Meta

STEP = "sync"
_DONE = 100
_CLOCKS_DIFFER_AT_MOST = timedelta(minutes=5)
_FIRST_LOOKS_SECONDS = (1.0, 2.0, 4.0, 8.0, 15.0)
_UNSURE = (
    "the request to copy the {name} may have reached Meta or not, and wacoex never repeats it;"
    " `wacoex events list --kind {kind}` shows whether it comes"
)


class CopyProgress(NamedTuple):
    """What has come in. `phases` is the highest percentage reported of each phase of the history.

    `declined_at` is when Meta reported that the owner of the phone shares no history.
    """

    contacts: int
    phases: Mapping[int, int]
    declined_at: str | None

    @property
    def has_history(self) -> bool:
        """Whether anything about the history has come."""
        return bool(self.phases) or self.declined_at is not None

    @property
    def percent(self) -> int:
        """How far the history is; 100 ends it, whatever the phases say (Meta: history)."""
        return max(self.phases.values(), default=0)

    def to_json(self) -> dict[str, object]:
        """The same for scripts."""
        return {
            "contacts": self.contacts,
            "history_percent": self.percent,
            "history_phases": {str(phase): self.phases[phase] for phase in sorted(self.phases)},
            "declined_at": self.declined_at,
        }


def progress_of(state: State, channel: Channel, since: datetime) -> CopyProgress:
    """What webhooks reported since that moment, in whatever order (Meta: history)."""
    # An error that stands outside of a change names the account alone.
    accounts = [f"waba_id:{channel.waba_id}"] if channel.waba_id else []
    addresses = [*Signs(state).addresses_for(channel), *accounts]
    kinds = (Kind.CONTACT_SYNC, Kind.HISTORY)
    contacts, declined_at, phases = 0, None, dict[int, int]()
    for event in EventLog(state).find(
        kinds=kinds, since=since, addresses=addresses, newest_first=False
    ):
        if event.kind is Kind.CONTACT_SYNC:
            contacts += 1
        elif event.data.get("code") == NOT_SHARED:
            declined_at = event.at
        else:
            phase, percent = event.data.get("phase"), event.data.get("progress")
            if isinstance(phase, int) and isinstance(percent, int):
                phases[phase] = max(min(percent, _DONE), phases.get(phase, 0))
    return CopyProgress(contacts, phases, declined_at)


class PartState(StrEnum):
    """What happened to one of the two. `seen`: unclear at first, then its webhooks came."""

    NOT_ASKED = "not_asked"
    DECLINED = "declined"
    TAKEN = "taken"
    SEEN = "seen"
    REFUSED = "refused"
    UNCERTAIN = "uncertain"
    TOO_LATE = "too_late"


class Part(NamedTuple):
    """One of the two, with what Meta answered. `at` is RFC 3339 in UTC."""

    state: PartState
    at: str | None = None
    request_id: str | None = None
    code: int | None = None
    reason: str | None = None

    def to_json(self) -> dict[str, object]:
        """What is known of it."""
        return {name: value for name, value in self._asdict().items() if value is not None}


class Copy(NamedTuple):
    """One of the two: its name, Meta's word for it, its kind of events, and what it copies."""

    name: str
    sync_type: SyncType
    event_kind: str
    what: str

    @property
    def action(self) -> str:
        """The name of the call that is made only once."""
        return f"sync:{self.name}"


COPIES = (
    Copy("contacts", SyncType.CONTACTS, "contact_sync", "the contacts of the app"),
    Copy("history", SyncType.HISTORY, "history", "the chats of up to 180 days"),
)
_OVER = frozenset({PartState.REFUSED, PartState.UNCERTAIN})


async def sync(context: Context) -> StepResult:
    """Ask for contacts, then history; each request is claimed durably before it leaves.

    A request without a usable answer is never repeated: it is uncertain until webhooks show that
    it was taken, or a person goes on without it. Raises CredentialError when Meta refuses the
    token, which leaves the claim free. Source: "Meta: onboarding business app users".
    """
    if context.journey.via is not Route.SIGNUP:
        return skipped("respond.io copies neither contacts nor history")
    if lacking := lacks_meta(context, "phone_number_id"):
        return lacking
    meta = meta_for(context.workspace, context.channel)
    moment = newest_onboarding(context)
    if moment is None:
        return skipped("wacoex does not know when the number was connected")
    parts: dict[str, Part] = {}
    for copy in COPIES:
        part = await _part(context, meta, copy, moment)
        parts[copy.name] = part
        if part.state is PartState.NOT_ASKED:
            answer = {name: part.to_json() for name, part in parts.items()}
            command = f"wacoex connect {context.channel_name}"
            note = (
                f"nothing was asked for: {part.reason}; run `{command}` again, it was not used up"
            )
            findings = _findings(context, parts, None, moment)
            return StepResult(StepState.OPEN, answer, None, findings, note)
        # Later than 24 hours Meta refuses the other one, too.
        if part.code == TOO_LATE or (part.state in _OVER and not _has_stopped_here(context)):
            break
    return await _result(context, parts, moment)


async def _part(context: Context, meta: Meta, copy: Copy, moment: Onboarding) -> Part:
    before = _kept(context, copy)
    if before is not None:
        return before
    closes_at = moment.sync_closes_at
    if context.now >= closes_at:
        return Part(PartState.TOO_LATE)
    works = f"it works once, until {to_text(closes_at)}; `no` leaves them out"
    question = f"copy {copy.what} now? {works}"
    if context.dialogue.confirm(question, flag=ONLY_A_PERSON):
        return await _ask_once(context, meta, copy)
    # Kept, so that it is not asked for again.
    return _answered(context, copy, Part(PartState.DECLINED, context.now_text))


def _kept(context: Context, copy: Copy) -> Part | None:
    """What an earlier walk came to; a claim without an answer may have left."""
    row = context.store.call(context.journey.journey_id, copy.action)
    if row is None:
        return None
    if row["answer"] is None:
        found = _progress_since(context, row["claimed_at"])
        has_come = found.contacts if copy.sync_type is SyncType.CONTACTS else found.has_history
        return Part(PartState.SEEN if has_come else PartState.UNCERTAIN, row["claimed_at"])
    answer = json.loads(row["answer"])
    return Part(**{**answer, "state": PartState(answer["state"])})


async def _ask_once(context: Context, meta: Meta, copy: Copy) -> Part:
    """Ask Meta, in one single try; claimed durably before it leaves.

    A refusal for good is kept; one that is provably without effect frees the claim. Raises
    CredentialError when Meta refuses the token: the claim is free again then.
    """
    journey_id = context.journey.journey_id
    with context.state.transaction():
        is_ours = context.store.claim_call(journey_id, copy.action, context.now)
    if not is_ours:  # by another process, between the question and now
        return _kept(context, copy) or Part(PartState.UNCERTAIN)
    reply = await meta.request_sync(context.channel.demand_phone_number_id(), copy.sync_type)
    at = context.now_text
    if isinstance(reply, Requested):
        return _answered(context, copy, Part(PartState.TAKEN, at, reply.request_id))
    if isinstance(reply, Unclear):
        return Part(PartState.UNCERTAIN, at, reason=reply.reason)
    if isinstance(reply, NotSent):
        return _given_back(context, copy, reply.reason)
    known = classify(reply.code, reply.subcode)
    if known.is_credential:
        _given_back(context, copy, known.cause)
        raise error_of(reply)
    if known.outcome is Outcome.AMBIGUOUS or reply.http_status >= 500:
        return Part(PartState.UNCERTAIN, at, code=reply.code, reason=known.cause)
    if known.outcome is Outcome.RETRY:
        return _given_back(context, copy, known.cause)
    part = Part(PartState.REFUSED, at, code=reply.code, reason=known.cause)
    return _answered(context, copy, part)


def _answered(context: Context, copy: Copy, part: Part) -> Part:
    context.keep_call(copy.action, part.to_json())
    return part


def _given_back(context: Context, copy: Copy, reason: str) -> Part:
    with context.state.transaction():
        context.store.give_back(context.journey.journey_id, copy.action)
    return Part(PartState.NOT_ASKED, reason=reason)


async def _result(context: Context, parts: Mapping[str, Part], moment: Onboarding) -> StepResult:
    """What cannot be had any more is shown first, and left out once a person says so."""
    history, progress = parts.get("history"), None
    if history is not None and history.state in {PartState.TAKEN, PartState.SEEN}:
        progress = _progress_since(context, str(history.at))
        # The first webhooks say within seconds whether the history is shared at all.
        for seconds in _FIRST_LOOKS_SECONDS if not _has_stopped_here(context) else ():
            if progress.has_history:
                break
            await context.workspace.clock.sleep(seconds)
            progress = _progress_since(context, str(history.at))
    answer: dict[str, object] = {
        "closes_at": to_text(moment.sync_closes_at),
        **{name: part.to_json() for name, part in parts.items()},
    }
    findings = _findings(context, parts, progress, moment)
    states = {part.state for part in parts.values()}
    if not states & _OVER and not (progress and progress.declined_at):
        if states <= {PartState.TOO_LATE}:
            return StepResult(StepState.SKIPPED, answer, None, findings)
        note = None
        if progress:
            contacts = counted(progress.contacts, "contact")
            note = f"copied so far: {contacts}, history {progress.percent} %"
        return StepResult(StepState.SETTLED, answer, login_name(), findings, note)
    notes = [
        _UNSURE.format(name=copy.name, kind=copy.event_kind)
        for copy in COPIES
        if (part := parts.get(copy.name)) and part.state is PartState.UNCERTAIN
    ]
    if _has_stopped_here(context):
        for text in notes:
            context.dialogue.note(text)
        if context.dialogue.confirm("continue without what was not copied?", flag=ONLY_A_PERSON):
            return StepResult(StepState.SKIPPED, answer, login_name(), findings)
    is_refused = PartState.REFUSED in states or not notes
    state, by = (StepState.FAILED, "meta") if is_refused else (StepState.UNCERTAIN, None)
    return StepResult(state, answer, by, findings, "; ".join(notes) or None)


def _progress_since(context: Context, since: str) -> CopyProgress:
    """What has come in since that moment (RFC 3339, UTC), as Meta's clock may give it."""
    moment = from_text(since) - _CLOCKS_DIFFER_AT_MOST
    return progress_of(context.state, context.channel, moment)


def _has_stopped_here(context: Context) -> bool:
    """Whether an earlier walk has already stopped here and said why."""
    record = context.records().get(STEP)
    return record is not None and record.state in {StepState.FAILED, StepState.UNCERTAIN}


def _findings(
    context: Context, parts: Mapping[str, Part], progress: CopyProgress | None, moment: Onboarding
) -> tuple[Finding, ...]:
    name, now = context.channel_name, context.now
    found = [
        checks.sync_refused(part.code, part.reason or "", name, part.at or to_text(now))
        for part in parts.values()
        if part.state is PartState.REFUSED and part.code is not None
    ]
    if progress is not None and progress.declined_at:
        meaning = classify(NOT_SHARED).meaning
        found.append(checks.sync_refused(NOT_SHARED, meaning, name, progress.declined_at))
    not_asked = {PartState.TOO_LATE, PartState.NOT_ASKED}
    if len(parts) < len(COPIES) or any(part.state in not_asked for part in parts.values()):
        found += checks.check_window(moment.sync_closes_at, name, now, moment.source)
    return tuple(found)
