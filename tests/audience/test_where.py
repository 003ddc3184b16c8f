"""`--where`: which rows a condition chooses, and what it refuses."""

import sqlite3

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wacoex_cli.audience.where import Where, explain_unreadable
from wacoex_cli.errors import UsageError

COLUMNS = ("phone", "tier", "city", "last_order", "orders", "First Name", "vip")
ANA = {
    "phone": "+6591234567",
    "tier": "gold",
    "city": " Lima ",
    "last_order": "2026-09-30",
    "orders": "12",
    "First Name": "Ana",
    "vip": "TRUE",
}
BEN = {"phone": "+6591234568", "tier": "silver", "last_order": "01/10/2026", "orders": "7.5"}


def chosen(text, *rows):
    where = Where(text, COLUMNS)
    return [where.chooses(row) for row in rows]


@pytest.mark.parametrize(
    ("text", "ana", "ben"),
    [
        ("tier = 'gold' and city in ('Lima','Cusco') and last_order < 2026-10-01", True, False),
        ("last_order <= '2026-09-30'", True, False),
        ("last_order between 2026-09-01 and 2026-09-30", True, False),
        ("2026-10-01 > last_order", True, False),
        ("orders > 7 and orders < 10", False, True),
        ("orders > '9'", True, False),
        ("orders in (12, 13)", True, False),
        ("orders = 12.0", True, False),
        ("-5 < orders", True, True),
        ("tier <> 'gold'", False, True),
        ("city <> 'Lima'", False, True),
        ("city not in ('Lima')", False, True),
        ("city is null", False, True),
        ("city is not null", True, False),
        ("city = ''", False, True),
        ("tier like 'G%D'", True, False),
        ("tier not like '%l_'", False, True),
        ("lower(tier) = 'gold' or upper(city) = 'NOWHERE'", True, False),
        ("\"First Name\" = 'Ana'", True, False),
        ("first_name = 'Ana'", True, False),
        ("`First Name` = 'Ana'", True, False),
        ("vip = true", True, False),
        ("vip is true", True, False),
        ("vip is not true", False, True),
        ("tier = city", False, False),
        ("not (tier = 'gold')", False, True),
        ("tier in ('gold', 5)", True, False),
        ("(((tier))) = ('gold')", True, False),
    ],
)
def test_a_condition_chooses_rows(text, ana, ben):
    assert chosen(text, ANA, BEN) == [ana, ben]


def test_the_time_of_a_day_does_not_matter():
    assert chosen("last_order <= 2026-10-01", {"last_order": "2026-10-01 23:59:59"}) == [True]


def test_a_cell_that_is_not_a_date_matches_no_date_comparison_and_is_counted():
    where = Where("last_order < 2027-01-01", COLUMNS)
    assert [where.chooses(row) for row in (ANA, BEN, {}, BEN)] == [True, False, False, False]
    assert where.unreadable["last_order"].to_json() == {
        "kind": "date",
        "rows": 2,
        "example": "01/10/2026",
    }
    [line] = explain_unreadable(where)
    assert "2 of them" in line and "'01/10/2026'" in line


