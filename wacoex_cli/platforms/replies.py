"""What the answer to a message means: taken, refused, declined, unclear, or never sent. Pure."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from urllib.parse import urlsplit

from wacoex_cli.foundation.answer import Answer, retry_after_seconds

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
