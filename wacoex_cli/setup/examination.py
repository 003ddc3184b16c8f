"""Asking Meta whether access tokens work: each distinct one once, several at a time."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from wacoex_cli.errors import CredentialError, WacoexError
from wacoex_cli.platforms.meta_answers import AccessToken

if TYPE_CHECKING:
    from wacoex_cli.foundation.secrets import Secret
    from wacoex_cli.foundation.workspace import Workspace
    from wacoex_cli.platforms.meta import Meta

_PATIENCE_SECONDS = 5.0
# These alone say that the token is no good; a good one may lack the right to ask about itself.
_NO_GOOD = frozenset({"meta_0", "meta_102", "meta_190"})


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
