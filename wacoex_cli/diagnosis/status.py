"""`status`: read what can be read, keep it, and judge every channel."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from wacoex_cli.channels import registry
from wacoex_cli.channels.store import Facts
from wacoex_cli.diagnosis import apps, checks, machine
from wacoex_cli.diagnosis.all_checks import CHANNEL_CHECKS, GENERAL_CHECKS
from wacoex_cli.diagnosis.asked import Asked, Reading, keep
from wacoex_cli.diagnosis.snapshot import Snapshot
from wacoex_cli.diagnosis.take_snapshot import arrivals, views
from wacoex_cli.errors import StateError, WacoexError
from wacoex_cli.events import consumers
from wacoex_cli.events.projection import catch_up
from wacoex_cli.events.projections import CHANNELS
from wacoex_cli.findings.model import Finding, Severity, by_severity, worst, worst_first
from wacoex_cli.partners.rule import is_seen

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from wacoex_cli.channels.model import Channel, Fact
    from wacoex_cli.diagnosis.snapshot import ChannelView
    from wacoex_cli.foundation.workspace import Workspace

# Whether the reminder runs is for `reminder check` and `doctor`: no channel is worse for it.
_LEFT_OUT = frozenset({"reminder"})


@dataclass(frozen=True)
class ChannelStatus:
    """One channel: what is known, what speaks against it, and what could not be found out."""

    view: ChannelView
    findings: tuple[Finding, ...]
    failures: tuple[WacoexError, ...]

    @property
    def channel(self) -> Channel:
        """The channel itself."""
        return self.view.channel

    @property
    def facts(self) -> tuple[Fact, ...]:
        """The newest facts known about it."""
        return self.view.facts

    @property
    def partner_seen(self) -> bool | None:
        """Whether the partner that is expected is there; None where nobody could tell."""
        return is_seen(self.view.partner, apps.seen_in(self.view.facts))

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
    now, state = workspace.clock.now(), workspace.state
    catch_up(state, consumers.projections() or [CHANNELS], workspace.clock)
    channels = [named] if named else registry.all_active(state)
    newest = machine.newest_stored_at(workspace)
    stored = Facts(state).facts_by_channel()
    if offline:
        asked = Asked({one.channel_id: _from_store(one, stored) for one in channels})
    else:
        asked = _ask(workspace, channels, stored, now)
    snapshot = Snapshot(
        now=now,
        is_offline=offline,
        channels=tuple(views(workspace, channels, stored, asked, now)),
        machine=machine.look_at(
            workspace, newest, clock_skew_seconds=asked.clock_skew_seconds, offline=offline
        ),
        arrivals=arrivals(state),
        versions=tuple(
            sorted({workspace.settings_for(one.name).meta_api_version for one in channels})
        ),
    )
    return _judged(snapshot)


def check_or_tell_why_not(workspace: Workspace, name: str | None, *, offline: bool) -> Status:
    """Like `check`, but a state file that is newer than this program is a finding (WX708).

    Raises UsageError for an unknown or archived channel.
    """
    try:
        named = registry.active(workspace.state, name) if name else None
        return check(workspace, named, offline=offline)
    except StateError as error:
        if error.code != "state_newer":
            raise
        return Status((), (checks.newer_schema(error, workspace.clock.now()),))


def _ask(
    workspace: Workspace,
    channels: Sequence[Channel],
    stored: dict[int, list[Fact]],
    now: datetime,
) -> Asked:
    """Ask Meta about the numbers, the accounts and the tokens, and nobody about anything else."""
    # Imported only now: who looks offline needs nothing of what asks.
    from wacoex_cli.diagnosis.gather import Gatherer

    state = workspace.state
    gatherer = Gatherer(workspace, stored, Facts(state).calls_in_hour(now), now)
    readings = workspace.run(gatherer.read_all(channels))
    keep(state, channels, readings, gatherer.calls, now)
    return Asked(readings, clock_skew_seconds=gatherer.clock_skew_seconds)


def _from_store(channel: Channel, stored: dict[int, list[Fact]]) -> Reading:
    if stored.get(channel.channel_id):
        return Reading(is_known=True)
    missing = WacoexError(
        f"nothing is stored about channel `{channel.name}` yet",
        hint="run `wacoex status` without `--offline`",
        code="no_facts",
    )
    return Reading(failures=[missing])


def _judged(snapshot: Snapshot) -> Status:
    judged = [
        ChannelStatus(
            view,
            tuple(
                worst_first(one for each in CHANNEL_CHECKS for one in each.function(snapshot, view))
            ),
            tuple(view.reading.failures),
        )
        for view in snapshot.channels
    ]
    judged.sort(key=lambda one: (by_severity(one.verdict), one.channel.name))
    general = [each for each in GENERAL_CHECKS if each.name not in _LEFT_OUT]
    everywhere = (one for each in general for one in each.function(snapshot))
    return Status(tuple(judged), tuple(worst_first(everywhere)))
