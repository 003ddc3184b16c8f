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
from wacoex_cli.events import ledger
from wacoex_cli.events.model import Kind
from wacoex_cli.foundation.clock import to_text
from wacoex_cli.partners.account_checks import STANDS_FOR
from wacoex_cli.partners.model import Listed, Seen

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from wacoex_cli.channels.model import Channel
    from wacoex_cli.events.model import Event
    from wacoex_cli.foundation.state import State
    from wacoex_cli.platforms.meta import Meta
    from wacoex_cli.platforms.meta_answers import ListedNumber, User
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
        return Seen(to_text(now), rows)
    except WacoexError as error:
        return Seen(to_text(now), why=error.message, error=error)


async def read_numbers(meta: Meta, channel: Channel) -> tuple[ListedNumber, ...] | None:
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
    return Listed(to_text(now), rows)


def restricted_templates(state: State, channel: Channel, now: datetime) -> Sequence[Event]:
    """What became of templates of the channel's WABA in the last 30 days, oldest first."""
    if channel.waba_id is None:
        return []
    found = ledger.find_events(
        state,
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
    return rows
