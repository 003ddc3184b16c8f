"""A broadcast as people and scripts see it: the keys of the JSON output, and plain sentences."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from wacoex_cli.audience.text import WINDOWS
from wacoex_cli.broadcast.model import RowState, Status
from wacoex_cli.broadcast.store import Broadcasts, Rows
from wacoex_cli.channels.model import Provider
from wacoex_cli.foundation.clock import to_text
from wacoex_cli.platforms.error_codes import classify
from wacoex_cli.terminal.render import Table

if TYPE_CHECKING:
    from collections.abc import Iterator

    from wacoex_cli.broadcast.model import Broadcast, Counts
    from wacoex_cli.broadcast.plan import Planned
    from wacoex_cli.findings.model import Finding
    from wacoex_cli.foundation.state import State


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
    yield from _held_text(data["held"])
    rate = data["rate"]
    if data["started_at"]:
        yield (
            f"  rate: {rate['achieved']}/s achieved of {rate['requested']:g}/s asked,"
            f" {rate['peak_in_one_second']} most in one second"
        )
    yield from _next_steps(number, data)


def _held_text(held: dict[str, Any]) -> Iterator[str]:
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
