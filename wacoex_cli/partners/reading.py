"""What Meta and respond.io show of partners, read without ever failing.

await read(meta, channel, now, values) -> Seen      subscribed_apps, assigned_users
await read_apps(meta, waba_id, now) -> Seen         subscribed_apps alone: one call
await read_numbers(meta, channel) -> list[Node]     the numbers of the WABA, None if unreadable
await read_respondio(respondio, now) -> Listed      the channels of the workspace
restricted_templates(state, channel, now)           template events of the last 30 days
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from wacoex_cli.errors import CredentialError, RefusedError, TemporaryError, WacoexError
from wacoex_cli.events.store import EventLog
from wacoex_cli.foundation.clock import to_text
from wacoex_cli.partners.account_checks import STANDS_FOR
from wacoex_cli.partners.model import App, Listed, Seen, User, WorkspaceChannel
from wacoex_cli.platforms.events import Kind
from wacoex_cli.platforms.respondio_replies import identity

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from wacoex_cli.channels.model import Channel
    from wacoex_cli.foundation.state import State
    from wacoex_cli.platforms.events import Event
    from wacoex_cli.platforms.meta import Meta, Node
    from wacoex_cli.platforms.respondio import RespondIO


async def read(meta: Meta, channel: Channel, now: datetime, values: Mapping[str, Any]) -> Seen:
    """The apps and, where the access allows it, the users of the channel's WABA.

    `values` are facts of the channel: the users are those of the portfolio that owns the WABA.
    Never raises for what Meta answers (Meta: subscribed_apps, assigned users).
    """
    if channel.waba_id is None:
        return Seen(to_text(now), why=f"channel `{channel.name}` has no waba_id")
    owner = values.get("waba.owner_business_info")
    owner_id = str(owner.get("id") or "") if isinstance(owner, dict) else ""
    # Imported only here: whoever looks at what is stored does not wait for anything.
    import asyncio

    seen, users = await asyncio.gather(
        read_apps(meta, channel.waba_id, now), _users(meta, channel.waba_id, owner_id)
    )
    return Seen(seen.observed_at, seen.apps, users, seen.why, seen.error)


async def read_apps(meta: Meta, waba_id: str, now: datetime) -> Seen:
    """The apps that get the webhooks of a WABA. Never raises for what Meta answers."""
    try:
        rows = await meta.subscribed_apps(waba_id)
        return Seen(to_text(now), tuple(map(app_in, rows)))
    except WacoexError as error:
        return Seen(to_text(now), why=error.message, error=error)


async def read_numbers(meta: Meta, channel: Channel) -> list[Node] | None:
    """The numbers that Meta lists in the channel's WABA; None where it does not tell."""
    if channel.waba_id is None:
        return None
    try:
        return await meta.phone_numbers(channel.waba_id)
    except WacoexError:
        return None


async def read_respondio(respondio: RespondIO, now: datetime) -> Listed:
    """The channels of the workspace. Never raises for what respond.io answers."""
    try:
        rows = await respondio.list_channels()
    except WacoexError as error:
        return Listed(to_text(now), why=error.message, error=error)
    channels = tuple(
        WorkspaceChannel(number, str(row.get("name") or ""), str(row.get("source") or ""))
        for row in rows
        if (number := identity(row.get("id"))) is not None
    )
    if rows and not channels:
        unreadable = TemporaryError("respond.io's list of channels cannot be read")
        return Listed(to_text(now), why=unreadable.message, error=unreadable)
    return Listed(to_text(now), channels)


def restricted_templates(state: State, channel: Channel, now: datetime) -> Sequence[Event]:
    """What became of templates of the channel's WABA in the last 30 days, oldest first."""
    if channel.waba_id is None:
        return []
    found = EventLog(state).find(
        kinds={Kind.TEMPLATE_STATUS},
        since=now - STANDS_FOR,
        addresses=[f"waba_id:{channel.waba_id}"],
        newest_first=False,
    )
    return list(found)


async def _users(meta: Meta, waba_id: str, owner_id: str) -> tuple[User, ...] | None:
    if not owner_id:
        return None
    try:
        rows = await meta.assigned_users(waba_id, owner_id)
    except (CredentialError, RefusedError, TemporaryError):
        return None
    return tuple(map(_user, rows))


def app_in(row: Node) -> App:
    """The app that an entry of `subscribed_apps` tells of.

    Raises TemporaryError for an entry that names none.
    """
    told = row.get("whatsapp_business_api_data")
    data = told if isinstance(told, dict) else {}
    app_id, name = _text(data.get("id")), _text(data.get("name"))
    if app_id is None and name is None:
        raise TemporaryError("Meta's list of apps cannot be read", code="unusable_answer")
    return App(app_id, name, _text(row.get("override_callback_uri")))


def _user(row: Node) -> User:
    tasks = row.get("tasks")
    return User(
        _text(row.get("name")) or _text(row.get("id")) or "a user without a name",
        tuple(map(str, tasks)) if isinstance(tasks, list) else (),
    )


def _text(value: object) -> str | None:
    return str(value) if isinstance(value, str | int) and str(value) else None
