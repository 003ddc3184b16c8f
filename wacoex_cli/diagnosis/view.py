"""The status of channels as people and scripts see it."""

from __future__ import annotations

import json
from collections import defaultdict
from typing import TYPE_CHECKING, Any

from wacoex_cli.channels.model import NOT_AVAILABLE, Fact, values_of
from wacoex_cli.diagnosis.board import FEW, board, cut, said
from wacoex_cli.errors import WacoexError
from wacoex_cli.findings.text import finding_text
from wacoex_cli.foundation.clock import from_text, to_text
from wacoex_cli.inactivity.view import countdown_data
from wacoex_cli.terminal.render import ForPerson, ForPipe, Table, relative

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from wacoex_cli.diagnosis.status import ChannelStatus, Status
    from wacoex_cli.inactivity.model import Standing

_COLUMNS = ("verdict", "channel", "phone", "connection", "deadline", "quality", "findings")
_LONGEST_NAME = 34
_LONGEST_VALUE = 20
_LIMIT = "whatsapp_business_manager_messaging_limit"
_NO_EVIDENCE = "nobody confirmed it and no event proves it"


def status_data(status: Status, now: datetime) -> dict[str, Any]:
    """The `data` of `status`."""
    return {
        "channels": [_channel_data(one, now) for one in status.channels],
        "findings": [one.to_json() for one in status.findings],
        "verdict": status.verdict.value,
    }


def failures(status: Status) -> list[WacoexError]:
    """Why channels could not be checked, each reason once with the channels it is about."""
    names: dict[tuple[str, str, str | None], list[str]] = defaultdict(list)
    for one in status.channels:
        for error in one.failures:
            key = (error.code, error.message, error.hint)
            if one.channel.name not in names[key]:
                names[key].append(one.channel.name)
    return [
        WacoexError(
            f"cannot check {_some(channels)}: {message}",
            hint=hint,
            code=code,
            details={"channels": channels},
        )
        for (code, message, hint), channels in names.items()
    ]


def status_text(status: Status, now: datetime) -> Iterator[ForPerson | ForPipe]:
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
        "inactivity": countdown_data(one.view.standing),
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
        (cut(_short(fact.name), _LONGEST_NAME), _value_text(fact), fact.source, _age(fact, now))
        for fact in [*shown, _last_opened(one.view.standing)]
    ]
    yield ForPerson(Table(("fact", "value", "source", "seen"), rows))
    yield ForPerson("")


def _short(name: str) -> str:
    return name.replace(_LIMIT, "messaging_limit")


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
