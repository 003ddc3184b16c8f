"""Whether the expected partner is there, where an override leads, which ids have drifted. Pure."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import urlsplit

from wacoex_cli.channels.facts import AppsSeen
from wacoex_cli.channels.model import META
from wacoex_cli.findings.model import Evidence

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence

    from wacoex_cli.channels.facts import ChannelFacts, WorkspaceList
    from wacoex_cli.channels.model import Channel
    from wacoex_cli.platforms.answers import App, ListedNumber
    from wacoex_cli.platforms.events import Event
    from wacoex_cli.platforms.respondio import WorkspaceChannel

PARTNER_NAME = "respond.io"
NO_PROOF = (
    "Meta has no list of partners: these are signs, not proof;"
    " WhatsApp Manager, Account settings, Partners shows them"
)
# Each app may be a responder, and with Conversation Routing only one gets a message (WX211).
_OTHER_APP = "another app, perhaps one more responder"
_SHOWN_USERS = 5
_RESPONDIO_ID = "respondio_channel_id"
# Some countries write a number with a digit more or less between country code and subscriber.
_SAME_END = 8


class Expected(NamedTuple):
    """The partner that should hold the WABA: an app id, or a name that its app's name contains."""

    app_id: str | None = None
    name: str = PARTNER_NAME

    @property
    def label(self) -> str:
        """What it is called in findings and in the JSON output."""
        return self.app_id or self.name


class DriftKind(StrEnum):
    """How the state file and what is seen differ."""

    GONE = "gone"
    ANOTHER = "another"
    FORMER = "former"


class Drift(NamedTuple):
    """One id of the state file that is not what is seen; `use` is the id to take instead."""

    kind: DriftKind
    name: str
    stored: str
    text: str
    source: str
    observed_at: str
    use: str | None = None

    @property
    def evidence(self) -> Evidence:
        """The difference as a finding and `partner check` show it."""
        return Evidence(self.text, self.source, self.observed_at)


class Routed(NamedTuple):
    """What our app heard in 7 days of conversations that another responder handles.

    `messages` are those of contacts, the newest at `newest_at` (RFC 3339, UTC); `handovers` are
    the conversations that changed their responder.
    """

    messages: int = 0
    newest_at: str | None = None
    handovers: tuple[Event, ...] = ()


class PartnerRows(NamedTuple):
    """What is known here about the partners of a channel.

    `own_app_id` is the configured app, `public_url` where `events listen` is reached. The events
    are those of its templates; `respondio_ids` belong to our channels, this one and the others.
    """

    expected: Expected
    own_app_id: str | None = None
    public_url: str | None = None
    template_events: tuple[Event, ...] = ()
    respondio_ids: frozenset[int] = frozenset()
    routed: Routed = Routed()


def expected(channel: Channel, own_app_id: str | None = None) -> Expected:
    """The app that `--partner-app-id` names, else our own, else respond.io.

    `own_app_id` is an app of ours that numbers are connected with; a channel that is at
    respond.io is not connected with it.
    """
    if channel.partner_app_id:
        return Expected(channel.partner_app_id)
    if own_app_id and channel.respondio_channel_id is None:
        return Expected(own_app_id)
    return Expected()


def is_expected(app: App, partner: Expected) -> bool:
    """Whether an app is the partner's: by its id, or by the name that it contains."""
    if partner.app_id:
        return app.id == partner.app_id
    return partner.name in (app.name or "").lower()


def is_seen(partner: Expected, seen: AppsSeen | None) -> bool | None:
    """Whether the partner's app gets the webhooks of the WABA; None when that is not known."""
    if seen is None or seen.apps is None:
        return None
    return any(is_expected(app, partner) for app in seen.apps)


def evidence(
    partner: Expected, seen: AppsSeen, values: Mapping[str, Any], observed_at: str
) -> list[Evidence]:
    """Everything that shows who holds the WABA (Meta: WhatsApp Business Account).

    `values` are the channel's facts, read at `observed_at`. None of it is proof: several partners
    may hold one number.
    """
    seen_now = []
    if seen.apps == ():
        seen_now.append("no app gets the webhooks of the account")
    own_app_id = values.get("token.app_id")
    for app in seen.apps or ():
        role = "your own app" if app.id and app.id == own_app_id else _OTHER_APP
        if is_expected(app, partner):
            role = "the expected partner"
        override = f", with an override to {place(app.override)}" if app.override else ""
        seen_now.append(f"{app.label}, {role}, gets the webhooks{override}")
    users = seen.users or ()
    for user in users[:_SHOWN_USERS]:
        seen_now.append(f"assigned to {user.name}, tasks {', '.join(user.tasks) or 'not known'}")
    if len(users) > _SHOWN_USERS:
        seen_now.append(f"assigned to {len(users) - _SHOWN_USERS} more users")
    return [
        *(Evidence(text, META, seen.observed_at) for text in seen_now),
        *(Evidence(text, META, observed_at) for text in _field_texts(values)),
    ]