@pytest.mark.parametrize(
    ("text", "position", "said"),
    [
        ("teir = 'gold'", "position 1 ", "no column `teir`"),
        ("tier = 'gold' and citty = 'x'", "position 19 ", "no column `citty`"),
        ('tier = "gold"', "position 8 ", "no column `gold`"),
        ("tier = null", "", "nothing equals null"),
        ("tier", "position 1 ", "column alone"),
        ("1 = 1", "position 1 ", "a value with a value"),
        ("tier = 'gold' or 1 = 1", "position 18 ", "a value with a value"),
        ("tier = 'gold' or true", "", "a value in place"),
        ("tier = 'gold' or 1", "position 18 ", "a value in place"),
        ("tier = (select 1)", "position 16 ", "a query"),
        ("tier in (select phone from recipients)", "", ""),
        ("exists(select 1)", "", ""),
        ("tier = 'gold'; drop table recipients", "position 14 ", "`;`"),
        ("tier = 'gold' -- and city = 'x'", "", "a comment"),
        ("tier = 'gold' /* x */ and city = 'x'", "", "a comment"),
        ("tier = load_extension('x')", "position 8 ", "the function `load_extension`"),
        ("__import__('os') = 'x'", "position 1 ", "the function `__import__`"),
        ("length(tier) > 3", "position 1 ", "the function `length`"),
        ("tier = :name", "", "a placeholder"),
        ("tier = ?", "", "a placeholder"),
        ("orders + 1 = 5", "position 1 ", "arithmetic"),
        ("tier || 'x' = 'gold'", "", ""),
        ("main.tier = 'gold'", "position 1 ", "this form"),
        ("cast(orders as int) = 5", "", ""),
        ("case when tier = 'gold' then 1 end", "", ""),
        ("tier = 'a' = 'b'", "", ""),
        ("tier glob '*'", "", ""),
        ("tier like 'x' escape '!'", "", ""),
        ("tier collate nocase = 'GOLD'", "", ""),
        ("tier in ()", "", ""),
        ("last_order < 2026-13-01", "position 14 ", "is not a date"),
        ("tier = 'gold", "position 8 ", "not closed"),
        ("tier = ", "position 6 ", "cannot read"),
        ("first name = 'Ana'", "position 7 ", "cannot read"),
        ("select * from recipients", "", ""),
        ("drop table recipients", "", ""),
        ("pragma writable_schema = 1", "", ""),
        ("attach 'x' as y", "", ""),
        ("vacuum", "", ""),
        ("", "", "is empty"),
        ("   ", "", "is empty"),
        (";", "", ""),
        ("(", "", ""),
        (")", "", ""),
        ("tier = x'41'", "", ""),
        ("tier = 'a' and", "", ""),
        ("vip > true", "", "equal or unequal"),
        ("tier like 5", "", "single quotes"),
        ("(tier, city) = ('a', 'b')", "", ""),
    ],
)
def test_a_wrong_condition_is_refused_with_its_place(text, position, said):
    with pytest.raises(UsageError) as caught:
        Where(text, COLUMNS)
    assert caught.value.code == "bad_where"
    assert position in caught.value.message and said in caught.value.message
    assert caught.value.hint


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("last_order < '1/10/2026'", "YYYY-MM-DD"),
        ("last_order between '01.09.2026' and '30.09.2026'", "YYYY-MM-DD"),
        ("orders > '1,000'", "1234.50"),
        ("orders > '€ 50'", "1234.50"),
        ("last_order < 2026-02-31", "YYYY-MM-DD"),
        ("last_order < '2026-02-31'", "YYYY-MM-DD"),
        ("last_order in ('2026-02-31')", "YYYY-MM-DD"),
        ("tier = \u2018gold\u2019", "straight quotes"),
        ("select = 'gold'", "in double quotes"),
    ],
)
def test_a_misleading_condition_is_refused_with_the_way_to_write_it(text, hint):
    with pytest.raises(UsageError) as refused:
        Where(text, COLUMNS)

    assert hint in str(refused.value.hint)


def test_the_error_names_the_columns_and_the_likely_one():
    with pytest.raises(UsageError) as caught:
        Where("teir = 'gold'", COLUMNS)
    hint = caught.value.hint or ""
    assert "did you mean `tier`?" in hint and "`First Name`" in hint


@pytest.mark.parametrize(
    "text",
    [
        "(" * 20_000 + "tier",
        "(" * 3_000 + "tier = 'x'" + ")" * 3_000,
        "not " * 4_000 + "tier = 'x'",
        "orders = " + "-" * 4_000 + "5",
        "orders = " + "- " * 4_000 + "5",
        "lower(" * 2_000 + "tier" + ")" * 2_000 + " = 'x'",
        "case when " * 1_500 + "tier",
        "tier = 'x' or " * 100_000 + "tier = 'y'",
        "orders = " + "9" * 5_000,
        "tier = " + " = ".join("tier" for _ in range(2_000)),
        "tier = 'x' and (" * 60 + "city = 'y'" + ")" * 60,
    ],
)
def test_huge_and_deep_conditions_are_refused_quickly(text):
    with pytest.raises(UsageError):
        Where(text, COLUMNS)


def test_a_long_chain_and_a_long_list_are_taken():
    assert chosen(" or ".join(["tier = 'x'"] * 900 + ["tier = 'gold'"]), ANA, BEN) == [True, False]
    values = ", ".join(f"'c{n}'" for n in range(2_000))
    assert chosen(f"tier in ({values}, 'gold')", ANA, BEN) == [True, False]


def test_no_pattern_of_like_takes_long():
    cell = {"city": "a" * 30_000}
    assert chosen(f"city like '{'%a' * 500}%b'", cell) == [False]
    assert chosen(f"city like '{'%_a' * 500}%'", cell) == [True]


# The same as SQLite says: each cell is a text there, read as a number or a day where compared so.

