"""`status`: read what can be read, keep it, and judge every channel."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from wacoex_cli.channels import registry
from wacoex_cli.diagnosis.checks import channel_findings, general_findings, newer_schema
from wacoex_cli.diagnosis.snapshot import take_snapshot
from wacoex_cli.errors import StateError, WacoexError
from wacoex_cli.findings.model import Finding, Severity, by_severity, worst
from wacoex_cli.partners.rule import is_seen

if TYPE_CHECKING:
    from collections.abc import Iterator

    from wacoex_cli.channels.model import Channel, Fact
    from wacoex_cli.diagnosis.snapshot import ChannelView
    from wacoex_cli.foundation.workspace import Workspace


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
    def facts(self) -> list[Fact]:
        """The newest facts known about it."""
        return self.view.facts.facts

    @property
    def partner_seen(self) -> bool | None:
        """Whether the partner that is expected is there; None where nobody could tell."""
        return is_seen(self.view.partner.expected, self.view.facts.seen)

    @property
    def verdict(self) -> Severity:
        """The worst finding; unknown when something could not be found out."""
        failed = [Severity.UNKNOWN] if self.failures else []
        return worst([*failed, *(one.severity for one in self.findings)])


@dataclass(frozen=True)
class StatusReport:
    """All channels, worst first, and the findings that concern no single one of them."""

    channels: tuple[ChannelStatus, ...]
    findings: tuple[Finding, ...]

    @property
    def verdict(self) -> Severity:
        """The worst of everything."""
        return worst(
            [*(one.verdict for one in self.channels), *(one.severity for one in self.findings)]
        )


def check(workspace: Workspace, named: Channel | None, *, offline: bool) -> StatusReport:
    """Look at one channel, or at all that are not archived; store what was read.

    With `offline` nothing is asked: what is stored is judged, with its age.
    Raises UsageError when there is no channel, StateError for an unusable state file.
    """
    channels = [named] if named else registry.all_active(workspace.state)
    snapshot = take_snapshot(workspace, channels, is_offline=offline, is_whole=False)
    judged = [
        ChannelStatus(view, tuple(channel_findings(snapshot, view)), tuple(_failures(view)))
        for view in snapshot.channels
    ]
    judged.sort(key=lambda one: (by_severity(one.verdict), one.channel.name))
    return StatusReport(tuple(judged), tuple(general_findings(snapshot)))


def check_or_tell_why_not(workspace: Workspace, name: str | None, *, offline: bool) -> StatusReport:
    """Like `check`, but a state file that is newer than this program is a finding (WX708).

    Raises UsageError for an unknown or archived channel.
    """
    try:
        named = registry.active(workspace.state, name) if name else None
        return check(workspace, named, offline=offline)
    except StateError as error:
        if error.code != "state_newer":
            raise
        return StatusReport((), (newer_schema(error, workspace.clock.now()),))


def _failures(view: ChannelView) -> Iterator[WacoexError]:
    """What could not be asked; offline, that nothing is stored."""
    yield from view.facts.failures.values()
    if not (view.facts.failures or view.facts.is_known):
        yield WacoexError(
            f"nothing is stored about channel `{view.name}` yet",
            hint="run `wacoex status` without `--offline`",
            code="no_facts",
        )
