"""Contacts and history: what became of the one request for each."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from typing import TYPE_CHECKING

from wacoex_cli.foundation.clock import from_text, to_text
from wacoex_cli.onboarding import ledger
from wacoex_cli.onboarding.sync_progress import Progress, progress_of
from wacoex_cli.platforms.error_codes import Outcome, classify
from wacoex_cli.platforms.graph import error_of
from wacoex_cli.platforms.meta_sync import Requested, SyncType, request_sync
from wacoex_cli.platforms.replies import NotSent, Refused, Unclear

if TYPE_CHECKING:
    from wacoex_cli.onboarding.journey import Context
    from wacoex_cli.platforms.meta import Meta

_CLOCKS_DIFFER_AT_MOST = timedelta(minutes=5)


class PartState(StrEnum):
    """What became of one of the two. `seen`: unclear at first, then its webhooks came."""

    NOT_ASKED = "not_asked"
    DECLINED = "declined"
    TAKEN = "taken"
    SEEN = "seen"
    REFUSED = "refused"
    UNCERTAIN = "uncertain"
    TOO_LATE = "too_late"


@dataclass(frozen=True)
class Part:
    """One of the two, with what Meta answered. `at` is RFC 3339 in UTC."""

    state: PartState
    at: str | None = None
    request_id: str | None = None
    code: int | None = None
    reason: str | None = None

    def to_json(self) -> dict[str, object]:
        """What is known of it."""
        told = {"state": self.state.value, "at": self.at, "request_id": self.request_id}
        more = {"code": self.code, "reason": self.reason}
        return {name: one for name, one in (told | more).items() if one is not None}


@dataclass(frozen=True)
class Copy:
    """One of the two: its name, Meta's word for it, its kind of events, and the question."""

    name: str
    sync_type: SyncType
    event_kind: str
    question: str

    @property
    def action(self) -> str:
        """The name of the call that is made only once."""
        return f"sync:{self.name}"


COPIES = (
    Copy(
        "contacts",
        SyncType.CONTACTS,
        "contact_sync",
        "copy the contacts of the app now? it works once, until {closes}; `no` leaves them out",
    ),
    Copy(
        "history",
        SyncType.HISTORY,
        "history",
        "copy the chats of up to 180 days now? it works once, until {closes}; `no` leaves them out",
    ),
)


async def ask_once(context: Context, meta: Meta, copy: Copy) -> Part:
    """Ask Meta, in one single try; claimed durably before it leaves.

    Raises CredentialError when Meta refuses the token: the claim is free again then.
    """
    state, journey_id = context.workspace.state, context.journey.journey_id
    with state.transaction():
        is_ours = ledger.claim_once(state, journey_id, copy.action, context.workspace.clock.now())
    if not is_ours:  # by another process, between the question and now
        return kept(context, copy) or Part(PartState.UNCERTAIN)
    reply = await request_sync(meta, context.channel.demand_phone_number_id(), copy.sync_type)
    if isinstance(reply, Requested):
        part = Part(PartState.TAKEN, _now(context), reply.request_id)
        return _answered(context, copy, part)
    if isinstance(reply, Unclear):
        return Part(PartState.UNCERTAIN, _now(context), reason=reply.reason)
    return _refused_part(context, copy, reply)


def _refused_part(context: Context, copy: Copy, reply: Refused | NotSent) -> Part:
    """A refusal for good is kept; one that is provably without effect frees the claim."""
    if isinstance(reply, NotSent):
        return _given_back(context, copy, reply.reason)
    known = classify(reply.code, reply.subcode)
    if known.is_credential:
        _given_back(context, copy, known.meaning)
        raise error_of(reply)
    if known.outcome is Outcome.AMBIGUOUS or reply.http_status >= 500:
        return Part(PartState.UNCERTAIN, _now(context), code=reply.code, reason=known.meaning)
    if known.outcome is Outcome.RETRY:
        return _given_back(context, copy, known.meaning)
    part = Part(PartState.REFUSED, _now(context), code=reply.code, reason=known.meaning)
    return _answered(context, copy, part)


def declined(context: Context, copy: Copy) -> Part:
    """Keep that the person does not want it, so that it is not asked for again."""
    state, now = context.workspace.state, context.workspace.clock.now()
    part = Part(PartState.DECLINED, to_text(now))
    with state.transaction():
        ledger.claim_once(state, context.journey.journey_id, copy.action, now)
        ledger.answer_once(state, context.journey.journey_id, copy.action, part.to_json(), now)
    return part


def _answered(context: Context, copy: Copy, part: Part) -> Part:
    state, now = context.workspace.state, context.workspace.clock.now()
    with state.transaction():
        ledger.answer_once(state, context.journey.journey_id, copy.action, part.to_json(), now)
    return part


def _given_back(context: Context, copy: Copy, reason: str) -> Part:
    with context.workspace.state.transaction():
        ledger.give_back(context.workspace.state, context.journey.journey_id, copy.action)
    return Part(PartState.NOT_ASKED, reason=reason)


def kept(context: Context, copy: Copy) -> Part | None:
    """What an earlier walk came to; a claim without an answer may have left."""
    row = ledger.one_shot(context.workspace.state, context.journey.journey_id, copy.action)
    if row is None:
        return None
    if row["answer"] is None:
        return _seen_or_unsure(context, copy, row["claimed_at"])
    told = json.loads(row["answer"])
    return Part(**{**told, "state": PartState(told["state"])})


def _seen_or_unsure(context: Context, copy: Copy, claimed_at: str) -> Part:
    found = told_since(context, claimed_at)
    has_come = found.contacts if copy.sync_type is SyncType.CONTACTS else found.has_history
    return Part(PartState.SEEN if has_come else PartState.UNCERTAIN, claimed_at)


def told_since(context: Context, since: str) -> Progress:
    """What has come in since that moment (RFC 3339, UTC), as Meta's clock may tell it."""
    moment = from_text(since) - _CLOCKS_DIFFER_AT_MOST
    return progress_of(context.workspace.state, context.channel, moment)


def _now(context: Context) -> str:
    return to_text(context.workspace.clock.now())
