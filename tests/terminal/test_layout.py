"""Text and tables of any width: nothing is wider than the terminal, and no word is broken."""

from __future__ import annotations

import re
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wacoex_cli.terminal import layout
from wacoex_cli.terminal.layout import Column, cells
from wacoex_cli.terminal.options import Invocation
from wacoex_cli.terminal.render import Block, Blocks, Line, Screen, Table

NOW = datetime(2026, 11, 28, 12, 0, tzinfo=UTC)
NAMES = {
    "Chinese": "上海市浦东新区世纪大道旗舰店客户服务中心",
    "Hebrew": "חנות הפרחים של אבא בתל אביב",
    "Arabic": "متجر الزهور في القاهرة",
    "Hindi": "फूलों की दुकान",
    "emoji": "shop 👩‍👩‍👧 🇸🇬 ✔️ bakery",
    "marks": "Cafe\u0301 Zu\u0308rich",
}
WORDS = st.text(
    alphabet=st.one_of(
        st.characters(codec="utf-8", exclude_categories=("Cc", "Cs", "Zl", "Zp", "Zs", "Co", "Cn")),
        st.sampled_from("abc`店👍\u0301א"),
    ),
    min_size=1,
    max_size=30,
)
TEXTS = st.lists(WORDS, max_size=40).map(" ".join)
WIDTHS = st.integers(layout.NARROWEST, layout.WIDEST)
FITS = st.sampled_from(["keep", "shorten", "count", "wrap"])
COLUMNS = st.builds(
    Column,
    st.sampled_from(["channel", "phone", "what was found"]),
    st.integers(1, 9),
    st.integers(4, 20),
    FITS,
    st.booleans(),
)


def is_one_word(line: str) -> bool:
    """What may be wider than the terminal: a single word that has no place to break."""
    return " " not in line.strip(" ") and len(layout._PIECE.findall(line.strip(" "))) == 1


@given(TEXTS, WIDTHS)
def test_text_fits_any_width_and_keeps_every_word_whole(text: str, width: int) -> None:
    lines = layout.wrapped(text, width)

    for line in lines:
        assert cells(line) <= width or is_one_word(line)
    assert "".join("".join(lines).split()) == "".join(text.split())
    words = {word for word in text.split() if cells(word) <= width - 3}
    assert words <= {word for line in lines for word in line.split()}


@given(TEXTS)
def test_a_text_that_fits_stays_as_it_is(text: str) -> None:
    assert layout.wrapped(text, max(1, cells(text))) == [text]


@given(st.lists(COLUMNS, min_size=1, max_size=7), st.data(), WIDTHS)
def test_a_table_fits_any_width(columns: list[Column], data: st.DataObject, width: int) -> None:
    row = st.lists(TEXTS, min_size=len(columns), max_size=len(columns))
    rows = data.draw(st.lists(row, min_size=1, max_size=5))

    for line in layout.table_lines(columns, rows, width):
        words = line.split()
        longest = max((cells(word) for word in words), default=0)
        assert cells(line) <= width or longest > width - 20


@given(TEXTS, st.integers(4, 60))
def test_a_shortened_text_fits(text: str, width: int) -> None:
    assert cells(layout.shortened(text, width)) <= width
    assert cells(layout.counted(text, width)) <= width


@pytest.mark.parametrize("name", NAMES.values(), ids=NAMES)
@pytest.mark.parametrize("width", [40, 80, 120])
def test_names_of_every_script_keep_the_columns_straight(name: str, width: int) -> None:
    columns = (Column("verdict", 9, fit="keep"), Column("channel", 8), Column("end", 9, fit="keep"))
    rows = [["ok", name, "here"], ["ok", "shop", "here"]]

    lines = layout.table_lines(columns, rows, width)

    assert {cells(line) - cells("here") for line in lines[1:]} == {cells(lines[0]) - cells("end")}
    assert max(map(cells, lines)) <= width


def test_ids_without_room_are_counted() -> None:
    assert layout.counted("WX101 WX203 WX501 WX702", 14) == "WX101 WX203 +2"
    assert layout.counted("WX101 WX203 WX501 WX702", 9) == "WX101 +3"


def test_a_shortened_text_ends_after_a_word() -> None:
    assert layout.shortened("the quality rating is red", 20) == "the quality..."
    assert layout.shortened("a-name-without-blanks", 12) == "a-name-wi..."


