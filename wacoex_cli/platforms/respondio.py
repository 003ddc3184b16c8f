"""How fast respond.io's Developer API may be asked. Pure; times are seconds of one clock."""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING
from urllib.parse import quote

from wacoex_cli.errors import RefusedError, TemporaryError, WacoexError
from wacoex_cli.foundation.http import NotSentError, UnansweredError
from wacoex_cli.platforms.replies import (
    Node,
    NotSent,
    Page,
    Reply,
    Unclear,
    WorkspaceChannel,
    channels_in,
    page_in,
    refusal,
    respondio_reply_in,
)

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping

    from wacoex_cli.foundation.clock import Clock
    from wacoex_cli.foundation.http import Answer, Http
    from wacoex_cli.foundation.secrets import Secret

UNKNOWN_RATE = 5.0
"""Calls per second of an endpoint until its headers say otherwise."""
HIGHEST_LIMIT = 20
"""More is never asked for, whatever the headers say; the limit is shared by the organisation."""
# Calls arrive less evenly than they leave; at the very limit that would cost refusals.
_SHARE_OF_LIMIT = 0.9
_WINDOW_SECONDS = 1.0
_JITTER_SECONDS = 0.2


@dataclass(frozen=True)
class Pace:
    """What is known of one endpoint: the rate, its limit, when the next call may leave.

    `left_at` are the times of the newest calls, as many as the limit. `is_told`: whether the
    limit is what an answer said.
    """

    calls_per_second: float = UNKNOWN_RATE
    limit: int = int(UNKNOWN_RATE)
    free_at: float = 0.0
    left_at: tuple[float, ...] = ()
    is_told: bool = False


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
    told = _number(headers.get("x-ratelimit-limit"))
    if told:
        limit = min(max(int(told), 1), HIGHEST_LIMIT)
        rate = max(limit * _SHARE_OF_LIMIT, 1.0)
        pace = replace(pace, calls_per_second=rate, limit=limit, is_told=True)
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


__all__ = [
    "BEING_PROCESSED",
    "CONTACTS",
    "CREATING",
    "MESSAGE",
    "MESSAGES",
    "NOT_FOUND",
    "PAGE_OF_CONTACTS",
    "SENDING",
    "Node",
    "Page",
    "RespondIO",
    "contact_by",
    "each_page",
]

PAGE_OF_CONTACTS = 100
"""Most contacts that one call lists."""
CONTACTS, MESSAGES = "contact/list", "message/list"
"""The endpoints whose pace decides how long a sweep takes."""
MESSAGE, SENDING, CREATING = "message", "message/send", "contact/create"
"""The endpoints whose pace decides how long a broadcast takes."""

_MOST_ITEMS = "100"
_MOST_TRIES, _RETRY_SECONDS = 3, 2.0
_CONFLICT = 409
NOT_FOUND, BEING_PROCESSED = "respondio_404", "respondio_449"
"""The codes of the failures that concern one contact or message only."""
_ALL_CONTACTS: Mapping[str, object] = {"search": "", "timezone": "UTC", "filter": {"$and": []}}


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
        """All channels of the workspace."""
        return channels_in(await self._all("space/channel", "space/channel"))

    async def get_contact(self, identifier: str) -> Node:
        """One contact. Raises RefusedError `respondio_404` when there is none."""
        answer = await self._read("GET", "contact", _contact(identifier), {})
        return answer.json if isinstance(answer.json, dict) else {}

    async def list_contacts(self, cursor: str | None = None) -> Page:
        """A page of all contacts of the workspace."""
        params = _paging(cursor, _MOST_ITEMS)
        return page_in(await self._read("POST", CONTACTS, CONTACTS, params, _ALL_CONTACTS))

    async def list_messages(self, identifier: str, cursor: str | None = None) -> Page:
        """A page of a contact's messages over all its channels, newest first."""
        path = f"{_contact(identifier)}/message/list"
        return page_in(await self._read("GET", MESSAGES, path, _paging(cursor, _MOST_ITEMS)))

    async def contact_channels(self, identifier: str) -> list[Node]:
        """The channels a contact has written on or was written to."""
        return await self._all("contact/channels", f"{_contact(identifier)}/channels")

    async def get_message(self, identifier: str, message_id: str) -> Node:
        """One message of a contact, with its `status` list (respond.io: messages)."""
        answer = await self._read(
            "GET", MESSAGE, f"{_contact(identifier)}/message/{message_id}", {}
        )
        return answer.json if isinstance(answer.json, dict) else {}

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

        It waits for no turn: whoever sends keeps the pace. Source: "respond.io: messages".
        """
        try:
            answer = await self._post(SENDING, self.messages_url(identifier), body)
        except NotSentError as error:
            return NotSent(error.reason)
        except UnansweredError as error:
            return Unclear(error.reason)
        return respondio_reply_in(answer, self._token.reveal(), self._clock.now())

    def told_limit(self, endpoint: str) -> float | None:
        """Calls per second that an endpoint said it allows, 1 to 20; None until it has."""
        pace = self._paces.get(endpoint, Pace())
        return float(pace.limit) if pace.is_told else None

    def calls_per_second(self, endpoint: str) -> float:
        """The rate at which an endpoint is asked, as far as it has told."""
        return self._paces.get(endpoint, Pace()).calls_per_second

    async def _all(self, endpoint: str, path: str) -> list[Node]:
        async def ask(cursor: str | None) -> Page:
            params = _paging(cursor, _MOST_ITEMS)
            return page_in(await self._read("GET", endpoint, path, params))

        return [item async for page in each_page(ask) for item in page.items]

    async def _read(
        self,
        method: str,
        endpoint: str,
        path: str,
        params: Mapping[str, str],
        json: Mapping[str, object] | None = None,
    ) -> Answer:
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
        error = refusal(answer, self._token.reveal(), self._clock.now())
        if error is not None:
            raise error
        return answer

    async def _try_to_create(self, identifier: str, first_name: str) -> TemporaryError | None:
        """Post once; returns the failure that leaves open whether the contact is there."""
        await self._take_turn(CREATING)
        url = f"{self._root}/{_contact(identifier)}"
        try:
            answer = await self._post(CREATING, url, {"firstName": first_name})
        except (NotSentError, UnansweredError) as failure:
            hint = "check the network, then try again"
            reason = f"respond.io gives no answer: {failure.reason}"
            return TemporaryError(reason, hint=hint, code="unreachable")
        if answer.status == _CONFLICT:
            return None
        error = refusal(answer, self._token.reveal(), self._clock.now())
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

    async def _post(self, endpoint: str, url: str, body: Mapping[str, object]) -> Answer:
        answer = await self._http.send(url, headers=self._headers(), json=body)
        self._learn(endpoint, answer)
        return answer

    def _headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self._token.reveal()}"}

    def _learn(self, endpoint: str, answer: Answer) -> None:
        pace = self._paces.get(endpoint, Pace())
        self._paces[endpoint] = learn(pace, answer.headers, self._clock.monotonic())

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
    """How the API is told which contact is meant, by the number (E.164) of that person."""
    return f"phone:{phone}"


def _contact(identifier: str) -> str:
    return f"contact/{quote(identifier, safe=':+@')}"


def _paging(cursor: str | None, limit: str) -> dict[str, str]:
    return {"limit": limit, **({"cursorId": cursor} if cursor else {})}
