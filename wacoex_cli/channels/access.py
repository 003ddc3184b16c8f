"""Which channel a command means, and the way to the API behind it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from wacoex_cli.channels import registry
from wacoex_cli.channels.store import Channels
from wacoex_cli.errors import UsageError

if TYPE_CHECKING:
    from wacoex_cli.channels.model import Channel
    from wacoex_cli.foundation.settings import Settings
    from wacoex_cli.foundation.workspace import Workspace
    from wacoex_cli.platforms.meta import Meta
    from wacoex_cli.platforms.respondio import RespondIO
    from wacoex_cli.terminal.options import Invocation


PATIENCE_SECONDS = 2.0
"""How long a failed read is tried again where many channels are looked at."""


def choose_channel(workspace: Workspace, invocation: Invocation) -> Channel:
    """`--channel`, else `WACOEX_CHANNEL`, else the one in use, else the only one.

    Raises UsageError for an unknown or archived channel, and when the choice is open.
    """
    warn_about_unknown_tables(workspace)
    name = invocation.channel or workspace.settings.channel
    if name:
        return registry.active(workspace.state, name)
    channels = [one for one in Channels(workspace.state).all_channels() if not one.archived_at]
    in_use = [one for one in channels if one.is_in_use]
    if in_use or len(channels) == 1:
        return (in_use or channels)[0]
    if not channels:
        raise UsageError(
            "there is no channel yet",
            hint="add one with `wacoex channel add NAME --phone +65...`",
            code="channel_missing",
        )
    raise UsageError(
        "which channel is meant?",
        hint=f"add `--channel NAME`, one of {', '.join(f'`{one.name}`' for one in channels)}",
        code="channel_open",
        details={"channels": [one.name for one in channels]},
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


def warn_about_unknown_tables(workspace: Workspace) -> None:
    """Tell of each `[channels.NAME]` in config.toml whose channel does not exist."""
    if not workspace.sources.channel_tables:
        return
    names = {channel.name for channel in Channels(workspace.state).all_channels()}
    for name in sorted(workspace.sources.channel_tables.keys() - names):
        workspace.warn(f"`[channels.{name}]` in config.toml: there is no channel of that name")


def _settings(workspace: Workspace, name: str | None) -> Settings:
    return workspace.settings_for(name) if name else workspace.settings
