"""How the values of a list are worded in a message: defaults, letters, dates and amounts."""

from __future__ import annotations

import functools
import re
from array import array
from dataclasses import replace
from datetime import date
from decimal import ROUND_HALF_UP, Decimal, InvalidOperation
from typing import TYPE_CHECKING, Any, NamedTuple

from wacoex_cli.errors import UsageError, counted
from wacoex_cli.foundation.phone_numbers import calling_code, region_of, regions_of_code
from wacoex_cli.templates.model import Placeholder, Template, ValueKind, placeholders
from wacoex_cli.templates.values import Convert, ParameterSource, is_nothing

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from babel import Locale

_FORMATS = "title, upper, lower, first, trim, date:long, number, money:SGD"
_DATE_STYLES = ("full", "long", "medium", "short")
_OF_LOCALE = frozenset(("date", "number", "money"))
_FORMATTED = frozenset(
    (ValueKind.TEXT, ValueKind.PAYLOAD, ValueKind.CODE, ValueKind.TOKEN, ValueKind.FILE_NAME)
)

# As many different values of one column as are kept in memory: most columns have fewer.
_KEPT_VALUES = 50_000
_EXAMPLES = 3
# Enough digits to tell the countries apart that share a calling code, such as +1 and +44.
_TELLING_DIGITS = 7

_APOSTROPHES = ("'", "`", "\u2019")
_WORD = re.compile(r"[^\s\-'`\u2019]+")
_PARTICLES = frozenset(
    [
        *("de", "da", "do", "das", "dos", "del", "della", "di", "du", "la", "las", "los", "le"),
        *("y", "e", "van", "von", "der", "den", "bin", "binti", "ibn", "al"),
    ]
)
_TURKISH = frozenset(("tr", "az"))
_DAY = re.compile(
    r"(?:(?P<year>[0-9]{4})(?P<mark>[-/.])(?P<month>[0-9]{1,2})(?P=mark)(?P<day>[0-9]{1,2})"
    r"|(?P<first>[0-9]{1,2})(?P<sign>[-/.])(?P<second>[0-9]{1,2})(?P=sign)(?P<last>[0-9]{4}))"
    r"(?:[T ]\s*[0-9]{1,2}:[0-9]{2}.*)?"
)
_GROUP_SPACES = re.compile(r"(?<=[0-9])[ '\u2019\u00a0\u2009\u202f](?=[0-9]{3}(?![0-9]))")
_FIGURE = re.compile(r"[+-]?[0-9]+(?:[.,][0-9]+)*")
# What most lists hold: a point can only be the decimal one unless three digits follow it.
_PLAIN_FIGURE = re.compile(r"(?P<minus>-?)0*(?P<whole>[0-9]{1,20})(?:\.(?P<rest>[0-9]{1,2}))?")
# With more, and the decimals of a currency, `decimal` would round, or fail.
_MOST_DIGITS = 24


class Format(NamedTuple):
    """One step of `--format`: `title`, or with a detail `date:long`."""

    name: str
    detail: str = ""

    @classmethod
    def read(cls, text: str) -> Format:
        """The step that a text names. Raises UsageError (code `bad_format`)."""
        name, _, detail = text.strip().partition(":")
        if name == "date" and detail in ("", *_DATE_STYLES):
            return cls(name, detail or "long")
        if name == "money" and _is_currency(detail.upper()):
            return cls(name, detail.upper())
        if name in ("title", "upper", "lower", "first", "trim", "number") and not detail:
            return cls(name)
        hint = f"the formats are {_FORMATS}"
        if name == "date":
            hint = f"a date is {', '.join(f'date:{style}' for style in _DATE_STYLES)}"
        elif name == "money":
            hint = "name the currency with its three letters (ISO 4217): money:SGD"
        raise UsageError(f"`{text}` is not a format", hint=hint, code="bad_format")

    def __str__(self) -> str:
        return f"{self.name}:{self.detail}" if self.detail else self.name


def _is_currency(code: str) -> bool:
    from babel.numbers import list_currencies

    return code in list_currencies()


