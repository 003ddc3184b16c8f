"""What the log says: `events list` with what each kind of event does, and `mac`."""

from __future__ import annotations

import heapq
import itertools
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from wacoex_cli.channels.facts import CHANNELS
from wacoex_cli.channels.registry import known
from wacoex_cli.channels.store import AccountEvents, Channels, Signs, address_of_event
from wacoex_cli.contacts.stops import PERSONS
from wacoex_cli.errors import UsageError
from wacoex_cli.events.store import MAC, ActiveContacts, EventLog, Numbers, catch_up
from wacoex_cli.foundation.clock import moment_ago
from wacoex_cli.platforms.events import Event, Kind

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from datetime import datetime

    from wacoex_cli.events.store import PricedAnswers
    from wacoex_cli.foundation.state import State
    from wacoex_cli.foundation.workspace import Workspace

_SHOWN = (
    *("event_id", "kind", "source", "at", "contact", "message_id", "data"),
    *("phone", "phone_number_id", "waba_id", "respondio_channel_id"),
)
_SUMMED_UP = (
    *("status", "event", "value", "action", "type", "code", "reason", "initiated_by"),
    *("template_name", "decision", "old", "new"),
)


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


_OF_THE_ACCOUNT = Effect(
    *(False, False, False, False, False), "about the account or its settings, not a message"
)
_EFFECTS = {
    "message in": Effect(
        *(True, True, True, True, True),
        "a message from a contact opens the 24-hour window in which answers need no template",
    ),
    "message out": Effect(
        *(False, None, None, None, True),
        "a message sent through the API or respond.io opens no window;"
        " only the contact's answer does",
    ),
    "echo": Effect(
        *(False, False, False, True, True),
        "sent in the WhatsApp Business app; it counts as MAC even when the contact is new",
    ),
    "edit": Effect(
        *(False, False, False, True, None),
        "the contact changed a message; respond.io shows it as edited, or as unsupported",
    ),
    "revoke": Effect(
        *(None, None, None, None, None),
        "the contact took a message back; respond.io does not mention it",
    ),
    "unsupported": Effect(
        *(None, None, None, None, None),
        "its content did not arrive; read it in the app on the phone. wacoex counts it as MAC",
    ),
    "status": Effect(
        *(False, False, False, False, True),
        "news about one of our messages; the contact who got it counts as MAC (a monthly active"
        " contact)",
    ),
    "standby": Effect(
        *(None, None, None, None, True),
        "a copy of what another responder gets; that responder answers",
    ),
    "handover": Effect(
        *(False, False, False, False, False),
        "a conversation moved from one responder to another (Conversation Routing)",
    ),
    "history": Effect(
        *(False, False, False, None, None), "older messages, sent once after connecting"
    ),
    "contact_sync": Effect(
        *(False, False, False, None, False),
        "a change in the phone book of the phone; respond.io does not use it",
    ),
}


class ListedEvent(NamedTuple):
    """An event with the name of the channel it belongs to, as far as one is known."""

    event: Event
    channel: str | None

    @property
    def label(self) -> str:
        """What the effect depends on: the kind, and the direction of an ordinary message."""
        if self.event.kind is Kind.MESSAGE:
            return f"message {'out' if self.event.data.get('direction') == 'out' else 'in'}"
        return self.event.kind.value

    @property
    def effect(self) -> Effect:
        """What the event does to the conversation with its contact."""
        return _EFFECTS.get(self.label, _OF_THE_ACCOUNT)

    def to_json(self) -> dict[str, object]:
        """The entry of `events list --json`."""
        effect = self.effect._asdict()
        del effect["note"]
        event = {name: getattr(self.event, name) for name in _SHOWN}
        return {**event, "channel": self.channel, **effect}

    def summary(self) -> str:
        """A few words on what it says, such as `PARTNER_REMOVED PRIMARY_INACTIVITY SYSTEM`.

        What has no kind of its own begins with the name of its webhook field.
        """
        data: Mapping[str, object] = self.event.data
        words = [str(data[name]) for name in _SUMMED_UP if isinstance(data.get(name), str | int)]
        if self.event.kind in (Kind.MESSAGE, Kind.STANDBY) and not data.get("status"):
            words.insert(0, str(data.get("direction", "in")))
        if isinstance(field := data.get("field"), str):
            words.insert(0, field)
        if isinstance(unclear := data.get("unclear"), list):
            words.append(f"(not understood: {', '.join(map(str, unclear))})")
        return " ".join(words)


