"""A broadcast as people and scripts see it: how it goes, its status, what happened to each row.

Of a running broadcast everything is counted: no number, name or text of an answer comes in here.
The page of a report is `report_page`.
"""

from __future__ import annotations

import json
import sys
import zoneinfo
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from wacoex_cli.audience.languages import languages_text
from wacoex_cli.audience.model import audience_text
from wacoex_cli.audience.recipients_file import list_text
from wacoex_cli.audience.wording import wording_text
from wacoex_cli.channels.model import Channel, Provider
from wacoex_cli.errors import counted
from wacoex_cli.foundation.clock import Clock, duration_text, from_text, to_text
from wacoex_cli.foundation.masking import masked
from wacoex_cli.foundation.state import State, new_private_file
from wacoex_cli.ledger import every_row
from wacoex_cli.ledger.every_row import meant
from wacoex_cli.ledger.figures import counts_of
from wacoex_cli.ledger.model import (
    GOOD_STATES,
    HELD_BACK_WORDS,
    OPEN_STATES,
    TAKEN_STATES,
    Broadcast,
    Counts,
    Held,
    Planned,
    RepeatPolicy,
    RowState,
    RunProgress,
    Status,
)
from wacoex_cli.ledger.rows import Rows
from wacoex_cli.ledger.store import Broadcasts
from wacoex_cli.pressure.guard import outlook_text
from wacoex_cli.templates.model import LANGUAGE
from wacoex_cli.templates.values import origin_of
from wacoex_cli.terminal.layout import Column
from wacoex_cli.terminal.render import Result, Table, write

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from wacoex_cli.findings.model import Finding
    from wacoex_cli.foundation.workspace import Workspace

_MOST_CODES = 5
_MOST_HELD = 2
_ACCEPTED = tuple(state for state in GOOD_STATES if state not in HELD_BACK_WORDS)
_ALWAYS_SHOWN = frozenset({"failed", "ambiguous"})

_MOST_SHOWN = 20
_LIST_COLUMNS = (
    Column("id", 9, fit="keep"), Column("channel", 6, least=10), Column("status", 8, fit="keep"),
    Column("taken", 5, fit="keep", may_drop=True), Column("recipients", 7, fit="keep"),
    Column("template", 4, least=12, may_drop=True), Column("planned", 3, fit="keep", may_drop=True),
    Column("name", 2, least=10, may_drop=True),
)  # fmt: skip
_SKIPPED_COLUMNS = (
    Column("line", 9, fit="keep"), Column("phone", 7, fit="keep"), Column("reason", 8, fit="keep"),
    Column("detail", 5, least=16, fit="wrap"),
)  # fmt: skip
_UNSETTLED_COLUMNS = (
    Column("row", 3, fit="keep", may_drop=True), Column("line", 8, fit="keep"),
    Column("phone", 9, fit="keep"), Column("state", 7, fit="keep"),
    Column("code", 5, fit="keep", may_drop=True), Column("detail", 4, least=16, fit="wrap"),
)  # fmt: skip


def line(shot: RunProgress) -> str:
    """One line for a log: what happened to the rows, how fast, how long still."""
    parts = [_states(shot)]
    if shot.counts.open:
        parts.append(f"{shot.last_second}/s now")
    parts.append(f"at most {shot.peak} in one second")
    parts += [f"{c.n} {c.state.value} with code {c.code}" for c in shot.codes[:_MOST_CODES]]
    parts += [shot.canary_text] if shot.canary_rows else []
    parts += map(_held_text, shot.held[:_MOST_HELD])
    if (left := shot.seconds_left) is not None:
        parts.append(f"{about(left)} left")
    return ", ".join(parts)


