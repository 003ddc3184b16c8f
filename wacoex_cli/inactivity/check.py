"""`reminder check`: every channel's countdown and connection, from what is stored."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from wacoex_cli.channels import registry
from wacoex_cli.channels.facts import FACTS, stored_facts
from wacoex_cli.channels.store import CHANNELS, Channels
from wacoex_cli.events.store import catch_up
from wacoex_cli.findings.model import Severity, by_severity, worst, worst_first
from wacoex_cli.inactivity import reading, runs_ledger
from wacoex_cli.inactivity.checks import check_standing
from wacoex_cli.inactivity.model import Stage
from wacoex_cli.inactivity.reminder_checks import check_running

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from wacoex_cli.channels.facts import Connection
    from wacoex_cli.channels.model import Channel
    from wacoex_cli.findings.model import Finding
    from wacoex_cli.foundation.settings import InactivitySettings
    from wacoex_cli.foundation.workspace import Workspace
    from wacoex_cli.inactivity.model import Standing

_NEAREST_END_FIRST = (Stage.OVERDUE, Stage.CRITICAL, Stage.UNKNOWN, Stage.WARNING, Stage.OK)


@dataclass(frozen=True)
class Watched:
    """A channel with its countdown. `zone` is the time zone its times are shown in."""

    channel: Channel
    standing: Standing
    connection: Connection
    findings: tuple[Finding, ...]
    zone: str
    settings: InactivitySettings

    @property
    def severity(self) -> Severity:
        """The worst that was found."""
        return worst(one.severity for one in self.findings)

    @property
    def headline(self) -> str:
        """The one word about it: that the connection is lost, else the stage."""
        state = self.connection.state
        return state.value if state and self.connection.is_lost else self.standing.stage.value


@dataclass(frozen=True)
class ReminderCheck:
    """All channels that were looked at, worst first, and when `reminder notify` last ran.

    `findings` are about the reminder itself (WX106).
    """

    channels: tuple[Watched, ...]
    last_notify_run_at: str | None
    last_notify_exit_status: int | None
    findings: tuple[Finding, ...]

    @property
    def severity(self) -> Severity:
        """The worst of all channels. Whoever lets monitoring call this needs no notices (WX106)."""
        return worst(one.severity for one in self.channels)


def check(workspace: Workspace, name: str | None, now: datetime) -> ReminderCheck:
    """Look at one channel, or at all that are not archived. Asks nobody.

    Raises UsageError when there is no channel, or none of that name; StateError for an unusable
    state file.
    """
    state = workspace.state
    channels = [registry.active(state, name)] if name else Channels(state).all_active()
    workspace.warn_about_other_tables(Channels(state).names())
    catch_up(state, [CHANNELS], workspace.clock)
    run = runs_ledger.last_run(state)
    return ReminderCheck(
        tuple(watch(workspace, channels, now)),
        run["started_at"] if run else None,
        run["exit_status"] if run else None,
        tuple(check_running(run, runs_ledger.schedule(state), now)),
    )


def watch(workspace: Workspace, channels: Sequence[Channel], now: datetime) -> list[Watched]:
    """The countdowns and connections of these channels, worst first, as they are stored."""
    standings = reading.standings(workspace, channels, now)
    facts = stored_facts(workspace.state, channels, now, FACTS)
    found = []
    for channel in channels:
        standing = standings[channel.channel_id]
        connection = facts[channel.channel_id].connection
        zone = reading.zone_of(workspace, channel)
        findings = check_standing(facts[channel.channel_id], standing, zone)
        settings = workspace.settings_for(channel.name).inactivity
        found.append(
            Watched(channel, standing, connection, tuple(worst_first(findings)), zone, settings)
        )
    return sorted(found, key=_place)


def _place(one: Watched) -> tuple[int, int, str, str]:
    deadline = one.standing.deadline_at
    return (
        by_severity(one.severity),
        _NEAREST_END_FIRST.index(one.standing.stage),
        deadline.isoformat() if deadline else "",
        one.channel.name,
    )
