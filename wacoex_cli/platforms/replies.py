"""What the answer to a message means: taken, refused, declined, unclear, or never sent. Pure."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import parse_qs, urlsplit

from wacoex_cli.errors import CredentialError, RefusedError, TemporaryError, WacoexError
from wacoex_cli.foundation.http import Answer, retry_after_seconds

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from wacoex_cli.foundation.http import Answer

_USAGE_HEADER = "x-business-use-case-usage"


@dataclass(frozen=True)
class Taken:
    """The message was taken. Meta's `message_status` may be `held_for_quality_assessment`."""

    message_id: str
    message_status: str | None = None
    wa_id: str | None = None


@dataclass(frozen=True)
class Refused:
    """Meta answered with an error code; what it means stands in `error_codes`.

    `retry_after_seconds` and `regain_minutes` are the waits that Meta asked for, if it did.
    """

    code: int
    subcode: int | None = None
    message: str = ""
    details: str = ""
    fbtrace_id: str | None = None
    http_status: int = 400
    retry_after_seconds: float | None = None
    regain_minutes: float | None = None


@dataclass(frozen=True)
class Unclear:
    """The message may have been taken: the request left and no usable answer came.

    `retry_after_seconds` is the wait the server asked for, if it did.
    """

    reason: str
    retry_after_seconds: float | None = None


@dataclass(frozen=True)
class NotSent:
    """The message provably never left this machine."""

    reason: str


@dataclass(frozen=True)
class Declined:
    """respond.io did not take the message: the HTTP status decides what that means.

    `said` is its own text, or what stood in its place; `retry_after_seconds` the wait it asked
    for, if it did. `from_api` is False when something else answered, such as a firewall in HTML.
    """

    status: int
    said: str = ""
    retry_after_seconds: float | None = None
    from_api: bool = True


Reply = Taken | Refused | Declined | Unclear | NotSent


def reply_in(answer: Answer, now: datetime) -> Reply:
    """What an answer to `POST /{phone_number_id}/messages` says (Meta: send messages).

    Only a 2xx with a message id is taken, only an error code is refused; the HTTP status alone
    proves nothing. Everything else is unclear.
    """
    taken = _taken(answer)
    if taken is not None:
        return taken
    refused = refusal_in(answer, now)
    if refused is not None:
        return refused
    return Unclear(_unusable(answer), retry_after_seconds(answer.headers, now))


def refusal_in(answer: Answer, now: datetime) -> Refused | None:
    """The error object of an answer, whatever its HTTP status; None without a usable code."""
    error = _dictionary(_dictionary(answer.json).get("error"))
    code = _integer(error.get("code"))
    if code is None:
        return None
    return Refused(
        code=code,
        subcode=_integer(error.get("error_subcode")),
        message=_text(error.get("message")) or "",
        details=_text(_dictionary(error.get("error_data")).get("details")) or "",
        fbtrace_id=_text(error.get("fbtrace_id")),
        http_status=answer.status,
        retry_after_seconds=retry_after_seconds(answer.headers, now),
        regain_minutes=_regain_minutes(answer.headers),
    )


def _taken(answer: Answer) -> Taken | None:
    body = _dictionary(answer.json)
    message = _first(body.get("messages"))
    message_id = _text(message.get("id"))
    if not message_id or not 200 <= answer.status < 300:
        return None
    contact = _first(body.get("contacts"))
    return Taken(message_id, _text(message.get("message_status")), _text(contact.get("wa_id")))


def _unusable(answer: Answer) -> str:
    if 300 <= answer.status < 400:
        target = urlsplit(answer.headers.get("location", "")).hostname or "another path"
        return f"HTTP {answer.status}, a redirect to {target}"
    if answer.size == 0:
        return f"HTTP {answer.status} with an empty body"
    if answer.json is None:
        return f"HTTP {answer.status} with a body that is not JSON"
    return f"HTTP {answer.status} without a message id and without an error code"


