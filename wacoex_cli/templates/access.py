"""Where the templates of a channel are kept: at Meta, or in respond.io's copy."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from wacoex_cli.channels.access import meta_for, respondio_for
from wacoex_cli.channels.model import Provider
from wacoex_cli.templates.model import Template
from wacoex_cli.templates.reading import find_versions
from wacoex_cli.templates.respondio import RespondIOTemplates

if TYPE_CHECKING:
    from wacoex_cli.channels.model import Channel
    from wacoex_cli.foundation.workspace import Workspace
    from wacoex_cli.templates.reading import TemplateList


@dataclass(frozen=True)
class Shelf:
    """The templates that a channel's provider holds, and whose they are there."""

    provider: Provider
    listing: TemplateList
    owner_id: str

    async def all(self) -> list[Template]:
        """Every template, by name and language; raises what `TemplateList.templates` raises."""
        found = map(Template.from_meta, await self.listing.templates(self.owner_id))
        return sorted(found, key=lambda one: (one.name, one.language))

    async def versions(self, name: str) -> list[Template]:
        """One template in every language it has; raises like `reading.find_versions`."""
        return await find_versions(self.listing, self.owner_id, name)


def shelf_of(workspace: Workspace, channel: Channel) -> Shelf:
    """Where the templates of a channel are asked for.

    Raises UsageError without the id that names the channel there, CredentialError without a token.
    """
    if channel.provider is Provider.META:
        meta = meta_for(workspace, channel)
        return Shelf(channel.provider, meta, channel.demand_waba_id())
    listing = RespondIOTemplates(respondio_for(workspace, channel))
    return Shelf(channel.provider, listing, str(channel.demand_respondio_channel_id()))
