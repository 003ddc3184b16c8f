"""What each step of offboarding does."""

from __future__ import annotations

from typing import TYPE_CHECKING

from wacoex_cli.broadcast import send
from wacoex_cli.broadcast.model import Status
from wacoex_cli.broadcast.store import Broadcasts
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
from wacoex_cli.onboarding import offboard_texts
from wacoex_cli.onboarding.access import skipped
from wacoex_cli.onboarding.model import Outcome, StepState
from wacoex_cli.onboarding.offboard_proof import CONNECTED_SAYS, sights_now, there_in
from wacoex_cli.onboarding.offboard_sight import EVENTS, is_not_visible, may_return, stored

if TYPE_CHECKING:
    from collections.abc import Mapping

    from wacoex_cli.foundation.state import State
    from wacoex_cli.onboarding.journey import Context

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
    dialogue.note(offboard_texts.what_changes())
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
    for one in Broadcasts(state).of_channel(channel_id, Status.SENDING):
        try:
            await send.pause(state, one, login_name(), clock)
        except UsageError as error:
            # It came to its end by itself meanwhile.
            context.dialogue.detail(error.message)
        if Broadcasts(state).sender(one.broadcast_id, clock):
            note = f"the sender of broadcast {one.broadcast_id} has not stopped yet"
            return Outcome(StepState.OPEN, {"sending": one.broadcast_id}, note=note)
    found = broadcasts_waiting(state, channel_id)
    return Outcome(StepState.SETTLED, found, note=_about_broadcasts(found))


def broadcasts_waiting(state: State, channel_id: int) -> dict[str, list[int]]:
    """The ids of the broadcasts of a channel that have not ended, by status."""
    waiting = (Status.SENDING, Status.PAUSED, Status.PLANNED)
    return {
        status.value: [one.broadcast_id for one in Broadcasts(state).of_channel(channel_id, status)]
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
    context.dialogue.note(offboard_texts.advice())
    if context.wishes.is_confirmed:
        return skipped(_NOBODY_ASKED)
    if context.dialogue.confirm("is the backup made?", flag="--yes"):
        return Outcome(StepState.SETTLED, {"made": True}, login_name())
    return Outcome(StepState.SKIPPED, {"reason": "advised, not made"}, login_name())


async def route(context: Context) -> Outcome:
    """Show both ways to disconnect, and ask which one is taken."""
    context.dialogue.note(offboard_texts.routes(context.channel))
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
