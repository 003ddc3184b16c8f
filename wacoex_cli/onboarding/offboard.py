"""`offboard`: lets a channel go step by step, with proof; and its dry run."""

from __future__ import annotations

from typing import TYPE_CHECKING

from wacoex_cli.broadcast import send
from wacoex_cli.broadcast.model import Status
from wacoex_cli.broadcast.store import Broadcasts
from wacoex_cli.channels import registry
from wacoex_cli.channels.checks import check_connection
from wacoex_cli.channels.facts import ConnectionState
from wacoex_cli.channels.model import OFFBOARDED_HERE, AccountEvent
from wacoex_cli.channels.registry import meta_for
from wacoex_cli.channels.store import AccountEvents
from wacoex_cli.devices.inventory import inventory
from wacoex_cli.devices.model import SYNC_TAKES_AT_MOST
from wacoex_cli.errors import DeclinedError, UsageError, WacoexError
from wacoex_cli.findings.model import finding_text
from wacoex_cli.foundation.clock import from_text, to_text
from wacoex_cli.foundation.workspace import login_name
from wacoex_cli.onboarding.journey import GONE_THROUGH, Context, JourneyEnd, WalkEnd, skipped, walk
from wacoex_cli.onboarding.model import (
    NOT_BEGUN,
    Journey,
    JourneyKind,
    Nature,
    Outcome,
    Receipt,
    Record,
    Route,
    Step,
    StepState,
)
from wacoex_cli.onboarding.proof import (
    CONNECTED_SAYS,
    EVENTS,
    disconnected,
    look,
    may_return,
    sights_now,
    stored,
    there_in,
)
from wacoex_cli.onboarding.store import Journeys
from wacoex_cli.platforms.meta_answers import is_not_visible

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from wacoex_cli.channels.model import Channel
    from wacoex_cli.foundation.state import State
    from wacoex_cli.foundation.workspace import Workspace
    from wacoex_cli.onboarding.journey import Action, Wishes
    from wacoex_cli.terminal.dialogue import Dialogue

_ROUTES = {"1": "app", "2": "meta_business_settings"}
_NOBODY_ASKED = "nobody was asked: `--yes`"
CHANGES = (
    "the partner (respond.io, say) loses the number: nothing comes in or goes out through the API",
    "wacoex can send no broadcast on this number; those under way are paused",
    "all companion devices are unlinked, and are linked again by hand",
    "the channel is archived here: its 14-day reminder stops",
)
STAYS = (
    "neither the WhatsApp Business Account nor the phone number is deleted",
    "chats stay on the phone, and the app works as before",
    "respond.io keeps its contacts",
    "what wacoex knows of the channel is kept, and `wacoex channel restore` takes it back",
)
"""Sources: respond.io, help article about Coexistence; Meta, onboarding business app users."""
BACKUP = (
    "on the phone: WhatsApp Business app, Settings, Chats, Chat backup, Back up",
    "on this machine: `wacoex state backup`",
)
IN_THE_APP = (
    "open the WhatsApp Business app on the phone that holds the number",
    "Settings, Account, Business Platform",
    "choose the partner, then Disconnect Account",
)
"""Source: Meta, onboarding business app users."""
IN_META_BUSINESS_SETTINGS = (
    "open Meta Business Settings, WhatsApp Accounts, and choose the account",
    "open WhatsApp Manager, then Manage",
    "remove the partner",
)
"""Source: respond.io, help article about Coexistence."""


def afterwards(channel: Channel) -> tuple[str, ...]:
    """What is left to do at the partner once the number is disconnected."""
    if channel.respondio_channel_id is None:
        return ()
    return (
        f"in respond.io: Settings, Channels: delete channel {channel.respondio_channel_id};"
        " its contacts stay",
    )


def text_of_routes(channel: Channel) -> str:
    """Both ways to disconnect, with the clicks."""
    lines = [
        "1. in the app:",
        *_steps(IN_THE_APP),
        "2. or in Meta Business Settings:",
        *_steps(IN_META_BUSINESS_SETTINGS),
    ]
    after = afterwards(channel)
    return "\n".join([*lines, listing("when that is done:", after)] if after else lines)


def _steps(texts: Iterable[str]) -> Iterator[str]:
    return (f"   {letter}. {text}" for letter, text in zip("abcdef", texts, strict=False))


def listing(heading: str, texts: Iterable[str]) -> str:
    """A heading, and a line for each text."""
    return "\n".join([heading, *(f"  - {text}" for text in texts)])


TEXT_OF_CHANGES = f"{listing('what changes:', CHANGES)}\n{listing('what stays:', STAYS)}"
TEXT_OF_BACKUP = listing("make a backup first:", BACKUP)


