"""Which rows of a list a condition chooses: `tier = 'gold' and last_order < 2026-10-01`.

A library parses the text as an SQL condition. Only the nodes that this file names are taken; from
them come comparisons of cells with bound values. No text is ever run as SQL or as Python.
"""

from __future__ import annotations

import contextlib
import difflib
import functools
import operator
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING, Any

import sqlglot
from sqlglot import exp
from sqlglot.dialects.dialect import Dialect
from sqlglot.errors import SqlglotError
from sqlglot.tokenizer_core import TokenType

from wacoex_cli.audience.phone_cells import shortened
from wacoex_cli.audience.recipients_file import column_meant
from wacoex_cli.errors import UsageError

if TYPE_CHECKING:
    from sqlglot.tokenizer_core import Token

Cells = Mapping[str, str]
Truth = bool | None
"""Whether a condition holds; None where an empty or unreadable cell leaves it open, as in SQL."""
Test = Callable[[Cells], Truth]

_DIALECT = "sqlite"
_LONGEST = 20_000
_MOST_TOKENS = 5_000
_DEEPEST = 50
_UNARY = frozenset({TokenType.NOT, TokenType.DASH, TokenType.PLUS, TokenType.TILDE})
_EXAMPLE = "for example: --where \"tier = 'gold' and last_order < 2026-10-01\""
_NUMBER = re.compile(
    r"[+-]?(?:[0-9]{1,40}(?:\.[0-9]{0,40})?|\.[0-9]{1,40})(?:[eE][+-]?[0-9]{1,2})?"
)
_DATE = re.compile(r"([0-9]{4}-(?:0[1-9]|1[0-2])-(?:0[1-9]|[12][0-9]|3[01]))(?:[T ][0-9:.,Z+ -]*)?")
_FULL_DATE = re.compile(r"[0-9]{4}-(?:0[1-9]|1[0-2])-(?:0[1-9]|[12][0-9]|3[01])")
# Such as `1/10/2026`, `1,234` or `$50`: as texts they stand in no order of days or amounts.
_NO_TEXT_ORDER = re.compile(r"[^\w\s]?\s*[+-]?[0-9][0-9.,/ -]*")
_CURLY = re.compile("[\u2018\u2019\u201c\u201d\u00ab\u00bb]")
_NO_COLUMN = "it compares a value with a value, not with a column"
_KEPT_CELLS = 10_000
_SHOWN_AT_ERROR = 20

Compare = Callable[[Any, Any], bool]
_COMPARISONS: Mapping[type[exp.Expr], Compare] = {
    exp.EQ: operator.eq,
    exp.NEQ: operator.ne,
    exp.LT: operator.lt,
    exp.LTE: operator.le,
    exp.GT: operator.gt,
    exp.GTE: operator.ge,
}
_SWAPPED: Mapping[Compare, Compare] = {
    operator.lt: operator.gt,
    operator.le: operator.ge,
    operator.gt: operator.lt,
    operator.ge: operator.le,
}
_ORDERING = frozenset(_SWAPPED)
_TEXT_FUNCTIONS: Mapping[type[exp.Expr], Callable[[str], str]] = {
    exp.Lower: str.lower,
    exp.Upper: str.upper,
    exp.Trim: str.strip,
}
# Which parts of a node may be filled; what a dialect adds beside them is not understood here.
_PARTS: Mapping[type[exp.Expr], frozenset[str]] = {
    exp.In: frozenset({"this", "expressions"}),
    exp.Between: frozenset({"this", "low", "high"}),
    exp.Like: frozenset({"this", "expression", "negate"}),
    exp.ILike: frozenset({"this", "expression", "negate"}),
    exp.Column: frozenset({"this"}),
    exp.Trim: frozenset({"this"}),
}


@functools.lru_cache(_KEPT_CELLS)
def _number(cell: str) -> int | float | None:
    """The number in a cell, written with a decimal point and without thousands separators."""
    text = cell.strip()
    if not _NUMBER.fullmatch(text):
        return None
    return int(text) if text.lstrip("+-").isdecimal() else float(text)


@functools.lru_cache(_KEPT_CELLS)
def _date(cell: str) -> str | None:
    """The day in a cell, as YYYY-MM-DD; the time behind it does not matter."""
    found = _DATE.fullmatch(cell.strip())
    return found[1] if found else None


