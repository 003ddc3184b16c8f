"""Taking the snapshot: what the state file knows, and what was asked just now."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

from wacoex_cli.broadcast import figures
from wacoex_cli.broadcast.checks import troubles
from wacoex_cli.channels import facts_ledger, ledger, stored_connection
from wacoex_cli.channels.connection import connection_of
from wacoex_cli.channels.facts import in_order, values_of
from wacoex_cli.devices import registry as devices
from wacoex_cli.diagnosis import machine
from wacoex_cli.diagnosis.asked import Asked, Reading
from wacoex_cli.diagnosis.snapshot import (
    META,
    RESPONDIO,
    STATE,
    ChannelView,
    Snapshot,
    SourceSeen,
)
from wacoex_cli.events import consumers, echo_flow
from wacoex_cli.events import ledger as events
from wacoex_cli.events.checks import SILENCE_WINDOW
from wacoex_cli.events.model import Source
from wacoex_cli.events.projection import catch_up
from wacoex_cli.events.projections import CHANNELS
from wacoex_cli.events.unsupported import summaries
from wacoex_cli.inactivity import reading as countdown
from wacoex_cli.inactivity import runs_ledger
from wacoex_cli.onboarding import ledger as journeys
from wacoex_cli.onboarding.model import JourneyKind
from wacoex_cli.partners import reading as partners
from wacoex_cli.partners.expectation import expected_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from wacoex_cli.broadcast.checks import Trouble
    from wacoex_cli.channels.account import AccountEvent
    from wacoex_cli.channels.facts import Fact
    from wacoex_cli.channels.model import Channel
    from wacoex_cli.devices.registry import Inventory
    from wacoex_cli.events.echo_flow import EchoFlow
    from wacoex_cli.events.unsupported import Summary
    from wacoex_cli.foundation.state import State
    from wacoex_cli.foundation.workspace import Workspace
    from wacoex_cli.inactivity.model import Standing

_DAY = timedelta(hours=24)


def take_snapshot(
    workspace: Workspace, channels: Sequence[Channel], *, is_offline: bool
) -> Snapshot:
    """Ask each source about these channels, keep what Meta said, and put everything together.

    With `is_offline` nobody is asked. Raises StateError for an unusable state file.
    """
    now, state = workspace.clock.now(), workspace.state
    catch_up(state, consumers.projections() or [CHANNELS], workspace.clock)
    newest = machine.newest_stored_at(workspace)
    stored = facts_ledger.facts_by_channel(state)
    if is_offline:
        asked = Asked({one.channel_id: _from_store(one, stored) for one in channels})
    else:
        # Imported only now: who looks offline needs nothing of what asks.
        from wacoex_cli.diagnosis.asking import ask

        asked = workspace.run(ask(workspace, channels, stored, now))
    return Snapshot(
        now=now,
        is_offline=is_offline,
        channels=tuple(views(workspace, channels, stored, asked, now)),
        machine=machine.look_at(
            workspace, newest, clock_skew_seconds=asked.clock_skew_seconds, offline=is_offline
        ),
        sources=tuple(_sources(workspace, channels, asked, is_offline=is_offline)),
        failed=tuple(asked.failed),
        arrivals=arrivals(state),
        last_run=runs_ledger.last_run(state),
        schedule=runs_ledger.schedule(state),
        versions=tuple(
            sorted({workspace.settings_for(one.name).meta_api_version for one in channels})
        ),
    )


def _from_store(channel: Channel, stored: dict[int, list[Fact]]) -> Reading:
    """Nothing stored is no failure here: what the state file tells otherwise is looked at."""
    return Reading(is_known=bool(stored.get(channel.channel_id)))


@dataclass(frozen=True)
class _Known:
    """What the state file knows of all channels at once, by channel_id."""

    stored: Mapping[int, Sequence[Fact]]
    standings: Mapping[int, Standing]
    told: Mapping[int, tuple[AccountEvent, ...]]
    inventories: Mapping[int, Inventory]
    troubles: Mapping[int, Trouble]
    unsupported: Mapping[int, Summary]
    flows: Mapping[int, EchoFlow]
    respondio_ids: Mapping[int, int | None]


def views(
    workspace: Workspace,
    channels: Sequence[Channel],
    stored: Mapping[int, Sequence[Fact]],
    asked: Asked,
    now: datetime,
) -> list[ChannelView]:
    """Each channel with everything that the state file knows and that was read just now."""
    state = workspace.state
    known = _Known(
        stored=stored,
        standings=countdown.standings(workspace, channels, now),
        told=stored_connection.account_events(state, channels),
        inventories=devices.inventories(state, channels, now),
        troubles=troubles(state, channels, now),
        unsupported=summaries(state, channels, now),
        flows=echo_flow.flows(state, channels, now),
        respondio_ids={
            one.channel_id: one.respondio_channel_id for one in ledger.all_channels(state)
        },
    )
    return [_view(workspace, channel, known, asked, now) for channel in channels]


def _view(
    workspace: Workspace, channel: Channel, known: _Known, asked: Asked, now: datetime
) -> ChannelView:
    state, key = workspace.state, channel.channel_id
    reading = asked.readings[key]
    facts = {one.name: one for one in [*known.stored.get(key, ()), *reading.facts]}
    values = values_of(facts.values()) if reading.is_known else {}
    journey = journeys.newest_journey(state, key, JourneyKind.CONNECT)
    others = (number for other, number in known.respondio_ids.items() if other != key)
    return ChannelView(
        channel=channel,
        reading=reading,
        facts=tuple(in_order(facts.values())),
        connection=connection_of(channel, known.told[key], values, now),
        standing=known.standings[key],
        zone=countdown.zone_of(workspace, channel),
        inventory=known.inventories[key],
        partner=expected_of(workspace, channel),
        trouble=known.troubles[key],
        unsupported=known.unsupported[key],
        echo_flow=known.flows[key],
        own_app_id=workspace.settings_for(channel.name).meta_app_id,
        public_url=workspace.settings.public_url,
        account_events=known.told[key],
        template_events=tuple(partners.restricted_templates(state, channel, now)),
        taken_in_24_hours=figures.taken_since(state, channel.phone, now - _DAY),
        listed=asked.listed.get(key),
        templates=asked.templates.get(key, ()),
        other_respondio_ids=tuple(number for number in others if number is not None),
        subscription=asked.subscriptions.get(key),
        journey=journey,
        records=journeys.records(state, journey.journey_id) if journey else {},
    )


def arrivals(state: State) -> dict[Source, list[tuple[str, int, str]]]:
    """The hours in which something came in, by source, back to before any usual silence."""
    found = {}
    for source in Source:
        newest = events.newest_arrival(state, source)
        if newest is not None:
            found[source] = events.arrival_hours(state, source, newest - SILENCE_WINDOW)
    return found


def _sources(
    workspace: Workspace, channels: Sequence[Channel], asked: Asked, *, is_offline: bool
) -> list[SourceSeen]:
    found = [SourceSeen(STATE, True)]
    secrets = {META: "meta-token", RESPONDIO: "respondio-token"}
    for source, secret in secrets.items():
        failed = [one.error for one in asked.failed if one.source == source]
        if source == META:
            failed += [error for one in asked.readings.values() for error in one.failures]
        reasons = [one.message for one in failed]
        has_secret = any(workspace.secrets.find(secret, one.name) for one in channels)
        if is_offline:
            found.append(SourceSeen(source, None, "offline: nobody is asked"))
        elif not has_secret:
            found.append(SourceSeen(source, None, f"there is no {secret}"))
        elif reasons:
            found.append(SourceSeen(source, False, reasons[0]))
        elif source in asked.asked:
            found.append(SourceSeen(source, True))
        else:
            found.append(SourceSeen(source, None, "no channel needs it"))
    return found
