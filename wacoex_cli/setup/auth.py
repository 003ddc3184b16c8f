"""Secrets: storing and deleting them, which are in use, and whether Meta accepts them."""

from __future__ import annotations

import asyncio
import dataclasses
import difflib
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING

from wacoex_cli.channels import registry
from wacoex_cli.channels.look import Look
from wacoex_cli.channels.model import Channel, Provider
from wacoex_cli.channels.store import Channels
from wacoex_cli.errors import CredentialError, TemporaryError, UsageError, WacoexError
from wacoex_cli.findings.model import several
from wacoex_cli.foundation.secrets import Place, Secret, why_invalid
from wacoex_cli.foundation.settings import SECRET_VARIABLES
from wacoex_cli.platforms.answers import WRONG_KIND, AccessToken
from wacoex_cli.setup.config import unmarked

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence
    from datetime import datetime

    from wacoex_cli.foundation.workspace import Workspace
    from wacoex_cli.platforms.meta import Meta


_PATIENCE_SECONDS = 5.0
# These alone say that the token is no good; a good one may lack the right to ask about itself.
_NO_GOOD = frozenset({"meta_0", "meta_102", "meta_190"})
_EXAMINED = "meta-token"
# Fields that nothing else has (Meta: WhatsApp Business Account, phone number).
_OF_ACCOUNT, _OF_NUMBER = ("message_template_namespace",), ("display_phone_number",)
_NEEDED = {Provider.META: "meta-token", Provider.RESPONDIO: "respondio-token"}


@dataclass(frozen=True)
class Examined:
    """What Meta said about a token, or why it is not known.

    `wrong_ids` are the ids of its channel that belong to something else.
    """

    token: AccessToken = field(default_factory=AccessToken)
    failure: WacoexError | None = None
    wrong_ids: tuple[WacoexError, ...] = ()

    @property
    def doubt(self) -> str | None:
        """Why it is not known whether the token works."""
        if self.token.is_valid is not None:
            return None
        return self.failure.message if self.failure else "Meta does not say whether it works"

    def warnings(self, now: datetime) -> list[str]:
        """What should be changed although it works, and why it is unknown whether it does."""
        doubt = [f"it is not known whether it works: {self.doubt}"] if self.doubt else []
        wrong = [f"{error.message}: {error.hint}" for error in self.wrong_ids]
        return [*doubt, *self.token.warnings(now), *wrong]

    @property
    def was_answered(self) -> bool:
        """Whether Meta itself has answered: in its own words, or with what it knows of a token."""
        if self.failure is None:
            return True
        is_lasting = not isinstance(self.failure, TemporaryError)
        return is_lasting and self.failure.code.startswith("meta_")

    @property
    def refusal(self) -> CredentialError | None:
        """The error for a token which Meta says is no good."""
        if self.token.is_valid is not False:
            return None
        if isinstance(self.failure, CredentialError):
            return self.failure
        return CredentialError(
            "Meta says that this token is no longer valid",
            hint="make a new one in the Business settings of Meta, under System users",
            code="token_invalid",
        )


async def _examine_all(
    workspace: Workspace,
    tokens: Mapping[str | None, Secret],
    channels: Mapping[str | None, Channel] | None = None,
) -> dict[str | None, Examined]:
    from wacoex_cli.platforms.meta import Meta

    # The event loop has started, so that the HTTP client belongs to it.
    look = Look(workspace, workspace.clock.now())
    look.take_time_for(len(tokens))
    questions, ids = [], []
    for channel, token in tokens.items():
        settings = workspace.settings_for(channel) if channel else workspace.settings
        meta = Meta(
            workspace.http,
            token,
            settings.meta_base_url,
            settings.meta_api_version,
            workspace.secrets.find("meta-app-secret", channel),
            patience_seconds=_PATIENCE_SECONDS,
        )
        questions.append(look.token(meta))
        ids.append(_wrong_ids(look, meta, (channels or {}).get(channel)))
    answers, wrong = await asyncio.gather(asyncio.gather(*questions), asyncio.gather(*ids))
    return {
        channel: Examined(answer, wrong_ids=found)
        if isinstance(answer, AccessToken)
        else Examined(AccessToken(is_valid=False if answer.code in _NO_GOOD else None), answer)
        for channel, answer, found in zip(tokens, answers, wrong, strict=True)
    }


