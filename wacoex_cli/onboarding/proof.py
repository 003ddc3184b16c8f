"""Proof that a number is connected, or disconnected."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from wacoex_cli.channels.checks import RETURNS_WITHIN, allow_for_settling, check_can_send
from wacoex_cli.channels.facts import (
    FACTS,
    ConnectionState,
    connected_at,
    is_settling,
    stored_facts,
)
from wacoex_cli.channels.look import read_phone_number
from wacoex_cli.channels.model import RE_REGISTERED, EvidenceKind, values_of
from wacoex_cli.channels.registry import meta_for, respondio_for
from wacoex_cli.channels.store import CHANNELS, Facts, Signs
from wacoex_cli.errors import CredentialError, RefusedError, WacoexError
from wacoex_cli.events.pull import Person, Reader, reader_of
from wacoex_cli.events.store import EventLog, catch_up
from wacoex_cli.foundation.clock import from_text, to_text
from wacoex_cli.foundation.phone_numbers import normalise
from wacoex_cli.foundation.workspace import login_name
from wacoex_cli.onboarding.journey import (
    BEGAN_AT,
    ONLY_A_PERSON,
    begin,
    meta_or_reason,
    resumed,
    skipped,
)
from wacoex_cli.onboarding.model import Outcome, Route, StepState
from wacoex_cli.partners.rule import NO_PROOF, is_expected
from wacoex_cli.partners.rule import expected as expected_partner
from wacoex_cli.platforms.events import Source
from wacoex_cli.platforms.meta_answers import is_not_visible

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence
    from datetime import datetime

    from wacoex_cli.channels.facts import Connection
    from wacoex_cli.channels.model import Channel, Sign
    from wacoex_cli.foundation.workspace import Workspace
    from wacoex_cli.onboarding.journey import Context
    from wacoex_cli.platforms.meta import Meta

SETTLES_WITHIN_SECONDS = 1800.0
"""How long Meta's answers lag behind a signup, as far as was seen."""
_FIRST_PAUSE_SECONDS, _LONGEST_PAUSE_SECONDS = 5.0, 60.0
_SHOWN = ("is_on_biz_app", "platform_type", "status")

_TOKEN_IS_BAD = 190
STEP = "echo-proof"
WAITS_SECONDS = 600.0
_LOOKS_EVERY_SECONDS = 3.0
_LISTENS = timedelta(hours=24)
_CLOCKS_DIFFER_AT_MOST = timedelta(minutes=5)
_FLAG = "--skip-proof"
_SEND = "send any message from the phone now, in the WhatsApp Business app"
_APPEARED = f"{_SEND}; did it appear in the inbox of respond.io?"
EVENTS, META, RESPONDIO = "events", "meta", "respondio"
_SIGHT_FIELDS = ("id", "is_on_biz_app", "platform_type", "last_onboarded_time")
PATIENCE_SECONDS = 600.0
MAY_LAG = (
    "Meta may show a healthy number for a while after the disconnection, and names no time."
    " This step stays open; the clicks are in `wacoex explain offboarding`"
)
CONNECTED_SAYS = "connected_says"
"""The key under which the sources that saw the channel connected are kept."""
_FIRST_SIGHT_PAUSE_SECONDS = 2.0
_LONGEST_SIGHT_PAUSE_SECONDS = 30.0
_GROWTH = 1.5
_QUESTION = (
    "does the app on the phone show no partner any more (Settings, Account, Business Platform)?"
)


