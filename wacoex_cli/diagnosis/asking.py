"""Asking every source about channels, side by side: none can spoil another."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, TypeVar

from wacoex_cli.broadcast.model import Status
from wacoex_cli.broadcast.store import Broadcasts
from wacoex_cli.channels import access, facts_ledger
from wacoex_cli.channels.model import Provider
from wacoex_cli.diagnosis.asked import Asked, keep
from wacoex_cli.diagnosis.gather import BESIDE, Gatherer
from wacoex_cli.diagnosis.judge import blames_the_token
from wacoex_cli.diagnosis.snapshot import META, RESPONDIO, Failed
from wacoex_cli.errors import CredentialError, TemporaryError, UsageError, WacoexError
from wacoex_cli.events import subscribe
from wacoex_cli.partners import reading as partners
from wacoex_cli.templates.model import Template
from wacoex_cli.templates.reading import find_template

if TYPE_CHECKING:
    from collections.abc import Coroutine, Sequence
    from datetime import datetime

    from wacoex_cli.channels.facts import Fact
    from wacoex_cli.channels.model import Channel
    from wacoex_cli.diagnosis.asked import Pair
    from wacoex_cli.foundation.state import State
    from wacoex_cli.foundation.workspace import Workspace

Answer = TypeVar("Answer")

_NO_ACCESS = frozenset({"credentials_missing", "channel_incomplete"})
_PATIENCE_SECONDS = 2.0
_TO_BE_SENT = frozenset({Status.PLANNED, Status.PAUSED, Status.SENDING})
_MOST_TEMPLATES = 5


async def ask(
    workspace: Workspace,
    channels: Sequence[Channel],
    stored: dict[int, list[Fact]],
    now: datetime,
) -> Asked:
    """Ask Meta and respond.io about these channels, side by side; keep what Meta said."""
    state = workspace.state
    gatherer = Gatherer(workspace, stored, facts_ledger.calls_in_hour(state, now), now)
    asked = Asked()
    slots = asyncio.Semaphore(BESIDE)

    async def others(channel: Channel) -> None:
        async with slots:
            await _ask_more(workspace, channel, asked)

    more = asyncio.gather(*(others(one) for one in channels))
    asked.readings, _, _ = await asyncio.gather(
        gatherer.read_all(channels), _ask_respondio(workspace, channels, asked, now), more
    )
    asked.clock_skew_seconds = gatherer.clock_skew_seconds
    keep(state, channels, asked.readings, gatherer.calls, now)
    _tell_failures(asked, channels)
    return asked


def _tell_failures(asked: Asked, channels: Sequence[Channel]) -> None:
    """What the token is to blame for is told as that (WX701), and only once."""
    for channel in channels:
        reading = asked.readings[channel.channel_id]
        if any(one.is_available for one in reading.facts):
            asked.asked.add(META)
        if reading.lacks_token or any(map(blames_the_token, reading.failures)):
            asked.failed = [
                one for one in asked.failed if (one.source, one.channel) != (META, channel.name)
            ]
        else:
            asked.failed += [Failed(META, channel.name, error) for error in reading.failures]


async def _ask_more(workspace: Workspace, channel: Channel, asked: Asked) -> None:
    """What Meta knows beside number and account: our app's webhooks, templates to be sent."""
    look = subscribe.look_if_ours(workspace, channel, patience_seconds=_PATIENCE_SECONDS)
    asked.subscriptions[channel.channel_id] = await _attempt(workspace, channel, META, look, asked)
    waiting = _waiting(workspace.state, channel)
    if waiting:
        found = await _attempt(
            workspace, channel, META, _templates(workspace, channel, waiting), asked
        )
        asked.templates[channel.channel_id] = found or ()


def _waiting(state: State, channel: Channel) -> list[Template]:
    """The templates of broadcasts that Meta is still to be sent, as they were planned.

    What was planned for respond.io is checked against its own copy before it is sent.
    """
    broadcasts = Broadcasts(state).of_channel(channel.channel_id, None)
    through_meta = (one for one in broadcasts if one.provider is Provider.META)
    texts = (one.template for one in through_meta if one.status in _TO_BE_SENT)
    found = [Template.from_json(json.loads(one)) for one in dict.fromkeys(texts)]
    return found[:_MOST_TEMPLATES]


async def _templates(
    workspace: Workspace, channel: Channel, waiting: Sequence[Template]
) -> tuple[Pair, ...]:
    meta = access.meta_for(workspace, channel, patience_seconds=_PATIENCE_SECONDS)
    found = []
    for one in waiting:
        try:
            current = await find_template(meta, channel.demand_waba_id(), one.name, one.language)
        except UsageError as error:
            if error.code != "unknown_template":
                raise
        else:
            found.append((one, current))
    return tuple(found)


async def _ask_respondio(
    workspace: Workspace, channels: Sequence[Channel], asked: Asked, now: datetime
) -> None:
    """The channels of each workspace that is involved, once for each token."""
    by_token: dict[str, list[Channel]] = {}
    clients = {}
    for channel in channels:
        if channel.respondio_channel_id is None:
            continue
        try:
            client = access.respondio_for(workspace, channel)
        except CredentialError:
            continue
        clients[client.caller] = client
        by_token.setdefault(client.caller, []).append(channel)

    async def one(caller: str, owners: Sequence[Channel]) -> None:
        operation = partners.read_respondio(clients[caller], now)
        listed = await _attempt(workspace, owners[0], RESPONDIO, operation, asked)
        if listed is None:
            return
        asked.listed |= {owner.channel_id: listed for owner in owners}
        if listed.error is not None:
            asked.asked.discard(RESPONDIO)
            asked.failed += [Failed(RESPONDIO, owner.name, listed.error) for owner in owners]

    await asyncio.gather(*(one(caller, owners) for caller, owners in by_token.items()))


async def _attempt(
    workspace: Workspace,
    channel: Channel,
    source: str,
    operation: Coroutine[object, object, Answer],
    asked: Asked,
) -> Answer | None:
    """What an operation gives, or None: without access that is all, else it is a failure."""
    limit = workspace.settings.status_seconds_per_channel
    try:
        async with asyncio.timeout(limit):
            answer = await operation
    except TimeoutError:
        error: WacoexError = TemporaryError(
            f"no answer within {limit:g} seconds",
            hint="try again; `-vv` shows each request and how long it took",
            code="too_slow",
        )
    except (CredentialError, UsageError) as refused:
        if refused.code in _NO_ACCESS:
            return None
        error = refused
    except WacoexError as failed:
        error = failed
    else:
        asked.asked.add(source)
        return answer
    asked.failed.append(Failed(source, channel.name, error))
    return None
