"""What the answers before signup mean: WX601 to WX604, WX606 and WX607."""

from __future__ import annotations

import pytest

from wacoex_cli.findings import articles
from wacoex_cli.findings.model import Finding, Severity
from wacoex_cli.onboarding import checks
from wacoex_cli.onboarding.checks import FEATURES, app_changes, lately_opened, version_in
from wacoex_cli.onboarding.model import Record, Route, StepState

AT = "2026-11-07T12:00:00.000Z"
GOOD = {"phone": "+6591234567", "app_version": "2.24.17", "in_real_use": True}
ALL = [one.id for one in app_changes(Route.RESPONDIO)]


def found(
    step: str, answer: dict[str, object], state: StepState = StepState.SETTLED
) -> list[Finding]:
    """What follows from one step; the changes count as acknowledged unless they are the step."""
    records = {
        "changes": Record("changes", StepState.SETTLED, AT, "bo", {"acknowledged": ALL}),
        step: Record(step, state, AT, "bo", answer),
    }
    return checks.check_records(records, "shop", AT)


def ids(step: str, **answer: object) -> list[tuple[str, Severity]]:
    return [(one.id, one.severity) for one in found(step, answer)]


def test_a_number_in_real_use_with_a_new_app_raises_nothing() -> None:
    assert found("eligibility", GOOD) == []


@pytest.mark.parametrize("version", ["2.24.16", "2.24.16.99", "2.23.25", "1.99.99"])
def test_an_app_below_2_24_17_is_too_old(version: str) -> None:
    [finding] = found("eligibility", GOOD | {"app_version": version}, StepState.FAILED)

    assert (finding.id, finding.severity) == ("WX603", Severity.CRITICAL)
    assert finding.evidence[0].text == f"its version is {version}"
    assert (finding.evidence[0].source, finding.evidence[0].observed_at) == ("bo", AT)
    assert finding.verify == "wacoex connect shop --check"


@pytest.mark.parametrize("version", ["2.24.17", "v2.24.17.79", "2.25", "2.26.1.5", "3.0"])
def test_2_24_17_and_newer_are_fit(version: str) -> None:
    assert found("eligibility", GOOD | {"app_version": version}) == []


@pytest.mark.parametrize("text", ["", "new", "2", "2.x", "2.24.17 beta", "2..3"])
def test_what_is_no_version_is_not_guessed(text: str) -> None:
    assert version_in(text) is None


def test_a_number_that_is_hardly_used_is_told_about_but_not_stopped() -> None:
    assert ids("eligibility", **GOOD | {"in_real_use": False}) == [("WX601", Severity.INFO)]


@pytest.mark.parametrize("phone", ["+2348031234567", "+27821234567"])
def test_a_country_that_older_lists_exclude_is_a_warning_with_a_date(phone: str) -> None:
    [finding] = found("eligibility", GOOD | {"phone": phone})

    assert (finding.id, finding.severity) == ("WX601", Severity.WARNING)
    assert "15 April 2026" in finding.evidence[0].text


@pytest.mark.parametrize("phone", ["+20100000000", "+254700000000", "+14155550100"])
def test_other_countries_are_no_matter(phone: str) -> None:
    assert lately_opened(phone) is None


def test_the_refusal_of_meta_itself_is_critical() -> None:
    finding = checks.not_eligible("shop", "3441041: not eligible", AT)

    assert (finding.id, finding.severity) == ("WX601", Severity.CRITICAL)
    assert finding.evidence[0].source == "meta"
    assert len(finding.remedy) == 2


def test_a_number_that_is_not_linked_gets_the_clicks() -> None:
    [finding] = found("business-suite", {"linked": False}, StepState.OPEN)

    assert (finding.id, finding.severity) == ("WX604", Severity.WARNING)
    assert "Link a WhatsApp Business account" in finding.remedy[0]
    assert ids("business-suite", linked=True) == []


def test_another_partner_leads_to_the_four_steps() -> None:
    answer = {"other_partner": True, "cleared": False, "seen": ["the app Acme (1)"]}
    [finding] = found("other-partner", answer, StepState.OPEN)

    assert (finding.id, finding.severity) == ("WX602", Severity.WARNING)
    assert len(finding.remedy) == 4
    assert [one.source for one in finding.evidence] == ["bo", "meta"]


def test_a_partner_that_is_taken_off_is_no_finding() -> None:
    assert ids("other-partner", other_partner=True, cleared=True) == []
    assert ids("other-partner", other_partner=False) == []


def test_the_refusal_over_a_payment_method_is_critical() -> None:
    finding = checks.existing_payment_method("shop", "already has a payment method", AT)

    assert (finding.id, finding.severity) == ("WX602", Severity.CRITICAL)
    assert finding.remedy == checks.FOUR_STEPS


def test_features_nobody_has_acknowledged_are_told() -> None:
    [finding] = checks.check_records({}, "shop", AT)

    assert (finding.id, finding.severity) == ("WX606", Severity.INFO)
    assert all(one.title in finding.evidence[0].text for one in FEATURES)


def test_only_what_is_left_of_the_features_is_told() -> None:
    done = [one.id for one in FEATURES[1:]]
    record = Record("changes", StepState.OPEN, AT, "bo", {"acknowledged": done})

    [finding] = checks.check_records({"changes": record}, "shop", AT)

    assert finding.evidence[0].text == "not acknowledged: broadcast lists"


def test_a_badge_is_to_be_looked_after() -> None:
    assert ids("eligibility", **GOOD, meta_verified=True) == [("WX607", Severity.INFO)]
    assert ids("eligibility", **GOOD, meta_verified=False) == []


def test_after_signup_only_the_badge_is_left_to_look_after() -> None:
    answer = GOOD | {"in_real_use": False, "meta_verified": True}
    records = {
        "eligibility": Record("eligibility", StepState.SETTLED, AT, "bo", answer),
        "signup": Record("signup", StepState.SETTLED, AT, "bo", {}),
    }

    assert [one.id for one in checks.check_records(records, "shop", AT)] == ["WX607"]


def test_both_statements_about_editing_are_told() -> None:
    [row] = [one for one in FEATURES if one.id == "edit-revoke"]

    page = articles.find("features")
    assert page
    for text in (row.text, " ".join(page.body.split())):
        assert "Meta" in text
        assert "respond.io" in text
        assert "no longer supported" in text


def test_the_rows_about_history_fit_the_way_of_signing_up() -> None:
    texts = {via: {one.id: one.text for one in app_changes(via)}["history"] for via in Route}

    assert "respond.io imports neither" in texts[Route.RESPONDIO]
    assert "once, within 24 hours" in texts[Route.SIGNUP]


@pytest.mark.parametrize("topic", ["coexistence", "features", "limitations", "history", "fees"])
def test_every_topic_about_connecting_names_its_sources(topic: str) -> None:
    article = articles.find(topic)

    assert article
    assert "Source: " in article.body
    assert "respond.io" in article.body
    assert article.see_also
