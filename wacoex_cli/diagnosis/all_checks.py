"""Every check the doctor runs, in one list: a line for each.

A check is a pure function in the room that knows its subject. A line here hands it what it needs
from the snapshot.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from wacoex_cli.broadcast.checks import check_trouble
from wacoex_cli.channels.connection import connected_at
from wacoex_cli.channels.removal import check_connection
from wacoex_cli.channels.token_checks import check_app_secret, check_version
from wacoex_cli.diagnosis import apps, judge
from wacoex_cli.diagnosis.checks import check_machine
from wacoex_cli.diagnosis.snapshot import ChannelView, Snapshot
from wacoex_cli.diagnosis.source_checks import check_sources, check_webhooks
from wacoex_cli.events import unsupported_checks
from wacoex_cli.events.checks import check_silence
from wacoex_cli.events.missing_checks import check_missing
from wacoex_cli.findings.model import Finding, worst_first
from wacoex_cli.foundation.clock import to_text
from wacoex_cli.inactivity.checks import check_opened
from wacoex_cli.inactivity.reminder_checks import check_running
from wacoex_cli.partners.account_checks import check_account
from wacoex_cli.partners.checks import check_override, check_partner
from wacoex_cli.partners.drift import at_meta, at_respondio
from wacoex_cli.partners.drift_checks import check_drift
from wacoex_cli.templates.checks import check_still_as_planned


@dataclass(frozen=True)
class ChannelCheck:
    """A check of one channel, called once for each."""

    name: str
    function: Callable[[Snapshot, ChannelView], list[Finding]]


@dataclass(frozen=True)
class GeneralCheck:
    """A check of what concerns no single channel, called once."""

    name: str
    function: Callable[[Snapshot], list[Finding]]


CHANNEL_CHECKS = (
    ChannelCheck("opened", lambda at, it: check_opened(it.standing, it.name, it.zone, at.now)),
    ChannelCheck("connection", lambda at, it: check_connection(it.connection, it.name, at.now)),
    ChannelCheck(
        "access", lambda at, it: judge.check_access(it.facts, it.reading, it.name, at.now)
    ),
    ChannelCheck("sending", lambda at, it: _sending(at, it)),
    ChannelCheck("webhooks", lambda at, it: check_webhooks(it, at.now)),
    ChannelCheck("devices", lambda at, it: list(it.inventory.findings)),
    ChannelCheck("partner", lambda at, it: _partner(at, it)),
    ChannelCheck("drift", lambda at, it: _drift(at, it)),
    ChannelCheck(
        "account",
        lambda at, it: check_account(
            it.account_events, it.template_events, it.values, it.name, at.now, it.seen_at(at.now)
        ),
    ),
    ChannelCheck(
        "unsupported", lambda at, it: unsupported_checks.rank(it.unsupported, it.name, at.now)
    ),
    ChannelCheck(
        "missing",
        lambda at, it: check_missing(it.echo_flow, it.name, at.now, must_wait=it.must_wait(at.now)),
    ),
    ChannelCheck("templates", lambda at, it: _templates(at, it)),
    ChannelCheck("broadcasts", lambda at, it: check_trouble(it.trouble, it.name)),
    ChannelCheck(
        "journey",
        lambda at, it: judge.check_journey(
            it.journey, it.records, connected_at(it.values), it.name, at.now
        ),
    ),
)
"""Checks of a channel. To add one: a function in its room, a line here, a page in `knowledge/`."""

GENERAL_CHECKS = (
    GeneralCheck("sources", lambda at: check_sources(at.failed, at.now)),
    GeneralCheck("machine", lambda at: check_machine(at.machine, at.now)),
    GeneralCheck("reminder", lambda at: check_running(at.last_run, at.schedule, at.now)),
    GeneralCheck("arrivals", lambda at: _arrivals(at)),
    GeneralCheck("app secret", lambda at: check_app_secret(at.unsigned, to_text(at.now))),
    GeneralCheck("versions", lambda at: _versions(at)),
)
"""Checks of this machine, and of what all channels share."""


def run_checks(snapshot: Snapshot) -> list[Finding]:
    """Run them all. Worst first; of the same severity what is general, then channel by channel."""
    found = [one for check in GENERAL_CHECKS for one in check.function(snapshot)]
    for view in snapshot.channels:
        found += [one for check in CHANNEL_CHECKS for one in check.function(snapshot, view)]
    return worst_first(found)


def _sending(at: Snapshot, it: ChannelView) -> list[Finding]:
    lost = check_connection(it.connection, it.name, at.now)
    return judge.check_sending(it.facts, it.reading, lost, it.taken_in_24_hours, it.name, at.now)


def _partner(at: Snapshot, it: ChannelView) -> list[Finding]:
    """WX202 and WX205; that nobody could tell is told once for all (WX709)."""
    seen = apps.seen_in(it.facts)
    if seen is None or seen.apps is None:
        return []
    return [
        *check_partner(it.partner, seen, it.connection, it.name, at.now),
        *check_override(
            it.partner,
            seen,
            it.values,
            it.name,
            it.seen_at(at.now),
            own_app_id=it.own_app_id or it.values.get("token.app_id"),
            public_url=it.public_url,
        ),
    ]


def _drift(at: Snapshot, it: ChannelView) -> list[Finding]:
    listed = it.listed if it.listed and it.listed.channels is not None else None
    drifts = [
        *(at_respondio(it.channel, listed, it.other_respondio_ids) if listed else ()),
        *at_meta(it.channel, it.values, None, it.seen_at(at.now)),
    ]
    return check_drift(listed, drifts, it.connection, it.name)


def _templates(at: Snapshot, it: ChannelView) -> list[Finding]:
    return [
        one
        for planned, current in it.templates
        for one in check_still_as_planned(planned, current, it.name, to_text(at.now))
    ]


def _arrivals(at: Snapshot) -> list[Finding]:
    return [
        one for source, hours in at.arrivals.items() for one in check_silence(hours, at.now, source)
    ]


def _versions(at: Snapshot) -> list[Finding]:
    return [
        one for version in at.versions for one in check_version(version, at.now, to_text(at.now))
    ]
