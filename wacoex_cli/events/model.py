"""An event: one thing that Meta or respond.io told, without the content of messages."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping


class Source(StrEnum):
    """Who told it."""

    META = "meta"
    RESPONDIO = "respondio"


class Via(StrEnum):
    """The way it came in."""

    LISTEN = "listen"
    IMPORT = "import"
    PULL = "pull"


class Kind(StrEnum):
    """What it is about; whatever is not known is `other`."""

    MESSAGE = "message"
    UNSUPPORTED = "unsupported"
    EDIT = "edit"
    REVOKE = "revoke"
    STATUS = "status"
    ECHO = "echo"
    CONTACT_SYNC = "contact_sync"
    HISTORY = "history"
    ACCOUNT_UPDATE = "account_update"
    TEMPLATE_STATUS = "template_status"
    QUALITY = "quality"
    CAPABILITY = "capability"
    ALERT = "alert"
    USER_PREFERENCE = "user_preference"
    OTHER = "other"


@dataclass(frozen=True, slots=True)
class Event:
    """One event. `key` is the same whenever the same thing is told again.

    `at` is when it happened (RFC 3339, UTC). `phone_number_id`, `phone` (E.164), `waba_id` and
    `respondio_channel_id` say which of our numbers it concerns, as far as it tells. `contact` is
    the other person: an E.164 number, `user_id:...` where Meta gives no number, or `contact:...`
    where respond.io gives none. `data` holds what else the kind needs.
    """

    key: str
    kind: Kind
    source: Source
    at: str
    phone_number_id: str | None = None
    phone: str | None = None
    waba_id: str | None = None
    respondio_channel_id: int | None = None
    contact: str | None = None
    message_id: str | None = None
    data: Mapping[str, object] = field(default_factory=dict)
    event_id: int = 0


@dataclass(frozen=True, slots=True)
class Payload:
    """One delivery as it is kept: its digest, its content-free body as JSON, its events.

    The digest is the same for the same delivery, however its JSON was laid out.
    """

    source: Source
    digest: str
    size: int
    body: str
    events: tuple[Event, ...]


class UnfitPayload(ValueError):
    """What was delivered is not what Meta or respond.io send; the text says why, in lower case."""
