"""How channels are connected, from what is stored: account events and facts. Asks nobody."""

from __future__ import annotations

from typing import TYPE_CHECKING

from wacoex_cli.channels import account, account_ledger, facts_ledger
from wacoex_cli.channels.connection import FACTS, connection_of
from wacoex_cli.channels.facts import values_of

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from wacoex_cli.channels.account import AccountEvent
    from wacoex_cli.channels.connection import Connection
    from wacoex_cli.channels.model import Channel
    from wacoex_cli.foundation.state import State


def account_events(
    state: State, channels: Sequence[Channel]
) -> dict[int, tuple[AccountEvent, ...]]:
    """What Meta told about the accounts of these channels, by channel_id."""
    return account.by_channel(channels, account_ledger.all_account_events(state))


def connections(state: State, channels: Sequence[Channel], now: datetime) -> dict[int, Connection]:
    """How each of these channels is connected, by channel_id."""
    events = account_events(state, channels)
    facts = facts_ledger.facts_by_channel(state, FACTS)
    return {
        one.channel_id: connection_of(
            one, events[one.channel_id], values_of(facts.get(one.channel_id, ())), now
        )
        for one in channels
    }
