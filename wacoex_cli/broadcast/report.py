"""A broadcast as people and scripts see it: how it goes, where it stands, what became of each row.

Of a running broadcast everything is counted: no number, name or text of an answer comes in here.
"""

from __future__ import annotations

import csv
import io
import itertools
import json
import zoneinfo
from datetime import datetime
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from wacoex_cli.audience.formats import WINDOWS
from wacoex_cli.broadcast.model import Held, RowState, Snapshot, Status
from wacoex_cli.broadcast.reconcile import Reconciled
from wacoex_cli.broadcast.store import Broadcasts, Rows
from wacoex_cli.channels.model import Provider
from wacoex_cli.foundation.clock import to_text
from wacoex_cli.foundation.state import new_private_file, open_state
from wacoex_cli.platforms.error_codes import classify
from wacoex_cli.terminal.render import Table

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from pathlib import Path

    from wacoex_cli.broadcast.model import Broadcast, Counts, Planned
    from wacoex_cli.findings.model import Finding
    from wacoex_cli.foundation.state import Row, State

_MOST_CODES = 5
_MOST_HELD = 2
_ACCEPTED = (RowState.ACCEPTED, RowState.SENT, RowState.DELIVERED, RowState.READ)
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
    "message_status",
    "attempts",
    "claimed_at",
    "answered_at",
)
_MOST_SHOWN = 20
_LINES_AT_ONCE = 1_000
# Spreadsheets run a cell that begins like this; the wide forms count in East Asian versions.
_BEGINS_A_FORMULA = frozenset("=+-@\t\r\n\uff1d\uff0b\uff0d\uff20")


def line(shot: Snapshot) -> str:
    """One line for a log: what became of the rows, how fast, how long still."""
    parts = [_states(shot)]
    if shot.counts.open:
        parts.append(f"{shot.last_second}/s now")
    parts.append(f"at most {shot.peak} in one second")
    parts += _codes_in_short(shot)
    parts += [_held_text(one) for one in shot.held[:_MOST_HELD]]
    if (left := shot.seconds_left) is not None:
        parts.append(f"{about(left)} left")
    return ", ".join(parts)


def lines(shot: Snapshot) -> tuple[str, ...]:
    """What stands below the bar: rate, outcomes, errors by code with meaning, quiet hours."""
    return (_rate(shot), *_below(shot))


def to_json(shot: Snapshot) -> dict[str, Any]:
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
                "meaning": classify(one.code).meaning,
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


def _rate(shot: Snapshot) -> str:
    parts = [f"{shot.last_second}/s now"] if shot.counts.open else []
    parts.append(f"most in one second: {shot.peak}")
    if shot.told_limit is not None:
        parts.append(f"the API takes {shot.told_limit:g}/s")
    if (left := shot.seconds_left) is not None:
        parts.append(f"{about(left)} left")
    return ", ".join(parts)


def _below(shot: Snapshot) -> Iterator[str]:
    yield _states(shot)
    for held in shot.held[:_MOST_HELD]:
        yield _held_text(held)
    if later := sum(held.rows for held in shot.held[_MOST_HELD:]):
        yield f"{later} held until later"
    for one in shot.codes[:_MOST_CODES]:
        yield f"code {one.code} ({one.n} {one.state.value}): {classify(one.code).meaning}"
    if more := sum(one.n for one in shot.codes[_MOST_CODES:]):
        yield f"and {more} with other codes"


def _states(shot: Snapshot) -> str:
    """Accepted stands for every row that was taken and did not fail later."""
    counts = shot.counts
    accepted = f"{counts.of(*_ACCEPTED)} accepted"
    arrived = {
        "delivered": counts.of(RowState.DELIVERED, RowState.READ),
        "read": counts.of(RowState.READ),
    }
    if any(arrived.values()):
        accepted += f" ({', '.join(f'{n} {name}' for name, n in arrived.items())})"
    others = {
        "failed": counts.of(RowState.FAILED),
        "rejected": counts.of(RowState.REJECTED),
        "ambiguous": counts.of(RowState.AMBIGUOUS),
        "retry": counts.of(RowState.RETRY) - shot.held_rows,
    }
    told = [f"{n} {name}" for name, n in others.items() if n or name in _ALWAYS_SHOWN]
    return ", ".join((accepted, *told))


def _codes_in_short(shot: Snapshot) -> Iterator[str]:
    for one in shot.codes[:_MOST_CODES]:
        yield f"{one.n} {one.state.value} with code {one.code}"


def _held_text(held: Held) -> str:
    local = held.until.astimezone(zoneinfo.ZoneInfo(held.zone))
    return f"{held.rows} held until {local:%H:%M} in {held.zone}"


