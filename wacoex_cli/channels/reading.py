"""Reading a channel's facts from Meta, so that a refused field costs only itself."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any

from wacoex_cli.channels.model import (
    META,
    PHONE_NUMBER_FIELDS,
    SUBSCRIBED_APPS,
    TOKEN_FIELDS,
    TOKEN_PREFIX,
    WABA_FIELDS,
    WABA_PREFIX,
    Fact,
    from_node,
    not_available,
)
from wacoex_cli.errors import CredentialError, RefusedError, WacoexError
from wacoex_cli.foundation.clock import to_text

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from wacoex_cli.platforms.meta import Meta, Node

    ReadNode = Callable[[str, Sequence[str]], Awaitable[Node]]

_MOST_CALLS_FOR_ONE_NODE = 16
_FIELD_REFUSED = 100
_PERMISSIONS = frozenset({3, 10, *range(200, 300)})
_NAMED_FIELD = re.compile(r"nonexisting field \((\w+)\)")


@dataclass
class _Fields:
    """What one node gave, which fields were refused and why, and the calls that took."""

    given: dict[str, Any] = field(default_factory=dict)
    refused: dict[str, str] = field(default_factory=dict)
    calls: int = 0


async def read_phone_number(meta: Meta, phone_number_id: str, now: datetime) -> list[Fact]:
    """Everything about the number. Raises as `Meta` does when the node itself is refused."""
    found = await _read_node(meta.phone_number, phone_number_id, PHONE_NUMBER_FIELDS)
    return from_node("", PHONE_NUMBER_FIELDS, found.given, found.refused, to_text(now))


async def read_waba(meta: Meta, waba_id: str, now: datetime) -> list[Fact]:
    """Everything about the account. One that this token may not see is not available.

    Raises TemporaryError when Meta gives no usable answer.
    """
    try:
        found = await _read_node(meta.waba, waba_id, WABA_FIELDS)
    except (CredentialError, RefusedError) as error:
        return not_available(WABA_PREFIX, WABA_FIELDS, error.message, to_text(now))
    return from_node(WABA_PREFIX, WABA_FIELDS, found.given, found.refused, to_text(now))


async def read_subscribed_apps(meta: Meta, waba_id: str, now: datetime) -> list[Fact]:
    """The apps attached to the account. A list this token may not see is not available.

    Raises TemporaryError when Meta gives no usable answer.
    """
    try:
        found = await meta.subscribed_apps(waba_id)
    except (CredentialError, RefusedError) as error:
        return not_available(WABA_PREFIX, [SUBSCRIBED_APPS], error.message, to_text(now))
    apps = [{name: value for name, value in app._asdict().items() if value} for app in found]
    return [Fact(f"{WABA_PREFIX}{SUBSCRIBED_APPS}", apps, META, to_text(now))]


async def read_token(meta: Meta, now: datetime) -> list[Fact]:
    """Validity, expiry and scopes of the token. Not every token may ask about itself.

    Raises TemporaryError when Meta gives no usable answer.
    """
    try:
        token = await meta.debug_token()
    except (CredentialError, RefusedError) as error:
        return not_available(TOKEN_PREFIX, TOKEN_FIELDS, error.message, to_text(now))
    return from_node(TOKEN_PREFIX, TOKEN_FIELDS, token.values, {}, to_text(now))


async def _read_node(read: ReadNode, node_id: str, fields: Sequence[str]) -> _Fields:
    """All fields in one call; where that is refused, without the field at fault."""
    found = _Fields()
    groups = [list(fields)]
    while groups:
        group = groups.pop(0)
        if found.calls >= _MOST_CALLS_FOR_ONE_NODE:
            found.refused.update(dict.fromkeys(group, "Meta refused too many fields to go on"))
            continue
        try:
            found.given.update(await _one_call(found, read, node_id, group))
        except WacoexError as error:
            if not _concerns_a_field(error):
                raise
            groups += await _without_the_culprit(found, read, node_id, group, error)
    return found


async def _without_the_culprit(
    found: _Fields, read: ReadNode, node_id: str, group: list[str], error: WacoexError
) -> list[list[str]]:
    """The groups to try next, after Meta refused this one."""
    named = _NAMED_FIELD.search(str(error.details.get("message", "")))
    culprit = group[0] if len(group) == 1 else named[1] if named else ""
    if culprit in group:
        found.refused[culprit] = error.message
        rest = [name for name in group if name != culprit]
        return [rest] if rest else []
    if found.calls == 1:
        # Raises when it is the node that is refused, not one of its fields.
        await _one_call(found, read, node_id, ["id"])
    middle = len(group) // 2
    return [group[:middle], group[middle:]]


async def _one_call(found: _Fields, read: ReadNode, node_id: str, fields: Sequence[str]) -> Node:
    found.calls += 1
    return await read(node_id, fields)


def _concerns_a_field(error: WacoexError) -> bool:
    code = error.details.get("code")
    if code == _FIELD_REFUSED:
        return error.details.get("subcode") is None
    return code in _PERMISSIONS