def lines(shot: RunProgress) -> tuple[str, ...]:
    """What stands below the bar: rate, outcomes, errors by code with meaning, quiet hours."""
    rate = [f"{shot.last_second}/s now"] if shot.counts.open else []
    rate.append(f"most in one second: {shot.peak}")
    if shot.stated_limit is not None:
        rate.append(f"the API takes {shot.stated_limit:g}/s")
    if (left := shot.seconds_left) is not None:
        rate.append(f"{about(left)} left")
    waits = [shot.canary_text] if shot.canary_rows else []
    below = [_states(shot), *waits, *map(_held_text, shot.held[:_MOST_HELD])]
    if later := sum(held.rows for held in shot.held[_MOST_HELD:]):
        below.append(f"{later} held until later")
    below += [
        f"code {row.code} ({row.n} {row.state.value}): {meant(row.code, row.state).meaning}"
        for row in shot.codes[:_MOST_CODES]
    ]
    if more := sum(row.n for row in shot.codes[_MOST_CODES:]):
        below.append(f"and {more} with other codes")
    return (", ".join(rate), *below)


def to_json(shot: RunProgress) -> dict[str, Any]:
    """The same for a program; rates in messages per second, times in UTC."""
    left = shot.seconds_left
    return {
        "counts": shot.counts.to_json(),
        "rate": {
            "now": shot.last_second,
            "last_minute": None if shot.finished_rate is None else round(shot.finished_rate, 2),
            "peak_in_one_second": shot.peak,
            "told_limit": shot.stated_limit,
        },
        "codes": [
            {
                "code": code.code,
                "state": code.state.value,
                "n": code.n,
                "meaning": meant(code.code, code.state).meaning,
            }
            for code in shot.codes
        ],
        "held": [
            {"rows": held.rows, "until": to_text(held.until), "timezone": held.zone}
            for held in shot.held
        ],
        "seconds_left": None if left is None else round(left),
    }


def about(seconds: float) -> str:
    """An estimate no finer than it deserves: tens of seconds, minutes, hours and minutes."""
    if seconds < 55:
        return f"about {max(1, round(seconds / 10)) * 10} s"
    hours, minutes = divmod(round(seconds / 60), 60)
    return f"about {hours} h {minutes} min" if hours else f"about {minutes} min"


def _states(shot: RunProgress) -> str:
    """Accepted stands for every row that was taken, is not held back and did not fail later."""
    counts = shot.counts
    accepted = f"{counts.of(*_ACCEPTED)} accepted"
    if delivered := counts.of(RowState.DELIVERED, RowState.READ):
        accepted += f" ({delivered} delivered, {counts.of(RowState.READ)} read)"
    others = {
        "failed": counts.of(RowState.FAILED),
        "rejected": counts.of(RowState.REJECTED),
        "ambiguous": counts.of(RowState.AMBIGUOUS),
        "retry": counts.of(RowState.RETRY) - shot.held_rows,
    }
    shown = [f"{n} {name}" for name, n in others.items() if n or name in _ALWAYS_SHOWN]
    held_back = [f"{words}: {n}" for words, n in _held_back(counts.to_json()).items()]
    return ", ".join((accepted, *held_back, *shown))


def _held_back(counts: Mapping[str, int]) -> dict[str, int]:
    return {words: n for state, words in HELD_BACK_WORDS.items() if (n := counts[state])}


def _held_text(held: Held) -> str:
    local = held.until.astimezone(zoneinfo.ZoneInfo(held.zone))
    return f"{held.rows} held until {local:%H:%M} in {held.zone}"


REACHED = {RowState.READ: "read", RowState.DELIVERED: "delivered, not read yet"}
"""The phone has the message: Meta sent a receipt."""

NOT_REACHED = {
    RowState.FAILED: "failed on the way",
    RowState.REJECTED: "refused",
    RowState.PENDING: "not sent yet",
    RowState.RETRY: "waiting for another try",
}
"""The message did not arrive, or has not left."""

