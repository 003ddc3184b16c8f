"""A broadcast as people and scripts see it: how it goes, where it stands, what became of each row.

Of a running broadcast everything is counted: no number, name or text of an answer comes in here.
The page of a report needs no network. Of long lists it has the beginning, so that it stays as small
for a million people as for ten. A chart is static SVG; its words stand in HTML beside it, so that
they keep their size on a small screen.
"""

from __future__ import annotations

import base64
import csv
import hashlib
import io
import itertools
import math
import sys
import zoneinfo
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from wacoex_cli.audience.formats import WINDOWS
from wacoex_cli.channels.model import Channel, Provider
from wacoex_cli.foundation.clock import Clock, from_text, to_text
from wacoex_cli.foundation.masking import masked_text, rendered
from wacoex_cli.foundation.state import Row, State, new_private_file, open_state
from wacoex_cli.ledger.model import (
    GOOD_STATES,
    HELD_BACK_WORDS,
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
from wacoex_cli.platforms.error_codes import ErrorCode, classify, classify_open
from wacoex_cli.terminal.render import Result, Table, write
from wacoex_cli.throughput.throttle import MESSAGES_PER_SECOND

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from wacoex_cli.findings.model import Finding

_MOST_CODES = 5
_MOST_HELD = 2
_MOST_SHEETS = 5
_ACCEPTED = tuple(state for state in GOOD_STATES if state not in HELD_BACK_WORDS)
_ALWAYS_SHOWN = frozenset({"failed", "ambiguous"})

COLUMNS = (
    "row",
    "line",
    "phone",
    "state",
    "reason",
    "code",
    "meaning",
    "detail",
    "message_id",
    "attempts",
    "claimed_at",
    "answered_at",
    "user_id",
)
_MOST_SHOWN = 20
_LINES_AT_ONCE = 1_000
# Spreadsheets run a cell that begins like this; the wide forms count in East Asian versions.
_BEGINS_A_FORMULA = frozenset("=+-@\t\r\n\uff1d\uff0b\uff0d\uff20")


def line(shot: RunProgress) -> str:
    """One line for a log: what became of the rows, how fast, how long still."""
    parts = [_states(shot)]
    if shot.counts.open:
        parts.append(f"{shot.last_second}/s now")
    parts.append(f"at most {shot.peak} in one second")
    parts += [f"{c.n} {c.state.value} with code {c.code}" for c in shot.codes[:_MOST_CODES]]
    parts += map(_held_text, shot.held[:_MOST_HELD])
    if (left := shot.seconds_left) is not None:
        parts.append(f"{about(left)} left")
    return ", ".join(parts)


def lines(shot: RunProgress) -> tuple[str, ...]:
    """What stands below the bar: rate, outcomes, errors by code with meaning, quiet hours."""
    rate = [f"{shot.last_second}/s now"] if shot.counts.open else []
    rate.append(f"most in one second: {shot.peak}")
    if shot.told_limit is not None:
        rate.append(f"the API takes {shot.told_limit:g}/s")
    if (left := shot.seconds_left) is not None:
        rate.append(f"{about(left)} left")
    below = [_states(shot), *map(_held_text, shot.held[:_MOST_HELD])]
    if later := sum(held.rows for held in shot.held[_MOST_HELD:]):
        below.append(f"{later} held until later")
    below += [
        f"code {row.code} ({row.n} {row.state.value}): {_meant(row.code, row.state).meaning}"
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
            "told_limit": shot.told_limit,
        },
        "codes": [
            {
                "code": one.code,
                "state": one.state.value,
                "n": one.n,
                "meaning": _meant(one.code, one.state).meaning,
            }
            for one in shot.codes
        ],
        "held": [
            {"rows": one.rows, "until": to_text(one.until), "timezone": one.zone}
            for one in shot.held
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


def summary(state: State, broadcast: Broadcast, counts: Counts) -> dict[str, Any]:
    """The `data` of `broadcast send`, `show` and `resume`."""
    rows = Rows(state, broadcast.broadcast_id)
    waiting, never = rows.held(), rows.at_no_hour()
    seconds = rows.active_seconds()
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
        "recipients": broadcast.recipients,
        "counts": counts.to_json(),
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
        "planned_at": broadcast.planned_at,
        "started_at": broadcast.started_at,
        "finished_at": broadcast.finished_at,
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


def list_of_channel(state: State, channel: Channel | None) -> Result:
    """The broadcasts of a channel, or of all, newest first."""
    rows = [
        {
            "broadcast_id": broadcast.broadcast_id,
            "channel": broadcast.channel,
            "name": broadcast.name,
            "status": broadcast.status.value,
            "reason": broadcast.reason,
            "template": broadcast.template_name,
            "recipients": broadcast.recipients,
            "taken": Rows(state, broadcast.broadcast_id).counts().taken,
            "planned_at": broadcast.planned_at,
        }
        for broadcast in Broadcasts(state).of_channel(
            channel.channel_id if channel else None, status=None
        )
    ]
    keys = ("broadcast_id", "channel", "status", "taken", "recipients", "template")
    table = Table(
        ("id", *keys[1:], "planned", "name"),
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
    told = ", ".join(f"{n} {name}" for name, n in data["counts"].items() if n)
    yield f"  {data['recipients']} recipients: {told or 'none'}"
    for words, n in _held_back(data["counts"]).items():
        yield f"  {words}: {n}; what is not sent later fails"
    for skip_reason, n in data["skipped"].items():
        yield f"  skipped: {n} {skip_reason}"
    if data["repeats"] == RepeatPolicy.SENT:
        yield "  sent to people who have this message already too, as `--again` said"
    for entry in data["codes"]:
        known = _meant(entry["code"], entry["state"])
        yield f"  code {entry['code']} ({entry['n']} {entry['state']}): {known.meaning}"
        yield f"    {known.action}"
    held, rate = data["held"], data["rate"]
    if waiting := held["rows"] - held["at_no_hour"]:
        yield f"  held back by quiet hours: {waiting}, the first until {held['until']}"
    if held["at_no_hour"]:
        yield f"  held back at every hour: {held['at_no_hour']}; one of their zones is always quiet"
    if data["started_at"]:
        yield (
            f"  rate: {rate['achieved']}/s achieved of {rate['requested']:g}/s asked,"
            f" {rate['peak_in_one_second']} most in one second"
        )
    if data["status"] == Status.PLANNED:
        yield f"  to send it: wacoex broadcast send {number}"
    if data["status"] == Status.PAUSED:
        yield f"  to continue: wacoex broadcast resume {number}"
    if data["status"] == Status.SENDING and not data.get("is_being_sent", True):
        yield f"  its sender died; to continue: wacoex broadcast resume {number}"
    if data["counts"][RowState.AMBIGUOUS]:
        yield f"  to settle the ambiguous rows: wacoex broadcast reconcile {number}"


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
        "parameters": [source.to_json() for source in planned.sources],
        "estimate": dict(planned.estimate),
        "new_contacts": planned.new_contacts,
        "findings": [one.to_json() for one in planned.findings],
    }


def plan_text(data: dict[str, Any], findings: tuple[Finding, ...]) -> Iterator[str | Table]:
    """A plan for a person: who, what, how long, and what was left out and why."""
    number = data["broadcast_id"]
    head = "would be planned (dry run)" if data["dry_run"] else f"broadcast {number} planned"
    people = f"{data['recipients']} recipients"
    yield f"{head} on {data['channel']}: {people}, template {data['template']}"
    for reading in data["preview"]:
        head = f"line {reading['line']}, {reading['phone']} would read:"
        yield head if len(data["preview"]) > 1 else "the first recipient would read:"
        yield from (f"  | {line}" for line in reading["text"].splitlines())
    yield from list_text(data)
    for source in data["parameters"]:
        origin = f"column {source['column']}" if source["column"] else f"text {source['text']!r}"
        yield f"  placeholder {source['key']}: {origin}"
    for reason, n in data["skipped"].items():
        yield f"  skipped: {n} {reason}"
    if data["skipped_rows"]:
        yield Table(
            ("line", "phone", "reason", "detail"),
            [tuple(row.values()) for row in data["skipped_rows"]],
        )
        if number is not None:
            yield f"every skipped row: wacoex broadcast report {number} --csv FILE"
    if data["unknown_ranges"]:
        shown = ", ".join(f"line {row['line']}: {row['phone']}" for row in data["unknown_ranges"])
        yield f"no numbering plan knows {shown}; if they are right: --accept-possible"
    yield from estimate_text(data["estimate"])
    if data["new_contacts"]:
        yield f"contacts to create: {data['new_contacts']}, each counts as a new MAC"
    yield from findings_text(findings)
    if number is not None:
        yield f"to send it: wacoex broadcast send {number}"


def list_text(data: dict[str, Any]) -> Iterator[str]:
    """What a person should know about how the list was read, where it is not plain."""
    if data["encoding"] == WINDOWS:
        yield "  the list is no UTF-8 and was read as Windows-1252: look at the accents"
    for title in data["title_lines"]:
        yield f"  line {title['line']} above the header is left out: {title['text']}"
    if data["user_id_column"] not in (None, data["phone_column"]):
        yield f"  where there is no number, the user id in column `{data['user_id_column']}` counts"
    if data["other_phone_columns"]:
        others = ", ".join(f"`{name}`" for name in data["other_phone_columns"])
        yield (
            f"  the numbers are those of column `{data['phone_column']}`, not of {others};"
            " --phone-column takes another"
        )
    if data["other_sheets"]:
        others = ", ".join(
            f"`{sheet['name']}`{' (hidden)' if sheet['hidden'] else ''}"
            for sheet in data["other_sheets"][:_MOST_SHEETS]
        )
        more = len(data["other_sheets"]) - _MOST_SHEETS
        yield (
            f"  sheet `{data['sheet']}` is read; not read: {others}"
            f"{f' and {more} more' if more > 0 else ''}"
        )
    if n := data["hidden_rows"]["rows"]:
        first = ", ".join(map(str, data["hidden_rows"]["first"]))
        rows = "1 hidden row" if n == 1 else f"{n} hidden rows"
        yield f"  {rows} of the sheet are in the plan too: {first}{', ...' if n > 5 else ''}"


def estimate_text(estimate: dict[str, Any]) -> Iterator[str]:
    """How long it takes either way, what is left of the limit, whom respond.io will charge for."""
    first, *others = estimate["ways"]
    until = f"{estimate['finish_at'][:16].replace('T', ' ')} UTC"
    yield (
        f"at {first['messages_per_second']:g}/s ({first['why']})"
        f" it takes {duration(first['seconds'])}, until {until} if sent now"
    )
    for way in others:
        provider = Provider(way["provider"]).known_as
        yield (
            f"  through {provider} it would take {duration(way['seconds'])}"
            f" at {way['messages_per_second']:g}/s ({way['why']})"
        )
    limit = estimate["limit"]
    told = f"the portfolio's limit is not known ({limit['why']})"
    if limit["messaging_limit"] is not None:
        told = f"{limit['share']:.1%} of the portfolio's {limit['messaging_limit']} people in 24 h"
    elif limit["share"] is not None:
        told = "the portfolio's limit is none"
    yield f"  {told}; {limit['used_in_24_hours']} were messaged in the last 24 h"
    basis = estimate["new_macs_basis"]
    most = "at most " if basis["not_known"] else ""
    looked_up = f", {basis['asked_at_respondio']} looked up" if basis["asked_at_respondio"] else ""
    yield (
        f"  {most}{estimate['new_macs']} new MACs at respond.io: by the events here"
        f" {basis['active_by_events']} were active this month{looked_up}"
    )


def findings_text(findings: tuple[Finding, ...]) -> Iterator[str]:
    """Findings for a person: severity, id, title, evidence, what to do."""
    for finding in findings:
        yield f"{finding.severity.value} {finding.id}: {finding.title}"
        for fact in finding.evidence:
            yield f"  {fact.text} ({fact.said_by})"
        for step, remedy in enumerate(finding.remedy, start=1):
            yield f"  {step}. {remedy}"


def duration(seconds: float) -> str:
    """Hours and minutes, minutes and seconds, or seconds."""
    whole = round(seconds)
    hours, minutes = divmod(whole // 60, 60)
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min {whole % 60} s" if minutes else f"{whole} s"


def write_report(
    state: State,
    broadcast_id: int,
    csv_file: str | None,
    html_file: str | None,
    *,
    shows_numbers: bool,
) -> Result:
    """The report as a result, and written to the files that are named; `-` is standard output.

    Raises:
        UsageError: there is no such broadcast, or a file exists or cannot be made.
        StateError: the disk is full.
    """
    data = totals(state, Broadcasts(state).get(broadcast_id))
    every_row = rows(state.path, broadcast_id)
    more: dict[str, object] = {}
    lines = []
    if html_file is not None:
        page = html_page(state, data, shows_numbers=shows_numbers)
        with new_private_file(Path(html_file)) as part:
            part.write_text(page, encoding="utf-8")
        more["html"] = html_file
        care = "it shows phone numbers, keep it private"
        lines.append(
            f"the report is in {html_file}: {care if shows_numbers else 'its numbers are masked'}"
        )
    if csv_file == "-":
        for piece in csv_text(every_row):
            write(sys.stdout, piece)
        return Result({})
    if csv_file is not None:
        numbers = itertools.count()
        counted = (row for row, _ in zip(every_row, numbers, strict=False))
        with (
            new_private_file(Path(csv_file)) as part,
            part.open("w", encoding="utf-8", newline="") as file,
        ):
            file.writelines(csv_text(counted))
        written = next(numbers)
        more |= {"csv": csv_file, "rows_written": written}
        lines.append(
            f"{written} rows written to {csv_file}; it holds phone numbers, keep it private"
        )
    if lines:
        return Result({**data, **more}, lines)
    return Result(data, tuple(text(state, data)), lists={"rows": every_row})


def totals(state: State, broadcast: Broadcast) -> dict[str, Any]:
    """The JSON of a report without its rows. Rates are messages per second."""
    broadcast_id = broadcast.broadcast_id
    data = summary(state, broadcast, Rows(state, broadcast_id).counts())
    codes = [
        {**entry, "meaning": _meant(entry["code"], entry["state"]).meaning}
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


def share(part: int, whole: int) -> str:
    """A part in percent with one decimal; it says 100.0 % and 0.0 % only when that is so."""
    if not whole or part in (0, whole):
        return "100.0 %" if part else "0.0 %"
    return f"{min(99.9, max(0.1, 100 * part / whole)):.1f} %"


def text(state: State, data: dict[str, Any]) -> Iterator[str | Table]:
    """The same for a person, with the first rows that did not go well."""
    yield from sentences(data)
    steps = dict(data["funnel"])
    people = steps.pop("recipients")
    if data["started_at"]:
        told = ", ".join(f"{n} {name} ({share(n, people)})" for name, n in steps.items())
        yield f"  how far the {people} came: {told}"
    for run in data["runs"]:
        yield (
            f"  run {run['run_id']}: {run['started_at']} to {run['last_active_at']},"
            f" {run['active_seconds']:.1f} s at {run['rate']:g}/s asked,"
            f" ended as {run['ended_as'] or 'unknown'} (process {run['pid']} on {run['host']})"
        )
    decisions = data["decisions"]
    for one in decisions[:_MOST_SHOWN]:
        about = "" if one["row"] is None else f"row {one['row']}: "
        yield f"  decided {one['decided_at']} by {one['decided_by']}: {about}{one['decision']}"
    if len(decisions) > _MOST_SHOWN:
        yield f"  and {len(decisions) - _MOST_SHOWN} more decisions: --json has them all"
    broadcast_id = data["broadcast_id"]
    rows = Rows(state, broadcast_id).unsettled(_MOST_SHOWN + 1)
    if rows:
        columns = ("row", "line", "phone", "state", "code", "detail")
        yield Table(columns, [[row[name] for name in columns] for row in rows[:_MOST_SHOWN]])
    if len(rows) > _MOST_SHOWN:
        yield f"and more: wacoex broadcast report {broadcast_id} --csv FILE has every row"


def rows(path: Path, broadcast_id: int) -> Iterator[Row]:
    """Every row of a broadcast in order, from the state file at `path`, in flat memory.

    It opens the file itself, because a result is written when its command has closed its own.
    """
    state = open_state(path)
    try:
        for row in Rows(state, broadcast_id).every_row():
            code = row["code"]
            meant = None if code is None else _meant(code, row["state"])
            yield {**row, "meaning": meant.meaning if meant else None}
    finally:
        state.close()


def csv_text(rows: Iterable[Row]) -> Iterator[str]:
    """A CSV file in pieces of a thousand lines, safe to open in a spreadsheet."""
    yield _lines([COLUMNS])
    cells = ([safe_cell(row[name]) for name in COLUMNS] for row in rows)
    while piece := list(itertools.islice(cells, _LINES_AT_ONCE)):
        yield _lines(piece)


def safe_cell(value: object) -> str:
    """The text of a cell that no spreadsheet takes for a formula.

    A text that would be one, a phone number too, gets an apostrophe in front. Spreadsheets then
    keep it as text, and wacoex reads `'+6591234567` as the number that it is.
    """
    cell = "" if value is None else str(value)
    is_formula = cell.lstrip(" ")[:1] in _BEGINS_A_FORMULA
    return f"'{cell}" if is_formula else cell


def _lines(rows: Iterable[Iterable[str]]) -> str:
    buffer = io.StringIO()
    csv.writer(buffer, lineterminator="\n").writerows(rows)
    return buffer.getvalue()


@lru_cache
def _meant(code: int, state: str) -> ErrorCode:
    """What Meta's code means for a row in that state."""
    return classify_open(code) if state == RowState.RETRY else classify(code)


_MOST_LISTED = 100
_STATUSES = ("accepted", "sent", "delivered", "read", "failed")
# The size of a chart, in the units of its view box.
_WIDTH, _HEIGHT = 1000, 200
_HEADROOM = 1.1
_ROUND = (1, 1.2, 1.6, 2, 2.4, 3, 4, 5, 6, 8, 10)
_MOST_STRETCHES = 600
_EARLIEST = "2000-01-01T00:00:00"


class Stretch(NamedTuple):
    """What a chart counts by: how many characters of an RFC 3339 moment name it, its seconds."""

    width: int
    seconds: int
    name: str


_STRETCHES = (
    Stretch(19, 1, "second"),
    Stretch(18, 10, "10 seconds"),
    Stretch(16, 60, "minute"),
    Stretch(15, 600, "10 minutes"),
    Stretch(13, 3_600, "hour"),
    Stretch(10, 86_400, "day"),
)


class Shape(NamedTuple):
    """One shape of a chart: its class in the style sheet, and its outline."""

    name: str
    drawn: str


@dataclass(frozen=True)
class Chart:
    """What the template draws: shapes, the ends of both axes, and the legend (class, words)."""

    told: str
    scale: Sequence[str]
    first: str
    last: str
    paths: Sequence[Shape]
    keys: Sequence[tuple[str, str]]


class _Plot:
    """Where values and moments (seconds since 1970, UTC) stand in a chart."""

    def __init__(self, first: float, last: float, highest: float) -> None:
        self.first, self.last = first, last
        # The scale ends at a round number somewhat above the highest value.
        wanted = highest * _HEADROOM
        unit = 10.0 ** math.floor(math.log10(wanted))
        self.top = unit * next(factor for factor in _ROUND if unit * factor >= wanted)

    def x(self, moment: float) -> str:
        return f"{_WIDTH * (moment - self.first) / (self.last - self.first):.1f}"

    def y(self, value: float) -> str:
        return f"{_HEIGHT * (1 - value / self.top):.1f}"

    def bars(self, starts: Iterable[float], values: Iterable[float], seconds: int) -> str:
        return "".join(
            f"M{self.x(start)} {_HEIGHT}V{self.y(value)}H{self.x(start + seconds)}V{_HEIGHT}Z"
            for start, value in zip(starts, values, strict=True)
        )

    def rising(self, points: Iterable[tuple[float, int]]) -> str:
        path, height = f"M0 {_HEIGHT}", 0
        for moment, n in points:
            height += n
            path += f"H{self.x(moment)}V{self.y(height)}"
        return f"{path}H{_WIDTH}"

    def chart(self, told: str, paths: Sequence[Shape], keys: Sequence[tuple[str, str]]) -> Chart:
        scale = (_short(self.top), _short(self.top / 2), "0")
        return Chart(told, scale, _clock(self.first), _clock(self.last), paths, keys)


def html_page(state: State, data: Mapping[str, Any], *, shows_numbers: bool) -> str:
    """The whole page. Its policy lets a browser load nothing, and only its own style apply."""
    style = files(__package__).joinpath("report.css").read_text(encoding="utf-8")
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    broadcast_id, rate = data["broadcast_id"], data["rate"]
    span = Rows(state, broadcast_id).dispatch_span()

    def said(text: object) -> str:
        plain = "" if text is None else str(text)
        return plain if shows_numbers else masked_text(plain)

    return rendered(
        __package__,
        "report.html.jinja",
        data=data,
        style=style,
        style_hash=f"sha256-{digest}",
        shows_numbers=shows_numbers,
        facts={
            "recipients": data["recipients"],
            "accepted": data["taken"],
            **_held_back(data["counts"]),
            "skipped": data["counts"]["skipped"],
            "messages a second": f"{rate['achieved']:g} of {rate['requested']:g}",
            "most in one second": rate["peak_in_one_second"],
            "time sending": duration(sum(run["active_seconds"] for run in data["runs"])),
            "started": _time(data["started_at"]),
            "finished": _time(data["finished_at"]),
        },
        rate=_rate_chart(state, data, span) if span else None,
        progress=_progress_chart(state, data, span) if span and data["taken"] else None,
        unsettled=Rows(state, broadcast_id).unsettled(_MOST_LISTED + 1),
        most_listed=_MOST_LISTED,
        said=said,
        time=_time,
        share=share,
        classify=classify,
    )


def stretch_for(first: str, last: str) -> Stretch:
    """The finest stretch with which a chart between two moments stays small."""
    seconds = _seconds(last[:19]) - _seconds(first[:19])
    fitting = (stretch for stretch in _STRETCHES if seconds / stretch.seconds <= _MOST_STRETCHES)
    return next(fitting, _STRETCHES[-1])


def _rate_chart(state: State, data: Mapping[str, Any], span: tuple[str, str]) -> Chart:
    """Messages per second: the mean and the busiest second of each stretch, under the cap."""
    stretch, rate = stretch_for(*span), data["rate"]
    counted = Rows(state, data["broadcast_id"]).dispatch(stretch.width)
    cap = min(max([rate["requested"], *(run["rate"] for run in data["runs"])]), MESSAGES_PER_SECOND)
    starts = [_seconds(str(row["at"])) for row in counted]
    busiest = [float(row["busiest"]) for row in counted]
    plot = _Plot(starts[0], starts[-1] + stretch.seconds, max(cap, *busiest))
    paths = [Shape("whole", plot.bars(starts, busiest, stretch.seconds))]
    keys = [("whole", "busiest second")]
    if stretch.seconds > 1:
        means = [row["n"] / stretch.seconds for row in counted]
        paths.append(Shape("mean", plot.bars(starts, means, stretch.seconds)))
        keys.append(("mean", f"mean of each {stretch.name}"))
    paths.append(Shape("cap", f"M0 {plot.y(cap)}H{_WIDTH}"))
    keys.append(("cap", f"the cap: {cap:g} per second"))
    told = (
        f"At most {rate['peak_in_one_second']} messages left in any one second; the cap is {cap:g}."
    )
    return plot.chart(told, paths, keys)


def _progress_chart(state: State, data: Mapping[str, Any], span: tuple[str, str]) -> Chart:
    """How many messages had come how far by when, as far as the log of events still knows."""
    broadcast_id, since = data["broadcast_id"], data["planned_at"]
    attempts = f"wacoex-{Broadcasts(state).state_id}-{broadcast_id}-"
    end = Rows(state, broadcast_id).deliveries_end(since, attempts)
    stretch = stretch_for(span[0], max(span[1], end or ""))
    points: dict[str, list[tuple[float, int]]] = {name: [] for name in _STATUSES}
    for row in Rows(state, broadcast_id).deliveries(since, attempts, stretch.width):
        points[row["status"]].append((_seconds(row["at"]) + stretch.seconds, row["n"]))
    moments = [moment for listed in points.values() for moment, _ in listed]
    first = min(moments) - stretch.seconds
    plot = _Plot(first, max(moments), max(data["funnel"]["recipients"], 1))
    paths = [Shape(name, plot.rising(listed)) for name, listed in points.items() if listed]
    keys = [(name, f"{name}: {sum(n for _, n in listed)}") for name, listed in points.items()]
    return plot.chart("How many messages had come how far by when.", paths, keys)


def _short(value: float) -> str:
    return f"{value:,.0f}" if value >= 10 else f"{value:.1f}".removesuffix(".0")


def _seconds(moment: str) -> float:
    whole = moment + _EARLIEST[len(moment) :]
    return datetime.fromisoformat(whole).replace(tzinfo=UTC).timestamp()


def _clock(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M:%S")


def _time(moment: str | None) -> str:
    return moment[:19].replace("T", " ") if moment else "-"
