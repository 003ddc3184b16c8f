"""The checks before a broadcast leaves, and what it will take: time, limits, new contacts."""

from __future__ import annotations

import asyncio
import json
import math
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from wacoex_cli.broadcast import checks, figures
from wacoex_cli.broadcast.checks import messaging_limit, sending_seconds
from wacoex_cli.broadcast.figures import Month
from wacoex_cli.broadcast.model import Status
from wacoex_cli.broadcast.providers import Means
from wacoex_cli.broadcast.store import Broadcasts, Rows
from wacoex_cli.broadcast.throttle import MESSAGES_PER_SECOND, UNTOLD_MESSAGES_PER_SECOND
from wacoex_cli.channels.checks import SENDING_FIELDS, check_can_send, wait_for
from wacoex_cli.channels.facts import ChannelFacts, Connection
from wacoex_cli.channels.model import META, Fact, Provider
from wacoex_cli.channels.store import CHANNELS, AccountEvents, Signs
from wacoex_cli.errors import RefusedError, UsageError, WacoexError
from wacoex_cli.events.store import MAC, catch_up
from wacoex_cli.findings.model import Finding, Severity, worst_first
from wacoex_cli.foundation.clock import to_text
from wacoex_cli.inactivity.checks import check_standing, onboarding_signs, standings, zone_of
from wacoex_cli.platforms.events import read_moment
from wacoex_cli.platforms.respondio import CREATING, NOT_FOUND, contact_by
from wacoex_cli.templates.model import Template
from wacoex_cli.templates.rule import check_still_as_planned

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence
    from datetime import datetime

    from wacoex_cli.broadcast.model import Broadcast
    from wacoex_cli.broadcast.providers import SendingProvider
    from wacoex_cli.channels.model import Channel
    from wacoex_cli.foundation.clock import Clock
    from wacoex_cli.foundation.state import State
    from wacoex_cli.foundation.workspace import Workspace
    from wacoex_cli.platforms.respondio import RespondIO

_ASKING_SECONDS = 10.0
# Of more people than these, what can be asked in that time would tell next to nothing.
_WORTH_ASKING = 500
_AT_ONCE = 5


@dataclass(frozen=True)
class Way:
    """How long one provider takes. Rates in messages per second."""

    provider: Provider
    messages_per_second: float
    seconds: float
    why: str

    def to_json(self) -> dict[str, object]:
        """An entry of `ways` of the estimate."""
        return {
            "provider": self.provider.value,
            "messages_per_second": self.messages_per_second,
            "seconds": round(self.seconds, 1),
            "why": self.why,
        }


@dataclass(frozen=True)
class NewMacs:
    """People who were not active this month, as far as anybody knows: at most so many.

    `active` are those of the list whom events and broadcasts know as active; of the rest `asked`
    were looked up at respond.io, which knew `active_there` as active. `created` are no contacts
    yet, so they are new for certain.
    """

    recipients: int
    active: int
    created: int = 0
    asked: int = 0
    active_there: int = 0

    @property
    def most(self) -> int:
        """The new ones, those included about whom nothing is known."""
        return self.recipients - self.active - self.active_there

    def to_json(self) -> dict[str, object]:
        """The `new_macs_basis` of the estimate."""
        return {
            "active_by_events": self.active,
            "asked_at_respondio": self.asked,
            "active_by_respondio": self.active_there,
            "not_known": max(0, self.recipients - self.active - self.created - self.asked),
        }


async def estimate(
    state: State,
    provider: SendingProvider,
    channel: Channel,
    broadcast: Broadcast,
    *,
    rate: float,
    tier: object,
    taken: int,
    new_contacts: int,
    means: Means,
    clock: Clock,
) -> Mapping[str, Any]:
    """The `estimate` of a plan. `rate` is the one asked for, in messages per second.

    `tier` is the portfolio's limit as Meta tells it, `taken` how much of it was used in 24 hours.

    With respond.io's API in `means` it is asked for up to ten seconds, unless too many are new.
    """
    people = broadcast.recipients
    ways = [
        way_through(state, one, people, rate, new_contacts if one is provider else 0, clock)
        for one in (provider, *means.others)
    ]
    macs = await _new_macs(state, channel, broadcast, new_contacts, means.respondio, clock)
    finish_at = clock.now() + timedelta(seconds=ways[0].seconds)
    return {
        "rate": ways[0].messages_per_second,
        "seconds": round(ways[0].seconds, 1),
        "finish_at": to_text(finish_at),
        "new_macs": macs.most,
        "new_macs_basis": macs.to_json(),
        "ways": [one.to_json() for one in ways],
        "limit": _limit(tier, people, taken),
    }


