"""Defaults, letters, dates and amounts: how the cells of a list are changed."""

from __future__ import annotations

from datetime import date
from decimal import ROUND_HALF_UP, Decimal

import pytest
from babel import Locale
from babel.localedata import locale_identifiers
from babel.numbers import format_currency, format_decimal, get_currency_precision
from hypothesis import given
from hypothesis import strategies as st

from wacoex_cli.audience.wording import CellWording, read_day, read_number, title, with_defaults
from wacoex_cli.errors import UsageError
from wacoex_cli.templates.model import Template
from wacoex_cli.templates.values import ParameterSource, fill, is_nothing

BODY = ({"type": "BODY", "text": "Hello {{1}}, {{2}}"},)
SINGAPORE, GERMANY, CANADA, UNITED_STATES = "+6591234567", "+491701234567", "+14165550100", ""


def template(language: str = "en_US") -> Template:
    return Template("hello", language, "APPROVED", "UTILITY", "POSITIONAL", BODY, "1")


SOURCES = (ParameterSource("1", column="name"), ParameterSource("2", column="amount"))


def worded(cell: str, format: str, *, phone: str = SINGAPORE, locale=None, language="en_US") -> str:
    wording = CellWording(template(language), SOURCES, {"2": format}, locale)
    filled = fill(SOURCES, {"name": "Ana", "amount": cell}, wording.converts(phone))
    assert filled is not None
    return filled[1].replace("\u00a0", " ").replace("\u202f", " ")


@pytest.mark.parametrize(
    ("cell", "written"),
    [
        (" mary ann ", "Mary Ann"),
        ("JOSE", "Jose"),
        ("JOSÉ DE LA CRUZ", "José de la Cruz"),
        ("maria da silva", "Maria da Silva"),
        ("van gogh", "Van Gogh"),
        ("McDonald", "McDonald"),
        ("o'neill", "O'Neill"),
        ("MARY'S CAFE", "Mary's Cafe"),
        ("jean-luc", "Jean-Luc"),
        ("ana  maría", "Ana María"),
        ("陈美玲", "陈美玲"),
    ],
)
def test_a_name_gets_its_capitals(cell, written):
    assert worded(cell, "title") == written


@given(st.text(min_size=1).filter(str.strip))
def test_capitalising_a_name_twice_changes_nothing(name):
    assert title(title(name)) == title(name)


def test_capitals_of_turkish_keep_their_dots():
    assert worded("istanbul", "title", language="tr") == "İstanbul"
    assert worded("izmir", "upper", language="tr") == "İZMİR"
    assert worded("IŞIK", "lower", language="tr") == "\u0131ş\u0131k"
    assert worded("izmir", "upper") == "IZMIR"


@pytest.mark.parametrize(
    ("format", "cell", "written"),
    [
        ("first,title", " MARY ANN ", "Mary"),
        ("first , upper", "mary ann", "MARY"),
        ("trim", "mary   ann", "mary ann"),
        ("lower", "ABC", "abc"),
        ("date:long", "2026-03-12", "12 March 2026"),
        ("date:short", "2026-03-12 00:00", "12/3/26"),
        ("date", "31/12/2026", "31 December 2026"),
        ("date", "12/31/2026", "31 December 2026"),
        ("date", "1.2.2026", "1 February 2026"),
        ("number", "1234567.5", "1,234,567.5"),
        ("number", "0.3333", "0.3333"),
        ("money:SGD", "1234.5", "$1,234.50"),
        ("money:sgd", "S$ 1,234.50", "$1,234.50"),
        ("money:USD", "1234.5", "US$1,234.50"),
        ("money:JPY", "1234.5", "JP¥1,235"),
    ],
)
def test_formats_by_the_country_of_the_number(format, cell, written):
    assert worded(cell, format) == written


def test_the_language_is_the_template_s_and_the_country_the_recipient_s():
    assert worded("2026-03-12", "date:long", phone=GERMANY, language="de") == "12. März 2026"
    assert worded("1234.5", "number", phone=GERMANY, language="de") == "1.234,5"
    assert worded("1234.5", "number", phone=SINGAPORE, language="de") == "1.234,5"
    assert worded("2026-03-12", "date:short", phone=CANADA) == "2026-03-12"
    assert worded("2026-03-12", "date:short", phone="+12125550100") == "3/12/26"
    # A user id has no country.
    assert worded("2026-03-12", "date:short", phone="id:ABC") == "3/12/26"


def test_a_locale_applies_to_everybody_and_settles_ambiguous_values():
    assert worded("3/4/2026", "date:long", locale="en_GB") == "3 April 2026"
    assert worded("3/4/2026", "date:long", locale="en-US") == "March 4, 2026"
    assert worded("1.234", "money:EUR", locale="de_DE") == "1.234,00 €"
    assert worded("1.234", "number", locale="en_GB") == "1.234"


@pytest.mark.parametrize(
    ("format", "cell", "why"),
    [
        ("date", "3/4/2026", "can be two days"),
        ("date", "2026-02-30", "is not a date"),
        ("date", "soon", "is not a date"),
        ("number", "1,234", "can be two numbers"),
        ("number", "1.23.4", "is not a number"),
        ("money:SGD", "€5", "is not a number"),
        ("money:SGD", "about 5", "is not a number"),
    ],
)
def test_nothing_is_guessed(format, cell, why):
    with pytest.raises(ValueError, match=f"^2: .*{why}"):
        worded(cell, format)


