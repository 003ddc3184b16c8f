"""respond.io's Developer API v2, as far as wacoex uses it: reading contacts and messages."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING
from urllib.parse import quote

from wacoex_cli.platforms.respondio_pace import Pace, learn, take_slot
from wacoex_cli.platforms.respondio_replies import Node, Page, page_in, refusal

if TYPE_CHECKING:
    from collections.abc import Mapping

    from wacoex_cli.foundation.answer import Answer
    from wacoex_cli.foundation.clock import Clock
    from wacoex_cli.foundation.http import Http
    from wacoex_cli.foundation.secrets import Secret

__all__ = ["CONTACTS", "MESSAGES", "PAGE_OF_CONTACTS", "Node", "Page", "RespondIO"]

PAGE_OF_CONTACTS = 100
"""Most contacts that one call lists."""
CONTACTS, MESSAGES = "contact/list", "message/list"
"""The endpoints whose pace decides how long a sweep takes."""

_MOST_ITEMS = "100"
_ALL_CONTACTS: Mapping[str, object] = {"search": "", "timezone": "UTC", "filter": {"$and": []}}


class RespondIO:
    """The Developer API with one token, which travels in one header only.

    A contact is named by `id:123` or `phone:+65...` (respond.io: contacts). Every call waits for
    its turn, and raises CredentialError when the token is at fault, TemporaryError for
    throttling, an unreachable server, a contact that is still being processed or an unusable
    answer, and RefusedError for anything else; the code is `respondio_` and the HTTP status.
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

    async def list_channels(self) -> list[Node]:
        """All channels of the workspace: `id`, `name`, `source`, `created_at`."""
        return await self._all("space/channel", "space/channel")

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

    def calls_per_second(self, endpoint: str) -> float:
        """The rate at which an endpoint is asked, as far as it has told."""
        return self._paces.get(endpoint, Pace()).calls_per_second

    async def _all(self, endpoint: str, path: str) -> list[Node]:
        found: list[Node] = []
        cursor: str | None = None
        seen: set[str] = set()
        while True:
            page = page_in(await self._read("GET", endpoint, path, _paging(cursor, _MOST_ITEMS)))
            found += page.items
            cursor = page.next_cursor
            if cursor is None or cursor in seen:
                return found
            seen.add(cursor)

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
            headers={"Authorization": f"Bearer {self._token.reveal()}"},
            params=params,
            json=json,
        )
        pace = self._paces.get(endpoint, Pace())
        self._paces[endpoint] = learn(pace, answer.headers, self._clock.monotonic())
        error = refusal(answer, self._token.reveal(), self._clock.now())
        if error is not None:
            raise error
        return answer

    async def _take_turn(self, endpoint: str) -> None:
        pace, wait = take_slot(self._paces.get(endpoint, Pace()), self._clock.monotonic())
        self._paces[endpoint] = pace
        if wait > 0:
            await self._clock.sleep(wait)


def _contact(identifier: str) -> str:
    return f"contact/{quote(identifier, safe=':+@')}"


def _paging(cursor: str | None, limit: str) -> dict[str, str]:
    return {"limit": limit, **({"cursorId": cursor} if cursor else {})}