def _field_texts(values: Mapping[str, Any]) -> Iterator[str]:
    owner = values.get("waba.owner_business_info")
    if isinstance(owner, dict):
        yield f"the account belongs to {_business(owner)}"
    behalf = values.get("waba.on_behalf_of_business_info")
    if isinstance(behalf, dict):
        status = f", {behalf['status']}" if behalf.get("status") else ""
        yield f"on_behalf_of_business_info names {_business(behalf)}{status}"
    shared = values.get("waba.is_shared_with_partners")
    if isinstance(shared, bool):
        yield f"is_shared_with_partners is {str(shared).lower()}"


def _business(node: Mapping[str, Any]) -> str:
    name, business_id = node.get("name"), node.get("id")
    if name and business_id:
        return f"{name} ({business_id})"
    return str(name or business_id or "a business without a name")


def place(url: str) -> str:
    """The host that a callback leads to; its path may hold a key of somebody."""
    return _host(url) or "an address that cannot be read"


def leads_to(url: str, homes: Iterable[str | None], *, is_partner: bool) -> bool:
    """Whether a callback leads to one of the addresses, or to the partner's own domain."""
    host = _host(url)
    is_at_home = host in {_host(home) for home in homes if home}
    is_with_partner = is_partner and (host == PARTNER_NAME or host.endswith(f".{PARTNER_NAME}"))
    return bool(host) and (is_at_home or is_with_partner)


def _host(url: str) -> str:
    try:
        return (urlsplit(url).hostname or "").lower()
    except ValueError:
        return ""


def drifts(facts: ChannelFacts, rows: PartnerRows) -> list[Drift]:
    """How the stored ids differ from what respond.io and Meta list, as far as they were asked."""
    listed, read_at = facts.listed, facts.observed_at(("webhook_configuration",))
    return [
        *(at_respondio(facts.channel, listed, rows.respondio_ids) if listed else ()),
        *at_meta(facts.channel, facts.values, facts.numbers, read_at),
    ]


def at_respondio(
    channel: Channel, listed: WorkspaceList, ours: Collection[int] = ()
) -> list[Drift]:
    """How the stored respond.io channel differs from the workspace's list.

    `ours` are the ids of our channels: what belongs to another is not offered instead.
    """
    number = channel.respondio_channel_id
    if number is None or listed.channels is None:
        return []

    def drift(
        kind: DriftKind, stored: int, text: str, candidate: WorkspaceChannel | None = None
    ) -> Drift:
        use, at = str(candidate.id) if candidate else None, listed.observed_at
        return Drift(kind, _RESPONDIO_ID, str(stored), text, "respondio", at, use)

    own = next((entry for entry in listed.channels if entry.id == number), None)
    former = set(channel.former(_RESPONDIO_ID))
    if own:
        found = [
            drift(
                DriftKind.FORMER,
                entry.id,
                f"{_named(entry)} is still in the respond.io workspace: an earlier one",
            )
            for entry in listed.channels
            if str(entry.id) in former
        ]
        if own.source and not own.is_whatsapp:
            text = f"respond.io has {_named(own)}, which is not a WhatsApp channel"
            found.insert(0, drift(DriftKind.ANOTHER, own.id, text))
        return found
    text = f"channel {number} is not in the respond.io workspace"
    # Only a single channel may have taken the place.
    free = [entry for entry in listed.channels if entry.is_whatsapp and entry.id not in ours]
    candidates = [entry for entry in free if str(entry.id) in former] or free
    if len(candidates) != 1:
        return [drift(DriftKind.GONE, number, text)]
    [candidate] = candidates
    was_its_own = str(candidate.id) in former
    which = "an earlier id of this channel" if was_its_own else "no channel of wacoex"
    text = f"{text}, but {_named(candidate)} is, {which}"
    return [drift(DriftKind.ANOTHER, number, text, candidate)]


def at_meta(
    channel: Channel,
    values: Mapping[str, Any],
    numbers: Sequence[ListedNumber] | None,
    observed_at: str,
) -> list[Drift]:
    """How the stored number differs from what Meta shows for its phone_number_id.

    `values` are facts of the number, `numbers` all that Meta lists in the WABA, where it was
    asked (Meta: phone number).
    """
    stored = channel.phone_number_id
    if stored is None:
        return []
    ids = {number.phone_number_id: number.shown for number in numbers or ()}
    shown = ids.get(stored) or str(values.get("display_phone_number") or "")
    if numbers is not None and stored not in ids:
        own = next((key for key, text in ids.items() if _is_same(text, channel.phone)), None)
        text = f"phone_number_id {stored} is not in the account {channel.waba_id}"
        if own:
            text = f"{text}: there {channel.phone} is {own}"
        kind = DriftKind.ANOTHER if own else DriftKind.GONE
        return [Drift(kind, "phone_number_id", stored, text, "meta", observed_at, own)]
    if shown and not _is_same(shown, channel.phone):
        text = f"Meta shows {stored} as {shown}, the state file as {channel.phone}"
        return [Drift(DriftKind.ANOTHER, "phone", channel.phone, text, "meta", observed_at)]
    return []


def _named(entry: WorkspaceChannel) -> str:
    source = f", {entry.source}" if entry.source else ""
    return f"channel {entry.id} ({entry.name or 'no name'}{source})"


def _is_same(shown: str, phone: str) -> bool:
    ours, theirs = ("".join(filter(str.isdigit, text)) for text in (phone, shown))
    return ours[-_SAME_END:] == theirs[-_SAME_END:]
