"""The respond.io part of the pretend world: one workspace with channels, contacts, messages."""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from wacoex_cli.sandbox.wire import DAY_SECONDS, SlidingSecond

DEFAULT_RESPONDIO_TOKEN = "sandbox-respondio-token"  # noqa: S105 - a marker, no secret
RESPONDIO_CHANNEL_ID = 4242
RESPONDIO_WEBCHAT_ID = 4243
FIRST_CONTACT_ID = 21000001

Values = Mapping[str, Any]

# Requests per second of each endpoint (respond.io: rate limits; message lists as seen live).
# Those of the template lists are not documented: our choice.
LIMITS: Mapping[str, int] = {
    "contact": 10,
    "contact/channels": 5,
    "contact/create": 5,
    "contact/create_or_update": 5,
    "contact/list": 5,
    "contact/update": 5,
    "message": 15,
    "message/list": 20,
    "message/send": 10,
    "space/channel": 5,
    "space/channel/mtm": 5,
    "space/channel/template": 5,
    "space/user": 10,
}


@dataclass(slots=True)
class Contact:
    """One contact; until `ready_at` (Unix seconds) the API is still busy with it.

    `more` are the fields of the API that nothing here looks at.
    """

    id: int
    phone: str | None
    first_name: str
    created_at: float
    ready_at: float = 0.0
    messages: dict[int, dict[str, Any]] = field(default_factory=dict)
    more: dict[str, Any] = field(default_factory=dict)

    @property
    def email(self) -> str | None:
        """Its address, in lower case: the API compares without case (respond.io: contacts)."""
        address = self.more.get("email")
        return address.lower() if isinstance(address, str) else None

    def to_json(self) -> dict[str, Any]:
        """The contact as the API shows it (respond.io: contacts)."""
        return {
            "id": self.id,
            "firstName": self.first_name,
            "lastName": "",
            "phone": self.phone,
            "email": None,
            "language": None,
            "profilePic": None,
            "countryCode": None,
            "status": "open",
            "tags": [],
            "assignee": None,
            "lifecycle": None,
            "custom_fields": [],
            "created_at": int(self.created_at),
            **self.more,
        }

    def newest_first(self) -> list[dict[str, Any]]:
        """Its messages, the newest first."""
        return [self.messages[number] for number in sorted(self.messages, reverse=True)]


