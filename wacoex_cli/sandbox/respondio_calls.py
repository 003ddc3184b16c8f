"""What the calls of the Developer API have in common: refusals, contacts, pages."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any
from urllib.parse import urlencode

from wacoex_cli.sandbox.respondio_world import Contact, RespondIOWorld
from wacoex_cli.sandbox.wire import Call, json_reply
from wacoex_cli.sandbox.world import World

LARGEST_PAGE = 100
LARGEST_PAGE_OF_MESSAGES = 50
_DEFAULT_PAGE = 10

Handler = Callable[[World, Call, "re.Match[str]"], object]


class Declined(Exception):
    """An answer that is no success: `{"code", "message"}` (respond.io: errors)."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.reply = json_reply({"code": status, "message": message}, status=status)


def found(respondio: RespondIOWorld, identifier: str) -> Contact:
    """The contact. Raises Declined 400 for no identifier, 404 for nobody, 449 while busy."""
    contact = sought(respondio, identifier)
    if contact is None:
        raise Declined(404, "Contact not found")
    if contact.ready_at > respondio.now():
        raise Declined(449, "The request is queued, try again in a few minutes")
    return contact


def sought(respondio: RespondIOWorld, identifier: str) -> Contact | None:
    """The contact, if there is one. Raises Declined 400 for what is no identifier."""
    try:
        return respondio.find(identifier)
    except ValueError as error:
        raise Declined(400, str(error)) from error


def refuse_unknown(given: Mapping[str, object], known: Collection[str], where: str) -> None:
    """Raises Declined 400 for a key that is not known (strict: our choice)."""
    unknown = sorted(given.keys() - set(known))
    if unknown:
        raise Declined(400, f"{where} has an unknown property {unknown[0]}")


def page(
    call: Call, rows: Sequence[Mapping[str, Any]], key: str, largest: int = LARGEST_PAGE
) -> dict[str, object]:
    """One page, ids falling or rising as the list does; the cursor is the id of its last item.

    Raises Declined 400 for a limit outside 1 to 100, or a cursor that is no id of the list.
    """
    limit = _whole_number(call.query.get("limit", str(_DEFAULT_PAGE)))
    if not 1 <= limit <= LARGEST_PAGE:
        raise Declined(400, "limit must be between 1 and 100")
    start = 0
    if call.query.get("cursorId"):
        cursor = _whole_number(call.query["cursorId"])
        places = [place for place, row in enumerate(rows) if row[key] == abs(cursor)]
        if not places:
            raise Declined(400, "cursorId is not valid")
        start = places[0] + 1
    part = rows[start : start + min(limit, largest)]
    pagination: dict[str, str | None] = {"next": None, "previous": None}
    if part and start + len(part) < len(rows):
        pagination["next"] = _url(call, limit, part[-1][key])
    if part and start:
        pagination["previous"] = _url(call, limit, -part[0][key])
    return {"items": list(part), "pagination": pagination}


def _url(call: Call, limit: int, cursor: int) -> str:
    return f"{call.origin}{call.path}?{urlencode({'limit': limit, 'cursorId': cursor})}"


def _whole_number(text: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise Declined(400, f"{text} is not a number") from None
