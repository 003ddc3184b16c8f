"""Phone numbers: what people write in lists, and the one way wacoex writes them (E.164)."""

from __future__ import annotations

import functools
import re
import unicodedata
from datetime import date
from typing import TYPE_CHECKING, NamedTuple

from wacoex_cli.errors import UsageError

if TYPE_CHECKING:
    from phonenumbers import PhoneMetadata

_E164 = re.compile(r"\+[1-9][0-9]{6,14}")
# Mexico dropped the 1 of its mobile numbers in 2019; lists and WhatsApp's ids still have it.
_OLD_MEXICAN = re.compile(r"\+521([0-9]{10})")
_CLEANED = re.compile(r"\+?[0-9]+")
# What a spreadsheet makes of a number it took for a decimal. Dropping just the point would
# append a digit, and so call a stranger.
_WHOLE_DECIMAL = re.compile(r"(\+?[0-9]{6,})[.,]0+")
_DECIMAL = re.compile(r"[+-]?(?:[0-9]+[.,][0-9]{1,2}|[0-9]{7,}[.,][0-9]+|[0-9][.,][0-9]{5,})")
_THOUSANDS = re.compile(r"[+-]?[0-9]{1,3}(?:(?:,[0-9]{3})+(?:\.[0-9]+)?|(?:[. '][0-9]{3})+,[0-9]+)")
_SCIENTIFIC = re.compile(r"[+-]?[0-9]+(?:[.,][0-9]*)?[eE][+-]?[0-9]{1,3}")
# Year first, or last. Which of two short figures is the month is tried out.
_DATE = re.compile(
    r"(?:(?P<y1>(?:19|20)[0-9]{2})(?P<s1>[-./])\s?(?P<a1>[0-9]{1,2})(?P=s1)\s?(?P<b1>[0-9]{1,2})"
    r"|(?P<a2>[0-9]{1,2})(?P<s2>[-./])\s?(?P<b2>[0-9]{1,2})(?P=s2)\s?(?P<y2>(?:19|20)[0-9]{2}))\.?"
    r"(?:[T,]?\s*[0-9]{1,2}[:.][0-9]{2}(?:[:.][0-9]{2}(?:[.,][0-9]+)?)?\s*(?:[AaPp]\.?[Mm]\.?)?"
    r"\s*(?:Z|UTC|[+-][0-9]{2}:?[0-9]{2})?)?"
)
# In a phone number a point, hyphen or slash stands between digits or brackets, alone.
_MISPLACED = re.compile(r"(?:^|[-./+])\s*[-./]|[-./]\s*$")
# Argentina: ten digits after 54; Brazil: area code, then eight digits of which the first is mobile.
_LACKS_A_NINE = re.compile(r"\+(54)([1-8][0-9]{9})|\+(55[1-9][1-9])([6-9][0-9]{7})")
_BETWEEN_NUMBERS = re.compile(r":::|[/;,|\n\r]")
_FORMULA = re.compile(r'="(.*)"')
_SCHEME = re.compile(r"(?:tel|whatsapp):(?!//)", re.IGNORECASE)
_LINK = re.compile(
    r"(?:https?://)?(?:www\.)?"
    r"(?:wa\.me/|(?:api|web)\.whatsapp\.com/send/?\?(?:[^#]*&)?phone=)"
    r"(?:\+|%2B)?([0-9]+)(?:[/?&#].*)?",
    re.IGNORECASE,
)
_WHATSAPP_ID = re.compile(r"([0-9]+)(?::[0-9]+)?@(?:c\.us|s\.whatsapp\.net)", re.IGNORECASE)