@dataclass
class Unreadable:
    """Rows left out because a filled cell of a column is not of the kind that is compared."""

    kind: str
    rows: int
    example: str

    def to_json(self) -> dict[str, object]:
        """The same for a program."""
        return {"kind": self.kind, "rows": self.rows, "example": shortened(self.example)}


class Where:
    """A condition over the columns of a list.

    A value decides how a cell is read: beside a number as a number, beside a date (YYYY-MM-DD,
    with or without quotes) as a day, beside other text as text without the blanks around it. An
    empty or unreadable cell is neither equal, unequal, less nor more than a number or a day.

    Raises:
        UsageError: it is not a condition, names an unknown column, or holds anything else than
            comparisons, `in`, `between`, `like`, `is null`, `and`, `or`, `not`, lower, upper, trim.
    """

    def __init__(self, text: str, columns: Sequence[str]) -> None:
        self.text = text
        self.unreadable: dict[str, Unreadable] = {}
        self._columns = columns
        self._doubts: list[tuple[str, str, str]] = []
        self._test = self._condition(_parse(text))

    def chooses(self, cells: Cells) -> bool:
        """Whether the row with these cells is chosen."""
        self._doubts.clear()
        truth = self._test(cells)
        if truth is None and self._doubts:
            column, kind, cell = self._doubts[0]
            known = self.unreadable.setdefault(column, Unreadable(kind, 0, cell))
            known.rows += 1
        return truth is True

    def _condition(self, node: exp.Expr) -> Test:
        if isinstance(node, exp.Paren):
            return self._condition(node.this)
        if isinstance(node, exp.And | exp.Or):
            return self._joined(node)
        if isinstance(node, exp.Not):
            return _opposite(self._condition(node.this))
        self._check_parts(node)
        if compare := _COMPARISONS.get(type(node)):
            return self._comparison(compare, node.this, node.expression)
        if isinstance(node, exp.In):
            return self._among(node)
        if isinstance(node, exp.Between):
            low = self._comparison(operator.ge, node.this, node.args["low"])
            return _combined(
                [low, self._comparison(operator.le, node.this, node.args["high"])], decisive=False
            )
        if isinstance(node, exp.Like | exp.ILike):
            return self._like(node)
        if isinstance(node, exp.Is) and isinstance(node.expression, exp.Null):
            text = self._text(node.this)
            return lambda cells: not text(cells)
        if isinstance(node, exp.Is) and isinstance(node.expression, exp.Boolean):
            return self._comparison(operator.eq, node.this, node.expression)
        if isinstance(node, exp.Column):
            self._column(node)
            raise self._refused(
                node, "a column alone is not a condition", "compare it: vip = 'yes'"
            )
        raise self._refused(node, f"it cannot hold {_named(node)}")

    def _joined(self, node: exp.Expr) -> Test:
        """All of a chain of `and`, or of `or`, however long it is."""
        kind, parts = type(node), []
        while type(node) is kind:
            parts.append(node.expression)
            node = node.this
        tests = [self._condition(part) for part in (node, *reversed(parts))]
        return _combined(tests, decisive=kind is exp.Or)

    def _comparison(self, compare: Compare, left: exp.Expr, right: exp.Expr) -> Test:
        left, right = _bare(left), _bare(right)
        if self._is_value(left):
            left, right = right, left
            compare = _SWAPPED.get(compare, compare)
        if self._is_value(left):
            raise self._refused(left.parent or left, _NO_COLUMN)
        if not self._is_value(right):
            return self._two_columns(compare, left, right)
        value = self._value(right)
        if isinstance(value, bool):
            text, word = self._text(left), str(value).lower()
            if compare not in (operator.eq, operator.ne):
                raise self._refused(right, "true and false can only be equal or unequal")
            return lambda cells: compare(text(cells).lower(), word)
        if type(left) in _TEXT_FUNCTIONS:
            return self._as_text(compare, left, value)
        if isinstance(value, str):
            if _FULL_DATE.fullmatch(value):
                self._demand_day(right, value)
                return self._read(left, "date", _date, lambda day: compare(day, value))
            number = _number(value)
            if compare in _ORDERING and number is None and _NO_TEXT_ORDER.fullmatch(value):
                raise self._refused(
                    right,
                    f"`{value}` is neither a date nor a number that can be more or less",
                    "write dates as YYYY-MM-DD, and numbers as 1234.50",
                )
            if compare not in _ORDERING or number is None:
                return self._as_text(compare, left, value)
            # `amount > '100'`: as text 99 would be more.
            value = number
        return self._read(left, "number", _number, lambda number: compare(number, value))

    def _as_text(self, compare: Compare, left: exp.Expr, value: object) -> Test:
        text, wanted = self._text(left), str(value)
        return lambda cells: compare(text(cells), wanted)

    def _read(
        self,
        node: exp.Expr,
        kind: str,
        read: Callable[[str], object],
        test: Callable[[object], bool],
    ) -> Test:
        """A test of a cell that is read as a number or a day; open when it cannot be."""
        name = self._column(node)

        def holds(cells: Cells) -> Truth:
            cell = cells.get(name) or ""
            found = read(cell)
            if found is not None:
                return test(found)
            if cell.strip():
                self._doubts.append((name, kind, cell))
            return None

        return holds

    def _two_columns(self, compare: Compare, left: exp.Expr, right: exp.Expr) -> Test:
        """Two cells: as numbers when both are, else as days when both are, else as texts."""
        first, second = self._text(left), self._text(right)
        is_text = type(left) in _TEXT_FUNCTIONS or type(right) in _TEXT_FUNCTIONS

        def holds(cells: Cells) -> Truth:
            a, b = first(cells), second(cells)
            for read in () if is_text else (_number, _date):
                x, y = read(a), read(b)
                if x is not None and y is not None:
                    return compare(x, y)
            return compare(a, b)

        return holds

    def _among(self, node: exp.In) -> Test:
        if not node.expressions:
            raise self._refused(node, "it cannot hold a list without values")
        values = [self._value(_bare(each)) for each in node.expressions]
        for each, value in zip(node.expressions, values, strict=True):
            if _kind(value) == "date":
                self._demand_day(each, str(value))
        left = _bare(node.this)
        if self._is_value(left):
            raise self._refused(left, _NO_COLUMN)
        is_of_one_kind = len({_kind(value) for value in values}) == 1
        if not is_of_one_kind or isinstance(values[0], bool):
            each = [self._comparison(operator.eq, left, item) for item in node.expressions]
            return _combined(each, decisive=True)
        if type(left) in _TEXT_FUNCTIONS or _kind(values[0]) == "text":
            text, texts = self._text(left), frozenset(map(str, values))
            return lambda cells: text(cells) in texts
        wanted = frozenset(values)
        if _kind(values[0]) == "date":
            return self._read(left, "date", _date, lambda day: day in wanted)
        return self._read(left, "number", _number, lambda number: number in wanted)

    def _like(self, node: exp.Expr) -> Test:
        text, pattern = self._text(_bare(node.this)), self._value(_bare(node.expression))
        if not isinstance(pattern, str):
            raise self._refused(node, "the pattern of `like` needs single quotes")
        matches, negate = like(pattern), bool(node.args.get("negate"))
        return lambda cells: matches(text(cells)) is not negate

    def _text(self, node: exp.Expr) -> Callable[[Cells], str]:
        node = _bare(node)
        change = _TEXT_FUNCTIONS.get(type(node))
        if change is not None:
            self._check_parts(node)
            inner = self._text(node.this)
            return lambda cells: change(inner(cells))
        name = self._column(node)
        return lambda cells: (cells.get(name) or "").strip()

    def _column(self, node: exp.Expr) -> str:
        """The column of the list that a name means: so spelled, or so but for case and signs."""
        if not isinstance(node, exp.Column):
            raise self._refused(node, f"it cannot hold {_named(node)}")
        self._check_parts(node)
        name, columns = str(node.name), self._columns
        found = column_meant(name, columns)
        if found is not None:
            return found
        near = difflib.get_close_matches(name, columns, n=1)
        listed = ", ".join(f"`{shortened(column)}`" for column in columns)
        hint = f"did you mean `{near[0]}`? its columns are {listed}" if near else None
        if hint is None:
            text = f"; put text in single quotes: '{name}'" if node.this.quoted else ""
            hint = f"its columns are {listed}{text}"
        raise self._refused(node, f"the list has no column `{shortened(name)}`", hint)

    def _is_value(self, node: exp.Expr) -> bool:
        if isinstance(node, exp.Neg):
            node = node.this
        return isinstance(node, exp.Literal | exp.Boolean | exp.Null) or bool(_unquoted_date(node))

    def _value(self, node: exp.Expr) -> str | int | float | bool:
        """The value that a node means."""
        if isinstance(node, exp.Literal) and node.is_string:
            return str(node.this)
        if isinstance(node, exp.Literal):
            number = _number(str(node.this))
            if number is not None:
                return number
        if isinstance(node, exp.Boolean):
            return bool(node.this)
        if isinstance(node, exp.Neg) and isinstance(node.this, exp.Literal):
            positive = self._value(node.this)
            if isinstance(positive, int | float):
                return -positive
        if day := _unquoted_date(node):
            self._demand_day(node, day)
            return day
        if isinstance(node, exp.Null):
            raise self._refused(node, "nothing equals null", "write: COLUMN is null")
        if isinstance(node, exp.Column):
            name = str(node.name)
            why = f"`{shortened(name)}` is not a value"
            raise self._refused(node, why, f"put text in single quotes: '{shortened(name)}'")
        raise self._refused(node, f"it cannot hold {_named(node)}")

    def _demand_day(self, node: exp.Expr, text: str) -> None:
        """Raise UsageError for 2026-13-01 and 2026-02-31."""
        with contextlib.suppress(ValueError):
            if _FULL_DATE.fullmatch(text) and date.fromisoformat(text):
                return
        raise self._refused(node, f"{text} is not a date", "write dates as YYYY-MM-DD")

    def _check_parts(self, node: exp.Expr) -> None:
        """Raise UsageError when a node says more than what is read of it."""
        allowed = _PARTS.get(type(node))
        if allowed is not None and any(
            value and name not in allowed for name, value in node.args.items()
        ):
            raise self._refused(node, f"this form of {_named(node)} is not supported")

    def _refused(self, node: exp.Expr, why: str, hint: str | None = None) -> UsageError:
        starts = [each.meta["start"] for each in node.walk() if "start" in each.meta]
        return _error(self.text, min(starts, default=None), why, hint)