def list_events(
    workspace: Workspace,
    *,
    kinds: Sequence[str] | None,
    since: str | None,
    channel: str | None,
    most: int,
) -> list[ListedEvent]:
    """The newest events first. With a channel those of its number and of its whole account.

    `kinds` and `since` (24h, 7d, 2026-11-01) are as a person writes them. Raises UsageError for
    what they do not say, and for an unknown channel.
    """
    named = {kind.value: kind for kind in Kind}
    for word in kinds or ():
        if word not in named:
            raise UsageError(
                f"`--kind {word}` is not a kind of event",
                hint=f"the kinds are {', '.join(named)}",
                code="unknown_kind",
            )
    wanted = frozenset(named[word] for word in kinds) if kinds else None
    zone = workspace.settings.timezone or "UTC"
    moment = moment_ago(since, zone, workspace.clock.now()) if since else None
    state = workspace.state
    catch_up(state, (CHANNELS,), workspace.clock)
    log, name = EventLog(state), _namer(state)
    if channel is None:
        found = log.find(kinds=wanted, since=moment, most=most)
    else:
        chosen = known(state, channel)
        wanted = frozenset(Kind) if wanted is None else wanted
        accounts = filter(None, (chosen.waba_id, *chosen.former("waba_id")))
        own = (*Signs(state).addresses_for(chosen), *(f"waba_id:{waba_id}" for waba_id in accounts))
        others = wanted - {Kind.ACCOUNT_UPDATE}
        of_it = log.find(kinds=others, since=moment, addresses=own, most=most)
        # Which channel these are about takes more than an address to know.
        about_it = []
        if Kind.ACCOUNT_UPDATE in wanted:
            updates = AccountEvents(state).of_channels([chosen])[chosen.channel_id]
            about_it = log.with_keys([update.event_key for update in updates], since=moment)
        in_order = heapq.merge(
            of_it, about_it, key=lambda event: (event.at, event.event_id), reverse=True
        )
        found = itertools.islice(in_order, most)
    return [ListedEvent(event, name(event)) for event in found]


def notes(shown: Sequence[ListedEvent], kinds: Iterable[str] = ()) -> Mapping[str, Effect]:
    """What each sort of event about a person does, in the order of first appearance.

    After those that are shown come those of `kinds` of which no event is there.
    """
    found = {listed.label: listed.effect for listed in shown}
    absent = dict.fromkeys(kinds)
    for listed in shown:
        absent.pop(listed.event.kind.value, None)
    for kind in absent:
        # A message has two sorts, `message in` and `message out`.
        found |= {name: effect for name, effect in _EFFECTS.items() if name.split()[0] == kind}
    return {name: effect for name, effect in found.items() if effect != _OF_THE_ACCOUNT}


def _namer(state: State) -> Callable[[Event], str | None]:
    """Names the channel of an event; None where none is known. An account of several names none."""
    of_address: dict[str, str] = {}
    of_account: dict[str, list[str]] = {}
    former: dict[str, list[str]] = {}
    channels = Channels(state).all_channels()
    addresses = Signs(state).addresses_by_channel(channels)
    for channel in channels:
        of_address |= dict.fromkeys(addresses[channel.channel_id], channel.name)
        of_account.setdefault(channel.waba_id or "", []).append(channel.name)
        for waba_id in channel.former("waba_id"):
            former.setdefault(waba_id, []).append(channel.name)
    accounts = former | of_account

    def name(event: Event) -> str | None:
        address = address_of_event(event)
        if address is not None:
            return of_address.get(address)
        account = event.waba_id or event.data.get("entry_id")
        names = accounts.get(account, ()) if account else ()
        return names[0] if len(names) == 1 else None

    return name