def _regain_minutes(headers: Mapping[str, str]) -> float | None:
    """The longest `estimated_time_to_regain_access`, in minutes (Meta: rate limiting)."""
    try:
        usage = json.loads(headers.get(_USAGE_HEADER, ""))
    except (ValueError, RecursionError):
        return None
    lists = [entries for entries in _dictionary(usage).values() if isinstance(entries, list)]
    waits = [
        entry["estimated_time_to_regain_access"]
        for entries in lists
        for entry in entries
        if isinstance(entry, dict)
        and isinstance(entry.get("estimated_time_to_regain_access"), int | float)
    ]
    longest = max(waits, default=0)
    return float(longest) if longest > 0 else None


def _first(value: object) -> dict[str, Any]:
    return _dictionary(value[0]) if isinstance(value, list) and value else {}


def _dictionary(value: object) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None


def _integer(value: object) -> int | None:
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    if isinstance(value, str) and value.isascii() and value.isdigit():
        return int(value)
    return None


Node = dict[str, Any]

_THROTTLED, _BEING_PROCESSED = 429, 449
# A firewall, or another server at a wrong address, says these in HTML: nothing went further.
_TURNED_AWAY = frozenset({401, 403, 404})
_LONGEST_SAID = 300
# The state file holds no larger numbers.
_LARGEST_ID = 2**63
_MOST_DIGITS = 19


@dataclass(frozen=True)
class Page:
    """A part of a list, in respond.io's order, and the cursor of the next part; None at the end."""

    items: tuple[Node, ...]
    next_cursor: str | None = None


class WorkspaceChannel(NamedTuple):
    """A channel as respond.io lists it; its list of `source` words is open."""

    id: int
    name: str
    source: str
    created_at: object = None

    @property
    def is_whatsapp(self) -> bool:
        """Its source says so. Which one a Coexistence channel has is not documented."""
        return "whatsapp" in self.source.lower()


def channels_in(nodes: Sequence[Node]) -> tuple[WorkspaceChannel, ...]:
    """The channels of a workspace, as far as they have an id (respond.io: channels).

    Raises TemporaryError when none of the entries can be read.
    """
    channels = tuple(
        WorkspaceChannel(
            number,
            str(node.get("name") or ""),
            str(node.get("source") or ""),
            node.get("created_at"),
        )
        for node in nodes
        if (number := identity(node.get("id"))) is not None
    )
    if nodes and not channels:
        raise TemporaryError("respond.io's list of channels cannot be read")
    return channels


def page_in(answer: Answer) -> Page:
    """The page in an answer to a list call. Raises TemporaryError when it is no page.

    Of the URL in `pagination.next` only the cursor is taken, so that no host is ever followed.
    """
    body = answer.json if isinstance(answer.json, dict) else {}
    items = body.get("items")
    if not isinstance(items, list):
        raise unusable("it holds no list")
    pagination = body.get("pagination")
    following = pagination.get("next") if isinstance(pagination, dict) else None
    return Page(tuple(item for item in items if isinstance(item, dict)), _cursor(following))


def identity(value: object) -> int | None:
    """An id that came as a number or as text; None for anything else, and for what is too large."""
    if isinstance(value, str) and len(value) <= _MOST_DIGITS and value.isascii():
        value = int(value) if value.isdigit() else None
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < _LARGEST_ID:
        return value
    return None


def respondio_reply_in(answer: Answer, secret: str, now: datetime) -> Reply:
    """What an answer to `POST /contact/{identifier}/message` says, without the secret.

    Only a 2xx with a message id is taken. Declined is what the API refuses in its own words, and
    what never reached it. Everything else may have been taken: a 5xx, a redirect, a broken or
    empty body. Source: "respond.io: errors".
    """
    status, wait = answer.status, retry_after_seconds(answer.headers, now)
    body = answer.json if isinstance(answer.json, dict) else {}
    if 200 <= status < 300:
        message_id = identity(body.get("messageId"))
        return Taken(str(message_id)) if message_id else Unclear(_shape_of_reply(answer), wait)
    is_its_own = 400 <= status < 500 and not body.keys().isdisjoint({"code", "message"})
    said = _said(answer).replace(secret, "****") or ("" if is_its_own else _shape(answer))
    if is_its_own or status in (_THROTTLED, _BEING_PROCESSED):
        return Declined(status, said, wait)
    if status in _TURNED_AWAY:
        return Declined(status, said, wait, from_api=False)
    return Unclear(_shape_of_reply(answer), wait)


