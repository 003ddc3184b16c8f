"""Adding, changing and archiving channels, and which may stand beside each other.

Each call that changes something is one transaction.
"""

from __future__ import annotations

import dataclasses
import difflib
import re
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import TYPE_CHECKING

from wacoex_cli.channels.model import Channel, Details
from wacoex_cli.channels.store import Channels
from wacoex_cli.errors import UsageError
from wacoex_cli.foundation.clock import is_known_zone
from wacoex_cli.foundation.phone_numbers import normalise

if TYPE_CHECKING:
    from wacoex_cli.foundation.state import State

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_ID = re.compile(r"[0-9]{1,32}")


def add_channel(
    state: State, name: str, details: Details, now: datetime, *, dry_run: bool = False
) -> Channel:
    """Add a channel; with `dry_run` only check that it could be added.

    Raises UsageError for a name, number, id or time zone that is unfit or taken.
    """
    with state.transaction():
        others = Channels(state).all_channels()
        check_name(name, others)
        fit = fit_details(details, others)
        if dry_run:
            return Channel(**dataclasses.asdict(fit), name=name)
        Channels(state).insert(name, fit, now)
        return known(state, name)


def edit_channel(
    state: State,
    name: str,
    changes: Mapping[str, object],
    now: datetime,
    *,
    dry_run: bool = False,
) -> Channel:
    """Change some of a channel's details. Raises UsageError like `add_channel`.

    An id that another takes the place of is kept as a former one: what was told under it still
    belongs to the channel. One that is only taken away is forgotten.
    """
    with state.transaction():
        channel = known(state, name)
        changed: Channel = dataclasses.replace(channel, **changes)  # type: ignore[arg-type]
        others = [
            one for one in Channels(state).all_channels() if one.channel_id != channel.channel_id
        ]
        fit = dataclasses.replace(changed, phone=fit_details(changed, others).phone)
        if dry_run:
            return fit
        Channels(state).keep_replaced(channel.channel_id, channel, fit, now)
        Channels(state).update(channel.channel_id, fit)
        return known(state, name)


def archive_channel(state: State, name: str, now: datetime) -> Channel:
    """Put a channel away; its history is kept and it can be restored."""
    with state.transaction():
        channel = active(state, name)
        Channels(state).set_archived(channel.channel_id, now)
        return known(state, name)


def restore_channel(state: State, name: str, *, dry_run: bool = False) -> Channel:
    """Take an archived channel back. One that is not archived stays as it is."""
    with state.transaction():
        channel = known(state, name)
        if dry_run:
            return dataclasses.replace(channel, archived_at=None)
        if channel.archived_at:
            Channels(state).set_archived(channel.channel_id, None)
        return known(state, name)


def use_channel(state: State, name: str, *, dry_run: bool = False) -> Channel:
    """Make a channel the one that is meant when none is named."""
    with state.transaction():
        channel = active(state, name)
        if dry_run:
            return dataclasses.replace(channel, is_in_use=True)
        Channels(state).set_in_use(channel.channel_id)
        return known(state, name)


def known(state: State, name: str) -> Channel:
    """The channel of that name, archived or not; raises UsageError with the nearest name."""
    channel = Channels(state).find(name)
    if channel is None:
        raise _unknown(name, [one.name for one in Channels(state).all_channels()])
    return channel


def active(state: State, name: str) -> Channel:
    """Like `known`, but raises UsageError for an archived channel too."""
    channel = known(state, name)
    if channel.archived_at:
        raise UsageError(
            f"channel `{name}` is archived",
            hint=f"run `wacoex channel restore {name}` to use it again",
            code="channel_archived",
        )
    return channel


def fit_details(details: Details, others: Iterable[Channel]) -> Details:
    """The details with the number as E.164; raises UsageError when they are unfit or taken."""
    phone = normalise(details.phone)
    if phone is None:
        raise UsageError(
            f"`{details.phone}` is not a phone number",
            hint="write it with `+` and the country code, such as `+6591234567`",
            code="channel_phone",
        )
    if details.timezone is not None and not is_known_zone(details.timezone):
        raise UsageError(
            f"`{details.timezone}` is not a time zone",
            hint="write it as `Asia/Singapore` or `Europe/Berlin`",
            code="channel_timezone",
        )
    fields = {field.name: getattr(details, field.name) for field in dataclasses.fields(Details)}
    fit = Details(**{**fields, "phone": phone})
    check_details(fit, others)
    return fit


def all_active(state: State) -> list[Channel]:
    """Every channel that is not archived; raises UsageError when there is none."""
    found = [one for one in Channels(state).all_channels() if not one.archived_at]
    if not found:
        raise UsageError(
            "there is no channel yet",
            hint="add one with `wacoex channel add NAME --phone +65...`",
            code="channel_missing",
        )
    return found


def _unknown(name: str, names: list[str]) -> UsageError:
    near = difflib.get_close_matches(name, names, n=1)
    if near:
        hint = f"did you mean `{near[0]}`?"
    elif names:
        hint = f"there are {', '.join(f'`{one}`' for one in names)}"
    else:
        hint = "add it with `wacoex channel add NAME --phone +65...`"
    return UsageError(f"there is no channel `{name}`", hint=hint, code="channel_unknown")


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
