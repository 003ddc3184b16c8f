"""The users whom a WABA is assigned to (Meta: assigned users)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from wacoex_cli.sandbox.nodes import Node, parse_fields
from wacoex_cli.sandbox.paging import StaleCursor, page
from wacoex_cli.sandbox.refusals import Refusal, nonexisting_field

if TYPE_CHECKING:
    from wacoex_cli.sandbox.wire import Call
    from wacoex_cli.sandbox.world import World

_FIELDS = ("id", "name", "tasks")


def assigned_users(world: World, call: Call, node: Node) -> dict[str, object]:
    """Those of the portfolio named by `business`; others than the owner have none.

    Raises Refusal 100 without a portfolio, and for a field that a user does not have.
    """
    business = call.query.get("business")
    if not business:
        raise Refusal(100, message="(#100) The parameter business is required.")
    fields = list(parse_fields(call.query.get("fields") or "id,name"))
    unknown = [name for name in fields if name not in _FIELDS]
    if unknown:
        raise nonexisting_field(unknown[0], "AssignedUser")
    is_owner = business == node.values.get("owner_business")
    users = world.assigned_users.get(node.id, []) if is_owner else []
    rows = [{name: user[name] for name in fields if name in user} for user in users]
    try:
        return page(
            rows, call.query, url=f"{call.origin}{call.path}", revision=f"users:{len(users)}"
        )
    except StaleCursor as error:
        raise Refusal(100, message="(#100) Invalid cursor") from error
