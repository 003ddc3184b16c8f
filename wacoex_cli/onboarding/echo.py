"""The echo proof: a message that is sent on the phone comes through to where we look."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from wacoex_cli.channels.evidence import CHANNELS
from wacoex_cli.channels.model import EvidenceKind
from wacoex_cli.channels.store import Signs
from wacoex_cli.events.pull import Person, Reader, reader_of
from wacoex_cli.events.store import EventLog, catch_up
from wacoex_cli.foundation.clock import from_text, to_text
from wacoex_cli.foundation.person import login_name
from wacoex_cli.foundation.phone_numbers import normalise
from wacoex_cli.onboarding.beginning import BEGAN_AT, begin, begun
from wacoex_cli.onboarding.model import Outcome, Route, StepState
from wacoex_cli.platforms.events import Source

if TYPE_CHECKING:
    from datetime import datetime

    from wacoex_cli.channels.model import Sign
    from wacoex_cli.onboarding.journey import Context

STEP = "echo-proof"
WAITS_SECONDS = 600.0
_LOOKS_EVERY_SECONDS = 3.0
_LISTENS = timedelta(hours=24)
_CLOCKS_DIFFER_AT_MOST = timedelta(minutes=5)
_FLAG = "--skip-proof"
_SEND = "send any message from the phone now, in the WhatsApp Business app"


async def echo_proof(context: Context) -> Outcome:
    """Wait up to 10 minutes for an echo that is not older than the beginning of the step.

    It comes by `wacoex events listen` in another terminal, or is read at respond.io where a
    token is there. Where neither is at hand the person is asked what they see.
    """
    if context.wishes.skip_proof:
        reason = "`--skip-proof`: nobody has seen a message from the phone come through"
        return Outcome(StepState.SKIPPED, {"reason": reason}, login_name(), note=reason)
    kept = begun(context, STEP) or begin(context, STEP)
    since = _whole_second(str(kept[BEGAN_AT]))
    if (found := _newest_echo(context, since)) is not None:
        return _seen(found, kept)
    reader = reader_of(context.workspace, context.channel, since)
    if reader is None and not _is_told(context):
        return _asked(context, kept)
    return await _waited(context, reader, since, kept)


async def _waited(
    context: Context, reader: Reader | None, since: datetime, kept: dict[str, object]
) -> Outcome:
    clock, dialogue = context.workspace.clock, context.dialogue
    people = _people(context) if reader is not None else []
    if reader is None or not people:
        dialogue.note("keep `wacoex events listen` running in another terminal")
    dialogue.note(f"{_SEND}; waiting up to {WAITS_SECONDS / 60:.0f} minutes, Ctrl-C is safe")
    until = clock.monotonic() + WAITS_SECONDS
    while True:
        if reader is not None and people:
            await reader.read(people, lambda done: None)
        if (found := _newest_echo(context, since)) is not None:
            return _seen(found, kept)
        if clock.monotonic() >= until:
            return _not_seen(context, kept)
        await clock.sleep(_LOOKS_EVERY_SECONDS)


def _asked(context: Context, kept: dict[str, object]) -> Outcome:
    """Nothing tells us of messages: the person looks into respond.io."""
    question = f"{_SEND}; did it appear in the inbox of respond.io?"
    if not context.dialogue.confirm(question, flag=_FLAG):
        return _not_seen(context, kept)
    answer = {**kept, "echo_at": None, "source": "person"}
    return Outcome(StepState.SETTLED, answer, said_by=login_name())


def _seen(echo: Sign, kept: dict[str, object]) -> Outcome:
    answer = {**kept, "echo_at": echo.at, "source": echo.source}
    return Outcome(StepState.SETTLED, answer, said_by=echo.source)


def _not_seen(context: Context, kept: dict[str, object]) -> Outcome:
    command = f"wacoex connect {context.channel_name}"
    note = (
        f"no message from the phone has come through yet; run `{command}` again to go on waiting,"
        f" or `{command} --skip-proof`; more: `wacoex explain echoes`"
    )
    return Outcome(StepState.OPEN, kept, note=note)


def _newest_echo(context: Context, since: datetime) -> Sign | None:
    workspace = context.workspace
    catch_up(workspace.state, (CHANNELS,), workspace.clock)
    return Signs(workspace.state).newest(
        Signs(workspace.state).addresses_for(context.channel),
        EvidenceKind.ECHO,
        since=to_text(since),
        until=to_text(workspace.clock.now() + _CLOCKS_DIFFER_AT_MOST),
    )


def _people(context: Context) -> list[Person]:
    """Whom to look at: respond.io has no list of messages over all contacts."""
    probe = context.workspace.settings.events.probe_contact
    if probe:
        context.dialogue.note(f"send it to {probe}, the probe contact of the configuration")
        return [Person.of_phone(probe)]
    question = "to which number will you send a message from the phone? empty if webhooks tell"
    while text := context.dialogue.ask(question, flag=_FLAG):
        phone = normalise(text)
        if phone is not None:
            return [Person.of_phone(phone)]
        context.dialogue.warn(f"`{text}` is no number; write it with `+`, such as +6591234567")
    return []


def _is_told(context: Context) -> bool:
    """Whether webhooks are to be expected: with an own app, or when some came in lately."""
    if context.journey.via is Route.SIGNUP:
        return True
    state, now = context.workspace.state, context.workspace.clock.now()
    arrivals = [EventLog(state).newest_arrival(source) for source in Source]
    return any(one is not None and now - one < _LISTENS for one in arrivals)


def _whole_second(moment: str) -> datetime:
    # Meta tells the times of messages in whole seconds.
    return from_text(moment).replace(microsecond=0)
