"""Every finding that a check can produce stands in the catalogue and has a text and a test."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

import wacoex_cli
from wacoex_cli.findings import articles
from wacoex_cli.findings.catalogue import CATALOGUE
from wacoex_cli.findings.model import (
    Evidence,
    Finding,
    Severity,
    check_exit_status,
    worst,
    worst_first,
)

PACKAGE = Path(wacoex_cli.__file__).parent
TESTS = Path(__file__).parents[1]
IDS = [entry.id for entry in CATALOGUE]


def produced() -> set[str]:
    """The ids that stand in the code as `id=` or as the first argument of a call."""
    found: set[str] = set()
    for path in PACKAGE.rglob("*.py"):
        calls = (one for one in ast.walk(ast.parse(path.read_text())) if isinstance(one, ast.Call))
        for call in calls if path.stem != "catalogue" else ():
            named = [keyword.value for keyword in call.keywords if keyword.arg == "id"]
            values = [
                one.value for one in [*call.args[:1], *named] if isinstance(one, ast.Constant)
            ]
            found |= {str(value) for value in values if re.fullmatch(r"WX\d{3}", str(value))}
    return found


def test_the_catalogue_lists_exactly_what_checks_can_produce() -> None:
    assert produced() == set(IDS)
    assert sorted(IDS) == IDS


@pytest.mark.parametrize("entry", CATALOGUE, ids=IDS)
def test_every_finding_has_a_text_that_helps(entry: object) -> None:
    known = next(one for one in CATALOGUE if one is entry)
    article = articles.find(known.id)

    assert article
    assert article.title == known.title
    for part in ("What it means", "Why it happens", "What to do", "How to verify", "Source"):
        assert f"{part}:" in article.body
    assert known.severities


def test_no_text_is_about_a_finding_that_does_not_exist() -> None:
    assert {name for name in articles.names() if name.startswith("WX")} == set(IDS)


@pytest.mark.parametrize("finding_id", IDS)
def test_every_finding_is_named_in_a_test(finding_id: str) -> None:
    others = (path for path in TESTS.rglob("test_*.py") if path != Path(__file__))

    assert any(finding_id in path.read_text() for path in others)


def finding(finding_id: str, severity: Severity) -> Finding:
    evidence = (Evidence("a fact", "meta", "2026-11-07T12:00:00.000Z"),)
    return Finding(finding_id, severity, "shop", "a title", evidence, ("a step",), "wacoex status")


def test_critical_beats_unknown_beats_warning() -> None:
    mixed = [Severity.WARNING, Severity.UNKNOWN, Severity.CRITICAL, Severity.INFO]

    assert worst(mixed) is Severity.CRITICAL
    assert worst(mixed[:2]) is Severity.UNKNOWN
    assert worst([]) is Severity.OK
    assert [check_exit_status(one) for one in Severity] == [0, 0, 1, 3, 2]


def test_findings_are_told_worst_first_then_by_id() -> None:
    told = worst_first(
        [
            finding("WX501", Severity.WARNING),
            finding("WX206", Severity.CRITICAL),
            finding("WX201", Severity.WARNING),
        ]
    )

    assert [one.id for one in told] == ["WX206", "WX201", "WX501"]
    assert told[0].to_json()["explain"] == "wacoex explain WX206"
