"""Phone numbers: what people write in lists, and the one way wacoex writes them (E.164)."""

from __future__ import annotations

import functools
import re
import unicodedata
from typing import NamedTuple

from wacoex_cli.errors import UsageError

_E164 = re.compile(r"\+[1-9][0-9]{6,14}")
# Mexico dropped the 1 of its mobile numbers in 2019; lists and WhatsApp's ids still have it.
_OLD_MEXICAN = re.compile(r"\+521([0-9]{10})")
_CLEANED = re.compile(r"\+?[0-9]+")
# What a spreadsheet makes of a number it took for a decimal. Dropping just the point would
# append a digit, and so call a stranger.
_DECIMAL = re.compile(r"(\+?[0-9]{6,})\.0+")
_FORMULA = re.compile(r'="(.*)"')
_SCHEME = re.compile(r"(?:tel|whatsapp):(?!//)", re.IGNORECASE)
_LINK = re.compile(
    r"(?:https?://)?(?:www\.)?"
    r"(?:wa\.me/|(?:api|web)\.whatsapp\.com/send/?\?(?:[^#]*&)?phone=)"
    r"(?:\+|%2B)?([0-9]+)(?:[/?&#].*)?",
    re.IGNORECASE,
)
_WHATSAPP_ID = re.compile(r"([0-9]+)(?::[0-9]+)?@(?:c\.us|s\.whatsapp\.net)", re.IGNORECASE)

_SEPARATORS = (
    "\t -.()[]"
    "\u00a0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a\u202f\u205f\u3000"
    "\u2010\u2011\u2012\u2013\u2014\u2015\u2212\ufe58\ufe63\uff0d"
    "\uff08\uff09\uff0e"
)
_INVISIBLE = (
    "\u00ad\u200b\u200c\u200d\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2060"
    "\u2066\u2067\u2068\u2069\ufeff"
)
_REMOVED = str.maketrans("\uff0b", "+", _SEPARATORS + _INVISIBLE)
_APOSTROPHES = "'`\u2018\u2019"

# The numbering plan of the world: calling codes have one digit, one of these two, or three.
_ONE_DIGIT_CODES = frozenset("17")
_TWO_DIGIT_CODES = frozenset(
    str(code)
    for codes in (
        (20, 27, 36, 39, 40, 41, 81, 82, 84, 86, 98),
        (*range(30, 35), *range(43, 50), *range(51, 59), *range(60, 67), *range(90, 96)),
    )
    for code in codes
)
_NEVER = "(?!)"


def normalise(text: str, country: str | None = None) -> str | None:
    """The E.164 form (`+6591234567`) of a number as people write it, or None when it is none.

    `country` (ISO 3166, two letters, see `check_country`) is needed for a number written without
    `+` or `00`. Only lengths are judged, as new ranges open faster than software is updated.
    Nothing is guessed: letters, extensions or two numbers in one field give None.
    """
    cleaned = text if _E164.fullmatch(text) else _cleaned(text)
    if cleaned is None:
        return None
    if country and country.upper() == "MX" and _OLD_MEXICAN.fullmatch(f"+{cleaned}"):
        cleaned = f"+{cleaned}"
    if cleaned.startswith("+"):
        if old := _OLD_MEXICAN.fullmatch(cleaned):
            cleaned = f"+52{old[1]}"
        return cleaned if _is_settled(cleaned) else _interpreted(cleaned, None)
    return _read_in_country(cleaned, country) if country else None


def region_of(phone: str) -> str | None:
    """The ISO 3166 region of an E.164 number, None when it belongs to no single one."""
    import phonenumbers

    try:
        region = phonenumbers.region_code_for_number(phonenumbers.parse(phone))
    except phonenumbers.NumberParseException:
        return None
    return None if region == phonenumbers.REGION_CODE_FOR_NON_GEO_ENTITY else region


def line_of(phone: str) -> str | None:
    """The kind of line an E.164 number is: `mobile`, `fixed line or mobile`, `voip`, ...

    None when the numbering plans, as far as libphonenumber knows them, have no such number.
    """
    import phonenumbers

    number = phonenumbers.parse(phone)
    if not phonenumbers.is_valid_number(number):
        return None
    kind = phonenumbers.PhoneNumberType.to_string(phonenumbers.number_type(number))
    return kind.lower().replace("_", " ")


def zones_of(phone: str) -> tuple[str, ...]:
    """The time zones (IANA names) in which the owner of an E.164 number may be.

    What a number's range says, all zones of its country otherwise; none for a number of no
    country, such as one of a satellite network.
    """
    from phonenumbers import NumberParseException, parse, timezone, tzdata

    everywhere = tuple(tzdata.TIMEZONE_DATA.get(calling_code(phone), ()))
    if len(everywhere) < 2:
        return everywhere
    try:
        found = timezone.time_zones_for_number(parse(phone))
    except NumberParseException:
        return everywhere
    # A range that is too new for the library is in its country nevertheless.
    return tuple(zone for zone in found if zone != timezone.UNKNOWN_TIMEZONE) or everywhere


def calling_code(e164: str) -> str:
    """The calling code of a number in E.164, without the plus sign."""
    if e164[1] in _ONE_DIGIT_CODES:
        return e164[1]
    return e164[1:3] if e164[1:3] in _TWO_DIGIT_CODES else e164[1:4]


def check_country(text: str) -> str:
    """The ISO 3166 code in upper case. Raises UsageError for a code no numbering plan knows."""
    country = text.strip().upper()
    if country.isalpha() and _plan_of(country):
        return country
    hint = "use the two letters of ISO 3166, such as `SG`, `MY` or `US`"
    if country == "UK":
        hint = "the United Kingdom is `GB`"
    raise UsageError(f"unknown country code `{text}`", hint=hint, code="unknown_country")


