"""respond.io's Developer API with one token: its pace, its lists, contacts, messages and refusals.

Times of the pace are seconds of one clock.
"""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import parse_qs, quote, urlsplit

from wacoex_cli.errors import CredentialError, RefusedError, TemporaryError, WacoexError
from wacoex_cli.foundation.http import (
    NotSentError,
    UnansweredError,
    redirect_target,
    retry_after_seconds,
)
from wacoex_cli.platforms.answers import Declined, NotSent, Reply, Taken, Unclear

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
    from datetime import datetime

    from wacoex_cli.foundation.clock import Clock
    from wacoex_cli.foundation.http import Answer, Http
    from wacoex_cli.foundation.secrets import Secret

UNKNOWN_RATE = 5.0
"""Calls per second of an endpoint until its headers say otherwise."""
HIGHEST_LIMIT = 20
"""More is never asked for, whatever the headers say; the limit is shared by the organisation."""
PAGE_OF_CONTACTS = 100
"""Most contacts that one call lists."""
CONTACTS, MESSAGES = "contact/list", "message/list"
"""The endpoints whose pace decides how long a sweep takes."""
MESSAGE, SENDING, CREATING = "message", "message/send", "contact/create"
"""The endpoints whose pace decides how long a broadcast takes."""
NOT_FOUND, BEING_PROCESSED = "respondio_404", "respondio_449"
"""The codes of the failures that concern one contact or message only."""

# Calls arrive less evenly than they leave; at the very limit that would cost refusals.
_SHARE_OF_LIMIT = 0.9
_WINDOW_SECONDS = 1.0
_JITTER_SECONDS = 0.2
_MOST_ITEMS = "100"
_MOST_TRIES, _RETRY_SECONDS = 3, 2.0
_CONFLICT, _THROTTLED, _BEING_PROCESSED = 409, 429, 449
# A firewall, or another server at a wrong address, says these in HTML: nothing went further.
_TURNED_AWAY = frozenset({401, 403, 404})
_LONGEST_SAID = 300
_MOST_PAGES = 200
# The state file holds no larger numbers.
_LARGEST_ID = 2**63
_MOST_DIGITS = 19
_ALL_CONTACTS: Mapping[str, object] = {"search": "", "timezone": "UTC", "filter": {"$and": []}}
_HOW_TO_GET_IN = (
    "make a token under Workspace Settings > Integrations > Developer API,"
    " then run `wacoex auth login respondio-token`"
)
_REFUSED = {
    400: "the request is not valid",
    404: "there is no such contact, message or channel",
    409: "it conflicts with what exists",
}

Node = dict[str, Any]


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


@dataclass(frozen=True)
class Pace:
    """What is known of one endpoint: the rate, its limit, when the next call may leave.

    `left_at` are the times of the newest calls, as many as the limit. `is_reported`: whether the
    limit is what an answer said.
    """

    calls_per_second: float = UNKNOWN_RATE
    limit: int = int(UNKNOWN_RATE)
    free_at: float = 0.0
    left_at: tuple[float, ...] = ()
    is_reported: bool = False


def take_slot(pace: Pace, now: float) -> tuple[Pace, float]:
    """The pace after one more call, and the seconds this call has to wait before it leaves."""
    at = max(now, pace.free_at)
    left_at = (*pace.left_at, at)[-pace.limit :]
    return replace(pace, free_at=at + 1.0 / pace.calls_per_second, left_at=left_at), at - now


def learn(pace: Pace, headers: Mapping[str, str], now: float) -> Pace:
    """The pace after an answer that came at `now`.

    `X-RateLimit-Limit` is read as calls per second. At `X-RateLimit-Remaining: 0` the next call
    waits for a second, unless it was we who used this one up (respond.io: rate limits).
    """
    reported = _number(headers.get("x-ratelimit-limit"))
    if reported:
        limit = min(max(int(reported), 1), HIGHEST_LIMIT)
        rate = max(limit * _SHARE_OF_LIMIT, 1.0)
        pace = replace(pace, calls_per_second=rate, limit=limit, is_reported=True)
    if _number(headers.get("x-ratelimit-remaining")) == 0 and not _is_of_our_making(pace):
        pace = replace(pace, free_at=max(pace.free_at, now + _WINDOW_SECONDS))
    return pace


