"""What Meta refuses in a template, known before it is sent; and how a file is written."""

from __future__ import annotations

import os
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wacoex_cli.errors import UsageError
from wacoex_cli.sandbox.faults import GraphError
from wacoex_cli.sandbox.templates import check_new
from wacoex_cli.templates.files import (
    Draft,
    file_name,
    read_directory,
    read_file,
    text_of,
    write_file,
)
from wacoex_cli.templates.lint import lint, refused

BODY = {"type": "BODY", "text": "Hello there, we are open every day of the week."}
REPLY = {"type": "QUICK_REPLY", "text": "Yes"}
LINK = {"type": "URL", "text": "Shop", "url": "https://shop.example/"}


def body(text: str, *examples: str) -> dict[str, Any]:
    return {"type": "BODY", "text": text, "example": {"body_text": [list(examples)]}}


def header(text: str, *examples: str) -> dict[str, Any]:
    return {"type": "HEADER", "format": "TEXT", "text": text, "example": {"header_text": examples}}


def buttons(*each: dict[str, Any]) -> dict[str, Any]:
    return {"type": "BUTTONS", "buttons": list(each)}


def template(*parts: dict[str, Any], name: str = "hours", **more: Any) -> Draft:
    values = {"language": "en_US", "category": "MARKETING", "parameter_format": "POSITIONAL"}
    return Draft(name=name, components=parts, **{**values, **more})


BROKEN = {
    "name": (template(BODY, name="Spring Offer"), "`Spring Offer` is not a name that Meta takes"),
    "language": (template(BODY, language="english"), "`english` is not a language code"),
    "no body": (template(header("Hello")), "the template has no body"),
    "begins": (template(body("{{1}}, we are open today.", "Ana")), "it begins with a variable"),
    "ends": (template(body("We are open today, {{1}}.", "Ana")), "it ends with a variable"),
    "ratio": (template(body("Dear {{1}} {{2}} {{3}} bye now", *"abc")), "3 words for 3 variables"),
    "order of numbers": (
        template(body("We meet {{2}} on {{1}} at our shop", *"ab")),
        "{{2}}, {{1}}",
    ),
    "a gap": (template(body("Hello {{1}} and {{3}} from our shop", *"ab")), "{{1}}, {{3}}"),
    "no example": (template(body("Hello {{1}}, we are open today")), "no example for {{1}}"),
    "body": (template({"type": "BODY", "text": "x" * 1025}), "1025 characters, 1024 are allowed"),
    "header": (template(header("x" * 61), BODY), "61 characters, 60 are allowed"),
    "two in header": (template(header("{{1}} and {{2}}", "a", "b"), BODY), "a header takes one"),
    "footer": (template(BODY, {"type": "FOOTER", "text": "For {{1}}"}), "a footer takes no"),
    "button text": (template(BODY, buttons({**REPLY, "text": "y" * 26})), "26 characters, 25"),
    "quick replies apart": (template(BODY, buttons(REPLY, LINK, REPLY)), "other buttons separate"),
    "links apart": (template(BODY, buttons(LINK, REPLY, LINK)), "other buttons separate"),
    "three links": (template(BODY, buttons(LINK, LINK, LINK)), "3 URL, 2 allowed"),
    "link to WhatsApp": (
        template(BODY, buttons({**LINK, "url": "https://wa.me/6560000001"})),
        "no link to WhatsApp",
    ),
    "variable inside": (
        template(BODY, buttons({**LINK, "url": "https://shop.example/{{1}}/x", "example": ["a"]})),
        "one variable, at its end",
    ),
    "link without example": (
        template(BODY, buttons({**LINK, "url": "https://shop.example/{{1}}"})),
        "no example of the whole address",
    ),
    "one card": (
        template(BODY, {"type": "CAROUSEL", "cards": [{"components": [BODY]}]}),
        "1 cards, 2 to 10 are allowed",
    ),
    "picture": (template({"type": "HEADER", "format": "IMAGE"}, BODY), "the IMAGE has no example"),
    "unknown": (template(BODY, {"type": "SIDEBAR"}), "Meta has no component SIDEBAR"),
    "named": (
        template(body("Hello {{First Name}} from our shop"), parameter_format="NAMED"),
        "is not a name of a variable",
    ),
}
FINE = {
    "plain": template(BODY),
    "numbered": template(body("Hello {{1}}, order {{2}} is ready at our shop now", "Ana", "17")),
    "named": template(
        {
            "type": "BODY",
            "text": "Hello {{first_name}}, our spring sale is on.",
            "example": {"body_text_named_params": [{"param_name": "first_name", "example": "A"}]},
        },
        parameter_format="NAMED",
    ),
    "replies first": template(BODY, buttons(REPLY, REPLY, LINK)),
    "replies last": template(BODY, buttons(LINK, REPLY, REPLY)),
    "picture": template(
        {"type": "HEADER", "format": "IMAGE", "example": {"header_handle": ["4::aW1hZ2U="]}}, BODY
    ),
    "link": template(
        BODY,
        buttons(
            {**LINK, "url": "https://shop.example/{{1}}", "example": ["https://shop.example/a"]}
        ),
    ),
}


