"""Whether a channel is disconnected, as each source that can be asked shows it just now."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from wacoex_cli.channels.access import meta_for, respondio_for
from wacoex_cli.channels.checks import RETURNS_WITHIN
from wacoex_cli.channels.connection import FACTS, ConnectionState, is_settling
from wacoex_cli.channels.facts import stored_facts
from wacoex_cli.channels.model import RE_REGISTERED
from wacoex_cli.errors import CredentialError, RefusedError, WacoexError
from wacoex_cli.foundation.clock import from_text, to_text
from wacoex_cli.platforms.meta_answers import is_not_visible

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping
    from datetime import datetime

    from wacoex_cli.channels.connection import Connection
    from wacoex_cli.channels.model import Channel
    from wacoex_cli.foundation.workspace import Workspace
    from wacoex_cli.platforms.meta import Meta

EVENTS, META, RESPONDIO = "events", "meta", "respondio"
_FIELDS = ("id", "is_on_biz_app", "platform_type", "last_onboarded_time")


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
    return next(
        (
            one
            for one in sights
            if one.verdict is Verdict.GONE
            or (one.verdict is Verdict.HIDDEN and one.source in there_before)
        ),
        None,
    )


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
        node = await meta.phone_number(phone_number_id, _FIELDS)
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
        is_there = number in {one.id for one in listed}
        verdict = Verdict.THERE if is_there else Verdict.HIDDEN
        text = f"channel {number} is {'in' if is_there else 'not in'} the respond.io workspace"
    return Sight(RESPONDIO, verdict, text, to_text(workspace.clock.now()))


def _unanswered(error: WacoexError) -> Verdict:
    return Verdict.NO_ACCESS if isinstance(error, CredentialError) else Verdict.UNCERTAIN
