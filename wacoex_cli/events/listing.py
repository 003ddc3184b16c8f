"""The events of the log, as `events list` shows them."""

from __future__ import annotations

import heapq
import itertools
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from wacoex_cli.channels.evidence import account_event
from wacoex_cli.channels.model import address_of, concerns
from wacoex_cli.channels.store import Channels, Signs
from wacoex_cli.errors import UsageError
from wacoex_cli.events import ledger, rule
from wacoex_cli.events.model import Kind

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from datetime import datetime

    from wacoex_cli.channels.model import Channel
    from wacoex_cli.events.model import Event
    from wacoex_cli.foundation.state import State

_TELLING = ("status", "event", "value", "action", "type", "code", "reason", "initiated_by")


@dataclass(frozen=True, slots=True)
class Listed:
    """An event with the name of the channel it belongs to, as far as one is known."""

    event: Event
    channel: str | None

    def to_json(self) -> dict[str, object]:
        """The entry of `events list --json`."""
        one = self.event
        effect = asdict(rule.effect(one))
        del effect["note"]
        return {
            "event_id": one.event_id,
            "kind": one.kind.value,
            "source": one.source.value,
            "at": one.at,
            "channel": self.channel,
            "phone": one.phone,
            "phone_number_id": one.phone_number_id,
            "waba_id": one.waba_id,
            "respondio_channel_id": one.respondio_channel_id,
            "contact": one.contact,
            "message_id": one.message_id,
            "data": dict(one.data),
            **effect,
        }

    def summary(self) -> str:
        """A few words on what it says, such as `PARTNER_REMOVED PRIMARY_INACTIVITY SYSTEM`."""
        data = self.event.data
        words = [str(data[name]) for name in _TELLING if isinstance(data.get(name), str | int)]
        if self.event.kind is Kind.MESSAGE:
            words.insert(0, str(data.get("direction", "in")))
        return " ".join(words)


def kinds_named(words: Sequence[str] | None) -> frozenset[Kind] | None:
    """The kinds of these names, None for none. Raises UsageError for an unknown one."""
    known = {kind.value: kind for kind in Kind}
    for word in words or ():
        if word not in known:
            raise UsageError(
                f"`--kind {word}` is no kind of event",
                hint=f"there are {', '.join(known)}",
                code="unknown_kind",
            )
    return frozenset(known[word] for word in words) if words else None


def list_events(
    state: State,
    *,
    kinds: frozenset[Kind] | None,
    since: datetime | None,
    channel: Channel | None,
    most: int,
) -> list[Listed]:
    """The newest events first. With a channel those of its number and of its whole account."""
    if channel is None:
        found = ledger.find_events(state, kinds=kinds, since=since, most=most)
    else:
        found = itertools.islice(_of_channel(state, channel, kinds, since, most), most)
    names = _Names(state)
    return [Listed(event, names.of(event)) for event in found]


def _of_channel(
    state: State,
    channel: Channel,
    kinds: frozenset[Kind] | None,
    since: datetime | None,
    most: int,
) -> Iterator[Event]:
    wanted = frozenset(Kind) if kinds is None else kinds
    own = Signs(state).addresses_for(channel)
    accounts = filter(None, (channel.waba_id, *channel.former("waba_id")))
    addresses = (*own, *(f"waba_id:{one}" for one in accounts))
    told = ledger.find_events(
        state,
        kinds=wanted - {Kind.ACCOUNT_UPDATE},
        since=since,
        addresses=addresses,
        most=most,
    )
    # Which channel these are about takes more than an address to tell.
    updates = ledger.find_events(state, kinds=wanted & {Kind.ACCOUNT_UPDATE}, since=since)
    about_it = (one for one in updates if concerns(channel, account_event(one)))
    return heapq.merge(told, about_it, key=lambda event: (event.at, event.event_id), reverse=True)


def notes(shown: Iterable[Listed]) -> Mapping[str, rule.Effect]:
    """What each sort of event about a person does, in the order of first appearance."""
    found = {rule.label(one.event): rule.effect(one.event) for one in shown}
    return {name: effect for name, effect in found.items() if effect != rule.OF_THE_ACCOUNT}


class _Names:
    """Which channel an address belongs to. An account with several numbers names none."""

    def __init__(self, state: State) -> None:
        self._of_address: dict[str, str] = {}
        of_account: dict[str, list[str]] = {}
        former: dict[str, list[str]] = {}
        for channel in Channels(state).all_channels():
            for address in Signs(state).addresses_for(channel):
                self._of_address[address] = channel.name
            of_account.setdefault(channel.waba_id or "", []).append(channel.name)
            for waba_id in channel.former("waba_id"):
                former.setdefault(waba_id, []).append(channel.name)
        self._of_account = {
            waba_id: names[0] for waba_id, names in (former | of_account).items() if len(names) == 1
        }

    def of(self, event: Event) -> str | None:
        """The name of the channel, None when it is not known or not one."""
        address = address_of(
            phone_number_id=event.phone_number_id,
            phone=event.phone,
            respondio_channel_id=event.respondio_channel_id,
        )
        if address is not None:
            return self._of_address.get(address)
        account = event.waba_id or event.data.get("entry_id")
        return self._of_account.get(str(account)) if account else None