def like(pattern: str) -> Callable[[str], bool]:
    """Whether a text is like an SQL pattern: `%` any characters, `_` one, whatever the case.

    Each piece between `%` is looked for from left to right, so that no pattern takes long.
    """
    pieces = [
        (
            re.compile("".join("." if c == "_" else re.escape(c) for c in piece), re.I | re.S),
            len(piece),
        )
        for piece in re.sub("%+", "%", pattern).split("%")
    ]
    (first, _), *middle = pieces
    if not middle:
        return lambda text: first.fullmatch(text) is not None
    last, length = middle.pop()

    def matches(text: str) -> bool:
        found = first.match(text)
        for piece, _ in middle:
            if found is None:
                return False
            found = piece.search(text, found.end())
        if found is None or len(text) - length < found.end():
            return False
        return last.fullmatch(text, len(text) - length) is not None

    return matches


def _parse(text: str) -> exp.Expr:
    if not text.strip():
        raise UsageError("`--where` is empty", hint=_EXAMPLE, code="bad_where")
    if len(text) > _LONGEST:
        raise UsageError(
            f"`--where` has {len(text):,} characters, more than {_LONGEST:,}",
            hint="put a long list of people into a file and give it as RECIPIENTS or --exclude",
            code="bad_where",
        )
    try:
        tokens = sqlglot.tokenize(text, read=_DIALECT)
        _check_tokens(text, tokens)
        [node, *more] = Dialect.get_or_raise(_DIALECT).parse_into(exp.Condition, text)
    except SqlglotError as error:
        raise _not_a_condition(text, error) from None
    except (RecursionError, ValueError):
        raise _error(text, None, "it is too deeply nested") from None
    if more or not isinstance(node, exp.Expr):
        raise _error(text, None, "it is not one condition")
    return node


