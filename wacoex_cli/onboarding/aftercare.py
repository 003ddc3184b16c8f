"""What has to be done from the moment a number is connected, written down."""

from __future__ import annotations

from typing import TYPE_CHECKING

from wacoex_cli.channels.evidence import CHANNELS
from wacoex_cli.channels.model import EvidenceKind, Sign, channel_address
from wacoex_cli.channels.store import Signs
from wacoex_cli.devices import registry as devices
from wacoex_cli.devices.model import DeviceState
from wacoex_cli.devices.rule import relink_from
from wacoex_cli.events.store import catch_up
from wacoex_cli.foundation.clock import to_text
from wacoex_cli.foundation.person import login_name
from wacoex_cli.foundation.time_zones import local_text
from wacoex_cli.inactivity import reading
from wacoex_cli.inactivity.rule import DISCONNECTS_AFTER
from wacoex_cli.onboarding.model import Outcome, Route, StepState
from wacoex_cli.onboarding.onboarded import onboarded
from wacoex_cli.onboarding.sync_progress import progress_of

if TYPE_CHECKING:
    from datetime import datetime

    from wacoex_cli.devices.registry import Inventory
    from wacoex_cli.findings.model import Finding
    from wacoex_cli.inactivity.model import Standing
    from wacoex_cli.onboarding.journey import Context
    from wacoex_cli.onboarding.onboarded import Onboarded

_CUT_OFF = "WX303"


async def after_care(context: Context) -> Outcome:
    """Keep that the number was connected, and write down the dates that follow from it.

    Connecting is proof that the app was open at that moment; one that lies 14 days back says
    nothing about now.
    """
    state, now = context.workspace.state, context.workspace.clock.now()
    catch_up(state, (CHANNELS,), context.workspace.clock)
    moment = onboarded(context)
    _keep_evidence(context, moment, now)
    channel = context.channel
    standing = reading.standings(context.workspace, [channel], now)[channel.channel_id]
    found = devices.inventory(state, channel, now)
    answer = {
        "connected_at": to_text(moment.at) if moment else None,
        "connected_source": moment.source if moment else None,
        "act_by_at": to_text(standing.act_by_at) if standing.act_by_at else None,
        "deadline_at": to_text(standing.deadline_at) if standing.deadline_at else None,
        "companions": _companions(found),
        "sync": _sync(context, moment),
        "next": _next(channel.name, standing, found),
    }
    return Outcome(
        StepState.SETTLED,
        answer,
        findings=_findings(found),
        note=_note(standing, found, reading.zone_of(context.workspace, channel)),
    )


def _keep_evidence(context: Context, moment: Onboarded | None, now: datetime) -> None:
    if moment is None or now - moment.at > DISCONNECTS_AFTER:
        return
    signup = context.records().get("signup")
    said_by = (signup.said_by if signup else None) or login_name()
    sign = Sign(
        channel_address(context.channel.channel_id),
        EvidenceKind.CONNECTED,
        to_text(min(moment.at, now)),
        moment.source,
        said_by,
    )
    with context.workspace.state.transaction():
        Signs(context.workspace.state).add([sign])


def _companions(found: Inventory) -> dict[str, object]:
    cut_off = [one for one, state in found.devices if state is not DeviceState.LINKED]
    return {
        "relink_from": to_text(relink_from(found.last_break)) if found.last_break else None,
        "to_relink": [f"{one.device_id} {one.kind.value} {one.name}" for one in cut_off],
    }


def _sync(context: Context, moment: Onboarded | None) -> dict[str, object] | None:
    """The window and how far the copy is; None where nothing is copied."""
    if context.journey.via is not Route.SIGNUP or moment is None:
        return None
    progress = progress_of(context.workspace.state, context.channel, moment.at)
    return {"closes_at": to_text(moment.sync_closes_at), **progress.to_json()}


def _next(channel: str, standing: Standing, found: Inventory) -> list[str]:
    steps = ["leave the app open and online until its sync is done"]
    if found.last_break:
        since = to_text(relink_from(found.last_break))
        steps.append(f"from {since}: link the companions again, Settings > Linked devices")
    steps.append(f"list which are linked, then `wacoex device confirm -c {channel}`")
    if standing.deadline_at is None:
        steps.append(f"open the app, then `wacoex reminder confirm {channel}`")
    steps.append("be reminded of the 14 days: `wacoex reminder schedule install`")
    steps.append(f"tomorrow: `wacoex status {channel}`")
    return steps


def _findings(found: Inventory) -> tuple[Finding, ...]:
    return tuple(one for one in found.findings if one.id == _CUT_OFF)


def _note(standing: Standing, found: Inventory, zone: str) -> str:
    if standing.deadline_at is None:
        text = "nothing says when the app was last open: confirm it with `wacoex reminder confirm`"
    else:
        deadline = local_text(standing.deadline_at, zone)
        text = f"open the app again before {deadline}, the end of its 14 days"
    if found.last_break is None:
        return text
    since = local_text(relink_from(found.last_break), zone)
    return f"{text}; link the companions again from {since} on"
