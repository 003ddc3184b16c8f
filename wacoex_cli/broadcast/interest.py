"""What broadcasts wait to hear about, for whoever goes and asks (`events pull`)."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from wacoex_cli.broadcast import figures
from wacoex_cli.broadcast.store import Broadcasts
from wacoex_cli.events.consumers import Interest

if TYPE_CHECKING:
    from datetime import datetime

    from wacoex_cli.channels.model import Channel
    from wacoex_cli.foundation.state import State

_RECENT = timedelta(days=7)
_MOST_MESSAGES = 500


def interest(state: State, channel: Channel, now: datetime) -> Interest:
    """People whose fate is unclear, then those sent to within a week; messages without an end."""
    since = now - _RECENT
    phones = figures.people_to_ask_about(state, channel.channel_id, since)
    messages = figures.messages_to_ask_about(
        state, channel.channel_id, since, _MOST_MESSAGES, Broadcasts(state).state_id
    )
    return Interest(tuple(phones), messages)
