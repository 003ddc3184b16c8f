"""Numbers as real lists hold them."""

from __future__ import annotations

import re

import phonenumbers
import pytest
from hypothesis import given
from hypothesis import strategies as st

from wacoex_cli.errors import UsageError
from wacoex_cli.foundation.phone_numbers import (
    assigned,
    check_country,
    holds_two,
    line_of,
    misread,
    normalise,
    one_spelling,
    region_of,
    spellings,
)

REGIONS = sorted(str(region) for region in phonenumbers.SUPPORTED_REGIONS)
CODES = sorted(phonenumbers.COUNTRY_CODE_TO_REGION_CODE)
EXAMPLES = [
    (region, example)
    for region in REGIONS
    if (
        example := phonenumbers.example_number_for_type(region, phonenumbers.PhoneNumberType.MOBILE)
    )
]


@pytest.mark.parametrize(
    "text",
    [
        "+6591234567",
        "+65 9123 4567",
        "  +65-9123-4567  ",
        "+65.9123.4567",
        "(+65) 9123 4567",
        "+65\u00a09123\u20114567",
        "006591234567",
        "+0065 9123 4567",
        "'+6591234567",
        '="+6591234567"',
        "tel:+65-9123-4567",
        "whatsapp:+6591234567",
        "wa.me/6591234567",
        "https://wa.me/6591234567?text=hello",
        "https://api.whatsapp.com/send?phone=6591234567",
        "https://api.whatsapp.com/send/?text=hi&phone=%2B6591234567&x=1",
        "6591234567@c.us",
        "6591234567:12@s.whatsapp.net",
        "\uff0b\uff16\uff15\uff19\uff11\uff12\uff13\uff14\uff15\uff16\uff17",
        "+\u0666\u0665\u0669\u0661\u0662\u0663\u0664\u0665\u0666\u0667",
        "\u202a+65 9123 4567\u202c",
        "\ufeff+6591234567",
    ],
)
def test_an_international_number_is_read_however_it_is_written(text: str) -> None:
    assert normalise(text) == "+6591234567"


@pytest.mark.parametrize(
    ("text", "country", "expected"),
    [
        ("91234567", "SG", "+6591234567"),
        ("6591234567", "SG", "+6591234567"),
        ("91234567", "sg", "+6591234567"),
        ("012-345 6789", "MY", "+60123456789"),
        ("60123456789", "MY", "+60123456789"),
        ("0412 345 678", "AU", "+61412345678"),
        ("(415) 555-2671", "US", "+14155552671"),
        ("1 415 555 2671", "US", "+14155552671"),
        ("011 65 9123 4567", "US", "+6591234567"),
        ("020 7946 0958", "GB", "+442079460958"),
        ("06 698 12345", "IT", "+390669812345"),
        ("11 96123-4567", "BR", "+5511961234567"),
        ("8 912 345-67-89", "RU", "+79123456789"),
        ("+6591234567", "US", "+6591234567"),
    ],
)
def test_a_national_number_is_read_with_its_country(
    text: str, country: str | None, expected: str | None
) -> None:
    assert normalise(text, country) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("+44 (0)20 7946 0958", "+442079460958"),
        ("+390669812345", "+390669812345"),
        ("+225 01 23 45 67 89", "+2250123456789"),
    ],
)
def test_a_zero_after_the_calling_code_stays_only_where_it_belongs(
    text: str, expected: str | None
) -> None:
    assert normalise(text) == expected


@pytest.mark.parametrize(
    ("text", "country", "expected"),
    [
        ("62812345678", "ID", "+62812345678"),
        ("4915137938879", "DE", "+4915137938879"),
        ("358412078", "FI", "+358412078"),
        ("38343251361", "XK", "+38343251361"),
        ("55991234567", "BR", "+5555991234567"),
        ("5532211234", "BR", "+555532211234"),
        ("4930123456", "DE", "+4930123456"),
        ("390669812345", "IT", "+390669812345"),
        ("49464686", "DE", None),
    ],
)
def test_digits_that_may_begin_with_the_calling_code_are_read_only_when_one_reading_wins(
    text: str, country: str | None, expected: str | None
) -> None:
    assert normalise(text, country) == expected


def test_a_decimal_from_a_spreadsheet_does_not_gain_a_digit() -> None:
    assert normalise("91234567.0", "SG") == "+6591234567"
    assert normalise("+6591234567.00") == "+6591234567"