UNKNOWN = {
    RowState.AMBIGUOUS: "in doubt: no usable answer, it may have gone out",
    RowState.SENT: "sent, no receipt from the phone yet",
    RowState.ACCEPTED: "accepted by Meta, no report since",
    **HELD_BACK_WORDS,
    RowState.SENDING: "being sent",
}
"""Nothing proves yet that the message arrived, or that it will not.

What Meta accepted without a word since, holds or paused may still arrive or fail.
"""

_SURE_FAILURES = (RowState.FAILED, RowState.REJECTED)


class Reach(NamedTuple):
    """The people of a broadcast by what is known of their message.

    `parts` are the counts by state. `handled` failures need nobody: a person settled them, or
    another broadcast sends them again.
    """

    parts: Mapping[RowState, int]
    status: Status
    handled: int = 0

    @classmethod
    def of(cls, counts: Mapping[str, int], status: Status, handled: int = 0) -> Reach:
        """From the counts of a broadcast by the name of the state; the skipped do not count."""
        parts = {RowState(name): n for name, n in counts.items()}
        parts.pop(RowState.SKIPPED, None)
        return cls(parts, status, handled)

    @property
    def recipients(self) -> int:
        """All people who were to get the message."""
        return sum(self.parts.values())

    @property
    def reached(self) -> int:
        """How many phones have it."""
        return self._sum(REACHED)

    @property
    def read(self) -> int:
        """How many people read it, as far as their receipts say."""
        return self.parts.get(RowState.READ, 0)

    @property
    def not_reached(self) -> int:
        """How many messages did not arrive, or have not left."""
        return self._sum(NOT_REACHED)

    @property
    def unknown(self) -> int:
        """How many messages may have arrived, or may still arrive."""
        return self._sum(UNKNOWN)

    @property
    def unsent(self) -> int:
        """How many messages wait for their first or another try."""
        return self._sum(dict.fromkeys((RowState.PENDING, RowState.RETRY)))

    @property
    def open(self) -> int:
        """How many messages still have to leave, those that are being sent included."""
        return sum(self.parts.get(state, 0) for state in OPEN_STATES)

    @property
    def need_you(self) -> int:
        """How many people somebody has to look after: they failed, or are in doubt."""
        failed = sum(self.parts.get(state, 0) for state in _SURE_FAILURES)
        return max(0, failed - self.handled) + self.parts.get(RowState.AMBIGUOUS, 0)

    def kinds(self, group: Mapping[RowState, str]) -> list[tuple[RowState, str, int]]:
        """What a group consists of: state, words, number; only what there is."""
        return [
            (state, self._words(state, words), n)
            for state, words in group.items()
            if (n := self.parts.get(state, 0))
        ]

    def sentence(self) -> str:
        """The whole broadcast in one sentence, for a person."""
        people = self.recipients
        if not people:
            return "nobody on the list could be sent to"
        if self.parts.get(RowState.PENDING, 0) == people:
            is_over = self.status is Status.CANCELLED
            return f"nothing was sent to {counted(people, 'recipient')}{'' if is_over else ' yet'}"
        said = [f"{self.reached:,} of {people:,} reached"]
        if self.reached:
            said.append(f"{self.read:,} read ({percent(self.read, people)})")
        if need := self.need_you:
            said.append(f"{need:,} {'needs' if need == 1 else 'need'} you")
        if silent := self.unknown - self.parts.get(RowState.AMBIGUOUS, 0):
            said.append(f"{silent:,} not known yet")
        if self.unsent:
            said.append(f"{self.unsent:,} {self._words(RowState.PENDING, 'not sent yet')}")
        return ", ".join(said)

    def to_json(self) -> dict[str, Any]:
        """The same for a program."""
        return {
            "recipients": self.recipients,
            "reached": self.reached,
            "read": self.read,
            "not_reached": self.not_reached,
            "unknown": self.unknown,
            "need_you": self.need_you,
            "handled": self.handled,
        }

    def _sum(self, group: Mapping[RowState, object]) -> int:
        return sum(self.parts.get(state, 0) for state in group)

    def _words(self, state: RowState, words: str) -> str:
        is_unsent = state in (RowState.PENDING, RowState.RETRY)
        return "not sent" if is_unsent and self.status is Status.CANCELLED else words


