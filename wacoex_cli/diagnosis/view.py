"""The status of channels and the diagnosis as people and scripts see them."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from typing import TYPE_CHECKING, Any

from wacoex_cli.channels.facts import cannot_check
from wacoex_cli.channels.model import NOT_AVAILABLE, Fact, values_of
from wacoex_cli.errors import WacoexError
from wacoex_cli.findings.catalogue import find
from wacoex_cli.findings.model import by_severity, finding_text, worst
from wacoex_cli.foundation.clock import from_text, to_text
from wacoex_cli.foundation.masking import masked, masked_text
from wacoex_cli.terminal.render import ForPerson, ForPipe, Table, relative

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from datetime import datetime

    from wacoex_cli.diagnosis.doctor import Diagnosis
    from wacoex_cli.diagnosis.status import ChannelStatus, StatusReport
    from wacoex_cli.findings.model import Finding, Severity
    from wacoex_cli.inactivity.model import Standing


_COLUMNS = ("verdict", "channel", "phone", "connection", "deadline", "quality", "findings")
_LONGEST_NAME = 34
_LONGEST_VALUE = 20
_LIMIT = "whatsapp_business_manager_messaging_limit"
_NO_EVIDENCE = "nobody confirmed it and no event proves it"
FEW = 3
"""Up to so many channels a person reads all findings in full; above, one line for each kind."""
_ROWS = 24
_WIDTH = 100
# Everything but channel, phone and connection at its widest, with the gaps between columns.
_REST = 55
_LONGEST_FINDINGS = 14
_LONGEST_TITLE = 60
_EVERYWHERE = "all channels, and this machine"


def status_data(status: StatusReport, now: datetime) -> dict[str, Any]:
    """The `data` of `status`."""
    return {
        "channels": [_channel_data(one, now) for one in status.channels],
        "findings": [one.to_json() for one in status.findings],
        "verdict": status.verdict.value,
    }


def failures(status: StatusReport) -> list[WacoexError]:
    """Why channels could not be checked, each reason once with the channels it is about."""
    failed = ((one.channel.name, error) for one in status.channels for error in one.failures)
    return cannot_check(failed, _some)


def status_text(status: StatusReport, now: datetime) -> Iterator[ForPerson | ForPipe]:
    """A line for each channel; for a person also the facts of a single one, and what was found.

    The facts come first: they are long, and what matters is to stand above the next prompt.
    """
    if len(status.channels) == 1:
        yield from _facts_text(status.channels[0], now)
    rows = [_row(one) for one in status.channels]
    yield ForPipe(Table(_COLUMNS, rows))
    yield from board(status.channels, _COLUMNS, rows)
    told = status.findings
    if len(status.channels) <= FEW:
        told = (*(finding for one in status.channels for finding in one.findings), *told)
    for finding in told:
        yield ForPerson(f"\n{finding_text(finding, now)}")


def _channel_data(one: ChannelStatus, now: datetime) -> dict[str, Any]:
    values = values_of(one.facts)
    return {
        "channel": one.channel.name,
        "phone": one.channel.phone,
        "verdict": one.verdict.value,
        **one.view.connection.to_json(),
        "is_on_biz_app": values.get("is_on_biz_app"),
        "platform_type": values.get("platform_type"),
        "quality_rating": values.get("quality_rating"),
        "throughput_level": _inside(values.get("throughput"), "level"),
        "messaging_limit": values.get(_LIMIT),
        "health": {
            "can_send_message": _inside(values.get("health_status"), "can_send_message"),
            "entities": _inside(values.get("health_status"), "entities") or [],
        },
        "inactivity": one.view.standing.to_json(),
        "partner": {"expected": one.view.partner.expected.label, "seen": one.partner_seen},
        "facts": [
            {**fact.to_json(), "age_seconds": _age_seconds(fact, now)}
            for fact in [*one.facts, _last_opened(one.view.standing)]
        ],
        "findings": [finding.to_json() for finding in one.findings],
        "failures": [
            {"code": error.code, "message": error.message, "hint": error.hint}
            for error in one.failures
        ],
    }


def _last_opened(standing: Standing) -> Fact:
    """As a fact among the others; it is as old as the evidence that it rests on."""
    counted = standing.counted
    if counted is None:
        return Fact("last_opened_at", None, "wacoex", "", _NO_EVIDENCE)
    at = to_text(counted.at)
    return Fact("last_opened_at", at, counted.source, at)


def _inside(value: object, key: str) -> Any:
    return value.get(key) if isinstance(value, dict) else None


def _age_seconds(fact: Fact, now: datetime) -> int | None:
    if not fact.observed_at:
        return None
    return max(0, int((now - from_text(fact.observed_at)).total_seconds()))


def _row(one: ChannelStatus) -> tuple[object, ...]:
    values = values_of(one.facts) if not one.failures else {}
    return (
        one.verdict.value,
        one.channel.name,
        one.channel.phone,
        one.view.connection.state.value if one.view.connection.state else None,
        one.view.standing.deadline_at,
        values.get("quality_rating"),
        " ".join(said(one)) or None,
    )


def _facts_text(one: ChannelStatus, now: datetime) -> Iterator[ForPerson]:
    shown = [fact for fact in one.facts if fact.value is not None or not fact.is_available]
    if not shown:
        return
    rows = [
        (
            cut(fact.name.replace(_LIMIT, "messaging_limit"), _LONGEST_NAME),
            _value_text(fact),
            fact.source,
            _age(fact, now),
        )
        for fact in [*shown, _last_opened(one.view.standing)]
    ]
    yield ForPerson(Table(("fact", "value", "source", "seen"), rows))
    yield ForPerson("")


def _value_text(fact: Fact) -> str:
    if not fact.is_available:
        return NOT_AVAILABLE
    value = fact.value
    for key in ("can_send_message", "level", "score", "oba_status", "name"):
        if isinstance(value, dict) and key in value:
            value = value[key]
    if isinstance(value, list) and all(isinstance(one, str) for one in value):
        return cut(", ".join(value), _LONGEST_VALUE)
    text = value if isinstance(value, str) else json.dumps(value)
    return cut(text, _LONGEST_VALUE)


def _age(fact: Fact, now: datetime) -> str:
    return relative(from_text(fact.observed_at), now) if fact.observed_at else "never"


def _some(names: list[str]) -> str:
    shown = ", ".join(f"`{name}`" for name in names[:3])
    return shown if len(names) <= 3 else f"{shown} and {len(names) - 3} more"


def board(
    channels: Sequence[ChannelStatus], columns: tuple[str, ...], rows: Sequence[tuple[object, ...]]
) -> Iterator[ForPerson]:
    """The rows of the channels, which stand worst first, as a terminal of 100 columns shows them.

    Where there are many, those that are well make room.
    """
    shown = _shown(channels)
    if shown:
        yield ForPerson(Table(columns, _shortened(rows[:shown])))
    if shown < len(channels):
        rest = Counter(one.verdict.value for one in channels[shown:])
        told = ", ".join(f"{count} {verdict}" for verdict, count in rest.items())
        yield ForPerson(f"and {len(channels) - shown} more: {told}" if shown else f"all: {told}")
    kinds = _kinds(channels) if len(channels) > FEW else []
    if kinds:
        yield ForPerson("")
        yield ForPerson(Table(("severity", "finding", "channels", "says"), kinds))
        told = "one channel with its facts: `wacoex status NAME`; what to do: `wacoex explain ID`"
        yield ForPerson(f"\n{told}")


def said(one: ChannelStatus) -> list[str]:
    """The ids of what was found about a channel, and the codes of what could not be asked."""
    told = [*(finding.id for finding in one.findings), *(error.code for error in one.failures)]
    return list(dict.fromkeys(told))


def cut(text: str, length: int) -> str:
    """The text, or its beginning with an ellipsis."""
    return text if len(text) <= length else f"{text[: length - 3]}..."


def _shown(channels: Sequence[ChannelStatus]) -> int:
    """How many rows: all where they fit, else those with something to say, as far as they fit."""
    if len(channels) <= _ROWS:
        return len(channels)
    return min(_ROWS, sum(bool(said(one)) for one in channels))


def _shortened(rows: Sequence[tuple[object, ...]]) -> list[tuple[object, ...]]:
    """Names and findings cut so that a row fits."""
    taken = [max(len(str(row[at])) for row in rows) for at in (2, 3)]
    longest = _WIDTH - _REST - max(taken[0], len("phone")) - max(taken[1], len("connection"))
    return [
        (row[0], cut(str(row[1]), longest), *row[2:-1], _some_ids(str(row[-1] or "")) or None)
        for row in rows
    ]


def _some_ids(ids: str) -> str:
    """As many ids as fit, and how many more there are."""
    words = ids.split()
    if len(ids) <= _LONGEST_FINDINGS or len(words) < 2:
        return cut(ids, _LONGEST_FINDINGS)
    shown = 1
    while len(" ".join(words[: shown + 1])) + len(" +10") <= _LONGEST_FINDINGS:
        shown += 1
    return f"{cut(' '.join(words[:shown]), _LONGEST_FINDINGS - 4)} +{len(words) - shown}"


def _kinds(channels: Sequence[ChannelStatus]) -> list[tuple[object, ...]]:
    """A row for each finding and severity: how many channels have it, and what it says."""
    found: dict[tuple[Severity, str], list[Finding]] = defaultdict(list)
    for one in channels:
        for finding in one.findings:
            found[finding.severity, finding.id].append(finding)
    return [
        (severity.value, name, len({one.channel for one in same}), _title(same))
        for (severity, name), same in sorted(
            found.items(), key=lambda item: (by_severity(item[0][0]), item[0][1])
        )
    ]


def _title(findings: Sequence[Finding]) -> str:
    """What all of them say; where they differ, what stands in the catalogue."""
    titles = {one.title for one in findings}
    if len(titles) == 1:
        return cut(titles.pop(), _LONGEST_TITLE)
    article = find(findings[0].id)
    return article.title if article else ""


def doctor_data(found: Diagnosis) -> dict[str, object]:
    """The `data` of `doctor`, numbers masked: it is often shown to others."""
    views = found.snapshot.channels if found.snapshot else ()
    data: dict[str, object] = {
        "findings": [masked(one.to_json()) for one in found.findings],
        "channels": [
            {
                "channel": one.name,
                "phone": masked_text(one.channel.phone),
                "verdict": worst(
                    each.severity for each in found.findings if each.channel == one.name
                ).value,
                **one.connection.to_json(),
            }
            for one in views
        ],
        "sources": [one._asdict() for one in found.sources],
        "verdict": found.verdict.value,
    }
    if found.symptomatic:
        data["symptom"] = {
            "name": found.symptomatic.symptom.value,
            "answers": masked(dict(found.symptomatic.answers.given)),
            "causes": [one.id for one in found.symptomatic.causes],
        }
    return data


def doctor_text(found: Diagnosis, now: datetime) -> Iterator[str]:
    """What was found, grouped by channel, the worst channel first; then who did not answer."""
    if found.symptomatic:
        yield f"{found.symptomatic.symptom.value}: likely causes, the likeliest first"
        yield from _block(found.symptomatic.causes, now)
    causes = found.symptomatic.causes if found.symptomatic else ()
    rest = [one for one in found.findings if one not in causes]
    for name, findings in _by_channel(rest):
        yield f"{name or _EVERYWHERE}: {worst(one.severity for one in findings).value}"
        yield from _block(findings, now)
    for source in found.sources:
        if source.ok is not True:
            word = "not asked" if source.ok is None else "no answer"
            yield f"{source.name}: {word} ({source.reason})"
    yield _verdict(found)


def _block(findings: Sequence[Finding], now: datetime) -> Iterator[str]:
    for one in findings:
        # The heading above has the name of the channel already.
        yield f"\n{masked_text(finding_text(one, now, shows_channel=False))}"
    yield ""


def _by_channel(findings: Sequence[Finding]) -> list[tuple[str | None, list[Finding]]]:
    groups: dict[str | None, list[Finding]] = {}
    for one in findings:
        groups.setdefault(one.channel, []).append(one)
    return sorted(
        groups.items(),
        key=lambda group: (by_severity(worst(one.severity for one in group[1])), group[0] or ""),
    )


def _verdict(found: Diagnosis) -> str:
    views = found.snapshot.channels if found.snapshot else ()
    channels = f"{len(views)} channel{'' if len(views) == 1 else 's'}"
    count = len(found.findings)
    told = "nothing is wrong" if not count else f"{count} finding{'' if count == 1 else 's'}"
    return f"verdict: {found.verdict.value} ({channels}, {told})"
