"""`status`: read what can be read, keep it, and judge every channel."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from wacoex_cli.broadcast.checks import check_limit_used_up
from wacoex_cli.broadcast.ledger import taken_since
from wacoex_cli.channels import evidence_ledger, facts_ledger, ledger, stored_connection
from wacoex_cli.channels.checks import SENDING_FIELDS, check_can_send
from wacoex_cli.channels.connection import Connection, allow_for_settling, connection_of
from wacoex_cli.channels.facts import Fact, in_order, values_of
from wacoex_cli.channels.removal import check_connection, wait_for
from wacoex_cli.channels.token_checks import (
    check_app_secret,
    check_token,
    check_version,
    missing_token,
    refused_token,
)
from wacoex_cli.diagnosis import checks, machine
from wacoex_cli.diagnosis.gather import Gatherer, Reading
from wacoex_cli.errors import CredentialError, StateError, UsageError, WacoexError
from wacoex_cli.events.projection import catch_up
from wacoex_cli.events.projections import CHANNELS
from wacoex_cli.findings.model import Finding, Severity, by_severity, worst, worst_first
from wacoex_cli.foundation.clock import to_text
from wacoex_cli.inactivity import reading as countdown
from wacoex_cli.inactivity.checks import check_opened

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from datetime import datetime

    from wacoex_cli.channels.model import Channel
    from wacoex_cli.foundation.state import State
    from wacoex_cli.foundation.workspace import Workspace
    from wacoex_cli.inactivity.model import Standing

_OBJECT_NOT_VISIBLE = 100


@dataclass(frozen=True)
class ChannelStatus:
    """One channel: what is known, what speaks against it, and what could not be found out."""

    channel: Channel
    facts: tuple[Fact, ...]
    connection: Connection
    standing: Standing
    findings: tuple[Finding, ...]
    failures: tuple[WacoexError, ...]

    @property
    def verdict(self) -> Severity:
        """The worst finding; unknown when something could not be found out."""
        failed = [Severity.UNKNOWN] if self.failures else []
        return worst([*failed, *(one.severity for one in self.findings)])


@dataclass(frozen=True)
class Status:
    """All channels, worst first, and the findings that concern no single one of them."""

    channels: tuple[ChannelStatus, ...]
    findings: tuple[Finding, ...]

    @property
    def verdict(self) -> Severity:
        """The worst of everything."""
        return worst(
            [*(one.verdict for one in self.channels), *(one.severity for one in self.findings)]
        )


def check(workspace: Workspace, named: Channel | None, *, offline: bool) -> Status:
    """Look at one channel, or at all that are not archived; store what was read.

    With `offline` nothing is asked: what is stored is judged, with its age.
    Raises UsageError when there is no channel, StateError for an unusable state file.
    """
    now = workspace.clock.now()
    state = workspace.state
    catch_up(state, [CHANNELS], workspace.clock)
    channels = [named] if named else _active(state)
    newest = machine.newest_stored_at(workspace)
    stored = facts_ledger.facts_by_channel(state)
    skew = None
    if offline:
        readings = {one.channel_id: _from_store(one, stored) for one in channels}
    else:
        gatherer = Gatherer(workspace, stored, facts_ledger.calls_in_hour(state, now), now)
        readings = workspace.run(gatherer.read_all(channels))
        skew = gatherer.clock_skew_seconds
        _keep(state, channels, readings, gatherer.calls, now)
    judged = _judge_all(workspace, channels, stored, readings, now)
    judged.sort(key=lambda one: (by_severity(one.verdict), one.channel.name))
    here = machine.look_at(workspace, newest, clock_skew_seconds=skew, offline=offline)
    unsigned = [one.name for one in channels if readings[one.channel_id].lacks_app_secret]
    everywhere = [
        *check_app_secret(unsigned, to_text(now)),
        *_check_versions(workspace, channels, now),
        *checks.check_machine(here, now),
    ]
    return Status(tuple(judged), tuple(worst_first(everywhere)))


def check_or_tell_why_not(workspace: Workspace, name: str | None, *, offline: bool) -> Status:
    """Like `check`, but a state file that is newer than this program is a finding (WX708).

    Raises UsageError for an unknown or archived channel.
    """
    from wacoex_cli.channels import registry

    try:
        named = registry.active(workspace.state, name) if name else None
        return check(workspace, named, offline=offline)
    except StateError as error:
        if error.code != "state_newer":
            raise
        return Status((), (checks.newer_schema(error, workspace.clock.now()),))


def _active(state: State) -> list[Channel]:
    found = [one for one in ledger.all_channels(state) if not one.archived_at]
    if not found:
        raise UsageError(
            "there is no channel yet",
            hint="add one with `wacoex channel add NAME --phone +65...`",
            code="channel_missing",
        )
    return found


def _keep(
    state: State,
    channels: Iterable[Channel],
    readings: dict[int, Reading],
    calls: dict[str, int],
    now: datetime,
) -> None:
    with state.transaction():
        for channel in channels:
            facts = readings[channel.channel_id].facts
            facts_ledger.store(state, channel.channel_id, facts)
            evidence_ledger.add(state, countdown.onboarding(channel, values_of(facts), now))
        facts_ledger.count_calls(state, calls, now)


def _newest(stored: Iterable[Fact], read: Iterable[Fact]) -> list[Fact]:
    return list({fact.name: fact for fact in [*stored, *read]}.values())


def _from_store(channel: Channel, stored: dict[int, list[Fact]]) -> Reading:
    if stored.get(channel.channel_id):
        return Reading(is_known=True)
    missing = WacoexError(
        f"nothing is stored about channel `{channel.name}` yet",
        hint="run `wacoex status` without `--offline`",
        code="no_facts",
    )
    return Reading(failures=[missing])


def _judge_all(
    workspace: Workspace,
    channels: Sequence[Channel],
    stored: dict[int, list[Fact]],
    readings: dict[int, Reading],
    now: datetime,
) -> list[ChannelStatus]:
    standings = countdown.standings(workspace, channels, now)
    events = stored_connection.account_events(workspace.state, channels)
    judged = []
    for channel in channels:
        reading = readings[channel.channel_id]
        facts = _newest(stored.get(channel.channel_id, ()), reading.facts)
        values = values_of(facts)
        connection = connection_of(
            channel, events[channel.channel_id], values if reading.is_known else {}, now
        )
        standing = standings[channel.channel_id]
        zone = countdown.zone_of(workspace, channel)
        lost = check_connection(connection, channel.name, now)
        findings = [
            *check_opened(standing, channel.name, zone, now),
            *lost,
            *_token_findings(channel, reading, values, now),
            *wait_for(lost, _sending_findings(workspace.state, channel, facts, reading, now)),
        ]
        judged.append(
            ChannelStatus(
                channel,
                tuple(in_order(facts)),
                connection,
                standing,
                tuple(worst_first(findings)),
                tuple(reading.failures),
            )
        )
    return judged


def _sending_findings(
    state: State, channel: Channel, facts: list[Fact], reading: Reading, now: datetime
) -> list[Finding]:
    if not reading.is_known:
        return []
    values = values_of(facts)
    seen = _seen(facts, SENDING_FIELDS, now)
    taken = taken_since(state, channel.phone, now - timedelta(hours=24))
    limit = values.get("whatsapp_business_manager_messaging_limit")
    found = check_can_send(values, channel.name, seen)
    found = allow_for_settling(found, values, channel.name, now, seen)
    return [*found, *check_limit_used_up(limit, taken, channel.name, seen)]


def _token_findings(
    channel: Channel, reading: Reading, values: dict[str, Any], now: datetime
) -> list[Finding]:
    seen = to_text(now)
    if reading.lacks_token:
        return [missing_token(channel.name, seen)]
    said = values if reading.is_known else values_of(reading.facts)
    when = _seen([one for one in reading.facts if one.name.startswith("token.")], (), now)
    found = check_token(said, channel.name, now, when)
    refusal = next(filter(_blames_the_token, reading.failures), None)
    if refusal and all(one.severity is not Severity.UNKNOWN for one in found):
        found.append(refused_token(channel.name, refusal.message, seen))
    return found


def _blames_the_token(error: WacoexError) -> bool:
    """Not when Meta hides the object: then the id may be wrong, or the partner gone."""
    return isinstance(error, CredentialError) and error.details.get("code") not in {
        None,
        _OBJECT_NOT_VISIBLE,
    }


def _seen(facts: Sequence[Fact], names: Sequence[str], now: datetime) -> str:
    """When the oldest of these facts was read."""
    times = [one.observed_at for one in facts if not names or one.name in names]
    return min(times, default=to_text(now))


def _check_versions(
    workspace: Workspace, channels: Iterable[Channel], now: datetime
) -> list[Finding]:
    versions = {workspace.settings_for(one.name).meta_api_version for one in channels}
    return [
        finding
        for version in sorted(versions)
        for finding in check_version(version, now, to_text(now))
    ]