def offboard(
    workspace: Workspace, dialogue: Dialogue, channel: Channel, wishes: Wishes
) -> JourneyEnd:
    """Walk from the first step that is not settled; a channel that is archived was let go.

    Exit codes: 0 finished, 5 refused, 6 a step stays open, else that of the error. Raises
    UsageError for a channel that was archived otherwise, and what `demand_what_is_wished` raises.
    """
    state, store, key = workspace.state, Journeys(workspace.state), channel.channel_id
    journey, walked = store.newest(key, JourneyKind.OFFBOARD), WalkEnd()
    if journey is None or journey.finished_at is None or not channel.archived_at:
        if wishes.unsubscribe:
            demand_what_is_wished(workspace, channel)
        with state.transaction():
            journey = store.unfinished(key, JourneyKind.OFFBOARD)
            if journey is None:
                registry.active(state, channel.name)
                way, now = _route_of(state, channel), workspace.clock.now()
                journey = store.start(key, JourneyKind.OFFBOARD, way, now)
        context = Context(workspace, dialogue, journey, channel.name, wishes)
        settled = [row.step for row in context.records().values() if row.state in GONE_THROUGH]
        if settled:
            dialogue.note(f"settled already: {', '.join(settled)}")
        walked = walk(context, OFFBOARD_STEPS)
        journey = store.newest(key, JourneyKind.OFFBOARD) or journey
    records = store.records(journey.journey_id)
    receipt = Receipt(channel.name, journey, tuple(OFFBOARD_STEPS), records, walked.findings)
    return JourneyEnd(receipt, walked.exit_code, walked.error)


def demand_what_is_wished(workspace: Workspace, channel: Channel) -> None:
    """Raise UsageError or CredentialError when `--unsubscribe` cannot be done."""
    channel.demand_waba_id()
    workspace.secrets.need("meta-token", channel.name)


def _route_of(state: State, channel: Channel) -> Route:
    """Through whose signup a channel was connected, as far as is known."""
    connected = Journeys(state).newest(channel.channel_id, JourneyKind.CONNECT)
    if connected:
        return connected.via
    return Route.SIGNUP if channel.respondio_channel_id is None else Route.RESPONDIO


async def preview(workspace: Workspace, channel: Channel, *, unsubscribe: bool) -> Receipt:
    """Each step as it is kept, or as it would go, and what speaks against it.

    Reads only: nothing is written here, at Meta or at respond.io, and no event is projected.
    Raises UsageError for an archived channel that is not being let go, and what
    `demand_what_is_wished` raises.
    """
    state, now = workspace.state, workspace.clock.now()
    if unsubscribe:
        demand_what_is_wished(workspace, channel)
    store = Journeys(state)
    journey = store.unfinished(channel.channel_id, JourneyKind.OFFBOARD)
    records = store.records(journey.journey_id) if journey else {}
    kept = {step: row for step, row in records.items() if row.state in GONE_THROUGH}
    if journey is None:
        registry.active(state, channel.name)
        way = _route_of(state, channel)
        journey = Journey(NOT_BEGUN, channel.channel_id, JourneyKind.OFFBOARD, way, to_text(now))
    would: dict[str, dict[str, object]] = {
        "what-changes": {"changes": list(CHANGES), "stays": list(STAYS)},
        "broadcasts": {**_broadcasts_waiting(state, channel.channel_id)},
        "backup": {"advice": list(BACKUP)},
        "route": {
            "app": list(IN_THE_APP),
            "meta_business_settings": list(IN_META_BUSINESS_SETTINGS),
            "afterwards": list(afterwards(channel)),
        },
        "proof": {"seen": [sight.text for sight in await look(workspace, channel)]},
        "unsubscribe": {"would_detach": unsubscribe, "waba_id": channel.waba_id},
        "companions": {"listed": [row.name for row, _ in inventory(state, channel, now).devices]},
        "archive": {"would_archive": channel.name},
    }
    planned = {
        step.id: Record(step.id, StepState.OPEN, answer=would[step.id]) for step in OFFBOARD_STEPS
    }
    findings = check_connection(stored(workspace, channel), channel.name, now)
    return Receipt(channel.name, journey, tuple(OFFBOARD_STEPS), {**planned, **kept}, findings)


async def what_changes(context: Context) -> Outcome:
    """Show what happens, look how things stand, and let the channel's name be typed.

    Raises DeclinedError for another name.
    """
    sights = await sights_now(context)
    channel, now = context.channel, context.now
    connection = stored(context.workspace, channel)
    is_urgent = connection.state is ConnectionState.RECONNECTING or may_return(connection, now)
    waiting = tuple(check_connection(connection, channel.name, now)) if is_urgent else ()
    dialogue = context.dialogue
    dialogue.note(TEXT_OF_CHANGES)
    for finding in waiting:
        dialogue.warn(finding_text(finding, now))
    if context.wishes.is_confirmed and is_urgent:
        reason = (
            "WhatsApp may reconnect the channel by itself: wait, or type its name in a terminal"
        )
        return Outcome(StepState.FAILED, {"reason": reason}, findings=waiting, note=reason)
    if not context.wishes.is_confirmed:
        why = "it may come back by itself; to offboard it all the same"
        question = f"type the name of the channel, {channel.name}"
        typed = dialogue.ask(f"{why if is_urgent else 'to offboard'}, {question}", flag="--yes")
        if typed != channel.name:
            raise DeclinedError("nothing changed: that is not the name of the channel")
    answer = {
        "confirmed_with": "--yes" if context.wishes.is_confirmed else channel.name,
        "seen": [sight.text for sight in sights],
        CONNECTED_SAYS: sorted(there_in(sights)),
    }
    return Outcome(StepState.SETTLED, answer, login_name(), waiting)


