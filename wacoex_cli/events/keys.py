"""The keys of the listener: who may deliver, and when that is too little to begin."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from wacoex_cli.channels.ledger import all_channels
from wacoex_cli.errors import CredentialError, UsageError
from wacoex_cli.foundation.settings import is_loopback, ways_to_give

if TYPE_CHECKING:
    from wacoex_cli.foundation.workspace import Workspace


@dataclass(frozen=True)
class Keys:
    """Every app secret, signing key and verify token there is, shared ones and channels' own."""

    app_secrets: tuple[str, ...] = field(repr=False)
    signing_keys: tuple[str, ...] = field(repr=False)
    verify_tokens: tuple[str, ...] = field(repr=False)


def known_keys(workspace: Workspace) -> Keys:
    """All keys as they are now; whoever changes one starts the listener again.

    Raises CredentialError when one of them cannot be a secret.
    """
    signing = _values(workspace, "respondio-signing-key")
    return Keys(
        app_secrets=_values(workspace, "meta-app-secret"),
        signing_keys=tuple(dict.fromkeys(key for one in signing for key in one.split(",") if key)),
        verify_tokens=_values(workspace, "webhook-verify-token"),
    )


def demand_keys(keys: Keys, host: str, *, insecure: bool) -> None:
    """Raise unless deliveries can be told from forgeries, or only this machine can deliver.

    Raises:
        CredentialError: there is neither an app secret nor a signing key.
        UsageError: unsigned deliveries are to be taken from other machines.
    """
    if insecure and not is_loopback(host):
        raise UsageError(
            f"`--insecure` takes what nobody signed, and `{host}` is open to other machines",
            hint="leave out `--host`, or give the keys and leave out `--insecure`",
            code="insecure_host",
        )
    if not (insecure or keys.app_secrets or keys.signing_keys):
        raise CredentialError(
            "there is neither a meta-app-secret nor a respondio-signing-key:"
            " anybody could deliver anything",
            hint=f"{ways_to_give('meta-app-secret')}; for respond.io"
            f" {ways_to_give('respondio-signing-key')};"
            " to try it on this machine add `--insecure`",
            code="credentials_missing",
        )


def _values(workspace: Workspace, name: str) -> tuple[str, ...]:
    channels = [one.name for one in all_channels(workspace.state) if not one.archived_at]
    found = (workspace.secrets.find(name, owner) for owner in (None, *channels))
    return tuple(dict.fromkeys(one.reveal() for one in found if one is not None))
