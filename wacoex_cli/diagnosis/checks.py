"""Every check of status and doctor in one list, and those of sources and machine. Pure."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable
from datetime import timedelta
from typing import TYPE_CHECKING

from wacoex_cli.channels.checks import (
    SENDING_FIELDS,
    allow_for_settling,
    check_app_secret,
    check_can_send,
    check_connection,
    check_ids,
    check_sending_facts,
    check_shown,
    check_token,
    check_version,
    missing_token,
    refused_token,
    wait_for,
)
from wacoex_cli.channels.facts import connected_at
from wacoex_cli.channels.model import TOKEN_PREFIX, Provider, values_of
from wacoex_cli.diagnosis.snapshot import blames_the_token
from wacoex_cli.events.checks import (
    Subscribed,
    check_missing,
    check_silence,
    check_subscription,
    rank_causes,
)
from wacoex_cli.events.unclear import check_understood
from wacoex_cli.events.unplaced import check_placed
from wacoex_cli.findings.model import SOURCE_NAMES, Evidence, Finding, Severity, worst_first
from wacoex_cli.foundation.clock import from_text, to_text
from wacoex_cli.inactivity.checks import check_reminder, check_standing
from wacoex_cli.partners.checks import check_partners
from wacoex_cli.terminal.lost_output import STREAM_NAMES

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from datetime import datetime

    from wacoex_cli.broadcast.checks import Trouble
    from wacoex_cli.channels.facts import ChannelFacts, Connection
    from wacoex_cli.contacts.store import OptOut
    from wacoex_cli.diagnosis.snapshot import ChannelView, Machine, Pair, Snapshot, Unanswered
    from wacoex_cli.errors import StateError
    from wacoex_cli.onboarding.model import Journey, Record
    from wacoex_cli.terminal.lost_output import LostOutput


CHANNEL_CHECKS: tuple[Callable[[Snapshot, ChannelView], Iterable[Finding]], ...] = (
    lambda at, it: check_standing(it.connection, it.standing, it.name, it.zone, at.now),
    lambda at, it: check_access(it.facts),
    lambda at, it: (*check_shown(it.facts), *check_ids(it.facts)),
    lambda at, it: check_sending(it.facts, it.connection, it.taken_in_24_hours),
    lambda at, it: check_webhooks(it, at.now),
    lambda at, it: it.inventory.findings,
    lambda at, it: check_partners(it.facts, it.connection, it.partner, is_direct=False),
    lambda at, it: check_understood(at.unclear.get(it.name, ()), it.name),
    lambda at, it: rank_causes(it.unsupported, it.name, at.now) if it.unsupported.messages else (),
    lambda at, it: check_missing(
        it.echo_flow,
        it.name,
        at.now,
        must_wait=it.must_wait(at.now),
        is_partner_seen=it.is_partner_seen,
    ),
    lambda at, it: check_templates(it.templates, it.name, at.now) if it.templates else (),
    lambda at, it: check_broadcasts(it.trouble, it.name) if it.trouble else (),
    lambda at, it: check_journey(it.journey, it.records, it.facts, at.now) if it.journey else (),
)
"""The checks of a channel. To add one: a function in its package, a line here, a page."""

GENERAL_CHECKS: tuple[Callable[[Snapshot], Iterable[Finding]], ...] = (
    lambda at: check_sources(at.failed, at.now),
    lambda at: check_machine(at.machine, at.now),
    lambda at: check_reminder(at.last_run, at.schedule, at.reach, at.now) if at.is_whole else (),
    lambda at: (
        finding
        for source, hours in at.arrivals.items()
        for finding in check_silence(hours, at.now, source)
    ),
    lambda at: check_stops(at.unplaced_stops) if at.unplaced_stops else (),
    lambda at: check_placed(at.unplaced),
    lambda at: check_understood(at.unclear.get(None, ()), None),
    lambda at: check_app_secret(at.unsigned, to_text(at.now)),
    lambda at: (
        finding
        for version in at.versions
        for finding in check_version(version, at.now, to_text(at.now))
    ),
)
"""Checks of this machine, and of what all channels share."""
_LOOKED_AFTER = timedelta(days=30)
_BY_APP_ALONE = "Meta shows only the app which fields are on"
_SHOWN = 3
_CLOCKS_DIFFER_AT_MOST = timedelta(minutes=5)
_MEBIBYTE = 2**20
_SCARCE = 200 * _MEBIBYTE
_NEARLY_NONE = 20 * _MEBIBYTE


def channel_findings(snapshot: Snapshot, view: ChannelView) -> list[Finding]:
    """What the checks say about one channel, worst first."""
    return worst_first(finding for check in CHANNEL_CHECKS for finding in check(snapshot, view))


def general_findings(snapshot: Snapshot) -> list[Finding]:
    """What they say about what concerns no single channel, worst first."""
    return worst_first(finding for check in GENERAL_CHECKS for finding in check(snapshot))


def run_checks(snapshot: Snapshot) -> list[Finding]:
    """All of it. Worst first; of the same severity what is general, then channel by channel."""
    of_channels = [
        found for view in snapshot.channels for found in channel_findings(snapshot, view)
    ]
    return worst_first([*general_findings(snapshot), *of_channels])


def check_sending(
    facts: ChannelFacts, connection: Connection, taken_in_24_hours: int
) -> list[Finding]:
    """WX201, WX206, WX208, WX214, WX501 and WX502 from the facts, where the number is known.

    Beside a lost connection nobody is asked to connect again.
    """
    if not facts.is_known:
        return []
    values, name, now = facts.values, facts.name, facts.now
    seen = facts.observed_at(SENDING_FIELDS)
    limit = values.get("whatsapp_business_manager_messaging_limit")
    found = check_can_send(values, name, seen)
    found += check_sending_facts(values, name, seen)
    found = allow_for_settling(found, values, name, now, seen)
    if limit is not None:
        # Imported only now, as what is below: most commands find nothing that needs it.
        from wacoex_cli.broadcast.checks import check_limit_used_up

        found += check_limit_used_up(limit, taken_in_24_hours, name, seen)
    return wait_for(check_connection(connection, name, now), found)


def check_access(facts: ChannelFacts) -> list[Finding]:
    """WX701 from what Meta said about the token, or from how it refused it."""
    name, seen = facts.name, facts.now_text
    if facts.lacks_token:
        return [missing_token(name, seen)]
    said = facts.values if facts.is_known else values_of(facts.read)
    if not (said or facts.failures):
        return []
    read = [fact.observed_at for fact in facts.read if fact.name.startswith(TOKEN_PREFIX)]
    found = check_token(said, name, facts.now, min(read, default=seen))
    refusal = next(filter(blames_the_token, facts.failures.values()), None)
    if refusal and all(finding.severity is not Severity.UNKNOWN for finding in found):
        found.append(refused_token(name, refusal.message, seen, refusal.hint))
    return found


def check_templates(pairs: Iterable[Pair], channel: str, now: datetime) -> Iterator[Finding]:
    """The findings about templates of broadcasts: as they were planned, and as Meta has them."""
    from wacoex_cli.templates.changes import check_category, check_still_as_planned

    for planned, current in pairs:
        yield from check_still_as_planned(planned, current, channel, to_text(now))
        read = Evidence("as it is read now", "meta", to_text(now))
        yield from check_category(planned.category, current.category, channel, read)


def check_stops(waiting: Sequence[OptOut]) -> list[Finding]:
    """WX508, see `contacts.stops`."""
    from wacoex_cli.contacts.stops import check_unplaced

    return check_unplaced(waiting)


def check_broadcasts(trouble: Trouble, channel: str) -> list[Finding]:
    """WX503, WX505 and WX506, see `broadcast.checks`."""
    from wacoex_cli.broadcast.checks import check_trouble

    return check_trouble(trouble, channel)


def check_journey(
    journey: Journey, records: Mapping[str, Record], facts: ChannelFacts, now: datetime
) -> list[Finding]:
    """WX601 to WX607 from a journey of connecting that is open, or ended less than 30 days ago.

    `facts` say when the number was connected, as Meta has it.
    """
    if journey.finished_at and now - from_text(journey.finished_at) > _LOOKED_AFTER:
        return []
    from wacoex_cli.onboarding.checks import check_records, check_window
    from wacoex_cli.onboarding.model import SYNC_WINDOW, Route, StepState

    channel, onboarded_at = facts.name, connected_at(facts.values)
    found = check_records(records, channel, to_text(now))
    signup, sync = records.get("signup"), records.get("sync")
    is_open = sync is None or sync.state is StepState.OPEN
    is_due = signup is not None and signup.state is StepState.SETTLED and is_open
    if journey.via is Route.SIGNUP and onboarded_at and is_due and not journey.finished_at:
        found += check_window(onboarded_at + SYNC_WINDOW, channel, now, "meta")
    return found


def check_attached(facts: ChannelFacts, configured_app_id: str | None) -> list[Finding]:
    """WX210 when our own app is not among the subscribed ones, where we send through Meta.

    Ours is the configured one, else the token's. What cannot be read changes nothing here.
    """
    app_id = configured_app_id or str(facts.values.get("token.app_id") or "")
    seen, is_meta = facts.seen, facts.channel.provider is Provider.META
    if not app_id or seen is None or seen.apps is None or not is_meta:
        return []
    if any(app.id == app_id for app in seen.apps):
        return []
    hook = Subscribed(app_id, False, None, is_active=True, why=_BY_APP_ALONE)
    found = check_subscription(hook, facts.name, seen.observed_at)
    return [finding for finding in found if finding.severity is not Severity.UNKNOWN]


def check_sources(failed: Iterable[Unanswered], now: datetime) -> list[Finding]:
    """WX709: a source could not be asked, or gave no usable answer; once for each source.

    What depends on it is not known, which is no sign of a fault (and none of health).
    """
    by_source: dict[str, list[Unanswered]] = defaultdict(list)
    for failure in failed:
        by_source[failure.source].append(failure)
    found = []
    for source, failures in by_source.items():
        channels = list(dict.fromkeys(failure.channel for failure in failures))
        reasons: dict[tuple[str, bool], dict[str, None]] = defaultdict(dict)
        for failure in failures:
            # Only a refusal with a code of its own is what the source itself said.
            is_said = "code" in failure.error.details
            reasons[failure.error.message, is_said][failure.channel] = None
        evidence = [
            Evidence(f"{text} (asked about {_some(list(names))})", source, to_text(now), is_said)
            for (text, is_said), names in reasons.items()
        ]
        hints = dict.fromkeys(failure.error.hint or "try again in a minute" for failure in failures)
        found.append(
            Finding(
                "WX709",
                Severity.UNKNOWN,
                channels[0] if len(channels) == 1 else None,
                evidence,
                source=SOURCE_NAMES.get(source, source),
                hints=list(hints),
            )
        )
    return found


def _some(names: list[str]) -> str:
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + more


def check_webhooks(view: ChannelView, now: datetime) -> list[Finding]:
    """WX210 as one finding.

    What only the app secret could show is left out where there is none: that is WX702.
    """
    if view.subscription is None:
        return check_attached(view.facts, view.partner.own_app_id)
    seen = view.subscription.seen
    found = check_subscription(seen, view.name, to_text(now))
    if view.facts.lacks_app_secret and seen.is_attached is not None:
        found = [finding for finding in found if finding.severity is not Severity.UNKNOWN]
    if len(found) < 2:
        return found
    # The worst of several about the same thing, with what all of them rest on and advise.
    ordered = worst_first(found)
    evidence = [fact for finding in ordered for fact in finding.evidence]
    remedy = dict.fromkeys(step for finding in ordered for step in finding.remedy)
    return [ordered[0].replace(evidence=evidence, remedy=remedy)]


def check_machine(machine: Machine, now: datetime) -> list[Finding]:
    """Everything that is wrong on this machine itself (WX704 to WX707, WX710 to WX712)."""
    at = to_text(now)
    found = [*machine.state_file]
    if exposed := machine.exposed:
        said = [
            Evidence(f"{file.path} {file.what} and has the mode {file.mode:04o}", "machine", at)
            for file in exposed
        ]
        paths = [file.path for file in exposed]
        found.append(Finding("WX704", Severity.WARNING, None, said, paths=paths))
    if said := [Evidence(text, "machine", at) for text in _clock_facts(machine, now)]:
        found.append(Finding("WX705", Severity.WARNING, None, said))
    if machine.keyring_problem is not None:
        problem = Evidence(machine.keyring_problem, "machine", at)
        found.append(Finding("WX706", Severity.WARNING, None, problem))
    if machine.free_bytes < _SCARCE:
        severity = Severity.CRITICAL if machine.free_bytes < _NEARLY_NONE else Severity.WARNING
        free = f"{machine.disk}: {machine.free_bytes // _MEBIBYTE} MiB are free"
        found.append(Finding("WX707", severity, None, Evidence(free, "machine", at)))
    return found + check_output(machine.lost_output)


def check_output(lost: Sequence[LostOutput]) -> list[Finding]:
    """WX712: a command could not write what it had to say, and has not been able to since.

    A reader that went away is shown only beside such a failure.
    """
    if not any(entry.is_failure for entry in lost):
        return []
    said = [
        Evidence(
            f"`wacoex {entry.command}` could not write {STREAM_NAMES[entry.stream]}:"
            f" {entry.reason}"
            + (f"; it ended with: {entry.ended_with}" if entry.ended_with else ""),
            "machine",
            entry.at,
        )
        for entry in lost
    ]
    commands = list(dict.fromkeys(entry.command for entry in lost))
    return [Finding("WX712", Severity.WARNING, None, said, commands=commands)]


def _clock_facts(machine: Machine, now: datetime) -> Iterator[str]:
    stored = machine.newest_stored_at
    if stored and stored - now > _CLOCKS_DIFFER_AT_MOST:
        yield f"the state file was last written at {to_text(stored)}, now it is {to_text(now)}"
    skew = machine.clock_skew_seconds
    if skew is not None and abs(skew) > _CLOCKS_DIFFER_AT_MOST.total_seconds():
        direction = "ahead of" if skew > 0 else "behind"
        yield f"Meta's clock is {abs(skew) / 60:.0f} minutes {direction} ours"


def newer_schema(error: StateError, now: datetime) -> Finding:
    """WX708: the state file was written by a newer wacoex, so nothing can be checked."""
    said = Evidence(error.message, "machine", to_text(now))
    return Finding("WX708", Severity.UNKNOWN, None, said, hint=error.hint or "update wacoex")
