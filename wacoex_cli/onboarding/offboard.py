"""`offboard`: lets a channel go step by step, with proof; its dry run; and what both show."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Any, NamedTuple

from wacoex_cli.broadcast import send
from wacoex_cli.channels import registry
from wacoex_cli.channels.checks import check_connection
from wacoex_cli.channels.facts import CHANNELS, ChannelFacts, ConnectionState, is_settling
from wacoex_cli.channels.look import Look
from wacoex_cli.channels.model import OFFBOARDED_HERE, AccountEvent, values_of
from wacoex_cli.channels.registry import choose_channel, meta_for
from wacoex_cli.channels.store import AccountEvents, Facts
from wacoex_cli.devices.inventory import inventory
from wacoex_cli.devices.model import SYNC_TAKES_AT_MOST
from wacoex_cli.errors import CredentialError, DeclinedError, RefusedError, UsageError, WacoexError
from wacoex_cli.events.store import catch_up
from wacoex_cli.findings.model import finding_block
from wacoex_cli.foundation.clock import from_text, to_text
from wacoex_cli.foundation.workspace import login_name
from wacoex_cli.inactivity.checks import zone_of
from wacoex_cli.ledger.model import Status
from wacoex_cli.ledger.store import Broadcasts
from wacoex_cli.onboarding.checks import coexistence, may_return
from wacoex_cli.onboarding.journey import (
    ONLY_A_PERSON,
    Context,
    WalkEnd,
    ask_until_usable,
    is_old,
    on_account,
    skipped,
    stored_connection,
    walk,
)
from wacoex_cli.onboarding.model import (
    NOT_BEGUN,
    Journey,
    JourneyKind,
    Nature,
    Receipt,
    Record,
    Route,
    Step,
    StepResult,
    StepState,
)
from wacoex_cli.onboarding.receipt import receipt_result
from wacoex_cli.onboarding.store import Journeys
from wacoex_cli.platforms.answers import is_not_visible
from wacoex_cli.terminal.dialogue import TerminalDialogue
from wacoex_cli.terminal.render import Block, ForPerson, Result

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
    from datetime import datetime

    from wacoex_cli.channels.facts import Connection
    from wacoex_cli.channels.model import Channel
    from wacoex_cli.foundation.state import State
    from wacoex_cli.foundation.workspace import Workspace
    from wacoex_cli.onboarding.journey import Action
    from wacoex_cli.onboarding.model import JourneyOptions
    from wacoex_cli.terminal.dialogue import Dialogue
    from wacoex_cli.terminal.options import Invocation

EVENTS, META, RESPONDIO = "events", "meta", "respondio"
PATIENCE_SECONDS = 600.0
CONNECTED_SAYS = "connected_says"
"""The key under which the sources that saw the channel connected are kept."""
_MAY_LAG = (
    "Meta may show a healthy number for a while after the disconnection, and names no time."
    " This step stays open; the clicks are in `wacoex explain offboarding`"
)
_FIRST_PAUSE_SECONDS, _LONGEST_PAUSE_SECONDS, _GROWTH = 2.0, 30.0, 1.5
_NO_PARTNER = (
    "does the app on the phone no longer show a partner (Settings, Account, Business Platform)?"
)
_SETTINGS = "meta_business_settings"
_ROUTES = {"1": "app", "2": _SETTINGS}
_NOBODY_ASKED = "not asked: `--yes`"


def _afterwards(channel: Channel) -> list[str]:
    """What is left to do at the partner once the number is disconnected."""
    number = channel.respondio_channel_id
    where = f"in respond.io: Settings, Channels: delete channel {number}; its contacts stay"
    return [] if number is None else [where]


def _text_of_changes() -> str:
    texts = coexistence()["offboarding"]
    return f"{_listed('what changes:', texts['changes'])}\n{_listed('what stays:', texts['stays'])}"


def _text_of_backup() -> str:
    return _listed("make a backup first:", coexistence()["offboarding"]["backup"])


def _text_of_routes(channel: Channel) -> str:
    """Both ways to disconnect, with the clicks."""
    lines = []
    for heading, way in ("1. in the app:", "app"), ("2. or in Meta Business Settings:", _SETTINGS):
        steps = coexistence()["offboarding"][way]
        lines += [heading, *map("   {}. {}".format, "abc", steps)]
    after = _afterwards(channel)
    return "\n".join([*lines, _listed("when that is done:", after)] if after else lines)


def _listed(heading: str, texts: Iterable[str]) -> str:
    """A heading, and a line for each text."""
    return "\n".join([heading, *(f"  - {text}" for text in texts)])


def offboard_named(invocation: Invocation, name: str | None, options: JourneyOptions) -> Result:
    """`offboard` or its preview, with what to show, for the channel that is meant.

    One that is named may be archived already. Raises as `offboard` and `preview` do.
    """
    with invocation.open_workspace() as workspace:
        state = workspace.state
        channel = registry.known(state, name) if name else choose_channel(workspace, invocation)
        if options.dry_run:
            receipt = workspace.run(preview(workspace, channel, unsubscribe=options.unsubscribe))
        else:
            receipt = offboard(workspace, TerminalDialogue(invocation), channel, options)
        now, zone = workspace.clock.now(), zone_of(workspace, channel)
        return _result(receipt, channel, now, zone, dry_run=options.dry_run)


def _result(
    receipt: Receipt, channel: Channel, now: datetime, zone: str, *, dry_run: bool
) -> Result:
    shown, left = receipt_result(receipt, now, zone), None
    if receipt.is_finished:
        left = {
            "relink_from": receipt.records["companions"].answer.get("relink_from"),
            "at_the_partner": _afterwards(channel),
            "restore": f"wacoex channel restore {channel.name}",
        }
    data = {**shown.data, "aftercare": left, "dry_run": dry_run}
    if receipt.journey.journey_id == NOT_BEGUN:
        data |= {"journey_id": None, "started_at": None}
    if dry_run:
        return Result(data, list(_preview_text(receipt, channel, now)))
    text = list(shown.text) if receipt.records else []
    if left:
        since = f"from {left['relink_from']} on" if left["relink_from"] else "after a day"
        lines = (
            f"link the companions again, {since}: on the phone, Settings, Linked devices",
            *_afterwards(channel),
            f"to bring the channel back: `{left['restore']}`, then `wacoex connect {channel.name}`",
        )
        text.append(ForPerson(_listed("\nstill to do:", lines)))
    return shown._replace(data=data, text=text)


def offboard(
    workspace: Workspace, dialogue: Dialogue, channel: Channel, options: JourneyOptions
) -> Receipt:
    """Walk from the first step that is not settled; a channel that is archived was let go.

    Exit codes: 0 finished, 5 refused, 6 a step stays open, else that of the error. Raises
    UsageError for a channel that was archived otherwise, and what `demand_unsubscribe` raises.
    """
    state, store, key = workspace.state, Journeys(workspace.state), channel.channel_id
    journey, walked = store.newest(key, JourneyKind.OFFBOARD), WalkEnd()
    if journey is None or journey.finished_at is None or not channel.archived_at:
        if options.unsubscribe:
            demand_unsubscribe(workspace, channel)
        with state.transaction():
            journey = store.unfinished(key, JourneyKind.OFFBOARD)
            if journey is None:
                registry.active(state, channel.name)
                way, now = _route_of(state, channel), workspace.clock.now()
                journey = store.start(key, JourneyKind.OFFBOARD, way, now)
        context = Context(workspace, dialogue, journey, channel.name, options)
        settled = [row.step for row in context.records().values() if row.state.is_over]
        if settled:
            dialogue.note(_done_already(settled))
        walked = walk(context, OFFBOARD_STEPS)
        journey = store.newest(key, JourneyKind.OFFBOARD) or journey
    records = store.records(journey.journey_id)
    return Receipt(channel.name, journey, tuple(OFFBOARD_STEPS), records, *walked)


def demand_unsubscribe(workspace: Workspace, channel: Channel) -> None:
    """Raise UsageError or CredentialError when `--unsubscribe` cannot be done."""
    channel.demand_waba_id()
    workspace.secrets.need("meta-token", channel.name)


def _route_of(state: State, channel: Channel) -> Route:
    """Through whose signup a channel was connected, as far as we know."""
    connected = Journeys(state).newest(channel.channel_id, JourneyKind.CONNECT)
    if connected:
        return connected.via
    return Route.SIGNUP if channel.respondio_channel_id is None else Route.RESPONDIO


async def preview(workspace: Workspace, channel: Channel, *, unsubscribe: bool) -> Receipt:
    """Each step as it is kept, or as it would go, and the doubts about it.

    Reads only: nothing is written here, at Meta or at respond.io, and no event is projected.
    Raises UsageError for an archived channel that is not being let go, and what
    `demand_unsubscribe` raises.
    """
    state, now = workspace.state, workspace.clock.now()
    if unsubscribe:
        demand_unsubscribe(workspace, channel)
    store = Journeys(state)
    journey = store.unfinished(channel.channel_id, JourneyKind.OFFBOARD)
    records = store.records(journey.journey_id) if journey else {}
    kept = {step: row for step, row in records.items() if row.state.is_over}
    if journey is None:
        registry.active(state, channel.name)
        way = _route_of(state, channel)
        journey = Journey(NOT_BEGUN, channel.channel_id, JourneyKind.OFFBOARD, way, to_text(now))
    texts = coexistence()["offboarding"]
    would: dict[str, dict[str, object]] = {
        "what-changes": {"changes": texts["changes"], "stays": texts["stays"]},
        "broadcasts": {**_broadcasts_waiting(state, channel.channel_id)},
        "backup": {"advice": texts["backup"]},
        "route": {
            "app": texts["app"],
            _SETTINGS: texts[_SETTINGS],
            "afterwards": _afterwards(channel),
        },
        "proof": {"seen": [sight.text for sight in await _sights_of(workspace, channel)]},
        "unsubscribe": {"would_detach": unsubscribe, "waba_id": channel.waba_id},
        "companions": {"listed": [row.name for row, _ in inventory(state, channel, now).devices]},
        "archive": {"would_archive": channel.name},
    }
    planned = {
        step.id: Record(step.id, StepState.OPEN, answer=would[step.id]) for step in OFFBOARD_STEPS
    }
    findings = check_connection(stored_connection(workspace, channel), channel.name, now)
    return Receipt(channel.name, journey, tuple(OFFBOARD_STEPS), {**planned, **kept}, findings)


async def what_changes(context: Context) -> StepResult:
    """Show what happens, look how things stand, and let the channel's name be typed.

    Raises DeclinedError for another name.
    """
    sights, there = await _sights_now(context)
    channel, now = context.channel, context.now
    connection = stored_connection(context.workspace, channel)
    is_urgent = connection.state is ConnectionState.RECONNECTING or may_return(connection, now)
    waiting = tuple(check_connection(connection, channel.name, now)) if is_urgent else ()
    dialogue = context.dialogue
    dialogue.note(_text_of_changes())
    for finding in waiting:
        dialogue.warn(finding_block(finding, now).text)
    if context.options.is_confirmed and is_urgent:
        reason = (
            "WhatsApp may reconnect the channel by itself: wait, or type its name in a terminal"
        )
        return StepResult(StepState.FAILED, {"reason": reason}, findings=waiting, note=reason)
    if not context.options.is_confirmed:
        why = "it may come back by itself; to offboard it anyway"
        question = f"type the name of the channel, {channel.name}"
        typed = dialogue.ask(f"{why if is_urgent else 'to offboard'}, {question}", flag="--yes")
        if typed != channel.name:
            raise DeclinedError("nothing changed: that is not the name of the channel")
    answer = {
        "confirmed_with": "--yes" if context.options.is_confirmed else channel.name,
        "seen": [sight.text for sight in sights],
        CONNECTED_SAYS: sorted(there),
    }
    return StepResult(StepState.SETTLED, answer, login_name(), waiting)


async def broadcasts(context: Context) -> StepResult:
    """Pause what is being sent, and name what is planned or paused."""
    state, clock = context.state, context.workspace.clock
    channel_id = context.channel.channel_id
    for broadcast in Broadcasts(state).of_channel(channel_id, Status.SENDING):
        try:
            await send.pause(state, broadcast, login_name(), clock)
        except UsageError as error:
            # It came to its end by itself meanwhile.
            context.dialogue.detail(error.message)
        number = broadcast.broadcast_id
        if Broadcasts(state).sender(number, clock):
            note = f"the sender of broadcast {number} has not stopped yet"
            return StepResult(StepState.OPEN, {"sending": number}, note=note)
    found = _broadcasts_waiting(state, channel_id)
    waiting = [f"{status}: {', '.join(map(str, ids))}" for status, ids in found.items() if ids]
    cancel = "; to end one for good: `wacoex broadcast cancel ID`"
    summary = f"broadcasts {'; '.join(waiting)}{cancel}" if waiting else None
    return StepResult(StepState.SETTLED, found, note=summary)


def _broadcasts_waiting(state: State, channel_id: int) -> dict[str, list[int]]:
    """The ids of the broadcasts of a channel that have not ended, by status."""
    return {
        status.value: [row.broadcast_id for row in Broadcasts(state).of_channel(channel_id, status)]
        for status in (Status.SENDING, Status.PAUSED, Status.PLANNED)
    }


async def backup(context: Context) -> StepResult:
    """Advise a backup, and ask whether there is one; none is needed to go on."""
    context.dialogue.note(_text_of_backup())
    if context.options.is_confirmed:
        return skipped(_NOBODY_ASKED)
    if context.dialogue.confirm("is the backup made?", flag="--yes"):
        return StepResult(StepState.SETTLED, {"made": True}, login_name())
    return StepResult(StepState.SKIPPED, {"reason": "advised, not made"}, login_name())


async def route(context: Context) -> StepResult:
    """Show both ways to disconnect, and ask which one is taken."""
    context.dialogue.note(_text_of_routes(context.channel))
    if context.options.is_confirmed:
        return skipped(_NOBODY_ASKED)
    question = "which way do you disconnect it, 1 in the app or 2 in Meta Business Settings"
    _, way = ask_until_usable(
        context.dialogue, question, _ROUTES.get, "answer 1 or 2", flag="--yes"
    )
    if way:
        return StepResult(StepState.SETTLED, {"route": way}, login_name())
    return StepResult(StepState.OPEN, note="the way is not chosen; run it again")


class Indication(StrEnum):
    """What a sight says; `hidden` proves the end only of what was seen before."""

    GONE = "gone"
    THERE = "there"
    HIDDEN = "hidden"
    UNCERTAIN = "uncertain"
    NO_ACCESS = "no_access"


class Sight(NamedTuple):
    """What one source shows. `at` is when it happened or was seen, RFC 3339 in UTC."""

    source: str
    shows: Indication
    text: str
    at: str

    def proves_end(self, there: Collection[str]) -> bool:
        """Whether it proves the disconnection; `there` are the sources that saw it live.

        What cannot be seen and never was may be a mistyped id, or the token of somebody else.
        """
        is_hidden = self.shows is Indication.HIDDEN and self.source in there
        return is_hidden or self.shows is Indication.GONE


async def _sights_of(workspace: Workspace, channel: Channel) -> list[Sight]:
    """What the stored events, Meta and respond.io show; never raises for what they answer.

    A source whose access or id is not configured is left out. The events are those that are
    projected: bring them up to date first.
    """
    connection, now = stored_connection(workspace, channel), workspace.clock.now()
    look, facts = Look(workspace, now, is_patient=True), ChannelFacts(channel, now)
    sights = [_in_events(connection, now)]
    if channel.phone_number_id and workspace.secrets.find("meta-token", channel.name):
        shows, text = await _at_meta(workspace, look, facts)
        now = workspace.clock.now()
        if shows in {Indication.GONE, Indication.HIDDEN} and may_return(connection, now):
            shows, text = Indication.UNCERTAIN, f"{text}, while WhatsApp is reconnecting it"
        sights.append(Sight(META, shows, text, to_text(now)))
    if channel.respondio_channel_id and workspace.secrets.find("respondio-token", channel.name):
        shows, text = await _at_respondio(look, facts)
        sights.append(Sight(RESPONDIO, shows, text, to_text(workspace.clock.now())))
    return sights


def _in_events(connection: Connection, now: datetime) -> Sight:
    at = connection.since or to_text(now)
    if may_return(connection, now):
        text = "the number was registered again, WhatsApp usually reconnects it within minutes"
        return Sight(EVENTS, Indication.UNCERTAIN, text, at)
    if connection.state is ConnectionState.REMOVED:
        reason = f", reason {connection.reason}" if connection.reason else ""
        by = f", initiated by {connection.initiated_by}" if connection.initiated_by else ""
        return Sight(EVENTS, Indication.GONE, f"Meta reported PARTNER_REMOVED{reason}{by}", at)
    return Sight(EVENTS, Indication.UNCERTAIN, "Meta reported no removal", to_text(now))


async def _at_meta(workspace: Workspace, look: Look, facts: ChannelFacts) -> tuple[Indication, str]:
    channel = facts.channel
    await look.number(facts)
    error = facts.failures.get("number")
    if error is None:
        return _judged(values_of(facts.read), facts.now)
    if not is_not_visible(error):
        return _unanswered(error)
    if channel.waba_id is not None:
        # Whether this token sees the account, and in it neither the number nor its id.
        listed = await look.numbers(meta_for(workspace, channel), channel.waba_id)
        if isinstance(listed, WacoexError):
            if not isinstance(listed, (CredentialError, RefusedError)):
                return _unanswered(listed)
        elif on_account(channel, listed) is None:
            return Indication.GONE, "the number is no longer in its WhatsApp Business Account"
    return Indication.HIDDEN, "Meta does not show the number to this token"


def _judged(node: Mapping[str, Any], now: datetime) -> tuple[Indication, str]:
    text = f"platform_type is {node.get('platform_type', 'not known')}"
    is_on_biz_app = node.get("is_on_biz_app")
    if is_on_biz_app is None:
        return Indication.UNCERTAIN, f"is_on_biz_app is not known, {text}"
    text = f"is_on_biz_app is {str(is_on_biz_app).lower()}, {text}"
    if is_on_biz_app is not False:
        return Indication.THERE, text
    if is_settling(node, now):
        return Indication.UNCERTAIN, f"{text}, but it was connected a short while ago"
    return Indication.GONE, text


async def _at_respondio(look: Look, facts: ChannelFacts) -> tuple[Indication, str]:
    number = facts.channel.respondio_channel_id
    listed = await look.respondio(facts)
    if listed.error:
        return _unanswered(listed.error)
    is_there = number in {row.id for row in listed.channels or ()}
    text = f"channel {number} is {'in' if is_there else 'not in'} the respond.io workspace"
    return Indication.THERE if is_there else Indication.HIDDEN, text


def _unanswered(error: WacoexError) -> tuple[Indication, str]:
    is_refused = isinstance(error, CredentialError)
    return Indication.NO_ACCESS if is_refused else Indication.UNCERTAIN, error.message


async def _sights_now(context: Context) -> tuple[list[Sight], set[str]]:
    """What shows just now, with the events that have come in, and who sees it connected."""
    catch_up(context.state, [CHANNELS], context.workspace.clock)
    sights = await _sights_of(context.workspace, context.channel)
    return sights, {sight.source for sight in sights if sight.shows is Indication.THERE}


async def disconnected(context: Context) -> StepResult:
    """Look with growing pauses until the end is proved, ten minutes at most.

    Where nothing can be asked, a person's word settles it. An answer that did not come proves
    nothing; the step then stays open, and the next walk looks again.
    """
    clock, note = context.workspace.clock, context.dialogue.note
    give_up_at = clock.monotonic() + PATIENCE_SECONDS
    there, before, pause = _seen_before(context), "", _FIRST_PAUSE_SECONDS
    while True:
        sights, there_now = await _sights_now(context)
        there |= there_now
        found = next((sight for sight in sights if sight.proves_end(there)), None)
        if found:
            answer = {"proved_by": found.source, "text": found.text, "disconnected_at": found.at}
            said_by = META if found.source == EVENTS else found.source
            return StepResult(StepState.SETTLED, answer, said_by, note=f"proved: {found.text}")
        texts = [sight.text for sight in sights]
        seen = {"seen": texts, CONNECTED_SAYS: sorted(there)}
        # Asking again may show something where some API can be asked.
        apis = [sight for sight in sights if sight.source != EVENTS]
        if all(sight.shows is Indication.NO_ACCESS for sight in apis):
            return _ask_whether_gone(context, apis, seen)
        if "; ".join(texts) != before:
            note(f"waiting until the disconnection shows: {'; '.join(texts)}")
        if not before:
            note(
                f"Ctrl-C leaves this step open; `wacoex offboard {context.channel_name}` continues"
            )
        before = "; ".join(texts)
        if clock.monotonic() + pause > give_up_at:
            return StepResult(StepState.OPEN, seen, note=f"not proved yet: {_MAY_LAG}")
        await clock.sleep(pause)
        pause = min(pause * _GROWTH, _LONGEST_PAUSE_SECONDS)


def _seen_before(context: Context) -> set[str]:
    """The sources that saw it connected: in this journey, or by a fact from earlier."""
    kept = context.records()
    there: set[str] = set()
    for step in ("what-changes", "proof"):
        listed = kept[step].answer.get(CONNECTED_SAYS) if step in kept else None
        there |= set(listed) if isinstance(listed, list) else set()
    facts = Facts(context.state).facts_by_channel(["is_on_biz_app"])
    values = values_of(facts.get(context.channel.channel_id, {}).values())
    return there | ({META} if values.get("is_on_biz_app") is True else set())


def _ask_whether_gone(
    context: Context, refused: Sequence[Sight], seen: Mapping[str, object]
) -> StepResult:
    texts = "; ".join(sight.text for sight in refused)
    reason = texts or "no token is configured that could show it"
    if context.options.is_confirmed:
        # Archiving would silence the reminder of a channel that may still be connected.
        note = f"not proved: {reason}; run it without `--yes` to confirm it yourself"
        return StepResult(StepState.OPEN, {**seen, "reason": reason}, note=note)
    context.dialogue.note(f"nothing here can prove it: {reason}")
    if not context.dialogue.confirm(_NO_PARTNER, flag=ONLY_A_PERSON):
        return StepResult(StepState.OPEN, seen, login_name(), note=f"not proved yet: {_MAY_LAG}")
    answer = {
        **seen,
        "reason": reason,
        "proved_by": "person",
        "text": "the app no longer shows a partner",
        "disconnected_at": context.now_text,
    }
    return StepResult(StepState.SETTLED, answer, login_name())


async def unsubscribe(context: Context) -> StepResult:
    """Detach the own app from the webhooks of the account, when `--unsubscribe` asks for it.

    Raises CredentialError, RefusedError or TemporaryError as Meta answers; it may be done again.
    """
    channel = context.channel
    if not context.options.unsubscribe:
        return skipped("not asked for: `--unsubscribe` does it")
    waba_id = channel.demand_waba_id()
    try:
        await meta_for(context.workspace, channel).unsubscribe_app(waba_id)
    except WacoexError as error:
        if not is_not_visible(error):
            raise
        return skipped("Meta no longer shows the account to this token", waba_id=waba_id)
    return StepResult(StepState.SETTLED, {"waba_id": waba_id, "detached": True}, "meta")


async def companions(context: Context) -> StepResult:
    """Start the time after which companions are linked again, and write it down.

    Offboarding unlinks them all (respond.io: help article). Where Meta reported it the list of
    devices knows; else this records it.
    """
    state, proved = context.state, context.records()["proof"]
    at = proved.answer.get("disconnected_at")
    if not isinstance(at, str):
        return skipped("wacoex does not know when it was disconnected")
    if proved.answer.get("proved_by") != EVENTS:
        key, phone = f"wacoex:offboard:{context.journey.journey_id}", context.channel.phone
        event = AccountEvent(key, OFFBOARDED_HERE, at, "wacoex offboard", phone=phone)
        with state.transaction():
            AccountEvents(state).add([event])
    found = inventory(state, context.channel, context.now)
    answer = {
        "unlinked_at": at,
        "relink_from": to_text(from_text(at) + SYNC_TAKES_AT_MOST),
        "listed": [row.name for row, _ in found.devices],
    }
    return StepResult(StepState.SETTLED, answer)


async def archive(context: Context) -> StepResult:
    """Archive the channel; kept, hidden, and taken back by `channel restore`."""
    channel = context.channel
    if not channel.archived_at:
        channel = registry.archive_channel(context.state, channel.name, context.now)
    return StepResult(StepState.SETTLED, {"archived_at": channel.archived_at})


def checked(action: Action) -> Action:
    """A step that cannot be undone, after a look at what may have changed since it was allowed.

    No option leaves the look out.
    """

    async def act(context: Context) -> StepResult:
        return await _stands_against(context) or await action(context)

    return act


async def _stands_against(context: Context) -> StepResult | None:
    """Why a resumed journey must not go on; the proof is looked for again then."""
    catch_up(context.state, [CHANNELS], context.workspace.clock)
    connection, now = stored_connection(context.workspace, context.channel), context.now
    records = context.records()
    proof, agreed = records.get("proof"), records["what-changes"]
    is_proved = proof is not None and proof.state.is_over
    allowed_at = (
        str(proof.answer.get("disconnected_at")) if proof and is_proved else agreed.at or ""
    )
    reason = None
    if connection.since and connection.since > allowed_at and may_return(connection, now):
        reason = f"WhatsApp is reconnecting the channel since {connection.since} (WX204)"
    elif proof and is_proved:
        reason = await _connected_again(context, proof, connection)
    if reason is None:
        return None
    step = "proof" if is_proved else "what-changes"
    context.keep(step, StepResult(StepState.OPEN, {"reason": reason}))
    findings = tuple(check_connection(connection, context.channel_name, now))
    note = f"{reason}; look at `wacoex status {context.channel_name}`, then run it again"
    return StepResult(StepState.FAILED, {"reason": reason}, findings=findings, note=note)


async def _connected_again(context: Context, proof: Record, connection: Connection) -> str | None:
    """What shows that a channel came back after its end was proved; None when nothing does."""
    ended_at = str(proof.answer.get("disconnected_at"))
    live = {ConnectionState.CONNECTED, ConnectionState.SETTLING}
    if connection.state in live and connection.since and connection.since > ended_at:
        return f"the channel was connected again at {connection.since}"
    source = proof.answer.get("proved_by")
    # A webhook is ahead of the API, which may show a healthy number for a while.
    if source not in (META, RESPONDIO) or not is_old(context, "proof"):
        return None
    sights = await _sights_of(context.workspace, context.channel)
    seen = [each for each in sights if each.source == source and each.shows is Indication.THERE]
    return f"the channel is connected again: {seen[0].text}" if seen else None


OFFBOARD_STEPS: Mapping[Step, Action] = {
    Step("what-changes", "What changes, confirmed by name", Nature.ASKED): what_changes,
    Step("broadcasts", "Running broadcasts are paused", Nature.DONE): broadcasts,
    Step("backup", "A backup", Nature.ASKED): backup,
    Step("route", "Disconnect it, in the app or in Meta Business Settings", Nature.ASKED): checked(
        route
    ),
    Step("proof", "The disconnection is proved", Nature.CHECKED): disconnected,
    Step("unsubscribe", "Your own app is detached from the account", Nature.DONE): checked(
        unsubscribe
    ),
    Step("companions", "When companions can be linked again", Nature.DONE): companions,
    Step("archive", "The channel is archived, its reminder stops", Nature.DONE): checked(archive),
}
"""Disconnecting a channel, in order; each settled step is kept under its id."""


def _preview_text(receipt: Receipt, channel: Channel, now: datetime) -> Iterator[str | Block]:
    """What would be said and done."""
    answers = {step: row.answer for step, row in receipt.records.items()}
    yield _text_of_changes()
    yield _text_of_backup()
    yield _text_of_routes(channel)
    for finding in receipt.findings:
        yield finding_block(finding, now)
    done = [step for step, row in receipt.records.items() if row.at]
    if done:
        yield _done_already(done)
    yield f"proof so far: {_words(answers['proof'].get('seen'))}"
    yield f"broadcasts that would be paused: {_words(answers['broadcasts'].get('sending'))}"
    would = "would" if answers["unsubscribe"].get("would_detach") else "would not"
    yield f"your own app {would} be detached from the webhooks of the account"
    yield f"companions on the list: {_words(answers['companions'].get('listed'))}"
    yield f"channel {channel.name} ({channel.phone}) would be archived; nothing was changed"


def _done_already(done: Iterable[str]) -> str:
    """What earlier runs have settled, in the order and the words of the steps."""
    titles = [step.title for step in OFFBOARD_STEPS if step.id in set(done)]
    return "\n".join(["done already:", *map("  - {}".format, titles)])


def _words(values: object) -> str:
    return ", ".join(map(str, values)) if isinstance(values, list) and values else "none"