_SPACES = (
    "\t\u00a0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a"
    "\u202f\u205f\u3000"
)
_HYPHENS = "\u2010\u2011\u2012\u2013\u2014\u2015\u2212\ufe58\ufe63\uff0d"
_SEPARATORS = " -./()[]\uff08\uff09"
_INVISIBLE = (
    "\u00ad\u200b\u200c\u200d\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2060"
    "\u2066\u2067\u2068\u2069\ufeff"
)
_PLAIN = str.maketrans(
    _SPACES + _HYPHENS + "\uff0b\uff0e\uff0c\uff0f",
    " " * len(_SPACES) + "-" * len(_HYPHENS) + "+.,/",
    _INVISIBLE,
)
_REMOVED = str.maketrans("", "", _SEPARATORS)
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
    `+` or `00`. Only lengths are judged, as new ranges open faster than software is updated;
    `assigned` judges ranges too. Nothing is guessed: letters, extensions, dates, decimals or two
    numbers in one field give None.
    """
    cleaned = text if _E164.fullmatch(text) else _cleaned(text)
    if cleaned is None:
        return None
    if country and country.upper() == "MX" and _OLD_MEXICAN.fullmatch(f"+{cleaned}"):
        cleaned = f"+{cleaned}"
    if cleaned.startswith("+"):
        if old := _OLD_MEXICAN.fullmatch(cleaned):
            cleaned = f"+52{old[1]}"
        found = cleaned if _is_settled(cleaned) else _interpreted(cleaned, None)
    else:
        found = _read_in_country(cleaned, country) if country else None
    # "03012345/03098765" is long, but not too long for a number of Germany: it is two of Berlin.
    return None if found and "/" in text and holds_two(text, country) else found


def assigned(phone: str) -> str | None:
    """The number in its country's own spelling, None when no range of a numbering plan has it.

    `phone` is what `normalise` gave. WhatsApp's ids of Brazil lack the ninth digit, lists of
    Argentina the 9 of a mobile number: such a number gets it where only that makes it one.
    Ranges are those that libphonenumber knows; a new one may be missing.
    """
    if _has_range(phone):
        return phone
    match = _LACKS_A_NINE.fullmatch(phone)
    if match is None:
        return None
    national = f"+{match[1] or match[3]}9{match[2] or match[4]}"
    return national if _has_range(national) else None


def one_spelling(phone: str) -> str:
    """The same E.164 number for both spellings of one WhatsApp number: the shorter of them.

    Argentina's mobile numbers have a 9 after +54, Mexico's had a 1 after +52, Brazil's got a ninth
    digit; lists and WhatsApp's ids leave them out or keep them.
    """
    digits = len(phone) - 1
    if (phone.startswith("+549") and digits == 13) or (phone.startswith("+521") and digits == 13):
        return phone[:3] + phone[4:]
    if phone.startswith("+55") and digits == 13 and phone[5] == "9" and phone[6] in "6789":
        return phone[:5] + phone[6:]
    return phone


@functools.lru_cache(10_000)
def spellings(phone: str) -> tuple[str, ...]:
    """An E.164 number, and the other spelling of it where WhatsApp knows two."""
    shorter = one_spelling(phone)
    if shorter != phone:
        return phone, shorter
    if len(phone) == 13 and phone.startswith("+54"):
        return phone, f"+549{phone[3:]}"
    if len(phone) == 13 and phone.startswith("+52"):
        return phone, f"+521{phone[3:]}"
    if len(phone) == 13 and phone.startswith("+55") and phone[5] in "6789":
        return phone, f"{phone[:5]}9{phone[5:]}"
    return (phone,)


def holds_two(text: str, country: str | None = None) -> bool:
    """Whether each part of a text is a number by itself, apart by `/`, `;`, `,` or a line break."""
    parts = [part for part in _BETWEEN_NUMBERS.split(text) if part.strip()]
    if len(parts) < 2:
        return False
    return all((phone := normalise(part, country)) and assigned(phone) for part in parts)


def misread(text: str) -> str | None:
    """What a text of digits is when it is no phone number: a date, a decimal; else None."""
    return _misread(_plain(text.strip().lstrip(_APOSTROPHES)))


def _misread(plain: str) -> str | None:
    if _SCIENTIFIC.fullmatch(plain):
        return "a number in scientific notation"
    if _WHOLE_DECIMAL.fullmatch(plain):
        return None
    if _DECIMAL.fullmatch(plain) or _THOUSANDS.fullmatch(plain):
        return "a decimal number"
    found = _DATE.fullmatch(plain)
    if found is None:
        return None
    year = int(found["y1"] or found["y2"])
    first, second = int(found["a1"] or found["a2"]), int(found["b1"] or found["b2"])
    is_date = _is_date(year, first, second) or _is_date(year, second, first)
    return "a date" if is_date else None


def _is_date(year: int, month: int, day: int) -> bool:
    try:
        date(year, month, day)
    except ValueError:
        return False
    return True


def regions_of_code(code: str) -> tuple[str, ...]:
    """The ISO 3166 regions that share a calling code, the main one first; none for satellites."""
    from phonenumbers import COUNTRY_CODE_TO_REGION_CODE, REGION_CODE_FOR_NON_GEO_ENTITY

    regions = COUNTRY_CODE_TO_REGION_CODE.get(int(code), ())
    return tuple(region for region in regions if region != REGION_CODE_FOR_NON_GEO_ENTITY)


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
    text = _plain(text)
    if decimal := _WHOLE_DECIMAL.fullmatch(text):
        text = decimal[1]
    if not _CLEANED.fullmatch(text):
        if _MISPLACED.search(text) or _misread(text):
            return None
        text = text.translate(_REMOVED)
        # libphonenumber reads `++49` as `+49`.
        text = f"+{text.lstrip('+')}" if text.startswith("+") else text
        if not _CLEANED.fullmatch(text):
            return None
    digits = text.removeprefix("+")
    if digits.startswith("00"):
        return f"+{digits[2:]}"
    return text


def _plain(text: str) -> str:
    """The text with the signs of ASCII for digits, spaces, hyphens and plus, nothing invisible."""
    text = text.translate(_PLAIN)
    if not text.isascii():
        text = "".join(str(unicodedata.decimal(character, character)) for character in text)
    return text.strip()


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


class _Region(NamedTuple):
    """The ranges of one region that shares a calling code. `leading` decides alone, if there."""

    leading: re.Pattern[str] | None
    national: re.Pattern[str]
    kinds: tuple[tuple[frozenset[int], re.Pattern[str]], ...]

    def has(self, national: str) -> bool:
        """Whether one of the kinds of line has the number; lengths count as libphonenumber does."""
        return self.national.fullmatch(national) is not None and any(
            (not lengths or len(national) in lengths) and pattern.fullmatch(national)
            for lengths, pattern in self.kinds
        )


def _has_range(e164: str) -> bool:
    """What `phonenumbers.is_valid_number` says, many times faster."""
    code = calling_code(e164)
    national = e164[len(code) + 1 :]
    regions = _regions_of(code)
    if len(regions) == 1:
        return regions[0].has(national)
    for region in regions:
        if region.leading is not None and region.leading.match(national):
            return region.has(national)
        if region.leading is None and region.has(national):
            return True
    return False


@functools.cache
def _regions_of(code: str) -> tuple[_Region, ...]:
    from phonenumbers import COUNTRY_CODE_TO_REGION_CODE, PhoneMetadata

    read = PhoneMetadata.metadata_for_region_or_calling_code
    listed = COUNTRY_CODE_TO_REGION_CODE.get(int(code), ())
    found = (read(int(code), region) for region in listed)
    return tuple(_region(metadata) for metadata in found if metadata is not None)


def _region(metadata: PhoneMetadata) -> _Region:
    general = metadata.general_desc
    fields = ("fixed_line", "mobile", "premium_rate", "toll_free", "shared_cost", "voip")
    rare = ("personal_number", "pager", "uan", "voicemail")
    described = (getattr(metadata, field) for field in fields + rare)
    return _Region(
        leading=re.compile(metadata.leading_digits) if metadata.leading_digits else None,
        national=re.compile((general and general.national_number_pattern) or _NEVER),
        kinds=tuple(
            (frozenset(kind.possible_length), re.compile(kind.national_number_pattern))
            for kind in described
            if kind is not None and kind.national_number_pattern
        ),
    )


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