def _check_tokens(text: str, tokens: Sequence[Token]) -> None:
    """Raise UsageError for what the parser should not even see."""
    depth = unary = 0
    if len(tokens) > _MOST_TOKENS:
        raise _error(text, None, f"it has more than {_MOST_TOKENS:,} words and signs")
    for token in tokens:
        depth += (token.token_type is TokenType.L_PAREN) - (token.token_type is TokenType.R_PAREN)
        unary = unary + 1 if token.token_type in _UNARY else 0
        if depth > _DEEPEST or unary > _DEEPEST:
            raise _error(text, token.start, f"it is nested more than {_DEEPEST} deep")
        if token.comments:
            raise _error(text, token.start, "it cannot hold a comment")
        if token.token_type is TokenType.SEMICOLON:
            raise _error(text, token.start, "it cannot hold `;`: it is one condition")


def _not_a_condition(text: str, error: SqlglotError) -> UsageError:
    [found, *_] = getattr(error, "errors", None) or [{}]
    if text.count("'") % 2:
        why = "a single quote is not closed"
        return _error(text, text.rindex("'"), why, "write '' for a quote inside a text")
    column, marked = found.get("col"), str(found.get("highlight") or "")
    line_starts = [0, *(at.end() for at in re.finditer("\n", text))]
    line = int(found.get("line") or 1)
    place = None
    if isinstance(column, int) and line <= len(line_starts):
        place = max(line_starts[line - 1] + column - max(len(marked), 1), 0)
    return _error(text, place, "wacoex cannot read it", None)


