"""What the signup needs before a page is shown: the own app, and a place for its token."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from wacoex_cli.errors import CredentialError, UsageError
from wacoex_cli.platforms.meta_signup import SignupApp

if TYPE_CHECKING:
    from wacoex_cli.foundation.secrets import Secret
    from wacoex_cli.foundation.stored_secrets import StoredSecrets
    from wacoex_cli.foundation.workspace import Workspace

_TOKEN = "meta-token"  # noqa: S105 - the name of a secret
_APP_SECRET = "meta-app-secret"  # noqa: S105
_NO_APP = "; without an app of your own, connect with `--via respondio`"


@dataclass(frozen=True)
class TokenPlace:
    """Where the token of the signup will be kept, decided before there is one."""

    stored: StoredSecrets
    channel: str
    is_file: bool

    @property
    def in_words(self) -> str:
        """The kind of place, for the person."""
        return "a file that only you may read" if self.is_file else "the keyring of this computer"

    def keep(self, token: Secret) -> str:
        """Store it; returns the place. Raises WacoexError when it cannot be stored after all."""
        put = self.stored.put_in_file if self.is_file else self.stored.put
        return put(_TOKEN, self.channel, token.reveal())


@dataclass(frozen=True)
class Access:
    """The own app, its signup configuration, Meta's script, and where the token goes."""

    app: SignupApp
    config_id: str
    sdk_url: str
    place: TokenPlace


def demand_access(workspace: Workspace, channel: str) -> Access:
    """Everything that is needed, looked up before anything is opened.

    Raises:
        UsageError: the app id or the id of its signup configuration is not set.
        CredentialError: there is no app secret, or no place for the token.
    """
    settings = workspace.settings_for(channel)
    app_id = _demanded(settings.meta_app_id, "id of an own Meta app", "WACOEX_META_APP_ID")
    config_id = _demanded(
        settings.meta_config_id, "id of a signup configuration", "WACOEX_META_CONFIG_ID"
    )
    app = SignupApp(
        app_id,
        workspace.secrets.need(_APP_SECRET, channel),
        settings.meta_base_url,
        settings.meta_api_version,
    )
    return Access(app, config_id, settings.meta_sdk_url, _place(workspace, channel))


def _demanded(value: str | None, what: str, variable: str) -> str:
    if value is None:
        raise UsageError(
            f"there is no {what}",
            hint=f"set `{variable}`, or `{variable[7:].lower()}` in config.toml{_NO_APP}",
            code="signup_incomplete",
        )
    return value


def _place(workspace: Workspace, channel: str) -> TokenPlace:
    """The keyring; files only for those who keep secrets in files already, as they asked for."""
    secrets, stored = workspace.secrets, workspace.secrets.stored
    given = secrets.given(_TOKEN, channel)
    if given is not None:
        raise CredentialError(
            f"{_TOKEN} comes from {given.source}, which goes before what the signup would store",
            hint="remove it there, or unset it for this command, then run it again",
            code="credentials_overridden",
        )
    if stored.files(_TOKEN, channel) or stored.files(_APP_SECRET, channel):
        return TokenPlace(stored, channel, is_file=True)
    problem = _why_no_keyring(workspace)
    if problem is not None:
        raise CredentialError(
            f"there is no place for the token: {problem}",
            hint="unlock or switch on the keyring; or run"
            f" `wacoex auth login {_APP_SECRET} --insecure-file`, and the token goes to such a"
            " file too",
            code="keyring_unusable",
        )
    return TokenPlace(stored, channel, is_file=False)


def _why_no_keyring(workspace: Workspace) -> str | None:
    if not workspace.settings.keyring:
        return "`WACOEX_KEYRING` is off"
    problem = workspace.secrets.keyring_problem()
    return f"the keyring cannot be used: {problem}" if problem else None