async def broadcasts(context: Context) -> Outcome:
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
            return Outcome(StepState.OPEN, {"sending": number}, note=note)
    found = _broadcasts_waiting(state, channel_id)
    waiting = [f"{status}: {', '.join(map(str, ids))}" for status, ids in found.items() if ids]
    cancel = "; to end one for good: `wacoex broadcast cancel ID`"
    summary = f"broadcasts {'; '.join(waiting)}{cancel}" if waiting else None
    return Outcome(StepState.SETTLED, found, note=summary)


def _broadcasts_waiting(state: State, channel_id: int) -> dict[str, list[int]]:
    """The ids of the broadcasts of a channel that have not ended, by status."""
    return {
        status.value: [row.broadcast_id for row in Broadcasts(state).of_channel(channel_id, status)]
        for status in (Status.SENDING, Status.PAUSED, Status.PLANNED)
    }


async def backup(context: Context) -> Outcome:
    """Advise a backup, and ask whether there is one; none is needed to go on."""
    context.dialogue.note(TEXT_OF_BACKUP)
    if context.wishes.is_confirmed:
        return skipped(_NOBODY_ASKED)
    if context.dialogue.confirm("is the backup made?", flag="--yes"):
        return Outcome(StepState.SETTLED, {"made": True}, login_name())
    return Outcome(StepState.SKIPPED, {"reason": "advised, not made"}, login_name())


async def route(context: Context) -> Outcome:
    """Show both ways to disconnect, and ask which one is taken."""
    context.dialogue.note(text_of_routes(context.channel))
    if context.wishes.is_confirmed:
        return skipped(_NOBODY_ASKED)
    answer = context.dialogue.ask(
        "which way do you disconnect it, 1 in the app or 2 in Meta Business Settings", flag="--yes"
    )
    way = _ROUTES.get(answer)
    if way is None:
        return Outcome(StepState.OPEN, note="answer 1 or 2")
    return Outcome(StepState.SETTLED, {"route": way}, login_name())


async def unsubscribe(context: Context) -> Outcome:
    """Detach the own app from the webhooks of the account, when `--unsubscribe` asks for it.

    Raises CredentialError, RefusedError or TemporaryError as Meta answers; it may be done again.
    """
    channel = context.channel
    if not context.wishes.unsubscribe:
        return skipped("not asked for: `--unsubscribe` does it")
    waba_id = channel.demand_waba_id()
    try:
        await meta_for(context.workspace, channel).unsubscribe_app(waba_id)
    except WacoexError as error:
        if not is_not_visible(error):
            raise
        return skipped("Meta does not show the account to this token any more", waba_id=waba_id)
    return Outcome(StepState.SETTLED, {"waba_id": waba_id, "detached": True}, "meta")


async def companions(context: Context) -> Outcome:
    """Start the time after which companions are linked again, and write it down.

    Offboarding unlinks them all (respond.io: help article). Where Meta told of it the list of
    devices knows; else it is told here.
    """
    state, proved = context.state, context.records()["proof"]
    at = proved.answer.get("disconnected_at")
    if not isinstance(at, str):
        return skipped("nothing tells when it was disconnected")
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
    return Outcome(StepState.SETTLED, answer)


async def archive(context: Context) -> Outcome:
    """Archive the channel; kept, hidden, and taken back by `channel restore`."""
    channel = context.channel
    if not channel.archived_at:
        channel = registry.archive_channel(context.state, channel.name, context.now)
    return Outcome(StepState.SETTLED, {"archived_at": channel.archived_at})


OFFBOARD_STEPS: Mapping[Step, Action] = {
    Step("what-changes", "What changes, confirmed by name", Nature.ASKED): what_changes,
    Step("broadcasts", "Broadcasts under way are paused", Nature.DONE): broadcasts,
    Step("backup", "A backup", Nature.ASKED): backup,
    Step("route", "Disconnect it, in the app or in Meta Business Settings", Nature.ASKED): route,
    Step("proof", "The disconnection is proved", Nature.CHECKED): disconnected,
    Step("unsubscribe", "The own app is detached from the account", Nature.DONE): unsubscribe,
    Step("companions", "When companions can be linked again", Nature.DONE): companions,
    Step("archive", "The channel is archived, its reminder stops", Nature.DONE): archive,
}
"""Letting a channel go, in order; each settled step is kept under its id."""
