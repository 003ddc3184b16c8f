"""`wacoex explain`: findings, topics, Meta's codes; and that what they say is true."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest

from wacoex_cli import errors
from wacoex_cli.diagnosis.explain import explain
from wacoex_cli.findings import catalogue
from wacoex_cli.foundation.settings import VARIABLES, Settings
from wacoex_cli.platforms.error_codes import known_codes
from wacoex_cli.terminal.render import INTERRUPTED, TERMINATED

Run = Callable[..., Any]


@pytest.mark.parametrize("word", ["WX206", "wx206"])
def test_a_finding_is_explained_in_any_case(run: Run, word: str) -> None:
    outcome = run("explain", word)

    assert outcome.code == 0
    assert outcome.out.startswith("WX206: Meta limits or blocks sending\n")
    assert "Severity: info or warning or unknown or critical" in outcome.out
    assert "See also: WX501" in outcome.out


def test_the_json_has_the_promised_keys(run: Run) -> None:
    data = run("explain", "coexistence", "--json").data

    assert set(data) == {"id", "title", "body", "see_also", "sources"}
    assert {*data["sources"][0]} == {"title", "url", "read"}
    assert data["see_also"][:3] == ["WX201", "WX208", "rate-limit"]


@pytest.mark.parametrize("code", known_codes())
def test_every_error_code_of_meta_is_explained(code: int) -> None:
    article = explain(str(code))

    assert article.title.startswith("Meta error: ")
    for part in ("What it means:", "Class:", "What wacoex does:", "What to do:"):
        assert part in article.body


def test_a_permission_code_without_words_of_its_own_is_explained_too(run: Run) -> None:
    assert "permission" in run("explain", "219").out


@pytest.mark.parametrize(
    ("word", "hint"),
    [
        ("WX2006", "did you mean `WX206`?"),
        ("WX999", "hint: there are WX101 to WX108, WX201 to WX216, WX301 to"),
        ("wx", "hint: there are WX101 to WX108, WX201 to WX216, WX301 to"),
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


def found(run: Run, text: str) -> list[str]:
    results = run("explain", "--search", text, "--json").data["results"]
    return [result["id"] for result in results]


def test_a_search_lists_pages_that_mention_every_word(run: Run) -> None:
    outcome = run("explain", "--search", "quality RATING")

    assert "WX501\tThe quality rating is yellow or red" in outcome.out.splitlines()
    assert "WX707" not in outcome.out


@pytest.mark.parametrize("tty", [True, False])
@pytest.mark.parametrize("text", ["zebra", " ?! "])
def test_a_search_without_a_hit_is_reported_and_ends_with_1(run: Run, text: str, tty: bool) -> None:
    outcome = run("explain", "--search", text, tty=tty)

    assert (outcome.code, outcome.out) == (1, "")
    assert f"error: no page mentions `{text}`" in outcome.err
    assert "topics: " in outcome.err
    assert found(run, text) == []


@pytest.mark.parametrize(
    ("shown", "page"),
    [
        ("already has an existing payment method", "WX602"),
        ("Error: the WABA already has an existing payment method.", "WX602"),
        ("Message received during sync and not available", "unsupported-messages"),
        ("rate limit hit", "WX503"),
        ("(#130429) Rate limit hit", "130429"),
        ("Recipient phone number not in allowed list", "131030"),
        ('"Recipient phone number not in allowed list"', "131030"),
        ("(#131056) (Business Account, Consumer Account) pair rate limit hit", "131056"),
        ("ACCOUNT_OFFBOARDED", "WX204"),
        ("PRIMARY_INACTIVITY", "WX203"),
        ("needs more WhatsApp Business app activity", "WX601"),
    ],
)
def test_an_error_as_it_is_shown_leads_to_its_page(run: Run, shown: str, page: str) -> None:
    assert found(run, shown)[0] == page


def test_shown_texts_rank_before_titles_and_titles_before_the_rest(run: Run) -> None:
    both = found(run, "rate limit hit")
    titles = found(run, "quality rating")

    assert both[:3] == ["WX503", "rate-limit", "130429"]
    assert {"131048", "131056"} < set(both)
    assert titles[0] == "WX501"
    assert len(titles) > 1


def test_a_long_text_that_fits_nothing_whole_finds_what_has_most_of_its_words(run: Run) -> None:
    assert "WX707" in found(run, "the disk where the state file lies is somewhat full qqq")


@pytest.mark.parametrize(("number", "page"), [("3441041", "WX601"), ("36007", "WX608")])
def test_a_number_that_only_a_page_mentions_leads_to_that_page(
    run: Run, number: str, page: str
) -> None:
    assert run("explain", number, "--json").data["id"] == page


def test_a_terminal_shows_an_article_laid_out_and_a_pipe_as_it_is(run: Run) -> None:
    piped = run("explain", "WX602").out
    shown = run("explain", "WX602", tty=True, env={"COLUMNS": "60", "NO_COLOR": "1"}).out

    assert "`wacoex connect shop`" in piped
    assert "`wacoex connect shop`" in " ".join(shown.split())
    assert "\x1b" not in shown
    wide = [line.strip() for line in shown.splitlines() if len(line) > 60]
    assert all(line.startswith("https://") and " " not in line for line in wide)
    assert len(shown.splitlines()) > len(piped.splitlines())


def test_colours_are_used_where_they_are_wanted(run: Run) -> None:
    terminal = {"TERM": "xterm", "COLUMNS": "80"}

    colored = run("explain", "WX602", tty=True, env=terminal).out

    assert "\x1b[1m" in colored
    assert "`" not in colored
    assert "\x1b" not in run("explain", "WX602", "--no-color", tty=True, env=terminal).out
    assert "\x1b" not in run("explain", "WX602", "--color").out


def body(name: str) -> str:
    article = catalogue.find(name)
    assert article
    return article.body


def test_the_exit_codes_are_those_of_the_errors() -> None:
    answer = {int(code) for code in re.findall(r"^ {4}(\d+) ", body("exit-codes"), re.MULTILINE)}
    kinds = [var for var in vars(errors).values() if isinstance(var, type)]
    raised = {kind.exit_status for kind in kinds if issubclass(kind, errors.WacoexError)}

    assert answer == raised | {0, 7, INTERRUPTED, TERMINATED}


def test_the_environment_is_what_the_settings_read() -> None:
    answer = set(re.findall(r"^ {4}(WACOEX_\w+)", body("environment"), re.MULTILINE))

    assert answer == set(VARIABLES)
    assert Settings._field_defaults["meta_api_version"] in body("environment")
    assert Settings._field_defaults["meta_base_url"] in body("environment")


def test_the_limits_of_status_are_explained_with_their_defaults() -> None:
    for name in ("status_seconds", "status_seconds_per_channel"):
        assert f"`{name}`" in body("files")
        assert f"default {Settings._field_defaults[name]:g}" in body("files")


def test_the_json_page_names_every_key_of_the_envelope(run: Run) -> None:
    envelope = run("explain", "json", "--json").envelope

    for key in envelope:
        assert re.search(rf"^ {{4}}{key} +\w", body("json"), re.MULTILINE)
