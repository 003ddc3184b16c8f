"""WX209: what Meta holds against an account."""

from __future__ import annotations

import itertools
import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from wacoex_cli.channels.model import AccountEvent
from wacoex_cli.events.model import Event, Kind, Source
from wacoex_cli.findings.model import Finding, Severity
from wacoex_cli.foundation.clock import to_text
from wacoex_cli.partners.checks import check_account

NOW = datetime(2026, 11, 7, 12, 0, tzinfo=UTC)
BROADCASTS = "RESTRICTED_BIZ_INITIATED_MESSAGING"


def told(event: str, *, days_ago: float = 1, **data: Any) -> AccountEvent:
    at = to_text(NOW - timedelta(days=days_ago))
    return AccountEvent(f"{event} {at} {data}", event, at, waba_id="104", data=json.dumps(data))


def restriction(name: str, days: float | None, **more: Any) -> AccountEvent:
    ends = {} if days is None else {"expiration": int((NOW + timedelta(days=days)).timestamp())}
    info = {"restriction_type": name, **ends}
    return told("ACCOUNT_RESTRICTION", restriction_info=[info], **more)


def ban(state: str, **more: Any) -> AccountEvent:
    info = {"waba_ban_state": state, "waba_ban_date": "April 17, 2027"}
    return told("DISABLED_UPDATE", ban_info=info, **more)


def template(event: str, *, days_ago: float = 1, reason: str | None = None) -> Event:
    data = {
        "event": event,
        "template_id": "40",
        "template_name": "promo",
        "template_language": "en",
        "reason": reason,
    }
    at = to_text(NOW - timedelta(days=days_ago))
    return Event(f"{event} {at}", Kind.TEMPLATE_STATUS, Source.META, at, waba_id="104", data=data)


def check(
    *events: AccountEvent, templates: tuple[Event, ...] = (), values: dict[str, Any] | None = None
) -> list[Finding]:
    return check_account(events, templates, values or {}, "shop", NOW, to_text(NOW))


def severity(*events: AccountEvent, **more: Any) -> Severity | None:
    found = check(*events, **more)
    assert all(one.id == "WX209" for one in found)
    return found[0].severity if found else None


def test_a_restriction_tells_what_it_stops_and_until_when() -> None:
    [found] = check(restriction(BROADCASTS, 3), values={"status": "CONNECTED"})

    assert found.severity is Severity.CRITICAL
    assert "no broadcasts" in found.title
    assert "until 2026-11-10T12:00:00.000Z" in found.title
    assert found.remedy[0].startswith("send no broadcasts")
    assert found.evidence[-1].text == "status of the number is CONNECTED"


@pytest.mark.parametrize(
    ("name", "days", "expected"),
    [
        (BROADCASTS, -0.1, None),
        (BROADCASTS, None, Severity.CRITICAL),
        ("RESTRICTED_CUSTOMER_INITIATED_MESSAGING", 1, Severity.CRITICAL),
        ("RESTRICTED_UTILITY_TEMPLATES", 1, Severity.WARNING),
        ("RESTRICTED_ADD_PHONE_NUMBER_ACTION", 1, Severity.INFO),
        ("RESTRICTED_BUSINESS_INITIATED_CALLING", 1, Severity.INFO),
        ("RESTRICTED_SOMETHING_NEW", 1, Severity.UNKNOWN),
    ],
)
def test_each_restriction_is_as_bad_as_what_it_stops(
    name: str, days: float | None, expected: Severity | None
) -> None:
    assert severity(restriction(name, days)) is expected


def test_the_newest_word_on_a_restriction_counts() -> None:
    lifted = restriction(BROADCASTS, -0.5, days_ago=0.4)

    assert severity(restriction(BROADCASTS, 5), lifted) is None
    assert severity(restriction(BROADCASTS, None, days_ago=31)) is None


@pytest.mark.parametrize(
    ("state", "expected"),
    [
        ("DISABLE", Severity.CRITICAL),
        ("SCHEDULE_FOR_DISABLE", Severity.CRITICAL),
        ("REINSTATE", None),
        ("PONDER", Severity.UNKNOWN),
    ],
)
def test_a_disabled_account_is_critical_until_it_is_reinstated(
    state: str, expected: Severity | None
) -> None:
    assert severity(ban("DISABLE", days_ago=200), ban(state, days_ago=2)) is expected


def test_an_account_that_was_connected_later_is_not_disabled_any_more() -> None:
    gone = [ban("DISABLE", days_ago=9), told("ACCOUNT_DELETED", days_ago=8)]

    assert severity(*gone) is Severity.CRITICAL
    assert severity(*gone, told("PARTNER_ADDED", days_ago=7)) is None


def test_a_violation_is_a_warning_for_30_days() -> None:
    [found] = check(told("ACCOUNT_VIOLATION", violation_type="SPAM"))

    assert (found.severity, found.title.endswith("SPAM")) == (Severity.WARNING, True)
    assert severity(told("ACCOUNT_VIOLATION", days_ago=31, violation_type="SPAM")) is None


@pytest.mark.parametrize(
    ("event", "reason", "expected"),
    [
        ("DISABLED", None, Severity.WARNING),
        ("FLAGGED", None, Severity.WARNING),
        ("PAUSED", None, Severity.INFO),
        ("REJECTED", "SCAM", Severity.WARNING),
        ("REJECTED", "INVALID_FORMAT", None),
        ("APPROVED", None, None),
        ("SOMETHING_NEW", None, None),
    ],
)
def test_a_template_that_meta_withdraws_is_told(
    event: str, reason: str | None, expected: Severity | None
) -> None:
    assert severity(templates=(template(event, reason=reason),)) is expected


def test_a_template_that_is_back_is_not() -> None:
    back = template("REINSTATED", days_ago=0.5)

    assert severity(templates=(back, template("DISABLED"))) is None


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({"waba.status": "DISABLED"}, Severity.CRITICAL),
        ({"waba.account_review_status": "REJECTED"}, Severity.WARNING),
        ({"waba.status": "ACTIVE", "waba.account_review_status": "APPROVED"}, None),
        ({"waba.status": "DREAMING"}, None),
        ({"waba.status": {}, "waba.account_review_status": []}, None),
    ],
)
def test_what_the_account_says_of_itself_counts_too(
    values: dict[str, Any], expected: Severity | None
) -> None:
    assert severity(values=values) is expected


@pytest.mark.parametrize(
    "data",
    [
        {"restriction_info": None},
        {"restriction_info": "all"},
        {"restriction_info": [None, 7]},
        {"restriction_info": [{"restriction_type": 3, "expiration": "soon"}]},
        {"ban_info": []},
        {"ban_info": {"waba_ban_state": ["DISABLE"]}},
    ],
)
@pytest.mark.parametrize("event", ["ACCOUNT_RESTRICTION", "DISABLED_UPDATE"])
def test_what_cannot_be_read_is_unknown_and_no_crash(event: str, data: dict[str, Any]) -> None:
    assert severity(told(event, **data)) is Severity.UNKNOWN


def test_the_order_of_the_events_does_not_matter() -> None:
    events = [ban("DISABLE", days_ago=3), ban("REINSTATE", days_ago=2), restriction(BROADCASTS, 1)]

    found = {str(check(*order)) for order in itertools.permutations(events)}

    assert len(found) == 1
