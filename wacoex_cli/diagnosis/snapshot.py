"""Everything that status and doctor look at, gathered once: checks read it and ask nobody."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING, Any, NamedTuple

from wacoex_cli.broadcast.figures import taken_since
from wacoex_cli.broadcast.model import Status
from wacoex_cli.broadcast.projection import troubles
from wacoex_cli.broadcast.store import Broadcasts
from wacoex_cli.channels.access import PATIENCE_SECONDS, meta_for
from wacoex_cli.channels.checks import RETURNS_WITHIN
from wacoex_cli.channels.connection import ConnectionState
from wacoex_cli.channels.evidence import CHANNELS
from wacoex_cli.channels.facts import ChannelFacts, stored_facts
from wacoex_cli.channels.model import Provider, values_of
from wacoex_cli.channels.store import Facts, Signs
from wacoex_cli.devices import registry as devices
from wacoex_cli.diagnosis import machine
from wacoex_cli.errors import CredentialError, UsageError, WacoexError
from wacoex_cli.events import consumers, subscribe, traffic
from wacoex_cli.events.checks import SILENCE_WINDOW
from wacoex_cli.events.store import EventLog, catch_up
from wacoex_cli.events.traffic import summaries
from wacoex_cli.foundation.clock import from_text
from wacoex_cli.inactivity import reading as countdown
from wacoex_cli.inactivity import runs_ledger
from wacoex_cli.onboarding.model import JourneyKind
from wacoex_cli.onboarding.store import Journeys
from wacoex_cli.partners.check import rows_of
from wacoex_cli.platforms.events import Source
from wacoex_cli.templates.model import Template
from wacoex_cli.templates.reading import find_template

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence
    from datetime import datetime

    from wacoex_cli.broadcast.projection import Trouble
    from wacoex_cli.channels.connection import Connection
    from wacoex_cli.channels.look import Look
    from wacoex_cli.channels.model import Channel
    from wacoex_cli.devices.registry import Inventory
    from wacoex_cli.diagnosis.machine import Machine
    from wacoex_cli.events.subscribe import Subscription
    from wacoex_cli.events.traffic import EchoFlow, Summary
    from wacoex_cli.foundation.state import State
    from wacoex_cli.foundation.workspace import Workspace
    from wacoex_cli.inactivity.model import Standing
    from wacoex_cli.onboarding.model import Journey, Record
    from wacoex_cli.partners.model import PartnerRows

    Pair = tuple[Template, Template]
    """A template as it was planned, and as Meta has it now."""

STATE, META, RESPONDIO = "state", "meta", "respondio"
"""The sources of a snapshot."""
_DAY = timedelta(hours=24)
_OBJECT_NOT_VISIBLE = 100
_NO_ACCESS = frozenset({"credentials_missing", "channel_incomplete"})
_TO_BE_SENT = frozenset({Status.PLANNED, Status.PAUSED, Status.SENDING})
_MOST_TEMPLATES = 5


class SourceSeen(NamedTuple):
    """One source: whether it answered, or why it was not asked or did not answer.

    `ok` is None for a source that was not gathered: offline, or without access to it.
    """

    name: str
    ok: bool | None
    reason: str | None = None


class Unanswered(NamedTuple):
    """A source that could not be asked about one channel."""

    source: str
    channel: str
    error: WacoexError


@dataclass(frozen=True)
class ChannelView:
    """One channel: what is known of it, and what the state file holds beside that.

    `zone` is the time zone its times are shown in. `journey` is the newest one of connecting,
    `records` its steps. `subscription` is None where there is no own app. `templates` are those
    of broadcasts to be sent, as planned and as Meta has them.
    """

    facts: ChannelFacts
    standing: Standing
    zone: str
    inventory: Inventory
    partner: PartnerRows
    trouble: Trouble
    unsupported: Summary
    echo_flow: EchoFlow
    taken_in_24_hours: int = 0
    templates: tuple[Pair, ...] = ()
    subscription: Subscription | None = None
    journey: Journey | None = None
    records: Mapping[str, Record] = field(default_factory=dict)

    @property
    def channel(self) -> Channel:
        """The channel itself."""
        return self.facts.channel

    @property
    def name(self) -> str:
        """The channel's name."""
        return self.channel.name

    @property
    def connection(self) -> Connection:
        """How it is connected."""
        return self.facts.connection

    def must_wait(self, now: datetime) -> bool:
        """Whether WhatsApp may still bring the partner back by itself."""
        since = self.connection.since
        is_young = since is not None and now < from_text(since) + RETURNS_WITHIN
        is_reconnecting = self.connection.state is ConnectionState.RECONNECTING
        return is_reconnecting or (self.connection.is_lost and is_young)