async def _wrong_ids(look: Look, meta: Meta, channel: Channel | None) -> tuple[WacoexError, ...]:
    """The ids of a channel that belong to something else, such as a portfolio.

    An account is asked about once, and numbers with the same token in one request.
    """
    questions: list[Awaitable[object]] = []
    if channel and channel.waba_id:
        of_account = partial(meta.waba, channel.waba_id, _OF_ACCOUNT)
        questions.append(look.once((meta.caller, channel.waba_id), of_account))
    if channel and channel.phone_number_id:
        questions.append(look.joined(meta).read(channel.phone_number_id, _OF_NUMBER))
    found = await asyncio.gather(*questions, return_exceptions=True)
    for unexpected in found:
        if isinstance(unexpected, BaseException) and not isinstance(unexpected, WacoexError):
            raise unexpected
    return tuple(it for it in found if isinstance(it, WacoexError) and it.code == WRONG_KIND)


@dataclass(frozen=True)
class LoggedIn:
    """A secret that was stored, or would be. `stored_in` is the place in words, None when not."""

    name: str
    channel: str | None
    secret: Secret
    stored_in: str | None
    token: AccessToken
    warnings: list[str]

    def to_json(self) -> dict[str, object]:
        """The data of `auth login`."""
        return {
            "name": self.name,
            "channel": self.channel,
            "stored_in": self.stored_in,
            "tail": self.secret.tail,
            "is_valid": self.token.is_valid,
            "expires_at": self.token.expires_at,
            "scopes": None if self.token.scopes is None else list(self.token.scopes),
            "warnings": self.warnings,
            "dry_run": self.stored_in is None,
        }


def check_name(name: str) -> str:
    """The name of a secret; raises UsageError that does not quote what may be the secret."""
    if name in SECRET_VARIABLES:
        return name
    near = difflib.get_close_matches(name, SECRET_VARIABLES, n=1)
    known = ", ".join(f"`{known}`" for known in SECRET_VARIABLES)
    raise UsageError(
        "that is not the name of a secret",
        hint=f"did you mean `{near[0]}`?" if near else f"the names are {known}",
        code="secret_unknown",
    )


def _check_free(
    workspace: Workspace, name: str, channel: str | None, *, insecure_file: bool
) -> None:
    """Raises WacoexError when what would be stored could not come into force."""
    if channel:
        registry.active(workspace.state, channel)
    given = workspace.secrets.given(name, channel)
    shared = next(iter(workspace.secrets.stored.files(name, None)), None)
    if given is not None:
        source, hint = given.source, "remove it there first, then log in again"
        if source.endswith("`"):  # a variable of the environment, not a line in a file
            hint = f"remove it there first, in a shell with `unset {source[1:]}, then log in again"
    elif channel and not insecure_file and shared is not None:
        source = str(shared)
        hint = f"run `wacoex auth logout {name}` first, or add `--insecure-file`"
    else:
        return
    raise WacoexError(
        f"{name} comes from {source}, and wacoex would use that instead of the stored one",
        hint=hint,
        code="credentials_overridden",
    )


