"""Connecting a channel again, at another partner or the same: a new journey, and what it changes.

The ids change with it: a number that is connected again gets a new WhatsApp Business Account, and
a new channel at respond.io (respond.io: help article about Coexistence).
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

from wacoex_cli.broadcast.store import Broadcasts
from wacoex_cli.channels.account import RE_REGISTERED
from wacoex_cli.channels.connection import ConnectionState
from wacoex_cli.channels.model import ID_NAMES
from wacoex_cli.channels.removal import RETURNS_WITHIN
from wacoex_cli.channels.stored_connection import connections
from wacoex_cli.errors import DeclinedError, RefusedError, UsageError
from wacoex_cli.events.projection import catch_up
from wacoex_cli.events.projections import CHANNELS
from wacoex_cli.foundation.clock import from_text, to_text
from wacoex_cli.foundation.person import login_name
from wacoex_cli.onboarding import ledger
from wacoex_cli.onboarding.checks import FOUR_STEPS
from wacoex_cli.onboarding.model import JourneyKind, Nature, Outcome, Step, StepState

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from wacoex_cli.channels.connection import Connection
    from wacoex_cli.channels.model import Channel
    from wacoex_cli.foundation.clock import Clock
    from wacoex_cli.foundation.state import State
    from wacoex_cli.onboarding.journey import Context
    from wacoex_cli.onboarding.model import Journey, Route
    from wacoex_cli.terminal.dialogue import Dialogue

_NOW: Mapping[ConnectionState | None, str] = {
    ConnectionState.CONNECTED: ", and still is: broadcasts stop when it is disconnected",
    ConnectionState.REMOVED: ", and its partner was removed since",
}
STEP = Step("switching", "Connecting it again", Nature.ASKED)
"""What was agreed to before the journey began; kept in it beside the steps of `connect`."""


@dataclass(frozen=True)
class Before:
    """What a channel had until now. `templates` are those it sent broadcasts with."""

    connection: Connection
    ids: Mapping[str, str]
    templates: tuple[str, ...]


def begin_again(context: Context, via: Route | None = None) -> Journey:
    """Start another journey of a channel that went through one; a person is told and asked first.

    `context.journey` is the finished one; its route is taken unless `via` names another. The old
    ids stay with the channel until a later step writes the new ones, and are then kept as former.

    Raises:
        RefusedError: WhatsApp is about to bring the old partner back by itself.
        DeclinedError: the person said no. UsageError: there is nobody to ask.
    """
    workspace, channel = context.workspace, context.channel
    state, now = workspace.state, workspace.clock.now()
    before = look_back(state, channel, workspace.clock)
    _demand_no_return(before.connection, channel.name, now)
    for line in told(channel, before):
        context.dialogue.note(line)
    if not _is_agreed(context.dialogue, channel):
        raise DeclinedError("declined", hint="nothing was changed")
    outcome = Outcome(
        StepState.SETTLED,
        {"steps": list(FOUR_STEPS), "ids": dict(before.ids), "templates": list(before.templates)},
        login_name(),
    )
    with state.transaction():
        journey = ledger.start(
            state, channel.channel_id, JourneyKind.CONNECT, via or context.journey.via, now
        )
        ledger.record(state, journey.journey_id, STEP.id, outcome, now)
    return journey


def look_back(state: State, channel: Channel, clock: Clock) -> Before:
    """What the channel has now and will have no more, from what is stored."""
    catch_up(state, (CHANNELS,), clock)
    connection = connections(state, [channel], clock.now())[channel.channel_id]
    ids = {name: getattr(channel, name) for name in ID_NAMES}
    templates = (
        json.loads(one.template)
        for one in Broadcasts(state).of_channel(channel.channel_id, status=None)
    )
    return Before(
        connection,
        {name: str(value) for name, value in ids.items() if value is not None},
        tuple(sorted({f"{one['name']}/{one['language']}" for one in templates})),
    )


def told(channel: Channel, before: Before) -> list[str]:
    """What to read before a channel is connected again."""
    now = _NOW.get(before.connection.state, "")
    lines = [
        f"channel {channel.name} was connected before{now}",
        "to change the partner, in this order:",
        *(f"  {number}. {step}" for number, step in enumerate(FOUR_STEPS, start=1)),
        "it gets a new waba_id and a new channel id at respond.io; the old ids stay known here,"
        " and what was told under them still belongs to the channel"
        + (f": {_listed(before.ids)}" if before.ids else ""),
    ]
    if before.templates:
        lines.append(f"templates to make again: {', '.join(before.templates)}")
    else:
        lines.append("templates are to be made again; `wacoex template list` shows the old ones")
    return lines


def _is_agreed(dialogue: Dialogue, channel: Channel) -> bool:
    question = f"Connect `{channel.name}` ({channel.phone}) again, with new ids?"
    try:
        return dialogue.confirm(question, flag="--yes")
    except UsageError as error:
        raise UsageError(
            f"channel `{channel.name}` was connected before, and nobody is there to say"
            " whether to connect it again",
            hint=f"run `wacoex connect {channel.name}` in a terminal",
            code=error.code,
        ) from error


def _demand_no_return(connection: Connection, channel: str, now: datetime) -> None:
    """While WhatsApp reconnects by itself, another partner would end that (WX204)."""
    returns = connection.state is ConnectionState.RECONNECTING or (
        connection.is_lost and connection.reason == RE_REGISTERED
    )
    if not returns or connection.since is None:
        return
    until = from_text(connection.since) + RETURNS_WITHIN
    if now < until:
        raise RefusedError(
            f"channel `{channel}` is being reconnected by WhatsApp itself",
            hint=f"wait until {to_text(until)}, then see `wacoex status {channel}`;"
            " connecting now would end that",
            code="reconnecting",
        )


def _listed(ids: Mapping[str, str]) -> str:
    return ", ".join(f"{name} {value}" for name, value in ids.items())