@dataclass(frozen=True)
class Snapshot:
    """All channels and this machine at one moment; `is_whole` unless only the numbers matter.

    `arrivals` are the hours in which something came in, by source; `last_run` and `schedule` are
    the reminder's; `versions` the Graph versions in use.
    """

    now: datetime
    is_offline: bool
    is_whole: bool
    channels: tuple[ChannelView, ...]
    machine: Machine
    sources: tuple[SourceSeen, ...] = ()
    failed: tuple[Unanswered, ...] = ()
    arrivals: Mapping[Source, list[tuple[str, int, str]]] = field(default_factory=dict)
    last_run: Mapping[str, Any] | None = None
    schedule: Mapping[str, Any] | None = None
    versions: tuple[str, ...] = ()

    @property
    def unsigned(self) -> list[str]:
        """The channels whose calls to Meta are not signed with an app secret."""
        return [one.name for one in self.channels if one.facts.lacks_app_secret]


@dataclass
class _Gathered:
    """What came of asking beside the facts: webhooks and templates by channel_id, and failures."""

    subscriptions: dict[int, Subscription | None] = field(default_factory=dict)
    templates: dict[int, tuple[Pair, ...]] = field(default_factory=dict)
    failed: list[Unanswered] = field(default_factory=list)
    answered: set[str] = field(default_factory=set)
    clock_skew_seconds: float | None = None


def take_snapshot(
    workspace: Workspace, channels: Sequence[Channel], *, is_offline: bool, is_whole: bool = True
) -> Snapshot:
    """Ask about these channels, keep what Meta said, and put everything together.

    With `is_offline` nobody is asked; unless it `is_whole` Meta is asked about the numbers,
    accounts and tokens, and nobody about anything else. Raises StateError for an unusable state
    file.
    """
    now, state = workspace.clock.now(), workspace.state
    catch_up(state, consumers.projections() or [CHANNELS], workspace.clock)
    newest = machine.newest_stored_at(state)
    facts = stored_facts(state, channels, now)
    gathered = _Gathered()
    if not is_offline:
        _ask(workspace, list(facts.values()), gathered, now, is_whole=is_whole)
    return Snapshot(
        now=now,
        is_offline=is_offline,
        is_whole=is_whole,
        channels=tuple(_views(workspace, facts, gathered, now)),
        machine=machine.look_at(
            workspace, newest, clock_skew_seconds=gathered.clock_skew_seconds, offline=is_offline
        ),
        sources=tuple(_sources(workspace, facts.values(), gathered, is_offline=is_offline)),
        failed=tuple(gathered.failed),
        arrivals=_arrivals(state),
        last_run=runs_ledger.last_run(state),
        schedule=runs_ledger.schedule(state),
        versions=tuple(
            sorted({workspace.settings_for(one.name).meta_api_version for one in channels})
        ),
    )


def blames_the_token(error: WacoexError) -> bool:
    """Whether a failure is the token's fault (WX701).

    Not when Meta hides the object: then the id may be wrong, or the partner gone.
    """
    return isinstance(error, CredentialError) and error.details.get("code") not in {
        None,
        _OBJECT_NOT_VISIBLE,
    }


def _ask(
    workspace: Workspace,
    found: Sequence[ChannelFacts],
    gathered: _Gathered,
    now: datetime,
    *,
    is_whole: bool,
) -> None:
    # Imported only now: who looks offline needs nothing of what asks.
    from wacoex_cli.channels.look import Look

    state = workspace.state
    look = Look(workspace, now, Facts(state).calls_in_hour(now))

    async def more(facts: ChannelFacts) -> None:
        await _ask_more(workspace, look, facts, gathered)

    reading = look.read(found, with_respondio=is_whole, more=more if is_whole else None)
    workspace.run(reading)
    gathered.clock_skew_seconds = look.clock_skew_seconds
    with state.transaction():
        look.keep(state, found)
        for facts in found:
            signs = countdown.onboarding(facts.channel, values_of(facts.read), now)
            Signs(state).add(signs)
    for facts in found if is_whole else ():
        _take_failures(facts, gathered)


async def _ask_more(
    workspace: Workspace, look: Look, facts: ChannelFacts, gathered: _Gathered
) -> None:
    """What Meta knows beside number and account: our app's webhooks, templates to be sent."""
    key = facts.channel.channel_id
    hook = await look.ask(
        subscribe.look_beside(workspace, facts, patience_seconds=PATIENCE_SECONDS)
    )
    waiting = _waiting(workspace.state, facts.channel)
    pairs = await look.ask(_templates(workspace, facts.channel, waiting)) if waiting else ()
    for error in (hook, pairs):
        if isinstance(error, WacoexError) and error.code not in _NO_ACCESS:
            gathered.failed.append(Unanswered(META, facts.name, error))
    gathered.subscriptions[key] = None if isinstance(hook, WacoexError) else hook
    gathered.templates[key] = () if isinstance(pairs, WacoexError) else pairs