async def proof(context: Context) -> Outcome:
    """Whether Meta shows the number in Coexistence, asked for up to 30 minutes while it lags.

    Stays open when it still does not. Raises CredentialError for a token that Meta refuses,
    TemporaryError when it cannot be reached. Source: "Meta: onboarding business app users".
    """
    meta = meta_or_reason(context, "phone_number_id")
    if isinstance(meta, Outcome):
        return meta
    clock, name, pause = context.workspace.clock, context.channel_name, _FIRST_PAUSE_SECONDS
    until = clock.monotonic() + SETTLES_WITHIN_SECONDS
    while True:
        node = await _read_number(context, meta)
        is_on_cloud = node.get("platform_type", "CLOUD_API") == "CLOUD_API"
        if node.get("is_on_biz_app") is True and is_on_cloud:
            return Outcome(StepState.SETTLED, _answer(context, node), "meta")
        shows = ", ".join(f"{field} {node.get(field)}" for field in _SHOWN)
        if clock.monotonic() >= until:
            break
        said = shows if node else "that it knows no such number"
        note = f"settling: Meta says {said}; asked again in {pause:.0f} s, Ctrl-C is safe"
        context.dialogue.note(note)
        await clock.sleep(pause)
        pause = min(pause * 2, _LONGEST_PAUSE_SECONDS)
    if node:
        note = f"Meta still says {shows}; run `wacoex connect {name}` again later"
    else:
        check = f"check its phone_number_id: `wacoex channel show {name}`"
        note = f"Meta shows no such number to this token; {check}"
    now, seen = context.now, context.now_text
    shown = {field: node[field] for field in ("is_on_biz_app", "platform_type") if field in node}
    found = allow_for_settling(check_can_send(shown, name, seen), node, name, now, seen)
    return Outcome(StepState.OPEN, _answer(context, node), "meta", tuple(found), note)


async def partner(context: Context) -> Outcome:
    """Whether the partner's app is among those that get the webhooks of the account.

    Settled either way: a partner that is not seen may be there. Raises as `proof` does.
    """
    meta = meta_or_reason(context, "waba_id")
    if isinstance(meta, Outcome):
        return meta
    channel = context.channel
    try:
        apps = await meta.subscribed_apps(channel.demand_waba_id())
    except (CredentialError, RefusedError) as error:
        if error.details.get("code") == _TOKEN_IS_BAD:
            raise
        return skipped(error.message)
    # Of a signup through an own app the partner is that app.
    own = context.workspace.settings_for(channel.name).meta_app_id
    expected = expected_partner(channel, own if context.journey.via is Route.SIGNUP else None)
    is_seen = any(is_expected(app, expected) for app in apps)
    answer = {
        "expected": expected.label,
        "seen": is_seen,
        "apps": [{"id": app.id, "name": app.name} for app in apps],
        "source": "meta",
        "observed_at": context.now_text,
    }
    note = None if is_seen else f"{expected.label} is not among the apps of the account; {NO_PROOF}"
    return Outcome(StepState.SETTLED, answer, said_by="meta", note=note)


async def _read_number(context: Context, meta: Meta) -> Mapping[str, Any]:
    """What Meta says of the number, which is also stored; nothing while it does not show it."""
    channel, now = context.channel, context.now
    calls_before = meta.calls
    try:
        facts = await read_phone_number(meta, channel.demand_phone_number_id(), now)
    except CredentialError as error:
        if not is_not_visible(error):
            raise
        return {}
    with context.state.transaction():
        Facts(context.state).store(channel.channel_id, facts)
        calls = {channel.waba_id or "": meta.calls - calls_before}
        Facts(context.state).count_calls(calls, now)
    return values_of(facts)


def _answer(context: Context, node: Mapping[str, Any]) -> dict[str, object]:
    moment = connected_at(node)
    return {
        **{name: node.get(name) for name in _SHOWN},
        "onboarded_at": to_text(moment) if moment else None,
        "source": "meta",
        "observed_at": context.now_text,
    }