def log_in(
    workspace: Workspace,
    name: str,
    channel: str | None,
    ask: Callable[[], str],
    *,
    insecure_file: bool,
    is_interactive: bool,
    dry_run: bool,
) -> LoggedIn:
    """Ask for a secret and store it for a channel, or for all channels that have none of their own.

    Where it `is_interactive`, the place for it is looked at before. A Graph token is shown to Meta
    first. One that Meta says is no good is not stored; one that
    Meta could not be asked about is, with a warning.

    Raises:
        UsageError: it cannot be a secret, or Meta's address is one that only the picked-up `.env`
            gives.
        CredentialError: Meta refuses it, or the keyring cannot be used.
        WacoexError: the file cannot be written, or what would be stored could not come into
            force: the environment gives the secret already, an insecure file for all channels
            would go before the keyring's secret of one, or the channel is unknown.
    """
    _check_free(workspace, name, channel, insecure_file=insecure_file)
    if is_interactive and not (insecure_file or dry_run):
        workspace.secrets.stored.demand_keyring(name, channel)
    if name == _EXAMINED:
        workspace.secrets.demand_address(name, "input")
    value = ask()
    problem = why_invalid(value)
    if problem is not None:
        raise UsageError(
            f"the {name} {problem}",
            hint="copy the secret again, alone and without quotes",
            code="credentials_unusable",
        )
    secret, token, warnings = Secret(value, "input"), AccessToken(), list[str]()
    if name == _EXAMINED:
        examined = workspace.run(_examine_all(workspace, {channel: secret}))[channel]
        if examined.refusal is not None:
            raise examined.refusal
        token, warnings = examined.token, examined.warnings(workspace.clock.now())
    stored_in = None
    if not dry_run:
        keep = workspace.secrets.stored
        stored_in = (keep.put_in_file if insecure_file else keep.put)(name, channel, value)
    return LoggedIn(name, channel, secret, stored_in, token, warnings)


def log_out(
    workspace: Workspace, name: str, channel: str | None, *, dry_run: bool = False
) -> list[str]:
    """Delete a stored secret; returns the places that had it, or with `dry_run` have it.

    Raises CredentialError when nothing was found and the keyring could not be asked.
    """
    if channel:
        registry.known(workspace.state, channel)
    return workspace.secrets.stored.forget(name, channel, dry_run=dry_run)


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
        """Whether anything was found, be it invalid."""
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
            found.append(f"it is unencrypted in {self.secret.source}")
        return found + (self.examined.warnings(now) if self.examined is not None else [])

    @property
    def token(self) -> AccessToken:
        """What Meta said about it; nothing when Meta was not asked."""
        return self.examined.token if self.examined else AccessToken()

    @property
    def error(self) -> WacoexError | None:
        """Why this entry keeps the whole from being well, naming the channel it belongs to."""
        return self.error_of((self.channel,) if self.channel else ())

    def error_of(self, channels: Sequence[str]) -> WacoexError | None:
        """The error as it reads of several channels that have it."""
        if self.problem is not None and len(channels) > 1:
            own, names = f"channel `{self.channel}`", several(f"`{name}`" for name in channels)
            message = self.problem.message.replace(own, f"channels {names}")
            return type(self.problem)(message, hint=self.problem.hint, code=self.problem.code)
        if self.problem is not None:
            return self.problem
        examined = self.examined or Examined()
        found: WacoexError | None = examined.refusal
        if found is None and examined.failure is not None and not examined.was_answered:
            found = examined.failure
        if found is None:
            return None
        return type(found)(
            f"{self.name}{owner_text(channels)}: {found.message}",
            hint=found.hint,
            code=found.code,
            details=found.details,
        )

    def to_row(self) -> tuple[object, ...]:
        """Name, channel, source, last four characters, whether it works, when it expires."""
        token = self.token
        expires = "never" if token.is_valid and token.expires_at is None else token.expires_at
        source = unmarked(self.secret.source) if self.secret else None
        tail = self.secret and (self.secret.tail or None)
        return (self.name, self.channel, source, tail, token.is_valid, expires)

    def to_json(self, now: datetime) -> dict[str, object]:
        """The entry of `auth status`."""
        token = self.token
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