def percent(part: int, whole: int) -> str:
    """A part in whole percent; it says 0 % and 100 % only when that is so."""
    if not whole or part in (0, whole):
        return "100 %" if part else "0 %"
    rounded = round(100 * part / whole)
    return {0: "under 1 %", 100: "over 99 %"}.get(rounded, f"{rounded} %")


class NextStep(NamedTuple):
    """Something to do about a broadcast: briefly for a terminal, at length for a page."""

    words: str
    title: str
    why: str
    command: str


def next_steps(broadcast_id: int, reach: Reach, *, is_being_sent: bool) -> list[NextStep]:
    """What somebody does now, the most urgent first; empty when there is nothing to do."""
    steps = []
    doubtful = reach.parts.get(RowState.AMBIGUOUS, 0)
    failed = reach.need_you - doubtful
    going_on = f"wacoex broadcast resume {broadcast_id}"
    rest = f"{counted(reach.open, 'message')} still {'has' if reach.open == 1 else 'have'} to leave"
    if reach.status is Status.PLANNED:
        steps.append(
            NextStep(
                "to send it",
                "Send it",
                "Nothing has left yet.",
                f"wacoex broadcast send {broadcast_id}",
            )
        )
    if reach.status is Status.PAUSED:
        steps.append(NextStep("to continue", "Continue", f"It is paused; {rest}.", going_on))
    if reach.status is Status.SENDING and not is_being_sent:
        steps.append(
            NextStep(
                "its sender died; to continue",
                "Continue",
                f"The program that sent it has stopped; {rest}.",
                going_on,
            )
        )
    is_over = reach.status in (Status.COMPLETED, Status.CANCELLED)
    left = reach.parts.get(RowState.SENDING, 0) if is_over and not is_being_sent else 0
    if left:
        steps.append(
            NextStep(
                "its sender died; to settle what it left",
                f"Settle {counted(left, 'message')} that may have left",
                "The program that sent it stopped before it wrote down whether they were taken.",
                f"wacoex broadcast reconcile {broadcast_id}",
            )
        )
    elif doubtful:
        steps.append(
            NextStep(
                f"to settle the ambiguous {'row' if doubtful == 1 else 'rows'}",
                f"Settle {counted(doubtful, 'message')} in doubt",
                "Meta gave no usable answer, so the message may have gone out. wacoex looks for"
                " proof and never sends it twice by itself.",
                f"wacoex broadcast reconcile {broadcast_id}",
            )
        )
    if failed and is_over:
        steps.append(
            NextStep(
                "when the cause is gone, to send it again to those who failed",
                f"{counted(failed, 'person')} did not get it",
                "The causes are below, each with what helps. When a cause is gone, this command"
                " sends the message again. It leaves out people who opted out, and people whom"
                " Meta asks to leave alone for now.",
                f"wacoex broadcast retry {broadcast_id}",
            )
        )
    return steps


_TIMES = ("planned_at", "started_at", "finished_at", "continues_at")