async def echo_proof(context: Context) -> Outcome:
    """Wait up to 10 minutes for an echo that is not older than the beginning of the step.

    It comes by `wacoex events listen` in another terminal, or is read at respond.io where a
    token is there. Where neither is at hand the person is asked what they see.
    """
    if context.wishes.skip_proof:
        reason = "`--skip-proof`: nobody has seen a message from the phone come through"
        return Outcome(StepState.SKIPPED, {"reason": reason}, login_name(), note=reason)
    kept = resumed(context, STEP) or begin(context, STEP)
    # Meta tells the times of messages in whole seconds.
    since = from_text(str(kept[BEGAN_AT])).replace(microsecond=0)
    echo = _newest_echo(context, since)
    if echo is None:
        reader = reader_of(context.workspace, context.channel, since)
        if reader is not None or _expects_webhooks(context):
            echo = await _wait_for_echo(context, reader, since)
        elif context.dialogue.confirm(_APPEARED, flag=_FLAG):
            answer = {**kept, "echo_at": None, "source": "person"}
            return Outcome(StepState.SETTLED, answer, said_by=login_name())
    if echo is None:
        command = f"wacoex connect {context.channel_name}"
        note = (
            f"no message from the phone has come through yet; run `{command}` again to go on"
            f" waiting, or `{command} --skip-proof`; more: `wacoex explain echoes`"
        )
        return Outcome(StepState.OPEN, kept, note=note)
    answer = {**kept, "echo_at": echo.at, "source": echo.source}
    return Outcome(StepState.SETTLED, answer, said_by=echo.source)


async def _wait_for_echo(context: Context, reader: Reader | None, since: datetime) -> Sign | None:
    clock, dialogue = context.workspace.clock, context.dialogue
    people = _people(context) if reader is not None else []
    if reader is None or not people:
        dialogue.note("keep `wacoex events listen` running in another terminal")
    dialogue.note(f"{_SEND}; waiting up to {WAITS_SECONDS / 60:.0f} minutes, Ctrl-C is safe")
    until = clock.monotonic() + WAITS_SECONDS
    while True:
        if reader is not None and people:
            await reader.read(people, lambda done: None)
        echo = _newest_echo(context, since)
        if echo is not None or clock.monotonic() >= until:
            return echo
        await clock.sleep(_LOOKS_EVERY_SECONDS)