def with_defaults(
    sources: Sequence[ParameterSource], defaults: Mapping[str, str]
) -> tuple[ParameterSource, ...]:
    """The sources with what takes the place of an empty cell, by the keys of placeholders.

    Raises:
        UsageError: no such placeholder, or no column fills it.
    """
    for key in defaults:
        _demand_column(sources, "--default", key)
    return tuple(
        replace(source, default=defaults[source.key]) if source.key in defaults else source
        for source in sources
    )


def _demand_column(sources: Sequence[ParameterSource], option: str, key: str) -> None:
    """Raise UsageError unless a column fills the placeholder."""
    by_key = {source.key: source for source in sources}
    if key not in by_key:
        filled = [source.key for source in sources if source.column == key]
        names = ", ".join(f"`{name}`" for name in by_key) or "none"
        raise UsageError(
            f"`{option} {key}=...` names no placeholder that is filled",
            hint=f"column `{key}` fills placeholder `{filled[0]}`: {option} {filled[0]}=..."
            if filled
            else f"the filled placeholders are {names}",
            code="unknown_placeholder",
        )
    if by_key[key].column is None:
        raise UsageError(
            f"`{option} {key}=...` is for a placeholder that a column fills;"
            f" everybody gets the same for `{key}`",
            hint=f"leave it out, or fill it from a column: --param {key}=COLUMN",
            code="no_column",
        )


class CellWording:
    """What happens to the cells of a plan, and what the plan says about it.

    `formats` are by the keys of placeholders, as they were typed. Dates and numbers are written as
    in the message's language in the recipient's country, or as in `locale` if that is given. In
    that locale a date such as 3/4/2026 is read too; without it nobody knows which is the month.

    Raises:
        UsageError: an unknown format or locale, or a placeholder that takes no format.
    """

    def __init__(
        self,
        template: Template,
        sources: Sequence[ParameterSource],
        formats: Mapping[str, str] = {},
        locale: str | None = None,
        converts: Mapping[str, Convert] = {},
    ) -> None:
        self._checks = converts
        self._formats = {
            key: tuple(map(Format.read, steps.split(","))) for key, steps in formats.items()
        }
        self._examples: dict[str, dict[bool, dict[str, str]]] = {
            key: {True: {}, False: {}} for key in formats
        }
        self._columns = {source.key: source.column for source in sources}
        self._with_default = [source for source in sources if source.default is not None]
        self._defaulted = {source.key: array("q") for source in self._with_default}
        self._shortened = array("q")
        for key in formats:
            _demand_column(sources, "--format", key)
        for place in placeholders(template):
            _demand_text(place, self._formats)
        steps = {step.name for found in self._formats.values() for step in found}
        self._given = _locale(locale, "--locale") if locale else None
        self._by_person = bool(steps & _OF_LOCALE) and not self._given
        self._fallback = template.language
        codes = [version.language for version in template.versions]
        self._base = {
            code: _locale(code, "--lang") if self._by_person else self._given for code in codes
        }
        self._language = {code: _language(locale or code) for code in codes}
        self._in_region: dict[tuple[str, str | None], Mapping[str, Convert]] = {}
        self._regions: dict[str, str | None] = {}

    def converts(self, phone: str | None, language: str | None = None) -> Mapping[str, Convert]:
        """How the cells of a person with this number (E.164) are checked and written.

        `language` is that of their message; None for the template's own.
        """
        if not self._formats:
            return self._checks
        region = self._region(phone) if self._by_person and phone else None
        place = (language or self._fallback, region)
        found = self._in_region.get(place)
        if found is None:
            found = self._in_region[place] = self._converts_in(*place)
        return found

    def note_defaults(
        self, row: int, sources: Iterable[ParameterSource], values: Mapping[str, str]
    ) -> None:
        """Remember which defaults a row gets; `sources` are those of its language."""
        if not self._with_default:
            return
        for source in sources:
            if source.default is None:
                continue
            if is_nothing(values.get(source.column or "", "")):
                self._defaulted[source.key].append(row)

    def note_cut(self, row: int) -> None:
        """Remember that a value of a row was cut."""
        self._shortened.append(row)

    def to_json(self, count: Callable[[Sequence[int]], int]) -> dict[str, Any]:
        """`defaults`, `formats` and `cut` of a plan; `count` says how many rows will be sent."""
        return {
            "defaults": [
                {
                    "placeholder": source.key,
                    "default": source.default,
                    "recipients": count(self._defaulted[source.key]),
                }
                for source in self._with_default
            ],
            "formats": [
                {
                    "placeholder": key,
                    "column": self._columns[key],
                    "format": ",".join(map(str, steps)),
                    "examples": self._examples_of(key),
                }
                for key, steps in self._formats.items()
            ],
            "cut": count(self._shortened),
        }

    def _examples_of(self, key: str) -> list[dict[str, str]]:
        """What the format changes tells more than what it leaves."""
        found = [*self._examples[key][True].items(), *self._examples[key][False].items()]
        return [{"cell": cell, "text": text} for cell, text in found[:_EXAMPLES]]

    def _converts_in(self, language: str, region: str | None) -> Mapping[str, Convert]:
        base, word = self._base[language], self._language[language]
        locale = _in_region(base, region) if base else None
        made = {
            key: functools.lru_cache(_KEPT_VALUES)(self._convert(key, steps, word, locale))
            for key, steps in self._formats.items()
        }
        return {**self._checks, **made}

    def _convert(
        self, key: str, steps: Sequence[Format], language: str, locale: Locale | None
    ) -> Convert:
        check, examples = self._checks.get(key), self._examples[key]

        def convert(cell: str) -> str:
            text = cell
            for step in steps:
                text = _formatted(text, step, language, locale, self._given)
            if check:
                text = check(text)
            kept = examples[text != cell]
            if len(kept) < _EXAMPLES:
                kept[cell] = text
            return text

        return convert

    def _region(self, phone: str) -> str | None:
        telling = phone[:_TELLING_DIGITS]
        if telling not in self._regions:
            regions = regions_of_code(calling_code(phone)) if phone.startswith("+") else ()
            shared = region_of(phone) if len(regions) > 1 else None
            self._regions[telling] = shared or next(iter(regions), None)
        return self._regions[telling]