def summary(state: State, broadcast: Broadcast, counts: Counts) -> dict[str, Any]:
    """The `data` of `broadcast send`, `show` and `resume`."""
    rows = Rows(state, broadcast.broadcast_id)
    waiting, never, seconds = rows.held(), rows.at_no_hour(), rows.active_seconds()
    achieved = counts.taken / seconds if seconds and counts.taken else 0.0
    return {
        "broadcast_id": broadcast.broadcast_id,
        "name": broadcast.name,
        "channel": broadcast.channel,
        "provider": broadcast.provider.value,
        "status": broadcast.status.value,
        "reason": broadcast.reason,
        "reason_code": broadcast.reason_code,
        "template": broadcast.template_name,
        "audience": masked(json.loads(broadcast.audience)),
        "recipients": broadcast.recipients,
        "counts": counts.to_json(),
        "outcome": Reach.of(counts.to_json(), broadcast.status, rows.handled()).to_json(),
        "codes": rows.codes(),
        "skipped": rows.skip_reasons(),
        "repeats": broadcast.repeats.value,
        "taken": counts.taken,
        "held": {
            "rows": sum(n for _, n, _ in waiting) + never,
            "at_no_hour": never,
            "until": to_text(waiting[0][0]) if waiting else None,
        },
        "rate": {
            "requested": broadcast.rate,
            "achieved": round(achieved, 2),
            "peak_in_one_second": broadcast.peak_in_one_second,
        },
        **{name: getattr(broadcast, name) for name in _TIMES},
    }


def show(state: State, broadcast_id: int, **more: object) -> Result:
    """Where a broadcast stands; `more` is added to the JSON output."""
    broadcast = Broadcasts(state).get(broadcast_id)
    data = {**summary(state, broadcast, Rows(state, broadcast_id).counts()), **more}
    return Result(data, tuple(sentences(data)))


def show_now(state: State, broadcast_id: int, clock: Clock) -> Result:
    """The same, and whether a process is sending it now."""
    sender = Broadcasts(state).sender(broadcast_id, clock)
    return show(state, broadcast_id, is_being_sent=sender is not None)


def list_of_channel(state: State, channel: Channel | None, *, shows_tests: bool = False) -> Result:
    """The broadcasts of a channel, or of all, newest first; tests of a plan only if asked for."""
    found = [
        broadcast
        for broadcast in Broadcasts(state).of_channel(
            channel.channel_id if channel else None, status=None
        )
        if shows_tests or broadcast.test_of is None
    ]
    counts = counts_of(state, [broadcast.broadcast_id for broadcast in found])
    rows = [
        {
            "broadcast_id": broadcast.broadcast_id,
            "channel": broadcast.channel,
            "name": broadcast.name,
            "status": broadcast.status.value,
            "reason": broadcast.reason,
            "template": broadcast.template_name,
            "recipients": broadcast.recipients,
            "taken": counts[broadcast.broadcast_id].taken,
            "planned_at": broadcast.planned_at,
        }
        for broadcast in found
    ]
    keys = ("broadcast_id", "channel", "status", "taken", "recipients", "template")
    table = Table(
        _LIST_COLUMNS,
        [
            (*(row[key] for key in keys), from_text(str(row["planned_at"])), row["name"])
            for row in rows
        ],
        f"there is no broadcast in {state.path}; plan one: wacoex broadcast plan RECIPIENTS ...",
    )
    return Result({"broadcasts": rows}, (table,))