@pytest.mark.parametrize(
    "text",
    [
        "",
        " ",
        "+",
        "00",
        "0",
        "n/a",
        "hello",
        "6591234567",
        "+65",
        "+65 9123",
        "+65 9123 4567 890 12",
        "+999 1234 5678",
        "6.59123E+09",
        "6.59123E+09".lower(),
        "+65 9123 4567 ext 5",
        "+65 9123 4567 / +65 9876 5432",
        "+65 9123 4567, +65 9876 5432",
        "+6591234567\n+6598765432",
        "+1 555 1234",
        "+1234567890123456",
        "https://wa.me/message/ABCDEF",
        "1-800-FLOWERS",
        "+65912345\u00b267",
        "\0",
    ],
)
def test_text_that_cannot_be_a_number_is_not_read_as_one(text: str) -> None:
    assert normalise(text) is None


@pytest.mark.parametrize("text", ["6.59123E+09", "91234567 / 98765432", "999", "1234567890123"])
def test_a_country_does_not_turn_every_text_into_a_number(text: str) -> None:
    assert normalise(text, "SG") is None


def test_an_unknown_country_reads_only_international_numbers() -> None:
    assert normalise("91234567", "XX") is None
    assert normalise("+6591234567", "XX") == "+6591234567"


@given(st.text() | st.from_regex(r"[+0-9 ().\-]{4,20}"), st.sampled_from([None, *REGIONS]))
def test_reading_a_number_again_changes_nothing(text: str, country: str | None) -> None:
    phone = normalise(text, country)
    if phone is not None:
        assert normalise(phone) == phone
        assert normalise(phone, country) == phone


@given(st.sampled_from(CODES), st.text("0123456789", min_size=3, max_size=13))
def test_the_fast_way_agrees_with_libphonenumber_on_international_numbers(
    code: int, national: str
) -> None:
    phone = normalise(f"+{code}{national}")
    if phone is not None:
        assert _as_libphonenumber_reads(f"+{code}{national}", None) == phone


@given(
    st.sampled_from(REGIONS),
    st.sampled_from(["", "0", "00", "1", "8", "9", "011", "15"]),
    st.booleans(),
    st.text("0123456789", min_size=3, max_size=11),
)
def test_the_fast_way_agrees_with_libphonenumber_on_national_numbers(
    country: str, prefix: str, has_code: bool, digits: str
) -> None:
    code = str(phonenumbers.country_code_for_region(country)) if has_code else ""
    text = f"{code}{prefix}{digits}"
    phone = normalise(text, country)
    # Meta writes numbers of Mexico with a 1 after the country code, which libphonenumber keeps.
    is_of_meta = country == "MX" and text.startswith("521")
    if phone is not None and not is_of_meta and not text.startswith("00") and phone != f"+{text}":
        assert _as_libphonenumber_reads(text, country) == phone


@pytest.mark.parametrize(("region", "example"), EXAMPLES)
def test_the_example_number_of_every_region_is_read_in_each_form(
    region: str, example: phonenumbers.PhoneNumber
) -> None:
    formats = phonenumbers.PhoneNumberFormat
    e164 = phonenumbers.format_number(example, formats.E164)
    assert normalise(phonenumbers.format_number(example, formats.INTERNATIONAL)) == e164
    assert normalise(e164.removeprefix("+"), region) == e164
    assert normalise(phonenumbers.format_number(example, formats.NATIONAL), region) == e164


def _as_libphonenumber_reads(text: str, country: str | None) -> str:
    number = phonenumbers.parse(text, country)
    assert phonenumbers.is_possible_number(number)
    return phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)


@pytest.mark.parametrize(
    ("phone", "region"),
    [
        ("+6591234567", "SG"),
        ("+14155552671", "US"),
        ("+14165550123", "CA"),
        ("+80012345678", None),
        ("+99912345678", None),
        ("nonsense", None),
    ],
)
def test_the_region_of_a_number(phone: str, region: str | None) -> None:
    assert region_of(phone) == region


@pytest.mark.parametrize("text", ["SG", "sg", " Sg "])
def test_a_country_is_given_in_upper_case(text: str) -> None:
    assert check_country(text) == "SG"


