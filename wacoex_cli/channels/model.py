"""A channel, what Meta said about its account, and the facts that are known of it. Pure."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any, NamedTuple

from wacoex_cli.errors import UsageError
from wacoex_cli.foundation.phone_numbers import spellings

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping


ID_NAMES = ("phone_number_id", "waba_id", "respondio_channel_id")
"""The ids of a channel that change when its number is connected again."""
RE_REGISTERED = "USER_RE_REGISTERED"
"""The reason of a removal that WhatsApp usually takes back by itself."""
OFFBOARDED_HERE = "WACOEX_OFFBOARDED"
"""No event of Meta's: `wacoex offboard` saw the proof, where Meta reported no removal."""
META = "meta"
NOT_AVAILABLE = "not_available"
WABA_PREFIX = "waba."
BUSINESS_NAME = "verified_name"
"""The name that people see of a business (Meta: phone number)."""
TOKEN_PREFIX = "token."  # noqa: S105 - the beginning of a fact's name
PHONE_NUMBER_FIELDS = (
    "status", "is_on_biz_app", "platform_type", "health_status", "quality_rating", "quality_score",
    "throughput", "whatsapp_business_manager_messaging_limit", "display_phone_number",
    "verified_name", "name_status", "new_name_status", "code_verification_status", "account_mode",
    "last_onboarded_time", "is_official_business_account", "official_business_account",
    "webhook_configuration", "is_pin_enabled", "is_preverified_number", "search_visibility",
    "country_code", "country_dial_code", "username",
)  # fmt: skip
"""Fields of the phone number node but `certificate`, which is a secret (Meta: phone number)."""
JUDGED_FIELDS = ("name_status", "new_name_status", "code_verification_status", "account_mode")
"""Those of them that say what must be corrected before sending (WX214)."""
WABA_FIELDS = (
    "name", "status", "account_review_status", "business_verification_status", "country",
    "currency", "timezone_id", "creation_time", "ownership_type", "owner_business_info",
    "on_behalf_of_business_info", "is_shared_with_partners", "primary_funding_id",
    "primary_business_location", "health_status", "is_enabled_for_insights",
    "marketing_messages_onboarding_status", "disable_marketing_messages_on_cloud_api",
    "whatsapp_business_manager_messaging_limit", "message_template_namespace",
)  # fmt: skip
"""Fields of the WhatsApp Business Account node (Meta: WhatsApp Business Account)."""
SUBSCRIBED_APPS = "subscribed_apps"
"""The apps that get the webhooks of the account, each with `id`, `name` and, where it has one,
`override` of its callback (Meta: subscribed_apps)."""
TOKEN_FIELDS = ("is_valid", "type", "app_id", "expires_at", "data_access_expires_at", "scopes")
"""What `debug_token` says about the token in use (Meta: debug_token)."""
# The names of facts in the order of lists.
_IN_LISTS = (
    *PHONE_NUMBER_FIELDS,
    *(f"{TOKEN_PREFIX}{name}" for name in TOKEN_FIELDS),
    *(f"{WABA_PREFIX}{name}" for name in (*WABA_FIELDS, SUBSCRIBED_APPS)),
)
_LISTED = frozenset(_IN_LISTS)


class Provider(StrEnum):
    """The API through which wacoex sends and reads."""

    META = "meta"
    RESPONDIO = "respondio"

    @property
    def known_as(self) -> str:
        """Its name for people."""
        return "respond.io" if self is Provider.RESPONDIO else "Meta"


@dataclass(frozen=True)
class Details:
    """What a person says about a channel; ids are written as Meta and respond.io write them."""

    phone: str
    phone_number_id: str | None = None
    waba_id: str | None = None
    respondio_channel_id: int | None = None
    provider: Provider = Provider.META
    owner: str | None = None
    timezone: str | None = None
    partner_app_id: str | None = None


class FormerId(NamedTuple):
    """An id that a channel had `until` then (RFC 3339, UTC); `name` is one of `ID_NAMES`."""

    name: str
    value: str
    until: str