@given(
    st.decimals(min_value=-(10**9), max_value=10**9, places=2),
    st.sampled_from(["en_SG", "de_DE", "fr_FR", "pt_BR", "de_CH", "es_MX", "id_ID"]),
)
def test_text_in_the_format_of_a_country_is_read_back(amount, code):
    locale = Locale.parse(code)
    written = format_decimal(amount, locale=locale, decimal_quantization=False)

    assert read_number(written, locale) == amount


LOCALES = [code for code in sorted(locale_identifiers()) if not code.startswith("root")]
DIGITS = st.text("0123456789", min_size=1, max_size=20)
PLAIN = st.tuples(st.sampled_from(["", "-"]), DIGITS, st.text("0123456789", max_size=2))


@given(PLAIN, st.sampled_from(LOCALES), st.sampled_from(["SGD", "JPY", "EUR", "KWD", "CLF"]))
def test_a_plain_figure_is_written_as_babel_writes_it(figure, code, currency):
    sign, whole, rest = figure
    cell = f"{sign}{whole}{'.' * bool(rest)}{rest}"
    formats = {"1": f"money:{currency}", "2": "number"}
    wording = CellWording(template(), SOURCES, formats, code)
    smallest = Decimal(1).scaleb(-get_currency_precision(currency))
    amount = Decimal(cell).quantize(smallest, ROUND_HALF_UP)

    assert fill(SOURCES, {"name": cell, "amount": cell}, wording.converts(SINGAPORE)) == (
        format_currency(amount, currency, locale=code),
        format_decimal(Decimal(cell), locale=code, decimal_quantization=False),
    )


@pytest.mark.parametrize("cell", ["1" * 25, "1" * 21 + ".2345"])
@pytest.mark.parametrize("format", ["number", "money:SGD"])
def test_too_many_digits_are_not_a_number(cell, format):
    with pytest.raises(ValueError, match="more than 24 digits"):
        worded(cell, format)


@given(st.decimals(min_value=0, max_value=10**9, places=4))
def test_a_plain_number_is_never_changed(amount):
    assert read_number(f"{amount:f}") == Decimal(amount)


@given(
    st.dates(date(1000, 1, 1)), st.sampled_from(["{0:%Y-%m-%d}", "{0:%d.%m.%Y}", "{0:%Y/%m/%d}"])
)
def test_a_date_that_can_be_read_one_way_is(day, form):
    assert read_day(form.format(day)) == day


@pytest.mark.parametrize(
    "cell",
    [
        "",
        " ",
        "-",
        "#N/A",
        "#REF!",
        "#DIV/0!",
        " #VALUE! ",
        "#NV",
        "#¡REF!",
        "Err:502",
        "###",
        "null",
        "NULL",
        "nan",
        "NaN",
    ],
)
def test_a_cell_that_counts_as_empty_gets_the_default(cell):
    sources = with_defaults(SOURCES, {"1": "there"})

    assert fill(sources, {"name": cell, "amount": "5"}) == ("there", "5")
    assert fill(SOURCES, {"name": cell, "amount": "5"}) is None


@pytest.mark.parametrize("name", ["Nan", "Null", "NaN a", "--", "N/A", "none", "Nil", "nAn"])
def test_a_name_that_only_looks_empty_is_a_name(name):
    assert not is_nothing(name)
    assert fill(with_defaults(SOURCES, {"1": "there"}), {"name": name, "amount": "5"}) == (
        name,
        "5",
    )


def test_a_default_is_used_as_it_was_typed():
    sources = with_defaults(SOURCES, {"1": "dear customer"})
    wording = CellWording(template(), sources, {"1": "title"})

    assert fill(sources, {"name": "-", "amount": "5"}, wording.converts(SINGAPORE)) == (
        "dear customer",
        "5",
    )


def test_the_plan_shows_what_the_format_changes_first():
    wording = CellWording(template(), SOURCES, {"1": "title"})
    for name in ("Ana", "Ben", "JOSE", "Cid", "mary ann", "Dee"):
        fill(SOURCES, {"name": name, "amount": "5"}, wording.converts(SINGAPORE))
    [shown] = wording.to_json(len)["formats"]

    assert (shown["placeholder"], shown["column"], shown["format"]) == ("1", "name", "title")
    assert shown["examples"] == [
        {"cell": "JOSE", "text": "Jose"},
        {"cell": "mary ann", "text": "Mary Ann"},
        {"cell": "Ana", "text": "Ana"},
    ]


@pytest.mark.parametrize(
    ("key", "format", "locale", "said"),
    [
        ("1", "tittle", None, "`tittle` is not a format"),
        ("1", "money:XXQ", None, "`money:XXQ` is not a format"),
        ("1", "money", None, "`money` is not a format"),
        ("1", "date:huge", None, "`date:huge` is not a format"),
        ("1", "title,", None, "`` is not a format"),
        ("1", "date", "xx_YY", "how dates and numbers are written in `xx_YY`"),
        ("name", "title", None, "names no placeholder that is filled"),
    ],
)
def test_an_impossible_format_is_refused(key, format, locale, said):
    with pytest.raises(UsageError, match=said):
        CellWording(template(), SOURCES, {key: format}, locale)


def test_the_name_of_a_column_is_answered_with_its_placeholder():
    with pytest.raises(UsageError) as refused:
        with_defaults(SOURCES, {"name": "there"})

    assert "--default 1=..." in (refused.value.hint or "")


def test_a_value_for_all_takes_no_default():
    with pytest.raises(UsageError, match="everybody gets the same"):
        with_defaults((ParameterSource("1", text="you"),), {"1": "there"})