@pytest.mark.parametrize(
    ("text", "hint"), [("UK", "GB"), ("Singapore", "two letters"), ("", "two letters")]
)
def test_an_unknown_country_is_refused_with_a_hint(text: str, hint: str) -> None:
    with pytest.raises(UsageError) as caught:
        check_country(text)
    assert caught.value.code == "unknown_country"
    assert hint in (caught.value.hint or "")


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        *((text, "a date") for text in ("2026-11-01", "01.11.2026", "11/01/2026", "2026/11/1")),
        *((text, "a date") for text in ("31/12/1999", "1. 11. 2026", "2026-11-01 09:30:15.5")),
        *((text, "a date") for text in ("2026-11-01T09:30:00Z", "1/11/2026 9:30 PM", "29.2.2028")),
        *((text, "a decimal number") for text in ("4915123456784.5", "1234567,50", "0.25", "-1.5")),
        *((text, "a decimal number") for text in ("491512345678.125", "6.591234567", "1.234,50")),
        *((text, "a number in scientific notation") for text in ("4.91512E+12", "5e9", "4,9E12")),
        *((text, None) for text in ("30.02.2026", "2026-13-13", "01.11.26", "20261101")),
        *((text, None) for text in ("4915123456784.0", "0151.23456784", "+49 30 1234-567", "")),
    ],
)
def test_a_date_or_decimal_is_recognised_as_such(text: str, kind: str | None) -> None:
    assert misread(text) == kind
    if kind is not None:
        assert normalise(text, "DE") is None


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("0151/23456786", "+4915123456786"),
        ("++4915123456786", "+4915123456786"),
        ("\uff0b\uff0b4915123456786", "+4915123456786"),
        ("030/1234-567", "+49301234567"),
        ("4915123456786,0", "+4915123456786"),
        ("-4915123456786", None),
        ("4915123456786-", None),
        ("0151//23456786", None),
        ("0151 .-23456786", None),
        ("+-4915123456786", None),
        ("03012345/03098765", None),
    ],
)
def test_separators_count_only_where_a_number_has_them(text: str, expected: str | None) -> None:
    assert normalise(text, "DE") == expected


@pytest.mark.parametrize(
    ("text", "is_two"),
    [
        ("+4915123456784/+4915123456785", True),
        ("0151 23456784; 0151 23456785", True),
        ("+4915123456784 ::: +4915123456785", True),
        ("+4915123456784\n+4915123456785", True),
        ("0151/23456784", False),
        ("+4915123456784/", False),
        ("+4915123456784/x", False),
    ],
)
def test_two_numbers_are_found_only_when_each_is_valid(text: str, is_two: bool) -> None:
    assert holds_two(text, "DE") is is_two


@pytest.mark.parametrize(
    ("phone", "expected"),
    [
        ("+6591234567", "+6591234567"),
        ("+553188888888", "+5531988888888"),
        ("+551133334444", "+551133334444"),
        ("+5491123456789", "+5491123456789"),
        ("+6512345678", None),
        ("+491512345", None),
        ("+99912345678", None),
    ],
)
def test_a_number_is_assigned_in_its_national_spelling(phone: str, expected: str | None) -> None:
    assert assigned(phone) == expected


@given(st.sampled_from(CODES), st.text("0123456789", min_size=4, max_size=12))
def test_assigned_is_what_libphonenumber_calls_valid(code: int, national: str) -> None:
    phone = normalise(f"+{code}{national}")
    if phone is not None:
        found = assigned(phone)
        assert (found == phone) == (line_of(phone) is not None)
        assert found is None or line_of(found) is not None


@given(
    st.from_regex(r"[+'-]?[0-9]{1,9}(?:[-./, ]{1,2}[0-9]{1,8}){0,4}[-.]?", fullmatch=True),
    st.sampled_from(["DE", "SG", "US", "BR", None]),
)
def test_no_number_is_invented_near_dates_and_decimals(text: str, country: str | None) -> None:
    """Whatever is read is what libphonenumber reads of the same digits, or none."""
    phone = normalise(text, country)
    if phone is None:
        return
    assert misread(text) is None
    digits = re.sub(
        r"[^0-9+]", "", re.sub(r"[.,]0+$", "", text) if _WHOLE.fullmatch(text) else text
    )
    readings = {normalise(digits, country)}
    assert phone in readings


_WHOLE = re.compile(r"'?\+?[0-9]{6,}[.,]0+")


@pytest.mark.parametrize(
    "both",
    [
        ("+5531988888888", "+553188888888"),
        ("+5491123456789", "+541123456789"),
        ("+5215512345678", "+525512345678"),
    ],
)
def test_both_spellings_of_a_number_become_one(both: tuple[str, str]) -> None:
    assert set(spellings(both[0])) == set(spellings(both[1])) == set(both)
    assert one_spelling(both[0]) == one_spelling(both[1])


@pytest.mark.parametrize(
    "phone", ["+6591234567", "+553132345678", "+54911234567", "+4915123456789"]
)
def test_any_other_number_has_one_spelling(phone: str) -> None:
    assert spellings(phone) == (phone,)