def _error(text: str, place: int | None, why: str, hint: str | None = None) -> UsageError:
    where = ""
    if place is not None:
        rest = text[place : place + _SHOWN_AT_ERROR].strip()
        where = f" at position {place + 1}" + (f" (`{rest}`)" if rest else "")
    hint = hint or (
        f"{_EXAMPLE}; put a name that has blanks or signs, or is a word of SQL, in double quotes"
    )
    if _CURLY.search(re.sub("'[^']*'", "", text)):
        hint = "write straight quotes, ' and \", where the text has curly ones"
    return UsageError(f"`--where` is wrong{where}: {why}", hint=hint, code="bad_where")


def _bare(node: exp.Expr) -> exp.Expr:
    """A node without parentheses around it."""
    while isinstance(node, exp.Paren):
        node = node.this
    return node


def _unquoted_date(node: exp.Expr) -> str | None:
    """2026-10-01 reads as two subtractions; there is no other arithmetic here."""
    parts = []
    for _ in range(2):
        if not isinstance(node, exp.Sub):
            return None
        parts.append(node.expression)
        node = node.this
    parts.append(node)
    if all(isinstance(part, exp.Literal) and not part.is_string for part in parts):
        return "-".join(str(part.this) for part in reversed(parts))
    return None


def _kind(value: object) -> str:
    if isinstance(value, str):
        return "date" if _FULL_DATE.fullmatch(value) else "text"
    return "boolean" if isinstance(value, bool) else "number"


def _named(node: exp.Expr) -> str:
    """A node in words."""
    if isinstance(node, exp.Query | exp.Subquery):
        return "a query"
    if isinstance(node, exp.Anonymous):
        return f"the function `{shortened(str(node.this))}`"
    if isinstance(node, exp.Func) and not isinstance(node, exp.Connector):
        return f"the function `{node.sql_name().lower()}`"
    if isinstance(node, exp.Placeholder | exp.Parameter):
        return "a placeholder"
    if isinstance(node, exp.Add | exp.Sub | exp.Mul | exp.Div | exp.Mod):
        return "arithmetic"
    if isinstance(node, exp.Literal | exp.Boolean | exp.Null):
        return "a value in place of a condition or a column"
    return f"`{re.sub('(?<=[a-z])(?=[A-Z])', ' ', type(node).__name__).lower()}`"


def _opposite(test: Test) -> Test:
    def holds(cells: Cells) -> Truth:
        truth = test(cells)
        return None if truth is None else not truth

    return holds


def _combined(tests: Sequence[Test], *, decisive: bool) -> Test:
    """`and` (False decides) or `or` (True decides); what is unknown counts until one decides."""

    def hold(cells: Cells) -> Truth:
        truth: Truth = not decisive
        for test in tests:
            found = test(cells)
            if found is decisive:
                return decisive
            if found is None:
                truth = None
        return truth

    return hold


def explain_unreadable(where: Where) -> Iterator[str]:
    """What a person should know about cells that were left out because they could not be read."""
    for column, found in where.unreadable.items():
        form = "YYYY-MM-DD" if found.kind == "date" else "1234.50"
        yield (
            f"  `--where` left out {found.rows:,} of them because `{column}` holds no {found.kind}"
            f" like {form} there, such as {shortened(found.example)!r}"
        )