def summary(state: State, broadcast: Broadcast, counts: Counts) -> dict[str, Any]:
    """The `data` of `broadcast send`, `show` and `resume`."""
    seconds = Broadcasts(state).active_seconds(broadcast.broadcast_id)
    achieved = counts.taken / seconds if seconds and counts.taken else 0.0
    return {
        "broadcast_id": broadcast.broadcast_id,
        "name": broadcast.name,
        "channel": broadcast.channel,
        "provider": broadcast.provider.value,
        "status": broadcast.status.value,
        "reason": broadcast.reason,
        "reason_code": broadcast.reason_code,
        "template": template_name(broadcast),
        "recipients": broadcast.recipients,
        "counts": counts.to_json(),
        "codes": Rows(state, broadcast.broadcast_id).codes(),
        "skipped": Rows(state, broadcast.broadcast_id).skip_reasons(),
        "taken": counts.taken,
        "held": _held(state, broadcast.broadcast_id),
        "rate": {
            "requested": broadcast.rate,
            "achieved": round(achieved, 2),
            "peak_in_one_second": broadcast.peak_in_one_second,
        },
        "planned_at": broadcast.planned_at,
        "started_at": broadcast.started_at,
        "finished_at": broadcast.finished_at,
    }


def _held(state: State, broadcast_id: int) -> dict[str, Any]:
    """Rows that quiet hours hold back, in all and at no hour, and when the first may leave."""
    waiting = Rows(state, broadcast_id).held()
    never = Rows(state, broadcast_id).at_no_hour()
    return {
        "rows": sum(rows for _, rows, _ in waiting) + never,
        "at_no_hour": never,
        "until": to_text(waiting[0][0]) if waiting else None,
    }


def sentences(data: dict[str, Any]) -> Iterator[str]:
    """The same for a person: where it stands, what went wrong, what to do next."""
    number = data["broadcast_id"]
    reason = f": {data['reason']}" if data["reason"] else ""
    yield f"broadcast {number} on {data['channel']} ({data['template']}): {data['status']}{reason}"
    told = ", ".join(f"{n} {name}" for name, n in data["counts"].items() if n)
    yield f"  {data['recipients']} recipients: {told or 'none'}"
    for skip_reason, n in data["skipped"].items():
        yield f"  skipped: {n} {skip_reason}"
    for entry in data["codes"]:
        known = classify(entry["code"])
        yield f"  code {entry['code']} ({entry['n']} {entry['state']}): {known.meaning}"
        yield f"    {known.action}"
    yield from _held_sentences(data["held"])
    rate = data["rate"]
    if data["started_at"]:
        yield (
            f"  rate: {rate['achieved']}/s achieved of {rate['requested']:g}/s asked,"
            f" {rate['peak_in_one_second']} most in one second"
        )
    yield from _next_steps(number, data)


def _held_sentences(held: dict[str, Any]) -> Iterator[str]:
    if waiting := held["rows"] - held["at_no_hour"]:
        yield f"  held back by quiet hours: {waiting}, the first until {held['until']}"
    if held["at_no_hour"]:
        yield f"  held back at every hour: {held['at_no_hour']}; one of their zones is always quiet"


def _next_steps(number: int, data: dict[str, Any]) -> Iterator[str]:
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
        "template": template_name(broadcast),
        "recipients": broadcast.recipients,
        "skipped": dict(planned.skipped),
        "skipped_rows": [
            {name: row[name] for name in ("line", "phone", "reason", "detail")}
            for row in planned.skipped_rows
        ],
        "phone_column": planned.phone_column,
        "encoding": planned.encoding,
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
    yield from _readings(data["preview"])
    if data["encoding"] == WINDOWS:
        yield "  the list is no UTF-8 and was read as Windows-1252: look at the accents"
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
    yield from estimate_text(data["estimate"])
    if data["new_contacts"]:
        yield f"contacts to create: {data['new_contacts']}, each counts as a new MAC"
    yield from findings_text(findings)
    if number is not None:
        yield f"to send it: wacoex broadcast send {number}"


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


def _readings(previews: list[dict[str, Any]]) -> Iterator[str]:
    for one in previews:
        if len(previews) == 1:
            yield "the first recipient would read:"
        else:
            yield f"line {one['line']}, {one['phone']} would read:"
        yield from (f"  | {line}" for line in one["text"].splitlines())


def findings_text(findings: tuple[Finding, ...]) -> Iterator[str]:
    """Findings for a person: severity, id, title, evidence, what to do."""
    for finding in findings:
        yield f"{finding.severity.value} {finding.id}: {finding.title}"
        for fact in finding.evidence:
            yield f"  {fact.text} (says {fact.source})"
        for step, remedy in enumerate(finding.remedy, start=1):
            yield f"  {step}. {remedy}"


