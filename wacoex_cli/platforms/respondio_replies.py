"""What respond.io's answers mean: a page, a message taken or not, or a refusal. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import parse_qs, urlsplit

from wacoex_cli.errors import CredentialError, RefusedError, TemporaryError, WacoexError
from wacoex_cli.foundation.answer import retry_after_seconds
from wacoex_cli.platforms.replies import Declined, Reply, Taken, Unclear

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from wacoex_cli.foundation.answer import Answer

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


def reply_in(answer: Answer, secret: str, now: datetime) -> Reply:
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