@dataclass(frozen=True)
class Channel(Details):
    """A channel as the state file knows it. Times are RFC 3339 in UTC."""

    channel_id: int = 0
    name: str = ""
    is_in_use: bool = False
    created_at: str = ""
    archived_at: str | None = None
    former_ids: tuple[FormerId, ...] = ()

    def has_or_had(self, name: str, value: str, at: str) -> bool:
        """Whether that id is the channel's now, or still was at that moment (RFC 3339, UTC)."""
        return value == getattr(self, name) or any(
            (old.name, old.value) == (name, value) and at <= old.until for old in self.former_ids
        )

    def former(self, name: str) -> tuple[str, ...]:
        """The values an id had before, oldest first."""
        return tuple(old.value for old in self.former_ids if old.name == name)

    def demand_phone_number_id(self) -> str:
        """The id of the phone number; raises UsageError when it is not known."""
        return self._demanded(self.phone_number_id, "phone_number_id", "--phone-number-id")

    def demand_waba_id(self) -> str:
        """The id of the WhatsApp Business Account; raises UsageError when it is not known."""
        return self._demanded(self.waba_id, "waba_id", "--waba-id")

    def demand_respondio_channel_id(self) -> int:
        """The id of the channel at respond.io; raises UsageError when it is not known."""
        number = self.respondio_channel_id
        text = None if number is None else str(number)
        return int(self._demanded(text, "respondio_channel_id", "--respondio-channel-id"))

    def to_json(self) -> dict[str, object]:
        """The entry of `channel list`, without how it is connected."""
        return {
            "channel": self.name,
            "phone": self.phone,
            "phone_number_id": self.phone_number_id,
            "waba_id": self.waba_id,
            "respondio_channel_id": self.respondio_channel_id,
            "provider": self.provider.value,
            "owner": self.owner,
            "timezone": self.timezone,
            "partner_app_id": self.partner_app_id,
            "is_in_use": self.is_in_use,
            "archived_at": self.archived_at,
        }

    def _demanded(self, value: str | None, name: str, option: str) -> str:
        if value is None:
            raise UsageError(
                f"channel `{self.name}` has no {name}",
                hint=f"run `wacoex channel edit {self.name} {option} ID`",
                code="channel_incomplete",
            )
        return value


class AccountEvent(NamedTuple):
    """One `account_update`. `at` is RFC 3339 in UTC; `data` is the rest of it as JSON."""

    event_key: str
    event: str
    at: str
    source: str = "meta"
    waba_id: str | None = None
    phone_number_id: str | None = None
    phone: str | None = None
    entry_id: str | None = None
    reason: str | None = None
    initiated_by: str | None = None
    data: str = "{}"


def concerns(channel: Channel, event: AccountEvent) -> bool:
    """Whether an account event is about that channel (Meta: account_update).

    A number that is named decides alone: a WABA may hold several, and a number gets another WABA
    when it is connected again. Else the WABA decides; the id of the webhook's entry is that of
    the WABA only where nothing else is said. An id that the channel had then counts like its own.
    """
    if event.phone:
        return event.phone in spellings(channel.phone)
    if event.phone_number_id and channel.phone_number_id:
        return channel.has_or_had("phone_number_id", event.phone_number_id, event.at)
    account = event.waba_id or event.entry_id
    return account is not None and channel.has_or_had("waba_id", account, event.at)


def names_of(channel: Channel) -> list[str]:
    """The numbers and ids by which an account event may name a channel."""
    present = (*spellings(channel.phone), channel.phone_number_id, channel.waba_id)
    names = (*present, *channel.former("phone_number_id"), *channel.former("waba_id"))
    return [name for name in names if name]


def by_channel(
    channels: Iterable[Channel], rows: Iterable[AccountEvent]
) -> dict[int, tuple[AccountEvent, ...]]:
    """The events that are about each of these channels, by channel_id; none is left out."""
    by_name: dict[str, list[AccountEvent]] = defaultdict(list)
    for event in rows:
        named = (event.phone_number_id, event.waba_id or event.entry_id)
        for name in {event.phone} if event.phone else set(filter(None, named)):
            by_name[name].append(event)
    found = {}
    for channel in channels:
        events = dict.fromkeys(event for name in names_of(channel) for event in by_name[name])
        found[channel.channel_id] = tuple(event for event in events if concerns(channel, event))
    return found


class Fact(NamedTuple):
    """One thing that is known. With a `reason` the configured access could not give it."""

    name: str
    value: Any
    source: str
    observed_at: str
    reason: str | None = None

    @property
    def is_available(self) -> bool:
        """Whether there is a value; None is one too: Meta was asked and gave none."""
        return self.reason is None

    def to_json(self) -> dict[str, object]:
        """The entry of `facts`; a fact that is not available has that word as its value."""
        name, value, source, observed_at, reason = self
        return {
            "name": name,
            "observed_at": observed_at,
            "reason": reason,
            "source": source,
            "value": value if reason is None else NOT_AVAILABLE,
        }


