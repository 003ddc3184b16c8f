"""Copying contacts and history after an own signup: each is asked for once, and never again."""

from __future__ import annotations

from typing import TYPE_CHECKING

from wacoex_cli.foundation.clock import to_text
from wacoex_cli.foundation.person import login_name
from wacoex_cli.onboarding import sync_checks
from wacoex_cli.onboarding.access import meta_or_reason, skipped
from wacoex_cli.onboarding.model import Outcome, Route, StepState
from wacoex_cli.onboarding.onboarded import onboarded
from wacoex_cli.onboarding.questions import ONLY_A_PERSON
from wacoex_cli.onboarding.sync_parts import (
    COPIES,
    Copy,
    Part,
    PartState,
    ask_once,
    declined,
    kept,
    told_since,
)
from wacoex_cli.platforms.error_codes import classify
from wacoex_cli.platforms.meta_sync import NOT_SHARED, TOO_LATE

if TYPE_CHECKING:
    from collections.abc import Mapping

    from wacoex_cli.findings.model import Finding
    from wacoex_cli.onboarding.journey import Context
    from wacoex_cli.onboarding.onboarded import Onboarded
    from wacoex_cli.onboarding.sync_progress import Progress
    from wacoex_cli.platforms.meta import Meta

STEP = "sync"
_FIRST_LOOKS_SECONDS = (1.0, 2.0, 4.0, 8.0, 15.0)
_UNSURE = (
    "the request to copy the {name} may have reached Meta or not, and it is never repeated;"
    " `wacoex events list --kind {kind}` shows whether it comes"
)
_OVER = frozenset({PartState.REFUSED, PartState.UNCERTAIN})


async def sync(context: Context) -> Outcome:
    """Ask for contacts, then history; each request is claimed durably before it leaves.

    A request without a usable answer is never repeated: it is uncertain until webhooks show that
    it was taken, or a person goes on without it. Raises CredentialError when Meta refuses the
    token, which leaves the claim free. Source: "Meta: onboarding business app users".
    """
    if context.journey.via is not Route.SIGNUP:
        return skipped("respond.io copies neither contacts nor history")
    meta = meta_or_reason(context, "phone_number_id")
    if isinstance(meta, Outcome):
        return meta
    moment = onboarded(context)
    if moment is None:
        return skipped("nothing tells when the number was connected")
    parts: dict[str, Part] = {}
    for copy in COPIES:
        parts[copy.name] = await _part(context, meta, copy, moment)
        if parts[copy.name].state is PartState.NOT_ASKED:
            return _not_sent(context, parts, moment)
        if _ends_here(context, parts[copy.name]):
            break
    return await _outcome(context, parts, moment)


async def _part(context: Context, meta: Meta, copy: Copy, moment: Onboarded) -> Part:
    before = kept(context, copy)
    if before is not None:
        return before
    closes_at = moment.sync_closes_at
    if context.workspace.clock.now() >= closes_at:
        return Part(PartState.TOO_LATE)
    question = copy.question.format(closes=to_text(closes_at))
    if context.dialogue.confirm(question, flag=ONLY_A_PERSON):
        return await ask_once(context, meta, copy)
    return declined(context, copy)


def _ends_here(context: Context, part: Part) -> bool:
    """Whether the other is not asked for now; later than 24 hours Meta refuses both."""
    return part.code == TOO_LATE or (part.state in _OVER and not _was_told(context))


async def _outcome(context: Context, parts: Mapping[str, Part], moment: Onboarded) -> Outcome:
    history = parts.get("history")
    progress = None
    if history is not None and history.state in {PartState.TAKEN, PartState.SEEN}:
        progress = await _first_news(context, str(history.at))
    answer: dict[str, object] = {
        "closes_at": to_text(moment.sync_closes_at),
        **{name: part.to_json() for name, part in parts.items()},
    }
    findings = _findings(context, parts, progress, moment)
    states = {part.state for part in parts.values()}
    is_declined = progress is not None and progress.declined_at is not None
    if is_declined or states & _OVER:
        return _over(context, answer, parts, findings)
    note = progress.sentence() if progress else None
    if states <= {PartState.TOO_LATE}:
        return Outcome(StepState.SKIPPED, answer, None, findings)
    return Outcome(StepState.SETTLED, answer, login_name(), findings, note)


def _over(
    context: Context,
    answer: Mapping[str, object],
    parts: Mapping[str, Part],
    findings: tuple[Finding, ...],
) -> Outcome:
    """What cannot be had any more: told first, and left out once a person says so."""
    unsure = [name for name, part in parts.items() if part.state is PartState.UNCERTAIN]
    notes = [
        _UNSURE.format(name=copy.name, kind=copy.event_kind)
        for copy in COPIES
        if copy.name in unsure
    ]
    note = "; ".join(notes) or None
    if _was_told(context):
        for text in notes:
            context.dialogue.note(text)
        if context.dialogue.confirm("go on without what was not copied?", flag=ONLY_A_PERSON):
            return Outcome(StepState.SKIPPED, answer, login_name(), findings)
    is_refused = any(part.state is PartState.REFUSED for part in parts.values()) or not unsure
    state = StepState.FAILED if is_refused else StepState.UNCERTAIN
    return Outcome(state, answer, "meta" if is_refused else None, findings, note)


def _not_sent(context: Context, parts: Mapping[str, Part], moment: Onboarded) -> Outcome:
    answer = {name: part.to_json() for name, part in parts.items()}
    reason = next(one.reason for one in parts.values() if one.state is PartState.NOT_ASKED)
    command = f"wacoex connect {context.channel_name}"
    note = f"nothing was asked for: {reason}; run `{command}` again, it was not used up"
    return Outcome(StepState.OPEN, answer, None, _findings(context, parts, None, moment), note)


async def _first_news(context: Context, since: str) -> Progress:
    """The first webhooks: within seconds they tell whether the history is shared at all."""
    found = told_since(context, since)
    for seconds in _FIRST_LOOKS_SECONDS if not _was_told(context) else ():
        if found.has_history:
            break
        await context.workspace.clock.sleep(seconds)
        found = told_since(context, since)
    return found


def _findings(
    context: Context,
    parts: Mapping[str, Part],
    progress: Progress | None,
    moment: Onboarded,
) -> tuple[Finding, ...]:
    name, now = context.channel_name, context.workspace.clock.now()
    found = [
        sync_checks.refused(part.code, part.reason or "", name, part.at or to_text(now))
        for part in parts.values()
        if part.state is PartState.REFUSED and part.code is not None
    ]
    if progress is not None and progress.declined_at:
        meaning = classify(NOT_SHARED).meaning
        found.append(sync_checks.refused(NOT_SHARED, meaning, name, progress.declined_at))
    not_asked = {PartState.TOO_LATE, PartState.NOT_ASKED}
    if len(parts) < len(COPIES) or any(part.state in not_asked for part in parts.values()):
        found += sync_checks.check_window(moment.sync_closes_at, name, now, moment.source)
    return tuple(found)


def _was_told(context: Context) -> bool:
    """Whether an earlier walk has already stopped here and said why."""
    record = context.records().get(STEP)
    return record is not None and record.state in {StepState.FAILED, StepState.UNCERTAIN}