class RespondIOWorld:
    """One workspace. `now` gives Unix seconds, `monotonic` times the rate limits.

    `contact_ready_seconds` is how long a contact that was made through the API is busy,
    `template_path` which of the two ways to the templates there is, `components_as_text`
    whether their components are a JSON string.
    """

    def __init__(self, now: Callable[[], float], monotonic: Callable[[], float]) -> None:
        self.now = now
        self._monotonic = monotonic
        began = int(now())
        self.token = DEFAULT_RESPONDIO_TOKEN
        self.retry_after = 1
        self.contact_ready_seconds = 0.0
        self.template_path = "template"
        self.components_as_text = True
        self.calls: Counter[str] = Counter()
        self.channels: list[dict[str, Any]] = []
        webchat = {"id": RESPONDIO_WEBCHAT_ID, "name": "Website chat", "source": "webchat"}
        self.set_channels([{"id": RESPONDIO_CHANNEL_ID}, webchat])
        self.contacts: dict[int, Contact] = {}
        self._by_phone: dict[str, Contact] = {}
        self._items: dict[int, dict[str, Any]] = {}
        self._to_come: list[tuple[float, int, str, str | None]] = []
        self.limits = dict(LIMITS)
        self._seconds: dict[str, SlidingSecond] = {}
        self._fill(began)

    def find(self, identifier: str) -> Contact | None:
        """The contact of `id:123`, `phone:+65...` or `email:...`; raises ValueError for others."""
        kind, _, value = identifier.partition(":")
        if kind == "id" and value.isascii() and value.isdecimal():
            return self.contacts.get(int(value))
        if kind == "phone" and value.startswith("+") and value[1:].isdecimal():
            return self._by_phone.get(value)
        if kind == "email" and "@" in value:
            contacts = self.contacts.values()
            return next((each for each in contacts if each.email == value.lower()), None)
        raise ValueError("identifier must be id:<number>, email:<address> or phone:<E.164>")

    def admit(self, endpoint: str) -> tuple[bool, dict[str, str]]:
        """Whether one more call is within the limit of its endpoint, and the headers that say so.

        Calls that are turned away do not count (respond.io: rate limits).
        """
        now, limit = self._monotonic(), self.limits[endpoint]
        second = self._seconds.setdefault(endpoint, SlidingSecond())
        used = second.count(now)
        if used >= limit:
            return False, self.turned_away(endpoint)
        second.add(now)
        self.calls[endpoint] += 1
        return True, self._rate_headers(endpoint, limit - used - 1)

    def turned_away(self, endpoint: str) -> dict[str, str]:
        """The headers of an answer 429."""
        return {**self._rate_headers(endpoint, 0), "Retry-After": str(self.retry_after)}

    def _rate_headers(self, endpoint: str, remaining: int) -> dict[str, str]:
        limit = str(self.limits[endpoint])
        return {"X-RateLimit-Limit": limit, "X-RateLimit-Remaining": str(remaining)}

    def set_channels(self, channels: Sequence[Values]) -> None:
        """Let these be all channels; each needs an `id`."""
        defaults = {"name": "Corner Bakery", "source": "whatsapp_business"}
        created_at = {"created_at": int(self.now())}
        self.channels[:] = [{**defaults, **channel, **created_at} for channel in channels]

    def add_contact(
        self, phone: str | None, first_name: str = "", *, ready_in: float = 0.0
    ) -> Contact:
        """Add a contact; for `ready_in` seconds the API is still busy with it."""
        number = max(self.contacts, default=FIRST_CONTACT_ID - 1) + 1
        now = self.now()
        contact = Contact(number, phone, first_name, created_at=now, ready_at=now + ready_in)
        self.contacts[number] = contact
        self.set_phone(contact, phone)
        return contact

    def set_phone(self, contact: Contact, phone: str | None) -> None:
        """Let the contact have this number from now on; of several the first one is found."""
        if contact.phone is not None and self._by_phone.get(contact.phone) is contact:
            del self._by_phone[contact.phone]
        contact.phone = phone
        if phone is not None:
            self._by_phone.setdefault(phone, contact)

    def add_message(
        self,
        contact: Contact,
        message: Values,
        *,
        traffic: str = "incoming",
        source: str | None = None,
        at: float | None = None,
        channel_id: int = RESPONDIO_CHANNEL_ID,
        channel_message_id: str | None = None,
        status: list[Values] | None = None,
    ) -> dict[str, Any]:
        """Add a message that was written at `at` (Unix seconds, now by default)."""
        moment = self.now() if at is None else at
        # Ids of incoming messages are whole seconds (respond.io: messages, as seen live).
        number = int(moment) * 1_000_000 if traffic == "incoming" else int(moment * 1_000_000)
        while number in self._items:
            number += 1
        item: dict[str, Any] = {
            "messageId": number,
            "channelMessageId": channel_message_id or f"wamid.sandbox{number}",
            "contactId": contact.id,
            "channelId": channel_id,
            "traffic": traffic,
            "message": dict(message),
        }
        if traffic == "outgoing":
            milliseconds = number // 1000
            item["status"] = list(status or [{"value": "sent", "timestamp": milliseconds}])
        if source is not None:
            item["sender"] = {"source": source}
        contact.messages[number] = self._items[number] = item
        return item

    def add_status(
        self, message_id: int, value: str, text: str | None = None, *, at: float | None = None
    ) -> None:
        """Add an entry, made at `at` (Unix seconds, now by default), to the statuses of a message.

        Raises ValueError when there is no such message.
        """
        if message_id not in self._items:
            raise ValueError(f"there is no message {message_id}")
        moment = self.now() if at is None else at
        entry: dict[str, Any] = {"value": value, "timestamp": int(moment * 1000)}
        if text is not None:
            entry["message"] = text
        self._items[message_id].setdefault("status", []).append(entry)

    def add_status_later(
        self, message_id: int, value: str, text: str | None = None, *, at: float
    ) -> None:
        """Let `catch_up` add an entry once it is `at` (Unix seconds)."""
        heapq.heappush(self._to_come, (at, message_id, value, text))

    def catch_up(self) -> None:
        """Add the statuses that have fallen due by now."""
        while self._to_come and self._to_come[0][0] <= self.now():
            at, message_id, value, text = heapq.heappop(self._to_come)
            self.add_status(message_id, value, text, at=at)

    def set_limit(self, endpoint: str, limit: int) -> None:
        """Allow this many calls a second; raises ValueError for an unknown endpoint."""
        if endpoint not in LIMITS:
            raise ValueError(f"`{endpoint}` is not an endpoint; known: {', '.join(LIMITS)}")
        self.limits[endpoint] = limit

    def _fill(self, began: int) -> None:
        """Two people: one who was answered from the phone, one whose message cannot be shown."""
        question, reply, hello = (
            {"type": "text", "text": text}
            for text in ("Do you have rye bread?", "Yes, from eight.", "Hello from the website")
        )
        ana, ben = self.add_contact("+6591000001", "Ana"), self.add_contact("+6591000002", "Ben")
        yesterday = began - DAY_SECONDS
        self.add_message(ana, question, at=yesterday)
        self.add_message(ana, reply, traffic="outgoing", source="echo", at=yesterday + 90.5)
        self.add_message(ben, {"type": "unsupported"}, at=began - DAY_SECONDS / 2)
        self.add_message(ben, hello, at=began - 60, channel_id=RESPONDIO_WEBCHAT_ID)