def wording_text(data: Mapping[str, Any]) -> Iterator[str]:
    """The `to_json` of a wording, for a person."""
    for found in data["defaults"]:
        people = counted(found["recipients"], "recipient")
        yield f"  default for {found['placeholder']}: {people} with {found['default']!r}"
    for found in data["formats"]:
        shown = ", ".join(
            f"{example['cell']!r} becomes {example['text']!r}" for example in found["examples"]
        )
        yield f"  format of {found['placeholder']} ({found['format']}): {shown or 'no value'}"
    if data["cut"]:
        yield f"  cut to Meta's limits: {counted(data['cut'], 'message')}"


def _demand_text(place: Placeholder, formats: Mapping[str, Sequence[Format]]) -> None:
    is_named = place.kind is ValueKind.LOCATION and place.key.endswith((".name", ".address"))
    if place.key in formats and place.kind not in _FORMATTED and not is_named:
        raise UsageError(
            f"placeholder `{place.key}` takes no format: its value is not a text",
            hint="leave this `--format` out",
            code="bad_format",
        )


def _language(code: str) -> str:
    return re.split("[-_]", code)[0].lower()


def _locale(code: str, option: str) -> Locale:
    """Raises UsageError (code `unknown_locale`)."""
    from babel import Locale, UnknownLocaleError

    language = _language(code)
    # Meta has languages with a country that Babel does not know, such as ps_AF; see --lang.
    tries = (code,) if option == "--locale" else (code, language)
    for text in tries:
        try:
            return Locale.parse(text.replace("-", "_"))
        except (UnknownLocaleError, ValueError):
            continue
    raise UsageError(
        f"wacoex does not know how dates and numbers are written in `{code}`",
        hint="name a language, with a country if you like: --locale en_SG",
        code="unknown_locale",
    )


def _in_region(locale: Locale, region: str | None) -> Locale:
    """The locale of the same language and script in another country, where Babel has it."""
    from babel import Locale, UnknownLocaleError

    if region is None or region == locale.territory:
        return locale
    try:
        found = Locale.parse(f"{locale.language}_{region}")
    except (UnknownLocaleError, ValueError):
        return locale
    return found if found.script == locale.script else locale