def test_the_least_valuable_column_goes_first() -> None:
    columns = (
        Column("channel", 9, least=8),
        Column("phone", 1, fit="keep", may_drop=True),
        Column("says", 5, least=10, fit="wrap"),
    )
    rows = [["client-000", "+6560000001", "the quality rating is red"]]

    assert layout.table_lines(columns, rows, 60)[0] == "CHANNEL     PHONE        SAYS"
    assert layout.table_lines(columns, rows, 40)[:2] == [
        "CHANNEL     PHONE        SAYS",
        "client-000  +6560000001  the quality",
    ]
    assert layout.table_lines(columns, rows, 24) == [
        "CHANNEL     SAYS",
        "client-000  the quality",
        "            rating is",
        "            red",
    ]


def test_a_command_between_backticks_stays_on_one_line() -> None:
    text = "to see what was read and when, use `wacoex status shop -v` in a terminal"

    assert "`wacoex status shop -v`" in layout.wrapped(text, 44)[1]


def screen(parts, *, most: int = 60, verbose: int = 0, columns: str = "80") -> list[str]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("COLUMNS", columns)
        return Screen(Invocation(verbose=verbose), NOW, most).lines(parts)


def board(count: int, quiet: int) -> Table:
    rows = [("ok" if at >= count - quiet else "warning", f"client-{at:03}") for at in range(count)]
    columns = (Column("verdict", 9, fit="keep"), Column("channel", 8))
    return Table(columns, rows, folds=True, quiet=quiet)


def findings(count: int) -> Blocks:
    blocks = [
        Block((Line(f"warning WX{at:03}: words", "heading"), Line("  1. do it"), Line("  then: x")))
        for at in range(count)
    ]
    return Blocks(blocks)


@pytest.mark.parametrize("columns", ["40", "80", "120"])
@pytest.mark.parametrize(("channels", "quiet", "kinds"), [(100, 0, 40), (100, 90, 3), (500, 0, 90)])
def test_a_long_screen_has_sixty_lines_at_most_and_says_that_there_is_more(
    columns: str, channels: int, quiet: int, kinds: int
) -> None:
    parts = ["before", board(channels, quiet), findings(kinds), "after"]

    short, whole = screen(parts, columns=columns), screen(parts, columns=columns, verbose=1)

    assert len(short) <= 60
    assert any("`-v` shows all" in line for line in short)
    assert (short[0], short[-1]) == ("before", "after")
    assert len(whole) == channels + 1 + 4 * kinds + 2


def test_rows_without_a_problem_are_left_out_first() -> None:
    lines = screen([board(100, 97), "end"])

    assert [line.split()[0] for line in lines[1:4]] == ["warning"] * 3
    assert lines[4:] == ["and 97 more: 97 ok; `-v` shows all", "end"]


def test_a_screen_that_fits_is_not_folded() -> None:
    assert len(screen([board(20, 10), findings(5)])) == 21 + 20


def test_moments_are_written_as_people_write_them() -> None:
    parts = [
        "last run 2026-11-27T20:15:00.123Z, deadline 2027-01-02 09:30 Asia/Singapore,"
        " typed `--at 2026-11-27T20:15:00Z`"
    ]

    assert " ".join(line.strip() for line in screen(parts)) == (
        "last run Fri 27 Nov 20:15 UTC, deadline Sat 2 Jan 2027 09:30 Asia/Singapore,"
        " typed `--at 2026-11-27T20:15:00Z`"
    )


@pytest.mark.parametrize("text", ["2026-13-41T00:00:00Z", "2026-11-27 20:15 No/Where"])
def test_a_text_that_is_not_a_moment_stays(text: str) -> None:
    assert screen([text]) == [text]


def test_only_a_terminal_colours_headings_and_verdicts() -> None:
    block = Block((Line("critical WX102 (shop): open it", "heading"), Line("  a fact", "dim")))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("COLUMNS", "80")
        colored = Screen(Invocation(color=True), NOW, 60).lines([block])
        plain = Screen(Invocation(color=False), NOW, 60).lines([block])

    assert colored[0].startswith("\x1b[31mcritical\x1b[0m\x1b[1m WX102")
    assert colored[1] == "\x1b[2m  a fact\x1b[0m"
    assert [re.sub("\x1b\\[[0-9;]*m", "", line) for line in colored] == plain


def test_a_quoted_line_stays_quoted_where_it_wraps() -> None:
    assert layout.wrapped("  | open the app and keep it online", 22) == [
        "  | open the app and",
        "  | keep it online",
    ]
