"""`reminder check`: the countdown of each channel from stored evidence, and what is wrong with it.

From top to bottom: evidence is collected, judged, and shown to people, scripts and monitoring.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, NamedTuple

from wacoex_cli.channels import registry
from wacoex_cli.channels.checks import check_connection
from wacoex_cli.channels.facts import (
    CHANNELS,
    FACTS,
    ChannelFacts,
    Connection,
    connected_at,
    note_hidden,
    note_shown,
    reconnections,
    stored_facts,
)
from wacoex_cli.channels.model import (
    BUSINESS_NAME,
    VISIBLE,
    EvidenceKind,
    Fact,
    Sign,
    address_of,
    values_of,
)
from wacoex_cli.channels.store import Channels, Facts, Signs, SignSearch, read_once
from wacoex_cli.devices.store import Devices
from wacoex_cli.events.store import catch_up
from wacoex_cli.findings.model import (
    Evidence,
    Finding,
    Severity,
    aside,
    by_severity,
    check_exit_status,
    finding_blocks,
    worst,
    worst_first,
)
from wacoex_cli.foundation.clock import from_text, local_text, to_text
from wacoex_cli.inactivity import rule
from wacoex_cli.inactivity.model import Grade, GradedSign, Stage
from wacoex_cli.inactivity.store import Reminders
from wacoex_cli.terminal.layout import Column
from wacoex_cli.terminal.render import Block, Blocks, ForPerson, ForPipe, Line, Table, relative

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from datetime import datetime
    from typing import Any

    from wacoex_cli.channels.model import Channel
    from wacoex_cli.channels.store import OfKind, ReadOnce
    from wacoex_cli.devices.model import Interval
    from wacoex_cli.errors import WacoexError
    from wacoex_cli.foundation.settings import InactivitySettings
    from wacoex_cli.foundation.state import Row, State
    from wacoex_cli.foundation.workspace import Workspace
    from wacoex_cli.inactivity.model import NoticeReach, Standing

StandingCheck = Callable[[Sequence[Fact], str, bool], tuple[Connection, list[Finding]]]
NO_EVIDENCE = (
    "messages through the API, messages from customers and broadcasts do not count as opening the"
    " app"
)
_SMALLEST_STEP = timedelta(milliseconds=1)
_GRACE = timedelta(hours=1)
# Somebody else's schedule is not known; once a day is the least that makes sense for it.
_UNKNOWN_SCHEDULE = timedelta(days=1)
_LATE = {Stage.WARNING: "WX101", Stage.CRITICAL: "WX102", Stage.OVERDUE: "WX103"}
_NEAREST_END_FIRST = (Stage.OVERDUE, Stage.CRITICAL, Stage.UNKNOWN, Stage.WARNING, Stage.OK)
_HEADLINES = ("removed", "gone", "reconnecting", "overdue", "critical", "unknown", "warning", "ok")
# A pager shows one line: this many channels it names there, of each stage.
_NAMED_IN_STATUS_LINE = 3
_COLUMNS = (
    Column("stage", 9, fit="keep"),
    Column("channel", 8, least=12),
    Column("deadline", 4, fit="keep", may_drop=True),
    Column("left", 7, fit="keep"),
    Column("grade", 2, fit="keep", may_drop=True),
    Column("findings", 3, least=10, fit="count", may_drop=True),
    Column("owner", 5, least=14, may_drop=True),
)


def standings(
    workspace: Workspace,
    channels: Sequence[Channel],
    now: datetime,
    more: Mapping[int, Sequence[Sign]] | None = None,
    known: ReadOnce | None = None,
) -> dict[int, Standing]:
    """The countdown of each channel by channel_id, with the settings of each.

    `more` is evidence that is not stored, by channel_id; `known` is what the caller has read of
    the channels. Events that came in are seen once the projection of the channels has caught up,
    which is the caller's to do.
    """
    state = workspace.state
    known = known or read_once(state, channels)
    alone = Devices(state).primary_only_by_channel([channel.channel_id for channel in channels])
    until = now + rule.CLOCKS_DIFFER_AT_MOST
    stored = _StoredEvidence(state, known, until, alone)
    found = {}
    for channel in channels:
        number = channel.channel_id
        again = reconnections(channel, known.account_events[number])
        extra = [*again, *(more or {}).get(number, ())]
        signs = stored.that_can_decide(number, extra)
        found[number] = rule.standing(signs, workspace.settings_for(channel.name).inactivity, now)
    return found


def zone_of(workspace: Workspace, channel: Channel) -> str:
    """The time zone that a channel's times are shown in: its own, else the configured one, or UTC.

    Only for display: the rule itself counts hours.
    """
    return channel.timezone or workspace.settings_for(channel.name).timezone or "UTC"


def onboarding_signs(channel: Channel, values: Mapping[str, Any], now: datetime) -> list[Sign]:
    """Evidence from `last_onboarded_time`, when it is read at most 14 days after that moment.

    The app took part in connecting. A moment that is older says nothing about now: the channel
    has outlived the deadline that it would set (Meta: phone number).
    """
    moment = connected_at(values)
    if moment is None or not (
        -rule.CLOCKS_DIFFER_AT_MOST <= now - moment <= rule.DISCONNECTS_AFTER
    ):
        return []
    address = address_of(
        phone_number_id=channel.phone_number_id,
        phone=channel.phone,
        respondio_channel_id=channel.respondio_channel_id,
    )
    at = to_text(moment)
    return [Sign(address or "", EvidenceKind.CONNECTED, at, "meta", "last_onboarded_time")]


def last_proof(state: State, channel: Channel, now: datetime) -> Sign | None:
    """The newest evidence of the grade proof that is not later than now."""
    known = read_once(state, [channel])
    stored = _StoredEvidence(state, known, now, {})
    connected = reconnections(channel, known.account_events[channel.channel_id])
    again = [sign for sign in connected if sign.at <= stored.until]
    return max(
        (*stored.proofs(channel.channel_id), *again),
        key=lambda sign: (sign.at, sign.kind.value),
        default=None,
    )


class _StoredEvidence:
    """What is stored about some channels up to a moment. All is read in a few statements.

    `alone` are the times at which only the phone of a channel can have sent an echo.
    """

    def __init__(
        self,
        state: State,
        known: ReadOnce,
        until: datetime,
        alone: Mapping[int, Sequence[Interval]],
    ) -> None:
        self.until = to_text(until)
        self._signs = Signs(state)
        self._alone = alone
        self._addresses = known.addresses
        self._newest = known.newest.up_to(self.until, list(EvidenceKind))
        self._ahead = self._ahead_of_time(known.newest.of_all_times)
        self._strong = self._strong_echoes()
        self._first_changes = self._first_of_phonebooks()

    def proofs(self, channel_id: int) -> list[Sign]:
        return [
            *self._known(channel_id, EvidenceKind.CONFIRMED),
            *self._known(channel_id, EvidenceKind.CONNECTED),
        ]

    def that_can_decide(self, channel_id: int, extra: Sequence[Sign]) -> list[GradedSign]:
        """Of a million echoes only the newest of each grade matters."""
        alone = self._alone.get(channel_id, ())
        proofs = [*self.proofs(channel_id), *extra]
        signs = [
            *proofs,
            *self._known(channel_id, EvidenceKind.ECHO),
            *self._strong.get(channel_id, ()),
            *self._phonebook(channel_id, proofs),
            *self._ahead.get(channel_id, ()),
        ]
        return [
            GradedSign(
                *rule.grade(sign.kind, sign.at, alone),
                from_text(sign.at),
                sign.source,
                sign.said_by,
            )
            for sign in signs
        ]

    def _phonebook(self, channel_id: int, proofs: Sequence[Sign]) -> Iterator[Sign]:
        """The newest change of the phonebook, unless it came with the first sync."""
        for newest in self._known(channel_id, EvidenceKind.PHONEBOOK):
            connected = [sign.at for sign in proofs if sign.kind is EvidenceKind.CONNECTED]
            began = [from_text(at) for at in (self._first_changes[channel_id], *connected)]
            if not rule.is_of_first_sync(from_text(newest.at), *began):
                yield newest

    def _known(self, channel_id: int, kind: EvidenceKind) -> list[Sign]:
        sign = self._newest.get((channel_id, kind))
        return [sign] if sign else []

    def _ahead_of_time(self, known: Mapping[OfKind, Sign]) -> dict[int, list[Sign]]:
        """The newest of each channel that is later than `until`."""
        found: dict[int, list[Sign]] = {}
        for (key, _), sign in known.items():
            if sign.at > self.until and all(
                sign.order >= other.order for other in found.get(key, ())
            ):
                found[key] = [sign]
        return found

    def _strong_echoes(self) -> dict[int, list[Sign]]:
        """The newest echo that only the phone can have sent, where the newest is no such."""
        owners, searches = [], []
        for key, addresses in self._addresses.items():
            alone = self._alone.get(key, ())
            newest = self._known(key, EvidenceKind.ECHO)
            if not newest or rule.grade(EvidenceKind.ECHO, newest[0].at, alone)[1] is Grade.STRONG:
                continue
            for interval in sorted(alone, key=lambda interval: interval.start, reverse=True):
                end = self.until
                if interval.end:
                    end = min(end, to_text(from_text(interval.end) - _SMALLEST_STEP))
                owners.append(key)
                searches.append(SignSearch(addresses, EvidenceKind.ECHO, interval.start, end))
        found: dict[int, list[Sign]] = {}
        for key, sign in zip(owners, self._signs.newest_of(searches), strict=True):
            if sign:
                found.setdefault(key, [sign])
        return found

    def _first_of_phonebooks(self) -> dict[int, str]:
        kind = EvidenceKind.PHONEBOOK
        changed = [key for key in self._addresses if self._known(key, kind)]
        firsts = self._signs.first_of([SignSearch(self._addresses[key], kind) for key in changed])
        return {key: first.at for key, first in zip(changed, firsts, strict=True) if first}


def check_standing(
    connection: Connection, standing: Standing, channel: str, zone: str, now: datetime
) -> list[Finding]:
    """WX101 to WX105, WX203, WX204 and WX215: the countdown of a channel, and a lost connection.

    `zone` is the channel's own time zone.
    """
    return [
        *check_opened(standing, channel, zone, now),
        *check_connection(connection, channel, now),
    ]


def standing_check(workspace: Workspace, channel: Channel) -> StandingCheck:
    """The check of countdown and connection before sending (WX101 to WX105, WX203, WX204, WX215).

    It is given what Meta says about the number, which token asked (`Meta.caller`), and whether
    Meta hides the number from it; that Meta shows or hides it is kept.
    """

    def check(
        read: Sequence[Fact], caller: str, is_hidden: bool
    ) -> tuple[Connection, list[Finding]]:
        state, now, key = workspace.state, workspace.clock.now(), channel.channel_id
        catch_up(state, [CHANNELS], workspace.clock)
        onboarding = {key: onboarding_signs(channel, values_of(read), now)}
        standing = standings(workspace, [channel], now, onboarding)[key]
        stored = stored_facts(state, [channel], now, FACTS)[key]
        facts = ChannelFacts(
            channel,
            now,
            account_events=stored.account_events,
            is_known=True,
            sightings=stored.sightings,
        )
        facts.add(read)
        if read and channel.phone_number_id:
            note_shown(facts, VISIBLE, channel.phone_number_id, caller)
        elif is_hidden:
            note_hidden(facts, VISIBLE, caller)
        with state.transaction():
            sightings = [seen.to_fact(name) for name, seen in facts.sightings.items()]
            # Pages call the business by its name, also before the first `wacoex status`.
            names = [fact for fact in read if fact.name == BUSINESS_NAME]
            Facts(state).store(key, [*names, *sightings])
        connection, zone = facts.connection, zone_of(workspace, channel)
        return connection, check_standing(connection, standing, channel.name, zone, now)

    return check


def check_opened(standing: Standing, channel: str, zone: str, now: datetime) -> list[Finding]:
    """WX101 to WX105: the app was not opened for too long, or nobody knows; WX705 beside them.

    `zone` is the channel's own time zone. Weaker evidence is shown, and never counted.
    """
    evidence = [_evidence(sign.text, sign) for sign in (standing.counted,) if sign]
    evidence += [
        _evidence(f"not counted ({sign.grade.value}): {sign.text}", sign)
        for sign in standing.weaker
    ]
    has_echo = any(sign.name == "echo" for sign in standing.weaker)
    severity = stage_severity(standing.stage)
    found = []
    if standing.deadline_at and standing.stage in _LATE:
        deadline = local_text(standing.deadline_at, zone)
        found.append(
            Finding(
                _LATE[standing.stage],
                severity,
                channel,
                evidence,
                deadline=deadline,
                has_echo=has_echo,
            )
        )
    if standing.stage is Stage.UNKNOWN and standing.weaker:
        found.append(Finding("WX105", severity, channel, evidence, has_echo=has_echo))
    elif standing.stage is Stage.UNKNOWN:
        missing = Evidence("nobody confirmed it, and no event proves it", "wacoex", to_text(now))
        found.append(Finding("WX104", severity, channel, missing))
    if standing.future:
        facts = [
            _evidence(f"{sign.text} at {to_text(sign.at)}, now it is {to_text(now)}", sign)
            for sign in standing.future
        ]
        found.append(Finding("WX705", Severity.WARNING, channel, facts, case="future"))
    return found


def _evidence(text: str, sign: GradedSign) -> Evidence:
    who = sign.said_by if sign.name == "confirmed" else ""
    return Evidence(text, sign.source, to_text(sign.at), who=who)


def stage_severity(stage: Stage) -> Severity:
    """How bad a stage is."""
    return Severity.CRITICAL if stage is Stage.OVERDUE else Severity(stage.value)


def check_running(
    last_run: Mapping[str, Any] | None, schedule: Mapping[str, Any] | None, now: datetime
) -> list[Finding]:
    """WX106: `reminder notify` never ran, not for longer than its schedule, or failed last time.

    `last_run` and `schedule` are what `Reminders` gives. Too long is twice the schedule's
    interval and an hour; where wacoex did not install the schedule, an interval of a day counts.
    """
    if last_run is None:
        case = "never"
        text = "no run is recorded, and no schedule is installed"
        if schedule:
            text = (
                f"no run is recorded, though {schedule['kind']} on {schedule['host']} should have"
                f" started it since {schedule['installed_at']}"
            )
    else:
        began = from_text(last_run["started_at"])
        # A run dated in the future, by a wrong clock, says nothing about now.
        if not -_GRACE <= now - began <= _longest_silence(schedule):
            case, text = "stopped", f"the last run began at {to_text(began)}"
        elif status := last_run["exit_status"]:
            case, text = "failed", f"the run of {to_text(began)} ended with exit status {status}"
        else:
            return []
    evidence = Evidence(text, "wacoex", to_text(now))
    return [Finding("WX106", Severity.WARNING, None, evidence, case=case, schedule=schedule)]


def _should_have_run(schedule: Mapping[str, Any] | None, now: datetime) -> bool:
    """Whether a schedule is installed for so long that its first run is missing."""
    if schedule is None:
        return False
    return now - from_text(schedule["installed_at"]) > _longest_silence(schedule)


def _longest_silence(schedule: Mapping[str, Any] | None) -> timedelta:
    """How long two runs may be apart: twice the interval and an hour."""
    seconds = schedule["every_seconds"] if schedule else None
    interval = timedelta(seconds=seconds) if seconds else _UNKNOWN_SCHEDULE
    return 2 * interval + _GRACE


def check_reminder(
    last_run: Mapping[str, Any] | None,
    schedule: Mapping[str, Any] | None,
    reach: NoticeReach,
    now: datetime,
) -> list[Finding]:
    """WX106 with what is known of the addresses: whether notices arrive when the reminder runs.

    An address that has taken neither a notice nor a test is a finding, and so is it when nothing
    was ever sent.
    """
    evidence = tuple(
        Evidence(text, "wacoex", at or to_text(now)) for text, at in _reach_in_words(reach)
    )
    if found := check_running(last_run, schedule, now):
        return [finding.replace(evidence=(*finding.evidence, *evidence)) for finding in found]
    if all(known and known.taken_at for known in reach.addresses or reach.elsewhere or (None,)):
        return []
    return [Finding("WX106", Severity.WARNING, None, evidence, case="untested", schedule=schedule)]


def _reach_in_words(reach: NoticeReach) -> Iterator[tuple[str, str | None]]:
    known = [delivery for delivery in reach.addresses or reach.elsewhere if delivery]
    if unused := len(reach.addresses) - len(known) if reach.addresses else 0:
        addresses = "1 address has" if unused == 1 else f"{unused} addresses have"
        yield f"{addresses} never got a notice or a test", None
    for shown, taken_at, reason in known:
        if reason:
            yield f"the last test to {shown} failed: {reason}", None
        if taken_at:
            yield f"{shown} took a notice or a test", taken_at
    if not (known or reach.addresses):
        yield "wacoex has never sent a notice or a test", None


class Watched(NamedTuple):
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
        return worst(finding.severity for finding in self.findings)

    @property
    def headline(self) -> str:
        """The one word about it: that the connection is lost, else the stage."""
        state = self.connection.state
        return state.value if state and self.connection.is_lost else self.standing.stage.value

    def to_json(self) -> dict[str, Any]:
        """The entry of `channels`."""
        return {
            "channel": self.channel.name,
            "phone": self.channel.phone,
            "owner": self.channel.owner,
            "severity": self.severity.value,
            **self.standing.to_json(),
            "weaker_evidence": [
                {
                    "evidence": sign.name,
                    "grade": sign.grade.value,
                    "at": sign.at,
                    "source": sign.source,
                }
                for sign in self.standing.weaker
            ],
            **self.connection.to_json(),
            "timezone": self.zone,
            "findings": [finding.to_json() for finding in self.findings],
        }


def watch(workspace: Workspace, channels: Sequence[Channel], now: datetime) -> list[Watched]:
    """The countdowns and connections of these channels, worst first, as they are stored."""
    standing_of = standings(workspace, channels, now)
    facts_of = stored_facts(workspace.state, channels, now, FACTS)
    found = []
    for channel in channels:
        standing = standing_of[channel.channel_id]
        connection = facts_of[channel.channel_id].connection
        zone = zone_of(workspace, channel)
        judged = check_standing(connection, standing, channel.name, zone, now)
        findings = tuple(worst_first(judged))
        settings = workspace.settings_for(channel.name).inactivity
        found.append(Watched(channel, standing, connection, findings, zone, settings))
    return sorted(
        found,
        key=lambda watched: (
            by_severity(watched.severity),
            _NEAREST_END_FIRST.index(watched.standing.stage),
            str(watched.standing.deadline_at or ""),
            watched.channel.name,
        ),
    )


def check(workspace: Workspace, name: str | None, now: datetime) -> ReminderCheck:
    """Look at one channel, or at all that are not archived. Asks nobody.

    Raises UsageError when there is no channel, or none of that name; StateError for an unusable
    state file.
    """
    state, reminders = workspace.state, Reminders(workspace.state)
    channels = [registry.active(state, name)] if name else Channels(state).all_active()
    workspace.warn_about_channels(Channels(state).names())
    catch_up(state, [CHANNELS], workspace.clock)
    run, schedule = reminders.last_run(), reminders.schedule()
    findings = tuple(check_running(run, schedule, now))
    is_relied_on = run is not None or _should_have_run(schedule, now)
    return ReminderCheck(tuple(watch(workspace, channels, now)), run, findings, is_relied_on, now)


class ReminderCheck(NamedTuple):
    """All channels that were looked at, worst first, and the last run of `reminder notify`.

    `findings` are about the reminder itself (WX106). `is_relied_on`: it has run before, or its
    schedule should have started it.
    """

    channels: tuple[Watched, ...]
    last_run: Row | None
    findings: tuple[Finding, ...]
    is_relied_on: bool
    now: datetime

    @property
    def severity(self) -> Severity:
        """The worst of all channels, and of the reminder where somebody relies on it.

        Where monitoring calls this and `reminder notify` was never used, nobody needs notices.
        """
        of_reminder = self.findings if self.is_relied_on else ()
        of_channels = [watched.severity for watched in self.channels]
        return worst([*of_channels, *(finding.severity for finding in of_reminder)])

    @property
    def warnings(self) -> list[str]:
        """What the rows of a pipe do not hold: that the reminder itself does not work."""
        return [aside(finding) for finding in self.findings]

    @property
    def exit_status(self) -> int:
        """The exit status of a check: 0 ok, 1 warning, 2 critical, 3 unknown."""
        return check_exit_status(self.severity)

    def to_json(self) -> dict[str, Any]:
        """The `data` of `reminder check`."""
        return {
            "channels": [watched.to_json() for watched in self.channels],
            "severity": self.severity.value,
            "last_notify_run_at": self.last_run["started_at"] if self.last_run else None,
            "last_notify_exit_status": self.last_run["exit_status"] if self.last_run else None,
            "findings": [finding.to_json() for finding in self.findings],
        }

    def parts(self) -> Iterator[ForPipe | ForPerson]:
        """A line for each channel; for a person also what it rests on, and what was found."""
        rows = [
            (
                watched.headline,
                watched.channel.name,
                deadline and local_text(deadline, watched.zone),
                deadline,
                watched.standing.grade.value,
                " ".join(dict.fromkeys(finding.id for finding in watched.findings)) or None,
                watched.channel.owner,
            )
            for watched in self.channels
            for deadline in (watched.standing.deadline_at,)
        ]
        yield ForPipe(Table(_COLUMNS, rows))
        # A shop with one phone has no use for an empty column.
        width = len(_COLUMNS) - (not any(watched.channel.owner for watched in self.channels))
        yield ForPerson(
            Table(
                _COLUMNS[:width],
                [row[:width] for row in rows],
                folds=True,
                quiet=sum(not watched.findings for watched in self.channels),
            )
        )
        yield ForPerson(Blocks([*self._evidence()], noun="countdowns"))
        of_channels = [finding for watched in self.channels for finding in watched.findings]
        yield ForPerson(finding_blocks([*of_channels, *self.findings], self.now))
        if of_channels:
            yield ForPerson(f"\n{NO_EVIDENCE}")
        if not self.findings:
            yield ForPerson(f"\n{self._last_run_text()}")

    def _evidence(self) -> Iterator[Block]:
        """What a countdown rests on, where no finding says it."""
        for watched in self.channels:
            standing = watched.standing
            if not watched.findings and (standing.weaker or len(self.channels) == 1):
                lines = []
                for sign in filter(None, (standing.counted, *standing.weaker)):
                    counts = "counts" if sign is standing.counted else "not counted"
                    age = f"{relative(sign.at, self.now)} ({sign.grade.value}, {counts})"
                    lines.append(Line(f"{watched.channel.name}: {sign.text}, {age}", "dim"))
                yield Block(tuple(lines))

    def nagios_lines(self) -> Iterator[str]:
        """The status line with performance data, and below it a line for each channel.

        Performance data are days left, with the ranges in which that is well (`4:` is "4 or more").
        `U` is a value that is not known (Monitoring Plugins: development guidelines).
        """
        named = defaultdict(list)
        for watched in self.channels:
            named[watched.headline].append(watched.channel.name)
        counts = [_counted(word, named[word]) for word in _HEADLINES if named[word]]
        counts += [finding.title for finding in self.findings if self.is_relied_on]
        performance = " ".join(map(_performance, self.channels))
        yield f"WACOEX {_label(self.severity)} - {', '.join(counts)} | {performance}"
        for watched in self.channels:
            text = "; ".join(f"{finding.id} {finding.title}" for finding in watched.findings)
            counted, deadline = watched.standing.counted, watched.standing.deadline_at
            if not text and counted and deadline:
                text = f"the deadline is {local_text(deadline, watched.zone)}; {counted.text}"
            text = text or watched.standing.stage.value
            yield f"{_label(watched.severity)} {watched.channel.name}: {_without_bars(text)}"
        yield self._last_run_text()

    def _last_run_text(self) -> str:
        if self.last_run is None:
            return "`wacoex reminder notify` has never run here"
        status = self.last_run["exit_status"]
        ended = "has not ended" if status is None else f"ended with {status}"
        age = relative(from_text(self.last_run["started_at"]), self.now)
        return f"last run of `wacoex reminder notify`: {age}, {ended}"


def nagios_failure(error: WacoexError) -> str:
    """The status line when nothing could be checked."""
    return f"WACOEX UNKNOWN - {_without_bars(error.message)}"


def _label(severity: Severity) -> str:
    return "OK" if severity is Severity.INFO else severity.value.upper()


def _counted(headline: str, names: Sequence[str]) -> str:
    """How many channels stand so; of those that are not ok the first names, for a pager."""
    if headline == Stage.OK.value:
        return f"{len(names)} {headline}"
    rest = " ..." if len(names) > _NAMED_IN_STATUS_LINE else ""
    return f"{len(names)} {headline} ({' '.join(names[:_NAMED_IN_STATUS_LINE])}{rest})"


def _performance(watched: Watched) -> str:
    days, limit = watched.standing.days_left, rule.DISCONNECTS_AFTER.days
    value = "U" if days is None else f"{days:.1f}"
    warning, critical = (
        limit - days for days in (watched.settings.warning_days, watched.settings.critical_days)
    )
    # No minimum: overdue is below 0.
    return f"'{watched.channel.name}'={value};{warning:g}:;{critical:g}:;;{limit}"


def _without_bars(text: str) -> str:
    """A bar would begin performance data, a line break another line."""
    return " ".join(text.replace("|", "/").split())
