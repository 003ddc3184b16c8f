"""The events of the log, as `events list` shows them, and what each kind does."""

from __future__ import annotations

import heapq
import itertools
from typing import TYPE_CHECKING, NamedTuple

from wacoex_cli.channels.model import concerns
from wacoex_cli.channels.store import Channels, Signs, account_event, address_of_event
from wacoex_cli.errors import UsageError
from wacoex_cli.events.store import EventLog
from wacoex_cli.platforms.events import Kind

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from datetime import datetime

    from wacoex_cli.channels.model import Channel
    from wacoex_cli.foundation.state import State
    from wacoex_cli.platforms.events import Event


_SUMMED_UP = ("status", "event", "value", "action", "type", "code", "reason", "initiated_by")


class Effect(NamedTuple):
    """What an event of a kind does; None where neither Meta nor respond.io states it.

    `creates_contact` means: if there is none yet. `note` is the sentence that explains it.
    Sources: respond.io: WhatsApp Coexistence (echoes, edited messages); Meta: customer service
    window.
    """

    opens_window: bool | None
    triggers_automation: bool | None
    starts_conversation: bool | None
    creates_contact: bool | None
    counts_as_mac: bool | None
    note: str


_INBOUND = Effect(
    *(True, True, True, True, True),
    "a message from a contact opens the 24-hour window in which answers need no template",
)
_OUTBOUND = Effect(
    *(False, None, None, None, True),
    "a message sent through the API or respond.io opens no window; only the contact's answer does",
)
_OF_THE_ACCOUNT = Effect(
    *(False, False, False, False, False), "about the account or its settings, not a message"
)
_EFFECTS = {
    Kind.ECHO: Effect(
        *(False, False, False, True, True),
        "sent in the WhatsApp Business app; it counts as MAC even when the contact is new",
    ),
    Kind.EDIT: Effect(
        *(False, False, False, True, None),
        "the contact changed a message; respond.io shows it as edited, or as unsupported",
    ),
    Kind.REVOKE: Effect(
        *(None, None, None, None, None),
        "the contact took a message back; respond.io is silent on it",
    ),
    Kind.UNSUPPORTED: Effect(
        *(None, None, None, None, None),
        "its content did not pass; read it in the app on the phone. wacoex counts it as MAC",
    ),
    Kind.STATUS: Effect(
        *(False, False, False, False, True),
        "news of a message of ours; the contact it was sent or delivered to counts as MAC",
    ),
    Kind.HISTORY: Effect(
        *(False, False, False, None, None), "older messages, told once after connecting"
    ),
    Kind.CONTACT_SYNC: Effect(
        *(False, False, False, None, False),
        "a change in the phone book of the phone; respond.io takes nothing from it",
    ),
}


class ListedEvent(NamedTuple):
    """An event with the name of the channel it belongs to, as far as one is known."""

    event: Event
    channel: str | None

    @property
    def effect(self) -> Effect:
        """What the event does to the conversation with its contact."""
        if self.event.kind is Kind.MESSAGE:
            return _OUTBOUND if self.event.data.get("direction") == "out" else _INBOUND
        return _EFFECTS.get(self.event.kind, _OF_THE_ACCOUNT)

    @property
    def label(self) -> str:
        """What the effect depends on: the kind, and the direction of an ordinary message."""
        if self.event.kind is Kind.MESSAGE:
            return f"message {'out' if self.event.data.get('direction') == 'out' else 'in'}"
        return self.event.kind.value

    def to_json(self) -> dict[str, object]:
        """The entry of `events list --json`."""
        event, effect = self.event, self.effect._asdict()
        del effect["note"]
        return {
            "event_id": event.event_id,
            "kind": event.kind.value,
            "source": event.source.value,
            "at": event.at,
            "channel": self.channel,
            "phone": event.phone,
            "phone_number_id": event.phone_number_id,
            "waba_id": event.waba_id,
            "respondio_channel_id": event.respondio_channel_id,
            "contact": event.contact,
            "message_id": event.message_id,
            "data": event.data,
            **effect,
        }

    def summary(self) -> str:
        """A few words on what it says, such as `PARTNER_REMOVED PRIMARY_INACTIVITY SYSTEM`."""
        data: Mapping[str, object] = self.event.data
        words = [str(data[name]) for name in _SUMMED_UP if isinstance(data.get(name), str | int)]
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
) -> list[ListedEvent]:
    """The newest events first. With a channel those of its number and of its whole account."""
    if channel is None:
        found = EventLog(state).find(kinds=kinds, since=since, most=most)
    else:
        found = itertools.islice(_of_channel(state, channel, kinds, since, most), most)
    names = _Names(state)
    return [ListedEvent(event, names.of(event)) for event in found]


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
    found = EventLog(state).find(
        kinds=wanted - {Kind.ACCOUNT_UPDATE},
        since=since,
        addresses=addresses,
        most=most,
    )
    # Which channel these are about takes more than an address to tell.
    updates = EventLog(state).find(kinds=wanted & {Kind.ACCOUNT_UPDATE}, since=since)
    about_it = (one for one in updates if concerns(channel, account_event(one)))
    return heapq.merge(found, about_it, key=lambda event: (event.at, event.event_id), reverse=True)


def notes(shown: Iterable[ListedEvent]) -> Mapping[str, Effect]:
    """What each sort of event about a person does, in the order of first appearance."""
    found = {listed.label: listed.effect for listed in shown}
    return {name: effect for name, effect in found.items() if effect != _OF_THE_ACCOUNT}


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
        address = address_of_event(event)
        if address is not None:
            return self._of_address.get(address)
        account = event.waba_id or event.data.get("entry_id")
        return self._of_account.get(account) if account else None
