"""Which language of a template a cell names, and what is checked in each of them."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from wacoex_cli.audience.languages import Languages
from wacoex_cli.channels.model import Provider
from wacoex_cli.errors import UsageError
from wacoex_cli.ledger.message_key import message_key
from wacoex_cli.templates.model import LANGUAGE, Template
from wacoex_cli.templates.rule import beyond_limit
from wacoex_cli.templates.values import ParameterSource, fill

COLUMNS = ("phone", "name", "amount", "lang")
GIVEN = (ParameterSource("1", column="name"), ParameterSource("2", column="amount"))
ANA = {"phone": "+6591000001", "name": "Ana", "amount": "5"}


def template(language, text="{{1}}: {{2}}.", **values):
    components = ({"type": "BODY", "text": text},)
    made = Template("bill", language, "APPROVED", "UTILITY", "POSITIONAL", components, "1")
    return replace(made, **values)


def languages(*others, fallback="en_US", column="lang", given=GIVEN):
    versions = [
        each if isinstance(each, Template) else template(each) for each in (fallback, *others)
    ]
    made = Languages(versions[0], versions, column, COLUMNS, Provider.META)
    return made, made.settle(made.resolve(given, COLUMNS))


@pytest.mark.parametrize(
    ("cell", "language"),
    [
        ("es_MX", "es_MX"),
        ("es-mx", "es_MX"),
        (" ES ", "es_MX"),
        ("es_ES", "en_US"),
        ("de_AT", "de"),
        ("pt", "en_US"),
        ("pt_BR", "pt_BR"),
        ("Deutsch", "en_US"),
        ("", "en_US"),
        ("#N/A", "en_US"),
    ],
)
def test_a_language_is_never_that_of_another_country(cell, language):
    made, _ = languages("de", "es_MX", "pt_BR", "pt_PT")
    assert made.of({"lang": cell}) == language


def test_the_plan_counts_the_languages_and_why_somebody_gets_the_fallback():
    made, _ = languages("de", "es_MX")
    for row, cell in enumerate(("de", "es", "", "fr", "-", "en_us")):
        made.note(row, {"lang": cell})

    data = made.to_json(len)
    assert [(each["language"], each["recipients"]) for each in data["languages"]] == [
        ("en_US", 4),
        ("de", 1),
        ("es_MX", 1),
    ]
    assert data["fallback"] == {
        "column": "lang",
        "language": "en_US",
        "empty": 2,
        "unknown": 1,
        "examples": ["fr"],
        "read_as": [{"cell": "es", "language": "es_MX"}],
    }


@pytest.mark.parametrize(
    ("spanish", "said", "code"),
    [
        (template("es", status="PENDING"), "its status is PENDING", "template_not_approved"),
        (template("es", "{{1}} {{2}} {{3}}."), "nothing to put in for `3`", "missing_parameter"),
        (template("es", category="AUTHENTICATION"), "one-time", "template_unsupported"),
        (
            template("es", components=({"type": "BODY", "text": "a"}, {"type": "POLL"})),
            "a component of type POLL",
            "template_unsupported",
        ),
    ],
)
def test_a_language_that_cannot_be_sent_is_refused_only_where_a_row_names_it(spanish, said, code):
    made, _ = languages(spanish)
    made.note(1, {"lang": "en_US"})
    assert made.used().translations == ()

    made.note(2, {"lang": "es"})
    with pytest.raises(UsageError, match="1 row of the list is in `es`, but") as failed:
        made.used()
    assert said in failed.value.message and failed.value.code == code


def test_a_key_means_the_same_in_all_languages():
    picture = template("en_US", components=({"type": "HEADER", "format": "IMAGE"},))
    film = template("es", components=({"type": "HEADER", "format": "VIDEO"},))
    made, _ = languages(film, fallback=picture, given=[ParameterSource("header", column="name")])
    made.note(1, {"lang": "es"})
    with pytest.raises(UsageError, match="`header`") as failed:
        made.used()
    assert failed.value.code == "languages_differ"


def test_the_fallback_itself_must_be_right():
    with pytest.raises(UsageError, match="status is PAUSED"):
        languages("de", fallback=template("en_US", status="PAUSED"))
    with pytest.raises(UsageError, match="no placeholder `7`"):
        languages("de", given=[*GIVEN, ParameterSource("7", column="name")])


def test_a_column_that_is_not_there_is_named_with_the_next_best():
    with pytest.raises(UsageError, match="no column `langs`") as failed:
        languages("de", column="langs")
    assert failed.value.code == "unknown_column" and "`lang`" in (failed.value.hint or "")


def test_a_placeholder_of_one_language_is_filled_there_alone():
    given = [*GIVEN, ParameterSource("3", column="lang")]
    made, sources = languages(template("de", "{{1}} {{2}} {{3}}."), given=given)
    german, english = made.filling("de"), made.filling("en_US")

    assert [source.key for source in sources] == [LANGUAGE, "1", "2", "3"]
    assert fill(german.sources, {**ANA, "lang": "de"}) == ("de", "Ana", "5", "de")
    assert fill(german.sources, ANA) is None
    assert fill(english.sources, ANA) == ("en_US", "Ana", "5", "")


def test_limits_are_those_of_each_language():
    made, _ = languages(template("de", f"{'x' * 1019} {{{{1}}}} {{{{2}}}}."))
    german, english = made.filling("de"), made.filling("en_US")
    for filling, is_long in ((german, True), (english, False)):
        values = fill(filling.sources, ANA)
        assert values and bool(beyond_limit(filling.limits, values)) is is_long


@pytest.mark.parametrize("language", ["en_US", "de"])
def test_the_key_of_a_row_does_not_depend_on_other_languages(language):
    versions = {"en_US": template("en_US"), "de": template("de", "{{2}} {{1}} {{3}}.")}
    given = [*GIVEN, ParameterSource("3", text="fixed")]
    made, sources = languages(versions["de"], fallback=versions["en_US"], given=given)
    alone, own = languages(
        fallback=versions[language], column=None, given=given[: 2 + (language == "de")]
    )

    def key_of(languages, sources, spoken):
        kept = json.dumps([source.to_json() for source in sources])
        values = fill(languages.filling(spoken).sources, ANA)
        key = message_key(json.dumps(languages.template.to_json()), kept)
        return key("+6591000001", json.dumps(values, ensure_ascii=False))

    assert key_of(made, sources, language) == key_of(alone, own, language)


def test_a_template_is_read_back_with_its_translations():
    made = template("en_US").with_translations([template("de", category="MARKETING")])
    again = Template.from_json(json.loads(json.dumps(made.to_json())))

    assert again == made
    assert {version.category for version in again.versions} == {"MARKETING"}
    assert "translations" not in template("en_US").to_json()