def way_through(
    state: State,
    provider: SendingProvider,
    people: int,
    asked_rate: float,
    new_contacts: int,
    clock: Clock,
) -> Way:
    """How long a provider takes for so many people, at `asked_rate` at most.

    `new_contacts` are those who become contacts at respond.io first.
    """
    allowed, why = MESSAGES_PER_SECOND, "Meta's limit of a number in Coexistence"
    if provider.endpoint is not None:
        stored = (
            Broadcasts(state)
            .load_pace(provider.endpoint, UNTOLD_MESSAGES_PER_SECOND, clock)
            .told_limit
        )
        told = provider.told_limit() or stored
        allowed = min(allowed, told or UNTOLD_MESSAGES_PER_SECOND)
        why = f"what {provider.kind.known_as} says it allows"
        if told is None:
            why = f"until {provider.kind.known_as} says how much it allows"
    if asked_rate < allowed:
        allowed, why = asked_rate, "the rate asked for"
    seconds = sending_seconds(people, allowed)
    if new_contacts and provider.respondio is not None:
        creating = new_contacts / provider.respondio.calls_per_second(CREATING)
        if creating > seconds:
            seconds, why = creating, f"{why}; creating {new_contacts} contacts takes longer"
    return Way(provider.kind, allowed, seconds, why)


def _limit(tier: object, people: int, used: int) -> dict[str, object]:
    """The portfolio's limit of people in 24 hours, and how much of it this broadcast takes."""
    limit = messaging_limit(tier)
    share = None if limit is None else round(people / limit, 4)
    why = None
    if limit is None:
        why = "only Meta tells it, and has not" if tier is None else f"Meta says {tier}"
    elif limit == math.inf:
        limit, why = None, "unlimited"
    return {
        "messaging_limit": None if limit is None else int(limit),
        "used_in_24_hours": used,
        "share": share,
        "why": why,
    }


async def _new_macs(
    state: State,
    channel: Channel,
    broadcast: Broadcast,
    new_contacts: int,
    respondio: RespondIO | None,
    clock: Clock,
) -> NewMacs:
    catch_up(state, (CHANNELS, MAC), clock)
    begins = clock.now().replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    addresses = Signs(state).addresses_for(channel)
    month = Month(state, broadcast.broadcast_id, channel, addresses, begins)
    macs = NewMacs(broadcast.recipients, month.count_active(), new_contacts)
    if respondio is None or not 0 < macs.most - new_contacts <= _WORTH_ASKING:
        return macs
    most = int(_ASKING_SECONDS * respondio.calls_per_second("contact/channels"))
    asked, active = await _ask(respondio, month.unknown(most), begins, clock)
    return replace(macs, asked=asked, active_there=active)


async def _ask(
    respondio: RespondIO, phones: Sequence[str], begins: datetime, clock: Clock
) -> tuple[int, int]:
    """How many were asked about, and how many of them were active since `begins`.

    What goes wrong ends the asking: it is an estimate, no reason to plan nothing.
    """
    asked = active = 0
    until, since = clock.monotonic() + _ASKING_SECONDS, to_text(begins)
    for start in range(0, len(phones), _AT_ONCE):
        if clock.monotonic() >= until:
            break
        part = phones[start : start + _AT_ONCE]
        try:
            last = await asyncio.gather(*(_last_message_at(respondio, phone) for phone in part))
        except WacoexError:
            break
        asked += len(part)
        active += sum(at is not None and at >= since for at in last)
    return asked, active


async def _last_message_at(respondio: RespondIO, phone: str) -> str | None:
    """When somebody's last message on any channel was, either way; None for no contact."""
    try:
        channels = await respondio.contact_channels(contact_by(phone))
    except RefusedError as error:
        if error.code != NOT_FOUND:
            raise
        return None
    return max(
        filter(None, (read_moment(one.get("lastMessageTime")) for one in channels)), default=None
    )


if TYPE_CHECKING:
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
        onboarding = {channel.channel_id: onboarding_signs(channel, values, now)}
        standing = standings(workspace, [channel], now, onboarding)[channel.channel_id]
        events = AccountEvents(state).of_channels([channel])[channel.channel_id]
        facts = ChannelFacts(channel, now, account_events=events, is_known=True)
        facts.add(Fact(name, value, META, to_text(now)) for name, value in values.items())
        zone = zone_of(workspace, channel)
        return facts.connection, check_standing(facts, standing, zone)

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