@pytest.mark.parametrize(("draft", "said"), BROKEN.values(), ids=BROKEN)
def test_a_broken_rule_is_found_and_the_sandbox_refuses_it_too(draft: Draft, said: str) -> None:
    assert any(said in problem.text for problem in refused(draft)), lint(draft)
    with pytest.raises(GraphError):
        check_new({"name": draft.name, **draft.to_json()})


@pytest.mark.parametrize("draft", FINE.values(), ids=FINE)
def test_a_template_that_meta_takes_has_no_problem(draft: Draft) -> None:
    assert lint(draft) == []
    check_new({"name": draft.name, **draft.to_json()})


def test_few_words_for_many_variables_are_only_a_warning() -> None:
    [problem] = lint(template(body("Hello {{1}}, order {{2}} is ready.", "Ana", "17")))

    assert (problem.rule, problem.level) == ("ratio", "warning")


def test_lint_shows_the_file_the_place_and_what_to_do(run, tmp_path) -> None:
    path = tmp_path / "hours.toml"
    write_file(path, text_of([template(body("We are open today, {{1}}.", "Ana"))]))

    done = run("template", "lint", str(path))

    assert done.code == 2
    assert done.out.splitlines() == [
        "hours.toml\ten_US\terror\tbody\tit ends with a variable"
        "\tput a word after it: a full stop is not enough"
    ]


def test_lint_of_a_good_file_ends_with_0(run, tmp_path) -> None:
    path = tmp_path / "hours.toml"
    write_file(path, text_of([template(BODY)]))

    assert run("template", "lint", str(path)).code == 0


@pytest.mark.parametrize("text", ["Sale \U0001f389", "\u2728 New", "Warm \u2600\ufe0f days"])
def test_a_header_takes_no_emoji(text) -> None:
    [problem] = lint(template({"type": "HEADER", "format": "TEXT", "text": text}, BODY))

    assert (problem.level, problem.text) == ("error", "a header takes no emoji")


def test_three_line_breaks_in_a_row_are_a_doubt_and_no_error() -> None:
    spaced = {"type": "BODY", "text": "Hello there,\n\n\nwe are open every day of the week."}

    [problem] = lint(template(spaced))

    assert (problem.level, problem.rule) == ("warning", "format")
    assert refused(template(spaced)) == []


@pytest.mark.parametrize("command", ["lint", "diff"])
def test_a_pipe_in_place_of_a_file_is_refused_and_not_waited_for(tmp_path, command) -> None:
    path = tmp_path / "hours.toml"
    os.mkfifo(path)

    with pytest.raises(UsageError, match="it is a pipe or a device"):
        read_file(path) if command == "lint" else read_directory(tmp_path)


def test_a_file_without_an_end_is_refused(tmp_path) -> None:
    path = tmp_path / "hours.toml"
    with path.open("wb") as hole:
        hole.truncate(64 * 1024**2)

    with pytest.raises(UsageError, match="it has more than 16 MB"):
        read_file(path)


texts = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=40)


@given(st.lists(texts, min_size=1, max_size=3), texts)
def test_a_file_gives_back_every_text_as_it_is(tmp_path_factory, words, footer) -> None:
    drafts = [
        template({"type": "BODY", "text": word}, {"type": "FOOTER", "text": footer}, language=code)
        for word, code in zip(words, ("de", "en_US", "pt_BR"), strict=False)
    ]
    path = tmp_path_factory.mktemp("texts") / "hours.toml"
    write_file(path, text_of(drafts))

    assert read_file(path) == drafts
    assert text_of(list(reversed(drafts))) == path.read_text(encoding="utf-8")


def test_a_name_that_is_too_long_for_a_file_gets_a_short_one() -> None:
    name = "a" * 512

    assert len(file_name(name)) < 255
    assert file_name(name) != file_name("a" * 511)
