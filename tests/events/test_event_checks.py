"""What does not come in: WX108 after an unusual silence, WX210 for what is switched off."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from wacoex_cli.events.checks import (
    FIELDS,
    SILENCE_WINDOW,
    Subscribed,
    check_silence,
    check_subscription,
)
from wacoex_cli.findings.model import Severity
from wacoex_cli.foundation.clock import to_text
from wacoex_cli.platforms.events import Source

NOW = datetime(2026, 11, 7, 12, 0, tzinfo=UTC)
ALL = frozenset(one.name for one in FIELDS)


def arrivals(*hours_ago: float) -> list[tuple[str, int, str]]:
    """An arrival so many hours ago each, oldest first."""
    moments = sorted(NOW - timedelta(hours=one) for one in hours_ago)
    hours = (moment.replace(minute=0, second=0, microsecond=0) for moment in moments)
    return [
        (to_text(hour), 1, to_text(moment)) for hour, moment in zip(hours, moments, strict=True)
    ]


def hourly(first: int, last: int) -> list[tuple[str, int, str]]:
    return arrivals(*range(last, first + 1))


@pytest.mark.parametrize("source", Source)
def test_wx108_silence_after_a_steady_stream(source: Source) -> None:
    (finding,) = check_silence(hourly(200, 25), NOW, source)

    assert (finding.id, finding.severity, finding.channel) == ("WX108", Severity.WARNING, None)
    assert finding.title.endswith("for 25 hours")
    assert finding.evidence[0].observed_at == to_text(NOW - timedelta(hours=25))
    assert finding.verify == "wacoex events subscribe --check"


@pytest.mark.parametrize(
    ("hours", "why"),
    [
        ([], "nothing ever came"),
        (hourly(200, 24), "24 hours are never unusual"),
        (hourly(200, 0), "it just came"),
        (arrivals(71 + 100, 100), "less than three days of history"),
        (arrivals(300, 250, 50), "200 hours were silent before"),
        (arrivals(-5, 100, 200), "the newest lies in the future"),
    ],
)
def test_no_wx108_when_silence_is_nothing_new(hours: list[tuple[str, int, str]], why: str) -> None:
    assert check_silence(hours, NOW, Source.META) == []


def test_wx108_a_weekend_off_is_usual_until_it_is_longer() -> None:
    weekends = arrivals(*(week * 168 + hour for week in (0, 1, 2) for hour in (60, 70, 107)))

    assert check_silence(weekends, NOW + timedelta(hours=60), Source.META) == []
    assert check_silence(weekends, NOW + timedelta(hours=62), Source.META)


def test_wx108_an_old_outage_is_forgotten_after_28_days() -> None:
    within = SILENCE_WINDOW // timedelta(hours=1)
    outage = arrivals(within + 500, within + 110, *range(110, within + 109, 12))

    assert check_silence(outage, NOW, Source.META)


def test_wx108_still_tells_after_months() -> None:
    assert "nothing has come in" in check_silence(hourly(3000, 2800), NOW, Source.META)[0].title


def seen(**changes: object) -> Subscribed:
    whole = Subscribed(app_id="1", is_attached=True, fields=ALL)
    return whole._replace(**changes)  # type: ignore[arg-type]


def severities(found: Subscribed) -> list[Severity]:
    findings = check_subscription(found, "shop", to_text(NOW))
    assert {one.id for one in findings} <= {"WX210"}
    return [one.severity for one in findings]


def test_no_wx210_when_everything_is_on() -> None:
    assert severities(seen()) == []
    assert severities(seen(fields=ALL | {"flows"})) == []


def test_wx210_a_waba_that_is_not_attached_is_critical() -> None:
    assert severities(seen(is_attached=False)) == [Severity.CRITICAL]


def test_wx210_a_webhook_that_meta_switched_off_is_critical() -> None:
    assert severities(seen(is_active=False)) == [Severity.CRITICAL]


@pytest.mark.parametrize(
    ("field", "severity"),
    [
        ("account_update", Severity.CRITICAL),
        ("messages", Severity.WARNING),
        ("smb_message_echoes", Severity.WARNING),
        ("security", Severity.INFO),
    ],
)
def test_wx210_names_the_missing_field(field: str, severity: Severity) -> None:
    (finding,) = check_subscription(seen(fields=ALL - {field}), "shop", to_text(NOW))

    assert (finding.severity, finding.channel) == (severity, "shop")
    assert field in finding.title
    assert "Webhook fields" in finding.remedy[0]


def test_wx210_without_any_field_all_are_named_worst_first() -> None:
    assert severities(seen(fields=frozenset())) == [
        Severity.CRITICAL,
        Severity.WARNING,
        Severity.INFO,
    ]


def test_wx210_what_cannot_be_read_is_unknown_with_the_reason() -> None:
    (finding,) = check_subscription(
        seen(fields=None, why="there is no meta-app-secret"), "shop", to_text(NOW)
    )

    assert finding.severity is Severity.UNKNOWN
    assert finding.evidence[0].text == "there is no meta-app-secret"