def sentences(data: dict[str, Any]) -> Iterator[str]:
    """The same for a person: where it stands, what went wrong, what to do next."""
    number = data["broadcast_id"]
    reason = f": {data['reason']}" if data["reason"] else ""
    yield f"broadcast {number} on {data['channel']} ({data['template']}): {data['status']}{reason}"
    reach = Reach.of(data["counts"], Status(data["status"]), data["outcome"]["handled"])
    if reach.recipients and data["status"] != Status.PLANNED:
        yield f"  {reach.sentence()}"
    states = ", ".join(f"{n:,} {name}" for name, n in data["counts"].items() if n)
    yield f"  {counted(data['recipients'], 'recipient')}: {states or 'none'}"
    if data["status"] != Status.PLANNED:
        for title, n, group in (
            ("not reached", reach.not_reached, NOT_REACHED),
            ("unknown", reach.unknown, UNKNOWN),
        ):
            if n:
                kinds = "; ".join(f"{many:,} {words}" for _, words, many in reach.kinds(group))
                yield f"  {title}: {n:,} ({kinds})"
    if _held_back(data["counts"]):
        yield "  a message that Meta holds back and never sends becomes failed"
    yield from (f"  {line}" for line in audience_text(data["audience"]))
    for skip_reason, n in data["skipped"].items():
        yield f"  skipped: {n} {skip_reason}"
    if data["repeats"] == RepeatPolicy.SENT:
        yield "  also sent to people who already have this message, because of `--again`"
    for entry in data["codes"]:
        known = meant(entry["code"], entry["state"])
        yield f"  code {entry['code']} ({entry['n']} {entry['state']}): {known.meaning}"
        yield f"    {known.action}"
    held, rate = data["held"], data["rate"]
    if waiting := held["rows"] - held["at_no_hour"]:
        yield f"  held back by quiet hours: {waiting}, the first until {held['until']}"
    if held["at_no_hour"]:
        yield f"  held back at every hour: {held['at_no_hour']}; one of their zones is always quiet"
    if data["started_at"]:
        yield (
            f"  rate: {rate['achieved']}/s on average (set: {rate['requested']:g}/s),"
            f" at most {rate['peak_in_one_second']} in one second"
        )
    for step in next_steps(number, reach, is_being_sent=data.get("is_being_sent", True)):
        yield f"  {step.words}: {step.command}"


def plan_data(planned: Planned) -> dict[str, Any]:
    """The `data` of `broadcast plan`."""
    broadcast = planned.broadcast
    return {
        "broadcast_id": None if planned.dry_run else broadcast.broadcast_id,
        "dry_run": planned.dry_run,
        "name": broadcast.name,
        "channel": broadcast.channel,
        "template": broadcast.template_name,
        "recipients": broadcast.recipients,
        "skipped": dict(planned.skipped),
        "skipped_rows": [
            {name: row[name] for name in ("line", "phone", "reason", "detail")}
            for row in planned.skipped_rows
        ],
        **planned.notes.to_json(),
        "unknown_ranges": [
            {"line": line, "phone": phone} for line, phone in planned.unknown_ranges
        ],
        "parameters": [source.to_json() for source in planned.sources if source.key != LANGUAGE],
        **planned.wording,
        "estimate": dict(planned.estimate),
        "new_contacts": planned.new_contacts,
        "row": planned.row,
        "findings": [finding.to_json() for finding in planned.findings],
    }


def plan_text(
    data: dict[str, Any], findings: tuple[Finding, ...], *, is_brief: bool = False
) -> Iterator[str | Table]:
    """A plan for a person: who, what, how long, and what was left out and why.

    A brief one says how many are sent to and left out, and the doubts about it.
    """
    number = data["broadcast_id"]
    head = "would be planned (dry run)" if data["dry_run"] else f"broadcast {number} planned"
    people = counted(data["recipients"], "recipient")
    yield f"{head} on {data['channel']}: {people}, template {data['template']}"
    if is_brief:
        yield from (f"  skipped: {n} {reason}" for reason, n in data["skipped"].items())
        yield from (f"{found.severity.value} {found.id}: {found.title}" for found in findings)
        return
    for reading in data["preview"]:
        head = f"line {reading['line']}, {reading['phone']} would read:"
        is_first = data["row"] is None and len(data["preview"]) == 1
        yield "the first recipient would read:" if is_first else head
        yield from (f"  | {line}" for line in reading["text"].splitlines())
    yield from list_text(data)
    for source in data["parameters"]:
        yield f"  placeholder {source['key']}: {origin_of(source)}"
    yield from languages_text(data)
    yield from wording_text(data)
    for reason, n in data["skipped"].items():
        yield f"  skipped: {n} {reason}"
    if data["skipped_rows"]:
        yield Table(
            _SKIPPED_COLUMNS,
            [tuple(row.values()) for row in data["skipped_rows"]],
        )
        if number is not None:
            yield f"every skipped row: wacoex broadcast report {number} --csv FILE"
    if data["unknown_ranges"]:
        shown = ", ".join(f"line {row['line']}: {row['phone']}" for row in data["unknown_ranges"])
        yield f"no numbering plan knows {shown}; if they are right: --accept-possible"
    yield from estimate_text(data["estimate"], data["recipients"])
    yield from outlook_text(data["estimate"])
    if data["new_contacts"]:
        yield f"contacts to create: {data['new_contacts']}, each counts as a new MAC"
    yield from findings_text(findings)
    if number is not None:
        yield f"to send it: wacoex broadcast send {number}"


