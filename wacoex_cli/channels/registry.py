"""Adding, changing and choosing channels, and the way to the API behind each.

Each call that changes something is one transaction.
"""

from __future__ import annotations

import dataclasses
import difflib
import re
from typing import TYPE_CHECKING, TypeVar

from wacoex_cli.channels.facts import FACTS, stored_facts
from wacoex_cli.channels.model import Channel, Details
from wacoex_cli.channels.store import Channels, Facts
from wacoex_cli.errors import UsageError
from wacoex_cli.foundation.clock import is_known_zone
from wacoex_cli.foundation.phone_numbers import normalise
from wacoex_cli.foundation.secrets import channel_suffix, is_reserved
from wacoex_cli.platforms.answers import A_NUMBER, AN_ACCOUNT, AN_APP, WRONG_KIND, IdOf
from wacoex_cli.terminal.render import Result

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from datetime import datetime

    from wacoex_cli.foundation.settings import Settings
    from wacoex_cli.foundation.state import State
    from wacoex_cli.foundation.workspace import Workspace
    from wacoex_cli.platforms.meta import Meta
    from wacoex_cli.platforms.respondio import RespondIO
    from wacoex_cli.terminal.options import Invocation

Entered = TypeVar("Entered", bound=Details)
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_ID = re.compile(r"[0-9]{1,32}")
_NAMED_IN_HINT = 5
PATIENCE_SECONDS = 2.0
"""How long a failed read is tried again where many channels are looked at."""