def _formatted(
    text: str, step: Format, language: str, locale: Locale | None, given: Locale | None
) -> str:
    """Raises ValueError for a text that is no such date or number."""
    match step.name:
        case "title":
            return title(text, language)
        case "upper":
            return _upper(text, language)
        case "lower":
            return _lower(text, language)
        case "first":
            return text.split()[0]
        case "trim":
            return " ".join(text.split())
        case "date":
            from babel.dates import format_date

            return format_date(read_day(text, given), step.detail, locale=locale)
        case "number":
            return _number(text, locale, given)
    return _money(text, step.detail, locale, given)


def title(name: str, language: str = "") -> str:
    """A name with capitals where people write them: `JOSÉ DE LA CRUZ` as `José de la Cruz`.

    A word that has both small and capital letters stays as it is, such as `McDonald`.
    """
    words = name.split()
    last = len(words) - 1
    made = [
        _lower(word, language)
        if 0 < place < last and _lower(word, language) in _PARTICLES
        else _WORD.sub(lambda found: _capitalised(found, language), word)
        for place, word in enumerate(words)
    ]
    return " ".join(made)


def _capitalised(found: re.Match[str], language: str) -> str:
    word, before = found[0], found.string[: found.start()]
    is_mixed = word != _lower(word, language) and word != _upper(word, language)
    if is_mixed:
        return word
    # `mary's` has no second name after its apostrophe; `o'neill` has.
    if len(word) == 1 and before.endswith(_APOSTROPHES) and len(before) > 2:
        return _lower(word, language)
    first = "İ" if word[0] == "i" and language in _TURKISH else word[0].title()
    return first + _lower(word[1:], language)


def _upper(text: str, language: str) -> str:
    return (text.replace("i", "İ") if language in _TURKISH else text).upper()


def _lower(text: str, language: str) -> str:
    return (text.replace("İ", "i").replace("I", "\u0131") if language in _TURKISH else text).lower()


def read_day(text: str, locale: Locale | None = None) -> date:
    """The day that a cell names. `locale` decides which of two figures is the month.

    Raises:
        ValueError: no date, or one that can be read as two days.
    """
    found = _DAY.fullmatch(text)
    if found is None:
        raise ValueError(f"`{text}` is not a date; write it as 2026-03-12")
    if found["year"]:
        return _day(text, found["year"], found["month"], found["day"])
    first, second, year = found["first"], found["second"], found["last"]
    is_day_first = found["sign"] == "." or int(first) > 12 or first == second
    if not is_day_first and int(second) <= 12:
        if locale is None:
            raise ValueError(
                f"`{text}` can be two days; write it as 2026-03-12, or say with"
                " `--locale` who wrote it"
            )
        pattern = str(locale.date_formats["short"].pattern)
        is_day_first = pattern.find("d") < pattern.find("M")
    if is_day_first:
        first, second = second, first
    return _day(text, year, first, second)


def _day(text: str, *parts: str) -> date:
    try:
        return date(*map(int, parts))
    except ValueError:
        raise ValueError(f"`{text}` is not a date; write it as 2026-03-12") from None


def read_number(text: str, locale: Locale | None = None) -> Decimal:
    """The number that a cell names, with or without marks of thousands.

    `locale` decides what a single mark before three digits is: 1.234 is 1234 in German.

    Raises:
        ValueError: no number, or one that can be read as two.
    """
    plain = _GROUP_SPACES.sub("", text.replace("\u2212", "-"))
    if not _FIGURE.fullmatch(plain):
        raise ValueError(f"`{text}` is not a number")
    marks = [sign for sign in plain if sign in ".,"]
    decimal = None
    if len(set(marks)) == 2:
        decimal = marks[-1]
    elif len(marks) == 1:
        whole, _, rest = plain.lstrip("+-").partition(marks[0])
        decimal = marks[0]
        if len(rest) == 3 and len(whole) <= 3 and not whole.startswith("0"):
            decimal = _decimal_mark(text, locale)
    if sum(map(str.isdigit, plain)) > _MOST_DIGITS:
        raise ValueError(f"`{text}` has more than {_MOST_DIGITS} digits")
    whole, _, rest = plain.partition(decimal) if decimal else (plain, "", "")
    groups = re.split("[.,]", whole)
    is_grouped = all(len(group) == 3 for group in groups[1:]) and len(groups[0].lstrip("+-")) <= 3
    if len(groups) > 1 and not is_grouped:
        raise ValueError(f"`{text}` is not a number")
    try:
        return Decimal("".join(groups) + (f".{rest}" if rest else ""))
    except InvalidOperation:
        raise ValueError(f"`{text}` is not a number") from None


