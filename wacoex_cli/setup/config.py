"""The settings and secrets in use, where each comes from, and where files are looked for."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from wacoex_cli.errors import CredentialError, UsageError
from wacoex_cli.foundation.settings import SECRET_VARIABLES, settings_origins

if TYPE_CHECKING:
    from collections.abc import Mapping

    from wacoex_cli.foundation.workspace import Workspace


class ShownSetting(NamedTuple):
    """A setting or a secret. `value` is fit to be shown: of a secret its last four characters."""

    name: str
    value: str | int | float | None
    source: str


class Location(NamedTuple):
    """A file or directory that wacoex uses when it is there."""

    name: str
    path: Path
    exists: bool


def settings_in_force(
    workspace: Workspace, channel: str | None, flags: Mapping[str, object]
) -> list[ShownSetting]:
    """Every setting; `flags` holds those that an option of this command line decides."""
    settings = workspace.settings_for(channel) if channel else workspace.settings
    origins = settings_origins(workspace.sources, channel)
    return [
        ShownSetting(name, _plain(flags[name]), f"--{name.replace('_', '-')}")
        if name in flags
        else ShownSetting(name, _plain(getattr(settings, name)), unmarked(origin))
        for name, origin in origins.items()
    ]


def secrets_in_force(workspace: Workspace, channel: str | None) -> list[ShownSetting]:
    """Every secret, for a channel or for all; one that cannot be used says why as its source."""
    found = []
    for name in SECRET_VARIABLES:
        try:
            secret = workspace.secrets.find(name, channel)
        except (CredentialError, UsageError) as error:
            found.append(ShownSetting(name, None, unmarked(error.message)))
            continue
        source = unmarked(secret.source) if secret else "not set"
        found.append(ShownSetting(name, str(secret) if secret else None, source))
    return found


def locations(workspace: Workspace) -> list[Location]:
    """The files and directories in use, whether or not they exist yet."""
    settings, sources = workspace.settings, workspace.sources
    paths = {
        "state": settings.state,
        "state directory": settings.state.parent,
        "config.toml": sources.toml_path,
        "config directory": settings.config_dir,
        "secrets directory": workspace.secrets.stored.directory,
        ".env": sources.dotenv_path.absolute(),
    }
    return [Location(name, path, path.exists()) for name, path in paths.items()]


def unmarked(source: str) -> str:
    """A source without the backticks that set names off in sentences."""
    return source.replace("`", "")


def _plain(value: object) -> str | int | float | None:
    """The value for JSON; types that hide what they hold stay hidden as text."""
    return value if value is None or isinstance(value, str | int | float) else str(value)
