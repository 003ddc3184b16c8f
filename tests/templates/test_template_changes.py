"""What is said of a template that is not what it was when a broadcast was planned with it."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from wacoex_cli.findings.model import Evidence, Severity
from wacoex_cli.templates.changes import (
    check_category,
    check_coming,
    check_still_as_planned,
    text_changes,
)
from wacoex_cli.templates.model import Template

SEEN = "2026-11-07T12:00:00.000Z"
STOP = {"type": "QUICK_REPLY", "text": "Stop promotions"}
BODY = {"type": "BODY", "text": "Hello {{1}}, your plan ends on Friday."}
PLANNED = Template(
    name="order_ready",
    language="en_US",
    status="APPROVED",
    category="UTILITY",
    parameter_format="POSITIONAL",
    components=(BODY, {"type": "BUTTONS", "buttons": [STOP]}),
    template_id="1",
)
READ = Evidence("as it is read now", "meta", SEEN)


def changed(*components: dict[str, Any], **more: Any) -> Template:
    return dataclasses.replace(PLANNED, components=components, **more)


def test_an_approved_template_with_the_same_text_raises_nothing() -> None:
    assert check_still_as_planned(PLANNED, PLANNED, "shop", SEEN) == []
    assert check_category("UTILITY", "UTILITY", "shop", READ) == []


def test_another_example_for_the_review_makes_no_difference() -> None:
    body = {**BODY, "example": {"body_text": [["Ana"]]}}

    assert text_changes(PLANNED, changed(body, PLANNED.components[1])) == ()


def test_a_template_that_is_not_approved_is_critical() -> None:
    current = dataclasses.replace(PLANNED, status="PAUSED")

    [finding] = check_still_as_planned(PLANNED, current, "shop", SEEN)

    assert (finding.id, finding.severity) == ("WX504", Severity.CRITICAL)
    text = "template `order_ready` (en_US) is PAUSED: APPROVED -> PAUSED"
    assert finding.evidence[0].text == text


@pytest.mark.parametrize(
    ("components", "said"),
    [
        (
            [{**BODY, "text": "Hello {{1}}, your plan ends on Monday."}, PLANNED.components[1]],
            'body: "... {{1}}, your plan ends on Friday."'
            ' -> "... {{1}}, your plan ends on Monday."',
        ),
        (
            [BODY, {"type": "BUTTONS", "buttons": [{**STOP, "text": "More offers"}]}],
            'button 1: "QUICK_REPLY Stop promotions" -> "QUICK_REPLY More offers"',
        ),
        ([BODY], 'button 1: "QUICK_REPLY Stop promotions" -> nothing'),
        (
            [*PLANNED.components, {"type": "FOOTER", "text": "Corner Bakery"}],
            'footer: nothing -> "Corner Bakery"',
        ),
        (
            [*PLANNED.components, {"type": "HEADER", "format": "IMAGE"}],
            'header: nothing -> "(IMAGE)"',
        ),
        ([*PLANNED.components, {"type": "CAROUSEL"}], "other parts: nothing -> CAROUSEL"),
    ],
)
def test_another_text_is_shown_as_old_and_new(components: list[dict[str, Any]], said: str) -> None:
    [finding] = check_still_as_planned(PLANNED, changed(*components), "shop", SEEN)

    assert (finding.id, finding.severity) == ("WX509", Severity.CRITICAL)
    assert [fact.text for fact in finding.evidence] == [f"order_ready, {said}"]


@pytest.mark.parametrize(
    ("before", "now", "severity"),
    [
        ("UTILITY", "MARKETING", Severity.WARNING),
        ("MARKETING", "UTILITY", Severity.INFO),
        ("UTILITY", "AUTHENTICATION", Severity.CRITICAL),
        ("UTILITY", "SOMETHING_NEW", Severity.WARNING),
    ],
)
def test_another_category_is_shown_as_old_and_new(
    before: str, now: str, severity: Severity
) -> None:
    [finding] = check_category(before, now, "shop", READ)

    assert (finding.id, finding.severity) == ("WX509", severity)
    assert finding.evidence[0].text == f"category {before} -> {now}: as it is read now"
    assert now in finding.title
    assert before in finding.title


def test_a_coming_change_of_category_is_shown_before_it_happens() -> None:
    [finding] = check_coming("UTILITY", "MARKETING", "shop", READ)

    assert (finding.severity, finding.title) == (
        Severity.WARNING,
        "Meta is about to make the template MARKETING",
    )


def cards(*texts: str, handle: str = "a") -> dict[str, Any]:
    header = {"type": "HEADER", "format": "IMAGE", "example": {"header_handle": [handle]}}
    parts = [[header, {"type": "BODY", "text": text}] for text in texts]
    return {"type": "CAROUSEL", "cards": [{"components": each} for each in parts]}


def test_a_carousel_is_compared_card_by_card_without_its_examples() -> None:
    planned = changed(BODY, cards("Cake", "Bread"))

    assert text_changes(planned, changed(BODY, cards("Cake", "Bread", handle="b"))) == ()
    assert [str(each) for each in text_changes(planned, changed(BODY, cards("Cake", "Tea")))] == [
        'card 1: body: "Bread" -> "Tea"'
    ]
    assert [each.part for each in text_changes(planned, changed(BODY, cards("Cake")))] == [
        "card 1: header",
        "card 1: body",
    ]