def values_of(facts: Iterable[Fact]) -> dict[str, Any]:
    """The values that were given, by name; what is not available or not given is left out."""
    return {
        name: value for name, value, _, _, reason in facts if reason is None and value is not None
    }


def in_order(facts: Mapping[str, Fact]) -> dict[str, Fact]:
    """The number's facts, then those of the token and of the account, each as listed above.

    By name; facts of other names come last.
    """
    others = sorted(facts.keys() - _LISTED)
    return {name: facts[name] for name in (*_IN_LISTS, *others) if name in facts}


def from_node(
    prefix: str,
    fields: Iterable[str],
    node: Mapping[str, object],
    refused: Mapping[str, str],
    observed_at: str,
) -> list[Fact]:
    """Facts from a Graph node: each field asked for, with the reason where it was refused."""
    return [
        Fact(f"{prefix}{name}", node.get(name), META, observed_at, refused.get(name))
        for name in fields
    ]


def not_available(prefix: str, fields: Iterable[str], reason: str, observed_at: str) -> list[Fact]:
    """The same facts when the configured access cannot give any of them."""
    return [Fact(f"{prefix}{name}", None, META, observed_at, reason) for name in fields]


VISIBLE = "visible"
"""The name of the fact that Meta showed the number to a token: a `Sighting`."""
WABA_VISIBLE = "waba.visible"
"""The same of the account."""


class Sighting(NamedTuple):
    """Meta showed an object, a number or an account, to a token.

    `object_id` is its id, `caller` names the token without telling it (`Meta.caller`). Moments are
    RFC 3339 in UTC: it was last shown at `seen_at`, and is hidden from that token since
    `gone_since`, None while it is not.
    """

    object_id: str
    caller: str
    seen_at: str
    gone_since: str | None = None

    def to_fact(self, name: str) -> Fact:
        """How it is stored."""
        value = {"id": self.object_id, "caller": self.caller, "gone_since": self.gone_since}
        return Fact(name, value, META, self.seen_at)

    @classmethod
    def from_fact(cls, fact: Fact) -> Sighting:
        """What was stored."""
        value = fact.value
        return cls(value["id"], value["caller"], fact.observed_at, value["gone_since"])


class EvidenceKind(StrEnum):
    """What happened. How much an echo proves depends on the companion devices of its time."""

    CONFIRMED = "confirmed"
    CONNECTED = "connected"
    ECHO = "echo"
    PHONEBOOK = "phonebook"


class Sign(NamedTuple):
    """One dated fact. `at` is RFC 3339 in UTC, `source` is `meta`, `respondio` or `person`.

    `said_by` names the person who confirmed, or the event that reported it.
    """

    address: str
    kind: EvidenceKind
    at: str
    source: str
    said_by: str = ""

    @property
    def order(self) -> tuple[str, ...]:
        """Its place in time; two of the same moment stand in the same order always."""
        return (self.at, self.source, self.said_by, self.address)


def channel_address(channel_id: int) -> str:
    """The address of what is known about a channel itself, whatever its ids are."""
    return f"channel:{channel_id}"


def address_of(
    *, phone_number_id: str | None, phone: str | None, respondio_channel_id: int | None
) -> str | None:
    """The address of a number that something was said about; None when it named none."""
    if phone_number_id:
        return f"phone_number_id:{phone_number_id}"
    if phone:
        return f"phone:{phone}"
    if respondio_channel_id is not None:
        return f"respondio_channel_id:{respondio_channel_id}"
    return None


def addresses_of(channel: Channel, phone_number_ids: tuple[str, ...] = ()) -> tuple[str, ...]:
    """Every address under which something about a channel may be kept.

    `phone_number_ids` are those that Meta has used for its number. The ids that it had before
    count like those it has.
    """
    known = (channel.phone_number_id, *channel.former("phone_number_id"), *phone_number_ids)
    ids = dict.fromkeys(filter(None, known))
    found = [channel_address(channel.channel_id)]
    found += [f"phone_number_id:{key}" for key in ids]
    found += [f"phone:{spelling}" for spelling in spellings(channel.phone)]
    if channel.respondio_channel_id is not None:
        found.append(f"respondio_channel_id:{channel.respondio_channel_id}")
    found += [f"respondio_channel_id:{key}" for key in channel.former("respondio_channel_id")]
    return tuple(found)
