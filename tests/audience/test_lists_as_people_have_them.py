"""Titles above the header, several phone columns, hidden rows, broken rows, other sheets."""

from __future__ import annotations

import io

import openpyxl  # type: ignore[import-untyped]
import pytest
from hypothesis import given
from hypothesis import strategies as st

from wacoex_cli.audience.model import OtherSheet, SourceRow, TitleLine
from wacoex_cli.audience.recipients_file import RecipientsFile, open_recipients
from wacoex_cli.errors import UsageError


def opened(content: str | bytes, phone_column: str | None = None) -> RecipientsFile:
    data = content.encode() if isinstance(content, str) else content
    return open_recipients(None, stdin=io.BytesIO(data), phone_column=phone_column)


def read(content: str | bytes) -> list[SourceRow]:
    with opened(content) as recipients:
        return list(recipients)


def faults(content: str | bytes) -> list[tuple[int, str, str | None]]:
    return [(row.line, row.phone, row.fault) for row in read(content)]


def saved(book: openpyxl.Workbook) -> bytes:
    file = io.BytesIO()
    book.save(file)
    return file.getvalue()


@pytest.mark.parametrize("separator", [",", ";", "\t"])
def test_titles_above_the_header_are_left_out_and_named(separator: str) -> None:
    lines = ["Customers, all of them", "", "as of 2026", "name;phone;city", "Ana;+651;X"]
    content = "\n".join(lines).replace(";", separator)
    with opened(content) as recipients:
        assert recipients.columns == ("name", "phone", "city")
        assert [title.line for title in recipients.notes.title_lines] == [1, 3]
        assert [(row.line, row.phone) for row in recipients] == [(5, "+651")]


def test_a_header_is_not_looked_for_below_data() -> None:
    with pytest.raises(UsageError, match="its first line holds data"):
        opened("Ana,+6591234567\nphone,name\n+6591234568,Ben\n")
    far = "".join(f"title {n}\n" for n in range(20)) + "phone\n+651\n"
    with pytest.raises(UsageError) as caught:
        opened(far)
    assert caught.value.code == "no_phone_column"


@pytest.mark.parametrize(
    ("columns", "taken", "others", "is_certain"),
    [
        ("name,phone", "phone", (), True),
        ("phone,number", "phone", (), True),
        ("phone,mobile", "mobile", ("phone",), True),
        ("phone,mobile,WhatsApp", "WhatsApp", ("mobile", "phone"), True),
        ("phone,telephone", "phone", ("telephone",), False),
        ("mobile,cell", "mobile", ("cell",), False),
        ("number,to", "number", ("to",), False),
    ],
)
def test_the_plan_names_the_phone_column_that_it_used(
    columns: str, taken: str, others: tuple[str, ...], is_certain: bool
) -> None:
    with opened(columns) as recipients:
        assert recipients.phone_column == taken
        assert recipients.notes.other_phone_columns == others
        if is_certain:
            recipients.demand_certain_column()
        else:
            with pytest.raises(UsageError) as caught:
                recipients.demand_certain_column()
            assert caught.value.code == "several_phone_columns"
    with opened(columns, phone_column=taken) as recipients:
        recipients.demand_certain_column()


def test_an_open_quote_costs_its_line_and_swallows_nothing() -> None:
    content = 'phone,name\n+651,"Ana\n+652,Bo\n+653,"Cid"\n+654,"two\nlines"\n'
    assert faults(content) == [
        (2, "+651", "it cannot be read as CSV: ',' expected after '\"'"),
        (3, "+652", None),
        (4, "+653", None),
        (5, "+654", None),
    ]
    end = 'phone,name\n+6591234567,"Ana\n+6591234568,Bo\n+6591234569,"\n+6591234560,x\n'
    assert faults(end) == [
        (2, "+6591234567", "an unpaired quote in it would take up the rows that follow"),
        (3, "+6591234568", None),
        (4, "+6591234569", "a quote in it is never closed"),
        (5, "+6591234560", None),
    ]


def test_a_broken_record_is_refused_by_itself() -> None:
    assert faults("phone,name\n+651,a,b\n+6\x0052,c\n+653,d\n") == [
        (2, "+651", "it has 3 fields, the header has 2"),
        (3, "+6\x0052", "it holds a NUL character"),
        (4, "+653", None),
    ]
    objects = ['{"phone": "1"}', "{", "[1]", '{"phone": "2", "phone": "3"}', '{"phone": ["4"]}']
    objects += ['{"phone": true}', '{"phone": "\\ud800"}', '{"phone": "5", "tags": [1]}']
    assert [fault for _, _, fault in faults("\n".join(objects))] == [
        *(None, "it is not valid JSON", "it is not a JSON object", "it has `phone` twice"),
        *("a list, not a phone number", "a boolean (true), not a phone number"),
        *("it holds half a character (a lone surrogate)", None),
    ]


def test_a_line_of_megabytes_is_passed_over() -> None:
    content = f"phone,name\n+651,{'x' * 40_000}\n+652,{'y' * 3_000_000}\n+653,z\n"
    assert [(line, fault and fault[:30]) for line, _, fault in faults(content)] == [
        (2, "a cell has 40,000 characters, "),
        (3, "it has more than 1,048,576 cha"),
        (4, None),
    ]


def test_hidden_rows_other_sheets_and_titles_of_a_workbook_are_named() -> None:
    book = openpyxl.Workbook()
    sheet = book.active
    sheet.title = "people"
    for row in (["Customers"], [], ["name", "phone"], *([f"P{n}", f"+65{n}"] for n in range(9))):
        sheet.append(row)
    sheet.merge_cells("A1:B1")
    for number in range(5, 12):
        sheet.row_dimensions[number].hidden = True
    book.create_sheet("old")
    book.create_sheet("secret").sheet_state = "hidden"
    with opened(saved(book)) as recipients:
        notes = recipients.notes
        assert len(list(recipients)) == 9
    assert notes.title_lines == (TitleLine(1, "Customers"),)
    assert (notes.sheet, notes.hidden_rows, notes.first_hidden_rows) == (
        "people",
        7,
        (5, 6, 7, 8, 9),
    )
    assert notes.other_sheets == (OtherSheet("old", False), OtherSheet("secret", True))


@given(st.integers(1, 30_000), st.integers(0, 20))
def test_rows_keep_their_numbers_across_the_pieces_a_sheet_is_read_in(gap: int, left: int) -> None:
    book = openpyxl.Workbook(write_only=False)
    sheet = book.active
    sheet.cell(1, left + 1).value = "phone"
    for place in range(4):
        sheet.cell(2 + place * gap, left + 1).value = f"+65{place}"
    found = [(row.line, row.phone) for row in read(saved(book))]
    assert found == [(2 + place * gap, f"+65{place}") for place in range(4)]


@pytest.mark.parametrize("column", ["wa_id", "WA ID", "whatsapp id"])
def test_whatsapp_ids_are_international_in_a_list_of_any_country(column: str) -> None:
    content = f"{column},name\n6591234567,A\n553188888888,B\n+4915123456789,C\n0151234567,D\n"
    assert [row.phone for row in opened(content)] == [
        *("+6591234567", "+553188888888", "+4915123456789"),
        "0151234567",
    ]


def test_any_other_column_is_read_in_its_country() -> None:
    assert [row.phone for row in opened("phone\n6591234567\n")] == ["6591234567"]