def add_channel(
    state: State, name: str, details: Details, now: datetime, *, dry_run: bool = False
) -> Channel:
    """Add a channel; with `dry_run` only check that it could be added.

    Raises UsageError for a name, number, id or time zone that is not valid, or is taken.
    """
    with state.transaction():
        others = Channels(state).all_channels()
        check_name(name, others)
        fit = fit_details(details, others)
        check_kinds(state, fit, others)
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

    An id that another takes the place of is kept as a former one: what was said under it still
    belongs to the channel. One that is only taken away is forgotten.
    """
    with state.transaction():
        channel = known(state, name)
        key = channel.channel_id
        others = [other for other in Channels(state).all_channels() if other.channel_id != key]
        wanted: Channel = dataclasses.replace(channel, **changes)  # type: ignore[arg-type]
        fit = fit_details(wanted, others)
        check_kinds(state, fit, others)
        if dry_run:
            return fit
        Channels(state).keep_replaced(key, channel, fit, now)
        Channels(state).update(key, fit)
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
    if channel:
        return channel
    names = Channels(state).names()
    near = difflib.get_close_matches(name, names, n=1)
    hint = "add it with `wacoex channel add NAME --phone +65...`"
    if near:
        hint = f"did you mean `{near[0]}`?"
    elif names:
        shown = ", ".join(f"`{other}`" for other in names[:_NAMED_IN_HINT])
        hint = f"there are {shown}"
        if len(names) > _NAMED_IN_HINT:
            more = len(names) - _NAMED_IN_HINT
            hint = f"{hint} and {more} more: `wacoex channel list --archived`"
    raise UsageError(
        f"there is no channel `{name}` in {state.path}", hint=hint, code="channel_unknown"
    )


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


def fit_details(details: Entered, others: Iterable[Channel]) -> Entered:
    """The details with the number as E.164; raises UsageError when they are invalid or taken."""
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
    fit = dataclasses.replace(details, phone=phone)
    check_details(fit, others)
    return fit


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
    if is_reserved(name):
        raise UsageError(
            f"`{name}` cannot be the name of a channel:"
            f" `WACOEX_META_TOKEN_{channel_suffix(name)}` names a file",
            hint="choose a name that neither begins nor ends with the word `file`",
            code="channel_name",
        )
    for other in others:
        if alike(name) == alike(other.name):
            same = name == other.name
            raise UsageError(
                f"channel `{other.name}` exists already"
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
            what = f"the number {details.phone}"
        elif details.phone_number_id and other.phone_number_id == details.phone_number_id:
            what = f"the phone_number_id {details.phone_number_id}"
        else:
            continue
        archived = ", which is archived" if other.archived_at else ""
        raise UsageError(
            f"{what} belongs to channel `{other.name}`{archived}",
            hint=_way_out(other),
            code="channel_exists",
        )


def check_kinds(state: State, details: Details, others: Iterable[Channel]) -> None:
    """Raises UsageError for an id that is known as that of something else.

    Known are the ids of the other channels, and what Meta said of portfolios and apps.
    """
    known = Facts(state).other_ids()
    for other in (*others, details):
        known.setdefault(other.partner_app_id or "", AN_APP)
        known.setdefault(other.phone_number_id or "", A_NUMBER)
        known.setdefault(other.waba_id or "", AN_ACCOUNT)
    for wanted in IdOf:
        value = getattr(details, wanted.value)
        kind = known[value] if value else wanted.noun
        if kind != wanted.noun:
            raise UsageError(
                f"{value} is the id of {kind}, not of {wanted.noun}",
                hint=wanted.way_to_find,
                code=WRONG_KIND,
            )


def _way_out(other: Channel) -> str:
    verb = "restore" if other.archived_at else "show"
    return f"run `wacoex channel {verb} {other.name}`"


def listed(workspace: Workspace, *, archived: bool) -> list[dict[str, object]]:
    """The entries of `channel list`; with `archived` those of archived channels too."""
    channels = Channels(workspace.state).all_channels()
    workspace.warn_about_channels([channel.name for channel in channels])
    shown = [channel for channel in channels if archived or not channel.archived_at]
    return entries_of(workspace, shown)


def entries_of(workspace: Workspace, channels: Sequence[Channel]) -> list[dict[str, object]]:
    """What was entered about each channel, and how it is connected as far as is stored."""
    found = stored_facts(workspace.state, channels, workspace.clock.now(), FACTS)
    return [
        channel.to_json() | found[channel.channel_id].connection.to_json() for channel in channels
    ]


def changed(workspace: Workspace, channel: Channel, what: str, dry_run: bool) -> Result:
    """What a command says that changed a channel, or `dry_run` would have."""
    [entry] = entries_of(workspace, [channel])
    would = "would be " if dry_run else ""
    text = f"channel {channel.name} ({channel.phone}) {would}{what}"
    return Result({**entry, "dry_run": dry_run}, [text])


def alike(name: str) -> str:
    """The same for names that would share the environment variables of their secrets."""
    return channel_suffix(name)


def choose_channel(workspace: Workspace, invocation: Invocation) -> Channel:
    """`--channel`, else `WACOEX_CHANNEL`, else the one in use, else the only one.

    Raises UsageError for an unknown or archived channel, and when the choice is open.
    """
    workspace.warn_about_channels(Channels(workspace.state).names())
    name = invocation.channel or workspace.settings.channel
    if name:
        return active(workspace.state, name)
    channels = Channels(workspace.state).all_active()
    in_use = [channel for channel in channels if channel.is_in_use]
    if in_use or len(channels) == 1:
        return (in_use or channels)[0]
    names = [channel.name for channel in channels]
    raise UsageError(
        "which channel do you mean?",
        hint=f"add `--channel NAME`, one of {', '.join(f'`{name}`' for name in names)}",
        code="channel_open",
        details={"channels": names},
    )


def meta_for(
    workspace: Workspace, channel: Channel | None, *, patience_seconds: float | None = None
) -> Meta:
    """The Graph API with the token and the settings of that channel, or of all when None.

    `patience_seconds` shortens how long a failed read is tried again.
    Raises CredentialError without a token.
    """
    from wacoex_cli.platforms.meta import Meta

    name = channel.name if channel else None
    settings = _settings(workspace, name)
    return Meta(
        workspace.http,
        workspace.secrets.need("meta-token", name),
        settings.meta_base_url,
        settings.meta_api_version,
        workspace.secrets.find("meta-app-secret", name),
        patience_seconds=patience_seconds,
    )


def respondio_for(workspace: Workspace, channel: Channel | None) -> RespondIO:
    """respond.io's Developer API with the token and settings of that channel, or of all when None.

    Raises CredentialError without a token.
    """
    from wacoex_cli.platforms.respondio import RespondIO

    name = channel.name if channel else None
    return RespondIO(
        workspace.http,
        workspace.secrets.need("respondio-token", name),
        _settings(workspace, name).respondio_base_url,
        clock=workspace.clock,
    )


def _settings(workspace: Workspace, name: str | None) -> Settings:
    return workspace.settings_for(name) if name else workspace.settings
