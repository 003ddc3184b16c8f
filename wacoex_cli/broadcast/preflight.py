"""The checks before a broadcast leaves: made when it is planned and again when it is sent."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from wacoex_cli.broadcast import checks, figures
from wacoex_cli.broadcast.model import Status
from wacoex_cli.broadcast.store import Rows
from wacoex_cli.channels import stored_connection
from wacoex_cli.channels.checks import SENDING_FIELDS, check_can_send
from wacoex_cli.channels.connection import Connection, connection_of
from wacoex_cli.channels.removal import check_connection, wait_for
from wacoex_cli.errors import RefusedError, UsageError
from wacoex_cli.events.projection import catch_up
from wacoex_cli.events.projections import CHANNELS
from wacoex_cli.findings.model import Finding, Severity, worst_first
from wacoex_cli.foundation.clock import to_text
from wacoex_cli.inactivity import reading
from wacoex_cli.inactivity.checks import check_opened
from wacoex_cli.templates.checks import check_still_as_planned
from wacoex_cli.templates.model import Template

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping
    from datetime import datetime

    from wacoex_cli.broadcast.model import Broadcast
    from wacoex_cli.broadcast.providers import SendingProvider
    from wacoex_cli.channels.model import Channel
    from wacoex_cli.foundation.clock import Clock
    from wacoex_cli.foundation.state import State
    from wacoex_cli.foundation.workspace import Workspace

    StandingCheck = Callable[[Mapping[str, Any]], tuple[Connection, list[Finding]]]

_FIELDS = (*SENDING_FIELDS, "last_onboarded_time")


async def check_channel(
    provider: SendingProvider,
    channel: Channel,
    now: datetime,
    check_standing: StandingCheck | None = None,
) -> tuple[list[Finding], object]:
    """What speaks against sending now, and the portfolio's messaging limit (None: not said).

    `check_standing` adds what is known here, given what Meta says about the number.

    Raises:
        CredentialError, RefusedError, TemporaryError: Meta or respond.io could not be asked.
    """
    node = await provider.phone_facts(_FIELDS)
    connection, known = check_standing(node) if check_standing else (Connection(), [])
    found = check_can_send(node, channel.name, to_text(now)) if node else []
    found += await provider.check_channel(connection, now)
    limit = node.get("whatsapp_business_manager_messaging_limit")
    return [*known, *wait_for(known, found)], limit


def standing_check(workspace: Workspace, channel: Channel) -> StandingCheck:
    """The check of the countdown and of the connection (WX101 to WX105, WX203, WX204)."""

    def check(values: Mapping[str, Any]) -> tuple[Connection, list[Finding]]:
        state, now = workspace.state, workspace.clock.now()
        catch_up(state, [CHANNELS], workspace.clock)
        onboarding = {channel.channel_id: reading.onboarding(channel, values, now)}
        standings = reading.standings(workspace, [channel], now, onboarding)
        events = stored_connection.account_events(state, [channel])[channel.channel_id]
        zone = reading.zone_of(workspace, channel)
        connection = connection_of(channel, events, values, now)
        return connection, [
            *check_connection(connection, channel.name, now),
            *check_opened(standings[channel.channel_id], channel.name, zone, now),
        ]

    return check


def messaged_lately(state: State, channel: Channel, now: datetime) -> int:
    """People the number had messages accepted for in the last 24 h: what Meta's limit counts."""
    return figures.taken_since(state, channel.phone, now - timedelta(hours=24))


def check_audience(
    state: State,
    broadcast_id: int,
    channel: Channel,
    *,
    tier: object,
    category: str,
    taken: int,
    now: datetime,
) -> list[Finding]:
    """What the recipients of a planned broadcast mean for the limits, after `taken` others."""
    observed_at = to_text(now)
    recipients = Rows(state, broadcast_id).count_open()
    plus_one = Rows(state, broadcast_id).count_open(calling_code="+1")
    return [
        *checks.check_messaging_limit(tier, recipients, taken, channel.name, observed_at),
        *checks.check_us_marketing(category, plus_one, channel.name, observed_at),
    ]


def refuse_critical(findings: Collection[Finding], overruled: Collection[str]) -> None:
    """Refuse when a critical finding is not overruled by its id.

    Raises:
        RefusedError: nothing was sent; details hold the findings.
    """
    standing = [
        one
        for one in worst_first(findings)
        if one.severity is Severity.CRITICAL and one.id not in overruled
    ]
    if not standing:
        return
    said = "; ".join(
        f"{one.id} {one.title} ({', '.join(fact.text for fact in one.evidence)})"
        for one in standing
    )
    flags = " ".join(f"--overrule {one.id}" for one in standing)
    raise RefusedError(
        f"nothing was sent: {said}",
        hint=f"{standing[0].remedy[0]}; to send all the same, add `{flags}`",
        code="preflight",
        details={"findings": [one.to_json() for one in standing]},
    )


async def check_before_sending(
    state: State,
    provider: SendingProvider,
    channel: Channel,
    broadcast: Broadcast,
    clock: Clock,
    check_standing: StandingCheck | None = None,
) -> list[Finding]:
    """Everything that speaks against sending this broadcast now.

    Raises:
        RefusedError: it was planned against another API than the one configured now.
    """
    check_same_api(provider, channel, broadcast)
    planned = Template.from_json(json.loads(broadcast.template))
    current = await provider.find_template(planned.name, planned.language)
    found, tier = await check_channel(provider, channel, clock.now(), check_standing)
    seen_at = to_text(clock.now())
    found += check_still_as_planned(planned, current, channel.name, seen_at, provider.kind)
    found += check_audience(
        state,
        broadcast.broadcast_id,
        channel,
        tier=tier,
        category=planned.category,
        taken=messaged_lately(state, channel, clock.now()),
        now=clock.now(),
    )
    return found


def check_same_api(provider: SendingProvider, channel: Channel, broadcast: Broadcast) -> None:
    """Refuse a broadcast that was planned for another API than the one configured now.

    Raises:
        RefusedError: with what to set back.
    """
    if broadcast.provider is not provider.kind:
        raise RefusedError(
            f"broadcast {broadcast.broadcast_id} was planned for {broadcast.provider.value},"
            f" but channel {channel.name} now sends through {provider.kind.value}",
            hint=f"wacoex channel edit {channel.name} --provider {broadcast.provider.value},"
            " or plan the broadcast anew",
            code="other_provider",
        )
    if broadcast.api_base_url != provider.base_url:
        raise RefusedError(
            f"broadcast {broadcast.broadcast_id} was planned against {broadcast.api_base_url},"
            f" but now {provider.base_url} is configured",
            hint=f"set `{provider.base_url_variable}` back, or plan the broadcast anew",
            code="other_api",
        )


def check_can_start(broadcast: Broadcast, *, resume: bool) -> None:
    """Refuse what `send` and `resume` are not for.

    Raises:
        UsageError: with the command that is.
    """
    number, status = broadcast.broadcast_id, broadcast.status
    if status is Status.PLANNED and not resume:
        return
    if status in (Status.PAUSED, Status.SENDING) and resume:
        return
    hints = {
        Status.PLANNED: f"`wacoex broadcast send {number}` starts it",
        Status.PAUSED: f"`wacoex broadcast resume {number}` goes on with it",
        Status.SENDING: f"`wacoex broadcast resume {number}` goes on with it if its sender died",
    }
    raise UsageError(
        f"broadcast {number} is {status.value}",
        hint=hints.get(status, "plan a new one with `wacoex broadcast plan`"),
        code="wrong_status",
    )