def estimate_text(estimate: dict[str, Any], people: int) -> Iterator[str]:
    """How long it takes either way, what is left of the limit, whom respond.io will charge for."""
    first, *others = estimate["ways"]
    until = f"{estimate['finish_at'][:16].replace('T', ' ')} UTC"
    yield (
        f"at {first['messages_per_second']:g}/s ({first['why']})"
        f" it takes {duration_text(first['seconds'])}, until {until} if you send it now"
    )
    for way in others:
        provider = Provider(way["provider"]).known_as
        yield (
            f"  through {provider} it would take {duration_text(way['seconds'])}"
            f" at {way['messages_per_second']:g}/s ({way['why']})"
        )
    limit = estimate["limit"]
    sentence = f"the portfolio's limit is not known ({limit['why']})"
    if limit["messaging_limit"] is not None:
        allowed = limit["messaging_limit"]
        sentence = f"{percent(people, allowed)} of the portfolio's {allowed:,} people in 24 h"
    elif limit["share"] is not None:
        sentence = "the portfolio has no limit"
    yield f"  {sentence}; {limit['used_in_24_hours']} were messaged in the last 24 h"
    basis = estimate["new_macs_basis"]
    most = "at most " if basis["not_known"] else ""
    looked_up = basis["asked_at_respondio"]
    yield (
        f"  new MACs (monthly active contacts): {most}{estimate['new_macs']};"
        f" active by the events here: {basis['active_by_events']}"
        f"{f'; looked up at respond.io: {looked_up}' if looked_up else ''}"
    )


def findings_text(findings: tuple[Finding, ...]) -> Iterator[str]:
    """Findings for a person: severity, id, title, evidence, what to do."""
    for finding in findings:
        yield f"{finding.severity.value} {finding.id}: {finding.title}"
        for fact in finding.evidence:
            yield f"  {fact.text} ({fact.said_by})"
        for step, remedy in enumerate(finding.remedy, start=1):
            yield f"  {step}. {remedy}"


def write_report(
    workspace: Workspace,
    broadcast_id: int,
    csv_file: str | None,
    html_file: str | None,
    draw: Callable[..., str],
    *,
    shows_numbers: bool,
    is_json: bool,
) -> Result:
    """The report as a result, and written to the files that are named; `-` is standard output.

    `draw` makes the page (`report_page.html_page`). With `is_json` the result is shown as JSON;
    otherwise nobody reads totals beside a CSV file, and they are not made.

    Raises:
        UsageError: there is no such broadcast, or a file exists or cannot be made.
        StateError: the disk is full.
    """
    state = workspace.state
    sender = Broadcasts(state).sender(broadcast_id, workspace.clock)
    broadcast = Broadcasts(state).get(broadcast_id)
    data: dict[str, Any] = {}
    if csv_file is None or html_file is not None or is_json:
        data = {**totals(state, broadcast), "is_being_sent": sender is not None}
    pages = every_row.pages(state.path, broadcast_id)
    more: dict[str, object] = {}
    lines = []
    if html_file is not None:
        html = draw(workspace, broadcast, data, shows_numbers=shows_numbers)
        with new_private_file(Path(html_file)) as part:
            part.write_text(html, encoding="utf-8")
        more["html"] = html_file
        open_numbers = "it shows phone numbers, keep it private"
        care = open_numbers if shows_numbers else "its numbers are masked"
        lines.append(f"the report is in {html_file}: {care}")
    if csv_file == "-":
        write(sys.stdout, every_row.csv_header())
        for page in pages:
            write(sys.stdout, every_row.csv_text(page))
        return Result({})
    if csv_file is not None:
        written = 0
        with (
            new_private_file(Path(csv_file)) as part,
            part.open("w", encoding="utf-8", newline="") as file,
        ):
            file.write(every_row.csv_header())
            for page in pages:
                file.write(every_row.csv_text(page))
                written += len(page[0])
        more |= {"csv": csv_file, "rows_written": written}
        rows_text = counted(written, "row")
        lines.append(f"{rows_text} written to {csv_file}; it holds phone numbers, keep it private")
    if lines:
        return Result({**data, **more}, lines)
    return Result(data, tuple(text(state, data)), lists={"rows": every_row.json_texts(pages)})


