"""Making an answer of respond.io's that a fault demands."""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus

from wacoex_cli.sandbox import breakages
from wacoex_cli.sandbox.faults import REFUSALS, Fault
from wacoex_cli.sandbox.refusals import KNOWN_CODES
from wacoex_cli.sandbox.wire import Reply, json_reply
from wacoex_cli.sandbox.world import World

_TOO_MANY = 429
_STATUSES: Mapping[str, int] = {"throttled": _TOO_MANY, "expired_token": 401, "error_in_200": 200}
_TEXTS: Mapping[int, str] = {
    401: "Unauthorized",
    404: "Contact not found",
    _TOO_MANY: "Too many requests",
    449: "The request is queued, try again in a few minutes",
}


def status_of(fault: Fault) -> int:
    """The HTTP status of a fault that refuses.

    respond.io has no codes of its own (respond.io: errors), so the `code` of a `refuse` is an
    HTTP status from 400 to 499; any other refusal is a 400 that has Meta's words.
    """
    if fault.status is not None:
        return fault.status
    if fault.code is not None and 400 <= fault.code <= 499:
        return fault.code
    return _STATUSES.get(fault.kind, HTTPStatus.BAD_REQUEST)


def spoil(world: World, fault: Fault, reply: Reply, endpoint: str | None) -> Reply:
    """What the caller gets to see in place of `reply`."""
    if fault.kind not in REFUSALS:
        return breakages.spoil(fault, reply, "")
    status = status_of(fault)
    body = {"code": status, "message": fault.details or _text(fault, status)}
    headers = {}
    if status == _TOO_MANY and endpoint is not None:
        headers = world.respondio.turned_away(endpoint)
    return json_reply(body, status=status, headers={**headers, **fault.headers})


def _text(fault: Fault, status: int) -> str:
    if status in _TEXTS:
        return _TEXTS[status]
    return KNOWN_CODES.get(fault.error_code or 0, (0, "Bad request"))[1]
