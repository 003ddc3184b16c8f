"""Events: what Meta and respond.io reported, without the content of messages; light to import.

`payloads` makes events out of what was delivered. Here is what everybody who
reads them needs: the event, its typed data, and the projection that a package makes of events.
"""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime
from enum import StrEnum
from functools import lru_cache
from operator import attrgetter
from typing import TYPE_CHECKING, NamedTuple, TypedDict, Unpack, cast

from wacoex_cli.foundation import phone_numbers
from wacoex_cli.foundation.clock import to_text

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from wacoex_cli.foundation.state import State

_PHONE = re.compile(r"\+?[0-9 ().-]{4,32}")
_NOT_DIGITS = re.compile(r"[^0-9]")
_META_CODE = re.compile(r"(?<![0-9])1[0-9]{5}(?![0-9])")
_LONGEST_PHONE = 15
_LONGEST_TIME = 40
# Seconds from 2001 on; the same moment in milli-, micro- or nanoseconds is larger.
_FIRST_SECOND = 1_000_000_000
_FIRST_MILLISECOND = 100_000_000_000
_TOO_LARGE = 1e20
_YEARS = range(2001, 5000)
_NUMBERS = (int, float)
# What came as JSON holds no circle.
_CANONICAL = json.JSONEncoder(
    sort_keys=True, separators=(",", ":"), check_circular=False, default=attrgetter("stored")
)


class Source(StrEnum):
    """Who reported it."""

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
    TEMPLATE_CATEGORY = "template_category"
    TEMPLATE_TEXT = "template_text"
    QUALITY = "quality"
    CAPABILITY = "capability"
    ALERT = "alert"
    USER_PREFERENCE = "user_preference"
    STANDBY = "standby"
    HANDOVER = "handover"
    OTHER = "other"


class Restriction(TypedDict, total=False):
    """One of the things an account may not do now; `expiration` in any form of a time."""

    restriction_type: str
    expiration: str | int | float


class BanInfo(TypedDict, total=False):
    """The state of a ban of the account, and its date as Meta writes it."""

    waba_ban_state: str
    waba_ban_date: str | int


class EventData(TypedDict, total=False):
    """What an event holds beside its own fields; the comments name the kinds.

    What was not reported is absent, and never stored as None; flags are there only when they are
    true. A `capability` holds Meta's own `max_...` names, each a number or a tier, and no other.
    """

    # message (of the contact: in, of ours: out); echo, edit (of the new version), other, alert;
    # `media` of a history; standby (of the contact: in, of another responder: out), handover
    direction: str | None
    type: str | None
    # message, unsupported
    has_referral: bool | None
    from_ad: bool | None
    # message, echo of respond.io: who sent it
    source: str | None
    # message, edit, standby: that it says "no more messages", by a `word` or by a `button`
    stop: str | None
    # any: the person's user id where their number is known too
    user_id: str | None
    # other (`system`): the number or id that the person has now (`event` says why), and had before
    new_phone: str | None
    previous_user_id: str | None
    # message, unsupported, echo, status of respond.io
    respondio_message_id: str | None
    contact_id: str | None
    # unsupported, status, history (declined), other (`system_error`): Meta's code
    code: int | None
    # unsupported
    unsupported_type: str | None
    during_sync: bool | None
    # edit, revoke, echo; message: the one whose stop button was tapped
    original_message_id: str | None
    # echo: keyed hash of a short text
    text_hash: str | None
    # status, alert, standby; `pricing` has billable, category and type
    status: str | None
    attempt_id: str | None
    pricing: Mapping[str, bool | str] | None
    # contact_sync
    action: str | None
    # history; `threads` and `messages` are counts
    phase: int | None
    chunk_order: int | None
    progress: int | None
    threads: int | None
    messages: int | None
    # account_update, template_status, quality
    event: str | None
    reason: str | None
    # account_update
    initiated_by: str | None
    entry_id: str | None
    owner_business_id: str | None
    partner_app_id: str | None
    solution_id: str | None
    solution_partner_business_ids: list[str] | None
    restriction_info: list[Restriction] | None
    ban_info: BanInfo | None
    violation_type: str | None
    # template_status, template_category, template_text, quality
    template_id: str | None
    template_name: str | None
    template_language: str | None
    # template_status
    title: str | None
    # quality: of the number, of a template; template_category; handover: the role that had the
    # conversation and the one that has it now (`old`, `new`)
    limit: str | None
    old_limit: str | None
    old: str | None
    new: str | None
    # alert
    severity: str | None
    entity_type: str | None
    entity_id: str | None
    # user_preference (`value` is stop or resume); template_category: what it will become
    category: str | None
    value: str | None
    # other: the word that a field comes down to, such as APPROVED
    decision: str | None
    # other: the webhook field; the names of its keys, where nothing more is known about it
    field: str | None
    keys: list[str] | None
    # any: no time was reported, so that `at` is when it was received
    undated: bool | None
    # any of an account, a number, a template or a history: the parts that could not be read,
    # where access or money hangs on it; and that a person has to look, as no rule judges it here
    unclear: list[str] | None
    look: bool | None


