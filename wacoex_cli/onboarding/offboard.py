"""`offboard`: lets a channel go step by step, with proof; and its dry run."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from wacoex_cli.broadcast import control
from wacoex_cli.broadcast import ledger as broadcasts_ledger
from wacoex_cli.broadcast.model import Status
from wacoex_cli.broadcast.recovery import sender_of
from wacoex_cli.channels import account_ledger, registry
from wacoex_cli.channels.access import meta_for
from wacoex_cli.channels.account import OFFBOARDED_HERE, AccountEvent
from wacoex_cli.channels.connection import ConnectionState
from wacoex_cli.channels.removal import check_connection
from wacoex_cli.devices.registry import inventory
from wacoex_cli.devices.rule import SYNC_TAKES_AT_MOST
from wacoex_cli.errors import DeclinedError, UsageError, WacoexError
from wacoex_cli.findings.text import finding_text
from wacoex_cli.foundation.clock import from_text, to_text
from wacoex_cli.foundation.person import login_name
from wacoex_cli.onboarding import store as ledger
from wacoex_cli.onboarding.journey import GONE_THROUGH, Context, Walked, skipped, walk
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
    mark,
)
from wacoex_cli.onboarding.proof import (
    CONNECTED_SAYS,
    EVENTS,
    disconnected,
    is_not_visible,
    look,
    may_return,
    sights_now,
    stored,
    there_in,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from wacoex_cli.channels.model import Channel
    from wacoex_cli.foundation.state import State
    from wacoex_cli.foundation.workspace import Workspace
    from wacoex_cli.onboarding.journey import Action, Wishes
    from wacoex_cli.terminal.dialogue import Dialogue

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


def text_of_changes() -> str:
    """What to read before the name is typed."""
    return "\n".join([*_list("what changes:", CHANGES), *_list("what stays:", STAYS)])


def text_of_backup() -> str:
    """The backup that is advised."""
    return "\n".join(_list("make a backup first:", BACKUP))


def text_of_routes(channel: Channel) -> str:
    """Both ways to disconnect, with the clicks."""
    lines = [
        *_steps("1. in the app:", IN_THE_APP),
        *_steps("2. or in Meta Business Settings:", IN_META_BUSINESS_SETTINGS),
    ]
    if after := afterwards(channel):
        lines += _list("when that is done:", after)
    return "\n".join(lines)


def _list(heading: str, texts: Iterable[str]) -> Iterator[str]:
    yield heading
    yield from (f"  - {one}" for one in texts)


def _steps(heading: str, texts: Iterable[str]) -> Iterator[str]:
    yield heading
    yield from (f"   {letter}. {one}" for letter, one in zip("abcdef", texts, strict=False))


_ROUTES = {"1": "app", "2": "meta_business_settings"}
_NOBODY_ASKED = "nobody was asked: `--yes`"


async def what_changes(context: Context) -> Outcome:
    """Show what happens, look how things stand, and let the channel's name be typed.

    Raises DeclinedError for another name.
    """
    sights = await sights_now(context)
    channel, now = context.channel, context.workspace.clock.now()
    connection = stored(context.workspace, channel)
    is_urgent = connection.state is ConnectionState.RECONNECTING or may_return(connection, now)
    waiting = tuple(check_connection(connection, channel.name, now)) if is_urgent else ()
    dialogue = context.dialogue
    dialogue.note(text_of_changes())
    for one in waiting:
        dialogue.warn(finding_text(one, now))
    if context.wishes.is_confirmed and is_urgent:
        reason = (
            "WhatsApp may reconnect the channel by itself: wait, or type its name in a terminal"
        )
        return Outcome(StepState.FAILED, {"reason": reason}, findings=waiting, note=reason)
    if not context.wishes.is_confirmed:
        _let_type_the_name(context, is_urgent=is_urgent)
    answer = {
        "confirmed_with": "--yes" if context.wishes.is_confirmed else channel.name,
        "seen": [one.text for one in sights],
        CONNECTED_SAYS: sorted(there_in(sights)),
    }
    return Outcome(StepState.SETTLED, answer, login_name(), waiting)


def _let_type_the_name(context: Context, *, is_urgent: bool) -> None:
    name = context.channel_name
    why = "it may come back by itself; to offboard it all the same" if is_urgent else "to offboard"
    typed = context.dialogue.ask(f"{why}, type the name of the channel, {name}", flag="--yes")
    if typed != name:
        raise DeclinedError("nothing changed: that is not the name of the channel")


async def broadcasts(context: Context) -> Outcome:
    """Pause what is being sent, and name what is planned or paused."""
    state, clock = context.workspace.state, context.workspace.clock
    channel_id = context.channel.channel_id
    for one in broadcasts_ledger.of_channel(state, channel_id, Status.SENDING):
        try:
            await control.pause(state, one, login_name(), clock)
        except UsageError as error:
            # It came to its end by itself meanwhile.
            context.dialogue.detail(error.message)
        if sender_of(state, one.broadcast_id, clock):
            note = f"the sender of broadcast {one.broadcast_id} has not stopped yet"
            return Outcome(StepState.OPEN, {"sending": one.broadcast_id}, note=note)
    found = broadcasts_waiting(state, channel_id)
    return Outcome(StepState.SETTLED, found, note=_about_broadcasts(found))


def broadcasts_waiting(state: State, channel_id: int) -> dict[str, list[int]]:
    """The ids of the broadcasts of a channel that have not ended, by status."""
    waiting = (Status.SENDING, Status.PAUSED, Status.PLANNED)
    return {
        status.value: [
            one.broadcast_id for one in broadcasts_ledger.of_channel(state, channel_id, status)
        ]
        for status in waiting
    }


def _about_broadcasts(found: Mapping[str, list[int]]) -> str | None:
    told = [
        f"{status}: {', '.join(map(str, broadcast_ids))}"
        for status, broadcast_ids in found.items()
        if broadcast_ids
    ]
    if not told:
        return None
    return f"broadcasts {'; '.join(told)}; to end one for good: `wacoex broadcast cancel ID`"


async def backup(context: Context) -> Outcome:
    """Advise a backup, and ask whether there is one; none is needed to go on."""
    context.dialogue.note(text_of_backup())
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
    state, proved = context.workspace.state, context.records()["proof"]
    at = proved.answer.get("disconnected_at")
    if not isinstance(at, str):
        return skipped("nothing tells when it was disconnected")
    if proved.answer.get("proved_by") != EVENTS:
        journey_id, phone = context.journey.journey_id, context.channel.phone
        key = f"wacoex:offboard:{journey_id}"
        event = AccountEvent(key, OFFBOARDED_HERE, at, "wacoex offboard", phone=phone)
        with state.transaction():
            account_ledger.add(state, [event])
    found = inventory(state, context.channel, context.workspace.clock.now())
    answer = {
        "unlinked_at": at,
        "relink_from": to_text(from_text(at) + SYNC_TAKES_AT_MOST),
        "listed": [one.name for one, _ in found.devices],
    }
    return Outcome(StepState.SETTLED, answer)


async def archive(context: Context) -> Outcome:
    """Archive the channel; kept, hidden, and taken back by `channel restore`."""
    workspace, channel = context.workspace, context.channel
    if not channel.archived_at:
        channel = registry.archive_channel(workspace.state, channel.name, workspace.clock.now())
    return Outcome(StepState.SETTLED, {"archived_at": channel.archived_at})


OFFBOARD_STEPS = (
    Step("what-changes", "What changes, confirmed by name", Nature.ASKED),
    Step("broadcasts", "Broadcasts under way are paused", Nature.DONE),
    Step("backup", "A backup", Nature.ASKED),
    Step("route", "Disconnect it, in the app or in Meta Business Settings", Nature.ASKED),
    Step("proof", "The disconnection is proved", Nature.CHECKED),
    Step("unsubscribe", "The own app is detached from the account", Nature.DONE),
    Step("companions", "When companions can be linked again", Nature.DONE),
    Step("archive", "The channel is archived, its reminder stops", Nature.DONE),
)
OFFBOARD_ACTIONS: Mapping[str, Action] = {
    "what-changes": what_changes,
    "broadcasts": broadcasts,
    "backup": backup,
    "route": route,
    "proof": disconnected,
    "unsubscribe": unsubscribe,
    "companions": companions,
    "archive": archive,
}
_REFUSED, _TEMPORARY = 5, 6
_EXIT_OF = {StepState.FAILED: _REFUSED, StepState.OPEN: _TEMPORARY}


@dataclass(frozen=True)
class Offboarded:
    """How far it went. `error` is what ended it; everything settled before it is kept."""

    receipt: Receipt
    exit_code: int
    error: WacoexError | None = None


def offboard(
    workspace: Workspace, dialogue: Dialogue, channel: Channel, wishes: Wishes
) -> Offboarded:
    """Walk from the first step that is not settled; a channel that is archived was let go.

    Exit codes: 0 finished, 5 refused, 6 a step stays open, else that of the error. Raises
    UsageError for a channel that was archived otherwise, and what `demand_what_is_wished` raises.
    """
    finished = _finished(workspace.state, channel)
    if finished:
        return _offboarded(workspace, channel, finished, Walked((), None))
    if wishes.unsubscribe:
        demand_what_is_wished(workspace, channel)
    journey = _journey(workspace, channel)
    context = Context(workspace, dialogue, journey, channel.name, wishes)
    settled = [one for one in context.records().values() if one.state in GONE_THROUGH]
    if settled:
        dialogue.note(f"settled already: {', '.join(one.step for one in settled)}")

    def on_step(step: Step, outcome: Outcome) -> None:
        dialogue.note(f"{mark(outcome.state)}: {outcome.note or step.title}")

    try:
        walked = workspace.run(walk(context, OFFBOARD_STEPS, OFFBOARD_ACTIONS, on_step=on_step))
    except WacoexError as error:
        return _offboarded(workspace, channel, journey, Walked((), None), error)
    return _offboarded(workspace, channel, journey, walked)


def demand_what_is_wished(workspace: Workspace, channel: Channel) -> None:
    """Raise UsageError or CredentialError when `--unsubscribe` cannot be done."""
    channel.demand_waba_id()
    workspace.secrets.need("meta-token", channel.name)


def via(state: State, channel: Channel) -> Route:
    """Through whose signup a channel was connected, as far as is known."""
    connected = ledger.newest_journey(state, channel.channel_id, JourneyKind.CONNECT)
    if connected:
        return connected.via
    return Route.SIGNUP if channel.respondio_channel_id is None else Route.RESPONDIO


def _finished(state: State, channel: Channel) -> Journey | None:
    """The journey that let an archived channel go; None when there is something to do."""
    newest = ledger.newest_journey(state, channel.channel_id, JourneyKind.OFFBOARD)
    return newest if newest and newest.finished_at and channel.archived_at else None


def _journey(workspace: Workspace, channel: Channel) -> Journey:
    state = workspace.state
    with state.transaction():
        going_on = ledger.open_journey(state, channel.channel_id, JourneyKind.OFFBOARD)
        if going_on:
            return going_on
        registry.active(state, channel.name)
        return ledger.start(
            state,
            channel.channel_id,
            JourneyKind.OFFBOARD,
            via(state, channel),
            workspace.clock.now(),
        )


def _offboarded(
    workspace: Workspace,
    channel: Channel,
    journey: Journey,
    walked: Walked,
    error: WacoexError | None = None,
) -> Offboarded:
    state = workspace.state
    newest = ledger.newest_journey(state, channel.channel_id, JourneyKind.OFFBOARD) or journey
    records = ledger.records(state, newest.journey_id)
    receipt = Receipt(channel.name, newest, OFFBOARD_STEPS, records, walked.findings)
    if error is not None:
        return Offboarded(receipt, error.exit_status, error)
    stopped = records.get(walked.stopped_at) if walked.stopped_at else None
    return Offboarded(receipt, _EXIT_OF.get(stopped.state, 0) if stopped else 0)


async def preview(workspace: Workspace, channel: Channel, *, unsubscribe: bool) -> Receipt:
    """Each step as it is kept, or as it would go, and what speaks against it.

    Reads only: nothing is written here, at Meta or at respond.io, and no event is projected.
    Raises UsageError for an archived channel that is not being let go, and what
    `demand_what_is_wished` raises.
    """
    state, now = workspace.state, workspace.clock.now()
    if unsubscribe:
        demand_what_is_wished(workspace, channel)
    journey = ledger.open_journey(state, channel.channel_id, JourneyKind.OFFBOARD)
    records = ledger.records(state, journey.journey_id) if journey else {}
    kept = {name: one for name, one in records.items() if one.state in GONE_THROUGH}
    if journey is None:
        registry.active(state, channel.name)
        way = via(state, channel)
        journey = Journey(NOT_BEGUN, channel.channel_id, JourneyKind.OFFBOARD, way, to_text(now))
    would: dict[str, dict[str, object]] = {
        "what-changes": {
            "changes": list(CHANGES),
            "stays": list(STAYS),
        },
        "broadcasts": {**broadcasts_waiting(state, channel.channel_id)},
        "backup": {"advice": list(BACKUP)},
        "route": {
            "app": list(IN_THE_APP),
            "meta_business_settings": list(IN_META_BUSINESS_SETTINGS),
            "afterwards": list(afterwards(channel)),
        },
        "proof": {"seen": [one.text for one in await look(workspace, channel)]},
        "unsubscribe": {"would_detach": unsubscribe, "waba_id": channel.waba_id},
        "companions": {"listed": [one.name for one, _ in inventory(state, channel, now).devices]},
        "archive": {"would_archive": channel.name},
    }
    planned = {
        step.id: Record(step.id, StepState.OPEN, answer=would[step.id]) for step in OFFBOARD_STEPS
    }
    findings = check_connection(stored(workspace, channel), channel.name, now)
    return Receipt(channel.name, journey, OFFBOARD_STEPS, {**planned, **kept}, findings)