def totals(state: State, broadcast: Broadcast) -> dict[str, Any]:
    """The JSON of a report without its rows. Rates are messages per second."""
    broadcast_id = broadcast.broadcast_id
    data = summary(state, broadcast, Rows(state, broadcast_id).counts())
    codes = [
        {**entry, "meaning": meant(entry["code"], entry["state"]).meaning}
        for entry in data["codes"]
    ]
    return {
        **data,
        "codes": codes,
        "funnel": funnel(data["counts"]),
        "runs": Rows(state, broadcast_id).runs(),
        "decisions": Rows(state, broadcast_id).decisions(),
    }


def funnel(counts: Mapping[str, int]) -> dict[str, int]:
    """How many messages came how far; who read a message also counts as delivered and sent."""
    read = counts[RowState.READ]
    delivered = counts[RowState.DELIVERED] + read
    sent = counts[RowState.SENT] + delivered
    failed = counts[RowState.FAILED]
    return {
        "recipients": sum(counts.values()) - counts[RowState.SKIPPED],
        "accepted": sum(counts[state] for state in TAKEN_STATES),
        "sent": sent,
        "delivered": delivered,
        "read": read,
        "failed": failed,
    }


def text(state: State, data: dict[str, Any]) -> Iterator[str | Table]:
    """The same for a person, with the first rows that did not go well."""
    yield from sentences(data)
    steps = dict(data["funnel"])
    people = steps.pop("recipients")
    if data["started_at"]:
        summary = ", ".join(f"{n} {name} ({percent(n, people)})" for name, n in steps.items())
        yield f"  how far {counted(people, 'message')} got: {summary}"
    for number, run in enumerate(data["runs"], 1):
        yield (
            f"  run {number}: {run['started_at']} to {run['last_active_at']},"
            f" {run['active_seconds']:.1f} s at {run['rate']:g}/s at most,"
            f" ended as {run['ended_as'] or 'unknown'} (process {run['pid']} on {run['host']})"
        )
    decisions = data["decisions"]
    for decision in decisions[:_MOST_SHOWN]:
        about = "" if decision["row"] is None else f"row {decision['row']}: "
        who = f"{decision['decided_at']} by {decision['decided_by']}"
        yield f"  decided {who}: {about}{decision['decision']}"
    if len(decisions) > _MOST_SHOWN:
        yield f"  and {counted(len(decisions) - _MOST_SHOWN, 'more decision')}: --json has them all"
    broadcast_id = data["broadcast_id"]
    rows = Rows(state, broadcast_id).unsettled(_MOST_SHOWN + 1)
    if rows:
        cells = [[row[each.name] for each in _UNSETTLED_COLUMNS] for row in rows[:_MOST_SHOWN]]
        yield Table(_UNSETTLED_COLUMNS, cells)
    if len(rows) > _MOST_SHOWN:
        yield f"and more: wacoex broadcast report {broadcast_id} --csv FILE has every row"