def _newest_echo(context: Context, since: datetime) -> Sign | None:
    state = context.state
    catch_up(state, (CHANNELS,), context.workspace.clock)
    return Signs(state).newest(
        Signs(state).addresses_for(context.channel),
        EvidenceKind.ECHO,
        since=to_text(since),
        until=to_text(context.now + _CLOCKS_DIFFER_AT_MOST),
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


def _expects_webhooks(context: Context) -> bool:
    """With an own app, or when some came in lately."""
    if context.journey.via is Route.SIGNUP:
        return True
    arrivals = [EventLog(context.state).newest_arrival(source) for source in Source]
    return any(at is not None and context.now - at < _LISTENS for at in arrivals)


class Verdict(StrEnum):
    """What a sight says; `hidden` proves the end only of what was seen before."""

    GONE = "gone"
    THERE = "there"
    HIDDEN = "hidden"
    UNCERTAIN = "uncertain"
    NO_ACCESS = "no_access"


@dataclass(frozen=True)
class Sight:
    """What one source shows. `at` is when it happened or was seen, RFC 3339 in UTC."""

    source: str
    verdict: Verdict
    text: str
    at: str


def proof_in(sights: Iterable[Sight], there_before: Collection[str]) -> Sight | None:
    """The first sight that proves the disconnection; `there_before` are sources that saw it live.

    What cannot be seen and never was may be a mistyped id, or the token of somebody else.
    """
    for sight in sights:
        was_there = sight.source in there_before
        if sight.verdict is Verdict.GONE or (sight.verdict is Verdict.HIDDEN and was_there):
            return sight
    return None


def may_return(connection: Connection, now: datetime) -> bool:
    """WhatsApp is likely to reconnect it by itself: a loss that is no offboarding.

    Source: "Meta: reconnect offboarded clients".
    """
    if connection.since is None or now >= from_text(connection.since) + RETURNS_WITHIN:
        return False
    is_removed = connection.state is ConnectionState.REMOVED
    return connection.state is ConnectionState.RECONNECTING or (
        is_removed and connection.reason == RE_REGISTERED
    )


def stored(workspace: Workspace, channel: Channel) -> Connection:
    """How the channel is connected, from what is stored."""
    now = workspace.clock.now()
    facts = stored_facts(workspace.state, [channel], now, FACTS)
    return facts[channel.channel_id].connection


async def look(workspace: Workspace, channel: Channel) -> list[Sight]:
    """What the stored events, Meta and respond.io show; never raises for what they answer.

    A source whose access or id is not configured is left out. The events are those that are
    projected: bring them up to date first.
    """
    connection = stored(workspace, channel)
    now = workspace.clock.now()
    sights = [_in_events(connection, now)]
    if channel.phone_number_id and workspace.secrets.find("meta-token", channel.name):
        sights.append(await _at_meta(workspace, channel, channel.phone_number_id, connection))
    if channel.respondio_channel_id and workspace.secrets.find("respondio-token", channel.name):
        sights.append(await _at_respondio(workspace, channel))
    return sights


def _in_events(connection: Connection, now: datetime) -> Sight:
    at = connection.since or to_text(now)
    if may_return(connection, now):
        text = "the number was registered anew, WhatsApp usually reconnects it within minutes"
        return Sight(EVENTS, Verdict.UNCERTAIN, text, at)
    if connection.state is ConnectionState.REMOVED:
        reason = f", reason {connection.reason}" if connection.reason else ""
        by = f", initiated by {connection.initiated_by}" if connection.initiated_by else ""
        return Sight(EVENTS, Verdict.GONE, f"Meta told PARTNER_REMOVED{reason}{by}", at)
    return Sight(EVENTS, Verdict.UNCERTAIN, "no removal was told", to_text(now))


async def _at_meta(
    workspace: Workspace, channel: Channel, phone_number_id: str, connection: Connection
) -> Sight:
    meta = meta_for(workspace, channel)
    try:
        verdict, text = await _number(meta, channel, phone_number_id, workspace.clock.now())
    except WacoexError as error:
        verdict, text = _unanswered(error), error.message
    now = workspace.clock.now()
    if verdict in {Verdict.GONE, Verdict.HIDDEN} and may_return(connection, now):
        verdict, text = Verdict.UNCERTAIN, f"{text}, while WhatsApp is reconnecting it"
    return Sight(META, verdict, text, to_text(now))


async def _number(
    meta: Meta, channel: Channel, phone_number_id: str, now: datetime
) -> tuple[Verdict, str]:
    try:
        node = await meta.phone_number(phone_number_id, _SIGHT_FIELDS)
    except WacoexError as error:
        if not is_not_visible(error):
            raise
    else:
        return _judged(node, now)
    if channel.waba_id is not None and await _is_not_listed(meta, channel, channel.waba_id):
        return Verdict.GONE, "the number is not in its WhatsApp Business Account any more"
    return Verdict.HIDDEN, "Meta does not show the number to this token"


def _judged(node: Mapping[str, Any], now: datetime) -> tuple[Verdict, str]:
    text = f"platform_type is {node.get('platform_type', 'not told')}"
    is_on_biz_app = node.get("is_on_biz_app")
    if is_on_biz_app is None:
        return Verdict.UNCERTAIN, f"is_on_biz_app is not told, {text}"
    text = f"is_on_biz_app is {str(is_on_biz_app).lower()}, {text}"
    if is_on_biz_app is not False:
        return Verdict.THERE, text
    if is_settling(node, now):
        return Verdict.UNCERTAIN, f"{text}, but it was connected a short while ago"
    return Verdict.GONE, text


async def _is_not_listed(meta: Meta, channel: Channel, waba_id: str) -> bool:
    """Whether this token sees the account, and in it neither the number nor its id."""
    try:
        listed = await meta.phone_numbers(waba_id)
    except (CredentialError, RefusedError):
        return False
    ids = {number.phone_number_id for number in listed}
    shown = {f"+{number.digits}" for number in listed}
    return channel.phone_number_id not in ids and channel.phone not in shown


async def _at_respondio(workspace: Workspace, channel: Channel) -> Sight:
    number = channel.respondio_channel_id
    try:
        listed = await respondio_for(workspace, channel).list_channels()
    except WacoexError as error:
        verdict, text = _unanswered(error), error.message
    else:
        is_there = number in {row.id for row in listed}
        verdict = Verdict.THERE if is_there else Verdict.HIDDEN
        text = f"channel {number} is {'in' if is_there else 'not in'} the respond.io workspace"
    return Sight(RESPONDIO, verdict, text, to_text(workspace.clock.now()))


def _unanswered(error: WacoexError) -> Verdict:
    return Verdict.NO_ACCESS if isinstance(error, CredentialError) else Verdict.UNCERTAIN


async def sights_now(context: Context) -> list[Sight]:
    """What shows just now, with the events that have come in."""
    catch_up(context.state, [CHANNELS], context.workspace.clock)
    return await look(context.workspace, context.channel)


def there_in(sights: Iterable[Sight]) -> set[str]:
    """The sources that see the channel connected."""
    return {sight.source for sight in sights if sight.verdict is Verdict.THERE}


async def disconnected(context: Context) -> Outcome:
    """Look with growing pauses until the end is proved, ten minutes at most.

    Where nothing can be asked, a person's word settles it. An answer that did not come proves
    nothing; the step then stays open, and the next walk looks again.
    """
    clock, note = context.workspace.clock, context.dialogue.note
    give_up_at = clock.monotonic() + PATIENCE_SECONDS
    there, before, pause = _seen_before(context), "", _FIRST_SIGHT_PAUSE_SECONDS
    while True:
        sights = await sights_now(context)
        there |= there_in(sights)
        found = proof_in(sights, there)
        if found:
            answer = {"proved_by": found.source, "text": found.text, "disconnected_at": found.at}
            said_by = META if found.source == EVENTS else found.source
            return Outcome(StepState.SETTLED, answer, said_by, note=f"proved: {found.text}")
        texts = [sight.text for sight in sights]
        seen = {"seen": texts, CONNECTED_SAYS: sorted(there)}
        # Asking again may show something where some API can be asked.
        apis = [sight for sight in sights if sight.source != EVENTS]
        if all(sight.verdict is Verdict.NO_ACCESS for sight in apis):
            return _ask_whether_gone(context, apis, seen)
        if "; ".join(texts) != before:
            note(f"waiting until the disconnection shows: {'; '.join(texts)}")
        if not before:
            note(f"Ctrl-C leaves this step open; `wacoex offboard {context.channel_name}` goes on")
        before = "; ".join(texts)
        if clock.monotonic() + pause > give_up_at:
            return Outcome(StepState.OPEN, seen, note=f"not proved yet: {MAY_LAG}")
        await clock.sleep(pause)
        pause = min(pause * _GROWTH, _LONGEST_SIGHT_PAUSE_SECONDS)


def _seen_before(context: Context) -> set[str]:
    """The sources that saw it connected: in this journey, or by a fact from earlier."""
    kept = context.records()
    there: set[str] = set()
    for step in ("what-changes", "proof"):
        listed = kept[step].answer.get(CONNECTED_SAYS) if step in kept else None
        there |= set(listed) if isinstance(listed, list) else set()
    facts = Facts(context.state).facts_by_channel(["is_on_biz_app"])
    values = values_of(facts.get(context.channel.channel_id, ()))
    return there | ({META} if values.get("is_on_biz_app") is True else set())


def _ask_whether_gone(
    context: Context, refused: Sequence[Sight], seen: Mapping[str, object]
) -> Outcome:
    texts = "; ".join(sight.text for sight in refused)
    reason = texts or "no token is configured that could show it"
    if context.wishes.is_confirmed:
        # Archiving would silence the reminder of a channel that may still be connected.
        note = f"not proved: {reason}; run it without `--yes` to say so"
        return Outcome(StepState.OPEN, {**seen, "reason": reason}, note=note)
    context.dialogue.note(f"nothing here can prove it: {reason}")
    if not context.dialogue.confirm(_QUESTION, flag=ONLY_A_PERSON):
        return Outcome(StepState.OPEN, seen, login_name(), note=f"not proved yet: {MAY_LAG}")
    answer = {
        **seen,
        "reason": reason,
        "proved_by": "person",
        "text": "the app shows no partner any more",
        "disconnected_at": context.now_text,
    }
    return Outcome(StepState.SETTLED, answer, login_name())