def reported(**data: Unpack[EventData]) -> EventData:
    """What was reported of these values: the ones that are None are left out."""
    return of_reported(data)


def of_reported(data: EventData) -> EventData:
    """The same of data that is there already."""
    return cast("EventData", {name: value for name, value in data.items() if value is not None})


class Event(NamedTuple):
    """One event. `key` is the same whenever the same thing is reported again.

    `at` is when it happened (RFC 3339, UTC). `phone_number_id`, `phone` (E.164), `waba_id` and
    `respondio_channel_id` say which of our numbers it concerns, as far as we know. `waba_id` is
    `entry.id`, but for an `account_update` only what it names as its WABA itself. `contact` is
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
    data: EventData = EventData()
    event_id: int = 0


class Payload(NamedTuple):
    """One delivery as it is kept: its digest, its content-free body as JSON, its events.

    The digest is the same for the same delivery, however its JSON was laid out. `unread` is why
    the whole of it could only be kept as `other`; None for what is understood.
    """

    source: Source
    digest: str
    size: int
    body: str
    events: tuple[Event, ...]
    unread: str | None = None


class UnreadablePayload(ValueError):
    """What was delivered is no JSON object; the text says why, in lower case."""


class Projection(NamedTuple):
    """What a package makes of events of some kinds.

    `project` is called inside a transaction, which also keeps the cursor. It must come to the
    same state whatever the order of the events, and however often it is given the same one.
    """

    name: str
    kinds: frozenset[Kind]
    project: Callable[[State, Sequence[Event], datetime], None]


def read_moment(value: object) -> str | None:
    """The moment as RFC 3339 in UTC, None when it is none.

    Takes seconds, milli-, micro- and nanoseconds since 1970, distinguished by their size, and
    RFC 3339; both platforms document one and send another.
    """
    if value is None:
        return None
    if isinstance(value, str):
        if len(value) > _LONGEST_TIME:
            return None
        if not (value.isascii() and value.isdigit()):
            return _written_moment(value)
        value = int(value)
    if not isinstance(value, _NUMBERS) or not _FIRST_SECOND <= value < _TOO_LARGE:
        return None
    seconds: float = value
    while seconds >= _FIRST_MILLISECOND:
        seconds /= 1000
    return to_text(datetime.fromtimestamp(seconds, UTC))


def _written_moment(text: str) -> str | None:
    try:
        written = datetime.fromisoformat(text)
    except ValueError:
        return None
    dated = written if written.tzinfo else written.replace(tzinfo=UTC)
    return to_text(dated) if written.year in _YEARS else None


def read_phone(value: object) -> str | None:
    """The E.164 form of a number that Meta writes as digits; None for what is no number.

    A number that no numbering plan knows is kept as it came: it is still the same person.
    """
    if isinstance(value, str):
        return _phone_in(value)
    if isinstance(value, int) and not isinstance(value, bool):
        return _phone_in(str(value)) if 0 < value < 10**_LONGEST_PHONE else None
    return None


@lru_cache(maxsize=50_000)
def _phone_in(value: str) -> str | None:
    # Our own number stands in every payload, and people write more than once.
    if not _PHONE.fullmatch(value):
        return None
    digits = _NOT_DIGITS.sub("", value)
    if not 0 < len(digits) <= _LONGEST_PHONE:
        return None
    written = f"+{digits}"
    return phone_numbers.normalise(written) or written


def meta_code(value: object) -> int | None:
    """Of an error text its six-digit Meta code (respond.io: status `failed`)."""
    found = _META_CODE.search(value) if isinstance(value, str) else None
    return int(found[0]) if found else None


def canonical(value: object) -> str:
    """JSON that is the same for the same content, however it was laid out.

    The text for an object that is not JSON is in its `stored`.
    """
    return _CANONICAL.encode(value)


def text_hash(text: str, key: bytes) -> str:
    """The keyed hash under which a short text is kept; case and outer spaces do not matter."""
    import hmac  # loading it takes as long as the rest of this file

    plain = text.strip().casefold().encode("utf-8", "surrogatepass")
    return hmac.digest(key, plain, "sha256").hex()