CELLS = st.one_of(
    st.sampled_from(["", " ", "gold", "Gold", " lima", "x%", "a_b", "it's", "0", "-3", "2.5"]),
    st.sampled_from(["2026-10-01", "2026-09-30 12:00:00", "2026-1-1", "01.10.2026", "12 USD"]),
    st.text(alphabet="ab %_'0123.-", max_size=6),
    st.integers(-5, 5).map(str),
)
ROWS = st.lists(st.fixed_dictionaries({"a": CELLS, "b": CELLS}), min_size=1, max_size=8)
NAMES = st.sampled_from(["a", "b"])
OPERATORS = st.sampled_from(["=", "<>", "<", "<=", ">", ">="])
TEXTS = st.text(alphabet="abglod%_' ", max_size=4).map(lambda text: text.replace("'", "''"))
NUMBERS = st.one_of(st.integers(-5, 5).map(str), st.sampled_from(["2.5", "-0.5", "1e1"]))
DAYS = st.sampled_from(["2026-10-01", "2026-09-30", "2025-01-01"])


def _pair(ours, theirs=None):
    return ours, ours if theirs is None else theirs


TERMS = st.one_of(
    st.builds(
        lambda n, o, t: _pair(f"{n} {o} '{t}'", f"text({n}) {o} '{t}'"), NAMES, OPERATORS, TEXTS
    ),
    st.builds(
        lambda n, o, v: _pair(f"{n} {o} {v}", f"number({n}) {o} {v}"), NAMES, OPERATORS, NUMBERS
    ),
    st.builds(
        lambda n, o, v: _pair(f"{v} {o} {n}", f"{v} {o} number({n})"), NAMES, OPERATORS, NUMBERS
    ),
    st.builds(lambda n, o, d: _pair(f"{n} {o} {d}", f"day({n}) {o} '{d}'"), NAMES, OPERATORS, DAYS),
    st.builds(
        lambda n, x, y: _pair(f"{n} between {x} and {y}", f"number({n}) between {x} and {y}"),
        NAMES,
        NUMBERS,
        NUMBERS,
    ),
    st.builds(
        lambda n, v: _pair(f"{n} in ({', '.join(v)})", f"number({n}) in ({', '.join(v)})"),
        NAMES,
        st.lists(NUMBERS, min_size=1, max_size=3),
    ),
    st.builds(
        lambda n, v: _pair(
            f"{n} not in ('{v[0]}', '{v[1]}')", f"text({n}) not in ('{v[0]}', '{v[1]}')"
        ),
        NAMES,
        st.tuples(TEXTS, TEXTS),
    ),
    st.builds(lambda n, t: _pair(f"{n} like '{t}'", f"text({n}) like '{t}'"), NAMES, TEXTS),
    st.builds(lambda n: _pair(f"{n} is null", f"nullif(text({n}), '') is null"), NAMES),
    st.builds(lambda n: _pair(f"{n} is not null", f"nullif(text({n}), '') is not null"), NAMES),
    st.builds(lambda n, t: _pair(f"lower({n}) = '{t}'", f"lower(text({n})) = '{t}'"), NAMES, TEXTS),
)
CONDITIONS = st.recursive(
    TERMS,
    lambda inner: st.one_of(
        st.builds(
            lambda x, word, y: (f"({x[0]} {word} {y[0]})", f"({x[1]} {word} {y[1]})"),
            inner,
            st.sampled_from(["and", "or"]),
            inner,
        ),
        st.builds(lambda x: (f"not ({x[0]})", f"not ({x[1]})"), inner),
    ),
    max_leaves=6,
)


@pytest.fixture(scope="module")
def database():
    # A second implementation, without the code of the program.
    def number(cell):
        text = cell.strip()
        digits = text.lstrip("+-")
        if len(text) - len(digits) > 1 or digits.count(".") > 1 or not digits.replace(".", ""):
            return None
        return float(text) if digits.replace(".", "").isdecimal() else None

    def day(cell):
        text = cell.strip()
        return text[:10] if text[:4].isdecimal() and text[4:5] == "-" == text[7:8] else None

    connection = sqlite3.connect(":memory:")
    connection.create_function("number", 1, number)
    connection.create_function("day", 1, day)
    connection.create_function("text", 1, str.strip)
    yield connection
    connection.close()


@settings(max_examples=400, deadline=None)
@given(ROWS, CONDITIONS)
def test_it_chooses_what_sqlite_chooses(database, rows, condition):
    ours, theirs = condition
    where = Where(ours, ("a", "b"))
    for row in rows:
        cells = [row["a"], row["b"]]
        [[truth]] = database.execute(f"SELECT {theirs} FROM (SELECT ? AS a, ? AS b)", cells)
        assert where.chooses(row) is (truth == 1), (ours, theirs, row)


@settings(max_examples=300, deadline=None)
@given(st.text(max_size=60), st.sampled_from(["", "tier = 'gold' and ", "tier in (", "not "]))
def test_any_text_is_a_condition_or_a_clear_error(text, before):
    try:
        where = Where(before + text, COLUMNS)
    except UsageError as error:
        assert error.hint and error.code == "bad_where"
    else:
        assert where.chooses(ANA) in (True, False)
