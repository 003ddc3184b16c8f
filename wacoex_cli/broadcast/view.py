"""A broadcast as people and scripts see it: the keys of the JSON output, and plain sentences."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from wacoex_cli.audience.text import WINDOWS
from wacoex_cli.broadcast import claims_ledger, ledger
from wacoex_cli.broadcast.model import RowState, Status
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
    seconds = claims_ledger.active_seconds(state, broadcast.broadcast_id)
    achieved = counts.taken / seconds if seconds and counts.taken else 0.0
    return {
        "broadcast_id": broadcast.broadcast_id,
        "name": broadcast.name,
        "channel": broadcast.channel,
        "status": broadcast.status.value,
        "reason": broadcast.reason,
        "reason_code": broadcast.reason_code,
        "template": template_name(broadcast),
        "recipients": broadcast.recipients,
        "counts": counts.to_json(),
        "codes": ledger.codes(state, broadcast.broadcast_id),
        "skipped": ledger.skip_reasons(state, broadcast.broadcast_id),
        "taken": counts.taken,
        "rate": {
            "requested": broadcast.rate,
            "achieved": round(achieved, 2),
            "peak_in_one_second": broadcast.peak_in_one_second,
        },
        "planned_at": broadcast.planned_at,
        "started_at": broadcast.started_at,
        "finished_at": broadcast.finished_at,
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
    rate = data["rate"]
    if data["started_at"]:
        yield (
            f"  rate: {rate['achieved']}/s achieved of {rate['requested']:g}/s asked,"
            f" {rate['peak_in_one_second']} most in one second"
        )
    yield from _next_steps(number, data)


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
    estimate = data["estimate"]
    yield (
        f"at {estimate['rate']:g}/s it takes {duration(estimate['seconds'])};"
        f" at most {estimate['new_macs']} new MACs at respond.io"
    )
    yield from findings_text(findings)
    if number is not None:
        yield f"to send it: wacoex broadcast send {number}"


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
