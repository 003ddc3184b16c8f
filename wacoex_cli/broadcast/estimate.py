"""How long a broadcast takes, how many are new at respond.io, how much of a limit it takes."""

from __future__ import annotations

import asyncio
import math
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from wacoex_cli.channels.facts import CHANNELS
from wacoex_cli.channels.model import Channel, Provider
from wacoex_cli.channels.store import Signs
from wacoex_cli.errors import RefusedError, WacoexError, counted
from wacoex_cli.events.store import MAC, catch_up
from wacoex_cli.foundation.clock import Clock, to_text
from wacoex_cli.ledger.figures import Month
from wacoex_cli.ledger.model import Broadcast
from wacoex_cli.ledger.rows import Rows
from wacoex_cli.platforms.events import read_moment
from wacoex_cli.platforms.respondio import CREATING, NOT_FOUND, RespondIO, contact_by
from wacoex_cli.sending.providers import Means, SendingProvider
from wacoex_cli.throughput.store import Paces
from wacoex_cli.throughput.throttle import (
    MESSAGES_PER_SECOND,
    UNREPORTED_MESSAGES_PER_SECOND,
    messaging_limit,
    sending_seconds,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from wacoex_cli.foundation.state import State


@dataclass(frozen=True)
class SendingWay:
    """How long one provider takes. Rates in messages per second."""

    provider: Provider
    messages_per_second: float
    seconds: float
    why: str

    def to_json(self) -> dict[str, object]:
        """An entry of `ways` of the estimate."""
        return {
            "provider": self.provider.value,
            "messages_per_second": self.messages_per_second,
            "seconds": round(self.seconds, 1),
            "why": self.why,
        }


def way_through(
    state: State,
    provider: SendingProvider,
    broadcast_id: int,
    people: int,
    rate: float,
    clock: Clock,
) -> SendingWay:
    """How long a provider takes for this many people of a broadcast, at `rate` at most."""
    allowed, why = MESSAGES_PER_SECOND, "Meta's limit for a number in Coexistence"
    if provider.endpoint is not None:
        stored = (
            Paces(state).load(provider.endpoint, UNREPORTED_MESSAGES_PER_SECOND, clock).stated_limit
        )
        limit = provider.stated_limit() or stored
        allowed = min(allowed, limit or UNREPORTED_MESSAGES_PER_SECOND)
        why = f"what {provider.kind.known_as} says it allows"
        if limit is None:
            why = f"until {provider.kind.known_as} says how much it allows"
    if rate < allowed:
        allowed, why = rate, "the rate that you set"
    seconds = sending_seconds(people, allowed)
    if provider.respondio is not None:
        new_contacts = Rows(state, broadcast_id).count_without_contact()
        creating = new_contacts / provider.respondio.calls_per_second(CREATING)
        if creating > seconds:
            new = counted(new_contacts, "contact")
            seconds, why = creating, f"{why}; creating {new} takes longer"
    return SendingWay(provider.kind, allowed, seconds, why)


_ASKING_SECONDS = 10.0

# Of more people than these, what can be asked in that time would show next to nothing.
_WORTH_ASKING = 500

_AT_ONCE = 5


@dataclass(frozen=True)
class NewMacs:
    """People who were not active this month, as far as anybody knows: at most this many.

    `active` are those of the list whom events and broadcasts know as active. respond.io was
    asked about `looked_up` of the rest, and knew `active_there` as active. `created` are no
    contacts yet, so they are new for certain.
    """

    recipients: int
    active: int
    created: int = 0
    looked_up: int = 0
    active_there: int = 0

    @property
    def most(self) -> int:
        """The new ones, those included about whom nothing is known."""
        return self.recipients - self.active - self.active_there

    def to_json(self) -> dict[str, object]:
        """The `new_macs_basis` of the estimate."""
        return {
            "active_by_events": self.active,
            "asked_at_respondio": self.looked_up,
            "active_by_respondio": self.active_there,
            "not_known": max(0, self.recipients - self.active - self.created - self.looked_up),
        }


async def estimate(
    state: State,
    provider: SendingProvider,
    channel: Channel,
    broadcast: Broadcast,
    means: Means,
    clock: Clock,
) -> dict[str, Any]:
    """How long either way takes, and how many are new at respond.io.

    With its API in `means` it is asked for up to ten seconds, unless too many are new.
    """
    number, people, rate = broadcast.broadcast_id, broadcast.recipients, broadcast.rate
    ways = [
        way_through(state, way, number, people, rate, clock) for way in (provider, *means.others)
    ]
    catch_up(state, (CHANNELS, MAC), clock)
    begins = clock.now().replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    month = Month(state, number, channel, Signs(state).addresses_for(channel), begins)
    new_contacts = Rows(state, number).count_without_contact()
    macs = NewMacs(people, month.count_active(), new_contacts)
    respondio = means.respondio
    if respondio is not None and 0 < macs.most - new_contacts <= _WORTH_ASKING:
        most = int(_ASKING_SECONDS * respondio.calls_per_second("contact/channels"))
        looked_up, active = await _ask(respondio, month.unknown(most), begins, clock)
        macs = replace(macs, looked_up=looked_up, active_there=active)
    return {
        "rate": ways[0].messages_per_second,
        "seconds": round(ways[0].seconds, 1),
        "finish_at": to_text(clock.now() + timedelta(seconds=ways[0].seconds)),
        "new_macs": macs.most,
        "new_macs_basis": macs.to_json(),
        "ways": [way.to_json() for way in ways],
    }


def limit_share(tier: object, people: int, used: int) -> dict[str, object]:
    """The portfolio's limit of people in 24 hours, and how much of it this broadcast takes."""
    limit = messaging_limit(tier)
    why = None
    if limit is None:
        why = "Meta has not said it" if tier is None else f"Meta says {tier}"
    elif limit == math.inf:
        why = "unlimited"
    return {
        "messaging_limit": None if limit in (None, math.inf) else int(limit),
        "used_in_24_hours": used,
        "share": None if limit is None else round(people / limit, 4),
        "why": why,
    }


async def _ask(
    respondio: RespondIO, phones: Sequence[str], begins: datetime, clock: Clock
) -> tuple[int, int]:
    """How many were asked about, and how many of them were active since `begins`.

    What goes wrong ends the asking: it is an estimate, no reason to plan nothing.
    """
    looked_up = active = 0
    until, since = clock.monotonic() + _ASKING_SECONDS, to_text(begins)
    for start in range(0, len(phones), _AT_ONCE):
        if clock.monotonic() >= until:
            break
        part = phones[start : start + _AT_ONCE]
        try:
            last = await asyncio.gather(*(_last_message_at(respondio, phone) for phone in part))
        except WacoexError:
            break
        looked_up += len(part)
        active += sum(at is not None and at >= since for at in last)
    return looked_up, active


async def _last_message_at(respondio: RespondIO, phone: str) -> str | None:
    """When somebody's last message on any channel was, either way; None for no contact."""
    try:
        channels = await respondio.contact_channels(contact_by(phone))
    except RefusedError as error:
        if error.code != NOT_FOUND:
            raise
        return None
    return max(
        filter(None, (read_moment(channel.get("lastMessageTime")) for channel in channels)),
        default=None,
    )
