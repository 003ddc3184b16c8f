"""Which partner a channel should have."""

from __future__ import annotations

from typing import TYPE_CHECKING

from wacoex_cli.partners import rule

if TYPE_CHECKING:
    from wacoex_cli.channels.model import Channel
    from wacoex_cli.foundation.workspace import Workspace
    from wacoex_cli.partners.model import Expected


def expected_of(workspace: Workspace, channel: Channel) -> Expected:
    """The partner that should hold a channel's WABA, from the channel and its settings.

    With a signup configuration of our own, numbers are connected with our own app.
    """
    settings = workspace.settings_for(channel.name)
    return rule.expected(channel, settings.meta_app_id if settings.meta_config_id else None)
