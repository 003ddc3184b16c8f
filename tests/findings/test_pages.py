"""Every page says what it is, why, what to do, and whose rule it is, with source and date."""

from __future__ import annotations

import re
import shlex
import tomllib
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest
from typer.core import TyperGroup

import wacoex_cli
from wacoex_cli import RELEASED_ON
from wacoex_cli.app import app
from wacoex_cli.diagnosis.explain import about_code, whole_text
from wacoex_cli.findings import catalogue
from wacoex_cli.findings.catalogue import Article
from wacoex_cli.platforms.error_codes import known_codes
from wacoex_cli.terminal.render import laid_out

# Pages about the program itself: neither Meta nor respond.io has a part in them.
MANUAL = {"cron", "environment", "exit-codes", "files", "json"}
KNOWLEDGE = Path(wacoex_cli.__file__).parent / "findings" / "knowledge"
PAGES = list(catalogue.everything())
CODES = [about_code(code) for code in known_codes()]
ROOT = app


def identity(article: Article) -> str:
    return article.id


def has(article: Article, *labels: str) -> bool:
    """Whether a paragraph of the page begins with one of the labels."""
    return any(re.search(rf"^{re.escape(label)}", article.body, re.MULTILINE) for label in labels)


@pytest.mark.parametrize("article", [*PAGES, *CODES], ids=identity)
def test_every_page_is_short_and_plain_and_links_to_existing_pages(article: Article) -> None:
    lines = article.body.splitlines()

    assert article.title
    assert [line for line in lines if len(line) > 80] == []
    assert len(lines) <= 60
    assert article.body.isascii()
    assert article.see_also
    assert [name for name in article.see_also if not catalogue.find(name)] == []
    assert article.id not in article.see_also


@pytest.mark.parametrize("article", [*PAGES, *CODES], ids=identity)
def test_every_page_names_its_source_and_the_date(article: Article) -> None:
    released = date.fromisoformat(RELEASED_ON)

    assert article.sources
    for source in article.sources:
        assert source.title
        assert released - timedelta(days=274) <= date.fromisoformat(source.read) <= released
        if has(article, "wacoex's rule: "):
            # What only this program decides has no other page to look at.
            assert (source.title, source.url) == ("wacoex itself: what this version does", None)
            continue
        assert source.url
        assert re.fullmatch(r"https://[a-z0-9.-]+/\S*", source.url)


@pytest.mark.parametrize("article", [*PAGES, *CODES], ids=identity)
def test_title_address_and_day_are_shown_and_are_in_the_json(article: Article) -> None:
    shown = whole_text(article)

    rows: Any = article.to_json()["sources"]
    assert [row["title"] for row in rows] == [source.title for source in article.sources]
    for row in rows:
        assert [text for text in row.values() if text and text not in shown] == []
    assert shown.index("Sources:") > shown.index(article.body)


def test_every_source_is_used_and_has_one_name() -> None:
    known = tomllib.loads((KNOWLEDGE.parent / "sources.toml").read_text())
    pages = {source for article in [*PAGES, *CODES] for source in article.sources}

    assert {row["title"] for row in known.values()} == {source.title for source in pages}
    assert len({row.get("url") for row in known.values()}) == len(known)


def test_no_page_names_a_source_in_another_way() -> None:
    for path in KNOWLEDGE.glob("*.md"):
        assert not re.search(r"^Source:", path.read_text(), re.MULTILINE), path.name


@pytest.mark.parametrize("article", [*PAGES, *CODES], ids=identity)
def test_every_page_says_whose_rule_it_is(article: Article) -> None:
    of_others = has(article, "Meta's rule: ") and has(article, "respond.io's rule: ")

    assert of_others != has(article, "wacoex's rule: ")


@pytest.mark.parametrize(
    "article",
    [page for page in PAGES if page.id not in MANUAL and page.id[:2] != "WX"],
    ids=identity,
)
def test_every_topic_says_what_why_and_what_to_do(article: Article) -> None:
    assert has(article, "What it is: ")
    assert has(article, "Why it is so: ", "Why it happens: ")
    assert has(article, "What to do")
    assert has(article, "How to verify: ")


@pytest.mark.parametrize("article", [page for page in PAGES if page.id not in MANUAL], ids=identity)
def test_steps_are_numbered_from_one_without_a_gap(article: Article) -> None:
    todo = re.split(r"^What to do", article.body, flags=re.MULTILINE)[1]
    steps = [int(number) for number in re.findall(r"^(\d+)\. ", todo, re.MULTILINE)]

    assert steps == list(range(1, len(steps) + 1))
    assert steps


@pytest.mark.parametrize("article", PAGES, ids=identity)
def test_every_command_on_a_page_exists_with_its_options(article: Article) -> None:
    commands = re.findall(r"`(wacoex [^`]+)`", article.body)
    commands += re.findall(r"^ {4}(wacoex [^|]+)$", article.body, re.MULTILINE)

    for line in commands:
        found: Any = ROOT
        words = shlex.split(line.replace("\n", " "))[1:]
        while isinstance(found, TyperGroup) and words and not words[0].startswith("-"):
            name, *words = words
            assert name in found.commands, line
            found = found.commands[name]
        options = {option for parameter in found.params for option in parameter.opts}
        assert {word for word in words if word.startswith("--")} <= options, line


@pytest.mark.parametrize("article", [*PAGES, *CODES[:3]], ids=identity)
@pytest.mark.parametrize("columns", [40, 100])
def test_a_terminal_of_any_width_shows_every_word(
    article: Article, columns: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))

    shown = laid_out(whole_text(article), color=False)

    # An address that is wider than the terminal is whole on a line of its own.
    wide = [line.strip() for line in shown.splitlines() if len(line) > columns]
    assert [line for line in wide if " " in line] == []
    assert letters(article.body) <= letters(shown)


def letters(text: str) -> set[str]:
    """The words as far as no line break can part them, without signs of Markdown."""
    return set(re.findall(r"[a-z]{2,12}", text.lower()))


@pytest.mark.parametrize("article", PAGES, ids=identity)
def test_every_part_is_a_paragraph_of_its_own(article: Article) -> None:
    labels = "What it means|Why it happens|How to verify|About the sources|Also shown as"
    label = rf"(?:{labels}|[\w.]+'s rule):"

    assert re.findall(rf"[^\n]\n{label}", article.body) == []
