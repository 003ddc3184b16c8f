"""Secrets: storing and deleting them, which are in force, and whether Meta takes them."""

from __future__ import annotations

import asyncio
import dataclasses
import difflib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from wacoex_cli.channels import registry
from wacoex_cli.channels.model import Channel, Provider
from wacoex_cli.errors import CredentialError, TemporaryError, UsageError, WacoexError
from wacoex_cli.foundation.secrets import Place, Secret, why_unfit
from wacoex_cli.foundation.settings import SECRET_VARIABLES
from wacoex_cli.platforms.answers import AccessToken
from wacoex_cli.setup.config import unmarked

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from wacoex_cli.foundation.workspace import Workspace
    from wacoex_cli.platforms.meta import Meta


_PATIENCE_SECONDS = 5.0
# These alone say that the token is no good; a good one may lack the right to ask about itself.
_NO_GOOD = frozenset({"meta_0", "meta_102", "meta_190"})
EXAMINED = "meta-token"
_NEEDED = {Provider.META: "meta-token", Provider.RESPONDIO: "respondio-token"}


@dataclass(frozen=True)
class Examined:
    """What Meta said about a token, or why it is not known."""

    token: AccessToken = field(default_factory=AccessToken)
    failure: WacoexError | None = None

    @property
    def doubt(self) -> str | None:
        """Why it is not known whether the token works."""
        if self.token.is_valid is not None:
            return None
        return self.failure.message if self.failure else "Meta does not say whether it works"

    @property
    def refusal(self) -> CredentialError | None:
        """The error that tells of a token which Meta says is no good."""
        if self.token.is_valid is not False:
            return None
        if isinstance(self.failure, CredentialError):
            return self.failure
        return CredentialError(
            "Meta says that this token is not valid any more",
            hint="make a new one in the Business settings of Meta, under System users",
            code="token_invalid",
        )


def examine(
    workspace: Workspace, tokens: Mapping[str | None, Secret]
) -> dict[str | None, Examined]:
    """Examine the tokens of channels (None: of no channel in particular). Raises nothing."""
    return workspace.run(_examine_all(workspace, tokens))


async def _examine_all(
    workspace: Workspace, tokens: Mapping[str | None, Secret]
) -> dict[str | None, Examined]:
    from wacoex_cli.channels.look import Look

    # The event loop has started, so that the HTTP client belongs to it.
    look = Look(workspace, workspace.clock.now())
    questions = (look.token(_meta(workspace, token, channel)) for channel, token in tokens.items())
    answers = await asyncio.gather(*questions)
    return {channel: _examined(answer) for channel, answer in zip(tokens, answers, strict=True)}


def _examined(answer: AccessToken | WacoexError) -> Examined:
    if isinstance(answer, AccessToken):
        return Examined(answer)
    return Examined(AccessToken(is_valid=False if answer.code in _NO_GOOD else None), answer)


def _meta(workspace: Workspace, token: Secret, channel: str | None) -> Meta:
    from wacoex_cli.platforms.meta import Meta

    settings = workspace.settings_for(channel) if channel else workspace.settings
    return Meta(
        workspace.http,
        token,
        settings.meta_base_url,
        settings.meta_api_version,
        workspace.secrets.find("meta-app-secret", channel),
        patience_seconds=_PATIENCE_SECONDS,
    )


@dataclass(frozen=True)
class LoggedIn:
    """A secret that was stored, or would be. `stored_in` is the place in words, None when not."""

    secret: Secret
    stored_in: str | None
    examined: Examined | None
    warnings: tuple[str, ...]


def check_name(name: str) -> str:
    """The name of a secret; raises UsageError that does not quote what may be the secret."""
    if name in SECRET_VARIABLES:
        return name
    near = difflib.get_close_matches(name, SECRET_VARIABLES, n=1)
    known = ", ".join(f"`{one}`" for one in SECRET_VARIABLES)
    raise UsageError(
        "that is not the name of a secret",
        hint=f"did you mean `{near[0]}`?" if near else f"the names are {known}",
        code="secret_unknown",
    )


def check_free(
    workspace: Workspace, name: str, channel: str | None, *, insecure_file: bool
) -> None:
    """Raises WacoexError when what would be stored could not come into force.

    That is so when the environment gives the secret already, when an insecure file for all
    channels would go before the keyring's secret of one, and when the channel is unknown.
    """
    if channel:
        registry.active(workspace.state, channel)
    given = workspace.secrets.given(name, channel)
    if given is not None:
        raise _overridden(name, given.source, "remove it there first, then log in again")
    shared = workspace.secrets.stored.shared_file(name)
    if channel and not insecure_file and shared is not None:
        hint = f"run `wacoex auth logout {name}` first, or add `--insecure-file`"
        raise _overridden(name, str(shared), hint)


def log_in(
    workspace: Workspace,
    name: str,
    channel: str | None,
    value: str,
    *,
    insecure_file: bool,
    dry_run: bool,
) -> LoggedIn:
    """Check a secret and store it for a channel, or for all channels that have none of their own.

    A Graph token is shown to Meta first. One that Meta says is no good is not stored; one that
    Meta could not be asked about is, with a warning.

    Raises:
        UsageError: it cannot be a secret.
        CredentialError: Meta refuses it, or the keyring cannot be used.
        WacoexError: the file cannot be written.
    """
    problem = why_unfit(value)
    if problem is not None:
        raise UsageError(
            f"the {name} {problem}",
            hint="copy the secret again, alone and without quotes",
            code="credentials_unfit",
        )
    secret = Secret(value, "input")
    examined = examine(workspace, {channel: secret})[channel] if name == "meta-token" else None
    if examined is not None and examined.refusal is not None:
        raise examined.refusal
    stored_in = None
    if not dry_run:
        keep = workspace.secrets.stored
        stored_in = (keep.put_in_file if insecure_file else keep.put)(name, channel, value)
    return LoggedIn(secret, stored_in, examined, tuple(_warnings(workspace, examined)))


def log_out(
    workspace: Workspace, name: str, channel: str | None, *, dry_run: bool = False
) -> list[str]:
    """Delete a stored secret; returns the places that had it, or with `dry_run` have it.

    Raises CredentialError when nothing was found and the keyring could not be asked.
    """
    if channel:
        registry.known(workspace.state, channel)
    return workspace.secrets.stored.forget(name, channel, dry_run=dry_run)


def _warnings(workspace: Workspace, examined: Examined | None) -> list[str]:
    if examined is None:
        return []
    doubt = [f"it is not known whether it works: {examined.doubt}"] if examined.doubt else []
    return doubt + examined.token.warnings(workspace.clock.now())


def _overridden(name: str, source: str, hint: str) -> WacoexError:
    return WacoexError(
        f"{name} comes from {source}, which goes before what would be stored",
        hint=hint,
        code="credentials_overridden",
    )


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
    return found if offline else _with_examined(workspace, found)


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


def _with_examined(workspace: Workspace, found: Sequence[Entry]) -> list[Entry]:
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
