"""Storing and deleting secrets."""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from typing import TYPE_CHECKING

from wacoex_cli.channels import registry
from wacoex_cli.errors import UsageError, WacoexError
from wacoex_cli.foundation.secrets import Secret, why_unfit
from wacoex_cli.foundation.settings import SECRET_VARIABLES
from wacoex_cli.setup.examination import Examined, examine

if TYPE_CHECKING:
    from wacoex_cli.foundation.workspace import Workspace


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