def template_name(broadcast: Broadcast) -> str:
    """Name and language of the frozen template."""
    template = json.loads(broadcast.template)
    return f"{template['name']} ({template['language']})"


def duration(seconds: float) -> str:
    """Hours and minutes, minutes and seconds, or seconds."""
    whole = round(seconds)
    hours, minutes = divmod(whole // 60, 60)
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min {whole % 60} s" if minutes else f"{whole} s"


def reconciled_text(
    state: State, broadcast: Broadcast, found: Reconciled, now: datetime
) -> list[str | Table]:
    """What `broadcast reconcile` found out, row by row, and what can be done next."""
    number = broadcast.broadcast_id
    sentences = reconciled_sentences(found, now)
    if not found.rows:
        return [*sentences, f"broadcast {number} has no row that waits for a decision"]
    table = Table(
        ("row", "line", "phone", "tried", "happened", "verdict", "why"),
        [
            (
                one.doubt.row,
                one.doubt.line,
                one.doubt.phone,
                one.doubt.claimed_at,
                one.doubt.happened,
                one.judgement.fate.value.replace("_", " "),
                one.judgement.why,
            )
            for one in found.rows[:MOST_RECONCILED]
        ],
    )
    steps = []
    if found.left:
        steps = [
            "look at the chats of those left on the phone, then settle them:",
            f"  wacoex broadcast reconcile {number} --as sent --row ROW",
            f"  wacoex broadcast reconcile {number} --as not-sent --row ROW",
            f"to send again what is not known to have gone out:"
            f" wacoex broadcast reconcile {number} --resend",
        ]
    if Broadcasts(state).get(number).status is Status.PAUSED:
        steps.append(f"to continue: wacoex broadcast resume {number}")
    return [table, *sentences, *steps]


def reconciled_sentences(found: Reconciled, now: datetime) -> list[str]:
    """How many rows went out, did not, or are unknown: one sentence each."""
    from wacoex_cli.broadcast.reconcile import SETTLES_AFTER, Fate

    counted = (
        (found.by_webhooks, "settled by statuses that had come in"),
        (len(found.of(Fate.WENT_OUT)), "went out, and moved on"),
        (len(found.of(Fate.DID_NOT)), "did not go out, as far as the list tells; not sent again"),
        (len(found.of(Fate.UNKNOWN)), "still unknown"),
    )
    lines = [f"{number} {text}" for number, text in counted if number]
    early = found.too_early(now)
    if early:
        minutes = SETTLES_AFTER.seconds // 60
        lines.append(f"{early} tried less than {minutes} minutes ago: a status may still come")
    return lines


def totals(state: State, broadcast: Broadcast) -> dict[str, Any]:
    """The JSON of a report without its rows. Rates are messages per second."""
    broadcast_id = broadcast.broadcast_id
    data = summary(state, broadcast, Rows(state, broadcast_id).counts())
    codes = [{**entry, "meaning": _meaning(entry["code"])} for entry in data["codes"]]
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
        "accepted": counts[RowState.ACCEPTED] + sent + failed,
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
    yield from _unsettled(state, data["broadcast_id"])


def _unsettled(state: State, broadcast_id: int) -> Iterator[str | Table]:
    rows = Rows(state, broadcast_id).unsettled(_MOST_SHOWN + 1)
    if not rows:
        return
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
            yield {**row, "meaning": None if code is None else _meaning(code)}
    finally:
        state.close()


def csv_text(rows: Iterable[Row]) -> Iterator[str]:
    """A CSV file in pieces of a thousand lines, safe to open in a spreadsheet."""
    yield _lines([COLUMNS])
    cells = ([safe_cell(row[name]) for name in COLUMNS] for row in rows)
    while piece := list(itertools.islice(cells, _LINES_AT_ONCE)):
        yield _lines(piece)


def write_csv(target: Path, rows: Iterable[Row]) -> int:
    """Write a new CSV file that only its owner may read; returns the number of its rows.

    Raises:
        UsageError: the file exists or cannot be made.
        StateError: the disk is full.
    """
    numbers = itertools.count()
    counted = (row for row, _ in zip(rows, numbers, strict=False))
    with (
        new_private_file(target) as part,
        part.open("w", encoding="utf-8", newline="") as file,
    ):
        file.writelines(csv_text(counted))
    return next(numbers)


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
def _meaning(code: int) -> str:
    return classify(code).meaning


MOST_RECONCILED = 1_000
"""Rows that `broadcast reconcile` lists."""
