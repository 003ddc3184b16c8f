"""What is told about offboarding: what it changes, what stays, and the clicks. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from wacoex_cli.channels.model import Channel

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
MAY_LAG = (
    "Meta may show a healthy number for a while after the disconnection, and names no time."
    " This step stays open; the clicks are in `wacoex explain offboarding`"
)


def afterwards(channel: Channel) -> tuple[str, ...]:
    """What is left to do at the partner once the number is disconnected."""
    if channel.respondio_channel_id is None:
        return ()
    return (
        f"in respond.io: Settings, Channels: delete channel {channel.respondio_channel_id};"
        " its contacts stay",
    )


def what_changes() -> str:
    """What to read before the name is typed."""
    return "\n".join([*_list("what changes:", CHANGES), *_list("what stays:", STAYS)])


def advice() -> str:
    """The backup that is advised."""
    return "\n".join(_list("make a backup first:", BACKUP))


def routes(channel: Channel) -> str:
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
