"""Which secrets are in force for which channel, and whether they work."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import TYPE_CHECKING

from wacoex_cli.channels.model import Channel, Provider
from wacoex_cli.errors import CredentialError, TemporaryError, WacoexError
from wacoex_cli.foundation.secrets import Place
from wacoex_cli.foundation.settings import SECRET_VARIABLES
from wacoex_cli.platforms.meta_answers import AccessToken
from wacoex_cli.setup.configuration import unmarked
from wacoex_cli.setup.examination import Examined, examine

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from wacoex_cli.foundation.secrets import Secret
    from wacoex_cli.foundation.workspace import Workspace

EXAMINED = "meta-token"
_NEEDED = {Provider.META: "meta-token", Provider.RESPONDIO: "respondio-token"}


@dataclass(frozen=True)
class Entry:
    """A secret of a channel, or of no channel in particular (None).

    `problem` is why it is missing or cannot be used; `examined` is None when nobody was asked.
    """

    name: str
    channel: str | None
    secret: Secret | None
    problem: WacoexError | None = None
    examined: Examined | None = None

    @property
    def is_there(self) -> bool:
        """Whether anything was found, be it unfit."""
        return self.secret is not None or self.problem is not None

    @property
    def origin(self) -> str | None:
        """Where it was found, the same for all channels that share it."""
        if self.problem is not None:
            return self.problem.message
        return self.secret.source if self.secret else None

    def warnings(self, now: datetime) -> list[str]:
        """What should be changed although it works, and why it is unknown whether it does."""
        found = []
        if self.secret is not None and self.secret.place is Place.INSECURE_FILE:
            found.append(f"it lies unencrypted in {self.secret.source}")
        if self.examined is not None:
            if self.examined.doubt:
                found.append(f"it is not known whether it works: {self.examined.doubt}")
            found += self.examined.token.warnings(now)
        return found

    @property
    def error(self) -> WacoexError | None:
        """Why this entry keeps the whole from being well."""
        examined = self.examined or Examined()
        found = self.problem or examined.refusal
        if found is None and isinstance(examined.failure, TemporaryError):
            found = examined.failure
        return _owned(found, self) if found is not None else None

    def to_row(self) -> tuple[object, ...]:
        """Name, channel, source, last four characters, whether it works, when it expires."""
        token = self.examined.token if self.examined else AccessToken()
        expires = "never" if token.is_valid and token.expires_at is None else token.expires_at
        source = unmarked(self.secret.source) if self.secret else None
        tail = self.secret and (self.secret.tail or None)
        return (self.name, self.channel, source, tail, token.is_valid, expires)

    def to_json(self, now: datetime) -> dict[str, object]:
        """The entry of `auth status`."""
        token = self.examined.token if self.examined else AccessToken()
        return {
            "name": self.name,
            "channel": self.channel,
            "source": unmarked(self.secret.source) if self.secret else None,
            "place": self.secret.place.value if self.secret else None,
            "tail": self.secret.tail if self.secret else None,
            "is_valid": token.is_valid,
            "type": token.type,
            "app_id": token.app_id,
            "expires_at": token.expires_at,
            "data_access_expires_at": token.data_access_expires_at,
            "scopes": None if token.scopes is None else list(token.scopes),
            "warnings": self.warnings(now),
        }


def entries(
    workspace: Workspace, channels: Sequence[Channel], *, only: str | None, offline: bool
) -> list[Entry]:
    """The secrets of each channel: what it needs, and what it has of its own; then the shared ones.

    When a channel is the `only` one asked about, it lists everything in force for it instead.
    Unless `offline`, Meta is asked about its tokens.
    """
    shared = {name: _look(workspace, name, None) for name in SECRET_VARIABLES}
    found = []
    for channel in channels:
        for name in SECRET_VARIABLES:
            own = _look(workspace, name, channel.name)
            if name == _NEEDED[channel.provider]:
                found.append(own if own.is_there else _missing(workspace, own))
            elif own.is_there and (only is not None or own.origin != shared[name].origin):
                found.append(own)
    if only is None:
        listed = {(one.name, one.origin) for one in found}
        rest = [one for one in shared.values() if (one.name, one.origin) not in listed]
        found += [one for one in rest if one.is_there]
    return found if offline else _examined(workspace, found)


def exit_status(found: Sequence[Entry]) -> int:
    """4 when a secret is missing or refused, else 6 when Meta is not reached, else 0."""
    statuses = {error.exit_status for one in found if (error := one.error) is not None}
    return min(statuses, default=0)


def _look(workspace: Workspace, name: str, channel: str | None) -> Entry:
    try:
        return Entry(name, channel, workspace.secrets.find(name, channel))
    except CredentialError as error:
        return Entry(name, channel, None, error)


def _missing(workspace: Workspace, entry: Entry) -> Entry:
    try:
        workspace.secrets.need(entry.name, entry.channel)
    except CredentialError as error:
        return dataclasses.replace(entry, problem=error)
    return entry


def _examined(workspace: Workspace, found: Sequence[Entry]) -> list[Entry]:
    tokens = {
        one.channel: one.secret for one in found if one.name == EXAMINED and one.secret is not None
    }
    answers = examine(workspace, tokens) if tokens else {}
    return [
        dataclasses.replace(one, examined=answers[one.channel])
        if one.name == EXAMINED and one.secret is not None
        else one
        for one in found
    ]


def _owned(error: WacoexError, entry: Entry) -> WacoexError:
    """The same error, naming the channel whose secret it is about."""
    if entry.problem is not None:
        return error
    owner = f" of channel `{entry.channel}`" if entry.channel else ""
    return type(error)(
        f"{entry.name}{owner}: {error.message}",
        hint=error.hint,
        code=error.code,
        details=error.details,
    )
