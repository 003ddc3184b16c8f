"""Every finding that a check can produce is in the catalogue and has a text and a test."""

from __future__ import annotations

import ast
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

import wacoex_cli
from wacoex_cli.findings import catalogue
from wacoex_cli.findings.model import (
    Finding,
    Severity,
    check_exit_status,
    worst,
    worst_first,
)
from wacoex_cli.platforms.events import Source

PACKAGE = Path(wacoex_cli.__file__).parent
TESTS = Path(__file__).parents[1]
IDS = catalogue.finding_ids()
FIRST_WORDS = {"severity", "title", "remedy", "verify"}


def constants(node: ast.AST) -> set[str]:
    """The texts in a piece of code."""
    return {
        part.value
        for part in ast.walk(node)
        if isinstance(part, ast.Constant) and isinstance(part.value, str)
    }


def named_ids(node: ast.AST) -> set[str]:
    """The ids of findings in a piece of code."""
    return {text for text in constants(node) if re.fullmatch(r"WX\d{3}", text)}


def calls(*, leaving_out: str = "") -> list[tuple[ast.Module, ast.Call, set[str]]]:
    """Where the program makes findings: the file, the call, the ids that it can have.

    An id that is not a literal is one of those in its file.
    """
    found = []
    for path in PACKAGE.rglob("*.py"):
        if leaving_out and path.stem.startswith(leaving_out):
            continue
        tree = ast.parse(path.read_text())
        for node in ast.walk(tree):
            if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Name):
                continue
            if node.func.id == "Finding":
                found.append((tree, node, named_ids(node.args[0]) or named_ids(tree)))
    return found


CALLS = calls()


def texts(face: Mapping[str, Any]) -> list[str]:
    """Everything of a page's case that is filled with values."""
    steps = (step if isinstance(step, str) else step["step"] for step in face["remedy"])
    return [face["title"], face["verify"], *steps]


def demanded(face: Mapping[str, Any]) -> set[str]:
    """The values that a case needs."""
    names = {name for text in texts(face) for name in catalogue.placeholders(text)}
    conditions = (step for step in face["remedy"] if isinstance(step, dict))
    return names | {step.get("when") or step["unless"] for step in conditions}


def test_the_pages_are_about_exactly_what_checks_can_produce() -> None:
    # A finding beside a symptom is found by another check too.
    found = calls(leaving_out="symptom")

    assert set().union(*(ids for _, _, ids in found)) == set(IDS)
    assert sorted(IDS) == IDS


@pytest.mark.parametrize("finding_id", IDS)
def test_every_finding_has_a_text_that_helps(finding_id: str) -> None:
    article = catalogue.find(finding_id)

    assert article
    for part in ("What it means", "Why it happens", "What to do", "How to verify"):
        assert f"{part}:" in article.body
    assert article.sources


@pytest.mark.parametrize("finding_id", IDS)
def test_every_front_matter_is_whole(finding_id: str) -> None:
    wording = catalogue.wording(finding_id)
    severities = [Severity(word) for word in wording.severities]
    # Where each face is a case of its own, the front matter alone is not a case.
    alone = wording.cases[""]
    faces = [face for name, face in wording.cases.items() if name or {*FIRST_WORDS} <= {*alone}]

    assert severities
    assert len(set(severities)) == len(severities)
    assert faces
    for face in faces:
        assert {*face} == FIRST_WORDS
        assert face["remedy"]
        for step in face["remedy"]:
            assert isinstance(step, str) or {*step} in ({"when", "step"}, {"unless", "step"})
        for text in texts(face):
            assert text.isascii()
            assert text == text.strip()
            assert all(name.isidentifier() for name in catalogue.placeholders(text))
    for name in {*wording.cases} & {*Severity}:
        assert name in wording.severities


@pytest.mark.parametrize("finding_id", IDS)
def test_every_case_of_a_page_is_used_by_a_check(finding_id: str) -> None:
    known = set().union(*(constants(tree) for tree, _, ids in CALLS if finding_id in ids))
    # A check may name its case by the severity or by the source that is silent.
    cases = {*catalogue.wording(finding_id).cases} - {"", *Severity, *Source}

    # Those in capitals are words that Meta says.
    assert {name for name in cases - known if not name.isupper()} == set()


@pytest.mark.parametrize(
    ("call", "finding_id"),
    [(call, only) for _, call, ids in CALLS if len(ids) == 1 for only in ids],
)
def test_a_check_gives_the_values_that_its_page_names(call: ast.Call, finding_id: str) -> None:
    wording = catalogue.wording(finding_id)
    given = {keyword.arg: keyword.value for keyword in call.keywords}
    faces = {name: face for name, face in wording.cases.items() if {*FIRST_WORDS} <= {*face}}
    severities = re.findall(r"Severity\.([A-Z]+)", ast.unparse(call.args[1]))
    if "case" in given:
        chosen = constants(given.pop("case")) & {*wording.cases}
    else:
        chosen = {word.lower() if word.lower() in wording.cases else "" for word in severities}
    # What a variable decides is tried by the tests of that check.
    needed = [demanded(face) for name, face in faces.items() if name in chosen]
    of_any = [demanded(face) for face in faces.values()]

    if None not in given:
        assert set().union(*needed) - {"channel", *given} == set()
    assert {*given} - {None} <= set().union(*of_any)


