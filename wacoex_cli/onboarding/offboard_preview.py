"""`offboard --dry-run`: what each step would do, from looking alone."""

from __future__ import annotations

from typing import TYPE_CHECKING

from wacoex_cli.channels import registry
from wacoex_cli.channels.checks import check_connection
from wacoex_cli.devices.registry import inventory
from wacoex_cli.foundation.clock import to_text
from wacoex_cli.onboarding import ledger, offboard_texts
from wacoex_cli.onboarding.journey import GONE_THROUGH
from wacoex_cli.onboarding.model import Journey, JourneyKind, Record, StepState
from wacoex_cli.onboarding.offboard import OFFBOARD_STEPS, demand_what_is_wished, via
from wacoex_cli.onboarding.offboard_actions import broadcasts_waiting
from wacoex_cli.onboarding.offboard_sight import look, stored
from wacoex_cli.onboarding.view import Receipt

if TYPE_CHECKING:
    from wacoex_cli.channels.model import Channel
    from wacoex_cli.foundation.workspace import Workspace

NOT_BEGUN = 0
"""The number of a journey that there is not."""


async def preview(workspace: Workspace, channel: Channel, *, unsubscribe: bool) -> Receipt:
    """Each step as it is kept, or as it would go, and what speaks against it.

    Reads only: nothing is written here, at Meta or at respond.io, and no event is projected.
    Raises UsageError for an archived channel that is not being let go, and what
    `demand_what_is_wished` raises.
    """
    state, now = workspace.state, workspace.clock.now()
    if unsubscribe:
        demand_what_is_wished(workspace, channel)
    journey = ledger.open_journey(state, channel.channel_id, JourneyKind.OFFBOARD)
    records = ledger.records(state, journey.journey_id) if journey else {}
    kept = {name: one for name, one in records.items() if one.state in GONE_THROUGH}
    if journey is None:
        registry.active(state, channel.name)
        way = via(state, channel)
        journey = Journey(NOT_BEGUN, channel.channel_id, JourneyKind.OFFBOARD, way, to_text(now))
    would: dict[str, dict[str, object]] = {
        "what-changes": {
            "changes": list(offboard_texts.CHANGES),
            "stays": list(offboard_texts.STAYS),
        },
        "broadcasts": {**broadcasts_waiting(state, channel.channel_id)},
        "backup": {"advice": list(offboard_texts.BACKUP)},
        "route": {
            "app": list(offboard_texts.IN_THE_APP),
            "meta_business_settings": list(offboard_texts.IN_META_BUSINESS_SETTINGS),
            "afterwards": list(offboard_texts.afterwards(channel)),
        },
        "proof": {"seen": [one.text for one in await look(workspace, channel)]},
        "unsubscribe": {"would_detach": unsubscribe, "waba_id": channel.waba_id},
        "companions": {"listed": [one.name for one, _ in inventory(state, channel, now).devices]},
        "archive": {"would_archive": channel.name},
    }
    planned = {
        step.id: Record(step.id, StepState.OPEN, answer=would[step.id]) for step in OFFBOARD_STEPS
    }
    findings = check_connection(stored(workspace, channel), channel.name, now)
    return Receipt(channel.name, journey, OFFBOARD_STEPS, {**planned, **kept}, findings)
