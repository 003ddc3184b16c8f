"""`wacoex explain`: findings, topics, Meta's codes; and that what they say is true."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest

from wacoex_cli import errors
from wacoex_cli.diagnosis.explain import explain
from wacoex_cli.findings import articles
from wacoex_cli.foundation.settings import VARIABLES
from wacoex_cli.foundation.settings_model import Settings
from wacoex_cli.platforms.error_codes import known_codes
from wacoex_cli.terminal.failure import INTERRUPTED, TERMINATED

Run = Callable[..., Any]


@pytest.mark.parametrize("word", ["WX206", "wx206"])
def test_a_finding_is_explained_in_any_case(run: Run, word: str) -> None:
    outcome = run("explain", word)

    assert outcome.code == 0
    assert outcome.out.startswith("WX206: Meta limits or blocks sending\n")
    assert "Severity: info or warning or unknown or critical" in outcome.out
    assert "see also: WX501" in outcome.out


def test_the_json_has_the_promised_keys(run: Run) -> None:
    data = run("explain", "coexistence", "--json").data

    assert set(data) == {"id", "title", "body", "see_also"}
    assert data["see_also"][:3] == ["WX201", "WX208", "rate-limit"]


@pytest.mark.parametrize("code", known_codes())
def test_every_error_code_of_meta_is_explained(code: int) -> None:
    article = explain(str(code))

    assert article.title == f"Meta error {code}"
    for part in ("What it means:", "Class:", "What wacoex does:", "What to do:"):
        assert part in article.body


def test_a_permission_code_without_words_of_its_own_is_explained_too(run: Run) -> None:
    assert "permission" in run("explain", "219").out


@pytest.mark.parametrize(
    ("word", "hint"),
    [
        ("WX2006", "did you mean `WX206`?"),
        ("exit-code", "did you mean `exit-codes`?"),
        ("131048x", "did you mean `131048`?"),
        ("qqq", "search with `--search`"),
    ],
)
def test_an_unknown_word_gets_the_nearest_one(run: Run, word: str, hint: str) -> None:
    outcome = run("explain", word)

    assert outcome.code == 2
    assert hint in outcome.err


@pytest.mark.parametrize("arguments", [[], ["WX206", "--search", "quality"]])
def test_explain_wants_one_thing(run: Run, arguments: list[str]) -> None:
    assert run("explain", *arguments).code == 2


def test_a_search_lists_what_mentions_every_word(run: Run) -> None:
    outcome = run("explain", "--search", "quality RATING")

    assert "WX501\tThe quality rating is yellow or red" in outcome.out.splitlines()
    assert "WX707" not in outcome.out
    assert run("explain", "--search", "zebra", "--json").data == {"results": []}


@pytest.mark.parametrize("name", articles.names())
def test_every_article_is_short_plain_and_leads_on_to_others_that_exist(name: str) -> None:
    article = articles.find(name)

    assert article
    assert article.title
    assert all(len(line) <= 80 for line in article.body.splitlines())
    assert len(article.body.splitlines()) <= 45
    assert article.body.isascii()
    assert article.see_also
    assert all(articles.find(other) for other in article.see_also)


def body(name: str) -> str:
    article = articles.find(name)
    assert article
    return article.body


def test_the_exit_codes_are_those_of_the_errors() -> None:
    told = {int(code) for code in re.findall(r"^(\d+) ", body("exit-codes"), re.MULTILINE)}
    kinds = [one for one in vars(errors).values() if isinstance(one, type)]
    raised = {one.exit_status for one in kinds if issubclass(one, errors.WacoexError)}

    assert told == raised | {0, 7, INTERRUPTED, TERMINATED}


def test_the_environment_is_what_the_settings_read() -> None:
    told = set(re.findall(r"^(WACOEX_\w+)", body("environment"), re.MULTILINE))

    assert told == set(VARIABLES)
    assert Settings.model_fields["meta_api_version"].default in body("environment")
    assert Settings.model_fields["meta_base_url"].default in body("environment")


def test_the_limits_of_status_are_told_with_their_defaults() -> None:
    for name in ("status_seconds", "status_seconds_per_channel"):
        assert f"`{name}`" in body("files")
        assert f"default {Settings.model_fields[name].default:g}" in body("files")


def test_the_json_page_names_every_key_of_the_envelope(run: Run) -> None:
    envelope = run("explain", "json", "--json").envelope

    for key in envelope:
        assert re.search(rf"^{key} +\w", body("json"), re.MULTILINE)