def test_a_page_without_front_matter_is_about_a_topic() -> None:
    with_front_matter = {
        path.stem
        for path in (PACKAGE / "findings" / "knowledge").glob("*.md")
        if path.read_text().startswith("+++\n")
    }

    assert with_front_matter == set(IDS)


def throttled(severity: Severity, finding_id: str = "WX503", **more: Any) -> Finding:
    return Finding(finding_id, severity, "shop", (), **more)


def test_a_finding_uses_the_words_of_its_page() -> None:
    found = throttled(Severity.INFO)

    assert found.title == "Meta throttled this number now and then"
    assert "`wacoex partner check shop`" in found.remedy[1]
    assert found.verify == "wacoex status shop"


def test_a_case_overrides_what_it_names() -> None:
    found = throttled(Severity.WARNING, case="code", code=4, meaning="too many", hint="wait")

    assert found.title == "Meta refuses with code 4: too many"
    assert found.remedy == ("wait", "read `wacoex explain 4`")


@pytest.mark.parametrize("case", catalogue.wording("WX203").cases)
@pytest.mark.parametrize("is_waiting", [True, False])
def test_every_step_after_a_removed_partner_names_a_command(case: str, is_waiting: bool) -> None:
    values = {"channel": "shop", "is_waiting": is_waiting, "until": "10:30"}

    _, remedy, _ = catalogue.wording("WX203").texts("critical", case, values)

    # What the app itself asks is answered there, and looked at afterwards.
    assert [step for step in remedy if "`wacoex " not in step] == []


def test_a_step_is_repeated_for_each_row_of_its_lists_and_left_out_unless_wanted() -> None:
    values = {"is_heard": True, "names": ["1 web", "2 mac"], "devices": [1, 2]}
    found = throttled(Severity.WARNING, "WX304", case="one_way", **values)
    silent = throttled(
        Severity.WARNING, "WX304", case="silence", is_heard=False, names=(), devices=()
    )

    assert len(found.remedy) == 4
    assert found.remedy[2].startswith("log 2 mac out on the phone")
    assert found.remedy[2].endswith("`wacoex device relink 2`")
    assert len(silent.remedy) == 4
    assert silent.remedy[0].startswith("see whether the partner is still connected")


def test_a_value_that_a_page_does_not_name_is_an_error() -> None:
    for wrong in (
        lambda: throttled(Severity.OK),
        lambda: throttled(Severity.CRITICAL),
    ):
        with pytest.raises(ValueError, match="does not list"):
            wrong()
    for missing in (
        lambda: throttled(Severity.WARNING, case="other"),
        lambda: throttled(Severity.WARNING, case="code", code=4),
    ):
        with pytest.raises(KeyError):
            missing()
    with pytest.raises(FileNotFoundError):
        throttled(Severity.WARNING, "WX999")


def test_pages_are_read_when_a_finding_is_made_and_once() -> None:
    catalogue.wording.cache_clear()
    throttled(Severity.WARNING)
    throttled(Severity.INFO)

    assert catalogue.wording.cache_info().misses == 1


@pytest.mark.parametrize("finding_id", IDS)
def test_every_finding_is_named_in_a_test(finding_id: str) -> None:
    others = (path for path in TESTS.rglob("test_*.py") if path != Path(__file__))

    assert any(finding_id in path.read_text() for path in others)


def test_critical_beats_unknown_beats_warning() -> None:
    mixed = [Severity.WARNING, Severity.UNKNOWN, Severity.CRITICAL, Severity.INFO]

    assert worst(mixed) is Severity.CRITICAL
    assert worst(mixed[:2]) is Severity.UNKNOWN
    assert worst([]) is Severity.OK
    assert [check_exit_status(entry) for entry in Severity] == [0, 0, 1, 3, 2]


def test_findings_are_sorted_worst_first_then_by_id() -> None:
    answer = worst_first(
        [
            throttled(Severity.WARNING, "WX501", rating="red"),
            throttled(Severity.CRITICAL, "WX206", solutions=()),
            throttled(Severity.UNKNOWN, "WX709", source="Meta", hints=()),
            throttled(Severity.WARNING, "WX206", solutions=()),
        ]
    )

    assert [entry.id for entry in answer] == ["WX206", "WX709", "WX206", "WX501"]
    assert answer[0].to_json()["explain"] == "wacoex explain WX206"
