"""Which channels may stand beside each other. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable

from wacoex_cli.channels.model import Channel, Details
from wacoex_cli.errors import UsageError

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_ID = re.compile(r"[0-9]{1,32}")


def check_name(name: str, others: Iterable[Channel]) -> None:
    """Raises UsageError for a name that cannot be one, or that is taken.

    Names that differ in case or punctuation alone would share the environment variables of
    their secrets (`WACOEX_META_TOKEN_SHOP_2`), so they count as the same.
    """
    if not _NAME.fullmatch(name):
        raise UsageError(
            f"`{name}` cannot be the name of a channel",
            hint="use up to 64 letters, digits, `-`, `_` and `.`, and begin with a letter or digit",
            code="channel_name",
        )
    for other in others:
        if alike(name) == alike(other.name):
            same = name == other.name
            raise UsageError(
                f"there is a channel `{other.name}` already"
                + ("" if same else f", and `{name}` would share its secrets"),
                hint=_way_out(other),
                code="channel_exists",
            )


def check_details(details: Details, others: Iterable[Channel]) -> None:
    """Raises UsageError for an id that is none, and for a number that another channel has."""
    ids = {
        "--phone-number-id": details.phone_number_id,
        "--waba-id": details.waba_id,
        "--partner-app-id": details.partner_app_id,
    }
    for option, value in ids.items():
        if value is not None and not _ID.fullmatch(value):
            raise UsageError(
                f"`{option}` must be digits only",
                hint="copy the id from WhatsApp Manager, without spaces",
                code="channel_id",
            )
    for other in others:
        if other.phone == details.phone:
            raise _taken(f"the number {details.phone}", other)
        if details.phone_number_id and other.phone_number_id == details.phone_number_id:
            raise _taken(f"the phone_number_id {details.phone_number_id}", other)


def _taken(what: str, other: Channel) -> UsageError:
    archived = ", which is archived" if other.archived_at else ""
    return UsageError(
        f"{what} belongs to channel `{other.name}`{archived}",
        hint=_way_out(other),
        code="channel_exists",
    )


def _way_out(other: Channel) -> str:
    verb = "restore" if other.archived_at else "show"
    return f"run `wacoex channel {verb} {other.name}`"


def alike(name: str) -> str:
    """The same for names that would share the environment variables of their secrets."""
    return re.sub(r"[._-]", "_", name.upper())
