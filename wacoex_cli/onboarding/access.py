"""What a step may ask Meta, and why it may not."""

from __future__ import annotations

from typing import TYPE_CHECKING

from wacoex_cli.channels.access import meta_for
from wacoex_cli.onboarding.model import Outcome, StepState

if TYPE_CHECKING:
    from wacoex_cli.onboarding.journey import Context
    from wacoex_cli.platforms.meta import Meta

_OPTIONS = {"phone_number_id": "--phone-number-id", "waba_id": "--waba-id"}


def meta_or_reason(context: Context, needed: str) -> Meta | Outcome:
    """The Graph API, or the skipped step that says what is missing.

    `needed` is the id that the step works on: `phone_number_id` or `waba_id`.
    """
    channel = context.channel
    if context.workspace.secrets.find("meta-token", channel.name) is None:
        return skipped("there is no meta-token")
    if getattr(channel, needed) is None:
        command = f"wacoex channel edit {channel.name} {_OPTIONS[needed]} ID"
        return skipped(f"the {needed} is not known; `{command}` tells it")
    return meta_for(context.workspace, channel)


def skipped(reason: str, **more: object) -> Outcome:
    """A step that cannot be gone through, with the reason."""
    return Outcome(StepState.SKIPPED, {"reason": reason, **more}, note=reason)
