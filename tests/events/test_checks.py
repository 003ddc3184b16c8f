"""What does and does not come in becomes findings."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from wacoex_cli.events.checks import (
    FIELDS,
    SILENCE_WINDOW,
    EchoFlow,
    Subscribed,
    Summary,
    Unsupported,
    check_missing,
    check_silence,
    check_subscription,
    likeliest_cause,
    rank_causes,
)
from wacoex_cli.findings.model import Finding, Severity
from wacoex_cli.foundation.clock import to_text
from wacoex_cli.platforms.events import Source

NOW = datetime(2026, 11, 7, 12, 0, tzinfo=UTC)
ALL = frozenset(entry.name for entry in FIELDS)


def arrivals(*hours_ago: float) -> list[tuple[str, int, str]]:
    """An arrival this many hours ago each, oldest first."""
    moments = sorted(NOW - timedelta(hours=entry) for entry in hours_ago)
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
        (arrivals(-5, 100, 200), "the newest is in the future"),
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


def test_wx108_is_still_found_after_months() -> None:
    assert "nothing has arrived" in check_silence(hourly(3000, 2800), NOW, Source.META)[0].title


def seen(**changes: object) -> Subscribed:
    whole = Subscribed(app_id="1", is_attached=True, fields=ALL)
    return whole._replace(**changes)  # type: ignore[arg-type]


def severities(found: Subscribed) -> list[Severity]:
    findings = check_subscription(found, "shop", to_text(NOW))
    assert {finding.id for finding in findings} <= {"WX210"}
    return [finding.severity for finding in findings]


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


MONTH_END = datetime(2026, 11, 30, 12, 0, tzinfo=UTC)
CAUSES = ("WX401", "WX402", "WX403", "WX404", "WX405")


def unsupported(**known: Any) -> Unsupported:
    return Unsupported(to_text(MONTH_END - timedelta(hours=1)), **{"source": Source.META, **known})


def ranked(*messages: Unsupported, is_reported: bool = False) -> list[Finding]:
    return rank_causes(
        Summary(messages, in_all=len(messages)), "shop", MONTH_END, is_reported=is_reported
    )


@pytest.mark.parametrize(
    ("known", "cause"),
    [
        ({"code": 131060}, "WX401"),
        ({"source": Source.RESPONDIO}, "WX401"),
        ({"code": 131060, "is_first": False, "quiet_days": 9.9}, "WX401"),
        ({"code": 131060, "quiet_days": 10.0}, "WX402"),
        ({"source": Source.RESPONDIO, "is_after_connecting": True}, "WX402"),
        ({"code": 131060, "quiet_days": 30.0, "is_first": True}, "WX402"),
        ({"code": 131051, "type": "poll_creation"}, "WX403"),
        ({"code": 131051, "type": "poll_creation", "is_referred": True}, "WX403"),
        ({"code": 131051, "quiet_days": 30.0, "is_first": True}, "WX403"),
        ({"code": 131060, "is_referred": True, "quiet_days": 30.0}, "WX404"),
        ({"code": 131060, "type": "media_placeholder", "is_first": True}, "WX404"),
        ({"code": 131051, "type": "errors", "is_referred": True}, "WX404"),
        ({"code": 131051, "type": "edit"}, "WX405"),
        ({"source": Source.RESPONDIO, "is_edit": True, "is_first": True}, "WX405"),
        ({"code": 131051, "type": "poll_creation", "is_edit": True}, "WX403"),
        ({"code": 131060, "type": "list", "is_edit": True}, "WX403"),
        ({"code": 131051, "type": "errors", "is_edit": True}, "WX405"),
    ],
)
def test_each_message_gets_its_most_likely_cause(known: dict[str, Any], cause: str) -> None:
    assert likeliest_cause(unsupported(**known)) == cause


@pytest.mark.parametrize(
    ("finding_id", "known", "reason"),
    [
        ("WX401", {"code": 131060}, "code 131060; nothing points to another cause"),
        ("WX402", {"quiet_days": 12.4}, "no sign of the app for 12 days before"),
        ("WX403", {"code": 131051, "type": "button"}, "code 131051; button (1)"),
        ("WX402", {"is_after_connecting": True}, "connected less than 24 hours before"),
        ("WX404", {"code": 131060, "is_referred": True}, "1 through an ad or a link"),
        ("WX404", {"is_first": True}, "no code; 1 of contacts that were never seen before"),
        ("WX405", {"type": "edit"}, "an edit by the same contact"),
    ],
)
def test_each_cause_says_how_it_is_known_and_what_to_do(
    finding_id: str, known: dict[str, Any], reason: str
) -> None:
    [found] = ranked(unsupported(**known))

    assert (found.id, found.channel) == (finding_id, "shop")
    text = found.evidence[0].text
    assert text.startswith("1 of 1 unsupported message in 7 days: ")
    assert reason in text
    assert "in the WhatsApp Business app on the phone" in " ".join(found.remedy)
    assert found.verify == "wacoex events list --kind unsupported -c shop"


def test_without_unsupported_messages_there_is_no_finding() -> None:
    assert ranked() == []
    assert rank_causes(Summary(resolved=3), "shop", MONTH_END) == []


def test_the_cause_of_most_messages_comes_first() -> None:
    poll = unsupported(code=131051, type="poll_creation")

    found = ranked(unsupported(code=131060), poll, poll)

    assert [entry.id for entry in found] == ["WX403", "WX401"]
    assert "2 of 3 unsupported messages" in found[0].evidence[0].text


def test_only_a_lead_that_waits_is_more_than_information() -> None:
    assert ranked(unsupported(code=131060, is_first=True))[0].severity is Severity.INFO
    assert ranked(unsupported(code=131060, is_referred=True))[0].severity is Severity.WARNING


def test_a_reported_symptom_names_all_five_causes_the_likely_first() -> None:
    found = ranked(unsupported(code=131051, type="gif"), is_reported=True)

    assert [entry.id for entry in found] == ["WX403", "WX401", "WX402", "WX404", "WX405"]
    assert found[1].title.startswith("possible: ")
    assert (
        found[1].evidence[0].text == "none of 1 unsupported message in 7 days points to this cause"
    )
    assert {entry.severity for entry in found} == {Severity.INFO}
    assert tuple(entry.id for entry in ranked(is_reported=True)) == CAUSES


def day(days_ago: int) -> str:
    return to_text(MONTH_END - timedelta(days=days_ago))[:10]


def flow(echoes: list[int], *, inbound: dict[int, int] | None = None) -> EchoFlow:
    """Echoes this many days ago each; messages of contacts by days ago."""
    return EchoFlow(
        tuple(sorted(day(echoe) for echoe in echoes)),
        to_text(MONTH_END - timedelta(days=min(echoes))) if echoes else None,
        tuple(sorted((day(entry), count) for entry, count in (inbound or {4: 6, 2: 6}).items())),
    )


DAILY = list(range(6, 15))


def test_wx406_echoes_stopped_while_contacts_still_write() -> None:
    [found] = check_missing(flow(DAILY), "shop", MONTH_END)

    assert (found.id, found.severity) == ("WX406", Severity.INFO)
    assert found.evidence[0].text == (
        "the newest echo is 6 days old; before, the longest time between two was 1 days,"
        " and 12 messages from contacts arrived since"
    )
    assert "wacoex connect shop" in found.remedy[-1]


@pytest.mark.parametrize(
    ("seen", "why"),
    [
        (flow([]), "there never was an echo"),
        (flow([6, 7, 8, 9]), "four days make no habit"),
        (flow([2, *DAILY]), "two days of silence are a weekend"),
        (flow([6, 9, 12, 15, 18]), "six days are not more than twice three"),
        (flow(DAILY, inbound={4: 9, 8: 50}), "nobody writes any more"),
    ],
)
def test_no_wx406_while_there_may_be_no_problem(seen: EchoFlow, why: str) -> None:
    assert check_missing(seen, "shop", MONTH_END) == []


def test_missing_messages_lead_to_the_three_steps() -> None:
    windows = ("2 desktop-windows `till`",)

    [found] = check_missing(flow([]), "shop", MONTH_END, is_reported=True, unsupported=windows)

    assert found.severity is Severity.WARNING
    assert found.evidence[0].text.startswith("wacoex received no echo within 28 days")
    assert found.evidence[1].text.startswith("2 desktop-windows `till` is on the list")
    assert "is it in the app on the phone, and not in the inbox" in found.remedy[0]
    assert "wacoex device probe" in found.remedy[1]
    assert "wacoex partner check -c shop" in found.remedy[2]


def test_the_remedy_is_to_wait_while_whatsapp_may_reconnect() -> None:
    [found] = check_missing(flow([]), "shop", MONTH_END, is_reported=True, must_wait=True)

    assert "wacoex connect" not in " ".join(found.remedy)
    assert "wacoex explain WX204" in found.remedy[-1]
