"""What the page may report, and what is said about a signup that did not end well."""

from __future__ import annotations

from typing import Any

import pytest

from wacoex_cli.findings.model import Severity
from wacoex_cli.onboarding import checks
from wacoex_cli.onboarding.model import WindowCancelled, WindowClosed, WindowFailed, WindowFinished
from wacoex_cli.onboarding.signup_page import report_in

AT = "2026-11-07T12:00:00.000Z"
STEPS = (
    "BUSINESS_ACCOUNT_SELECTION",
    "WABA_PHONE_PROFILE_PICKER",
    "WHATSAPP_BUSINESS_PROFILE_SETUP",
    "PHONE_NUMBER_SETUP",
    "PHONE_NUMBER_VERIFICATION",
)


@pytest.mark.parametrize(
    ("values", "report"),
    [
        ({"kind": "finished", "code": "AQ1", "waba_id": "104"}, WindowFinished("AQ1", "104")),
        ({"kind": "finished", "code": "AQ1", "waba_id": 104}, WindowFinished("AQ1", "104")),
        ({"kind": "finished", "code": "AQ1", "waba_id": "../me"}, WindowFinished("AQ1")),
        ({"kind": "cancelled", "current_step": "X"}, WindowCancelled("X")),
        ({"kind": "cancelled"}, WindowCancelled()),
        ({"kind": "error", "error_message": "no", "error_code": 1}, WindowFailed("no", "1")),
        ({"kind": "error", "error_message": "a\x1b[2Jb\nc"}, WindowFailed("a [2Jb c")),
        ({"kind": "closed", "waba_id": "104"}, WindowClosed("104")),
    ],
)
def test_a_report_is_read_leniently(values: dict[str, Any], report: object) -> None:
    assert report_in(values) == report


@pytest.mark.parametrize(
    "values",
    [
        {},
        {"kind": "other"},
        {"kind": "finished"},
        {"kind": "finished", "code": ""},
        {"kind": "finished", "code": 7},
        {"kind": "finished", "code": "x" * 5_000},
    ],
)
def test_what_the_page_never_sends_is_no_report(values: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="no "):
        report_in(values)


def test_a_code_is_not_shown_by_its_report() -> None:
    assert "AQsecret" not in repr(WindowFinished("AQsecret"))


@pytest.mark.parametrize("step", STEPS)
def test_each_screen_on_which_somebody_leaves_has_its_own_advice(step: str) -> None:
    found = checks.signup_cancelled(step, "shop", "+6560000001", AT)

    assert found.id == "WX608"
    assert found.severity is Severity.WARNING
    assert step not in found.title
    assert len(found.remedy) == 2
    assert found.remedy[-1] == "run `wacoex connect shop` again"


@pytest.mark.parametrize("step", ["A_NEW_SCREEN", None])
def test_a_screen_that_nobody_knows_is_told_by_its_name(step: str | None) -> None:
    found = checks.signup_cancelled(step, "shop", "+6560000001", AT)

    assert (step or "does not name") in found.evidence[0].text
    assert found.remedy == ("run `wacoex connect shop` again",)


@pytest.mark.parametrize(
    ("text", "code", "finding_id"),
    [
        ("This number is not eligible", None, "WX601"),
        ("Something went wrong", "3441041", "WX601"),
        ("Something went wrong", "2655093", "WX601"),
        ("The account already has an existing payment method.", "1", "WX602"),
        ("Something went wrong", "1", "WX608"),
    ],
)
def test_an_error_of_the_window_leads_to_the_finding_that_explains_it(
    text: str, code: str | None, finding_id: str
) -> None:
    found = checks.signup_reported(WindowFailed(text, code, "session-7"), "shop", AT)

    assert found.id == finding_id
    assert found.severity is Severity.CRITICAL
    said = found.evidence[0].text
    assert text in said
    assert "session-7" in said
    assert code is None or code in said


def test_a_number_that_is_not_there_is_told_with_those_that_are() -> None:
    found = checks.wrong_number("shop", "+6560000001", ["+65 6000 0002 (id 106)"], AT)

    assert found.id == "WX609"
    assert "+65 6000 0002 (id 106)" in found.evidence[0].text
    assert "none" in checks.wrong_number("shop", "+6560000001", [], AT).evidence[0].text
