"""Whether a link leads to a file that Meta can fetch and takes."""

from __future__ import annotations

import asyncio
import ipaddress
import socket
from typing import TYPE_CHECKING
from urllib.parse import urljoin, urlsplit

from wacoex_cli.foundation.http import Glimpse, NotSentError, UnansweredError
from wacoex_cli.media.checks import why_header_refused, why_refused
from wacoex_cli.media.files import HEAD_BYTES, type_of
from wacoex_cli.media.model import (
    DOC,
    DOCX,
    LIMITS,
    PPT,
    PPTX,
    XLS,
    XLSX,
    FileContent,
)
from wacoex_cli.templates.components import LINKS

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from wacoex_cli.foundation.http import Http

LOOKED_AT = 20
"""Of more different links than these only this many are looked at before a broadcast."""

_MOST_REDIRECTS = 5
_TRIES = 3
_PAUSE_SECONDS = 1.0
_AT_ONCE = 5
_LEFT_OPEN = {("application/zip", named) for named in (DOCX, XLSX, PPTX)} | {
    (DOC, named) for named in (XLS, PPT)
}
_CLOSED = {401: "asks for a password", 403: "forbids it", 404: "has no such file", 410: "is gone"}


class LinkChecker:
    """Looks at links through the program's own HTTP client, without any token.

    A link of a list may come from anybody: addresses inside a network are not asked, for Meta
    cannot reach them either. With `only_loopback` it is the other way round: a sandbox talks to
    this machine only, so links to elsewhere are left alone.
    """

    def __init__(self, http: Http, *, only_loopback: bool = False) -> None:
        self._http = http
        self._only_loopback = only_loopback

    async def problems(self, links: Collection[str], form: str) -> Mapping[str, str]:
        """What is wrong with each of the links, for a header of that format; not those in order."""
        turn = asyncio.Semaphore(_AT_ONCE)

        async def look(link: str) -> str | None:
            async with turn:
                return await self.problem(link, form)

        found = await asyncio.gather(*(look(link) for link in links))
        return {link: why for link, why in zip(links, found, strict=True) if why is not None}

    async def problem(self, link: str, form: str) -> str | None:
        """Why Meta could not use a link; None when it can.

        Status, type by content and by the server's word, and size are looked at. `form` is IMAGE,
        VIDEO, DOCUMENT or GIF.
        """
        if self._only_loopback and not is_loopback(link):
            return None
        address = link
        for _ in range(_MOST_REDIRECTS + 1):
            if (why := await self._why_not_asked(address)) is not None:
                return why
            found = await self._ask(address, max(LIMITS[form].values()))
            if isinstance(found, str):
                return found
            if not 300 <= found.status < 400 or not found.headers.get("location"):
                return _judged(found, form)
            address = urljoin(address, found.headers["location"])
        return f"it redirects more than {_MOST_REDIRECTS} times"

    async def _ask(self, address: str, most_bytes: int) -> Glimpse | str:
        """The beginning of the answer, or why there is none after a few tries."""
        why = "it gives no answer"
        for tries in range(1, _TRIES + 1):
            try:
                found = await self._http.glimpse(
                    address, start_bytes=HEAD_BYTES, most_bytes=most_bytes
                )
            except (NotSentError, UnansweredError) as error:
                why = f"it gives no answer: {error.reason}"
            else:
                if found.status != 429 and found.status < 500:
                    return found
                why = f"its server answers {found.status}"
            if tries < _TRIES:
                await self._http.clock.sleep(_PAUSE_SECONDS * tries)
        return why

    async def _why_not_asked(self, address: str) -> str | None:
        try:
            parts = urlsplit(address)
            host, port = parts.hostname, parts.port
        except ValueError:
            return "it is not a complete address"
        if not address.lower().startswith(LINKS) or not host:
            return "it is not an address that begins with https://"
        if parts.username or parts.password:
            return "it has a password in it"
        if any(character.isspace() or not character.isprintable() for character in address):
            return "it has a space in it; write %20"
        for found in await _addresses(host, port or 443):
            is_ours = found.is_loopback and self._only_loopback
            if not found.is_global and not is_ours:
                return f"it leads into a private network ({found}), where Meta cannot fetch it"
        return None


def is_loopback(address: str) -> bool:
    """Whether an address is on this machine."""
    try:
        host = urlsplit(address).hostname or ""
    except ValueError:
        return False
    return host == "localhost" or host.startswith("127.") or host == "::1"


def _judged(found: Glimpse, form: str) -> str | None:
    if found.status != 200:
        return f"its server {_CLOSED.get(found.status, 'does not give it')} ({found.status})"
    most = max(LIMITS[form].values())
    size = most + 1 if found.size is None else found.size
    media_type = found.headers.get("content-type", "")
    mime, named = type_of(found.start), media_type.partition(";")[0].strip().lower()
    # What a packed document is stands anywhere in it; its first bytes may not tell.
    content = FileContent(named if (mime, named) in _LEFT_OPEN else mime, size)
    return why_refused(form, content) or why_header_refused(form, media_type)


async def _addresses(host: str, port: int) -> list[ipaddress.IPv4Address | ipaddress.IPv6Address]:
    """The addresses of a name. Empty when they cannot be found: the request then says why."""
    try:
        found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        return []
    return [ipaddress.ip_address(str(address[0]).partition("%")[0]) for *_, address in found]