def _cleaned(text: str) -> str | None:
    """Digits with an optional `+`, or None when the text holds anything else."""
    text = text.strip()
    if wrapped := _FORMULA.fullmatch(text):
        text = wrapped[1]
    text = text.lstrip(_APOSTROPHES)
    if link := _LINK.fullmatch(text) or _WHATSAPP_ID.fullmatch(text):
        return f"+{link[1]}"
    if scheme := _SCHEME.match(text):
        text = text[scheme.end() :]
    if decimal := _DECIMAL.fullmatch(text):
        text = decimal[1]
    text = text.translate(_REMOVED)
    if not text.isascii():
        text = "".join(str(unicodedata.decimal(character, character)) for character in text)
    if not _CLEANED.fullmatch(text):
        return None
    digits = text.removeprefix("+")
    if digits.startswith("00"):
        return f"+{digits[2:]}"
    return text


def _read_in_country(digits: str, country: str) -> str | None:
    plan = _plan_of(country.upper())
    if plan is None:
        return None
    rest = digits.removeprefix(plan.code)
    if rest != digits and plan.national.fullmatch(digits) and plan.national.fullmatch(rest):
        return _one_of_two(plan, digits, rest)
    return _plainly_read(plan, digits) or _interpreted(digits, country)


def _one_of_two(plan: _Plan, digits: str, rest: str) -> str | None:
    """Digits that make a number both with and without the calling code they begin with.

    libphonenumber takes `62812345678` for a fixed line of Indonesia. Lists mean the mobile
    number, and the other reading is a stranger. Without a clear winner it is no number.
    """
    is_mobile = [bool(plan.mobile.fullmatch(national)) for national in (rest, digits)]
    readings = [f"+{plan.code}{national}" for national in (rest, digits)]
    fits = is_mobile if any(is_mobile) else [line_of(reading) is not None for reading in readings]
    return normalise(readings[fits.index(True)]) if sum(fits) == 1 else None


def _interpreted(cleaned: str, country: str | None) -> str | None:
    """libphonenumber's reading, when a second reading would give the same."""
    found = _parsed(cleaned, country)
    if found is None or not _E164.fullmatch(found):
        return None
    # With stacked trunk zeros each reading takes one more away: such a text is no number.
    return found if _is_settled(found) or _parsed(found, None) == found else None


def _parsed(cleaned: str, country: str | None) -> str | None:
    import phonenumbers

    try:
        number = phonenumbers.parse(cleaned, country)
    except phonenumbers.NumberParseException:
        return None
    reason = phonenumbers.is_possible_number_with_reason(number)
    # "Possible, locally only" lacks its area code: nobody can be reached by it from abroad.
    if reason != phonenumbers.ValidationResult.IS_POSSIBLE:
        return None
    return phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)


class _Plan(NamedTuple):
    """What is needed of a numbering plan to see that libphonenumber would decide the same."""

    code: str
    lengths: frozenset[int]
    trunk_prefix: re.Pattern[str]
    rewrites_trunk: bool
    international_prefix: re.Pattern[str]
    national: re.Pattern[str]
    mobile: re.Pattern[str]


def _is_settled(e164: str) -> bool:
    """Whether the number surely is its own E.164 form; about 20 times faster than parsing it."""
    if not _E164.fullmatch(e164):
        return False
    code = calling_code(e164)
    plan = _plan_of(code)
    if plan is None:
        return False
    start = len(code) + 1
    return (
        len(e164) - start in plan.lengths
        and e164[start] != "0"
        and not plan.trunk_prefix.match(e164, start)
    )


def _plainly_read(plan: _Plan, digits: str) -> str | None:
    """The E.164 form where a country's own way of writing leaves no doubt, else None."""
    if plan.international_prefix.match(digits):
        return None
    rest = digits
    if has_code := digits.startswith(plan.code):
        rest = digits.removeprefix(plan.code)
    trunk = plan.trunk_prefix.match(rest)
    if trunk and (has_code or plan.rewrites_trunk):
        return None
    if trunk:
        rest = rest[trunk.end() :]
    # Without a leading code or prefix there is nothing to mistake for one.
    if rest != digits and (plan.national.fullmatch(digits) or not plan.national.fullmatch(rest)):
        return None
    e164 = f"+{plan.code}{rest}"
    return e164 if len(rest) in plan.lengths and _is_settled(e164) else None


@functools.cache
def _plan_of(place: str) -> _Plan | None:
    """The plan of a country (ISO 3166, upper case) or of a calling code."""
    from phonenumbers import PhoneMetadata, region_code_for_country_code

    if place.isdigit():
        region = region_code_for_country_code(int(place))
        metadata = PhoneMetadata.metadata_for_region_or_calling_code(int(place), region)
    else:
        metadata = PhoneMetadata.metadata_for_region(place, None)
    if metadata is None or metadata.general_desc is None:
        return None
    general, mobile = metadata.general_desc, metadata.mobile
    return _Plan(
        code=str(metadata.country_code),
        lengths=frozenset(general.possible_length) - set(general.possible_length_local_only),
        trunk_prefix=re.compile(metadata.national_prefix_for_parsing or _NEVER),
        rewrites_trunk=bool(metadata.national_prefix_transform_rule),
        international_prefix=re.compile(metadata.international_prefix or _NEVER),
        national=re.compile(general.national_number_pattern or _NEVER),
        mobile=re.compile((mobile and mobile.national_number_pattern) or _NEVER),
    )