def owner_text(channels: Sequence[str]) -> str:
    """` of channel `shop``, or of several; nothing for a secret of no channel in particular."""
    names = several(f"`{name}`" for name in channels)
    return f" of channel{'s' if len(channels) > 1 else ''} {names}" if names else ""


def common_rows(found: Sequence[Entry]) -> list[tuple[object, ...]]:
    """The rows for a terminal: one for all channels whose secret is the same and stands the same.

    `Entry.to_row` says what stands in a row.
    """
    channels: dict[tuple[object, ...], list[str]] = {}
    for entry in found:
        name, channel, *rest = entry.to_row()
        channels.setdefault((name, *rest), []).extend([str(channel)] if channel else [])
    return [(name, several(named) or None, *rest) for (name, *rest), named in channels.items()]


def common_warnings(found: Sequence[Entry], now: datetime) -> list[str]:
    """What should be changed, once for all channels that it is about."""
    channels: dict[tuple[str, str], list[str]] = {}
    for entry in found:
        for warning in entry.warnings(now):
            named = channels.setdefault((entry.name, warning), [])
            named += [entry.channel] if entry.channel else []
    return [f"{name}{owner_text(named)}: {text}" for (name, text), named in channels.items()]


def common_errors(found: Sequence[Entry]) -> list[WacoexError]:
    """What keeps the whole from being well, once for all channels that it is about."""
    same: dict[tuple[str, str, str | None], list[Entry]] = {}
    for entry in found:
        if error := entry.error_of(()):
            general = error.message.replace(f"`{entry.channel}`", "")
            same.setdefault((error.code, general, error.hint), []).append(entry)
    errors = (
        entries[0].error_of([entry.channel for entry in entries if entry.channel])
        for entries in same.values()
    )
    return [error for error in errors if error is not None]


def entries(workspace: Workspace, only: str | None, *, offline: bool) -> list[Entry]:
    """The secrets of each channel: what it needs, and what it has of its own; then the shared ones.

    When a channel is the `only` one asked about, it lists everything in use for it instead.
    Unless `offline`, Meta is asked about its tokens. Raises UsageError for an unknown channel.
    """
    workspace.warn_about_channels(Channels(workspace.state).names())
    channels: Sequence[Channel] = (
        [registry.active(workspace.state, only)]
        if only
        else [row for row in Channels(workspace.state).all_channels() if not row.archived_at]
    )
    shared = {name: _look(workspace, name, None) for name in SECRET_VARIABLES}
    found = []
    for channel in channels:
        for name in SECRET_VARIABLES:
            is_needed = name == _NEEDED[channel.provider]
            own = _look(workspace, name, channel.name, is_needed=is_needed)
            if is_needed or (own.is_there and (only or own.origin != shared[name].origin)):
                found.append(own)
    if only is None:
        listed = {(entry.name, entry.origin) for entry in found}
        rest = [entry for entry in shared.values() if (entry.name, entry.origin) not in listed]
        found += [entry for entry in rest if entry.is_there]
    return found if offline else _with_examined(workspace, found, channels)


def _look(
    workspace: Workspace, name: str, channel: str | None, *, is_needed: bool = False
) -> Entry:
    look = workspace.secrets.need if is_needed else workspace.secrets.find
    try:
        return Entry(name, channel, look(name, channel))
    except (CredentialError, UsageError) as error:
        return Entry(name, channel, None, error)


def _with_examined(
    workspace: Workspace, found: Sequence[Entry], channels: Sequence[Channel]
) -> list[Entry]:
    tokens = {
        entry.channel: entry.secret for entry in found if entry.name == _EXAMINED and entry.secret
    }
    by_name: dict[str | None, Channel] = {channel.name: channel for channel in channels}
    answers = workspace.run(_examine_all(workspace, tokens, by_name)) if tokens else {}
    return [
        dataclasses.replace(entry, examined=answers.get(entry.channel))
        if entry.name == _EXAMINED
        else entry
        for entry in found
    ]
