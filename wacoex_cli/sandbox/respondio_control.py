"""What `/_sandbox/respondio` shows and changes of the pretend respond.io."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from wacoex_cli.sandbox.respondio_world import TEMPLATE_PATHS, RespondIOWorld

CHANGES = frozenset(
    {
        "channels",
        "components_as_text",
        "contact_ready_seconds",
        "contacts",
        "limits",
        "messages",
        "retry_after",
        "statuses",
        "template_path",
        "token",
    }
)
"""What `change` takes."""


def show(respondio: RespondIOWorld) -> dict[str, object]:
    """How the workspace behaves, how many contacts it has, and what was asked of it."""
    return {
        "channels": respondio.channels,
        "components_as_text": respondio.components_as_text,
        "contact_ready_seconds": respondio.contact_ready_seconds,
        "contacts": len(respondio.contacts),
        "limits": respondio.limits(),
        "retry_after": respondio.retry_after,
        "template_path": respondio.template_path,
        "calls": dict(sorted(respondio.calls.items())),
    }


def change(respondio: RespondIOWorld, values: Mapping[str, Any]) -> dict[str, object]:
    """Add contacts, messages and statuses, set limits; raises ValueError for what is unfit."""
    try:
        _set(respondio, values)
        return _added(respondio, values)
    except (TypeError, KeyError, AttributeError) as error:
        raise ValueError(f"not usable: {error}") from error


def _set(respondio: RespondIOWorld, values: Mapping[str, Any]) -> None:
    path = values.get("template_path", respondio.template_path)
    if path not in TEMPLATE_PATHS:
        raise ValueError(f"`template_path` must be one of {', '.join(TEMPLATE_PATHS)}")
    if not isinstance(values.get("components_as_text", True), bool):
        raise ValueError("`components_as_text` must be true or false")
    respondio.template_path = path
    respondio.components_as_text = values.get("components_as_text", respondio.components_as_text)
    respondio.contact_ready_seconds = float(
        values.get("contact_ready_seconds", respondio.contact_ready_seconds)
    )
    if "channels" in values:
        respondio.set_channels(values["channels"])
    for endpoint, limit in values.get("limits", {}).items():
        respondio.set_limit(endpoint, int(limit))
    respondio.retry_after = int(values.get("retry_after", respondio.retry_after))
    respondio.token = str(values.get("token", respondio.token))


def _added(respondio: RespondIOWorld, values: Mapping[str, Any]) -> dict[str, object]:
    contacts = [
        respondio.add_contact(
            one.get("phone"), one.get("firstName", ""), ready_in=one.get("ready_in", 0)
        ).id
        for one in values.get("contacts", [])
    ]
    messages = [_add_message(respondio, one)["messageId"] for one in values.get("messages", [])]
    for one in values.get("statuses", []):
        respondio.add_status(int(one["messageId"]), str(one["value"]), one.get("message"))
    return {"contacts": contacts, "messages": messages}


def _add_message(respondio: RespondIOWorld, values: Mapping[str, Any]) -> dict[str, Any]:
    contact = respondio.find(str(values["contact"]))
    if contact is None:
        raise ValueError(f"there is no contact `{values['contact']}`")
    more = {
        name: values[name]
        for name in ("traffic", "source", "at", "channel_id", "channel_message_id", "status")
        if name in values
    }
    return respondio.add_message(contact, values["message"], **more)
