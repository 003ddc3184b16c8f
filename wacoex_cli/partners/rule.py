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
    from wacoex_cli.platforms.events import Event
    from wacoex_cli.platforms.meta_answers import App, ListedNumber
    from wacoex_cli.platforms.replies import WorkspaceChannel

PARTNER_NAME = "respond.io"


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


class PartnerRows(NamedTuple):
    """What is known here about the partners of a channel.

    `own_app_id` is the configured app, `public_url` where `events listen` is reached. The events
    are those of its templates; `other_respondio_ids` belong to our other channels.
    """

    expected: Expected
    own_app_id: str | None = None
    public_url: str | None = None
    template_events: tuple[Event, ...] = ()
    other_respondio_ids: tuple[int, ...] = ()


NO_PROOF = (
    "Meta has no list of partners: this is evidence, no proof;"
    " WhatsApp Manager, Account settings, Partners shows them"
)
_SHOWN_USERS = 5
_RESPONDIO_ID = "respondio_channel_id"
# Some countries write a number with a digit more or less between country code and subscriber.
_SAME_END = 8


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
    return any(is_expected(one, partner) for one in seen.apps)


def evidence(
    partner: Expected, seen: AppsSeen, values: Mapping[str, Any], observed_at: str
) -> list[Evidence]:
    """Everything that tells who holds the WABA (Meta: WhatsApp Business Account).

    `values` are the channel's facts, read at `observed_at`. None of it is proof: several partners
    may hold one number.
    """
    now_seen = [*_app_texts(partner, seen, values.get("token.app_id")), *_user_texts(seen)]
    return [
        *(Evidence(text, META, seen.observed_at) for text in now_seen),
        *(Evidence(text, META, observed_at) for text in _field_texts(values)),
    ]


def _app_texts(partner: Expected, seen: AppsSeen, own_app_id: object) -> Iterator[str]:
    if seen.apps == ():
        yield "no app gets the webhooks of the account"
    for app in seen.apps or ():
        role = "our own app" if app.id and app.id == own_app_id else "another app"
        if is_expected(app, partner):
            role = "the expected partner"
        override = f", with an override to {place(app.override)}" if app.override else ""
        yield f"{app.label}, {role}, gets the webhooks{override}"


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


def _user_texts(seen: AppsSeen) -> Iterator[str]:
    users = seen.users or ()
    for user in users[:_SHOWN_USERS]:
        yield f"assigned to {user.name}, tasks {', '.join(user.tasks) or 'not told'}"
    if len(users) > _SHOWN_USERS:
        yield f"assigned to {len(users) - _SHOWN_USERS} more users"


def _business(told: Mapping[str, Any]) -> str:
    name, business_id = told.get("name"), told.get("id")
    if name and business_id:
        return f"{name} ({business_id})"
    return str(name or business_id or "a business without a name")


def place(url: str) -> str:
    """The host that a callback leads to; its path may hold a key of somebody."""
    return _host(url) or "an address that cannot be read"


def leads_to(url: str, homes: Iterable[str | None], *, is_partner: bool) -> bool:
    """Whether a callback leads to one of the addresses, or to the partner's own domain."""
    host = _host(url)
    is_at_home = host in {_host(one) for one in homes if one}
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
        *(at_respondio(facts.channel, listed, rows.other_respondio_ids) if listed else ()),
        *at_meta(facts.channel, facts.values, facts.numbers, read_at),
    ]


def at_respondio(
    channel: Channel, listed: WorkspaceList, others: Collection[int | None] = ()
) -> list[Drift]:
    """How the stored respond.io channel differs from the workspace's list.

    `others` are the ids of our other channels: what belongs to them is not offered instead.
    """
    number = channel.respondio_channel_id
    if number is None or listed.channels is None:
        return []
    by_id = {one.id: one for one in listed.channels}
    if number in by_id:
        return list(_beside(channel, by_id[number], listed))
    candidate = _candidate(channel, listed, others)
    text = f"channel {number} is not in the respond.io workspace"
    if candidate is None:
        return [_respondio(DriftKind.GONE, number, text, listed)]
    was_its_own = str(candidate.id) in channel.former(_RESPONDIO_ID)
    which = "an earlier id of this channel" if was_its_own else "no channel of wacoex"
    text = f"{text}, but {_named(candidate)} is, {which}"
    return [_respondio(DriftKind.ANOTHER, number, text, listed, str(candidate.id))]


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
        return [_not_listed(channel, stored, ids, observed_at)]
    if shown and not _is_same(shown, channel.phone):
        text = f"Meta shows {stored} as {shown}, the state file as {channel.phone}"
        return [Drift(DriftKind.ANOTHER, "phone", channel.phone, text, "meta", observed_at)]
    return []


def _not_listed(channel: Channel, stored: str, ids: Mapping[str, str], observed_at: str) -> Drift:
    own = next((one for one, shown in ids.items() if _is_same(shown, channel.phone)), None)
    text = f"phone_number_id {stored} is not in the account {channel.waba_id}"
    if own is None:
        return Drift(DriftKind.GONE, "phone_number_id", stored, text, "meta", observed_at)
    text = f"{text}: there {channel.phone} is {own}"
    return Drift(DriftKind.ANOTHER, "phone_number_id", stored, text, "meta", observed_at, own)


def _beside(channel: Channel, own: WorkspaceChannel, listed: WorkspaceList) -> Iterator[Drift]:
    if own.source and not own.is_whatsapp:
        text = f"respond.io has {_named(own)}, which is no WhatsApp channel"
        yield _respondio(DriftKind.ANOTHER, own.id, text, listed)
    former = set(channel.former(_RESPONDIO_ID))
    for one in listed.channels or ():
        if str(one.id) in former:
            text = f"{_named(one)} is still in the respond.io workspace: an earlier one"
            yield _respondio(DriftKind.FORMER, one.id, text, listed)


def _candidate(
    channel: Channel, listed: WorkspaceList, others: Collection[int | None]
) -> WorkspaceChannel | None:
    """The one channel that may have taken the place; None when there are several or none."""
    free = [one for one in listed.channels or () if one.is_whatsapp and one.id not in others]
    former = [one for one in free if str(one.id) in channel.former(_RESPONDIO_ID)]
    found = former or free
    return found[0] if len(found) == 1 else None


def _respondio(
    kind: DriftKind, number: int, text: str, listed: WorkspaceList, use: str | None = None
) -> Drift:
    return Drift(kind, _RESPONDIO_ID, str(number), text, "respondio", listed.observed_at, use)


def _named(one: WorkspaceChannel) -> str:
    source = f", {one.source}" if one.source else ""
    return f"channel {one.id} ({one.name or 'no name'}{source})"


def _is_same(shown: str, phone: str) -> bool:
    ours, theirs = _digits(phone), _digits(shown)
    return ours[-_SAME_END:] == theirs[-_SAME_END:]


def _digits(text: str) -> str:
    return "".join(one for one in text if one.isdigit())
