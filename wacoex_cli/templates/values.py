"""Where the values of a message come from, and the values of one row. Pure."""

from __future__ import annotations

import json
import re
import textwrap
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

# Meta refuses a parameter with line breaks, tabs or more than four spaces in a row (132018).
_REFUSED_SPACE = re.compile(r"[\t\n\v\f\r\x85\u2028\u2029]| {5}")
_SPACE = re.compile(r"[ \t\n\v\f\r\x85\u2028\u2029]+")

_SHOWN_CHARACTERS = 60

_ERRORS = """
    #N/A #REF! #VALUE! #DIV/0! #NAME? #NULL! #NUM! #SPILL! #CALC! #FIELD! #BLOCKED! #CONNECT!
    #UNKNOWN! #BUSY! #EXTERNAL! #PYTHON! #ERROR! #GETTING_DATA
    #NV #BEZUG! #WERT! #ZAHL! #ÜBERLAUF!
    #N/D #¡REF! #¡VALOR! #¡DIV/0! #¿NOMBRE? #¡NULO! #¡NUM! #¡DESBORDAMIENTO!
    #VALEUR! #NOM? #NUL! #NOMBRE! #VALOR! #NOME? #NULO! #NÚM! #DESPEJAR!
    #RIF! #VALORE! #NULLO! #N/B #VERW! #WAARDE! #DEEL/0! #NAAM? #LEEG! #GETAL!
    ###
"""
"""What Excel and Google Sheets write, also in German, Spanish, French, Portuguese, Italian, Dutch.

`###` is LibreOffice's for a column that is too narrow.
"""

_NOTHING = frozenset(
    [
        # What databases and programs write for no value; the names Nan and Null are people.
        *("", "-", "null", "NULL", "nan", "NaN"),
        *_ERRORS.split(),
        # LibreOffice: error codes.
        *(f"Err:{code}" for code in range(501, 541)),
    ]
)


@dataclass(frozen=True)
class ParameterSource:
    """Where the value of a placeholder comes from: a column, one text, or one fixed value for all.

    A text is copied into every row. A `value`, a text or a structure out of a file of values, is
    kept here alone. `file` is the name of the file that a reference `file:SHA256` stands for.
    Where it `is_optional` a row may leave it empty. `default` takes the place of an empty cell.
    """

    key: str
    column: str | None = None
    text: str | None = None
    value: Any = None
    file: str | None = None
    is_optional: bool = False
    default: str | None = None

    def to_json(self) -> dict[str, Any]:
        """A copy to keep, as JSON values."""
        return asdict(self)

    @classmethod
    def from_json(cls, kept: Mapping[str, Any]) -> ParameterSource:
        """The source whose `to_json` this is, also an older one with fewer fields."""
        return cls(**kept)


def origin_of(source: Mapping[str, Any]) -> str:
    """Where a value comes from, in words; `source` is a `to_json`, maybe an older one."""
    if source.get("column"):
        return f"column {source['column']}"
    if source.get("file"):
        return f"file {source['file']}"
    value = source.get("value")
    if value is None or isinstance(value, str):
        return f"text {(source['text'] if value is None else value)!r}"
    return textwrap.shorten(json.dumps(value, ensure_ascii=False), _SHOWN_CHARACTERS)


Convert = Callable[[str], str]
"""Makes of what a row holds what is sent. Raises ValueError, with the reason, where it cannot."""


def given_by(params: Mapping[str, str], texts: Mapping[str, str]) -> list[ParameterSource]:
    """The sources that `--param` (key to column) and `--text` (key to text) name."""
    columns = [ParameterSource(key, column=column) for key, column in params.items()]
    return columns + [ParameterSource(key, text=text) for key, text in texts.items()]


def is_nothing(cell: str) -> bool:
    """Whether a cell counts as empty: blank, `-`, an error of a spreadsheet, or `null` and `nan`.

    Exactly so: the names Nan and Null are values.
    """
    return cell.strip() in _NOTHING


def fill(
    sources: Sequence[ParameterSource],
    row: Mapping[str, str],
    converts: Mapping[str, Convert] = {},
) -> tuple[str, ...] | None:
    """What one row keeps: a text for each source that has no fixed value, in their order.

    None when one of them is empty that may not be (see `is_nothing`) and has no default. Outer
    spaces go. White space that Meta refuses inside a parameter becomes single spaces. `converts`,
    by the keys of placeholders, are for what comes from columns; see `conversions.settle` for the
    rest.

    Raises:
        ValueError: a value cannot be converted; the message says why.
    """
    filled = []
    for source in sources:
        if source.value is not None:
            continue
        value = (row.get(source.column, "") if source.column else source.text or "").strip()
        if source.column and value in _NOTHING:
            value = source.default or ""
        elif source.column and (convert := converts.get(source.key)):
            try:
                value = convert(value)
            except ValueError as error:
                raise ValueError(f"{source.key}: {error}") from None
        if not value and not source.is_optional:
            return None
        filled.append(_SPACE.sub(" ", value) if _REFUSED_SPACE.search(value) else value)
    return tuple(filled)


def empty_keys(sources: Sequence[ParameterSource], row: Mapping[str, str]) -> tuple[str, ...]:
    """The keys of the placeholders that a row leaves empty: why `fill` gave None."""
    return tuple(source.key for source in sources if fill([source], row) is None)


def values_of(sources: Sequence[ParameterSource], kept: Sequence[str]) -> dict[str, Any]:
    """The value of each placeholder by its key, from the sources and what a row keeps.

    An optional one that the row leaves empty is not in it.
    """
    return {key: value for key, value in _in_order(sources, kept) if value != ""}


def all_in_order(sources: Sequence[ParameterSource], kept: Sequence[str]) -> list[Any]:
    """Every value in the order of the sources, as though all of them were kept in the row."""
    return [value for _, value in _in_order(sources, kept)]


def _in_order(sources: Iterable[ParameterSource], kept: Iterable[str]) -> Iterator[tuple[str, Any]]:
    texts = iter(kept)
    for source in sources:
        yield source.key, next(texts) if source.value is None else source.value
