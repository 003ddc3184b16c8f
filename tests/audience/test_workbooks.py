"""Workbooks as Excel, other programs, accidents and attackers write them."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Mapping

import openpyxl  # type: ignore[import-untyped]
import pytest
from hypothesis import given
from hypothesis import strategies as st
from openpyxl.cell.cell import ILLEGAL_CHARACTERS_RE  # type: ignore[import-untyped]

from wacoex_cli.audience.formats import is_blank
from wacoex_cli.audience.recipients_file import open_recipients
from wacoex_cli.errors import UsageError

MAIN = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
LINKS = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
PACKAGE = "http://schemas.openxmlformats.org/package/2006/relationships"
TYPES = "http://schemas.openxmlformats.org/package/2006/content-types"
KIND = "application/vnd.openxmlformats-officedocument.spreadsheetml"
HEADER = '<row r="1"><c r="A1" t="inlineStr"><is><t>phone</t></is></c></row>'


def links(**targets: str) -> str:
    listed = "".join(
        f'<Relationship Id="{name}" Type="{LINKS}/{name}" Target="{target}"/>'
        for name, target in targets.items()
    )
    return f'<Relationships xmlns="{PACKAGE}">{listed}</Relationships>'


def parts(rows: str, **others: str) -> dict[str, str]:
    return {
        "[Content_Types].xml": f'<Types xmlns="{TYPES}"><Override PartName="/xl/workbook.xml"'
        f' ContentType="{KIND}.sheet.main+xml"/><Override PartName="/xl/worksheets/sheet1.xml"'
        f' ContentType="{KIND}.worksheet+xml"/></Types>',
        "_rels/.rels": links(officeDocument="xl/workbook.xml"),
        "xl/workbook.xml": f'<workbook xmlns="{MAIN}" xmlns:r="{LINKS}"><sheets>'
        '<sheet name="people" sheetId="1" r:id="worksheet"/></sheets></workbook>',
        "xl/_rels/workbook.xml.rels": links(worksheet="worksheets/sheet1.xml"),
        "xl/worksheets/sheet1.xml": f'<worksheet xmlns="{MAIN}"><sheetData>{rows}</sheetData>'
        "</worksheet>",
        **others,
    }


def zipped(named: Mapping[str, str]) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in named.items():
            archive.writestr(name, content)
    return file.getvalue()


def saved(book: openpyxl.Workbook) -> bytes:
    file = io.BytesIO()
    book.save(file)
    return file.getvalue()


def read(data: bytes) -> list[tuple[int, list[str]]]:
    with open_recipients(None, stdin=io.BytesIO(data)) as recipients:
        return [(row.line, list(row.values.values())) for row in recipients]


def refused(data: bytes) -> UsageError:
    with pytest.raises(UsageError) as caught:
        read(data)
    assert caught.value.code == "unreadable_file"
    return caught.value


def shown(value: object, number_format: str) -> str:
    book = openpyxl.Workbook()
    book.active.append(["phone", "value"])
    book.active.append(["+651", value])
    book.active["B2"].number_format = number_format
    return read(saved(book))[0][1][1]


@pytest.mark.parametrize(
    ("value", "number_format", "text"),
    [
        (46349, "yyyy-mm-dd", "2026-11-23"),
        (46349, "d/m/yy", "2026-11-23"),
        (46349, "[$-409]d-mmm", "2026-11-23"),
        (46349.5, 'dd "of" mmm, hh:mm', "2026-11-23 12:00"),
        (59, "yyyy-mm-dd", "1900-02-28"),
        (61, "yyyy-mm-dd", "1900-03-01"),
        (46349, '"day "0', "46349"),
        (46349, "0_d", "46349"),
        (46349, '[Red]0.00 "USD"', "46349"),
        (46349, "[$SGD] #,##0", "46349"),
        (65900000000, "0.00E+00", "65900000000"),
        (6591234567.0, "General", "6591234567"),
        (1.5e-7, "General", "1.5e-07"),
    ],
)
def test_a_number_reads_as_its_format_shows_it(value: float, number_format: str, text: str) -> None:
    assert shown(value, number_format) == text


def test_a_shortened_number_and_an_apostrophe_reach_the_plan_unchanged() -> None:
    book = openpyxl.Workbook()
    for line in (["phone"], ["6.59E+10"], ["'+6591234567"]):
        book.active.append(line)
    assert read(saved(book)) == [(2, ["6.59E+10"]), (3, ["'+6591234567"])]


def test_prefixed_names_and_a_wrong_size_cut_nothing_short() -> None:
    sheet = (
        f'<x:worksheet xmlns:x="{MAIN}"><x:dimension ref="A1"/><x:sheetData>'
        '<x:row r="1"><x:c r="A1" t="str"><x:v>phone</x:v></x:c></x:row>'
        '<x:row r="2"><x:c r="A2"><x:v>6591234567</x:v></x:c></x:row>'
        "</x:sheetData></x:worksheet>"
    )
    assert read(zipped(parts("", **{"xl/worksheets/sheet1.xml": sheet}))) == [(2, ["6591234567"])]


def test_a_stray_cell_far_away_refuses_its_row_and_takes_no_memory() -> None:
    rows = f'{HEADER}<row r="1048576"><c r="XFD1048576"><v>1</v></c></row>'
    with open_recipients(None, stdin=io.BytesIO(zipped(parts(rows)))) as recipients:
        found = [(row.line, row.fault) for row in recipients]
    assert found == [(1048576, "it has values beyond the last column of the header")]


def test_entities_that_would_grow_beyond_memory_are_refused() -> None:
    levels = "".join(f'<!ENTITY e{n} "{f"&e{n - 1};" * 10}">' for n in range(1, 10))
    bomb = (
        f'<!DOCTYPE x [<!ENTITY e0 "{"ha" * 10}">{levels}]><worksheet xmlns="{MAIN}"><sheetData>'
        '<row r="1"><c r="A1" t="str"><v>&e9;</v></c></row></sheetData></worksheet>'
    )
    refused(zipped(parts("", **{"xl/worksheets/sheet1.xml": bomb})))


@pytest.mark.parametrize(
    "row",
    [
        '<row r="x"/>',
        '<row r="2"><c r="2"><v>1</v></c></row>',
        '<row r="2"><c t="s"><v>7</v></c></row>',
        '<row r="2"><c t="s"><v>-1</v></c></row>',
        '<row r="2"><c r="B3"><v>1</v></c></row>',
        '<row r="2"><c r="XFE2"><v>1</v></c></row>',
        '<row r="1"/>',
        '<row r="1048577"/>',
        '<c r="A2"><v>1</v></c>',
        '<row r="2"><c>',
    ],
)
def test_a_damaged_row_is_refused(row: str) -> None:
    assert "cannot be read as an Excel workbook" in refused(zipped(parts(HEADER + row))).message


def test_a_broken_or_wrong_workbook_is_refused() -> None:
    whole = zipped(parts(HEADER))
    hidden = parts(HEADER)["xl/workbook.xml"].replace("<sheet ", '<sheet state="veryHidden" ')
    refused(whole[: len(whole) // 2])
    refused(zipped({"word/document.xml": "<document/>"}))
    refused(zipped(parts(HEADER, **{"xl/workbook.xml": hidden})))
    for missing in ("xl/worksheets/sheet1.xml", "xl/workbook.xml"):
        refused(zipped({name: part for name, part in parts(HEADER).items() if name != missing}))


# openpyxl does not mark a text of blanks alone as one to be kept.
TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=20).filter(
    lambda text: (
        not ILLEGAL_CHARACTERS_RE.search(text)
        and "_x" not in text
        and "\r" not in text
        and bool(text) == bool(text.strip())
    )
)


@given(st.lists(st.tuples(TEXT, st.integers(-(10**14), 10**14)), max_size=5))
def test_everything_that_a_program_writes_is_read_back(records: list[tuple[str, int]]) -> None:
    book = openpyxl.Workbook(write_only=True)
    sheet = book.create_sheet()
    sheet.append(["phone", "count"])
    for text, number in records:
        cell = openpyxl.cell.WriteOnlyCell(sheet, text)
        cell.data_type = "s"
        sheet.append([cell, number])
    found = read(saved(book))
    assert [values for _, values in found] == [[text, str(n)] for text, n in records]
    assert not any(is_blank(values) for _, values in found)