_MONTH = re.compile(r"[0-9]{4}-(0[1-9]|1[0-2])")


@dataclass(frozen=True)
class Count:
    """Contacts that were active, and those of them that only echoes made active.

    `channel` is None for numbers that belong to no channel here.
    """

    channel: str | None
    contacts: int
    echo_only: int


@dataclass(frozen=True)
class CountedAnswers:
    """Answers through the API that were delivered in a month, as the statuses of Meta price them.

    `free` are those of the 1,000 that each number has, `charged` those beyond. `channel` is None
    for numbers that belong to no channel here.
    """

    channel: str | None
    free: int
    charged: int


@dataclass(frozen=True)
class Mac:
    """The monthly active contacts of one month, as far as the events at hand show.

    A contact that several channels share is one contact in the whole. `counted_since` is the
    oldest event of the log that counts, UTC; None when there is none.
    """

    month: str
    contacts: int
    echo_only: int
    by_channel: tuple[Count, ...]
    counted_since: datetime | None
    answers: tuple[CountedAnswers, ...] = ()


def count_mac(workspace: Workspace, month: str | None, channel: str | None) -> Mac:
    """Count the active contacts of a month such as `2026-11`, None for the present one (UTC).

    With a channel only those of its number. Raises UsageError for no month, for one in the
    future, and for an unknown channel.
    """
    present = workspace.clock.now().isoformat()[:7]
    if month is None:
        month = present
    if not _MONTH.fullmatch(month):
        raise UsageError(
            f"`--month {month}` is not a month", hint=f"write it as {present}", code="bad_month"
        )
    if month > present:
        raise UsageError(
            f"`--month {month}` is in the future",
            hint=f"the current month is {present} (UTC)",
            code="bad_month",
        )
    state = workspace.state
    catch_up(state, (CHANNELS, PERSONS, MAC), workspace.clock)
    channels = [known(state, channel)] if channel else Channels(state).all_channels()
    addresses = Signs(state).addresses_by_channel(channels)
    names: dict[str | None, set[str]] = {
        each.name: set(addresses[each.channel_id]) for each in channels
    }
    active = ActiveContacts(state)
    seen = active.addresses(month, names[channel] if channel else None)
    whose = {name: own & seen for name, own in names.items()}
    if channel is None:
        whose[None] = seen.difference(*names.values())
    *found, whole = active.count(month, [*whose.values(), seen])
    counts = [
        Count(name, *people)
        for (name, own), people in zip(whose.items(), found, strict=True)
        if own
    ]
    numbers = Numbers(state, addresses) if channel else None
    answers = _answers_by_channel(EventLog(state).answers(month, numbers), names)
    if channel is not None:
        answers.pop(None, None)
    given = [CountedAnswers(name, *sums) for name, sums in answers.items() if any(sums)]
    since = EventLog(state).oldest_at(MAC.kinds)
    return Mac(month, *whole, tuple(counts), since, tuple(given))


def _answers_by_channel(
    answers: Sequence[PricedAnswers], names: Mapping[str | None, set[str]]
) -> dict[str | None, tuple[int, int]]:
    """Free answers and charged ones of each channel in order; of None those of no channel."""
    of_address: dict[str, str | None] = {}
    for name, own in names.items():
        for address in own:
            of_address.setdefault(address, name)
    found: dict[str | None, tuple[int, int]] = {**dict.fromkeys(names, (0, 0)), None: (0, 0)}
    places = {name: place for place, name in enumerate(names)}
    for entry in answers:
        owners = (of_address[address] for address in entry.addresses if address in of_address)
        owner = min(owners, key=places.__getitem__, default=None)
        free, charged = found[owner]
        found[owner] = (free + entry.free, charged + entry.charged)
    return found