def refusal(answer: Answer, secret: str, now: datetime) -> WacoexError | None:
    """Why an answer is no success, without the secret; None when it is one."""
    if 200 <= answer.status < 300:
        return None if isinstance(answer.json, dict) else unusable(_shape(answer))
    said = _said(answer).replace(secret, "****")
    details: dict[str, object] = {"status": answer.status}
    if said:
        details["message"] = said
    kind, meaning, hint = _meaning(answer, now)
    return kind(
        f"respond.io refused: {meaning} (HTTP {answer.status})",
        hint=hint,
        code=f"respondio_{answer.status}",
        details=details,
    )


def unusable(why: str) -> TemporaryError:
    """The failure of an answer that is neither a success nor a refusal."""
    return TemporaryError(
        f"respond.io gave an unusable answer: {why}",
        hint="try again in a minute; see whether `WACOEX_RESPONDIO_BASE_URL` is right,"
        " and whether a proxy answers in its place",
        code="respondio_unusable",
    )


def _meaning(answer: Answer, now: datetime) -> tuple[type[WacoexError], str, str | None]:
    """Source: "respond.io: errors"."""
    status = answer.status
    if status == 401 or (status == 403 and isinstance(answer.json, dict)):
        return CredentialError, "the token is not accepted, or may not do this", _HOW_TO_GET_IN
    if status == 403:
        # A firewall stands before the API; without a token it accepts, it answers in HTML.
        return CredentialError, "its firewall turned the request away", _HOW_TO_GET_IN
    if status == 404 and not isinstance(answer.json, dict):
        hint = "check `WACOEX_RESPONDIO_BASE_URL`; it ends in `/v2`"
        return TemporaryError, "there is no such API at this address", hint
    if status == 429:
        wait = retry_after_seconds(answer.headers, now)
        when = f"in {wait:.0f} seconds" if wait else "in a minute"
        hint = f"try again {when}; the limit is shared by all tokens of the organisation"
        return TemporaryError, "too many calls", hint
    if status == _BEING_PROCESSED:
        hint = "try again in a few minutes"
        return TemporaryError, "the contact is still being processed", hint
    if status >= 500:
        return TemporaryError, "it has a problem of its own", "try again in a few minutes"
    return RefusedError, _REFUSED.get(status, "the request"), "`-v` shows what it says"


_HOW_TO_GET_IN = (
    "make a token under Workspace Settings > Integrations > Developer API,"
    " then run `wacoex auth login respondio-token`"
)
_REFUSED = {
    400: "the request is not valid",
    404: "there is no such contact, message or channel",
    409: "it conflicts with what is there",
}


def _cursor(following: object) -> str | None:
    if not isinstance(following, str) or not following:
        return None
    try:
        cursors = parse_qs(urlsplit(following).query).get("cursorId")
    except ValueError:
        cursors = None
    if not cursors:
        raise unusable("it names a next page without a cursor")
    return cursors[0]


def _said(answer: Answer) -> str:
    message = answer.json.get("message") if isinstance(answer.json, dict) else None
    return message[:_LONGEST_SAID] if isinstance(message, str) else ""


def _shape(answer: Answer) -> str:
    return f"HTTP {answer.status}, {answer.size} bytes that are no JSON object"


def _shape_of_reply(answer: Answer) -> str:
    if 300 <= answer.status < 400:
        target = urlsplit(answer.headers.get("location", "")).hostname or "another path"
        return f"HTTP {answer.status}, a redirect to {target}"
    if isinstance(answer.json, dict):
        return f"HTTP {answer.status} without a message id"
    return _shape(answer)