def _is_of_our_making(pace: Pace) -> bool:
    """Whether our own calls explain that nothing remains; the rate then sees to the rest."""
    ours = pace.left_at[-pace.limit :]
    return len(ours) == pace.limit and ours[-1] - ours[0] <= _WINDOW_SECONDS + _JITTER_SECONDS


def _number(text: str | None) -> float | None:
    try:
        number = float(text or "")
    except ValueError:
        return None
    return number if math.isfinite(number) and number >= 0 else None


class RespondIO:
    """The Developer API with one token, which travels in one header only.

    A contact is named by `id:123` or `phone:+65...` (respond.io: contacts). Every call but
    `send_message` waits for its turn, and raises CredentialError when the token is at fault,
    TemporaryError for throttling, an unreachable server, a contact that is still being processed
    or an unusable answer, and RefusedError for anything else; the code is `respondio_` and the
    HTTP status.
    """

    def __init__(self, http: Http, token: Secret, base_url: str, *, clock: Clock) -> None:
        self.calls = 0
        """How many reads were asked for."""
        self._http = http
        self._token = token
        self._root = base_url.rstrip("/")
        self._clock = clock
        self._paces: dict[str, Pace] = {}
        self.caller = hashlib.sha256(f"{self._root} {token.reveal()}".encode()).hexdigest()
        """The same for all that ask the same server with the same token."""

    async def list_channels(self) -> tuple[WorkspaceChannel, ...]:
        """All channels of the workspace that have an id (respond.io: channels).

        Raises TemporaryError when none of the entries can be read.
        """
        nodes = await self._all("space/channel", "space/channel")
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

    async def get_contact(self, identifier: str) -> Node:
        """One contact. Raises RefusedError `respondio_404` when there is none."""
        return await self._read("GET", "contact", _contact(identifier), {})

    async def list_contacts(
        self, cursor: str | None = None, chosen: Mapping[str, object] | None = None
    ) -> Page:
        """A page of all contacts of the workspace, or of those that a `filter` of the API chooses.

        Source: "respond.io: contacts, list".
        """
        body = _ALL_CONTACTS if chosen is None else {**_ALL_CONTACTS, "filter": chosen}
        return _page_in(await self._read("POST", CONTACTS, CONTACTS, _paging(cursor), body))

    async def list_messages(self, identifier: str, cursor: str | None = None) -> Page:
        """A page of a contact's messages over all its channels, newest first."""
        path = f"{_contact(identifier)}/message/list"
        return _page_in(await self._read("GET", MESSAGES, path, _paging(cursor)))

    async def contact_channels(self, identifier: str) -> list[Node]:
        """The channels a contact has written on or was written to."""
        return await self._all("contact/channels", f"{_contact(identifier)}/channels")

    async def get_message(self, identifier: str, message_id: str) -> Node:
        """One message of a contact, with its `status` list (respond.io: messages)."""
        path = f"{_contact(identifier)}/message/{message_id}"
        return await self._read("GET", MESSAGE, path, {})

    async def templates(self, channel_id: int) -> list[Node]:
        """The templates of a channel as respond.io holds them, which may lag behind Meta.

        Its own programs use two paths for them, so the second is asked where the first is none.
        """
        try:
            return await self._all("space/template", f"space/channel/{channel_id}/template")
        except WacoexError as error:
            if error.code != NOT_FOUND:
                raise
        return await self._all("space/mtm", f"space/channel/{channel_id}/mtm")

    async def create_contact(self, identifier: str, first_name: str) -> None:
        """See to it that there is a contact `phone:+65...`; one that is there is left as it is.

        A try whose outcome is not known is followed by a look, so that nothing is done twice.
        Raises TemporaryError when even that leaves it open.
        """
        for tries in range(1, _MOST_TRIES + 1):
            error = await self._try_to_create(identifier, first_name)
            if error is None or await self.has_contact(identifier):
                return
            if tries == _MOST_TRIES:
                raise error
            await self._clock.sleep(_RETRY_SECONDS * tries)

    def messages_url(self, identifier: str) -> str:
        """Where messages to a contact are posted to."""
        return f"{self._root}/{_contact(identifier)}/message"

    async def send_message(self, identifier: str, body: Mapping[str, object]) -> Reply:
        """Send one message in one single try; never raises for what the network or respond.io does.

        It waits for no turn: the sender keeps the pace. Source: "respond.io: messages".
        """
        answer = await self._post(SENDING, self.messages_url(identifier), body)
        if isinstance(answer, NotSent | Unclear):
            return answer
        return reply_in(answer, self._token.reveal(), self._clock.now())

    def stated_limit(self, endpoint: str) -> float | None:
        """Calls per second that an endpoint said it allows, 1 to 20; None until it has."""
        pace = self._paces.get(endpoint, Pace())
        return float(pace.limit) if pace.is_reported else None

    def calls_per_second(self, endpoint: str) -> float:
        """The rate at which an endpoint is asked, as far as it has said."""
        return self._paces.get(endpoint, Pace()).calls_per_second

    async def _all(self, endpoint: str, path: str) -> list[Node]:
        async def ask(cursor: str | None) -> Page:
            return _page_in(await self._read("GET", endpoint, path, _paging(cursor)))

        items: list[Node] = []
        pages = 0
        async for page in each_page(ask):
            items += page.items
            pages += 1
            if pages > _MOST_PAGES:
                raise _unusable(f"its list goes on after {_MOST_PAGES} pages")
        return items

    async def _read(
        self,
        method: str,
        endpoint: str,
        path: str,
        params: Mapping[str, str],
        json: Mapping[str, object] | None = None,
    ) -> Node:
        await self._take_turn(endpoint)
        self.calls += 1
        answer = await self._http.read(
            method,
            f"{self._root}/{path}",
            headers=self._headers(),
            params=params,
            json=json,
        )
        self._learn(endpoint, answer)
        error = self._refusal(answer)
        if error is not None:
            raise error
        return _dictionary(answer.json)

    async def _try_to_create(self, identifier: str, first_name: str) -> TemporaryError | None:
        """Post once; returns the failure that leaves open whether the contact is there."""
        await self._take_turn(CREATING)
        url = f"{self._root}/{_contact(identifier)}"
        answer = await self._post(CREATING, url, {"firstName": first_name})
        if isinstance(answer, NotSent | Unclear):
            hint = "check the network, then try again"
            reason = f"respond.io gives no answer: {answer.reason}"
            return TemporaryError(reason, hint=hint, code="unreachable")
        if answer.status == _CONFLICT:
            return None
        error = self._refusal(answer)
        if error is None or (isinstance(error, TemporaryError) and answer.status // 100 != 4):
            return error
        raise error

    async def has_contact(self, identifier: str) -> bool:
        """Whether there is such a contact, one that is still being processed included."""
        try:
            await self.get_contact(identifier)
        except (RefusedError, TemporaryError) as error:
            if error.code not in (NOT_FOUND, BEING_PROCESSED):
                raise
            return error.code == BEING_PROCESSED
        return True

    async def _post(
        self, endpoint: str, url: str, body: Mapping[str, object]
    ) -> Answer | NotSent | Unclear:
        try:
            answer = await self._http.send(url, headers=self._headers(), json=body)
        except NotSentError as error:
            return NotSent(error.reason)
        except UnansweredError as error:
            return Unclear(error.reason)
        self._learn(endpoint, answer)
        return answer

    def _headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self._token.reveal()}"}

    def _learn(self, endpoint: str, answer: Answer) -> None:
        pace = self._paces.get(endpoint, Pace())
        self._paces[endpoint] = learn(pace, answer.headers, self._clock.monotonic())

    def _refusal(self, answer: Answer) -> WacoexError | None:
        """Why an answer is no success, without the token; None when it is one."""
        if 200 <= answer.status < 300:
            return None if isinstance(answer.json, dict) else _unusable(_shape(answer))
        said = _said(answer, self._token.reveal())
        kind, meaning, hint = _meaning(answer, self._clock.now())
        return kind(
            f"respond.io refused: {meaning} (HTTP {answer.status})",
            hint=hint,
            code=f"respondio_{answer.status}",
            details={"status": answer.status, **({"message": said} if said else {})},
        )

    async def _take_turn(self, endpoint: str) -> None:
        pace, wait = take_slot(self._paces.get(endpoint, Pace()), self._clock.monotonic())
        self._paces[endpoint] = pace
        if wait > 0:
            await self._clock.sleep(wait)