def _waiting(state: State, channel: Channel) -> list[Template]:
    """The templates of broadcasts that Meta is still to be sent, as they were planned.

    What was planned for respond.io is checked against its own copy before it is sent.
    """
    broadcasts = Broadcasts(state).of_channel(channel.channel_id, None)
    through_meta = (one for one in broadcasts if one.provider is Provider.META)
    texts = (one.template for one in through_meta if one.status in _TO_BE_SENT)
    found = [Template.from_json(json.loads(one)) for one in dict.fromkeys(texts)]
    return found[:_MOST_TEMPLATES]


async def _templates(
    workspace: Workspace, channel: Channel, waiting: Sequence[Template]
) -> tuple[Pair, ...]:
    meta = meta_for(workspace, channel, patience_seconds=PATIENCE_SECONDS)
    found = []
    for one in waiting:
        try:
            current = await find_template(meta, channel.demand_waba_id(), one.name, one.language)
        except UsageError as error:
            if error.code != "unknown_template":
                raise
        else:
            found.append((one, current))
    return tuple(found)


def _take_failures(facts: ChannelFacts, gathered: _Gathered) -> None:
    """What the token is to blame for is told as that (WX701), and only once."""
    name = facts.name
    if any(fact.is_available for fact in facts.read):
        gathered.answered.add(META)
    at_meta = [error for part, error in facts.failures.items() if part != "respondio"]
    if facts.lacks_token or any(map(blames_the_token, at_meta)):
        gathered.failed = [
            one for one in gathered.failed if (one.source, one.channel) != (META, name)
        ]
    else:
        gathered.failed += [Unanswered(META, name, error) for error in at_meta]
        refused = facts.apps.error if facts.apps else None
        if refused and "apps" not in facts.failures:
            gathered.failed.append(Unanswered(META, name, refused))
    if facts.listed and facts.listed.error:
        gathered.failed.append(Unanswered(RESPONDIO, name, facts.listed.error))
    elif facts.listed:
        gathered.answered.add(RESPONDIO)


def _views(
    workspace: Workspace, found: Mapping[int, ChannelFacts], gathered: _Gathered, now: datetime
) -> list[ChannelView]:
    """Each channel with everything that the state file knows and that was read just now."""
    state, channels = workspace.state, [facts.channel for facts in found.values()]
    standings = countdown.standings(workspace, channels, now)
    inventories = devices.inventories(state, channels, now)
    partners = rows_of(workspace, channels, now)
    trouble = troubles(state, channels, now)
    unsupported = summaries(state, channels, now)
    flows = traffic.flows(state, channels, now)
    views = []
    for key, facts in found.items():
        journey = Journeys(state).newest(key, JourneyKind.CONNECT)
        views.append(
            ChannelView(
                facts=facts,
                standing=standings[key],
                zone=countdown.zone_of(workspace, facts.channel),
                inventory=inventories[key],
                partner=partners[key],
                trouble=trouble[key],
                unsupported=unsupported[key],
                echo_flow=flows[key],
                taken_in_24_hours=taken_since(state, facts.channel.phone, now - _DAY),
                templates=gathered.templates.get(key, ()),
                subscription=gathered.subscriptions.get(key),
                journey=journey,
                records=Journeys(state).records(journey.journey_id) if journey else {},
            )
        )
    return views


def _arrivals(state: State) -> dict[Source, list[tuple[str, int, str]]]:
    """The hours in which something came in, by source, back to before any usual silence."""
    found = {}
    for source in Source:
        newest = EventLog(state).newest_arrival(source)
        if newest is not None:
            found[source] = EventLog(state).arrival_hours(source, newest - SILENCE_WINDOW)
    return found


def _sources(
    workspace: Workspace, found: Collection[ChannelFacts], gathered: _Gathered, *, is_offline: bool
) -> list[SourceSeen]:
    sources = [SourceSeen(STATE, True)]
    secrets = {META: "meta-token", RESPONDIO: "respondio-token"}
    for source, secret in secrets.items():
        failed = [one.error for one in gathered.failed if one.source == source]
        if source == META:
            failed += [
                error for one in found for part, error in one.failures.items() if part != RESPONDIO
            ]
        reasons = [one.message for one in failed]
        has_secret = any(workspace.secrets.find(secret, one.name) for one in found)
        if is_offline:
            sources.append(SourceSeen(source, None, "offline: nobody is asked"))
        elif not has_secret:
            sources.append(SourceSeen(source, None, f"there is no {secret}"))
        elif reasons:
            sources.append(SourceSeen(source, False, reasons[0]))
        elif source in gathered.answered:
            sources.append(SourceSeen(source, True))
        else:
            sources.append(SourceSeen(source, None, "no channel needs it"))
    return sources