def _decimal_mark(text: str, locale: Locale | None) -> str:
    if locale is None:
        raise ValueError(
            f"`{text}` can be two numbers; write it without a mark of thousands, or say with"
            " `--locale` who wrote it"
        )
    from babel.numbers import get_decimal_symbol

    return str(get_decimal_symbol(locale))


def _number(text: str, locale: Locale | None, given: Locale | None) -> str:
    if found := _PLAIN_FIGURE.fullmatch(text):
        minus, whole, rest = found.group("minus", "whole", "rest")
        return _in_shape(locale, None, minus, whole, (rest or "").rstrip("0"))
    return _written(read_number(text, given), None, locale)


def _money(text: str, currency: str, locale: Locale | None, given: Locale | None) -> str:
    places = _decimals(currency)
    if found := _PLAIN_FIGURE.fullmatch(text):
        minus, whole, rest = found.group("minus", "whole", "rest")
        if rest is None or len(rest) <= places:
            return _in_shape(locale, currency, minus, whole, (rest or "").ljust(places, "0"))
    plain = text
    for sign in _signs_of(currency, locale):
        plain = plain.removeprefix(sign).removesuffix(sign).strip()
    amount = read_number(plain, given)
    smallest = Decimal(1).scaleb(-places)
    return _written(amount.quantize(smallest, ROUND_HALF_UP), currency, locale)


def _written(number: Decimal, currency: str | None, locale: Locale | None) -> str:
    """A number, or an amount of a currency, as Babel writes it."""
    from babel.numbers import format_currency, format_decimal

    if currency is not None:
        return format_currency(number, currency, locale=locale)
    return str(format_decimal(number, locale=locale, decimal_quantization=False))


def _in_shape(
    locale: Locale | None, currency: str | None, minus: str, whole: str, rest: str
) -> str:
    """The same as `_written`, from digits: Babel takes far longer for each number."""
    shape = _shape(locale, currency, minus, len(whole), len(rest))
    if shape is None:
        return _written(Decimal(f"{minus}{whole}.{rest or 0}"), currency, locale)
    return shape % (*whole, *rest)


@functools.lru_cache(1_024)
def _shape(
    locale: Locale | None, currency: str | None, minus: str, whole: int, rest: int
) -> str | None:
    """How Babel writes all numbers with this many digits, with `%s` for each of them.

    None where it does not write each digit in its place.
    """
    nines = _written(Decimal(f"{minus}{'9' * whole}.{'9' * rest or 0}"), currency, locale)
    shape = nines.replace("%", "%%").replace("9", "%s")
    return shape if nines.count("9") == whole + rest else None


@functools.lru_cache(64)
def _signs_of(currency: str, locale: Locale | None) -> Iterable[str]:
    """What may stand beside an amount: the code, and the signs people write."""
    from babel import Locale
    from babel.numbers import get_currency_symbol

    # The first two letters of a currency are its country (ISO 4217), where its sign is short.
    at_home = _in_region(Locale("en"), currency[:2])
    signs = {currency, *(get_currency_symbol(currency, place) for place in (locale, at_home, "en"))}
    if "$" in signs:
        signs.update((f"{currency[0]}$", f"{currency[:2]}$"))
    return sorted(filter(None, signs), key=len, reverse=True)


@functools.lru_cache(64)
def _decimals(currency: str) -> int:
    from babel.numbers import get_currency_precision

    return int(get_currency_precision(currency))