async def each_page(
    ask: Callable[[str | None], Awaitable[Page]], cursor: str | None = None
) -> AsyncGenerator[Page, None]:
    """One page after another, from that cursor on; one that comes again ends them."""
    seen: set[str] = set()
    while True:
        page = await ask(cursor)
        yield page
        cursor = page.next_cursor
        if cursor is None or cursor in seen:
            return
        seen.add(cursor)


def contact_by(phone: str) -> str:
    """How the API learns which contact is meant, by the number (E.164) of that person."""
    return f"phone:{phone}"


def _contact(identifier: str) -> str:
    return f"contact/{quote(identifier, safe=':+@')}"


def _paging(cursor: str | None) -> dict[str, str]:
    return {"limit": _MOST_ITEMS, **({"cursorId": cursor} if cursor else {})}


def _page_in(body: Node) -> Page:
    """Of the URL in `pagination.next` only the cursor is taken, so that no host is followed."""
    items, following = body.get("items"), _dictionary(body.get("pagination")).get("next")
    if not isinstance(items, list):
        raise _unusable("it holds no list")
    cursor = None
    if isinstance(following, str) and following:
        try:
            [cursor, *_] = parse_qs(urlsplit(following).query).get("cursorId", [])
        except ValueError:
            raise _unusable("it names a next page without a cursor") from None
    return Page(tuple(item for item in items if isinstance(item, dict)), cursor)


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
    body = _dictionary(answer.json)
    if 200 <= status < 300:
        message_id = identity(body.get("messageId"))
        return Taken(str(message_id)) if message_id else Unclear(_shape_of_reply(answer), wait)
    is_its_own = 400 <= status < 500 and not body.keys().isdisjoint({"code", "message"})
    said = _said(answer, secret) or ("" if is_its_own else _shape(answer))
    if is_its_own or status in (_THROTTLED, _BEING_PROCESSED):
        return Declined(status, said, wait)
    if status in _TURNED_AWAY:
        return Declined(status, said, wait, from_api=False)
    return Unclear(_shape_of_reply(answer), wait)


def _unusable(why: str) -> TemporaryError:
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
        return CredentialError, "its firewall refused the request", _HOW_TO_GET_IN
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


def _said(answer: Answer, secret: str) -> str:
    message = _dictionary(answer.json).get("message")
    return message.replace(secret, "****")[:_LONGEST_SAID] if isinstance(message, str) else ""


def _shape(answer: Answer) -> str:
    return f"HTTP {answer.status}, {answer.size} bytes that are not a JSON object"


def _shape_of_reply(answer: Answer) -> str:
    if 300 <= answer.status < 400:
        return f"HTTP {answer.status}, a redirect to {redirect_target(answer.headers)}"
    if isinstance(answer.json, dict):
        return f"HTTP {answer.status} without a message id"
    return _shape(answer)


def _dictionary(value: object) -> Node:
    return value if isinstance(value, dict) else {}
